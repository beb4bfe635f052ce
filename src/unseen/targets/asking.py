"""Asking politely: not too often, again after a fault but not for ever, and as long as the server says to wait."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import numpy as np

from unseen.errors import ModelError, TargetFailed, TargetStopped
from unseen.targets.connection import Connection, NoAnswer, Reply

MOST_TRIES = 6
FIRST_WAIT, LONGEST_WAIT = 0.5, 120.0  # seconds; a server that says to wait longer has ended the audit for now
LATER = {408, 409, 425, 429, *range(500, 600)}
BUDGET = (b"budget", b"quota")  # how servers name what waiting a little does not bring back
JITTER_STREAM = 0x7177E2


class KeyRefused(TargetStopped):
    """The endpoint does not know the key, or there is none (HTTP 401)."""


@dataclass
class Tally:
    """How often an endpoint was asked, and how often it did not answer, by what it did."""

    requests: int = 0
    refused: Counter[str] = field(default_factory=Counter)


class Asker:
    """Asks one endpoint, `per_second` times a second at most; `sleep` and `clock` are time's own."""

    def __init__(
        self,
        connection: Connection,
        per_second: float,
        seed: int,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._apart = connection, 1 / per_second
        self._rng = np.random.default_rng([seed, JITTER_STREAM])
        self._sleep, self._clock, self._next = sleep, clock, 0.0
        self.tally = Tally()

    def ask(self, method: str, url: str, body: bytes | None = None, key: str = "") -> Reply:
        """Return a reply with status 200; the same `key` goes with every try, so that one is charged.

        Raises `TargetStopped` where there is none for now, `TargetFailed` where this request is refused, `ModelError`
        where the address is not that of an endpoint.
        """
        headers = {"Idempotency-Key": key} if key else {}
        why = ""
        for tries in range(MOST_TRIES):
            self._wait_for_turn()
            self.tally.requests += 1
            asked_to_wait = None
            try:
                reply = self._connection.ask(method, url, body, headers)
            except NoAnswer as error:
                why = str(error)
                self.tally.refused["no whole answer"] += 1
            else:
                if reply.status == HTTPStatus.OK:
                    return reply
                self.tally.refused[f"HTTP {reply.status}"] += 1
                why = f"it answered HTTP {reply.status}"
                _refuse(reply)
                asked_to_wait = wait_of(reply)
            if tries + 1 < MOST_TRIES:
                self._sleep(self._pause(tries, asked_to_wait))
        raise TargetStopped(f"{why}, {MOST_TRIES} times in a row")

    def _wait_for_turn(self) -> None:
        now = self._clock()
        if now < self._next:
            self._sleep(self._next - now)
        self._next = max(now, self._next) + self._apart

    def _pause(self, tries: int, asked: float | None) -> float:
        """Return how long to wait: as asked and a little more, else twice as long each time, with chance in it."""
        if asked is not None:
            return asked * (1 + 0.1 * float(self._rng.random()))
        return min(FIRST_WAIT * 2**tries, LONGEST_WAIT) * (0.5 + 0.5 * float(self._rng.random()))


def _refuse(reply: Reply) -> None:
    """Raise where asking once more would not help."""
    status = reply.status
    if 300 <= status < 400:
        raise ModelError(
            f"the endpoint redirects (HTTP {status}), which is not followed: name the place itself as url."
        )
    if status in {404, 405}:
        raise ModelError(f"there is no endpoint at that url (HTTP {status}): its path is not the one for predictions.")
    if status == 401:
        raise KeyRefused("it refused the key, or wants one (HTTP 401; see api_key and header)")
    if status in {402, 403} or (status == 429 and _is_spent(reply)):
        why = "a budget that is spent, or no permission" if status == 403 else "a budget that is spent"
        raise TargetStopped(f"it refuses to answer more (HTTP {status}: {why})")
    if status in LATER and (wait_of(reply) or 0) > LONGEST_WAIT:
        raise TargetStopped(f"it answered HTTP {status} and asks to wait longer than {LONGEST_WAIT:g} s")
    if status not in LATER:
        smaller = "; lower records_per_request" if status == 413 else ""
        raise TargetFailed(f"the endpoint refused a request (HTTP {status}){smaller}; its message is withheld.")


def _is_spent(reply: Reply) -> bool:
    return any(word in reply.body[:4096].lower() for word in BUDGET)


def wait_of(reply: Reply) -> float | None:
    """Return the seconds in `Retry-After`, as a number or until a date; None without a readable one.

    >>> wait_of(Reply(429, {"retry-after": "3"}, b""))
    3.0
    """
    said = reply.headers.get("retry-after", "").strip()
    if said.isdecimal():
        return float(said)
    try:
        return max((parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return None
