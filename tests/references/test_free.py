"""Free references say what refits would have: exactly where formulas are exact, on average where trees are dealt."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, clone
from sklearn.datasets import make_classification, make_regression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeClassifierCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.tree import DecisionTreeClassifier

import unseen
from unseen.attacks.lira_online import lira_online
from unseen.attacks.moderated_t_trend import moderated_t_trend
from unseen.attacks.rank_combined import rank_combined
from unseen.errors import ModelError
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.free import Free, why_not
from unseen.references.free.bagged import bagged, grown
from unseen.references.free.engine import fit_of
from unseen.references.free.pipeline import table_of, taken_apart
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.signals.margin import decision_margin, margin
from unseen.signals.saturation import finite_bounds
from unseen.stats.roc import auc
from unseen.targets.estimator import EstimatorTarget
from unseen.targets.regressor import RegressorTarget

SECRET = "Rumpelstilzchen"
ASKED = range(20)  # records that brute force fits without and with
CHOICES = {"n_features": 4, "n_informative": 3, "n_redundant": 0, "n_clusters_per_class": 1, "random_state": 0}
X2, Y2 = make_classification(60, n_classes=2, flip_y=0.2, **CHOICES)
X3, Y3 = make_classification(60, n_classes=3, flip_y=0.2, **CHOICES)
XR, YR = make_regression(60, 4, noise=20.0, random_state=0)


def task(model, X, y, references=4, rate=0.5, inclusion=None, seed=0):
    coins = draw_inclusion(seed, references, len(y), rate) if inclusion is None else inclusion
    seeds = draw_seeds(seed, len(coins))
    if np.asarray(y).dtype.kind == "f":
        recipe = RegressorTarget(clone(model).fit(X, y))
        return ReferenceTask(recipe, recipe.classes, X, y, np.argsort(np.argsort(y)) // 6, coins, seeds, scale=10.0)
    recipe = EstimatorTarget(clone(model).fit(X, y))
    index = np.searchsorted(recipe.classes, y)
    return ReferenceTask(recipe, recipe.classes, X, y, index, coins, seeds)


def free(work, wanted=None):
    return dict(Free(1).train(work, range(len(work.seeds)) if wanted is None else wanted))


def rows(answers):
    """Margins and members of all references, in order."""
    return (
        np.stack([answers[k].margin for k in sorted(answers)]).astype(float),
        np.stack([answers[k].member for k in sorted(answers)]),
    )


def pair_of(work, k=0):
    steps, estimator = taken_apart(work.recipe.model)
    included = work.inclusion[k]
    return fit_of(steps, estimator)(table_of(steps, work, included, 0), work, included, work.seeds[k])


def number_of(answers, record, work):
    """One number of an answer that all of it that matters goes into: the margin, or the value."""
    one, own = np.array([record]), work.label_index[[record]]
    if answers.value is not None:
        return answers.value[one][0]
    if answers.log_probs is not None:
        with np.errstate(invalid="ignore", divide="ignore"):
            return margin(answers.log_probs[one], own)[0]
    return decision_margin(answers.decision[one], own)[0]


def refit_number(work, record, rows_fitted):
    """The same of a model really fitted on those rows, asked about one record; -inf of a class that it lacks."""
    model = work.recipe.refit(work.features[rows_fitted], work.labels[rows_fitted], work.seeds[0])
    answers = model.answer(work.features[[record]])
    if answers.value is not None:
        return answers.value[0]
    if work.labels[record] not in model.classes.tolist():
        return -np.inf
    own = np.searchsorted(model.classes, work.labels[[record]])
    with np.errstate(invalid="ignore", divide="ignore"):
        if answers.log_probs is not None:
            return margin(answers.log_probs, own)[0]
        return decision_margin(answers.decision, own)[0]


def by_hand(work, k=0, records=ASKED):
    """Those records' numbers with each and without it, from two fits a record."""
    places, included = np.arange(len(work.labels)), work.inclusion[k]
    inside = [refit_number(work, i, np.flatnonzero(included | (places == i))) for i in records]
    outside = [refit_number(work, i, np.flatnonzero(included & (places != i))) for i in records]
    return np.array(inside), np.array(outside)


