"""OpenAI's chat/completions, completions and embeddings, and the servers that speak like it."""

from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from unseen.control import Hardening
from unseen.controls.allowed_parameters import ALLOWED
from unseen.controls.fields import SCORING, has_fraction, without
from unseen.controls.no_logprobs import NO_LOGPROBS
from unseen.errors import UnseenError
from unseen.guard.answering import Answering, unreadable
from unseen.guard.policy import Route
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import bad
from unseen.guard.wire import number_of_rows

ANSWER = frozenset({"id", "object", "created", "model", "choices", "usage", "service_tier"})
CHOICE = frozenset({"index", "message", "delta", "text", "finish_reason", "logprobs"})
MESSAGE = frozenset(
    {
        *("role", "content", "refusal", "name", "annotations", "audio", "tool_calls", "function_call"),
        *("reasoning", "reasoning_content"),
    }
)
USAGE = frozenset({"prompt_tokens", "completion_tokens", "total_tokens"})  # what is cached tells of other clients
MODELS = frozenset({"object", "data"})
ASKED = {"chat/completions": "messages", "completions": "prompt", "embeddings": "input"}  # the field that is asked
ENCODING = "encoding_format"
HARMLESS = frozenset(ALLOWED) - {*ASKED.values(), "instructions", "system", ENCODING}
BROKEN = (UnseenError, ArithmeticError, TypeError, ValueError, AttributeError, KeyError, RecursionError)
NAMED = SCORING | {"dimensions"}  # parameters that a refusal may name: other names are the client's own words
CARRIED = {"image_url": ("url",), "input_audio": ("data",), "file": ("file_data", "file_id")}  # by kind of part
WITHOUT = NO_LOGPROBS.with_settings()
EMBEDDED = {"object", "index", "embedding"}
ONE = ("n", "best_of")  # how many answers: one is what everybody gets


class OpenAI:
    """Texts in, texts out. Numbers about the text leave only where a control of the tier lets them (`cap-logprobs`)."""

    def __init__(self, route: Route) -> None:
        prefix = route.path.rstrip("/") or "/v1"
        self._asked = {f"{prefix}/{end}": end for end in ASKED if end != "embeddings" or route.embeddings}
        self._models = route.models
        self._told = {f"{prefix}/models": Telling(f"{prefix}/models", MODELS, route.models)}

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
        end = self._asked[path]
        harmless = {ASKED[end], ENCODING} if end == "embeddings" else {ASKED[end]}
        refused = sorted(body.keys() - HARMLESS - harmless - parameters)
        if refused:
            known = [name for name in refused if name in NAMED]
            named = f" ({', '.join(known)})" if known else ""
            raise bad("parameter", f"The request has parameters that are not allowed here{named}: leave them out.")
        if self._models and body.get("model") not in self._models:
            raise bad("model", "The model must be one that the policy names.")
        stream = body.get("stream", False)
        if not isinstance(stream, bool) or (stream and end == "embeddings"):
            raise bad("field", "stream must be true or false, and false for embeddings.")
        rows = _texts(end, body.get(ASKED[end]))
        seeking = tuple(sorted(body.keys() & SCORING))
        dropped: tuple[str, ...] = ()
        if body.get(ENCODING) == "base64":  # what cannot be read cannot be hardened: it is written anew
            body[ENCODING], dropped = "float", (ENCODING,)
        return Question(path, len(rows) * _answers(body), rows, body, seeking, dropped, stream=stream)

    def harden(self, question: Question, content: Any, answering: Answering) -> Any:
        """See `question.Adapter`; also for one event of a stream."""
        if not isinstance(content, dict):
            raise unreadable()
        if question.path.endswith("/embeddings"):
            return _embeddings(content, question, answering)
        choices = content.get("choices")
        if not isinstance(choices, list) or len(choices) > question.records:
            raise unreadable()
        known = _known(content, ANSWER, answering)
        kept: Mapping[str, Any] = {
            **_counted(known, answering),
            "choices": [_choice(choice, answering) for choice in choices],
        }
        try:
            answering.dropped += _fractions(kept) if answering.strict else 0
            for control in _capping(answering):
                kept = control.response(kept)
        except BROKEN:  # no shape, or no number, that the control knows
            raise unreadable() from None
        return kept


def _choice(choice: Any, answering: Answering) -> dict[str, Any]:
    kept = _known(choice, CHOICE, answering)
    for part in ("message", "delta"):
        if kept.get(part) is not None:
            kept[part] = _known(kept[part], MESSAGE, answering)
    return kept


def _known(value: Any, names: frozenset[str], answering: Answering) -> dict[str, Any]:
    """Return the fields that are known, and count the others."""
    if not isinstance(value, dict):
        raise unreadable()
    kept = {name: inner for name, inner in value.items() if name in names}
    answering.dropped += len(value) - len(kept)
    return kept


