"""Allowed parameters: a request may carry what is listed, and nothing else."""

from collections.abc import Mapping
from typing import Any

from unseen.control import HEURISTIC, Control, Setting
from unseen.controls.fields import SCORING
from unseen.errors import DataError

ALLOWED = (
    *("model", "messages", "prompt", "input", "instructions", "system", "stream", "stream_options", "user"),
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "max_output_tokens", "stop"),
    *("presence_penalty", "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls", "response_format"),
    "encoding_format",
)
REFUSE, STRIP = "refuse", "strip"
ONE = frozenset({"n", "best_of"})  # how many answers; one is what everybody gets


def allowed_parameters(answer: Mapping[str, Any], allow: tuple[str, ...], otherwise: str) -> dict[str, Any]:  # noqa: ARG001
    """Let the request carry the listed parameters alone; the answer is not changed.

    Not in the default list, because they turn text into scores or sharpen an attack on it: logprobs, top_logprobs,
    prompt_logprobs, echo, logit_bias, n and best_of above 1, seed. Whatever a new version of a server understands
    is not let through until it is listed. Parameters that are not listed refuse the request, or are stripped from it.
    Values are not looked at, those of n and best_of apart.

    >>> request = ALLOWED_PARAMETERS.with_settings(otherwise="strip").request
    >>> request({"model": "m", "prompt": "p", "echo": True, "logprobs": 1})
    {'model': 'm', 'prompt': 'p'}
    """
    return dict(answer)


def _ask(parameters: Mapping[str, Any], allow: tuple[str, ...], otherwise: str) -> dict[str, Any]:
    kept = {name: value for name, value in parameters.items() if name in allow or _one_answer(name, value)}
    refused = [name for name in parameters if name not in kept]
    if refused and otherwise == REFUSE:
        known = sorted(name for name in refused if name in SCORING)  # other names are the client's own words
        named = f" ({', '.join(known)})" if known else ""
        raise DataError(f"the request has {len(refused)} parameters that are not allowed here{named}: leave them out.")
    return kept


def _one_answer(name: str, value: Any) -> bool:
    return name in ONE and isinstance(value, int) and not isinstance(value, bool) and value == 1


def _unfit(_classes: int | None, allow: tuple[str, ...], otherwise: str) -> str:  # noqa: ARG001
    if "*" in allow or set(allow) >= SCORING:
        return "allow must name what a request may carry, and this list allows everything"
    if "prompt_logprobs" in allow or {"echo", "logprobs"} <= set(allow):
        return "allow must not hold prompt_logprobs, nor echo beside logprobs: they score a text that is handed in"
    return ""


ALLOWED_PARAMETERS = Control(
    harden=allowed_parameters,
    ask=_ask,
    surface="text",
    hides="what only a request can ask for: scores of tokens, of a text handed in, biased and repeated answers",
    costs="features of the server that are not listed",
    promises=HEURISTIC,
    does_not_stop="attacks that read the text alone; whatever the server says unasked (add no-logprobs); "
    "asking again and again, which a budget limits",
    owasp=("LLM02:2026",),
    atlas=("AML.M0002", "AML.T0024.000"),
    settings=(
        Setting("allow", "names", "the parameters that a request may carry", default=ALLOWED),
        Setting("otherwise", "choice", "what happens to others", default=REFUSE, choices=(REFUSE, STRIP)),
    ),
    unfit=_unfit,
)
