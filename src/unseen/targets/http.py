"""A deployed endpoint, asked over HTTP: politely, strictly, and about each record once."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from unseen.access import Access
from unseen.errors import DataError, ModelError, PlanError, TargetFailed, TargetStopped
from unseen.plan import TargetPlan
from unseen.signal import Array
from unseen.target import Answers
from unseen.targets.asking import Asker
from unseen.targets.connection import Connection, Reply
from unseen.targets.detail import coarser_after
from unseen.targets.ledger import Ledger
from unseen.targets.predictions import LABELS, PROBABILITIES, VALUES, answers_of, detected, of_both_classes
from unseen.targets.secret import read_secret
from unseen.targets.wire import FORMATS
from unseen.targets.wire.rows import Rows, rows_of

GRANTED = {
    LABELS: frozenset({Access.LABELS}),
    VALUES: frozenset({Access.LABELS, Access.SCORES}),
    PROBABILITIES: frozenset({Access.LABELS, Access.SCORES, Access.PROBABILITIES}),
}
HEADER = re.compile(r"[A-Za-z0-9-]+")
LATER = "the same command asks for the rest only, later"


@dataclass(frozen=True)
class Surroundings:
    """What an endpoint's target is told beside the plan: where paths start, where its ledger is, and the seed.

    `section` is the plan's, for messages.
    """

    home: Path
    folder: Path | None = None
    seed: int = 0
    progress: Callable[[str, int, int], None] = field(default=lambda *_: None, repr=False)


class HttpTarget:
    """An endpoint that answers for a model; it can be asked, not retrained.

    Its access is what it answered: labels until it has given more, unless the plan says what it gives. A record whose
    answer is in the ledger is not asked again.
    """

    def __init__(self, said: TargetPlan, classes: Array, around: Surroundings) -> None:
        if said.url is None or said.protocol is None:
            raise PlanError("an endpoint needs target.url and target.protocol.")
        self._said, self._url, self._format = said, said.url, FORMATS[said.protocol]
        self._format.check(said)
        self._classes, self._progress = np.asarray(classes), around.progress
        self._given = None if said.answers == "auto" else said.answers
        if (self._given == VALUES) == bool(self._classes.size) and self._given is not None:
            raise PlanError('target.answers = "values" is a regression\'s, and takes no classes; the others need them.')
        if not HEADER.fullmatch(said.header):
            raise PlanError("header must be the name of one, of letters, digits and hyphens, such as X-API-Key.")
        key = "" if said.api_key is None else read_secret(said.api_key, around.home, "api_key")
        secret = {said.header: f"Bearer {key}" if said.header.lower() == "authorization" else key} if key else {}
        self._names_key: Callable[[str], bool] = lambda text: bool(key) and key in text  # so no attribute holds it
        self._connection = Connection(self._url, secret, said.timeout_seconds, insecure=said.insecure)
        self._asker = Asker(self._connection, said.requests_per_second, around.seed)
        self.ledger = Ledger(around.folder)
        self._metadata: Any = None
        self._kept = around.folder is not None

    def __repr__(self) -> str:
        return f"HttpTarget({self._said.protocol})"

    @property
    def classes(self) -> Array:
        """The plan's classes, in the order of the probabilities; none in a regression."""
        return self._classes

    @property
    def access(self) -> frozenset[Access]:
        """What it answered, or what the plan says that it gives."""
        return GRANTED[self._given or (LABELS if self._classes.size else VALUES)]

    @property
    def kind(self) -> str:
        """What a report calls it."""
        return f"endpoint ({self._said.protocol})"

    def told(self) -> list[str]:
        """Return what it took, over all runs of this folder: records, requests and refusals; and a change of form."""
        counts = dict(self.ledger.tally)
        requests = counts.pop("requests", 0)
        refused = ", ".join(f"{count} x {name}" for name, count in sorted(counts.items()))
        again = f"; not answered at once: {refused}" if refused else ""
        asked = len(self.ledger.answers)
        took = f"the endpoint was asked about {asked} different records in {requests} requests{again}."
        after = coarser_after(list(self.ledger.answers.values())) if self._given == PROBABILITIES else None
        changed = (
            f"the answers changed form after record {after} of {asked} and have fewer decimals since: a step of the "
            "guard, or another policy; the numbers mix both and settle nothing: ask anew, in another folder."
        )
        return [took] if after is None else [took, changed]

    def answer(self, features: Any) -> Answers:
        """Answer each record, from the ledger or by asking; equal records are asked about once.

        Raises `TargetStopped` where the endpoint answers no more for now, `TargetFailed` where it refuses a request,
        and `ModelError` where an answer is none that can be read.
        """
        rows = rows_of(features)
        with self.ledger.alone():
            return self._understood(self._answered(rows))

    def _answered(self, rows: Rows) -> list[Any]:
        """Return what was answered about each record, after asking about those that nothing is known of."""
        asked = self._question(rows.names)
        keys = [self.ledger.key(asked, content) for content in rows.contents()]
        first = {key: place for place, key in reversed(list(enumerate(keys))) if key not in self.ledger.answers}
        wanted = sorted(first.values())
        most = min(self._said.records_per_request, self._format.most or self._said.records_per_request)
        with closing(self._connection):  # kept from request to request, not from question to question
            for start in range(0, len(wanted), most):
                places = wanted[start : start + most]
                self._ask(rows.some(places), [keys[place] for place in places], start, len(wanted))
                self._progress("records asked", start + len(places), len(wanted))
        return [self.ledger.answers[key] for key in keys]

    def _question(self, names: tuple[str, ...] | None) -> bytes:
        """Return all that an answer depends on beside the record."""
        said = self._said
        asked = (said.url, said.protocol, said.answers, said.input, said.output, said.model_name, said.prompt)
        return repr((*asked, said.records_at, said.answers_at, said.answer_at, names)).encode()

    def _ask(self, rows: Rows, keys: list[str], done: int, of: int) -> None:
        """Ask about some records and keep what is answered; what went wrong on the way is counted in any case."""
        try:
            body = msgspec.json.encode(self._format.encode(rows, self._said, self._described()))
            reply = self._asker.ask("POST", self._url, body, key=self.ledger.key(self._url.encode(), body))
            predictions = self._format.decode(_json(reply), len(rows), self._said)
            self._understood(predictions)
        except TargetStopped as error:
            self.ledger.add({}, self._counted())
            raise type(error)(self._told_why(error, done, of)) from None
        except (DataError, ModelError, TargetFailed) as error:
            self.ledger.add({}, self._counted())
            why = "what it gave names the key, and is not shown." if self._names_key(str(error)) else error
            raise type(error)(f"{self._connection.shown}: {why}") from None
        self.ledger.add(dict(zip(keys, predictions, strict=True)), self._counted())

    def _told_why(self, error: TargetStopped, done: int, of: int) -> str:
        """Return why there are no more answers; who never answered did not stop."""
        if not self.ledger.answers:
            return f"{self._connection.shown} did not answer: {error}."
        kept = f" and kept: {LATER}" if self._kept else ""
        answered = f"{done} of {of} records in question were answered{kept}"
        return f"{self._connection.shown} stopped answering: {error}; {answered}."

    def _counted(self) -> Mapping[str, int]:
        """Return what happened since this was last asked."""
        tally = self._asker.tally
        counts = {"requests": tally.requests, **tally.refused}
        tally.requests = 0
        tally.refused.clear()
        return {name: count for name, count in counts.items() if count}

    def _described(self) -> Any:
        """Return what the endpoint says of its inputs; an empty description where it says nothing."""
        place = self._format.metadata_at(self._url)
        if self._metadata is None and place is not None:
            try:
                self._metadata = _json(self._asker.ask("GET", place))
            except (ModelError, TargetFailed):
                self._metadata = {}
                self._asker.tally.refused.clear()  # nothing was refused: there is no description
        return self._metadata

    def _understood(self, predictions: list[Any]) -> Answers:
        if self._said.answers == PROBABILITIES and self._classes.size == 2:
            predictions = of_both_classes(predictions)
        kind = self._given or detected(predictions, self._classes)
        answers = answers_of(predictions, self._classes, kind)
        self._given = kind
        return answers


def _json(reply: Reply) -> Any:
    """Return the JSON in a reply, or raise `ModelError`: NaN and infinity are not JSON."""
    kind = reply.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        shown = kind if kind in {"text/html", "text/plain"} else "something else"
        raise ModelError(
            f"the endpoint answered {shown}, not JSON (Content-Type): check that url is the place for predictions."
        )
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise ModelError("the endpoint compressed its answer unasked.")
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise ModelError(
            "the endpoint's answer is not whole, strict JSON (which has no NaN and no infinity)."
        ) from None
