"""Any JSON by pointers: where they point, what is dropped beside them, and one record as well as many."""

import pytest

from unseen.controls import harden_from
from unseen.errors import PolicyError
from unseen.guard.answering import Answering, Controls
from unseen.guard.policy import Route
from unseen.guard.protocols.pointer import Pointers, parts_of
from unseen.guard.question import Question
from unseen.guard.refusal import Refused


def adapter(records="/inputs", **outputs):
    return Pointers(Route(protocol="json", path="/p", records=records, outputs=outputs or {"/p": "probabilities"}))


def hardened(content, outputs, *, records=1, strict=True, controls=({"name": "rounding", "decimals": 1},)):
    answering = Answering(Controls([harden_from(one) for one in controls]), [], strict=strict)
    left = adapter(**outputs).harden(Question("/p", records, [], {}), content, answering)
    return left, answering.dropped


@pytest.mark.parametrize(
    ("pointer", "content", "rows"),
    [
        ("/inputs", {"inputs": [[1], [2]]}, [[1], [2]]),
        ("/inputs", {"inputs": {"a": 1}}, [{"a": 1}]),
        ("/a~1b/c~0d/0", {"a/b": {"c~d": [[7, 8]]}}, [7, 8]),
        ("/~01", {"~1": [3]}, [3]),
        ("/", {"": [3]}, [3]),
        ("#", [[1], [2]], [[1], [2]]),
        ("#", {"a": 1, "b": 2}, [{"a": 1, "b": 2}]),
        ("#/inputs", {"inputs": [1]}, [1]),
    ],
)
def test_a_pointer_finds_the_records(pointer, content, rows):
    question = adapter(pointer).read("/p", content, frozenset())
    assert (question.rows, question.records) == (rows, len(rows))


@pytest.mark.parametrize(
    ("pointer", "content"),
    [
        ("/inputs", {}),
        ("/inputs", {"inputs": None}),
        ("/inputs", {"inputs": []}),
        ("/inputs", []),
        ("/a/01", {"a": [[1], [2]]}),
        ("/a/-", {"a": [[1]]}),
        ("/a/1", {"a": [[1]]}),
        ("/a/\u00b2", {"a": [[1]] * 5}),
        ("/a/b", {"a": "b"}),
    ],
)
def test_a_pointer_to_nothing_refuses(pointer, content):
    with pytest.raises(Refused) as refused:
        adapter(pointer).read("/p", content, frozenset())
    assert refused.value.status == 400


@pytest.mark.parametrize("pointer", ["inputs", "#inputs", "$.inputs"])
def test_what_is_no_pointer_is_refused(pointer):
    with pytest.raises(PolicyError, match="begins with"):
        parts_of(pointer)


@pytest.mark.parametrize("route", [{"path": "p"}, {"records": ""}, {"outputs": {}}])
def test_a_route_says_all_three(route):
    said = {"path": "/p", "records": "/inputs", "outputs": {"/p": "labels"}} | route
    with pytest.raises(PolicyError, match="needs path"):
        Pointers(Route(protocol="json", **said))


def test_the_path_is_the_route_s_alone():
    assert adapter().match("POST", "/p") == "/p"
    assert [adapter().match(*said) for said in (("GET", "/p"), ("POST", "/p/"), ("POST", "/p\n"))] == [None] * 3


PROBABILITIES = {"/p": "probabilities"}


@pytest.mark.parametrize(
    ("found", "records", "left"),
    [
        ([[0.26, 0.74], [0.51, 0.49]], 2, [[0.3, 0.7], [0.5, 0.5]]),
        ([[0.26, 0.74]], 1, [[0.3, 0.7]]),
        ([0.26, 0.74], 1, [0.3, 0.7]),  # one record, unbatched
        ([0.26, 0.74], 2, [0.3, 0.7]),  # two records, one probability each
        (0.26, 1, 0.3),
        ({"cat": 0.26, "dog": 0.74}, 1, {"cat": 0.3, "dog": 0.7}),
        ([{"cat": 0.26, "dog": 0.74}], 1, [{"cat": 0.3, "dog": 0.7}]),
        (
            [{"cat": 0.26, "dog": 0.74}, {"dog": 0.49, "cat": 0.51}],
            2,
            [{"cat": 0.3, "dog": 0.7}, {"dog": 0.5, "cat": 0.5}],
        ),
        ([0, 1], 1, [0.0, 1.0]),
        (1, 1, 1.0),
    ],
)
def test_probabilities_are_hardened_whatever_form_they_have(found, records, left):
    def near(value):
        if isinstance(value, list) and isinstance(value[0], list | dict):
            return [near(one) for one in value]
        return pytest.approx(value)

    assert hardened({"p": found}, PROBABILITIES, records=records)[0]["p"] == near(left)


