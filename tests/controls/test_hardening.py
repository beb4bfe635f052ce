"""Settings, secrets and refusals; and what each control does to rows that are worked out by hand or by force."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from unseen.control import Control, Setting, chance
from unseen.controls import CONTROLS, REFUSED, catalogue, find, harden_from
from unseen.controls.filling import filled
from unseen.controls.label_only import LABEL_ONLY
from unseen.controls.rounding import ROUNDING
from unseen.errors import DataError, ModelError, PlanError
from unseen.testing.control_checks import generated

KEY, OTHER = b"one key, sixteen bytes or more", b"another key of sixteen or more"
ROW = np.array([[0.996, 0.003, 0.001]])


def of(name, **settings):
    return find(name).with_settings(key=KEY if find(name).keyed else None, **settings)


def test_every_control_has_a_name_of_its_own_and_says_all_that_it_must():
    assert len(catalogue()) == len(CONTROLS) == 10
    for control in CONTROLS:
        assert control.meaning.endswith(".")
        assert all(
            (control.hides, control.costs, control.promises, control.does_not_stop, control.owasp, control.atlas)
        )
        assert control.surface == "values" or set(control.keeps) == (
            {"argmax", "order"} if control.surface == "probabilities" else set()
        )


@pytest.mark.parametrize(
    ("declared", "why"),
    [
        ({}, "a control needs a name"),
        ({"name": "roundin"}, "did you mean 'rounding'"),
        ({"name": 3}, "there is no control 3"),
        ({"name": "rounding", "decimal": 2}, "no setting 'decimal'.*did you mean 'decimals'"),
        ({"name": "label-only", "k": 2}, "it takes none"),
        ({"name": "rounding", "decimals": 5}, "from 1 to 4, got 5; .* hide next to nothing"),
        ({"name": "rounding", "decimals": 0}, "label-only under another name"),
        ({"name": "rounding", "decimals": True}, "must be an integer"),
        ({"name": "rounding", "decimals": 2.0}, "must be an integer"),
        ({"name": "rounding", "decimals": [1]}, "must be an integer from 1 to 4, got list"),
        ({"name": "top-k"}, "top-k needs k"),
        ({"name": "top-k", "k": 0}, "use label-only"),
        ({"name": "clip-confidence", "at_most": 1.0}, "a cap of 1 hides nothing"),
        ({"name": "clip-confidence", "at_most": float("nan")}, "must be a number"),
        ({"name": "keyed-noise", "scale": 0.0}, "no noise hides nothing"),
        ({"name": "keyed-noise", "key": "sixteen bytes or more"}, "never written beside the settings"),
        ({"name": "no-logprobs", "strict": 1}, "must be true or false"),
        ({"name": "cap-logprobs", "alternatives": 20}, "from 0 to 5"),
        ({"name": "allowed-parameters", "allow": ["*"]}, "allows everything"),
        ({"name": "allowed-parameters", "allow": ["echo", "logprobs"]}, "score a text"),
        ({"name": "allowed-parameters", "allow": "model"}, "a list of names"),
        ({"name": "allowed-parameters", "otherwise": "warn"}, "'refuse' or 'strip'"),
        *(({"name": name}, why.split(";")[0][:30]) for name, why in REFUSED.items()),
    ],
)
def test_what_is_of_no_use_is_refused_with_the_reason(declared, why):
    with pytest.raises(PlanError, match=why):
        harden_from(declared, key=KEY)


@pytest.mark.parametrize(
    ("declared", "classes"),
    [({"name": "top-k", "k": 1}, 2), ({"name": "top-k", "k": 4}, 5), ({"name": "clip-confidence", "at_most": 0.2}, 5)],
)
def test_what_is_of_no_use_with_so_many_classes_is_refused_before_and_at_the_answer(declared, classes):
    with pytest.raises(PlanError, match=f"{classes}"):
        harden_from(declared, classes=classes)
    with pytest.raises(PlanError, match=f"{classes}"):
        harden_from(declared)(np.full((1, classes), 1 / classes))
    assert harden_from(declared, classes=classes + 1)


def test_a_plan_is_read_and_said_again():
    declared = {"name": "rounding", "decimals": 3}
    assert harden_from(declared).declared == declared
    assert harden_from({"name": "top_k", "k": 3}).name == "top-k"


def test_the_key_is_never_shown_and_always_the_same_length_or_more():
    hardening = of("keyed-noise", scale=0.2)
    assert repr(hardening) == "Hardening('keyed-noise', scale=0.2)"
    assert "one key" not in f"{hardening} {hardening.declared}"
    for key in (None, b"short", b"k" * 65, "a string of sixteen or more"):
        with pytest.raises(PlanError, match="16 to 64 bytes") as refusal:
            find("keyed-noise").with_settings(key=key)
        assert "string of" not in str(refusal.value)
    with pytest.raises(PlanError, match="takes no key"):
        ROUNDING.with_settings(key=KEY)
    again = pickle.loads(pickle.dumps(hardening))
    assert again == hardening


@pytest.mark.parametrize(
    "answers",
    [
        np.array([[0.5, np.nan, 0.5]]),
        np.array([[0.7, -0.1, 0.4]]),
        np.array([[0.333, 0.333, 0.333]]),
        np.array([[1.2], [0.5]]),
        np.array([0.2, 0.8]),
        np.full((2, 2, 2), 0.5),
        np.zeros((3, 0)),
        np.array([[1, 0]]),
        np.array([[0.5, 0.5]], dtype=np.float16),
        np.array([["0.5", "0.5"]]),
        [[0.5, 0.5], [1.0]],
    ],
)
def test_what_is_no_distribution_is_refused_without_being_quoted(answers):
    for name in ("rounding", "label-only", "clip-confidence"):
        with pytest.raises(ModelError) as refusal:
            of(name)(answers)
        assert not any(number in str(refusal.value) for number in ("0.7", "0.333", "1.2", "0.8"))


@pytest.mark.parametrize(
    "row",
    [
        [],
        [0.5],
        [0.333, 0.333],
        [0.7, -0.1, 0.4],
        [np.nan, 1.0],
        [np.inf, 0.0],
        [1.2, -0.2],
        [0.5, 0.6],
        [1e308, 1e308],
    ],
)
def test_one_row_that_is_no_distribution_is_refused_as_an_array_is(row):
    with pytest.raises(ModelError) as refusal:
        ROUNDING.with_settings().row(row)
    assert not any(number in str(refusal.value) for number in ("0.7", "0.333", "1.2"))
    with pytest.raises(PlanError, match="call it on one"):
        of("keyed-noise", scale=1.0).row([0.5, 0.5])


@pytest.mark.parametrize("decimals", [1, 2, 3, 4])
def test_one_row_is_rounded_as_in_an_array_to_the_last_bit(decimals):
    """Also where rows do not sum to 1 quite, tie, or lie on the grid."""
    hardening = of("rounding", decimals=decimals)
    for classes in (2, 3, 10, 50):
        rows = generated(classes, 4000).copy()
        rows[::3] *= 1 + np.random.default_rng(0).uniform(-9e-5, 9e-5, size=(len(rows[::3]), 1))
        assert [hardening.row(row) for row in rows.tolist()] == hardening(rows).tolist()


def test_rows_of_one_column_are_the_second_of_two_classes():
    column = np.array([[0.0], [0.497], [0.5], [0.503], [0.996]])
    both = np.hstack([1 - column, column])
    for name in ("rounding", "clip-confidence", "label-only", "keyed-noise"):
        for dtype in (np.float64, np.float32):
            queries = [b"%d" % place for place in range(len(column))]
            one, two = of(name)(column.astype(dtype), queries), of(name)(both.astype(dtype), queries)
            assert one.shape == column.shape
            np.testing.assert_allclose(one[:, 0], two[:, 1], atol=1e-6)
            assert (np.sign(one - 0.5) == np.sign(column - 0.5))[[0, 1, 3, 4]].all()  # on the same side of 1/2


def test_queries_that_do_not_fit_are_refused():
    for queries in (None, [], [b"a", b"b"], ["a"]):
        with pytest.raises(DataError, match="coarse form"):
            of("keyed-noise")(ROW, queries)


def test_noise_is_the_same_when_asked_again_and_another_with_another_key_query_or_control():
    first = of("keyed-noise", scale=0.5)(ROW, [b"q"])
    assert all(np.array_equal(of("keyed-noise", scale=0.5)(ROW, [b"q"]), first) for _ in range(5))
    assert not np.array_equal(of("keyed-noise", scale=0.5)(ROW, [b"r"]), first)
    assert not np.array_equal(find("keyed-noise").with_settings(key=OTHER, scale=0.5)(ROW, [b"q"]), first)
    assert not np.array_equal(chance(KEY, [b"q"], 3, "keyed-noise"), chance(KEY, [b"q"], 3, "hamp-replacement"))


def test_two_strengths_of_the_noise_do_not_share_it():
    """With shared shares u, a = p (1 - s u) and b = p (1 - t u) would give p to the last digit."""
    rows = np.tile([0.6543210987, 0.2345678901, 0.1111110112], (400, 1))
    queries = [b"%d" % place for place in range(400)]
    shown = {scale: of("keyed-noise", scale=scale)(rows, queries)[:, 0] for scale in (0.1, 0.3, 0.30000000000000004)}
    shares = {scale: (1 - top / rows[:, 0]) / scale for scale, top in shown.items()}
    # 400 pairs of independent draws: their correlation is within 0.2 of 0 but once in 15,000 keys
    assert abs(np.corrcoef(list(shares.values())) - np.eye(3)).max() < 0.2
    solved = shown[0.1] + 0.1 * (shown[0.1] - shown[0.3]) / 0.2
    assert np.median(np.abs(solved - rows[:, 0])) > 0.01
    again = find("keyed-noise").with_settings(key=KEY, scale=np.float64(0.3))
    assert np.array_equal(again(rows, queries)[:, 0], shown[0.3])


def test_chance_is_uniform_and_classes_do_not_repeat_each_other():
    drawn = chance(KEY, [b"%d" % place for place in range(20_000)], 4, "test")
    assert drawn.min() >= 0
    assert drawn.max() < 1
    # a fixed key; the mean of 20,000 uniform numbers is within 0.01 of 1/2 but once in a million keys
    np.testing.assert_allclose(drawn.mean(axis=0), 0.5, atol=0.01)
    np.testing.assert_allclose(np.corrcoef(drawn.T), np.eye(4), atol=0.04)


def test_filling_agrees_with_a_level_found_by_bisection():
    lowered = generated(10, 400) * np.random.default_rng(0).random((400, 10))
    low, high = np.zeros((400, 1)), np.ones((400, 1))
    for _ in range(80):
        level = (low + high) / 2
        short = np.maximum(lowered, level).sum(axis=1, keepdims=True) < 1
        low, high = np.where(short, level, low), np.where(short, high, level)
    np.testing.assert_allclose(filled(lowered), np.maximum(lowered, low), atol=1e-12)


@pytest.mark.parametrize("decimals", [1, 2, 3, 4])
def test_rounded_answers_depend_on_the_rounded_down_row_and_the_label_alone(decimals):
    rng = np.random.default_rng(decimals)
    steps = 10**decimals
    down = rng.multinomial(steps - 3, [0.6, 0.2, 0.1, 0.1], size=500) + 0.0
    down[:, 0] += 1  # what is left over is two steps, spread differently twice
    first, second = ((down + 2 * rng.dirichlet([9.0] * 4, size=500)) / steps for _ in range(2))
    same = (np.floor(first * steps) == down).all(axis=1) & (np.floor(second * steps) == down).all(axis=1)
    same &= first.argmax(axis=1) == second.argmax(axis=1)
    assert same.sum() > 100
    hardening = of("rounding", decimals=decimals)
    np.testing.assert_allclose(hardening(first)[same], hardening(second)[same], atol=1e-12)


def test_rounding_twice_is_rounding_once():
    for decimals in (1, 2, 3, 4):
        once = of("rounding", decimals=decimals)(generated(4, 5000))
        np.testing.assert_allclose(of("rounding", decimals=decimals)(once), once, atol=1e-12)


def test_rounding_that_makes_ties_does_not_change_the_class():
    row = np.array([[0.331, 0.334, 0.335]])
    for dtype in (np.float64, np.float32):
        answer = of("rounding", decimals=1)(row.astype(dtype))
        assert answer.argmax() == 2
        np.testing.assert_allclose(answer, 1 / 3, atol=1e-6)


def test_a_row_under_the_cap_is_not_touched_and_one_above_it_is_at_it():
    rows = np.array([[0.5, 0.3, 0.2], [0.98, 0.02, 0.0]])
    np.testing.assert_array_equal(of("clip-confidence")(rows)[0], rows[0])
    np.testing.assert_allclose(of("clip-confidence")(rows)[1], [0.9, 0.05, 0.05])


def test_values_are_rounded_to_a_step():
    hardening = of("value-rounding", step=0.1)
    assert hardening(np.array([0.34, -0.04, 2.0])).tolist() == [0.3, 0.0, 2.0]
    assert hardening(np.float32([0.34])).dtype == np.float32
    with pytest.raises(ModelError, match="widen the step"):
        of("value-rounding", step=1e-12)(np.array([1e300]))


def test_each_surface_refuses_the_others():
    with pytest.raises(PlanError, match="hardens text"):
        of("no-logprobs")(ROW)
    with pytest.raises(PlanError, match="call it on an array"):
        of("rounding").response({})
    with pytest.raises(DataError, match="named fields"):
        of("no-logprobs").response([])


def test_a_control_that_contradicts_itself_cannot_be_made():
    for wrong, why in (
        ({"surface": "images"}, "surface 'images'"),
        ({"keeps": ("margin",)}, "keeps 'margin'"),
        ({"reads": "all"}, "reads 'all'"),
        ({"reads": "probabilities", "sharper": "so"}, "only what reads none may"),
        ({"surface": "text"}, "goes with 'text'"),
        ({"settings": (Setting("k", "integer", "x"),)}, "takes .* but declares"),
    ):
        with pytest.raises(TypeError, match=why):
            replace(LABEL_ONLY, **wrong)
    with pytest.raises(TypeError, match="kinds"):
        Setting("k", "date", "x")
    assert isinstance(LABEL_ONLY, Control)
