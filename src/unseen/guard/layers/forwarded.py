"""The model is asked, and what it says goes through the controls of whoever asked."""

from collections.abc import Callable
from typing import Any

import msgspec

from unseen.guard.answering import NO_CONTROLS, Answering, Controls, padded, unreadable
from unseen.guard.exchange import Exchange, Reply
from unseen.guard.policy import Policy
from unseen.guard.question import Question, Telling, told
from unseen.guard.refusal import Refused
from unseen.guard.stream import hardened_events
from unseen.guard.upstream import Upstream, refused_by, too_long
from unseen.guard.wire import decode, encode

LONGER = 6  # times what the model's answer may have: seventeen digits stand where there were one or two


class Forwarded:
    """Asks, hardens, replies. What the model's server says beyond what the policy knows stays here."""

    def __init__(self, policy: Policy, upstream: Upstream, controls_of: Callable[[Exchange], Controls]) -> None:
        self._upstream = upstream
        self._controls_of = controls_of
        self._shadow = policy.guard.mode == "shadow"
        self._most = LONGER * policy.upstream.max_response_bytes
        self._strict = policy.guard.strict and not self._shadow

    async def __call__(self, exchange: Exchange) -> Reply:
        """Ask the model's server."""
        question = exchange.question
        if isinstance(question, Telling):
            return await self._tell(exchange, question)
        if question is None:
            raise Refused(404, "unknown_route", "The policy names no such route.")
        controls = self._controls_of(exchange)
        if self._shadow:
            exchange.shadow = exchange.shadow or ("controls" if controls.all else "")
            controls = NO_CONTROLS
        exchange.controls = controls
        answering = Answering(controls, exchange.forms, strict=self._strict)
        body = encode(question.body)
        if question.stream:
            return await self._stream(exchange, question, body, answering)
        content = await self._answer(exchange, question.path, body)
        hardened = exchange.adapter.harden(question, _read(content), answering)
        exchange.dropped += answering.dropped
        leaves = padded(encode(hardened))
        if len(leaves) > self._most:
            raise too_long(200)
        return Reply(200, body=leaves)

    async def _tell(self, exchange: Exchange, telling: Telling) -> Reply:
        content = await self._answer(exchange, telling.path, None)
        if not telling.fields:
            return Reply(200, body=b"{}")
        kept = told(_read(content or b"{}"), telling.fields)
        if telling.listed:
            kept["data"] = [one for one in kept.get("data", ()) if one.get("id") in telling.listed]
        return Reply(200, body=encode(kept))

    async def _answer(self, exchange: Exchange, path: str, body: bytes | None) -> bytes:
        try:
            answer = await self._upstream.ask(path, body)
        except Refused as refused:
            exchange.upstream = refused.upstream
            raise
        exchange.upstream = answer.status
        if answer.status != 200:
            raise refused_by(answer.status)
        return answer.body

    async def _stream(self, exchange: Exchange, question: Question, body: bytes, answering: Answering) -> Reply:
        parts = self._upstream.stream(question.path, body)
        try:
            await anext(parts)  # raises what the model's server refuses, while nothing has left
        except Refused as refused:
            exchange.upstream = refused.upstream
            raise
        exchange.upstream = 200

        def harden(event: object) -> object:
            hardened = exchange.adapter.harden(question, event, answering)
            exchange.dropped = answering.dropped
            return hardened

        return Reply(200, b"text/event-stream", events=hardened_events(parts, harden))


def _read(body: bytes) -> Any:
    """Return what the model's server says. Only what is read here and written anew leaves, so once is enough."""
    try:
        return decode(body)
    except (msgspec.DecodeError, RecursionError):
        raise unreadable() from None
