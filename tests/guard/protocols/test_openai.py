"""OpenAI's protocol: what may be asked, what it costs, what leaves; and OpenAI's own client in front of the guard."""

import asyncio
import contextlib
from base64 import b64decode

import numpy as np
import openai
import pytest
from tests.guard.guards import policy, running
from tests.guard.protocols.fake_openai import VECTOR, FakeOpenAI
from tests.guard.protocols.test_servers import served
from tests.guard.test_gateway import log

from unseen.controls import harden_from
from unseen.guard.answering import Answering, Controls
from unseen.guard.policy import Route
from unseen.guard.protocols.openai import OpenAI
from unseen.guard.question import Telling
from unseen.guard.refusal import Refused
from unseen.guard.shape import coarse_forms, vectors

CHAT, TEXT, VECTORS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"
SAID = [{"role": "user", "content": "one or two?"}]
CHATTED = {"model": "m", "messages": SAID}
ADAPTER_ROUTE = Route(protocol="openai", embeddings=True)
ADAPTER = OpenAI(ADAPTER_ROUTE)


def read(path, body, *allowed):
    return ADAPTER.read(path, body, frozenset(allowed))


def answering(*controls, strict=True):
    return Answering(Controls([harden_from(one) for one in controls]), [], strict=strict)


@pytest.mark.parametrize(
    ("path", "body", "records"),
    [
        (CHAT, {"messages": SAID}, 1),
        (CHAT, {"messages": SAID, "n": 1}, 1),
        (CHAT, {"messages": SAID, "n": 5}, 5),
        (TEXT, {"prompt": "a"}, 1),
        (TEXT, {"prompt": ["a", "b"]}, 2),
        (TEXT, {"prompt": [1, 2, 3]}, 1),
        (TEXT, {"prompt": [[1, 2], [3]]}, 2),
        (TEXT, {"prompt": ["a", [1, 2]]}, 2),
        (TEXT, {"prompt": ["a", "b"], "n": 2, "best_of": 3}, 6),
        (VECTORS, {"input": ["a", "b", "c"]}, 3),
        (VECTORS, {"input": [[1], [2]]}, 2),
    ],
)
def test_every_answer_to_every_prompt_is_a_record(path, body, records):
    assert read(path, body, "n", "best_of").records == records


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {}),
        (CHAT, {"messages": []}),
        (CHAT, {"messages": "a"}),
        (CHAT, {"messages": ["a"]}),
        (CHAT, {"messages": SAID, "prompt": ["a", "b"]}),
        (CHAT, {"messages": SAID, "stream": "yes"}),
        (CHAT, {"messages": SAID, "n": 2}),
        (CHAT, {"messages": SAID, "n": True}),
        (CHAT, {"messages": SAID, "logprobs": True}),
        (CHAT, {"messages": SAID, "top_logprobs": 3}),
        (CHAT, {"messages": SAID, "logit_bias": {"7": 100}}),
        (CHAT, {"messages": SAID, "seed": 1}),
        (CHAT, {"messages": SAID, "whatever comes next": 1}),
        (TEXT, {"prompt": "a", "echo": True}),
        (TEXT, {"prompt": "a", "best_of": 2}),
        (TEXT, {"prompt": "a", "messages": SAID}),
        (TEXT, {"prompt": None}),
        (TEXT, {"prompt": []}),
        (TEXT, {"prompt": [[]]}),
        (TEXT, {"prompt": [["a", "b"], ["c"]]}),
        (TEXT, {"prompt": [[[1, 2], [3]]]}),
        (TEXT, {"prompt": [1, "a"]}),
        (TEXT, {"prompt": [{"a": 1}]}),
        (TEXT, {"prompt": [1.0, 2.0]}),
        (VECTORS, {"input": "a", "stream": True}),
        (VECTORS, {"input": {"a": 1}}),
    ],
)
def test_what_is_not_allowed_or_not_understood_is_refused(path, body):
    with pytest.raises(Refused) as refused:
        read(path, body)
    assert refused.value.status == 400
    assert "whatever" not in refused.value.sentence