def _counted(kept: dict[str, Any], answering: Answering) -> dict[str, Any]:
    """Return an answer with the three counts of tokens that everybody gets, where it counts any."""
    usage = kept.get("usage")
    return kept if usage is None else {**kept, "usage": _known(usage, USAGE, answering)}


def _fractions(value: Any) -> int:
    """Return how many fields have a fraction in them that no policy speaks of, at any depth."""
    if isinstance(value, dict):
        inner = [value[name] for name in value if name != "logprobs"]
        return sum(1 if has_fraction(one) else _fractions(one) for one in inner)
    return sum(map(_fractions, value)) if isinstance(value, list) else 0


def _capping(answering: Answering) -> list[Hardening]:
    """Return the tier's controls of text, and `no-logprobs` where none of them says as much of the numbers in it."""
    for control in answering.texts:
        if control.name == "cap-logprobs":
            return answering.texts
        if control.name == "no-logprobs" and (control.settings["strict"] or not answering.strict):
            return answering.texts
    return [*answering.texts, WITHOUT]


def _texts(end: str, given: Any) -> list[str]:
    """Return what is asked about, one text a record: what a conversation says, a prompt, an input, or its tokens."""
    name = ASKED[end]
    if end == "chat/completions":
        number_of_rows(given, name)
        if not all(isinstance(message, dict) for message in given):
            raise bad("shape", f"{name} must be an array of objects.")
        return [" ".join(word for message in given for word in _words(message.get("content")))]
    if isinstance(given, str):
        return [given]
    number_of_rows(given, name)
    kinds = set(map(type, given))
    if kinds == {int}:
        return [_numbers(given)]
    if not kinds <= {str, list} or not all(type(one) is str or set(map(type, one)) == {int} for one in given):
        raise bad("shape", f"{name} must be a text, an array of tokens, or an array of either.")
    return [one if isinstance(one, str) else _numbers(one) for one in given]


def _numbers(tokens: list[int]) -> str:
    return " ".join(map(str, tokens))


def _words(content: Any) -> list[str]:
    """Return what one message says, without who says it and how it is cut: neither makes it another record."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [word for part in content for word in _carried(part)]
    return [] if content is None else [_written(content)]


def _carried(part: Any) -> list[str]:
    """Return the text, or the address or data of a picture or sound, that one part of a message carries.

    A part of a kind that is not known here is taken as it is written: two that differ are not one record.
    """
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str):
        return [_written(part)]
    held = part.get(kind)
    if isinstance(held, dict):
        said = [held[name] for name in CARRIED.get(kind, ()) if isinstance(held.get(name), str)]
        return said or [_written(part)]
    return [held] if isinstance(held, str) else [_written(part)]


def _written(value: Any) -> str:
    return msgspec.json.encode(value, order="sorted").decode()


def _answers(body: dict[str, Any]) -> int:
    """Return how many answers a record is asked for: each is charged."""
    asked = [body.get(name, 1) for name in ONE]
    if not all(type(count) is int and 1 <= count <= 128 for count in asked):
        raise bad("field", "n and best_of must be whole numbers from 1 to 128.")
    return max(asked)


def _in_place(data: list[dict[str, Any]]) -> list[Any]:
    """Return the embeddings in the order of the inputs: `index` says it, and where there is none the answer's order."""
    places = [at if one.get("index") is None else one["index"] for at, one in enumerate(data)]
    if not all(type(place) is int for place in places) or sorted(places) != list(range(len(data))):
        raise unreadable()
    placed = dict(zip(places, data, strict=True))
    found = [placed[place].get("embedding") for place in range(len(data))]
    if not all(isinstance(vector, list) for vector in found):
        raise unreadable()
    return found


def _packed(vector: list[float]) -> str:
    """Return an embedding as base64 of its float32, where all of it is one."""
    with np.errstate(over="ignore"):
        short = np.array(vector, "<f4")
    if not np.isfinite(short).all():
        raise unreadable()
    return b64encode(short.tobytes()).decode()


def _embeddings(content: dict[str, Any], question: Question, answering: Answering) -> dict[str, Any]:
    data, records = content.get("data"), question.records
    if not isinstance(data, list) or len(data) != records or not all(isinstance(one, dict) for one in data):
        raise unreadable()
    vectors = answering.rows("values", _in_place(data), records)
    if ENCODING in question.dropped:
        vectors = [_packed(vector) for vector in vectors]
    kept = _counted({name: content[name] for name in ("object", "model", "usage") if name in content}, answering)
    answering.dropped += len(content.keys() - kept.keys() - {"data"}) + sum(len(one.keys() - EMBEDDED) for one in data)
    found = [{"object": "embedding", "index": at, "embedding": vector} for at, vector in enumerate(vectors)]
    return without(kept, names=frozenset(), numbers=True) | {"data": found}
