"""The libraries that can ask a model's server, one a file."""

from unseen.errors import PolicyError
from unseen.guard import policy as policies
from unseen.guard.secrets import read_secret
from unseen.guard.upstream import Upstream


def open_upstream(settings: policies.Upstream) -> Upstream:
    """Return what asks the server of a policy; call it inside the event loop. Raises `PolicyError`, `MissingExtra`."""
    authorization = None
    if settings.authorization:
        authorization = read_secret(settings.authorization, "upstream.authorization").decode("utf-8", "replace")
        if not authorization.isprintable() or not authorization.isascii():
            raise PolicyError("upstream.authorization is one line of printable ASCII, as a header of HTTP is.")
    if settings.client == "pyreqwest":
        from unseen.guard.upstreams.pyreqwest import PyreqwestUpstream

        return PyreqwestUpstream(settings, authorization)
    from unseen.guard.upstreams.aiohttp import AiohttpUpstream

    return AiohttpUpstream(settings, authorization)