@pytest.mark.parametrize("count", [0, -1, 129, 2.0, "2", True, None, [2]])
def test_a_count_of_answers_is_a_whole_number(count):
    with pytest.raises(Refused):
        read(TEXT, {"prompt": "a", "n": count}, "n")


def test_an_answer_with_more_choices_than_were_charged_is_withheld():
    question = read(CHAT, {"messages": SAID})
    choice = {"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": "stop"}
    assert len(ADAPTER.harden(question, {"choices": [choice]}, answering())["choices"]) == 1
    for content in (
        {"choices": [choice, choice]},
        {"choices": [7]},
        {"choices": [{"message": 7}]},
        {"choices": {}},
        {"error": "words"},
        {},
        [],
        7,
    ):
        with pytest.raises(Refused) as refused:
            ADAPTER.harden(question, content, answering())
        assert refused.value.status == 502


def fractions(value):
    if isinstance(value, dict):
        return [found for inner in value.values() for found in fractions(inner)]
    if isinstance(value, list):
        return [found for inner in value for found in fractions(inner)]
    return [value] if isinstance(value, float) else []


@pytest.mark.parametrize(
    "controls",
    [(), ({"name": "no-logprobs"},), ({"name": "no-logprobs", "strict": False},), ({"name": "cap-logprobs"},)],
)
def test_fractions_at_any_depth_are_dropped_and_counted(controls):
    question = read(CHAT, {"messages": SAID})
    deep = {"a": [{"b": {"c": 0.5, "d": 1, "e": [[0.25]]}}]}
    message = {"role": "assistant", "content": "a", "annotations": deep, "p": 0.5, "percent": 97}
    content = {
        "choices": [{"index": 0, "message": message, "score": 0.5}],
        "usage": {"x": 0.5, "total_tokens": 1},
        "t": 0.5,
    }
    seen = answering(*controls)
    hardened = ADAPTER.harden(question, content, seen)
    assert fractions(hardened) == []
    assert hardened["usage"] == {"total_tokens": 1}
    assert hardened["choices"][0]["message"] == {
        "role": "assistant",
        "content": "a",
        "annotations": {"a": [{"b": {"d": 1}}]},
    }
    assert seen.dropped == 7  # c, e, p, percent, score, x, t


def test_an_answer_whose_numbers_break_a_control_is_withheld():
    class Broken:
        name = "cap-logprobs"

        def response(self, answer):
            raise OverflowError

    seen = answering()
    seen.texts = [Broken()]
    with pytest.raises(Refused) as refused:
        ADAPTER.harden(read(CHAT, {"messages": SAID}), {"choices": []}, seen)
    assert refused.value.status == 502


@pytest.mark.parametrize("shape", [7, "x", [7], {"token_logprobs": 7}, {"content": 7}, {"token_logprobs": [["a"]]}])
def test_log_probabilities_of_no_known_shape_do_not_pass(shape):
    question = read(CHAT, {"messages": SAID})
    content = {"choices": [{"index": 0, "message": {}, "logprobs": shape}]}
    with contextlib.suppress(Refused):
        assert fractions(ADAPTER.harden(question, content, answering({"name": "cap-logprobs"}))) == []


def test_embeddings_are_asked_for_in_a_form_that_can_be_hardened():
    question = read(VECTORS, {"input": "a", "encoding_format": "base64"})
    assert question.body["encoding_format"] == "float"
    content = {"data": [{"embedding": VECTOR, "norm": 0.5}], "usage": {"prompt_tokens": 1, "x": 0.5}, "model": "m"}
    hardened = ADAPTER.harden(question, content, answering({"name": "value-rounding", "step": 0.1}))
    assert isinstance(hardened["data"][0]["embedding"], str)
    assert hardened["usage"] == {"prompt_tokens": 1}
    for wrong in ({}, {"data": 7}, {"data": []}, {"data": [7]}, {"data": [{"embedding": "AAAA"}]}):
        with pytest.raises(Refused):
            ADAPTER.harden(question, wrong, answering())


