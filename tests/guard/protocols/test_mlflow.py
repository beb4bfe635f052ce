"""MLflow's and KServe V1's rows: every form counts its records, every shape of answer is hardened as a row."""

import pytest

from unseen.controls import harden_from
from unseen.errors import PolicyError
from unseen.guard.answering import Answering, Controls
from unseen.guard.policy import Route
from unseen.guard.protocols.kserve_v1 import KServeV1
from unseen.guard.protocols.mlflow import MLflow
from unseen.guard.question import Question, Telling
from unseen.guard.refusal import Refused

PATH = "/invocations"
PLAIN = MLflow(Route(protocol="mlflow"))
KSERVE = KServeV1(Route(protocol="kserve-v1"))
ROUNDING = {"name": "rounding", "decimals": 1}
BY_NAME = {"cat": "probabilities", "dog": "probabilities", "label": "labels"}


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ({"instances": [[1, 2], [3, 4]]}, [[1, 2], [3, 4]]),
        ({"instances": [1, 2]}, [1, 2]),
        ({"instances": [{"a": 1}]}, [{"a": 1}]),
        ({"instances": {"a": [1, 2], "b": [3, 4]}}, [{"a": 1, "b": 3}, {"a": 2, "b": 4}]),
        ({"inputs": [[1, 2]]}, [[1, 2]]),
        ({"inputs": {"a": [1, 2], "b": ["x", "y"]}}, [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        ({"inputs": {"a": 1}}, [{"a": 1}]),
        ({"dataframe_records": [{"a": 1}, {"a": 2}]}, [{"a": 1}, {"a": 2}]),
        ({"dataframe_split": {"columns": ["a", 1], "data": [[1, 2], [3, 4]]}}, [{"a": 1, "1": 2}, {"a": 3, "1": 4}]),
        ({"dataframe_split": {"index": [7], "columns": ["a"], "data": [[1]]}}, [{"a": 1}]),
    ],
)
def test_every_form_counts_its_records(content, rows):
    question = PLAIN.read(PATH, content, frozenset())
    assert (question.rows, question.records, question.body) == (rows, len(rows), content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        7,
        {"instances": []},
        {"instances": {}},
        {"instances": {"a": []}},
        {"instances": {"a": [1, 2], "b": [1]}},
        {"instances": {"a": 1, "b": [1, 2]}},
        {"instances": "ab"},
        {"instances": [[1]], "inputs": [[1]]},
        {"instances": [[1]], "params": {}},
        {"dataframe_records": {"a": [1, 2]}},
        {"dataframe_records": [[1]]},
        {"dataframe_split": [[1]]},
        {"dataframe_split": {"columns": ["a"]}},
        {"dataframe_split": {"columns": ["a"], "data": []}},
        {"dataframe_split": {"columns": "a", "data": [[1]]}},
        {"dataframe_split": {"columns": [["a"]], "data": [[1]]}},
        {"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": [1, "1"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
        {"dataframe_split": {"columns": ["a"], "data": [[1]], "more": 1}},
    ],
)
def test_what_is_no_table_is_refused(content):
    with pytest.raises(Refused) as refused:
        PLAIN.read(PATH, content, frozenset())
    assert refused.value.status == 400


def hardened(found, *, records=2, controls=(ROUNDING,), strict=True, **route):
    """What leaves of predictions, from both protocols, and how much was dropped."""
    seen = []
    for adapter, name in ((MLflow, "mlflow"), (KServeV1, "kserve-v1")):
        answering = Answering(Controls([harden_from(one) for one in controls]), [], strict=strict)
        question = Question(PATH, records, [], {})
        left = adapter(Route(protocol=name, **route)).harden(question, {"predictions": found}, answering)
        assert left.keys() == {"predictions"}
        seen.append((left["predictions"], answering.dropped))
    assert seen[0] == seen[1]
    return seen[0]


ROWS = {"cat": [0.26, 0.51], "dog": [0.74, 0.49], "label": [1, 0], "score": [0.1234, 0.5678]}
SPLIT = {"columns": list(ROWS), "index": [0, 1], "data": [list(row) for row in zip(*ROWS.values(), strict=True)]}
LEFT = {"cat": [0.3, 0.5], "dog": [0.7, 0.5], "label": [1, 0]}


def records_of(columns):
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def test_a_list_of_rows_of_numbers_or_of_labels():
    assert hardened([[0.26, 0.74], [0.51, 0.49]]) == ([pytest.approx([0.3, 0.7]), pytest.approx([0.5, 0.5])], 0)
    assert hardened([[0, 1], [1, 0]])[0] == [[0.0, 1.0], [1.0, 0.0]]
    assert hardened([0.26, 0.74])[0] == pytest.approx([0.3, 0.7])
    assert hardened([0, "a"], answers="labels")[0] == [0, "a"]
    values = hardened([12, 27.5], answers="values", controls=({"name": "value-rounding", "step": 10.0},))
    assert values[0] == [10.0, 30.0]


def test_labels_and_values_have_one_value_a_record():
    assert hardened([["a"], [1]], answers="labels")[0] == [["a"], [1]]
    values = ({"name": "value-rounding", "step": 1.0},)
    assert hardened([[1.2], [2.7]], answers="values", controls=values)[0] == [[1.0], [3.0]]
    assert hardened([[1.2, 2.7]] * 2, answers="values", width=2, controls=values)[0] == [[1.0, 3.0]] * 2
    for answers, wrong in (("labels", [[1, 2], [3, 4]]), ("values", [[1.2, 2.7]] * 2), ("values", [[0.5] * 500] * 2)):
        with pytest.raises(Refused):
            hardened(wrong, answers=answers, controls=values)
        with pytest.raises(Refused):
            hardened({"y": wrong}, outputs={"y": answers}, controls=values)
    with pytest.raises(Refused):
        hardened([1.2, 2.7], answers="values", width=2, controls=values)


def test_a_probability_does_not_leave_as_a_label():
    for found in (["0.712345:cat", "dog"], [712345, 0]):
        with pytest.raises(Refused):
            hardened(found, answers="labels", classes=3)
    assert hardened({"k": ["v1.5", "v2.0"]}, outputs={"k": "labels"})[0] == {"k": ["v1.5", "v2.0"]}
    assert hardened([2, 0], answers="labels", classes=3)[0] == [2, 0]


def test_columns_by_name_are_one_row_of_classes_in_every_form():
    found, dropped = hardened(ROWS, outputs=BY_NAME)
    assert ({name: pytest.approx(column) for name, column in found.items()}, dropped) == (LEFT, 1)
    found, dropped = hardened(records_of(ROWS), outputs=BY_NAME)
    assert (found, dropped) == ([pytest.approx(row) for row in records_of(LEFT)], 1)
    found, dropped = hardened(SPLIT, outputs=BY_NAME)
    assert (found["columns"], found["data"], dropped) == (
        list(LEFT),
        [pytest.approx(list(row)) for row in zip(*LEFT.values(), strict=True)],
        1,
    )
    only = {"name": "label-only"}
    assert hardened(ROWS, outputs=BY_NAME, controls=(only,))[0]["cat"] == [0.0, 1.0]  # never each class by itself


def test_the_order_of_columns_is_that_of_the_policy():
    only = ({"name": "label-only"},)
    for names in (("cat", "dog"), ("dog", "cat")):
        row = {name: {"cat": 0.3, "dog": 0.7}[name] for name in names}
        for found in ([row], {name: [value] for name, value in row.items()}):
            left = hardened(found, outputs=BY_NAME, controls=only, records=1)[0]
            assert list(left[0] if isinstance(left, list) else left) == [name for name in BY_NAME if name in row]
        split = {"columns": list(names), "data": [list(row.values())]}
        assert hardened(split, outputs=BY_NAME, controls=only, records=1)[0]["columns"] == list(BY_NAME)[:2]


def test_a_column_of_lists_is_a_row_of_its_own():
    found = {"p": [[0.26, 0.74], [0.51, 0.49]], "label": [1, 0]}
    left, _ = hardened(found, outputs={"p": "probabilities", "label": "labels"})
    assert left["p"] == [pytest.approx([0.3, 0.7]), pytest.approx([0.5, 0.5])]


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        7,
        "text",
        [],
        {},
        [[0.5, 0.5]],
        [[0.5, 0.5]] * 3,
        [[0.5, 0.5], 0.5],
        [0.5, [0.5, 0.5]],
        [[0.5, 0.5], [0.5, 0.25, 0.25]],
        [[0.5, 0.5], None],
        [[0.5, 0.5], {"a": 0.5}],
        [[0.5, 0.5], [0.5, None]],
        [[[0.5, 0.5]], [[0.5, 0.5]]],
        [[0.9, 0.9], [0.5, 0.5]],
        [[-0.5, 1.5], [0.5, 0.5]],
        [["a", "b"], ["a", "b"]],
        [[10**400, 0], [0.5, 0.5]],
        [[1e308, 1e308], [0.5, 0.5]],
        [[], []],
        [{"cat": 0.5}, {"dog": 0.5}],
        [{"cat": 0.5}, 7],
        {"cat": [0.5, 0.5], "dog": [0.5]},
        {"cat": 0.5, "dog": 0.5},
        {"unknown": [0.5, 0.5]},
        [{"unknown": 0.5}] * 2,
        {"cat": [0.9, 0.9], "dog": [0.9, 0.9]},
        {"label": [0.5, 0.25]},
        {"label": [[1, 2], [3, 4]]},
        {"columns": ["cat"], "data": [[0.5]]},
        {"columns": ["cat", "cat"], "data": [[0.5, 0.5]] * 2},
        {"columns": "cat", "data": [[0.5]] * 2},
        {"columns": ["cat"], "data": [[0.5, 0.5]] * 2},
        {"columns": ["cat"], "data": 7},
    ],
)
@pytest.mark.parametrize("control", [ROUNDING, {"name": "label-only"}], ids=["rounding", "label-only"])
def test_an_answer_that_the_policy_does_not_know_is_withheld(wrong, control):
    with pytest.raises(Refused) as refused:
        hardened(wrong, outputs=BY_NAME, controls=(control,))
    assert refused.value.status == 502


