"""Watching: detectors look at what was answered, afterwards; what they see leads to steps that come late, by chance.

Nothing here is on the way of an answer: a query that a detector noticed and one that it did not are answered alike, and
a step taken on a client comes a random time later, so that no query can be told to have caused it.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from unseen.disk import write_whole
from unseen.errors import FolderError, InputError, UnseenError
from unseen.guard.client import Client
from unseen.guard.detector import Detector, Query, Sighting
from unseen.guard.detectors import BY_FINGERPRINT
from unseen.guard.detectors.listed import learn_decoys
from unseen.guard.exchange import Exchange
from unseen.guard.log.entries import Done, Seen
from unseen.guard.log.writer import Writer
from unseen.guard.policy import Actions, Policy
from unseen.guard.question import Question
from unseen.guard.refusal import Refused
from unseen.guard.relay import Relay
from unseen.guard.shape import fingerprint
from unseen.guard.unusable import alone_in_state, give_to_owner_of, unusable

Waiting = TypeVar("Waiting", Sighting, Query)
FILE = "actions.json"
PART = 64
WAITING = 10_000  # queries kept for the detectors: beyond it the oldest are dropped, and counted
TOLD = 4  # sightings, at most, that are told again in one look: each rewrites a file
QUIET_S = 3600.0  # further sightings of one client within this time are one, whatever detectors see it
LOOK_S = 1.0
PATIENCE_S = 5.0  # how long `released` waits for the changes of other processes
REST_S = 0.05  # how long the detectors leave the requests alone
HURRY_S = 0.005  # the same, while workers have more to send
RANK = {"log": 0, "alert": 1, "tighten": 2, "reauthenticate": 3, "suspend": 4}


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far a client has come: `sightings` so far, the last at `seen`, and each step with the time it begins at."""

    sightings: int = 0
    seen: float = 0.0
    steps: dict[str, float] = {}

    def has(self, step: str, now: float) -> bool:
        """Whether a step has begun."""
        return self.steps.get(step, float("inf")) <= now


