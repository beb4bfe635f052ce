"""Open Inference Protocol V2: shapes that lie, tensors in disguise, and what a policy does not speak of."""

import json

import pytest
from tests.guard.guards import FakeModel, asked
from tests.guard.test_gateway import conversation

from unseen.controls import harden_from
from unseen.errors import PolicyError
from unseen.guard.answering import Answering, Controls
from unseen.guard.policy import Route
from unseen.guard.protocols.open_inference import OpenInference
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused
from unseen.guard.upstream import Answer

PATH = "/v2/models/m/infer"
PLAIN = OpenInference(Route(protocol="open-inference-v2"))


def tensor(shape, data, datatype="FP32", name="x", **more):
    return {"name": name, "shape": shape, "datatype": datatype, "data": data, **more}


def read(*inputs, **more):
    return PLAIN.read(PATH, {"inputs": list(inputs), **more}, frozenset())


def answering(*controls, strict=True):
    return Answering(Controls([harden_from(one) for one in controls]), [], strict=strict)


ROUNDING = {"name": "rounding", "decimals": 1}


def hardened(*outputs, records=2, route=None, controls=(ROUNDING,), strict=True):
    """What leaves of an answer, by name, and how much was dropped."""
    adapter = OpenInference(Route(protocol="open-inference-v2", **(route or {})))
    seen = answering(*controls, strict=strict)
    content = {"model_name": "m", "model_version": "3", "id": "7", "parameters": {"x": 0.5}, "outputs": list(outputs)}
    left = adapter.harden(Question(PATH, records, [], {}), content, seen)
    assert left.keys() == {"model_name", "id", "outputs"}
    return {one["name"]: one for one in left["outputs"]}, seen.dropped


@pytest.mark.parametrize(
    ("inputs", "records", "rows"),
    [
        ([tensor([2, 3], [1, 2, 3, 4, 5, 6])], 2, [[1, 2, 3], [4, 5, 6]]),
        ([tensor([2, 3], [[1, 2, 3], [4, 5, 6]])], 2, [[1, 2, 3], [4, 5, 6]]),
        ([tensor([2], [1, 2])], 2, [[1], [2]]),
        ([tensor([1, 4], [[[1, 2], [3, 4]]])], 1, [[1, 2, 3, 4]]),
        ([tensor([2, 1], ["a", "b"], "BYTES"), tensor([2], [1, 2], "INT64", "y")], 2, [["a", 1], ["b", 2]]),
        ([tensor([1, 4], [[1, 2], [3, 4]])], 1, [[1, 2, 3, 4]]),
    ],
)
def test_the_shape_says_how_many_records_there_are_and_what_is_sent_on_is_flat(inputs, records, rows):
    question = read(*inputs)
    assert (question.records, question.rows) == (records, rows)
    assert all(not any(isinstance(value, list) for value in one["data"]) for one in question.body["inputs"])


@pytest.mark.parametrize(
    "wrong",
    [
        tensor([1, 3], [1, 2, 3, 4, 5, 6]),
        tensor([3], [1, 2]),
        tensor([0, 3], []),
        tensor([], [1]),
        tensor([-1, 3], [1, 2, 3]),
        tensor([True, 3], [1, 2, 3]),
        tensor([1.0, 3], [1, 2, 3]),
        tensor(["1", 3], [1, 2, 3]),
        tensor(2, [1, 2]),
        tensor([2**63] * 1000, [1]),
        tensor([1] * 9, [1]),
        tensor([2], [1, None]),
        tensor([2], [1, {"a": 1}]),
        tensor([3], [[1, 2], 3]),
        tensor([2], [1, [2]]),
        tensor([2], "ab"),
        tensor([2], [1, 2], "FP8"),
        tensor([2], [1, 2], ["FP32"]),
        tensor([2], [1, 2], None),
        tensor([2], [1, 2], name=None),
        tensor([2], [1, 2], name="x" * 300),
        tensor([2], [1, 2], parameters=7),
        tensor([2], [1, 2], parameters={"content_type": "hf"}),
        tensor([2], [1, 2], parameters={"content_type": ["np"]}),
        tensor([2], [1, 2], more=1),
        {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
        7,
        None,
    ],
)
def test_a_tensor_that_is_none_is_refused(wrong):
    with pytest.raises(Refused) as refused:
        read(wrong)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"inputs": []},
        {"inputs": {}},
        {"inputs": [tensor([2], [1, 2]), tensor([1], [1], name="y")]},
        {"inputs": [tensor([2], [1, 2]), tensor([2], [1, 2])]},
        {"inputs": [tensor([1], [1])], "more": 1},
        {"inputs": [tensor([1], [1])], "id": 7},
        {"inputs": [tensor([1], [1])], "id": "x" * 300},
        {"inputs": [tensor([1], [1])], "outputs": "p"},
        {"inputs": [tensor([1], [1])], "outputs": ["p"]},
        {"inputs": [tensor([1], [1])], "outputs": [{"name": "p"}, {"name": "p"}]},
        {"inputs": [tensor([1], [1])], "parameters": []},
        [],
    ],
)
def test_a_request_that_is_none_is_refused(content):
    with pytest.raises(Refused) as refused:
        PLAIN.read(PATH, content, frozenset())
    assert refused.value.status == 400