def by_formula(work, k=0, records=ASKED):
    pair = pair_of(work, k)
    return tuple(np.array([number_of(side, i, work) for i in records]) for side in (pair.inside, pair.outside))


EXACT = [
    (RidgeClassifier(alpha=0.5), X2, Y2),
    (RidgeClassifier(alpha=0.5), X3, Y3),
    (RidgeClassifier(alpha=2.0, fit_intercept=False, class_weight={0: 1.0, 1: 3.0, 2: 0.5}), X3, Y3),
    (RidgeClassifier(alpha=2.0, class_weight={0: 0.2, 1: 3.0}), X2, Y2),
    (Ridge(alpha=0.5), XR, YR),
    (Ridge(alpha=0.5, fit_intercept=False, solver="svd"), XR, YR),
    (LinearDiscriminantAnalysis(), X2, Y2),
    (LinearDiscriminantAnalysis(), X3, Y3),
    (LinearDiscriminantAnalysis(solver="lsqr"), X3, Y3),
    (LinearDiscriminantAnalysis(solver="eigen"), X2, Y2),
    (KNeighborsClassifier(5), X3, Y3),
    (KNeighborsClassifier(1), X2, Y2),
    (KNeighborsClassifier(7, weights="distance", p=1), X2, Y2),
    (KNeighborsClassifier(5, algorithm="brute", metric="cosine"), X3, Y3),
    (KNeighborsRegressor(4), XR, YR),
    (KNeighborsRegressor(4, weights="distance"), XR, YR),
]


@pytest.mark.parametrize(("model", "X", "y"), EXACT, ids=lambda one: str(one)[:60] if hasattr(one, "fit") else "")
def test_a_formula_says_what_two_fits_a_record_say(model, X, y):
    work = task(model, X, y)
    for found, real in zip(by_formula(work), by_hand(work), strict=True):
        assert np.array_equal(np.isinf(found), np.isinf(real))
        assert np.allclose(found, real, rtol=1e-8, atol=1e-8)


@pytest.mark.filterwarnings("ignore:Only one sample available:UserWarning")  # says scikit-learn of the refit
@pytest.mark.parametrize(
    "model", [RidgeClassifier(), LinearDiscriminantAnalysis(), LinearDiscriminantAnalysis(solver="lsqr")]
)
def test_a_class_that_comes_or_goes_with_one_record_is_still_exact(model):
    labels = np.array(["common", "usual", "rare"])[Y3]
    labels[[4, 5]] = "single"  # one of them in, one out: it goes with the first, and both are two with the second
    labels[labels == "rare"] = np.where(np.arange((labels == "rare").sum()) % 2, "common", "usual")
    labels[7] = "new"
    included = draw_inclusion(3, 2, 60, 0.5)
    included[:, 4], included[:, [5, 7]] = True, False
    work = task(model, X3, labels, inclusion=included)
    found, real = by_formula(work), by_hand(work)
    assert found[1][4] == real[1][4] == -np.inf
    assert np.isfinite(found[0][[4, 5, 7]]).all()
    for ours, theirs in zip(found, real, strict=True):
        assert np.allclose(ours, theirs, rtol=1e-8, atol=1e-8)


def test_two_classes_of_three_are_one_score_as_scikit_learn_has_it():
    labels = np.where(np.arange(60) == 9, 2, Y2)
    included = draw_inclusion(3, 2, 60, 0.5)
    included[:, 9] = False
    work = task(RidgeClassifier(), X2, labels, inclusion=included)
    for ours, theirs in zip(by_formula(work), by_hand(work), strict=True):
        assert np.allclose(ours, theirs, rtol=1e-8, atol=1e-8)


def test_one_search_of_the_pool_finds_what_a_search_of_each_subset_finds():
    wide = task(KNeighborsClassifier(9), X3, Y3, rate=0.25, references=6)
    for k in (0, 2, 4):
        for ours, theirs in zip(by_formula(wide, k), by_hand(wide, k), strict=True):
            assert np.allclose(ours, theirs)