def test_what_stands_beside_the_predictions_stays_and_is_counted():
    answering = Answering(Controls(()), [], strict=True)
    left = PLAIN.harden(Question(PATH, 1, [], {}), {"predictions": [[0.5, 0.5]], "p": 0.5, "trace": {}}, answering)
    assert (left, answering.dropped) == ({"predictions": [[0.5, 0.5]]}, 2)
    assert PLAIN.harden(Question(PATH, 1, [], {}), [[0.5, 0.5]], answering) == left  # SageMaker's answer is the list


@pytest.mark.parametrize(
    "content", [{}, [], 7, {"instances": []}, {"instances": [1], "signature_name": "x"}, {"inputs": [1]}]
)
def test_kserve_reads_instances_and_nothing_else(content):
    with pytest.raises(Refused) as refused:
        KSERVE.read("/v1/models/m:predict", content, frozenset())
    assert refused.value.status == 400


@pytest.mark.parametrize("content", [None, [], 7, {}, {"outputs": [[0.5, 0.5]]}, {"error": "x"}])
def test_kserve_answers_with_predictions_and_nothing_else(content):
    with pytest.raises(Refused) as refused:
        KSERVE.harden(Question("/v1/models/m:predict", 1, [], {}), content, Answering(Controls(()), [], strict=True))
    assert refused.value.status == 502


def test_a_path_is_known_to_its_last_character():
    assert KSERVE.match("POST", "/v1/models/m/versions/12:predict")
    assert isinstance(KSERVE.match("GET", "/v1/models/m"), Telling)
    for path in (
        "/v1/models/m:predict\n",
        "/v1/models/m:explain",
        "/v1/models/m/versions/\u0663:predict",
        "/v1/models/a/b:predict",
    ):
        assert KSERVE.match("POST", path) is None
    one = KServeV1(Route(protocol="kserve-v1", path="/v1/models/m"))
    assert one.match("POST", "/v1/models/m:predict") == "/v1/models/m:predict"
    assert isinstance(one.match("GET", "/v1/models/m"), Telling)
    for path in ("/v1/models/n", "/v1/models/m/versions/2", "/v1/models/mm"):
        assert one.match("POST", f"{path}:predict") is one.match("GET", path) is None
    with pytest.raises(PolicyError, match="the one model"):
        KServeV1(Route(protocol="kserve-v1", path="/v1/models/m:predict"))
    assert MLflow(Route(protocol="mlflow", path="/score")).match("POST", "/score") == "/score"
    assert PLAIN.match("POST", "/invocations\n") is None
