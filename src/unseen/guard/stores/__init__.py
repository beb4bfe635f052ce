"""Where budgets are kept: one database a file, the same promises from each."""

from pathlib import Path

from unseen.errors import PolicyError
from unseen.guard import policy as policies
from unseen.guard.budget import Store
from unseen.guard.secrets import read_secret

BUDGETS = "budgets.sqlite"


def open_store(settings: policies.Store, folder: Path) -> Store:
    """Open the store that a policy names. Raises `PolicyError` or `MissingExtra`."""
    if settings.kind == "sqlite":
        from unseen.guard.stores.sqlite import SqliteStore

        return SqliteStore(folder / BUDGETS, power=settings.durability == "power")
    if settings.url is None:
        raise PolicyError(f"store.url must name the secret that holds the address of {settings.kind}, as 'env:NAME'.")
    url = read_secret(settings.url, "store.url").decode()
    if settings.kind == "redis":
        from unseen.guard.stores.redis import RedisStore

        return RedisStore(url, power=settings.durability == "power")
    from unseen.guard.stores.postgresql import PostgresqlStore

    return PostgresqlStore(url)
