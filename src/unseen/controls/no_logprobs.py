"""No logprobs: generated text without any number on how likely it was."""

from collections.abc import Mapping
from typing import Any

from unseen.control import HEURISTIC, Control, Setting
from unseen.controls.fields import ANSWER_FIELDS, REQUEST_FIELDS, asked_without, without


def no_logprobs(answer: Mapping[str, Any], strict: bool) -> dict[str, Any]:
    """Return an answer, or one event of a stream, without log probabilities, scores and fingerprints at any depth.

    Knows the fields of chat, completions and responses as OpenAI and common inference servers name them. When strict,
    every other field that holds a fraction goes too (embeddings, timings, scores by new names), so that what is
    not known is not let through. What a tool or the text itself says inside a string is left alone.

    >>> no_logprobs({"choices": [{"text": "yes", "logprobs": {"token_logprobs": [-0.1]}}]}, strict=True)
    {'choices': [{'text': 'yes'}]}
    """
    return dict(without(answer, names=ANSWER_FIELDS, numbers=strict))


def _ask(parameters: Mapping[str, Any], strict: bool) -> dict[str, Any]:  # noqa: ARG001 - the settings are the control's
    return asked_without(parameters, REQUEST_FIELDS)


NO_LOGPROBS = Control(
    harden=no_logprobs,
    ask=_ask,
    surface="text",
    hides="log probabilities of tokens, of the prompt and of alternatives; when strict, every fraction in the answer",
    costs="confidence of generated tokens; when strict, embeddings and timings too",
    promises=HEURISTIC,
    does_not_stop="attacks that read the text alone: verbatim continuation, sampling many answers, logit_bias; "
    "numbers written inside strings; the time between events",
    owasp=("LLM02:2026",),
    atlas=("AML.M0002", "AML.T0024.000"),
    settings=(Setting("strict", "flag", "whether unknown fields with fractions are dropped too", default=True),),
)
