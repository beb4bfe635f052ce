"""A key from the environment or a file: never in a plan, on a command line, in a message or in a repr."""

import os
from pathlib import Path

from unseen.errors import PlanError


def read_secret(place: str, home: Path, key: str) -> str:
    """Return the secret at "env:NAME" or "file:PATH" (relative to `home`); messages name the place, never the content.

    Raises `PlanError`. `key` is the plan's, such as "target.api_key".
    """
    kind, colon, name = place.partition(":")
    if not colon or kind not in {"env", "file"} or not name:
        raise PlanError(f'{key} says where the key is, "env:NAME" or "file:PATH", and never the key itself.')
    if kind == "env":
        secret = os.environ.get(name, "")
    else:
        try:
            secret = (home / name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PlanError(f"{key}: the file {name} could not be read ({type(error).__name__}).") from None
    secret = secret.strip()
    if not secret:
        what = f"the environment variable {name} is not set" if kind == "env" else f"the file {name} is empty"
        raise PlanError(f"{key}: {what}.")
    if not secret.isascii() or not secret.isprintable():
        raise PlanError(
            f"{key}: what stands there is no key: it holds line breaks or letters that a header cannot hold."
        )
    return secret
