"""OpenAI's chat/completions, completions and embeddings, and the servers that speak like it."""

from collections.abc import Mapping
from typing import Any

from unseen.control import Hardening
from unseen.controls.allowed_parameters import ALLOWED
from unseen.controls.fields import SCORING
from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

ENDS = ("chat/completions", "completions", "embeddings")
ANSWER = frozenset({"id", "object", "created", "model", "choices", "usage", "data", "service_tier"})
CHOICE = frozenset({"index", "message", "delta", "text", "finish_reason", "logprobs"})
MODELS = frozenset({"object", "data"})
HARMLESS = frozenset(ALLOWED) | {"encoding_format", "dimensions"}
ONE = ("n", "best_of")  # how many answers: one is what everybody gets


class OpenAI:
    """Texts in, texts out. Numbers about the text leave only where a control of the tier lets them (`cap-logprobs`)."""

    def __init__(self, route: Route) -> None:
        prefix = route.path.rstrip("/") or "/v1"
        self._asked = {f"{prefix}/{end}": end for end in ENDS if end != "embeddings" or route.embeddings}
        self._told = {f"{prefix}/models": Telling(f"{prefix}/models", MODELS)}

    def match(self, method: str, path: str) -> str | Telling | None:
        """See `question.Adapter`."""
        return (path if path in self._asked else None) if method == "POST" else self._told.get(path)

    def read(self, path: str, content: Any, parameters: frozenset[str]) -> Question:
        """See `question.Adapter`. A parameter that is not allowed is refused, and named where it is a known one."""
        if not isinstance(content, dict):
            raise bad("field", "The body must be an object.")
        body = {
            name: value for name, value in content.items() if not (name in ONE and value == 1 and value is not True)
        }
        refused = sorted(body.keys() - HARMLESS - parameters)
        if refused:
            known = [name for name in refused if name in SCORING]  # other names are the client's own words
            named = f" ({', '.join(known)})" if known else ""
            raise bad("parameter", f"The request has parameters that are not allowed here{named}: leave them out.")
        stream = body.get("stream", False)
        if not isinstance(stream, bool):
            raise bad("field", "stream must be true or false.")
        rows = _texts(self._asked[path], body)
        seeking = tuple(sorted(body.keys() & SCORING))
        return Question(path, len(rows) * _answers(body), rows, body, seeking, stream=stream)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`; also for one event of a stream."""
        if not isinstance(content, dict):
            raise unreadable()
        if question.path.endswith("/embeddings"):
            return _embeddings(content, question.records, answering)
        kept: Mapping[str, Any] = {name: value for name, value in content.items() if name in ANSWER and name != "data"}
        choices = kept.get("choices", [])
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise unreadable()
        answering.dropped += len(content) - len(kept) + sum(len(choice.keys() - CHOICE) for choice in choices)
        kept = {**kept, "choices": [{n: v for n, v in choice.items() if n in CHOICE} for choice in choices]}
        for control in _capping(answering.texts):
            kept = control.response(kept)
        return kept


def _capping(texts: list[Hardening]) -> list[Hardening]:
    """Return the tier's controls of text, `no-logprobs` where none of them speaks of log probabilities."""
    from unseen.controls.no_logprobs import NO_LOGPROBS

    said = any(control.name in {"no-logprobs", "cap-logprobs"} for control in texts)
    return texts if said else [*texts, NO_LOGPROBS.with_settings()]


def _texts(end: str, body: dict[str, Any]) -> list[Any]:
    """Return what is asked about, one element a record: a conversation, a prompt, an input."""
    if end == "chat/completions":
        number_of_rows(body.get("messages"), "messages")
        return [body["messages"]]
    name = "prompt" if end == "completions" else "input"
    given = body.get(name)
    if isinstance(given, str):
        return [given]
    number_of_rows(given, name)
    tokens = all(type(value) is int for value in given or [])
    return [given] if tokens else list(given or [])


def _answers(body: dict[str, Any]) -> int:
    """Return how many answers a record is asked for: each is charged."""
    asked = [body.get(name, 1) for name in ONE]
    if not all(type(count) is int and 1 <= count <= 128 for count in asked):
        raise bad("field", "n and best_of must be whole numbers from 1 to 128.")
    return max(asked)


def _embeddings(content: dict[str, Any], records: int, answering: Answering) -> dict[str, Any]:
    data = content.get("data")
    if not isinstance(data, list) or len(data) != records or not all(isinstance(one, dict) for one in data):
        raise unreadable()
    if not all(isinstance(one.get("embedding"), list) for one in data):  # base64 cannot be hardened
        raise unreadable()
    vectors = answering.rows("values", [one["embedding"] for one in data], records)
    kept = {name: content[name] for name in ("object", "model", "usage") if name in content}
    found = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return kept | {"data": found}