@pytest.mark.parametrize(
    ("found", "records"),
    [
        (None, 1),
        ([], 1),
        ([], 2),
        ("a", 1),
        ([0.5], 2),
        ([[0.5, 0.5]] * 3, 2),
        ([[0.5, 0.5], [0.5, 0.5]], 1),
        ([[[0.5, 0.5]]], 1),
        ([{"a": 0.5}, 0.5], 2),
        ([{"a": 0.5}, {"b": 0.5}], 2),
        ({"a": {"b": 0.5}}, 1),
        ({"a": 0.9, "b": 0.9}, 1),
        ({}, 1),
        (0.5, 2),
        (7, 1),
    ],
)
@pytest.mark.parametrize("control", ["rounding", "label-only"])
def test_answers_that_are_none_are_withheld(found, records, control):
    settings = {"decimals": 1} if control == "rounding" else {}
    with pytest.raises(Refused) as refused:
        hardened({"p": found}, PROBABILITIES, records=records, controls=({"name": control, **settings},))
    assert refused.value.status == 502


def test_numbers_that_no_pointer_names_are_dropped_and_counted():
    content = {
        "p": [[0.26, 0.74]],
        "label": "cat",
        "sure": True,
        "note": "3 cats",
        "score": 0.26,
        "whole": 1,  # 1.0, from a server that writes it so
        "text": "0.26",
        "percent": " 26 %",
        "deep": {"a": [{"c": [26, 0.26, None]}]},
    }
    left, dropped = hardened(content, PROBABILITIES)
    assert left.pop("p") == [pytest.approx([0.3, 0.7])]
    assert left == {"label": "cat", "sure": True, "note": "3 cats", "deep": {"a": [{"c": [None]}]}}
    assert dropped == 6
    left, dropped = hardened(content, PROBABILITIES, strict=False)
    assert (left["score"], left["text"], dropped) == (0.26, "0.26", 0)


@pytest.mark.parametrize(
    "text",
    [
        *("0.931,0.069", "0,931", "[0.931, 0.069]", '"[0.931]"', "~0.931", "$.9", "3.1e-1f", "9e-1 x", "93 % sure"),
        *("v1.5", "\u0660.\u0669\u0663\u0661", "\u0669\u0663\u066a", "\u0660\u066b\u0669\u0663", "0x1.dcp-1", "0xEp-4"),
    ],
)
def test_fractions_in_texts_and_in_names_are_dropped_and_counted(text):
    content = {
        "p": [0.26, 0.74],
        "a": text,
        "b": [text],
        "by": {text: "cat", "1": "dog", "deep": {text: {"c": 0.5}}},
    }
    left, dropped = hardened(content, PROBABILITIES)
    assert left == {"p": pytest.approx([0.3, 0.7]), "b": [], "by": {"1": "dog", "deep": {}}}
    assert dropped == 4
    assert hardened(content, PROBABILITIES, strict=False)[0]["by"] == content["by"]
    named, dropped = hardened(content, {**PROBABILITIES, "/a": "labels"})
    assert (named["a"], dropped) == (text, 3)


@pytest.mark.parametrize("control", [{"name": "label-only"}, {"name": "rounding", "decimals": 1}])
def test_the_order_of_named_classes_tells_nothing(control):
    ranked = [{"b": 0.5, "c": 0.3, "a": 0.2}, {"b": 0.5, "a": 0.3, "c": 0.2}]
    left = [hardened({"p": row}, PROBABILITIES, controls=(control,))[0]["p"] for row in ranked]
    assert [list(row) for row in left] == [["a", "b", "c"]] * 2
    both = hardened({"p": ranked}, PROBABILITIES, records=2, controls=(control,))[0]["p"]
    assert [list(row) for row in both] == [["a", "b", "c"]] * 2


