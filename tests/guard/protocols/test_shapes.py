"""A V2 record of several inputs, each with a shape of its own: one flat row, and tensors that keep their shapes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.guard.guards import policy

from unseen.errors import PolicyError
from unseen.guard.checking import findings, refuse_useless
from unseen.guard.policy import Route, policy_from
from unseen.guard.protocols.open_inference import OpenInference
from unseen.guard.refusal import Refused

PATH = "/v2/models/m/infer"
TWO = {"protocol": "open-inference-v2", "features": ("image", "age"), "shapes": {"age": (), "image": (2, 2)}}


def tensor(name, array):
    return {"name": name, "shape": list(array.shape), "datatype": "FP64", "data": array.ravel().tolist()}


def read(route, *inputs):
    return OpenInference(Route(**route)).read(PATH, {"inputs": list(inputs)}, frozenset())


IMAGE, AGE = np.arange(12.0).reshape(3, 2, 2), np.array([41.0, 42.0, 43.0])


@pytest.mark.parametrize(
    "inputs", [(tensor("image", IMAGE), tensor("age", AGE)), (tensor("age", AGE), tensor("image", IMAGE))]
)
def test_a_record_is_one_row_in_the_order_of_the_policy_and_each_input_keeps_its_shape(inputs):
    question = read(TWO, *inputs)
    assert question.rows == [[0, 1, 2, 3, 41], [4, 5, 6, 7, 42], [8, 9, 10, 11, 43]]
    assert question.body["inputs"] == list(inputs)


@pytest.mark.parametrize(
    "inputs",
    [
        (tensor("image", IMAGE),),
        (tensor("image", IMAGE), tensor("age", AGE), tensor("wage", AGE)),
        (tensor("image", IMAGE), tensor("wage", AGE)),
        (tensor("image", AGE), tensor("age", IMAGE)),
        (tensor("image", IMAGE), tensor("age", AGE[:, None])),
        (tensor("image", IMAGE.reshape(3, 4)), tensor("age", AGE)),
        (tensor("image", IMAGE[..., None]), tensor("age", AGE)),
        (tensor("image", IMAGE[:2]), tensor("age", AGE)),
        (tensor("image", IMAGE[:, :1]), tensor("age", AGE)),
        (tensor("image", IMAGE), tensor("image", IMAGE), tensor("age", AGE)),
    ],
)
def test_other_names_or_shapes_are_refused(inputs):
    with pytest.raises(Refused) as refused:
        read(TWO, *inputs)
    assert refused.value.status == 400


@given(st.data())
def test_rows_and_tensors_agree_for_any_shapes_batch_and_order(data):
    shapes = data.draw(
        st.dictionaries(
            st.text("abcd", min_size=1, max_size=3), st.lists(st.integers(1, 3), max_size=3), min_size=1, max_size=4
        )
    )
    count, names = data.draw(st.integers(1, 11)), data.draw(st.permutations(list(shapes)))
    numbers = iter(range(100_000))
    given_arrays = {
        name: np.array([next(numbers) for _ in range(count * int(np.prod(shape)))], float).reshape(count, *shape)
        for name, shape in shapes.items()
    }
    sent = [tensor(name, given_arrays[name]) for name in data.draw(st.permutations(names))]
    if data.draw(st.booleans()):  # nested, as the protocol allows
        sent = [{**one, "data": given_arrays[one["name"]].tolist()} for one in sent]
    route = {"protocol": "open-inference-v2", "features": tuple(names), "shapes": shapes}
    question = read(route, *sent)
    assert [one["name"] for one in question.body["inputs"]] == [one["name"] for one in sent]
    forwarded = {one["name"]: np.reshape(one["data"], one["shape"]) for one in question.body["inputs"]}
    rows, at = np.array(question.rows), 0
    for name in names:
        width = int(np.prod(shapes[name]))
        again = rows[:, at : at + width].reshape(count, *shapes[name])
        assert np.array_equal(again, given_arrays[name])
        assert np.array_equal(forwarded[name], given_arrays[name])
        at += width
    assert rows.shape == (count, at)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shape": [4]}, "shape and shapes"),
        ({"features": []}, "the inputs that features names"),
        ({"features": ["image"]}, "the inputs that features names"),
        ({"features": ["image", "age", "wage"]}, "the inputs that features names"),
        ({"scales": [1.0, 2.0]}, "5 values by shapes, and 2 by scales"),
        ({"protocol": "mlflow"}, "shapes says nothing for protocol mlflow"),
    ],
)
def test_what_shapes_cannot_be_said_with_is_refused(tmp_path, changes, said):
    found = findings(policy(tmp_path, routes=[TWO | changes]))
    assert [finding for finding in found if finding.refused and said in finding.sentence], found


def test_one_shape_for_several_inputs_fits_the_scales(tmp_path):
    route = {"protocol": "open-inference-v2", "features": ["a", "b"], "shape": [2]}
    refuse_useless(policy(tmp_path, routes=[route | {"scales": [1.0] * 4}]))
    with pytest.raises(PolicyError, match="4 values by features and shape, and 3 by scales"):
        refuse_useless(policy(tmp_path, routes=[route | {"scales": [1.0] * 3}]))


def test_a_route_that_says_the_shape_of_each_input_may_have_neighbourhoods(tmp_path):
    tiers = {"a": {"budget": {"per_day": 5, "per_neighbourhood": 3}}}
    read = policy(tmp_path, routes=[TWO | {"scales": [1.0] * 5}], tiers=tiers)
    refuse_useless(read)
    assert not any("any number of values" in finding.sentence for finding in findings(read))


@pytest.mark.parametrize(
    ("shapes", "said"),
    [
        ({"age": [0]}, "routes 1.shapes.age must be at least 1"),
        ({"age": 3}, "routes 1.shapes.age must be a list, got a whole number"),
    ],
)
def test_a_shape_that_is_none_is_refused_with_its_place(shapes, said):
    content = {"upstream": {"url": "http://127.0.0.1:1"}, "routes": [TWO | {"features": ["age"], "shapes": shapes}]}
    with pytest.raises(PolicyError, match=said):
        policy_from(content)
