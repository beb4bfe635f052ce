"""One record is written in one way: what else a client may write is refused, or has the same coarse form and place."""

import json

import numpy as np
import pytest
from tests.guard.guards import FakeModel, asked, in_loop, opened, policy

from unseen.guard.fitting import fitted
from unseen.guard.policy import Route
from unseen.guard.protocols import adapter_of
from unseen.guard.refusal import Refused
from unseen.guard.shape import coarse_forms, vectors

NAMES = ("age", "wage")
MLFLOW = Route(protocol="mlflow", features=NAMES, scales=(1.0, 100.0))
V2 = Route(protocol="open-inference-v2", features=NAMES, scales=(1.0, 100.0))
V2_OPEN = Route(protocol="open-inference-v2")
V1 = Route(protocol="kserve-v1", features=NAMES)
JSON = Route(protocol="json", path="/p", records="/inputs", outputs={"/p": "values"}, fields=("/a/b",), features=NAMES)
PATHS = {"mlflow": "/invocations", "open-inference-v2": "/v2/models/m/infer", "kserve-v1": "/v1/models/m:predict"}


def read(route, content):
    return adapter_of(route).read(PATHS.get(route.protocol, "/p"), content, frozenset())


def refused(route, content):
    with pytest.raises(Refused) as found:
        read(route, content)
    return found.value.status


def tensor(name, data, datatype="FP32", shape=None):
    return {"name": name, "shape": shape or [len(data), 1], "datatype": datatype, "data": data}


def form_and_place(route, content):
    rows = read(route, content).rows
    return coarse_forms(rows, route), vectors(rows, route).tolist()


@pytest.mark.parametrize(
    "content",
    [
        {"instances": [[41, 1.23]]},
        {"instances": [[41.0, "1.230"]]},
        {"instances": [[" 41", "123e-2"]]},
        {"inputs": [{"wage": 1.23, "age": 41}]},
        {"inputs": {"wage": ["1.23"], "age": ["41.0"]}},
        {"dataframe_records": [{"age": 41, "wage": 1.23}]},
        {"dataframe_split": {"columns": ["wage", "age"], "data": [[1.23, 41]], "index": ["x"]}},
    ],
)
def test_every_way_to_write_one_record_has_one_form_and_one_place(content):
    assert form_and_place(MLFLOW, content) == form_and_place(MLFLOW, {"instances": [[41, 1.23]]})


@pytest.mark.parametrize(
    ("route", "content"),
    [
        (MLFLOW, {"inputs": [[1] * 13]}),
        (Route(protocol="mlflow", scales=(1.0, 2.0)), {"inputs": [[1] * 13]}),
        (Route(protocol="open-inference-v2", scales=(1.0, 2.0)), {"inputs": [tensor("x", [1] * 13, shape=[1, 13])]}),
    ],
)
def test_a_record_with_other_than_the_values_of_the_policy_is_told_both_counts(route, content):
    with pytest.raises(Refused) as found:
        read(route, content)
    assert found.value.sentence == "A record must have 2 values; this one has 13."


def test_scales_follow_the_features_of_the_policy():
    route = Route(protocol="mlflow", features=("wage", "age"), scales=(100.0, 1.0))
    assert vectors(read(route, {"inputs": [{"age": 41, "wage": 700}]}).rows, route).tolist() == [[7.0, 41.0]]


def test_inputs_may_come_in_any_order():
    one, other = tensor("age", [41]), tensor("wage", [700.0], "FP64")
    assert form_and_place(V2, {"inputs": [one, other]}) == form_and_place(V2, {"inputs": [other, one]})
    assert read(V2, {"inputs": [other, one]}).body["inputs"] == [other, one]
    text = tensor("wage", ["700.00"], "BYTES")
    assert form_and_place(V2, {"inputs": [text, one]}) == form_and_place(V2, {"inputs": [one, other]})


@pytest.mark.parametrize(
    "row",
    [
        {"age": 41},
        {"age": 41, "wage": 1, "more": 1},
        {"age": 41, "Wage": 1},
        {"age": 41, "wage": [1]},
        {"age": 41, "wage": {"a": 1}},
        [41],
        [41, 1, 2],
        [41, [1]],
        [[41, 1]],
        41,
        "41",
        None,
    ],
)
@pytest.mark.parametrize(("route", "field"), [(MLFLOW, "inputs"), (V1, "instances"), (JSON, "inputs")])
def test_what_is_not_a_record_of_the_policy_is_refused(row, route, field):
    assert refused(route, {field: [[41, 1], row]}) == 400
    assert refused(route, {field: [row]}) == 400


