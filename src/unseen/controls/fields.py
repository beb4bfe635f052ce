"""Fields of requests and answers about generated text that carry, or ask for, numbers about its probability."""

from collections.abc import Mapping
from typing import Any

ANSWER_FIELDS = frozenset(
    {
        *("logprobs", "top_logprobs", "prompt_logprobs", "token_logprobs", "logprob", "cumulative_logprob"),
        *("avg_logprobs", "avg_logprob", "logprobs_result", "logprobsresult", "avglogprobs", "prompt_token_logprobs"),
        *("completion_probabilities", "top_probs", "probs", "prob", "probabilities", "prefill", "logits", "scores"),
        *("input_token_logprobs", "output_token_logprobs", "input_top_logprobs", "output_top_logprobs"),
        "system_fingerprint",
    }
)
REQUEST_FIELDS = frozenset(
    {
        *("logprobs", "top_logprobs", "prompt_logprobs", "n_probs", "post_sampling_probs", "logprob_start_len"),
        *("return_logprob", "return_logprobs", "top_logprobs_num", "response_logprobs", "responselogprobs"),
        *("decoder_input_details", "top_n_tokens", "return_hidden_states", "return_tokens_as_token_ids"),
    }
)
SCORING = frozenset({*REQUEST_FIELDS, "echo", "logit_bias", "n", "best_of", "seed", "include", "use_beam_search"})
INCLUDE = "include"  # a list of dotted names in which a request may ask for more


def without(value: Any, *, names: frozenset[str], numbers: bool) -> Any:
    """Return a copy of a JSON value without the fields of some names, whatever their case, at any depth.

    With `numbers`, any field that holds a fraction, or a list with a fraction in it, goes too. Whole numbers, which
    count tokens and seconds, stay.

    >>> without({"a": 1, "b": 0.5, "c": [{"Logprob": -1}]}, names=frozenset({"logprob"}), numbers=True)
    {'a': 1, 'c': [{}]}
    """
    if isinstance(value, Mapping):
        kept = {key: inner for key, inner in value.items() if not dropped(key, inner, names, numbers)}
        return {key: without(inner, names=names, numbers=numbers) for key, inner in kept.items()}
    if isinstance(value, list | tuple):
        return [without(inner, names=names, numbers=numbers) for inner in value]
    return value


def dropped(key: object, inner: Any, names: frozenset[str], numbers: bool) -> bool:
    """Say whether a field goes: for its name, or, with `numbers`, for a fraction in it.

    >>> dropped("Logprobs", 1, frozenset({"logprobs"}), numbers=False), dropped("usage", 7, frozenset(), numbers=True)
    (True, False)
    """
    return str(key).lower() in names or (numbers and has_fraction(inner))


def has_fraction(value: Any) -> bool:
    """Say whether a value is a fraction, or a list, of lists even, with a fraction in it.

    >>> has_fraction([[1, 0.5]]), has_fraction(7), has_fraction([{"in a field of its own": 0.5}])
    (True, False, False)
    """
    if isinstance(value, list | tuple):
        return any(has_fraction(inner) for inner in value)
    return isinstance(value, float)


def asked_without(parameters: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return a request's parameters without some names, whatever their case, nor logprobs asked for under `include`.

    >>> asked_without({"model": "m", "logprobs": True, "include": ["message.output_text.logprobs"]}, REQUEST_FIELDS)
    {'model': 'm', 'include': []}
    """
    kept = {name: value for name, value in parameters.items() if str(name).lower() not in names}
    if isinstance(kept.get(INCLUDE), list | tuple):
        kept[INCLUDE] = [one for one in kept[INCLUDE] if "logprob" not in str(one).lower()]
    return kept