def test_copies_of_a_record_are_its_neighbours_and_it_is_never_its_own_other():
    X = np.repeat(X2[:10], 6, axis=0)
    work = task(KNeighborsClassifier(3), X, np.repeat([0, 1], 30), inclusion=np.ones((2, 60), dtype=bool))
    pair = pair_of(work)
    assert (pair.inside.predicted == work.label_index).all()
    assert (pair.outside.predicted == work.label_index).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_answers_are_the_fits_own_on_one_side_and_near_a_refits_on_the_other(classes):
    X, y = make_classification(120, n_classes=classes, flip_y=0.2, class_sep=0.6, **CHOICES)
    work = task(LogisticRegression(C=1.0, tol=1e-10, max_iter=1000), X, y)
    everyone = range(60)
    (inside, outside), (real_in, real_out) = by_formula(work, 0, everyone), by_hand(work, 0, everyone)
    had = work.inclusion[0, :60]
    assert np.allclose(inside[had], real_in[had], atol=1e-4)
    assert np.allclose(outside[~had], real_out[~had], atol=1e-4)
    for ours, theirs, side in ((outside, real_out, had), (inside, real_in, ~had)):
        moved = np.abs(real_in - real_out)[side]
        assert np.abs(ours - theirs)[side].max() < 0.15 * moved.max()
        assert np.corrcoef((inside - outside)[side], (real_in - real_out)[side])[0, 1] > 0.99


def test_weights_of_classes_and_no_intercept_are_part_of_a_logistic_fit():
    model = LogisticRegression(C=0.5, fit_intercept=False, class_weight={0: 0.3, 1: 2.0}, tol=1e-10)
    work = task(model, X2, Y2)
    (inside, outside), (real_in, real_out) = by_formula(work), by_hand(work)
    assert np.corrcoef(inside - outside, real_in - real_out)[0, 1] > 0.99


def test_two_rows_of_a_fit_are_all_in_and_all_out_whatever_is_wanted():
    work = task(RidgeClassifier(), X2, Y2, references=5)
    answers = free(work)
    assert sorted(answers) == [0, 1, 2, 3, 4]
    assert [answers[k].member.all() for k in range(5)] == [True, False, True, False, True]
    assert [answers[k].member.any() for k in range(5)] == [True, False, True, False, True]
    some = free(work, wanted=[3, 4])
    assert sorted(some) == [3, 4]
    assert (some[3].margin == answers[3].margin).all()
    had, fitted = work.inclusion[2], dict(Processes(1).train(work, [2]))[2]
    assert np.allclose(answers[2].margin[had], fitted.margin[had], atol=1e-5)
    assert np.allclose(answers[3].margin[~had], fitted.margin[~had], atol=1e-5)


CLOUDS = {**CHOICES, "n_features": 6, "n_informative": 5, "flip_y": 0.2}
XF, YF = make_classification(150, n_classes=3, **CLOUDS)
XS, YS = make_regression(150, 4, noise=20.0, random_state=0)
FORESTS = [
    (RandomForestClassifier(10), XF, YF),
    (RandomForestClassifier(10, max_depth=3, class_weight="balanced", max_samples=0.5), XF, YF),
    (ExtraTreesClassifier(10, max_depth=4), XF, YF),
    (BaggingClassifier(DecisionTreeClassifier(max_depth=3), 10, max_features=0.75), XF, YF),
    (BaggingClassifier(KNeighborsClassifier(3), 10, max_samples=0.6, bootstrap=False), XF, YF),
    (BaggingClassifier(RidgeClassifier(), 4), XF, YF > 0),
    (make_pipeline(StandardScaler(), ExtraTreesClassifier(10, bootstrap=True)), XF, YF > 0),
]


def share(answers):
    """The probability of each record's class."""
    return 1 / (1 + np.exp(-answers))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "X", "y"), FORESTS, ids=lambda one: str(one)[:60] if hasattr(one, "fit") else "")