def test_inputs_that_the_policy_does_not_name_are_refused():
    named = [tensor(name, [1.0]) for name in NAMES]
    assert refused(V2, {"inputs": named[:1]}) == 400
    assert refused(V2, {"inputs": [*named, tensor("more", [1.0])]}) == 400
    assert refused(V2, {"inputs": [named[0], tensor("more", [1.0])]}) == 400
    assert refused(V2, {"inputs": [named[0], tensor("wage", [1.0, 2.0], shape=[1, 2])]}) == 400  # three numbers


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP32", ["1.23"]),
        ("FP64", [True]),
        ("INT64", ["1"]),
        ("INT64", [1.0]),
        ("INT32", [True]),
        ("BOOL", [1]),
        ("BOOL", ["true"]),
        ("BYTES", [1]),
        ("UINT8", [-1]),
        ("UINT8", [256]),  # another spelling of 0, to a server that lets it wrap around
        ("INT8", [-129]),
        ("INT64", [2**63]),
        ("INT64", []),
    ],
)
def test_a_tensor_holds_what_its_datatype_says(datatype, data):
    route = Route(protocol="open-inference-v2")
    assert refused(route, {"inputs": [tensor("x", data, datatype, [1])]}) == 400


@pytest.mark.parametrize(
    ("datatype", "data"),
    [("FP16", [1]), ("BF16", [0.5]), ("UINT8", [255]), ("INT8", [-128]), ("BOOL", [False]), ("BYTES", ["1.23"])],
)
def test_a_tensor_that_holds_it_passes(datatype, data):
    assert read(Route(protocol="open-inference-v2"), {"inputs": [tensor("x", data, datatype)]}).records == 1


@pytest.mark.parametrize(
    ("datatype", "near", "sent"),
    [
        ("FP16", [2010 - 0.45 + 0.1 * place for place in range(9)], 2010.0),
        ("FP16", [2049, 2049.0, 2048.5], 2048.0),  # halves to even
        ("FP16", [1e-9, 0, 2.0**-26], 0.0),
        ("FP16", [65504.0, 65519.9], 65504.0),
        ("BF16", [255.6, 256.9, 256, 256.0], 256.0),
        ("BF16", [257.0, 256.5], 256.0),  # halves to even
        ("BF16", [-1.001, -1.0], -1.0),
    ],
)
def test_a_short_float_is_rounded_as_the_model_will_and_is_one_record(datatype, near, sent):
    for values in (near, *([value] for value in near)):
        flat = [copy for value in values for copy in (value, 41.0)]
        question = read(V2_OPEN, {"inputs": [tensor("x", flat, datatype, [len(values), 2])]})
        assert question.rows == [[sent, 41.0]] * len(values)
        assert question.body["inputs"][0]["data"] == [sent, 41.0] * len(values)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("FP16", 65520.0), ("FP16", -1e300), ("FP16", 10**400), ("BF16", 3.4e38), ("BF16", -1e39), ("BF16", 10**400)],
)
def test_a_short_float_holds_no_number_that_is_beyond_it(datatype, value):
    assert refused(V2_OPEN, {"inputs": [tensor("x", [1.0, value], datatype)]}) == 400


def test_a_brain_float_is_rounded_as_by_force():
    """The nearest of the numbers with 16 bits, ties to the even one, found by trying the two around each number."""
    draw = np.random.default_rng(0)
    values = (draw.normal(size=500) * 10.0 ** draw.integers(-30, 30, 500)).astype(np.float32)
    bits = values.view(np.uint32) & np.uint32(0xFFFF0000)
    around = np.stack([bits, bits + np.uint32(0x10000)]).view(np.float32).astype(np.float64)
    apart = np.abs(around - values)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    nearest = np.where(apart[0] == apart[1], even, np.argmin(apart, axis=0))
    wanted = around[nearest, np.arange(500)].tolist()
    assert read(V2_OPEN, {"inputs": [tensor("x", values.tolist(), "BF16")]}).body["inputs"][0]["data"] == wanted


MANY = [[0.5] * 4] * 500


@pytest.mark.parametrize("features", [(), ("a", "b", "c", "d")])
def test_what_is_nested_is_not_one_record(features):
    flat = [0.5] * 2000
    for name in ("mlflow", "kserve-v1"):
        assert refused(Route(protocol=name, features=features), {"instances": [MANY]}) == 400
        assert refused(Route(protocol=name, features=features), {"instances": [{"a": MANY}]}) == 400
    assert refused(Route(protocol="mlflow"), {"inputs": {"x": [MANY]}}) == 400
    assert refused(Route(protocol="open-inference-v2"), {"inputs": [tensor("x", flat, shape=[1, 500, 4])]}) == 400
    route = Route(protocol="json", path="/p", records="/inputs", outputs={"/p": "values"})
    assert refused(route, {"inputs": [MANY]}) == 400


