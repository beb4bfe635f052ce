"""Exchange: one request on its way through the layers, and the reply on its way back."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from unseen.control import Floats
from unseen.guard.answering import NO_CONTROLS, Controls
from unseen.guard.client import Client
from unseen.guard.policy import Route, Tier
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused

NOBODY = Client("", "", "")


class Gone(Exception):
    """The client left before its request was whole."""


async def _nothing() -> bytes:
    return b""


@dataclass(slots=True, eq=False)
class Exchange:
    """What is known of one request so far; each layer adds its part, and the outermost writes it down.

    The one record here that changes: it lives for one request and is seen by the layers alone.
    """

    method: str
    path: str
    headers: dict[bytes, bytes] = field(repr=False)
    body: bytes = field(repr=False)
    id: str
    now: float  # seconds since 1970
    started: float  # seconds, monotonic
    client: Client = NOBODY
    tier: Tier = field(default_factory=Tier)
    route: Route | None = None
    adapter: Any = None
    question: Question | Telling | None = field(default=None, repr=False)
    forms: list[bytes] = field(default_factory=list, repr=False)
    fingerprints: tuple[bytes, ...] = field(default=(), repr=False)
    points: Floats | None = field(default=None, repr=False)  # where detectors or neighbourhoods need them
    controls: Controls = NO_CONTROLS
    dropped: int = 0
    upstream: int = 0
    shadow: str = ""
    replayed: bool = False
    fault: Refused | None = None  # what was wrong before any layer saw it
    read: Callable[[], Awaitable[bytes]] = field(default=_nothing, repr=False)  # the body, once it is known who asks

    @property
    def records(self) -> int:
        """How many records it asks for."""
        return self.question.records if isinstance(self.question, Question) else 0


class Reply(msgspec.Struct, frozen=True):
    """What leaves: a body, or the events of a stream."""

    status: int
    content_type: bytes = b"application/json"
    body: bytes = b""
    events: AsyncIterator[bytes] | None = None
    wait_s: float | None = None
    reason: str = "answered"

    def __repr__(self) -> str:
        return f"Reply(status={self.status}, reason={self.reason!r})"


Handler = Callable[[Exchange], Awaitable[Reply]]
Layer = Callable[[Handler], Handler]
