"""Upstream: the one server that is asked, whatever library asks it."""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from unseen.guard.refusal import AGAIN, Refused, upstream_failed

HEADERS = {"content-type": "application/json", "accept": "application/json", "accept-encoding": "identity"}
STREAM_HEADERS = HEADERS | {"accept": "text/event-stream"}
OWN_FAULT = {401, 403, 407, 408, 425, 426, 431, 511}  # of the guard or its settings, not of the client


class Answer(msgspec.Struct, frozen=True):
    """What the model's server said."""

    status: int
    body: bytes

    def __repr__(self) -> str:
        return f"Answer(status={self.status})"


class Upstream(Protocol):
    """Asks the address that the policy names. Raises `Refused` (502, 504) with one sentence for clients.

    Its `upstream` is the status, where the model's server gave one and did not break off: such a refusal is charged.
    """

    async def ask(self, path: str, body: bytes | None) -> Answer:
        """Post `body` to `path`, or get it where there is none; the whole answer, within the limits of the policy."""

    def stream(self, path: str, body: bytes) -> AsyncIterator[bytes]:
        """Post `body` and yield what comes, as it comes; the first item is empty, and stands for the status 200."""

    async def close(self) -> None:
        """Let go of the connections."""


def gone() -> Refused:
    """Return what a client is told where the connection failed before or while the model answered."""
    return upstream_failed("unreachable", f"The model's server could not be reached, or broke off its answer; {AGAIN}")


def late() -> Refused:
    """Return what a client is told where the model took longer than the policy allows."""
    return upstream_failed("slow", f"The model's server did not answer in time; {AGAIN}", 504)


def too_long(status: int) -> Refused:
    """Return what a client is told where the model's answer is over the policy's limit: it was given, with a status."""
    refused = upstream_failed("answer", "The model's answer was longer than the policy allows; it was withheld.")
    refused.upstream = status
    return refused


def refused_by(status: int) -> Refused:
    """Return what a client is told of an answer that is not 200: the status, and none of the server's own words.

    >>> refused_by(422).status, refused_by(500).status, refused_by(302).status
    (422, 502, 502)
    """
    if 400 <= status < 500 and status not in OWN_FAULT:
        refused = Refused(status, "upstream_refused", f"The model's server refused the request with status {status}.")
    else:
        refused = upstream_failed("failed", f"The model's server failed with status {status}; {AGAIN}")
    refused.upstream = status
    return refused