def test_dealt_trees_say_on_average_what_refits_say(model, X, y):
    work = task(model, X, y, references=32)
    ours, member = rows(free(work))
    real = np.stack([answers.margin for _, answers in Processes(1).train(work, range(32))])
    found, expected = np.empty((2, 150)), np.empty((2, 150))
    for side in (0, 1):
        for i in range(150):
            found[side, i] = share(ours[member[:, i] == side, i]).mean()
            expected[side, i] = share(real[work.inclusion[:, i] == side, i]).mean()
    assert np.abs((found - expected).mean(axis=1)).max() < 0.02
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.93


@pytest.mark.parametrize(
    "model", [RandomForestRegressor(10), make_pipeline(StandardScaler(), BaggingRegressor(max_features=0.75))]
)
def test_trees_of_regressions_hold_the_values_of_refits_with_and_without_each_record(model):
    """Values, not margins: those bend, so that the wider spread of refits moves their mean."""
    work = task(model, XS, YS, references=32)
    trees, included = grown(work), work.inclusion
    bag, rest, out = ((trees.says * mask).sum(0) / mask.sum(0) for mask in (trees.bag, trees.rest, trees.out))
    found = np.stack([trees.held * bag + (1 - trees.held) * rest, out])
    values = np.stack(
        [
            work.recipe.refit(XS[had], YS[had], seed).answer(XS).value
            for had, seed in zip(included, work.seeds, strict=True)
        ]
    )
    expected = np.stack([(values * side).sum(0) / side.sum(0) for side in (included, ~included)])
    assert np.abs((found - expected).mean(axis=1)).max() < 0.02 * YS.std()
    assert np.corrcoef((found - YS).ravel(), (expected - YS).ravel())[0, 1] > 0.97  # of residuals, which are hard
    margins, member = rows(free(work))
    real = np.stack([-(np.abs((YS - value) / work.scale) ** (2 / 3)) for value in values])
    for side, had in ((member, included), (~member, ~included)):
        ours, theirs = ((array * one).sum(0) / one.sum(0) for array, one in ((margins, side), (real, had)))
        assert np.corrcoef(ours, theirs)[0, 1] > 0.8


def test_a_forests_references_attack_as_refits_do():
    """AUC over ten targets with 40 references, forests of 30 trees: within 0.02, for 340 trees in place of 1,200."""
    X, y = make_classification(300, 8, n_informative=6, n_redundant=0, n_classes=3, flip_y=0.1, random_state=1)
    work, targets = task(RandomForestClassifier(30), X, y, references=40), draw_inclusion(9, 10, 300, 0.5)
    dealt = rows(free(work))
    refits = np.stack([one.margin for _, one in Processes(1).train(work, range(40))]).astype(float), work.inclusion
    truth = ReferenceTask(work.recipe, work.classes, X, y, work.label_index, targets, draw_seeds(9, 10))
    answers = np.stack([one.margin for _, one in Processes(1).train(truth, range(10))]).astype(float)
    for attack in (rank, moderated_t_trend):
        ours, theirs = (mean_auc(attack, answers, targets, *one) for one in (dealt, refits))
        assert theirs > 0.8
        assert abs(ours - theirs) < 0.02


def rank(own, refs, member):
    return rank_combined(own, refs, member, np.logaddexp(0, -own), np.logaddexp(0, -refs))


def mean_auc(attack, answers, targets, refs, member):
    low, high = finite_bounds(answers, refs)
    refs, answers = np.clip(refs, low, high), np.clip(answers, low, high)
    scores = [attack(own, refs, member) for own in answers]
    return np.mean([auc(score, had).value for score, had in zip(scores, targets, strict=True)])


NULLS = [
    RandomForestClassifier(10),
    RidgeClassifier(),
    LinearDiscriminantAnalysis(),
    KNeighborsClassifier(5),
    LogisticRegression(),
]


