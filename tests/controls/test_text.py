"""Controls of generated text, on answers as servers give them: whole, in events, in every known shape."""

import json

import pytest

from unseen.controls import harden_from
from unseen.errors import DataError

NO = harden_from({"name": "no-logprobs"})
CAP = harden_from({"name": "cap-logprobs", "alternatives": 1, "decimals": 1, "floor": -5.0})
ALLOW = harden_from({"name": "allowed-parameters"})
STRIP = harden_from({"name": "allowed-parameters", "otherwise": "strip"})


def token(text, logprob, *others):
    top = [{"token": name, "logprob": value, "bytes": [1]} for name, value in others]
    return {"token": text, "logprob": logprob, "bytes": [1], "top_logprobs": top}


YES = token("yes", -0.0312, ("no", -3.56), ("yes", -0.0312), ("maybe", -9.1))
CHAT = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1700000000,
    "system_fingerprint": "fp_1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "yes"},
            "logprobs": {"content": [YES], "refusal": None},
        }
    ],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_time": 0.123},
}
CHUNK = {"id": "c1", "choices": [{"index": 0, "delta": {"content": "yes"}, "logprobs": {"content": [YES]}}]}
COMPLETION = {
    "choices": [
        {
            "text": "yes",
            "logprobs": {
                "tokens": ["yes"],
                "token_logprobs": [None, -0.0312],
                "top_logprobs": [None, {"no": -3.56, "yes": -0.0312}],
                "text_offset": [0],
            },
        }
    ]
}
RESPONSE = {"output": [{"content": [{"type": "output_text", "text": "yes", "logprobs": [YES]}]}], "temperature": 1.0}
EVENT = {"type": "response.output_text.delta", "delta": "yes", "logprobs": [YES], "sequence_number": 3}
ELSEWHERE = {
    "prompt_logprobs": [None, {"12": {"logprob": -1, "rank": 3, "decoded_token": "a"}}],
    "candidates": [{"avgLogprobs": -0.3, "logprobsResult": {"chosenCandidates": []}, "content": {"text": "yes"}}],
    "details": {"prefill": [{"text": "a", "logprob": -1}], "tokens": [{"id": 3, "text": "yes", "logprob": -1}]},
    "choices": [{"text": "yes", "cumulative_logprob": -2, "meta_info": {"output_token_logprobs": [[-1, 3, "a"]]}}],
}
ALL = [CHAT, CHUNK, COMPLETION, RESPONSE, EVENT, ELSEWHERE]


@pytest.mark.parametrize("answer", ALL)
def test_no_logprobs_leaves_the_text_and_no_number_about_it(answer):
    kept = json.dumps(NO.response(answer))
    assert "logprob" not in kept.lower()
    assert "." not in kept.replace("response.output_text.delta", "").replace("chat.completion", "")
    assert "yes" in kept
    assert "fingerprint" not in kept


def test_no_logprobs_keeps_counts_and_when_not_strict_other_fractions():
    assert NO.response(CHAT)["usage"] == {"prompt_tokens": 5, "completion_tokens": 1}
    lenient = harden_from({"name": "no-logprobs", "strict": False})
    assert lenient.response(CHAT)["usage"]["total_time"] == 0.123
    assert "logprob" not in json.dumps(lenient.response(RESPONSE))


def test_no_logprobs_drops_what_it_has_never_heard_of_when_strict():
    assert NO.response({"certainty": 0.93, "grid": [[0.1]], "steps": [1, 0.5], "text": "0.93"}) == {"text": "0.93"}


def test_no_logprobs_does_not_ask_for_them():
    asked = {"model": "m", "logprobs": True, "top_logprobs": 5, "include": ["message.output_text.logprobs", "x"]}
    assert NO.request(asked) == {"model": "m", "include": ["x"]}


@pytest.mark.parametrize(
    ("answer", "place"),
    [
        (CHAT, lambda kept: kept["choices"][0]["logprobs"]["content"]),
        (CHUNK, lambda kept: kept["choices"][0]["logprobs"]["content"]),
        (RESPONSE, lambda kept: kept["output"][0]["content"][0]["logprobs"]),
        (EVENT, lambda kept: kept["logprobs"]),
    ],
)
def test_capped_logprobs_are_few_coarse_and_rounded_down(answer, place):
    top = [{"token": "yes", "bytes": [1], "logprob": -0.1}]
    assert place(CAP.response(answer)) == [{"token": "yes", "bytes": [1], "logprob": -0.1, "top_logprobs": top}]