def test_of_parameters_the_content_type_alone_is_sent_on():
    loud = {"content_type": "np", "binary_data": True, "raw": 1}
    output = {"name": "p", "parameters": {"classification": 3}}
    question = read(tensor([1], [1], parameters=loud), parameters=loud, outputs=[output], id="7")
    kept = {**tensor([1], [1]), "parameters": {"content_type": "np"}}
    assert question.body == {
        "inputs": [kept],
        "parameters": {"content_type": "np"},
        "outputs": [{"name": "p"}],
        "id": "7",
    }
    assert question.dropped == ("binary_data", "raw")
    assert read(tensor([1], [1], parameters={"x": 1})).body["inputs"][0]["parameters"] == {}
    empty = read({**tensor([1], [1]), "parameters": None}, id=None, outputs=None, parameters=None)
    assert empty.body == {"inputs": [tensor([1], [1])]}


@pytest.mark.parametrize(
    ("shape", "data", "left"),
    [
        ([2, 2], [0.26, 0.74, 0.51, 0.49], [0.3, 0.7, 0.5, 0.5]),
        ([2, 2], [[0.26, 0.74], [0.51, 0.49]], [0.3, 0.7, 0.5, 0.5]),
        ([2, 1], [0.26, 0.74], [0.3, 0.7]),
        ([2], [0.26, 0.74], [0.3, 0.7]),
    ],
)
@pytest.mark.parametrize("datatype", ["FP16", "BF16", "FP32", "FP64"])
def test_probabilities_are_hardened_in_every_shape(shape, data, left, datatype):
    found, dropped = hardened(tensor(shape, data, datatype, "p"))
    assert found["p"]["data"] == pytest.approx(left)
    assert (found["p"]["shape"], found["p"]["datatype"], dropped) == (shape, datatype, 0)


@pytest.mark.parametrize("shape", [[2], [2, 1]])
@pytest.mark.parametrize("records", [1, 2, 20])
def test_a_label_stands_for_one_column_as_for_two_and_in_any_number(shape, records):
    shape = [records, *shape[1:]]
    found, _ = hardened(
        tensor(shape, [0.26] * records, "FP32", "p"), records=records, controls=({"name": "label-only"},)
    )
    assert found["p"]["data"] == [0.0] * records


@pytest.mark.parametrize(
    "wrong",
    [
        tensor([3, 2], [0.5] * 6),
        tensor([1, 4], [0.25] * 4),
        tensor([2, 2, 1], [0.5] * 4),
        tensor([2, 2], [0.5] * 3),
        tensor([2, 2], [0.5, 0.5, None, 0.5]),
        tensor([2, 2], [0.9] * 4),
        tensor([2, 2], ["a"] * 4),
        tensor([2, 2], [10**400] * 4),
        tensor([2, 2], [1e308] * 4),
        tensor([2], [0.5, [0.5]]),
        tensor([2, 2], {"a": 1}),
        tensor("2", [0.5]),
        tensor([2], [0.5, 0.25], "INT64"),
        tensor([2], ["a", 0.5], "BYTES"),
        {"name": "x"},
        {"shape": [2]},
        {"name": 7},
        7,
    ],
)
@pytest.mark.parametrize("controls", [(ROUNDING,), ({"name": "label-only"},)])
def test_an_output_that_the_policy_does_not_know_is_withheld(wrong, controls):
    with pytest.raises(Refused) as refused:
        hardened(wrong, controls=controls)
    assert refused.value.status == 502