@pytest.mark.parametrize("model", NULLS, ids=lambda model: type(model).__name__)
def test_a_target_that_never_saw_the_pool_is_told_from_it_by_nobody(model):
    """Forty coins for members of targets that other records trained: mean AUC within four standard errors of 0.5."""
    X, y = make_classification(360, 5, n_informative=4, n_redundant=0, flip_y=0.2, random_state=2)
    work, coins = task(model, X[:240], y[:240], references=16), draw_inclusion(5, 40, 240, 0.5)
    refs, member = rows(free(work))
    one = work.recipe.refit(X[240:], y[240:], 7).answer(X[:240])
    own = decision_margin(one.decision, work.label_index) if one.log_probs is None else None
    with np.errstate(invalid="ignore", divide="ignore"):
        own = margin(one.log_probs, work.label_index) if own is None else own
    for target in (own[None], refs[-1:]):  # or one of the references, against the others
        others = slice(0, 15)
        for attack in (moderated_t_trend, lira_online):
            value = mean_auc(attack, np.repeat(target, 40, axis=0), coins, refs[others], member[others])
            assert abs(value - 0.5) < 4 * np.sqrt(1 / 120 / 12 * 2 / 40)


def test_rows_of_members_are_the_same_whoever_the_members_are():
    for model in (RandomForestClassifier(10), KNeighborsClassifier(3)):
        member = rows(free(task(model, X2, Y2, references=16)))[1]
        assert (member == np.tile([[True], [False]], (8, 60))).all()


def test_a_record_that_no_bag_held_or_that_every_tree_knew_is_said_to_be_so():
    included = draw_inclusion(0, 4, 60, 0.5)
    included[:, 0], included[:, 1] = False, True
    for model, always in ((RandomForestClassifier(10), False), (ExtraTreesClassifier(10), True)):
        margins, member = rows(free(task(model, X2, Y2, inclusion=included)))
        assert not member[:, 0].any()
        assert (member[1::2, 1] == always).all()  # without bags, who is in every subset is in every tree
        assert member[::2, 1].all()
        assert not np.isnan(margins).any()


def test_a_forest_of_words_and_a_sparse_table_are_grown_as_they_are():
    frame = pl.DataFrame({"word": ["a", "b", "c"] * 20, "other": ["x", "y"] * 30})
    coded = make_pipeline(OneHotEncoder(handle_unknown="ignore"), RandomForestClassifier(5))
    assert not np.isnan(rows(free(task(coded, frame, Y2)))[0]).any()
    plain, thin = (task(RandomForestClassifier(5), X, Y2) for X in (X2, sparse.csr_array(X2)))
    assert np.allclose(rows(free(plain))[0], rows(free(thin))[0])


def test_a_pipelines_steps_are_fitted_on_the_subset():
    model = make_pipeline(StandardScaler(), RidgeClassifier())
    work = task(model, X3, Y3)
    for k in (0, 2):
        (inside, outside), had = by_formula(work, k), work.inclusion[k, list(ASKED)]
        real = by_hand(work, k)
        assert np.allclose(inside[had], real[0][had])
        assert np.allclose(outside[~had], real[1][~had])
        assert np.abs(inside - real[0]).max() < 0.05  # what the scaler itself learned of one record


REFUSED = [
    (GradientBoostingClassifier(n_estimators=2), "GradientBoostingClassifier is none of"),
    (RidgeClassifierCV(), "RidgeClassifierCV is none of"),
    (RidgeClassifier(solver="saga"), "solver='saga'"),
    (RidgeClassifier(class_weight="balanced"), "class_weight='balanced'"),
    (LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1), "shrinkage"),
    (KNeighborsClassifier(3, weights=np.exp), "weights"),
    (LogisticRegression(solver="liblinear"), "solver='liblinear'"),
    (LogisticRegression(l1_ratio=1.0, solver="saga"), "penalty"),
    (make_pipeline(TargetEncoder(), RidgeClassifier()), "TargetEncoder"),
]


