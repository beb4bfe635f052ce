"""Cap logprobs: log probabilities of generated tokens, few, coarse, and none below a floor."""

from collections.abc import Mapping
from math import floor as whole
from typing import Any

from unseen.control import HEURISTIC, Control, Setting
from unseen.controls.fields import ANSWER_FIELDS, REQUEST_FIELDS, asked_without, dropped

LOGPROBS = "logprobs"
BESIDE: dict[str, type] = {"tokens": str, "text_offset": int, "bytes": int}  # lists, of what


def cap_logprobs(answer: Mapping[str, Any], alternatives: int, decimals: int, floor: float) -> dict[str, Any]:
    """Return an answer, or one event of a stream, whose log probabilities are rounded down and raised to a floor.

    At most `alternatives` other tokens are shown a place, the most likely ones. Known are the shapes of chat (`content`
    and `refusal`), of completions (`token_logprobs`) and of responses (a list of tokens); log probabilities of any
    other shape, those of the prompt, and every fraction elsewhere are dropped. Beside them stand tokens that are texts,
    and bytes and offsets that are whole numbers, and nothing else.

    >>> token = {"token": "yes", "logprob": -0.123, "top_logprobs": [{"token": "no", "logprob": -9.9}]}
    >>> choice = {"logprobs": {"content": [token]}}
    >>> cap_logprobs({"choices": [choice]}, alternatives=1, decimals=1, floor=-5.0)["choices"][0]["logprobs"]["content"]
    [{'token': 'yes', 'logprob': -0.2, 'top_logprobs': [{'token': 'no', 'logprob': -5.0}]}]
    """

    def coarse(value: Any) -> float | None:
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value:  # noqa: PLR0124 - NaN
            return None
        shown = min(0.0, max(value, floor))
        return max(whole(shown * 10**decimals + 1e-9) / 10**decimals, floor)

    return dict(_capped(answer, alternatives, coarse))


def _ask(parameters: Mapping[str, Any], alternatives: int, decimals: int, floor: float) -> dict[str, Any]:  # noqa: ARG001
    """Ask for no more alternatives than are shown, and for no score of a text that was handed in."""
    kept = asked_without(parameters, REQUEST_FIELDS - {LOGPROBS, "top_logprobs"} | {"echo"})
    for name in (LOGPROBS, "top_logprobs"):
        if isinstance(kept.get(name), int) and not isinstance(kept[name], bool):
            kept[name] = min(kept[name], alternatives)
    return kept


def _capped(value: Any, most: int, coarse: Any) -> Any:
    if isinstance(value, Mapping):
        rest = {key: inner for key, inner in value.items() if not dropped(key, inner, ANSWER_FIELDS, numbers=True)}
        kept = {key: _capped(inner, most, coarse) for key, inner in rest.items()}
        shown = _known_shape(value[LOGPROBS], most, coarse) if LOGPROBS in value else None
        return kept if shown is None else kept | {LOGPROBS: shown}
    if isinstance(value, list | tuple):
        return [_capped(inner, most, coarse) for inner in value]
    return value


def _known_shape(value: Any, most: int, coarse: Any) -> Any:
    if isinstance(value, list):
        return _tokens(value, most, coarse)
    if not isinstance(value, Mapping):
        return None
    if "token_logprobs" in value:
        return _completion(value, most, coarse)
    return {name: _tokens(value[name], most, coarse) for name in ("content", "refusal") if name in value}


def _tokens(value: Any, most: int, coarse: Any) -> list[dict[str, Any]] | None:
    if not isinstance(value, list):
        return None
    return [_token(one, most, coarse) for one in value if isinstance(one, Mapping)]


def _token(one: Mapping[str, Any], most: int, coarse: Any) -> dict[str, Any]:
    kept: dict[str, Any] = {"token": one["token"]} if isinstance(one.get("token"), str) else {}
    kept |= _beside(one, "bytes")
    kept["logprob"] = coarse(one.get("logprob"))
    if isinstance(one.get("top_logprobs"), list):
        likely = sorted((x for x in one["top_logprobs"] if isinstance(x, Mapping)), key=_likely)[:most]
        kept["top_logprobs"] = [_token({k: v for k, v in x.items() if k != "top_logprobs"}, 0, coarse) for x in likely]
    return kept


def _completion(value: Mapping[str, Any], most: int, coarse: Any) -> dict[str, Any]:
    kept = _beside(value, "tokens", "text_offset")
    kept["token_logprobs"] = [coarse(one) for one in value["token_logprobs"] or []]
    if isinstance(value.get("top_logprobs"), list):
        kept["top_logprobs"] = [_most_likely(one, most, coarse) for one in value["top_logprobs"]]
    return kept


def _beside(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the lists of some names, each where all in it is of its kind."""
    lists = {name: value[name] for name in names if isinstance(value.get(name), list)}
    return {name: list(inner) for name, inner in lists.items() if all(type(one) is BESIDE[name] for one in inner)}


def _most_likely(one: Any, most: int, coarse: Any) -> dict[str, float | None] | None:
    if not isinstance(one, Mapping):
        return None
    likely = sorted(one.items(), key=lambda item: -item[1] if isinstance(item[1], int | float) else 1e9)[:most]
    return {str(token): coarse(value) for token, value in likely}


def _likely(one: Mapping[str, Any]) -> float:
    return -one["logprob"] if isinstance(one.get("logprob"), int | float) else 1e9


CAP_LOGPROBS = Control(
    harden=cap_logprobs,
    ask=_ask,
    surface="text",
    hides="exact log probabilities, all below the floor, all but a few alternatives, and all of the prompt's",
    costs="precision of token confidences; embeddings and timings",
    promises=HEURISTIC,
    does_not_stop="loss attacks on generated text: many coarse numbers add up; attacks that read the text alone; "
    "no-logprobs hides more",
    owasp=("LLM02:2026",),
    atlas=("AML.M0002", "AML.T0024.000"),
    settings=(
        Setting(
            "alternatives",
            "integer",
            "how many alternatives are shown for each token",
            default=1,
            least=0,
            most=5,
            refusal="more than 5 alternatives are nearly all that servers give",
        ),
        Setting(
            "decimals",
            "integer",
            "how many decimals are left, in nats",
            default=1,
            least=0,
            most=2,
            refusal="more than 2 decimals hide next to nothing",
        ),
        Setting(
            "floor",
            "number",
            "the lowest log probability shown, in nats",
            default=-5.0,
            least=-20.0,
            most=-0.1,
            refusal="below -20 hardly anything is left to hide, and above -0.1 to show",
        ),
    ),
)