def test_whole_numbers_and_texts_are_labels_where_the_policy_says_so():
    outputs = [
        tensor([2], [0, 2], "INT64", "class"),
        tensor([2, 1], ["a", "b"], "BYTES", "name"),
        tensor([2], [True, False], "BOOL", "sure"),
        tensor([2, 2], [0.26, 0.74, 0.5, 0.5], "FP32", "p"),
    ]
    said = {"p": "probabilities"} | dict.fromkeys(("class", "name", "sure"), "labels")
    found, dropped = hardened(*outputs, route={"outputs": said})
    assert [found[name]["data"] for name in ("class", "name", "sure")] == [[0, 2], ["a", "b"], [True, False]]
    assert dropped == 0
    found, dropped = hardened(*outputs)
    assert (found.keys(), dropped) == ({"p"}, 3)
    found, dropped = hardened(*outputs, route={"outputs": {"p": "probabilities"}})
    assert (found.keys(), dropped) == ({"p"}, 3)


@pytest.mark.parametrize(
    "hidden",
    [
        tensor([2], ["0.712345:cat", "0.5:dog"], "BYTES", "h"),
        tensor([2], ["a", "b"], "BYTES", "h"),
        tensor([2], [712345, 500000], "INT64", "h"),
    ],
)
def test_a_probability_does_not_leave_as_a_label(hidden):
    p = tensor([2, 2], [0.26, 0.74, 0.51, 0.49], "FP32", "p")
    found, dropped = hardened(p, hidden)
    assert (found.keys(), dropped) == ({"p"}, 1)
    with pytest.raises(Refused):
        hardened(hidden)  # a client may ask for this output alone


@pytest.mark.parametrize("text", ["0.712345:cat", "cat .7", "71%", "71 % cat", "7e-1", "cat 0,7"])
def test_a_label_with_a_fraction_in_it_is_one_where_the_policy_names_it(text):
    output = tensor([2], ["cat", text], "BYTES", "k")
    with pytest.raises(Refused):
        hardened(output, route={"answers": "labels"})
    assert hardened(output, route={"outputs": {"k": "labels"}})[0]["k"] == output


@pytest.mark.parametrize("route", [{"answers": "labels"}, {"outputs": {"k": "labels"}}])
@pytest.mark.parametrize(("datatype", "wrong"), [("INT64", 3), ("INT64", -1), ("INT64", 712345), ("BYTES", "712345")])
def test_a_label_is_one_of_the_classes(route, datatype, wrong):
    right = type(wrong)(2)
    output = tensor([2], [right, right], datatype, "k")
    assert hardened(output, route={**route, "classes": 3})[0]["k"] == output
    with pytest.raises(Refused):
        hardened(tensor([2], [right, wrong], datatype, "k"), route={**route, "classes": 3})


@pytest.mark.parametrize("shape", [[2, 2], [2, 2, 1], [1, 4], [1, 2]])
@pytest.mark.parametrize("route", [{"answers": "labels"}, {"outputs": {"top": "labels"}}])
def test_a_record_has_one_label(shape, route):
    flat = ["a", "b", "c", "d"][: shape[0] * shape[1]]
    with pytest.raises(Refused):
        hardened(tensor(shape, flat, "BYTES", "top"), route=route)
    one = tensor([2, 1, 1], ["a", "b"], "BYTES", "top")
    assert hardened(one, route=route)[0]["top"] == one


def test_two_outputs_that_may_be_the_label_are_none():
    first, second = tensor([2], [0, 1], "INT64", "a"), tensor([2], ["x", "y"], "BYTES", "b")
    with pytest.raises(Refused):
        hardened(first, second, route={"answers": "labels"})
    found, dropped = hardened(first, tensor([2], [0.5, 0.25], "FP32", "p"), route={"answers": "labels"})
    assert (found.keys(), dropped) == ({"a"}, 1)