def embedded(*entries, **more):
    """What leaves of an answer with these embeddings, to as many inputs."""
    question = read(VECTORS, {"input": ["a"] * len(entries), **more})
    return ADAPTER.harden(question, {"data": list(entries)}, answering())["data"]


def test_a_vector_goes_to_the_input_that_its_index_names():
    first, second = {"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [2.0]}
    expected = [{"object": "embedding", **first}, {"object": "embedding", **second}]
    assert embedded(first, second) == embedded(second, first) == expected
    for none in ({}, {"index": None}):
        assert embedded({**none, "embedding": [1.0]}, {**none, "embedding": [2.0]}) == expected


@pytest.mark.parametrize(
    "places", [(0, 0), (1, 2), (-1, 0), (True, 0), (0.0, 1), ("0", "1"), (None, 1, 1), ([0], [1]), (10**30, 0)]
)
def test_an_answer_whose_indices_are_not_one_for_each_input_is_withheld(places):
    with pytest.raises(Refused) as refused:
        embedded(*({"index": place, "embedding": [1.0]} for place in places))
    assert refused.value.status == 502
    with pytest.raises(Refused):
        embedded({"index": 1, "embedding": [1.0]}, {"embedding": [2.0]})


def test_a_vector_that_no_float32_holds_is_withheld_where_it_is_packed():
    for beyond in (1e39, -1e300):
        with pytest.raises(Refused) as refused:
            embedded({"embedding": [0.0, beyond]}, encoding_format="base64")
        assert refused.value.status == 502
    (most,) = embedded({"embedding": [0.0, 3e38]}, encoding_format="base64")
    assert np.frombuffer(b64decode(most["embedding"]), "<f4").tolist() == [0.0, float(np.float32(3e38))]


def test_of_usage_nothing_leaves_that_tells_of_a_shared_cache():
    counts = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    usage = {**counts, "prompt_tokens_details": {"cached_tokens": 8}, "cached_tokens": 8, "prompt_cache_hit_tokens": 8}
    for path, body, content in (
        (CHAT, {"messages": SAID}, {"choices": []}),
        (VECTORS, {"input": "a"}, {"data": [{"embedding": [1.0]}]}),
    ):
        seen = answering()
        assert ADAPTER.harden(read(path, body), {**content, "usage": usage}, seen)["usage"] == counts
        assert seen.dropped == 3
        assert ADAPTER.harden(read(path, body), {**content, "usage": None}, seen)["usage"] is None
        with pytest.raises(Refused):
            ADAPTER.harden(read(path, body), {**content, "usage": 7}, seen)


WAYS = [
    [{"role": "user", "content": "One or two?"}],
    [{"role": "user", "content": " ONE  or Two?"}],
    [{"role": "user", "content": "One or two?", "name": "a"}],
    [{"role": "developer", "content": "One or two?", "whatever": 0.5}],
    [{"role": "user", "content": [{"type": "text", "text": "one or two?", "cache_control": {"type": "x"}}]}],
    [{"role": "user", "content": "one or"}, {"role": "user", "content": "two?"}],
    [{"role": "user", "content": "one or two?"}, {"role": "assistant", "content": None}],
]
PICTURE = {"type": "image_url", "image_url": {"url": "data:a", "detail": "low"}}


@pytest.mark.parametrize("messages", WAYS)
def test_a_conversation_is_what_is_said_in_it_however_it_is_written(messages):
    question = read(CHAT, {"messages": messages})
    assert question.body["messages"] == messages
    assert coarse_forms(question.rows, ADAPTER_ROUTE) == [b'"one or two?"']
    assert vectors(question.rows, ADAPTER_ROUTE) is None


def test_other_words_pictures_and_sounds_are_another_conversation():
    parts = [
        [],
        [PICTURE],
        [{**PICTURE, "image_url": {"url": "data:b"}}],
        [{"type": "input_audio", "input_audio": {"data": "c", "format": "wav"}}],
        [{"type": "file", "file": {"file_id": "d"}}],
        [{"type": "text", "text": "please"}],
    ]
    said = [[{"role": "user", "content": [{"type": "text", "text": "what?"}, *more]}] for more in parts]
    assert len({read(CHAT, {"messages": one}).rows[0] for one in said}) == len(parts)
    again = [{"role": "user", "content": [{"type": "text", "text": "what?"}, {**PICTURE, "text": "x"}]}]
    assert read(CHAT, {"messages": again}).rows == read(CHAT, {"messages": said[1]}).rows


def test_tokens_have_a_form_and_no_place():
    question = read(TEXT, {"prompt": [[1, 2, 3], [4]]})
    assert vectors(question.rows, ADAPTER_ROUTE) is None
    assert len(set(coarse_forms(question.rows, ADAPTER_ROUTE))) == 2


def test_a_conversation_that_is_written_in_other_ways_stays_one_neighbourhood(tmp_path):
    async def talk(client, fake):
        found = []
        for messages in WAYS:
            try:
                await client.chat.completions.create(model="m", messages=messages)
                found.append(200)
            except openai.RateLimitError:
                found.append(429)
        return found

    found, _ = with_client(tmp_path, talk, budget={"per_neighbourhood": 2})
    assert found == [200, 200, 429, 429, 429, 429, 429]


def test_dimensions_are_asked_for_where_the_tier_names_them():
    """Each cut is made one long again, so its coordinates are rounded elsewhere: many cuts undo a rounding."""
    with pytest.raises(Refused, match="dimensions"):
        read(VECTORS, {"input": "a", "dimensions": 2})
    question = read(VECTORS, {"input": "a", "dimensions": 2}, "dimensions")
    assert (question.body["dimensions"], question.seeking) == (2, ())
    with pytest.raises(Refused):
        read(CHAT, {"messages": SAID, "dimensions": 2})


def test_a_route_that_opens_some_models_lists_those_alone(tmp_path):
    some = OpenAI(Route(protocol="openai", models=("m",)))
    assert some.match("GET", "/v1/models") == Telling("/v1/models", frozenset({"object", "data"}), ("m",))
    for other in ("/v1/models/m", "/v1/models/other"):
        assert some.match("GET", other) is None

    async def talk(client, fake):
        fake.listed = [{"id": "m"}, {"id": "other"}, {"id": ["m"]}, {}, "m", 7]
        named = await client.get("/models", cast_to=object)
        fake.listed = {"m": {"id": "m"}}
        odd = await client.get("/models", cast_to=object)
        with pytest.raises(openai.NotFoundError):
            await client.models.retrieve("other")
        return named, odd

    (named, odd), _ = with_client(tmp_path, talk, route={"models": ["m"]})
    assert named == {"object": "list", "data": [{"id": "m"}]}
    assert odd == {"object": "list", "data": []}
    (every, _), _ = with_client(tmp_path / "open", talk)
    assert every["data"] == [{"id": "m"}, {"id": "other"}]


def test_of_a_model_nothing_is_told_but_what_everybody_s_server_tells_and_that_in_its_kind_alone(tmp_path):
    async def talk(client, fake):
        plain = {"id": "m", "object": "model", "created": 7, "owned_by": "us"}
        fake.listed = [
            {**plain, "avg_logprob": -0.1234, "root": "/data", "permission": [{"created": 7}]},
            {"id": "odd", "object": 0.5, "created": 0.5, "owned_by": {"p": 0.5}},
            {"id": 0.5, "created": True},
        ]
        return await client.get("/models", cast_to=object), plain

    (told, plain), _ = with_client(tmp_path, talk)
    assert told == {"object": "list", "data": [plain, {"id": "odd"}]}


def test_a_route_may_open_some_models_alone():
    some = OpenAI(Route(protocol="openai", models=("m", "n")))
    assert some.read(CHAT, {"model": "n", "messages": SAID}, frozenset()).body["model"] == "n"
    for model in ({}, {"model": "other"}, {"model": None}, {"model": ["m"]}, {"model": "M"}):
        with pytest.raises(Refused) as refused:
            some.read(CHAT, {**model, "messages": SAID}, frozenset())
        assert (refused.value.status, refused.value.reason) == (400, "model")


# OpenAI's own client


def with_client(folder, talk, *, parameters=(), controls=({"name": "no-logprobs"},), budget=None, route=None):
    """Run `talk(client, fake)` with OpenAI's client in front of a guard in front of a server that says too much."""

    async def run():
        fake = FakeOpenAI()
        async with served(fake.app) as url:
            tier = {
                "budget": {"lifetime": 50, **(budget or {})},
                "controls": controls,
                "parameters": parameters,
                "rate": "999 per second",
            }
            routes = [{"protocol": "openai", "embeddings": True, **(route or {})}]
            read = policy(folder, upstream={"url": url}, routes=routes, tiers={"basic": tier})
            async with running(read) as guard:
                async with openai.AsyncOpenAI(base_url=guard.url + "/v1", api_key=guard.key, max_retries=0) as client:
                    found = await talk(client, fake)
                await guard.gateway.state.leases.close()
                used = sum(guard.gateway.state.store.used("key:").values())
        return found, used

    return asyncio.run(run())


def test_chat(tmp_path):
    async def talk(client, fake):
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        return await client.chat.completions.create(model="m", messages=SAID, tools=tools)

    answer, used = with_client(tmp_path, talk)
    assert answer.choices[0].message.content == "ja"
    assert answer.choices[0].message.tool_calls[0].function.arguments == '{"x": 0.5}'
    assert answer.usage.total_tokens == 4
    assert (answer.system_fingerprint, answer.choices[0].logprobs) == (None, None)
    assert fractions(answer.model_dump()) == []
    assert used == 1


def test_chat_with_capped_log_probabilities(tmp_path):
    async def talk(client, fake):
        return await client.chat.completions.create(model="m", messages=SAID, logprobs=True, top_logprobs=2)

    cap = {"name": "cap-logprobs", "alternatives": 1, "decimals": 1, "floor": -1.0}
    answer, _ = with_client(tmp_path, talk, parameters=("logprobs", "top_logprobs"), controls=(cap,))
    (token,) = answer.choices[0].logprobs.content
    assert (token.token, token.logprob) == ("ja", -0.2)
    assert [(one.token, one.logprob) for one in token.top_logprobs] == [("ja", -0.2)]


def test_completions_and_models(tmp_path):
    async def talk(client, fake):
        models = await client.models.list()
        two = await client.completions.create(model="m", prompt=["a", "b"])
        tokens = await client.completions.create(model="m", prompt=[1, 2, 3])
        return models, two, tokens

    (models, two, tokens), used = with_client(tmp_path, talk)
    assert [model.id for model in models.data] == ["m"]
    assert [choice.logprobs for choice in two.choices] == [None, None]
    assert len(tokens.choices) == 1
    assert used == 3


def test_embeddings_in_both_encodings(tmp_path):
    async def talk(client, fake):
        plain = await client.embeddings.create(model="m", input=["a", "b"], encoding_format="float")
        packed = await client.embeddings.create(model="m", input="a")  # the client asks for base64, and unpacks it
        return plain, packed, [asked["encoding_format"] for asked in fake.asked]

    (plain, packed, asked), used = with_client(
        tmp_path, talk, controls=({"name": "value-rounding", "step": 0.1}, {"name": "no-logprobs"})
    )
    assert asked == ["float", "float"]
    assert [one.embedding for one in plain.data] == [[0.1, -0.5, 0.0]] * 2
    assert packed.data[0].embedding == pytest.approx([0.1, -0.5, 0.0])
    assert used == 3


def test_embeddings_are_asked_for_where_only_usual_parameters_are_allowed(tmp_path):
    async def talk(client, fake):
        packed = await client.embeddings.create(model="m", input="a")
        with pytest.raises(openai.BadRequestError):
            await client.chat.completions.create(model="m", messages=SAID, extra_body={"encoding_format": "float"})
        return packed

    controls = ({"name": "value-rounding", "step": 0.1}, {"name": "allowed-parameters"}, {"name": "no-logprobs"})
    packed, used = with_client(tmp_path, talk, controls=controls)
    assert packed.data[0].embedding == pytest.approx([0.1, -0.5, 0.0])
    assert used == 1


def stripped(*allow):
    return ({"name": "allowed-parameters", "allow": list(allow), "otherwise": "strip"}, {"name": "no-logprobs"})


def test_what_a_tier_strips_is_neither_streamed_nor_charged(tmp_path):
    async def talk(client, fake):
        whole = await client.post("/chat/completions", cast_to=object, body={**CHATTED, "stream": True, "n": 50})
        packed = await client.embeddings.create(model="m", input="a")
        return whole, packed, fake.asked

    controls = (*stripped("model", "messages", "input"), {"name": "value-rounding", "step": 0.1})
    (whole, packed, asked), used = with_client(tmp_path, talk, parameters=("n",), controls=controls)
    assert [choice["message"]["content"] for choice in whole["choices"]] == ["ja"]
    assert packed.data[0].embedding == pytest.approx([0.1, -0.5, 0.0])
    assert asked == [CHATTED, {"model": "m", "input": "a"}]
    assert used == 2


def test_what_a_tier_strips_stands_in_the_log_as_it_was_asked(tmp_path):
    async def talk(client, fake):
        await client.chat.completions.create(model="m", messages=SAID, logprobs=True, n=2)
        return fake.asked

    asked, used = with_client(tmp_path, talk, parameters=("logprobs", "n"), controls=stripped("model", "messages"))
    assert (asked, used) == ([CHATTED], 1)
    (entry,) = log(tmp_path)
    assert (entry.records, entry.parameters) == (1, ("logprobs", "n"))


def test_a_stream_is_hardened_event_by_event(tmp_path):
    async def talk(client, fake):
        options = {"include_usage": True}
        stream = await client.chat.completions.create(model="m", messages=SAID, stream=True, stream_options=options)
        return [event async for event in stream]

    events, used = with_client(tmp_path, talk)
    assert "".join(event.choices[0].delta.content for event in events[:-1]) == "een twee drie"
    assert events[-1].usage.total_tokens == 4
    assert fractions([event.model_dump() for event in events]) == []
    assert all(event.system_fingerprint is None for event in events)
    assert used == 1


@pytest.mark.parametrize("how", ["broken", "error"])
def test_a_stream_that_ends_badly_ends_with_an_error_that_the_client_raises(tmp_path, how):
    async def talk(client, fake):
        setattr(fake, how, True)
        stream = await client.chat.completions.create(model="m", messages=SAID, stream=True)
        with pytest.raises(openai.APIError) as raised:
            async for _ in stream:
                pass
        return str(raised.value)

    said, used = with_client(tmp_path, talk)
    assert "words of the server" not in said
    assert said.endswith(("try again.", "withheld."))
    assert used == 1  # something has left


@pytest.mark.parametrize("wanted", [{"logprobs": True}, {"logit_bias": {"7": 1}}, {"seed": 1}, {"n": 2}])
def test_the_client_is_told_what_it_may_not_ask(tmp_path, wanted):
    async def talk(client, fake):
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model="m", messages=SAID, **wanted)
        return raised.value.code, fake.asked

    (code, asked), used = with_client(tmp_path, talk)
    assert code == "parameter"
    assert asked == []
    assert used == 0


def test_parts_of_a_kind_that_is_not_known_are_different_records_where_they_differ():
    def form(content):
        route = Route(protocol="openai")
        asked = {"model": "m", "messages": [{"role": "user", "content": content}]}
        return coarse_forms(OpenAI(route).read("/v1/chat/completions", asked, frozenset()).rows, route)

    said = [
        [{"type": "video_url", "video_url": {"url": "a"}}],
        [{"type": "video_url", "video_url": {"url": "b"}}],
        [{"type": "text", "text": {"value": "a"}}],
        [{"type": "file", "file": {"file_id": "x", "file_data": "a"}}],
        [{"type": "file", "file": {"file_id": "y", "file_data": "a"}}],
        {"a": 1},
        "a",
    ]
    assert len({form(content)[0] for content in said}) == len(said)
