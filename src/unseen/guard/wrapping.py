"""A policy around a model in this process: no network, no keys, the same budgets, controls and log."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unseen.control import Floats, Hardening
from unseen.controls.coarse import coarse_rows
from unseen.errors import DataError, PolicyError, UnseenError
from unseen.guard.answering import Answering, Controls
from unseen.guard.budget import Ask, charges, what_is_full
from unseen.guard.checking import hardenings, refuse_useless
from unseen.guard.client import Client
from unseen.guard.gateway import State, new_id, open_state
from unseen.guard.log.entries import Asked
from unseen.guard.policy import Kind, Policy, Route, Tier, policy_from, read_policy
from unseen.guard.refusal import Refused
from unseen.guard.secrets import derive
from unseen.guard.shape import fingerprint

HERE = "in-process"


def wrap(model: Any, policy: Policy | dict[str, Any] | str | Path, *, tier: str | None = None) -> "Guarded":
    """Return `model` behind a policy: the methods `predict` and `predict_proba`, with the answers of `tier`.

    The model needs scikit-learn's interface. The first route says what its answers are; `upstream` is not asked.
    Raises `PolicyError`; calls raise `Refused` where a budget is spent.
    """
    read = (
        policy
        if isinstance(policy, Policy)
        else policy_from(policy)
        if isinstance(policy, dict)
        else read_policy(policy)
    )
    refuse_useless(read)
    named = tier or next(iter(read.tiers))
    if named not in read.tiers:
        raise PolicyError(f"the policy has no tier {named!r}; it has {sorted(read.tiers)}.")
    return Guarded(model, read, named)


class Guarded:
    """A model whose every answer goes through the policy. One process, any number of threads, one call at a time."""

    def __init__(self, model: Any, policy: Policy, tier: str) -> None:
        self._model = model
        self._policy = policy
        self._tier: Tier = policy.tiers[tier]
        self._route: Route = policy.routes[0]
        self._client = Client(HERE, HERE, tier, key=str(os.getpid()))
        self._state: State = asyncio.run(_opened(policy))
        self._controls: tuple[Hardening, ...] = hardenings(self._tier.controls, derive(self._state.secret, "controls"))
        self._lock = threading.Lock()
        self.classes_ = getattr(model, "classes_", np.array([]))

    def __repr__(self) -> str:
        return f"Guarded({type(self._model).__name__}, policy {self._policy.digest})"

    def predict_proba(self, X: Any) -> Floats:
        """Return hardened probabilities, `(records, classes)`. Raises `Refused`."""
        return self._answered(X, self._model.predict_proba, self._harden)

    def predict(self, X: Any) -> Any:
        """Return predictions: labels as they are, numbers of a regressor hardened. Raises `Refused`."""
        values = self._route.answers == "values"
        return self._answered(X, self._model.predict, self._harden if values else None)

    def close(self) -> None:
        """Give back what is held of the budgets, and sign the log."""
        asyncio.run(self._state.close())

    def _answered(
        self, X: Any, ask: Callable[[Any], Any], harden: Callable[[Floats, Sequence[bytes]], Floats] | None
    ) -> Any:
        table = np.asarray(X)
        if table.ndim != 2:
            raise DataError(f"a guarded model needs a table (records, features), got {table.ndim} axes.")
        try:
            forms = coarse_rows(table.astype(np.float64), self._route.step)
        except (TypeError, ValueError):
            raise DataError("a guarded model needs a table of numbers.") from None
        with self._lock:
            started = time.monotonic()
            reason, status = "answered", 200
            try:
                self._charge(len(table))
                answer = ask(X)
                return answer if harden is None else harden(np.asarray(answer, dtype=np.float64), forms)
            except Refused as refused:
                reason, status = refused.reason, refused.status
                raise
            except UnseenError:
                raise
            except Exception:
                reason, status = "fault", 500
                raise
            finally:
                self._record(forms, status, reason, started)

    def _harden(self, answer: Floats, forms: Sequence[bytes]) -> Floats:
        if self._policy.guard.mode == "shadow":
            return answer
        kind: Kind = "values" if self._route.answers == "values" else "probabilities"
        return Answering(Controls(self._controls), forms, strict=True).table(kind, answer)

    def _charge(self, records: int) -> None:
        owed = charges(self._client, self._tier, self._policy.budgets, records, time.time())
        asks = [Ask(charge.account, charge.amount, charge.amount, charge.cap) for charge in owed]
        (grant,) = self._state.store.reserve([asks])
        if grant.refused is not None and self._policy.guard.mode == "enforce":
            raise Refused(429, "budget", f"The request is beyond {what_is_full(asks[grant.refused].account)}.")

    def _record(self, forms: Sequence[bytes], status: int, reason: str, started: float) -> None:
        key = self._state.tenant_key(HERE)
        self._state.writer.append(
            Asked,
            id=new_id(),
            client=HERE,
            key=self._client.key,
            tenant=HERE,
            tier=self._client.tier,
            route=self._route.name or self._route.protocol,
            status=status,
            reason=reason,
            records=len(forms),
            ms=round((time.monotonic() - started) * 1000, 3),
            policy=self._policy.digest,
            fingerprints=tuple(fingerprint(key, form).hex() for form in forms[:1000]),
            controls=tuple(control.name for control in self._controls),
        )


async def _opened(policy: Policy) -> State:
    return open_state(policy, os.getpid())