class Watch:
    """The detectors of one worker, and the standing of its clients, kept in a file that workers share.

    With a `relay`, the detectors of one worker look at what all have noticed, and those of the others rest.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        actions: Actions,
        writer: Writer,
        folder: Path,
        *,
        shadow: bool = False,
        chance: random.Random | None = None,
        relay: Relay | None = None,
    ) -> None:
        self._detectors = detectors
        self._actions = actions
        self._writer = writer
        self._path = folder / FILE
        self._shadow = shadow
        self._chance = chance or random.SystemRandom()
        self._relay = relay
        self._queue: deque[Query] = deque(maxlen=WAITING)
        self._brought: deque[Query] = deque()  # from other workers
        self._untold: deque[Sighting] = deque(maxlen=WAITING)  # that the disk did not take
        self._told: dict[tuple[str, str], float] = {}  # when a detector's sighting of a client was last written down
        self._standing: dict[str, Standing] = {}
        self._key = b""  # of the detectors' fingerprints, once `learn` has brought it
        self._marked = any(isinstance(detector, BY_FINGERPRINT) for detector in detectors)
        self._looked = float("-inf")
        self._modified: tuple[int, int, int] | None = None
        self.dropped = 0
        self.sightings = 0
        if self._path.exists() and not self._load():
            read_standings(folder)  # says why

    def learn(self, policy: Policy, key: bytes, decoys: frozenset[bytes] | None = None) -> None:
        """Take the key of the detectors' fingerprints, one for all tenants, and the list of decoys, read if it was not.

        The log has fingerprints under each tenant's own key; those under this one stay in the detectors' memory, where
        they say that clients of different tenants ask about the same. Raises `PolicyError`; then nothing is changed.
        """
        learn_decoys(self._detectors, policy, key, decoys)
        self._key = key

    def follow(self, old: "Watch") -> None:
        """Take the place of an earlier policy's watch, with all that waits there and that its last requests add."""
        self._queue, self._brought, self.dropped = old._queue, old._brought, old.dropped  # noqa: SLF001 - one of its own
        self._untold, self._told = old._untold, old._told  # noqa: SLF001

    def notice(self, exchange: Exchange) -> None:
        """Keep a question that was answered for the detectors. Takes little time, and fails nobody."""
        question = exchange.question
        if not self._detectors or not isinstance(question, Question):
            return
        if len(self._queue) == WAITING:
            self.dropped += 1
        self._queue.append(
            Query(
                exchange.client.id,
                exchange.now,
                vectors=exchange.points,
                fingerprints=self._fingerprints(exchange),
                parameters=frozenset(question.seeking),
            )
        )

    def _fingerprints(self, exchange: Exchange) -> tuple[bytes, ...]:
        if not self._marked:
            return ()
        return tuple([fingerprint(self._key, form) for form in exchange.forms])

    async def run(self) -> None:
        """Let the detectors look, for ever, between the requests, whatever goes wrong meanwhile."""
        rest = REST_S
        while True:
            await asyncio.sleep(rest)
            try:
                if self._relay is None or self._relay.looks():
                    hurry = await self._look_at_all(self._relay)
                else:
                    hurry = self._pass_on(self._relay)
                rest = HURRY_S if hurry else REST_S
            except Exception as error:  # noqa: BLE001 - with this task ended, nobody would look again
                self._write(Done, what="detector-failed", detail=type(error).__name__)
                rest = LOOK_S

    async def _look_at_all(self, relay: Relay | None) -> bool:
        """Look at what this worker and the others have noticed; return whether the others have noticed anything."""
        self.refresh(time.time())
        self.tell_again()
        others = False
        while (brought := self._bring(relay)) or self._queue:
            others = others or brought
            for waiting in (self._queue, self._brought):
                for part in parts_of(waiting.popleft()) if waiting else ():
                    self.look(part)
                    await asyncio.sleep(0)
        return others

    def _bring(self, relay: Relay | None) -> bool:
        """Take what other workers have sent, unless some of it still waits; return whether some does."""
        if relay is not None and not self._brought:
            relay.ready()  # what this worker had begun to send before it became the one that looks
            try:
                self._brought.extend(relay.received())
            except InputError:
                self.dropped += 1
        return bool(self._brought)

    def _pass_on(self, relay: Relay) -> bool:
        """Send what was noticed to the worker that looks; return whether some had to stay."""
        while relay.ready() and self._queue:
            parts: list[Query] = []
            count = 0
            while self._queue and count < PART:
                query = self._queue.popleft()
                parts.extend(parts_of(query))
                count += max(query.records, 1)
            if not relay.send(parts):
                self.dropped += len(parts)
        return bool(self._queue)

    def catch_up(self) -> None:
        """Let the detectors look at all that waits, now: for callers outside an event loop."""
        self.tell_again(len(self._untold))
        while self._queue:
            for part in parts_of(self._queue.popleft()):
                self.look(part)

    def look(self, query: Query) -> None:
        """Show one query to every detector. A detector that fails is written down, and stops nothing."""
        for detector in self._detectors:
            try:
                sighting = detector.observe(query)
            except Exception as error:  # noqa: BLE001 - whatever a detector of the user's raises
                self._write(Done, what="detector-failed", detail=f"{detector.name}: {type(error).__name__}")
                continue
            if sighting is not None:
                self._tell(sighting)

    def _tell(self, sighting: Sighting) -> None:
        """Take note of a sighting, or keep it until the disk takes it."""
        try:
            self._saw(sighting)
        except (OSError, UnseenError):
            self._untold.append(sighting)

    def tell_again(self, most: int = TOLD) -> None:
        """Take note of sightings that the disk did not take, up to the first that it does not take now either."""
        for _ in range(min(most, len(self._untold))):
            sighting = self._untold.popleft()
            try:
                self._saw(sighting)
            except (OSError, UnseenError):
                self._untold.appendleft(sighting)
                return

    def _saw(self, sighting: Sighting) -> None:
        with alone_in_state(self._path, patience_s=0.0):  # requests wait meanwhile: rather look again later
            self._load()
            standing = self._standing.get(sighting.client, Standing())
            if standing.sightings == 0 or sighting.when - standing.seen >= QUIET_S:
                self._note(sighting, standing)
            elif sighting.when - self._told.get((sighting.client, sighting.detector), float("-inf")) >= QUIET_S:
                self._write_down(sighting)  # another detector within the hour: evidence, and no further step

    def _note(self, sighting: Sighting, standing: Standing) -> None:
        step = self._actions.ladder[min(standing.sightings, len(self._actions.ladder) - 1)]
        due = sighting.when + self._chance.uniform(*self._actions.delay_s)
        steps = standing.steps if step in standing.steps or self._shadow else {**standing.steps, step: due}
        known = self._standing
        self._standing = {**known, sighting.client: Standing(standing.sightings + 1, sighting.when, steps)}
        try:
            _keep(self._path, self._standing)
        except BaseException:
            self._standing = known
            raise
        self.sightings += 1
        self._write_down(sighting)
        if step not in standing.steps and RANK[step] > 0:
            self._write(Done, what=f"{'would-' if self._shadow else ''}{step}", client=sighting.client)

    def _write_down(self, sighting: Sighting) -> None:
        evidence = {name: float(value) for name, value in sighting.evidence.items()}
        strength = round(sighting.strength, 3)
        self._write(Seen, client=sighting.client, detector=sighting.detector, strength=strength, evidence=evidence)
        if len(self._told) >= WAITING:
            self._told.clear()
        self._told[sighting.client, sighting.detector] = sighting.when

    def refresh(self, now: float) -> None:
        """Read the file again where another process changed it."""
        if 0 <= now - self._looked < LOOK_S:
            return
        self._looked = now
        self._load()

    def _load(self) -> bool:
        """Read the file where it changed; what cannot be read leaves what was known."""
        try:
            found = self._path.stat()
            modified = (found.st_mtime_ns, found.st_size, found.st_ino)
            if modified != self._modified:
                self._know(read_standings(self._path.parent))
                self._modified = modified
        except FileNotFoundError:
            self._know({})
            self._modified = None
        except (OSError, FolderError):
            return False
        return True

    def _know(self, standing: dict[str, Standing]) -> None:
        """Take what the file says; whoever was released by another process is forgotten here too."""
        for client in self._standing.keys() - standing.keys():
            self._forget(client)
        self._standing = standing

    def _forget(self, client: str) -> None:
        """Forget what a client did, seen or not yet seen."""
        for detector in self._detectors:
            detector.forget(client)
        for name in [name for name in self._told if name[0] == client]:
            del self._told[name]
        _without(self._untold, client)
        _without(self._queue, client)
        _without(self._brought, client)

    def standing(self, client: Client, now: float) -> None:
        """Raise `Refused` where a client is suspended, or must show a new key."""
        self.refresh(now)
        found = self._standing.get(client.id)
        if found is None or self._shadow:
            return
        if found.has("suspend", now):
            raise Refused(403, "suspended", "This client is suspended; ask whoever gave you the key.")
        if found.has("reauthenticate", now) and client.since < found.steps["reauthenticate"]:
            raise Refused(401, "unauthorized", "A new key is needed, or a new login; ask whoever gave you the key.")

    def tightened(self, client: str, now: float | None = None) -> bool:
        """Whether a client gets labels only."""
        found = self._standing.get(client)
        return not self._shadow and found is not None and found.has("tighten", time.time() if now is None else now)

    def was_released(self, client: str, *, known: bool) -> None:
        """Forget a client whose standing was taken out of the file, where there was any."""
        self._forget(client)
        self._load()
        if known:
            self._write(Done, what="released", client=client)

    def all(self) -> dict[str, Standing]:
        """Return the standing of every client that was ever noticed."""
        self.refresh(float("inf"))
        return dict(self._standing)

    def _write(self, noun: type, **fields: object) -> None:
        with suppress(OSError, UnseenError):
            self._writer.append(noun, **fields)