def test_values_have_the_width_that_the_route_says():
    controls = ({"name": "value-rounding", "step": 1.0},)
    for shape in ([1, 500], [1, 2]):
        with pytest.raises(Refused):
            hardened(
                tensor(shape, [0.5] * shape[1], name="y"), records=1, route={"answers": "values"}, controls=controls
            )
    wide = {"answers": "values", "width": 3}
    found, _ = hardened(tensor([2, 3], [1.2] * 6, name="y"), route=wide, controls=controls)
    assert found["y"]["data"] == [1.0] * 6
    for shape in ([2], [2, 2], [2, 1]):
        with pytest.raises(Refused):
            hardened(tensor(shape, [1.2] * (2 * shape[-1] if len(shape) > 1 else 2)), route=wide, controls=controls)


def test_rows_of_whole_numbers_are_probabilities_in_disguise():
    found, _ = hardened(tensor([2, 2], [0, 1, 1, 0], "INT64", "p"))
    assert (found["p"]["data"], found["p"]["datatype"]) == ([0.0, 1.0, 1.0, 0.0], "FP64")
    with pytest.raises(Refused):
        hardened(tensor([2, 2], [26, 74, 51, 49], "UINT8", "percent"))
    scores = tensor([2, 3], ["0.9:a", "0.1:b", "0.0:c"] * 2, "BYTES", "top")
    with pytest.raises(Refused):
        hardened(scores, tensor([2], [0, 1], "INT64", "class"))


def test_whole_values_are_hardened_as_values():
    route, controls = {"answers": "values"}, ({"name": "value-rounding", "step": 10.0},)
    found, _ = hardened(tensor([2], [12, 27], "INT64", "y"), route=route, controls=controls)
    assert (found["y"]["data"], found["y"]["datatype"]) == ([10.0, 30.0], "FP64")
    two = (tensor([2], [1.5, 2.5], "FP32", "y"), tensor([2], [12, 27], "INT64", "n"))
    found, dropped = hardened(*two, route=route, controls=controls)
    assert (found.keys(), dropped) == ({"y"}, 1)


def test_fractions_that_nobody_declared_are_dropped_and_counted():
    first = tensor([2, 2], [0.26, 0.74, 0.51, 0.49], "FP32", "a")
    second, third = {**first, "name": "b"}, {**first, "name": "c", "datatype": "fp32"}
    found, dropped = hardened(first, second, third, route={"outputs": {"a": "probabilities"}})
    assert (found.keys(), dropped) == ({"a"}, 2)
    for outputs in ((first, second), (third,)):  # neither is what the route answers: nothing is left
        with pytest.raises(Refused):
            hardened(*outputs)
    found, dropped = hardened(first, second, third, route={"outputs": {"a": "probabilities"}}, strict=False)
    assert (found["b"]["data"], found["c"]["data"], dropped) == (first["data"], first["data"], 0)
    found, _ = hardened(first, {"name": "bare"}, route={"outputs": {"a": "probabilities"}}, strict=False)
    assert found["bare"] == {"name": "bare"}


def test_several_outputs_are_each_what_the_policy_says():
    outputs = {"p": "probabilities", "y": "values", "k": "labels"}
    controls = (ROUNDING, {"name": "value-rounding", "step": 1.0})
    found, _ = hardened(
        tensor([2, 2], [0.26, 0.74, 0.51, 0.49], "FP32", "p"),
        tensor([2, 2], [1.2, 2.7, 3.4, 0.1], "FP32", "y"),
        tensor([2, 1], [1.0, 2.0], "FP32", "k"),
        route={"outputs": outputs, "width": 2},
        controls=controls,
    )
    assert [found[name]["data"] for name in "pyk"] == [
        pytest.approx([0.3, 0.7, 0.5, 0.5]),
        [1.0, 3.0, 3.0, 0.0],
        [1.0, 2.0],
    ]


@pytest.mark.parametrize("content", [None, [], {}, {"outputs": None}, {"outputs": []}, {"outputs": {}}, {"error": "x"}])
def test_an_answer_without_outputs_is_withheld(content):
    with pytest.raises(Refused) as refused:
        PLAIN.harden(Question(PATH, 1, [], {}), content, answering())
    assert refused.value.status == 502