@pytest.mark.parametrize(("model", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_cannot_be_had_is_named(model, reason):
    assert reason in why_not(task_of_unfitted(model))


def task_of_unfitted(model):
    class Recipe:
        def __init__(self):
            self.model = model

    return Recipe()


def test_a_recipe_that_is_no_estimator_is_named():
    assert why_not(object()) == "the recipe is no scikit-learn estimator"


def test_what_cannot_be_had_is_trained_and_said():
    work, engine = task(GradientBoostingClassifier(n_estimators=3), X2, Y2), Free(1)
    answers = dict(engine.train(work, [1, 2]))
    for k, real in Processes(1).train(work, [1, 2]):
        assert (answers[k].margin == real.margin).all()
        assert answers[k].member is None
    assert engine.said == [f"references were trained, not had for nothing: {why_not(work.recipe)}."]


def test_what_one_fit_cannot_tell_is_trained_and_said():
    lame = np.column_stack([X2, X2[:, 0] * 2])  # the scatter is singular
    for model, X, y in (
        (LinearDiscriminantAnalysis(), lame, Y2),
        (LogisticRegression(), X2, np.where(np.arange(60) == 3, 2, Y2)),
        (KNeighborsClassifier(29), X2, Y2),
    ):
        included = draw_inclusion(0, 4, 60, 0.5)
        included[:2, 3], included[0, 30:], included[0, :30] = True, False, np.arange(30) > 0
        included[1] = included[0]
        work, engine = task(model, X, y, inclusion=included), Free(1)
        answers = dict(engine.train(work, range(4)))
        assert "only another fit could tell" in engine.said[0]
        for k, real in Processes(1).train(work, [0, 1]):
            assert (answers[k].margin == real.margin).all()
            assert answers[k].member is None


def test_a_subset_of_one_class_fails_as_it_does_elsewhere():
    labels = np.where(np.arange(60) < 2, 0, 1)
    included = np.ones((4, 60), dtype=bool)
    included[:, :2] = False
    for model in (RandomForestClassifier(3), RidgeClassifier(), KNeighborsClassifier(3), LinearDiscriminantAnalysis()):
        for answer in free(task(model, X2, labels, inclusion=included)).values():
            assert isinstance(answer, ReferenceFailure)
            assert answer.stage == "fit"
    included[1, 0] = True
    few = free(task(RandomForestClassifier(3), X2, labels, inclusion=included))
    assert all(isinstance(answer, ReferenceAnswers) for answer in few.values())  # of the subset that can be fitted


class Fragile(BaseEstimator):
    """Raises a secret when it is fitted on part of the records."""

    def fit(self, X, y=None):
        if len(X) < 60:
            raise RuntimeError(SECRET)
        return self

    def transform(self, X):
        return X


def test_a_step_that_raises_is_named_by_its_type_and_never_quoted():
    for model in (RandomForestClassifier(3), RidgeClassifier()):
        for answer in free(task(make_pipeline(Fragile(), model), X2, Y2)).values():
            assert answer == ReferenceFailure("fit", "RuntimeError")
            assert SECRET not in repr(answer)


def test_an_unfitted_model_is_no_target():
    with pytest.raises(ModelError, match="is it fitted"):
        EstimatorTarget(RandomForestClassifier())


def test_nothing_of_a_record_is_shown():
    work = task(RandomForestClassifier(3), X2, Y2)
    assert repr(grown(work)) == "Trees(size=3, held=" + repr(grown(work)).split("held=")[1]
    assert repr(pair_of(task(Ridge(), XR, YR))) == "Pair()"


def test_the_same_seed_deals_the_same_trees():
    work = task(RandomForestClassifier(5), X2, Y2)
    first, again = dict(bagged(work, range(4))), dict(bagged(work, [3]))
    assert (first[3].margin == again[3].margin).all()
    assert (first[3].margin != first[1].margin).any()


def test_persons_with_several_records_get_trained_references_and_the_report_says_so():
    X, y = make_classification(400, 5, n_informative=4, n_redundant=0, flip_y=0.3, random_state=0)
    groups = np.array([f"p{i // 2}" for i in range(400)])
    members, others = (unseen.Records(X[rows], y[rows], groups=groups[rows]) for rows in (slice(200), slice(200, 400)))
    model = RandomForestClassifier(10, random_state=0).fit(X[:200], y[:200])
    options = {"references": 4, "attacks": ["rank-combined"], "workers": 1}
    free, trained = (unseen.audit(model, members, others, engine=one, **options) for one in ("free", "processes"))
    assert free.estimates == trained.estimates
    assert any("free references know of single records only" in note for note in free.report.notes)
