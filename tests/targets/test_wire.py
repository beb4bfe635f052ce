"""Each protocol: what is sent, what is read, what is refused."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

from unseen.errors import DataError, ModelError, PlanError
from unseen.plan import TargetPlan
from unseen.targets.wire import FORMATS
from unseen.targets.wire.rows import Rows, rows_of

V2, MLFLOW, KSERVE_V1, POINTER = (FORMATS[name] for name in ("open-inference-v2", "mlflow", "kserve-v1", "json"))
ROWS = Rows(("age", "city"), [[31, "Ulm"], [44, "Bern"]])
NUMBERS = Rows(None, [[1.0, 2.0], [3.0, 4.0]])


def said(protocol, **keys):
    return TargetPlan(url="http://127.0.0.1/x", protocol=protocol, **keys)


@pytest.mark.parametrize("kind", ["polars", "pandas"])
def test_a_frame_is_rows_of_plain_values(kind):
    frame = pl.DataFrame({"age": [31, 44], "score": [0.5, None], "city": ["Ulm", None], "old": [False, True]})
    rows = rows_of(frame if kind == "polars" else pd.DataFrame(frame.to_dict(as_series=False)))
    assert rows.names == ("age", "score", "city", "old")
    assert rows.records == [[31, 0.5, "Ulm", False], [44, None, None, True]]


def test_arrays_of_images_are_flat_rows_without_names():
    rows = rows_of(np.arange(8, dtype=np.float32).reshape(2, 2, 2))
    assert rows == Rows(None, [[0, 1, 2, 3], [4, 5, 6, 7]])


def test_contents_tell_records_apart():
    assert len(set(Rows(None, [[1, "2"], ["1", 2], [12, ""], [1, "2"]]).contents())) == 3


def test_v2_sends_one_tensor_a_column_where_the_endpoint_has_inputs_of_these_names():
    metadata = {"inputs": [{"name": "city", "datatype": "BYTES"}, {"name": "age", "datatype": "INT32"}]}
    sent = V2.encode(ROWS, said("open-inference-v2"), metadata)
    assert sent["inputs"] == [
        {"name": "age", "datatype": "INT32", "shape": [2, 1], "data": [31, 44]},
        {"name": "city", "datatype": "BYTES", "shape": [2, 1], "data": ["Ulm", "Bern"]},
    ]


def test_v2_sends_one_tensor_of_the_name_and_type_that_the_endpoint_or_the_plan_says():
    metadata = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}]}
    (tensor,) = V2.encode(NUMBERS, said("open-inference-v2"), metadata)["inputs"]
    assert tensor == {"name": "x", "datatype": "FP32", "shape": [2, 2], "data": [1.0, 2.0, 3.0, 4.0]}
    sent = V2.encode(NUMBERS, said("open-inference-v2", input="mine", output="predict_proba"), None)
    assert (sent["inputs"][0]["name"], sent["inputs"][0]["datatype"]) == ("mine", "FP64")
    assert sent["outputs"] == [{"name": "predict_proba"}]


def test_v2_refuses_columns_that_do_not_fit_the_endpoint():
    metadata = {"inputs": [{"name": "a", "datatype": "FP32"}, {"name": "b", "datatype": "FP32"}]}
    with pytest.raises(DataError, match="wants 2 inputs"):
        V2.encode(ROWS, said("open-inference-v2"), metadata)
    with pytest.raises(DataError, match="numbers and text"):
        V2.encode(ROWS, said("open-inference-v2"), None)


@pytest.mark.parametrize("data", [[0.1, 0.9, 0.7, 0.3], [[0.1, 0.9], [0.7, 0.3]]])
def test_v2_reads_flat_and_nested_tensors(data):
    reply = {"outputs": [{"name": "p", "datatype": "FP64", "shape": [2, 2], "data": data}]}
    assert V2.decode(reply, 2, said("open-inference-v2")) == [[0.1, 0.9], [0.7, 0.3]]


def test_v2_reads_the_output_that_the_plan_names():
    outputs = [{"name": "label", "shape": [2], "data": [0, 1]}, {"name": "p", "shape": [2, 1], "data": [0.5, 0.25]}]
    assert V2.decode({"outputs": outputs}, 2, said("open-inference-v2", output="p")) == [[0.5], [0.25]]
    with pytest.raises(ModelError, match=r"2 outputs \('label', 'p'\): say which"):
        V2.decode({"outputs": outputs}, 2, said("open-inference-v2"))


@pytest.mark.parametrize("name", ["asked about 4711.25", "a" * 65, "näme", "", "Bearer key"])
def test_a_name_of_an_endpoint_that_may_hold_what_it_was_asked_is_counted_and_not_shown(name):
    outputs = [{"name": one, "shape": [1], "data": [1]} for one in (name, "p")]
    with pytest.raises(ModelError, match="the endpoint gives 2 outputs: say which"):
        V2.decode({"outputs": outputs}, 1, said("open-inference-v2"))
    metadata = {"inputs": [{"name": one, "datatype": "FP32"} for one in (name, "b")]}
    with pytest.raises(DataError, match="wants 2 inputs, and the tables"):
        V2.encode(ROWS, said("open-inference-v2"), metadata)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinity_which_json_cannot_hold_is_refused(value):
    with pytest.raises(DataError, match="1 of the tables' values is infinite"):
        rows_of(pl.DataFrame({"a": [1.0, value, np.nan]}))


@pytest.mark.parametrize("shape", [[3, 2], [2, "x"], None, [-5]])
def test_v2_refuses_a_shape_that_is_not_the_datas(shape):
    reply = {"outputs": [{"name": "p", "shape": shape, "data": [0.1, 0.9, 0.7, 0.3]}]}
    with pytest.raises(ModelError):
        V2.decode(reply, 2, said("open-inference-v2"))


def test_v2_metadata_stands_beside_infer():
    assert V2.metadata_at("http://m/v2/models/x/infer?a=b") == "http://m/v2/models/x"
    assert V2.metadata_at("http://m/predict") is None


def test_mlflow_and_kserve_v1_send_what_they_are_told():
    assert MLFLOW.encode(NUMBERS, said("mlflow"), None) == {"inputs": NUMBERS.records}
    assert MLFLOW.encode(ROWS, said("mlflow"), None)["dataframe_split"]["columns"] == ["age", "city"]
    assert KSERVE_V1.encode(ROWS, said("kserve-v1"), None) == {"instances": ROWS.records}
    assert KSERVE_V1.decode({"predictions": [1, 0]}, 2, said("kserve-v1")) == [1, 0]


def test_pointers_say_where_records_and_answers_are():
    where = said("json", records_at="/data/rows~1all", answers_at="/out", answer_at="/scores")
    assert POINTER.encode(ROWS, where, None) == {
        "data": {"rows/all": [{"age": 31, "city": "Ulm"}, {"age": 44, "city": "Bern"}]}
    }
    reply = {"out": [{"scores": [0.1, 0.9]}, {"scores": [0.7, 0.3]}]}
    assert POINTER.decode(reply, 2, where) == [[0.1, 0.9], [0.7, 0.3]]
    assert POINTER.decode([1, 0], 2, said("json", answers_at="")) == [1, 0]
    with pytest.raises(ModelError, match="nothing at /scores"):
        POINTER.decode({"out": [{}, {}]}, 2, where)
    with pytest.raises(PlanError, match="JSON Pointer"):
        POINTER.decode({}, 2, said("json", answers_at="predictions"))