@pytest.mark.parametrize(
    ("path", "known"),
    [
        ("/v2/models/m/infer", True),
        ("/v2/models/m/versions/3/infer", True),
        ("/v2/models/m/infer\n", False),
        ("/v2/models/m/infer/", False),
        ("/v2/models/../infer", False),
        ("/v2/models/a/b/infer", False),
        ("/v2/models//infer", False),
        ("/v2/models/\u0663/infer", False),
        ("/v2/models/m/generate", False),
    ],
)
def test_a_path_is_known_to_its_last_character(path, known):
    assert (PLAIN.match("POST", path) == path) is known


@pytest.mark.parametrize("path", ["/v2/models/credit", "/v2/models/credit/versions/3"])
def test_a_route_may_open_one_model_alone(path):
    one = OpenInference(Route(protocol="open-inference-v2", path=path))
    assert one.match("POST", f"{path}/infer") == f"{path}/infer"
    assert isinstance(one.match("GET", path), Telling)
    assert isinstance(one.match("GET", f"{path}/ready"), Telling)
    assert isinstance(one.match("GET", "/v2/health/ready"), Telling)
    for other in ("/v2/models/other", "/v2/models/credit2", "/v2/models/credit/versions/4", f"{path}/versions/2"):
        assert one.match("POST", f"{other}/infer") is None
        assert one.match("GET", other) is None


@pytest.mark.parametrize(
    "path", ["/", "/v2/models", "/v2/models/a/b", "/v2/models/a/infer", "v2/models/a", "/v2/models/a\n"]
)
def test_a_path_that_is_no_model_is_refused(path):
    with pytest.raises(PolicyError, match="the one model"):
        OpenInference(Route(protocol="open-inference-v2", path=path))


def test_what_a_get_tells():
    for path in ("/v2", "/v2/health/live", "/v2/health/ready", "/v2/models/m", "/v2/models/m/versions/1/ready"):
        assert isinstance(PLAIN.match("GET", path), Telling)
    for path in ("/v2/repository/index", "/v2/models/m/stats", "/metrics", "/v2/models/m\n"):
        assert PLAIN.match("GET", path) is None


def test_of_a_model_s_metadata_no_number_is_told_but_shapes(tmp_path):
    tensor = {"name": "x", "shape": [-1, 4], "datatype": "FP32"}
    known = {"name": "m", "versions": ["1"], "platform": "sklearn", "inputs": [tensor], "outputs": [tensor]}
    more = {"parameters": {"train_auc": 0.98}, "score": 7}
    odd = {"name": 0.5, "versions": ["1", 0.5], "platform": ["a"], "inputs": [{"name": "x", "shape": [0.5]}, 7]}
    answers = {
        "/v2/models/m": ({**known, **more, "inputs": [{**tensor, **more}]}, known),
        "/v2/models/odd": ({**odd, "outputs": {"p": 0.5}}, {"inputs": [{"name": "x"}]}),
        "/v2/models/m/ready": ({"name": "m", "ready": True}, {"name": "m", "ready": True}),
        "/v2/models/odd/ready": ({"name": "m", "ready": 0.3}, {"name": "m"}),
        "/v2/health/live": ({"live": 1}, {}),
        "/v2/health/ready": ({"ready": False, "load": 0.5}, {"ready": False}),
        "/v2": ({"name": "s", "version": "1", "extensions": ["a", "b"]}, {"name": "s", "extensions": ["a", "b"]}),
        "/v2/models/list": ([0.5], {}),
    }

    class Telltale(FakeModel):
        async def ask(self, path, body):
            return Answer(200, json.dumps(answers[path][0]).encode())

    async def talk(gateway, key):
        return {path: json.loads((await asked(gateway, b"", key=key, path=path, method="GET"))[2]) for path in answers}

    for mode in ("enforce", "shadow"):
        changes = {"routes": [{"protocol": "open-inference-v2"}], "guard": {"mode": mode, "strict": False}}
        told = conversation(tmp_path, talk, Telltale(), **changes)
        assert told == {path: expected for path, (_, expected) in answers.items()}