def test_capped_completions_have_their_own_shape():
    kept = CAP.response(COMPLETION)["choices"][0]["logprobs"]
    expected = {"tokens": ["yes"], "text_offset": [0]}
    assert kept == expected | {"token_logprobs": [None, -0.1], "top_logprobs": [None, {"yes": -0.1}]}


def test_capped_logprobs_of_other_shapes_and_of_the_prompt_are_dropped():
    kept = json.dumps(CAP.response(ELSEWHERE))
    assert "logprob" not in kept.lower()
    assert CAP.response({"logprobs": {"surprise": 0.5}, "a": {"logprobs": "x"}}) == {"logprobs": {}, "a": {}}


@pytest.mark.parametrize("value", [-1e9, float("-inf"), -5.01])
def test_capped_logprobs_have_a_floor(value):
    assert CAP.response({"logprobs": [{"token": "a", "logprob": value}]})["logprobs"][0]["logprob"] == -5.0


@pytest.mark.parametrize("value", [-(10**400), -(10**30), 10**400], ids=["least", "less", "most"])
def test_capped_logprobs_of_any_size_are_between_the_floor_and_nothing(value):
    shown = 0.0 if value > 0 else -5.0
    assert CAP.response({"logprobs": [{"logprob": value}]})["logprobs"] == [{"logprob": shown}]
    of_completions = {"token_logprobs": [value], "top_logprobs": [{"a": value, "b": -0.5}]}
    kept = CAP.response({"logprobs": of_completions})["logprobs"]
    assert kept["token_logprobs"] == [shown]


@pytest.mark.parametrize("odd", [0.98765, [0.98765], {"p": 0.98765}, True])
def test_what_stands_beside_capped_logprobs_is_texts_and_whole_numbers(odd):
    place = {"token": odd, "bytes": [1, odd], "logprob": -0.1, "top_logprobs": [{"token": odd, "bytes": odd}]}
    kept = CAP.response({"logprobs": {"content": [place]}})["logprobs"]["content"]
    assert kept == [{"logprob": -0.1, "top_logprobs": [{"logprob": None}]}]
    lists = {"tokens": ["yes", odd], "text_offset": [0, odd], "token_logprobs": [-0.1]}
    assert CAP.response({"logprobs": lists})["logprobs"] == {"token_logprobs": [-0.1]}


@pytest.mark.parametrize("value", [0, 0.0, -0.0, 0.7, float("nan"), None, "x", True])
def test_capped_logprobs_are_never_above_nothing(value):
    assert CAP.response({"logprobs": [{"token": "a", "logprob": value}]})["logprobs"][0]["logprob"] in {0.0, None}


def test_capped_logprobs_are_asked_for_without_the_prompt():
    asked = {"logprobs": 5, "top_logprobs": 9, "echo": True, "prompt_logprobs": 1, "prompt": "p"}
    assert CAP.request(asked) == {"logprobs": 1, "top_logprobs": 1, "prompt": "p"}
    assert CAP.request({"logprobs": True}) == {"logprobs": True}


RISKY = {
    "logprobs": True,
    "top_logprobs": 5,
    "prompt_logprobs": 1,
    "echo": True,
    "logit_bias": {"1": 100},
    "n": 2,
    "best_of": 3,
    "seed": 7,
}


@pytest.mark.parametrize("name", RISKY)
def test_parameters_that_sharpen_an_attack_are_refused_or_stripped(name):
    asked = {"model": "m", "prompt": "p", name: RISKY[name]}
    with pytest.raises(DataError, match=rf"1 parameters that are not allowed here \({name}\)"):
        ALLOW.request(asked)
    assert STRIP.request(asked) == {"model": "m", "prompt": "p"}


def test_ordinary_requests_pass_and_one_answer_is_one_answer():
    asked = {"model": "m", "messages": [], "temperature": 0.2, "stream": True, "n": 1, "best_of": 1}
    assert ALLOW.request(asked) == asked
    assert ALLOW.response(CHAT) == CHAT


def test_a_refusal_does_not_repeat_the_words_of_the_client():
    with pytest.raises(DataError) as refusal:
        ALLOW.request({"the patient is": "ill"})
    assert "patient" not in str(refusal.value)