@pytest.mark.parametrize("name", ["mlflow", "kserve-v1", "json"])
def test_a_route_may_say_the_shape_of_one_record(name):
    more = {"path": "/p", "records": "/instances", "outputs": {"/p": "values"}} if name == "json" else {}
    route = Route(protocol=name, shape=(2, 2), **more)
    assert read(route, {"instances": [[[1, 2], [3, 4]]] * 3}).rows == [[1, 2, 3, 4]] * 3
    for wrong in (
        [[1, 2], [3]],
        [1, 2, 3, 4],
        [[[1, 2], [3, 4]]],
        [[1, 2], [3, [4]]],
        [[1, 2]],
        7,
        {"x": [[1, 2]] * 2},
    ):
        assert refused(route, {"instances": [wrong]}) == 400
    named = Route(protocol=name, shape=(2, 2), features=("x",), **more)
    assert read(named, {"instances": [{"x": [[1, 2], [3, 4]]}]}).rows == [[1, 2, 3, 4]]
    assert refused(named, {"instances": [{"y": [[1, 2], [3, 4]]}]}) == 400


def test_every_input_has_the_shape_that_the_route_says():
    route = Route(protocol="open-inference-v2", shape=(2, 2))
    assert read(route, {"inputs": [tensor("x", [1, 2, 3, 4], shape=[1, 2, 2])]}).rows == [[1, 2, 3, 4]]
    for shape in ([1, 4], [4], [1, 1, 2, 2], [1, 4, 1]):
        assert refused(route, {"inputs": [tensor("x", [1, 2, 3, 4], shape=shape)]}) == 400


def test_of_json_the_records_and_the_named_fields_alone_are_let_through():
    content = {"inputs": [[1, 2]], "a": {"b": {"any": [1]}}}
    assert read(JSON, content).body == content
    for more in ({"seed": 1}, {"a": {"b": 1, "c": 2}}, {"a": 7}, {"a": [1]}, {"": 1}):
        assert refused(JSON, {"inputs": [[1, 2]], **more}) == 400
    inner = Route(protocol="json", path="/p", records="/a/0", outputs={"/p": "values"})
    assert read(inner, {"a": [[7, 8]]}).rows == [7, 8]
    assert refused(inner, {"a": [[7, 8], [9]]}) == 400


UNEVEN = [[[1, 2], [1]], [{"a": 1}, {"b": 1}], [{"a": 1}, {}], [[1], 1], ["a", 1], [{}, 1], [1, {}]]


@pytest.mark.parametrize("rows", UNEVEN)
def test_records_that_are_not_alike_have_no_places(rows):
    with pytest.raises(Refused) as found:
        vectors(rows, Route(protocol="mlflow"))
    assert found.value.status == 400
    assert vectors([[1, 2], [1]], Route(protocol="openai")) is None


def test_a_number_beyond_floats_has_a_place():
    found = vectors([[10**400, -(10**400), "1e999"]], Route(protocol="mlflow"))
    assert found.shape == (1, 3)


@in_loop
async def test_one_ragged_record_is_refused_where_places_are_needed(tmp_path):
    body = json.dumps({"inputs": [{"a": 1, "b": 2}, {"a": 1}]}).encode()
    for changes, wanted in (({}, 200), ({"detectors": {"volume": {}}}, 400)):
        async with opened(policy(tmp_path, **changes), FakeModel()) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            assert (await asked(gateway, body, key=key))[0] == wanted


@in_loop
async def test_one_record_in_many_spellings_stays_one_neighbourhood(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 1000, "per_neighbourhood": 2}, "rate": "1000 per second, burst 1000"}}
    routes = [{"protocol": "mlflow", "features": NAMES, "scales": [1.0, 1.0]}]
    ways = ([41, 1.23], {"age": 41, "wage": "1.230"}, {"wage": "123e-2", "age": 41.0}, ["41", 1.23], [41, "1.2300"])
    async with opened(policy(tmp_path, routes=routes, tiers=tiers), FakeModel()) as gateway:
        _, key = gateway.state.keys.add(tenant="acme", tier="t")
        found = [(await asked(gateway, json.dumps({"inputs": [way]}).encode(), key=key))[0] for way in ways]
    assert found == [200, 200, 429, 429, 429]


def test_without_features_records_pass_as_they_did():
    rows = [[1, "a", None, True], {"a": 1, "b": "x"}, 7, "text"]
    assert fitted(rows, Route(protocol="mlflow")) == rows