def _without(waiting: deque[Waiting], client: str) -> None:
    """Take out what is of a client, in place: the watch of the next policy may have the same deque."""
    others = [one for one in waiting if one.client != client]
    waiting.clear()
    waiting.extend(others)


def parts_of(query: Query) -> Iterator[Query]:
    """Yield a query in parts of at most 64 records, so that none holds up the requests that come meanwhile."""
    if query.records <= PART:
        yield query
        return
    for at in range(0, query.records, PART):
        end = at + PART
        vectors = None if query.vectors is None else query.vectors[at:end]
        labels = None if query.labels is None else query.labels[at:end]
        yield replace(query, vectors=vectors, labels=labels, fingerprints=query.fingerprints[at:end])


def read_standings(folder: Path) -> dict[str, Standing]:
    """Return the standing of every client that was noticed, as the disk has it. Raises `FolderError`."""
    path = folder / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Standing])
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise unusable(path, error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise FolderError(f"{path} does not hold standings: restore it, or delete it to forget all.") from None


def released(folder: Path, client: str) -> bool:
    """Take a client out of the file of standings; guards that run read it within a second. Raises `FolderError`."""
    with alone_in_state(folder / FILE, PATIENCE_S):
        found = read_standings(folder)
        if found.pop(client, None) is None:
            return False
        _keep(folder / FILE, found)
    return True


def _keep(path: Path, standings: dict[str, Standing]) -> None:
    write_whole(path, msgspec.json.encode(standings))
    give_to_owner_of(path.parent, path)
