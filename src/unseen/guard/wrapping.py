"""A policy around a model in this process: no network, no keys, the same budgets, controls and log."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unseen.control import Floats
from unseen.errors import DataError, PolicyError
from unseen.guard.answering import Answering, Controls, unreadable
from unseen.guard.budget import Accounts, Ask, what_is_full
from unseen.guard.checking import hardenings, refuse_useless
from unseen.guard.client import Client
from unseen.guard.detectors import from_settings
from unseen.guard.exchange import Exchange
from unseen.guard.fitting import fitted
from unseen.guard.gateway import State, new_id, open_state
from unseen.guard.layers.recorded import record
from unseen.guard.neighbourhood import Neighbourhoods
from unseen.guard.policy import Kind, Policy, Route, Tier, policy_from, rate_of, read_policy
from unseen.guard.question import Question
from unseen.guard.refusal import Refused, bad
from unseen.guard.secrets import derive
from unseen.guard.shape import coarse_forms, fingerprint, vectors
from unseen.guard.watching import Watch

HERE = "in-process"


def wrap(model: Any, policy: Policy | dict[str, Any] | str | Path, *, tier: str | None = None) -> "Guarded":
    """Return `model` behind a policy: the methods `predict` and `predict_proba`, with the answers of `tier`.

    The model needs scikit-learn's interface. The first route says what its answers are; `upstream` is not asked. A
    policy with several tiers needs `tier`. Raises `PolicyError`; calls raise `Refused` where a budget is spent.
    """
    read = (
        policy
        if isinstance(policy, Policy)
        else policy_from(policy)
        if isinstance(policy, dict)
        else read_policy(policy)
    )
    refuse_useless(read)
    if tier is None and len(read.tiers) > 1:
        raise PolicyError(f"the policy has the tiers {sorted(read.tiers)}: say which one holds, as tier=NAME.")
    named = tier or next(iter(read.tiers))
    if named not in read.tiers:
        raise PolicyError(f"the policy has no tier {named!r}; it has {sorted(read.tiers)}.")
    if read.routes[0].shapes:
        raise PolicyError("shapes are of several inputs, and a model in this process has one: describe it by features.")
    if not any(hasattr(model, name) for name in ("predict", "predict_proba")):
        raise PolicyError(f"a model has the method predict or predict_proba; {type(model).__name__} has neither.")
    return Guarded(model, read, named)


class Guarded:
    """A model whose every answer goes through the policy: rate, budgets, controls, detectors and log; a call at a time.

    The key of every call is this process; `close` gives back what is held and signs the log.
    """

    def __init__(self, model: Any, policy: Policy, tier: str) -> None:
        self._model = model
        self._policy = policy
        self._tier: Tier = policy.tiers[tier]
        self._route: Route = policy.routes[0]
        self._shadow = policy.guard.mode == "shadow"
        self._client = Client(HERE, HERE, tier, key=str(os.getpid()))
        self._state: State = open_state(policy)
        own = hardenings(self._tier.controls, derive(self._state.secret, "controls"))
        self._controls, self._tight = Controls(own), Controls([*own, *hardenings(({"name": "label-only"},), b"")])
        self._near = Neighbourhoods(derive(self._state.secret, "neighbourhoods"), policy.neighbourhood.radius)
        detectors = from_settings(policy.detectors)
        writer, folder = self._state.writer, self._state.folder
        self._watch = Watch(detectors, policy.actions, writer, folder, shadow=self._shadow)
        self._watch.learn(policy, derive(self._state.secret, "detectors"))
        self._rate, self._accounts = rate_of(self._tier.rate), Accounts(policy.budgets)
        self._placed = bool(detectors) or self._tier.budget.per_neighbourhood is not None
        self._lock = threading.Lock()
        self._closed = False
        self.classes_ = getattr(model, "classes_", np.array([]))

    def __repr__(self) -> str:
        return f"Guarded({type(self._model).__name__}, policy {self._policy.digest})"

    def predict_proba(self, X: Any) -> Floats:
        """Return hardened probabilities, `(records, classes)`. Raises `Refused`, also where the route gives none."""
        if self._route.answers != "probabilities":
            sentence = f"The policy gives no probabilities: its route answers with {self._route.answers}."
            raise self._refused(Refused(404, "unknown_route", sentence), self._begun())
        return self._answered(X, self._model.predict_proba, "probabilities")

    def predict(self, X: Any) -> Any:
        """Return labels as they are, or a regressor's numbers, hardened. Raises `Refused`."""
        return self._answered(X, self._model.predict, "values" if self._route.answers == "values" else "labels")

    def close(self) -> None:
        """Give back what is held of the budgets, and sign the log."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._state.close_now()

    def _answered(self, X: Any, ask: Callable[[Any], Any], kind: Kind) -> Any:
        if self._closed:
            raise Refused(503, "closed", "The guard around this model was closed: wrap it again.")
        exchange = self._begun()
        try:
            asked = self._understood(X, exchange)
        except Exception as error:
            self._refused(error, exchange)
            raise
        with self._lock:
            reason, status = "fault", 500  # whatever ends the call, an interrupt too, until there is an answer
            try:
                self._admit(exchange)
                found = self._harden(kind, ask(asked), exchange)
                reason, status = "answered", 200
            except Refused as refused:
                reason, status = refused.reason, refused.status
                raise
            else:
                return found
            finally:
                self._write(exchange, status, reason)
                if status == 200:
                    self._watch.notice(exchange)
                    self._watch.catch_up()

    def _begun(self) -> Exchange:
        exchange = Exchange("CALL", HERE, {}, b"", new_id(), time.time(), time.monotonic(), self._client, self._tier)
        exchange.route = self._route
        return exchange

    def _understood(self, X: Any, exchange: Exchange) -> Any:
        """Return what the model is asked; the exchange then says what that is. Raises `Refused` or `DataError`."""
        asked = _in_order(X, self._route)
        rows = fitted(_rows(asked, self._route), self._route)
        exchange.forms = coarse_forms(rows, self._route)
        exchange.points = vectors(rows, self._route) if self._placed else None
        with self._lock:
            key = self._state.tenant_key(HERE)
        exchange.fingerprints = tuple(fingerprint(key, form) for form in exchange.forms)
        exchange.question = Question(HERE, len(rows), rows, None)
        return asked

    def _refused(self, error: Exception, exchange: Exchange) -> Exception:
        """Write down a call that ends before anything is charged, and return why it does."""
        reason, status = ("shape", 400) if isinstance(error, DataError | ValueError | TypeError) else ("fault", 500)
        if isinstance(error, Refused):
            reason, status = error.reason, error.status
        with self._lock:
            if not self._closed:
                self._write(exchange, status, reason)
        return error

    def _write(self, exchange: Exchange, status: int, reason: str) -> None:
        record(self._state.writer, exchange, status, reason, self._policy.digest)
        if self._policy.log.durability == "power":
            self._state.writer.keep_now()

    def _admit(self, exchange: Exchange) -> None:
        """Raise `Refused` where the policy refuses a call."""
        self._watch.standing(self._client, exchange.now)
        wait = self._state.pace.wait((HERE, HERE), *self._rate, exchange.started)
        if wait and not self._shadow:
            raise Refused(429, "rate", "Too many calls; wait before the next.", wait)
        owed = self._accounts.charges(self._client, self._tier, exchange.records, exchange.now)
        if (cap := self._tier.budget.per_neighbourhood) is not None:
            owed += self._near.charges(exchange, cap)
        asks = [Ask(charge.account, charge.amount, charge.amount, charge.cap) for charge in owed]
        (grant,) = self._state.store.reserve([asks])
        if grant.refused is not None and not self._shadow:
            raise Refused(429, "budget", f"The call is beyond {what_is_full(asks[grant.refused].account)}.")

    def _harden(self, kind: Kind, answer: Any, exchange: Exchange) -> Any:
        if self._shadow:
            return answer
        exchange.controls = self._tight if self._watch.tightened(HERE) else self._controls
        answering = Answering(exchange.controls, exchange.forms, strict=True)
        table = np.asarray(answer)
        if kind != "labels":
            return np.array(answering.rows(kind, _numbers(table), exchange.records, self._route), dtype=np.float64)
        labels = answering.rows(kind, table.tolist(), exchange.records, self._route)
        return np.array(list(map(_bare, labels)) if table.dtype == object else labels, dtype=table.dtype)


def _numbers(table: np.ndarray[Any, Any]) -> Any:
    """Return a table as lists of floats. Raises `Refused` where it holds anything else."""
    try:
        if table.dtype.kind in "biufO":
            return table.astype(np.float64).tolist()
    except (TypeError, ValueError, OverflowError):
        pass
    raise unreadable()


def _bare(label: Any) -> Any:
    """Return a label without what a class of its own hangs on it."""
    match label:
        case list():
            return [_bare(one) for one in label]
        case str():
            return str.__str__(label)
        case bool() | None:
            return label
        case int():
            return int.__int__(label)
        case _:
            return float.__float__(label)


def _in_order(X: Any, route: Route) -> Any:
    """Return a frame with the columns that the policy names, in its order; anything else as it is. Raises `Refused`."""
    names = getattr(X, "columns", None)
    if names is None or not route.features:
        return X
    if len(names) != len(route.features) or set(names) != set(route.features):
        raise bad("field", "A record has the fields that the policy names, and no others.")
    return X[list(route.features)]


def _rows(X: Any, route: Route) -> list[Any]:
    """Return a table as rows of plain values. Raises `DataError` where it is none."""
    table = np.asarray(X)
    if table.ndim < 2 or (table.ndim > 2 and not route.shape):
        raise DataError(f"a guarded model needs a table (records, features), got {table.ndim} axes.")
    if not table.size:
        raise DataError("a guarded model needs a table with at least one record.")
    if table.dtype != object:
        return list(table.tolist())
    return [[one.item() if isinstance(one, np.generic) else one for one in row] for row in table]
