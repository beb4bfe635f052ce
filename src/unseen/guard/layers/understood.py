"""What is asked: the body is read once, strictly; what it asks about gets its coarse forms and fingerprints."""

from collections.abc import Callable, Sequence

import msgspec

from unseen.control import Hardening
from unseen.errors import InputError
from unseen.guard.answering import Controls
from unseen.guard.exchange import Exchange, Handler, Reply
from unseen.guard.policy import Policy
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused, bad
from unseen.guard.shape import coarse_forms, fingerprint, vectors
from unseen.guard.wire import read_json

JSON = b"application/json"
TEXT = "openai"  # the protocol whose requests controls of text are for


def understood(
    inner: Handler,
    policy: Policy,
    tenant_key: Callable[[str], bytes],
    controls_of: Callable[[Exchange], Controls],
) -> Handler:
    """Refuse with 4xx what cannot be understood in one way only, or what a control of text does not let through."""
    most, depth = policy.guard.max_records, policy.guard.max_depth
    watched = bool(policy.detectors)
    shadow = policy.guard.mode == "shadow"

    async def handle(exchange: Exchange) -> Reply:
        exchange.body = await exchange.read()
        if isinstance(exchange.question, Telling):
            if exchange.body:
                raise bad("body", "A GET has no body.")
            return await inner(exchange)
        kind = exchange.headers.get(b"content-type", b"")
        if kind != JSON and kind.split(b";")[0].strip().lower() != JSON:
            raise Refused(415, "content_type", "The body must be application/json.")
        if exchange.route is None:  # the layer outside has found one, or nothing comes this far
            raise Refused(404, "unknown_route", "The policy names no such route.")
        content = read_json(exchange.body, depth)
        question: Question = exchange.adapter.read(exchange.path, content, frozenset(exchange.tier.parameters))
        if exchange.route.protocol == TEXT and not shadow and (texts := controls_of(exchange).texts):
            question = _let_through(question, texts, exchange)
        if question.records > most:
            raise Refused(413, "records", f"A request may ask for {most} records at most.")
        if watched or exchange.tier.budget.per_neighbourhood is not None:
            exchange.points = vectors(question.rows, exchange.route)  # refuses uneven rows before anything is charged
        exchange.question = question
        exchange.forms = coarse_forms(question.rows, exchange.route)
        key = tenant_key(exchange.client.tenant)
        exchange.fingerprints = tuple([fingerprint(key, form) for form in exchange.forms])
        return await inner(exchange)

    return handle


def _let_through(question: Question, texts: Sequence[Hardening], exchange: Exchange) -> Question:
    """Return what controls of text leave of a question, read as it is then: that is charged, asked and answered.

    What was sought, and the form of the answer, stay the client's. Raises `Refused` where a control refuses.
    """
    body = question.body
    try:
        for control in texts:
            body = control.request(body)
    except InputError as error:
        raise bad("parameter", f"Your key does not allow this: {error}") from None
    if body == question.body:
        return question
    left: Question = exchange.adapter.read(exchange.path, body, frozenset(exchange.tier.parameters))
    return msgspec.structs.replace(left, seeking=question.seeking, dropped=question.dropped)