def test_an_array_that_may_be_a_ranking_is_dropped_and_one_value_a_record_is_not():
    content = {"p": [[0.26, 0.74]] * 2, "ranked": ["dog", "cat", "cow"], "each": ["dog", "cat"], "z": "x", "a": "y"}
    content["nested"] = {"by": [{"label": "dog"}, {"label": "cat"}, {"label": "cow"}]}
    left, dropped = hardened(content, PROBABILITIES, records=2)
    assert (list(left), left["nested"], dropped) == (["a", "each", "nested", "p", "z"], {}, 2)
    assert hardened(content, PROBABILITIES, records=2, strict=False)[0]["ranked"] == ["dog", "cat", "cow"]
    nested = [["a", "b"], ["b", "a"]], [[["a"], ["b"]], [["b"], ["a"]]], [{"x": ["a", "b"]}, {"x": ["b", "a"]}]
    left = [hardened({**content, "ranked": one}, PROBABILITIES, records=2)[0].get("ranked") for one in nested]
    assert left == [None, None, [{}, {}]]
    one = {
        "p": [0.26, 0.74],
        "nested": [["a"], ["c"], ["b"]],
        "deep": [["a", "c", "b"]],
        "two": ["a", "c"],
        "one": ["a"],
    }
    left, dropped = hardened(one, PROBABILITIES)
    assert ({name: left[name] for name in left if name != "p"}, dropped) == ({"deep": [], "one": ["a"]}, 3)
    whole, dropped = hardened([{"p": [0.26, 0.74], "label": "dog"}, {"q": "x"}], {"/0/p": "probabilities"})
    assert (whole[0]["label"], dropped) == ("dog", 0)


def test_a_name_with_a_fraction_in_it_stays_where_a_pointer_goes_through_it():
    content = {"v1.5": {"p": [0.26, 0.74], "q": "x"}, "v1.6": {"p": [0.26, 0.74]}}
    left, dropped = hardened(content, {"/v1.5/p": "probabilities"})
    assert (left, dropped) == ({"v1.5": {"p": pytest.approx([0.3, 0.7]), "q": "x"}}, 1)
    classes = {"< 0.5": 0.26, ">= 0.5": 0.74}
    assert list(hardened({"p": classes}, PROBABILITIES)[0]["p"]) == list(classes)


def test_a_list_of_one_is_an_answer_to_one():
    assert hardened({"k": ["cat"]}, {"/k": "labels"})[0] == {"k": ["cat"]}


def test_values_have_the_width_that_the_route_says():
    controls = ({"name": "value-rounding", "step": 1.0},)
    for found, records in (([[1.2] * 500], 1), ([1.2] * 500, 1), ({"a": 1.2, "b": 2.0}, 1), ([[1.2, 2.0]] * 2, 2)):
        with pytest.raises(Refused):
            hardened({"y": found}, {"/y": "values"}, records=records, controls=controls)
    route = Route(protocol="json", path="/p", records="#", outputs={"/y": "values"}, width=2)
    answering = Answering(Controls([harden_from(one) for one in controls]), [], strict=True)
    for found, left in (
        ([1.2, 2.7], [1.0, 3.0]),
        ([[1.2, 2.7]], [[1.0, 3.0]]),
        ({"a": 1.2, "b": 2.7}, {"a": 1.0, "b": 3.0}),
    ):
        assert Pointers(route).harden(Question("/p", 1, [], {}), {"y": found}, answering) == {"y": left}


def test_several_outputs_and_some_that_are_missing():
    outputs = {"/a/p": "probabilities", "/a/label": "labels", "/y/0": "values", "/gone": "values"}
    controls = ({"name": "rounding", "decimals": 1}, {"name": "value-rounding", "step": 1.0})
    content = {"a": {"p": [0.26, 0.74], "label": 7}, "y": [1.6, 2.6]}
    left, dropped = hardened(content, outputs, controls=controls)
    assert left == {"a": {"p": pytest.approx([0.3, 0.7]), "label": 7}, "y": [2.0]}
    assert dropped == 1
    for nothing in ({}, {"b": 0.5}, [], 7, None):
        with pytest.raises(Refused) as refused:
            hardened(nothing, outputs)
        assert refused.value.status == 502


def test_a_pointer_with_a_leading_zero_hardens_nothing_by_mistake():
    left, _ = hardened({"p": [0.26, 0.74], "q": [0.9]}, {"/p": "probabilities", "/q/00": "values"}, strict=True)
    assert left["q"] == []


def test_an_answer_that_is_too_deep_is_withheld():
    deep = 0.5
    for _ in range(2000):
        deep = [deep]
    with pytest.raises(Refused) as refused:
        hardened({"p": [0.26, 0.74], "deep": deep}, PROBABILITIES)
    assert refused.value.status == 502
