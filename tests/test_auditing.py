"""The whole audit, on small data: what it finds, what it refuses, and what it never tells."""

import json
from functools import cache

import jsonschema
import matplotlib as mpl
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import Perceptron
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.tree import DecisionTreeClassifier

import unseen
from unseen.attack import Attack
from unseen.errors import DataError, FolderError, InputError, ModelError, PlanError, TargetFailed, UnseenError
from unseen.judging import conclude
from unseen.report import EXIT_CODES, AttackResult, LimitResult, ReferenceFacts, from_json, json_schema, to_json
from unseen.signal import Signal
from unseen.signals import CORRECT
from unseen.trial import Trial

mpl.use("Agg")
SECRET = "Rumpelstilzchen"
N = 300
X, Y = make_classification(3 * N, 5, n_informative=4, n_redundant=0, flip_y=0.3, random_state=0)
IDS = np.array([f"r{i:04d}" for i in range(3 * N)])
IN, OUT, MORE = slice(0, N), slice(N, 2 * N), slice(2 * N, 3 * N)
QUICK = ("lira-online", "loss", "gap")


def records(rows, groups=None):
    return unseen.Records(X[rows], Y[rows], IDS[rows], None if groups is None else groups[rows])


def leaky():
    return DecisionTreeClassifier(random_state=0).fit(X[IN], Y[IN])


def audited(model=None, members=None, non_members=None, population=None, **options):
    return unseen.audit(
        leaky() if model is None else model,
        members or records(IN),
        non_members or records(OUT),
        population,
        **({"references": 2, "workers": 1, "attacks": QUICK} | options),
    )


@cache
def full():
    return audited(population=records(MORE), references=4, attacks=None, copies=4)


@cache
def clean():
    """Return the audit of a model that was trained on others than its `members`."""
    model = DecisionTreeClassifier(random_state=0, max_depth=4).fit(X[MORE], Y[MORE])
    return audited(model, references=4, attacks=None, copies=4, seed=1)


def attack(outcome, name):
    return next(one for one in outcome.report.attacks if one.name == name)


# --- what it finds


def test_a_tree_that_learned_by_heart_leaks():
    outcome = full()
    assert outcome.state == "leak"
    assert outcome.report.exit_code == 1
    assert outcome.report.recommended == "learned"
    assert attack(outcome, "learned").state == "leak"
    assert outcome.report.target.member_accuracy == 1.0
    assert outcome.report.target.non_member_accuracy < 0.9


def test_every_attack_of_the_catalogue_runs_when_everything_is_given():
    results = full().report.attacks
    deeper = {"query_margin", "query_loss", "gradient_norm", "leverage", "trajectory", "imitation_margin"}
    known = unseen.attacks.catalogue().values()
    assert [one.name for one in results] == [one.name for one in known if not deeper & {s.name for s in one.needs}]
    assert [(one.name, one.reason) for one in results if not one.estimates] == []
    assert {one.state for one in results} <= {"leak", "no_leak_found"}


@pytest.mark.parametrize("model", [clean, lambda: audited(DummyClassifier().fit(X[IN], Y[IN]), attacks=None, copies=2)])
def test_without_a_leak_none_is_found_and_what_would_have_been_is_told(model):
    outcome = model()
    assert outcome.state == "no_leak_found"
    assert outcome.report.exit_code == 0
    tested = [one for one in outcome.estimates if one.p_value is not None]
    assert all(one.adjusted_p > 0.05 for one in tested)
    assert all(one.detectable is not None and one.detectable > one.value - 0.2 for one in tested)
    assert "would have been found" in str(outcome)
    assert outcome.report.not_tested


def test_every_negative_has_its_detectable_leak_and_every_number_its_conditions():
    for outcome in (full(), clean()):
        for one in outcome.estimates:
            assert one.low <= one.value <= one.high
            assert one.method
            assert one.condition
            assert one.counts["members"] > 0
            if one.p_value is not None:
                assert 0 <= one.p_value <= one.adjusted_p <= 1
                assert one.detectable is not None


def test_the_family_counts_every_test_of_attacks_and_slices():
    report = full().report
    assert report.family == sum(one.p_value is not None for one in full().estimates)
    assert report.family > 22


def test_a_rate_that_the_counts_cannot_carry_is_refused_with_the_count_it_takes():
    refused = attack(full(), "loss").refused
    needed = {one.fpr: one.non_members_needed for one in refused if one.quantity == "tpr"}
    assert needed == {0.01: 1000, 0.001: 10000}


def test_too_few_non_members_for_any_rate_are_inconclusive_not_a_pass():
    model = DummyClassifier().fit(X[IN], Y[IN])
    outcome = audited(model, non_members=records(slice(N, N + 40)), references=0)
    assert outcome.state == "inconclusive"
    assert outcome.report.exit_code == 3
    assert "100 non-members" in " ".join(outcome.report.reasons)


def test_sides_of_unequal_size_are_audited():
    outcome = audited(non_members=records(slice(N, 2 * N + 150)), references=3)
    assert (outcome.report.members, outcome.report.non_members) == (N, N + 150)
    assert outcome.report.references.inclusion_rate == pytest.approx(N / (2 * N + 150))
    assert outcome.state == "leak"


def test_the_references_are_sized_like_the_targets_training_set():
    small, large = audited(training_size=N), audited(training_size=10_000)
    assert small.report.references.inclusion_rate == pytest.approx(1 / 2)
    assert large.report.references.inclusion_rate == pytest.approx(0.9)
    assert any("less than the target was" in note for note in large.report.notes)
    assert any("knows much of it already" in note for note in large.report.notes)
    assert not any("less than the target was" in note or "much of it" in note for note in small.report.notes)


def test_a_training_set_smaller_than_its_members_is_refused():
    with pytest.raises(PlanError, match="training_size is 100, and there are 300 members"):
        audited(training_size=100)


# --- what it does not depend on


def test_the_order_of_the_records_changes_nothing():
    rng = np.random.default_rng(0)

    def shuffled(rows):
        order = rng.permutation(np.arange(3 * N)[rows])
        return unseen.Records(X[order], Y[order], IDS[order])

    options = {"references": 4, "attacks": None, "copies": 4}
    again = audited(members=shuffled(IN), non_members=shuffled(OUT), population=shuffled(MORE), **options)
    assert again.estimates == full().estimates
    assert again.records.sort("id").equals(full().records.sort("id"))
    assert again.report.provenance.data_digest == full().report.provenance.data_digest


def test_the_container_of_the_features_changes_nothing():
    names = list("abcde")

    def held(wrap):
        return audited(
            DecisionTreeClassifier(random_state=0).fit(wrap(X[IN]), Y[IN]),
            unseen.Records(wrap(X[IN]), Y[IN], IDS[IN]),
            unseen.Records(wrap(X[OUT]), Y[OUT], IDS[OUT]),
            references=0,
            attacks=["loss", "gap"],
        )

    plain = held(lambda table: table)
    for wrap in (lambda table: pd.DataFrame(table, columns=names), lambda table: pl.DataFrame(table, schema=names)):
        assert held(wrap).estimates == plain.estimates


def test_the_same_seed_gives_the_same_numbers_and_another_other_references():
    one, again, other = audited(seed=1), audited(seed=1), audited(seed=2)
    assert one.records.equals(again.records)
    assert not np.allclose(one.scores("lira-online"), other.scores("lira-online"))
    assert np.allclose(one.scores("loss"), other.scores("loss"))


def test_the_input_is_left_alone_and_the_global_generator_too():
    before, state = X.copy(), np.random.get_state()[1].copy()  # noqa: NPY002 - the point is that it is not used
    audited()
    assert (before == X).all()
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


@pytest.mark.parametrize(
    "ids",
    [IDS.tolist(), pd.Series(IDS), pl.Series(IDS), np.arange(3 * N), IDS.astype(object)],
    ids=lambda ids: type(ids).__name__,
)
def test_ids_and_labels_may_be_any_sequence(ids):
    labels = Y.tolist() if isinstance(ids, list) else type(ids)(Y) if not isinstance(ids, np.ndarray) else Y

    def part(rows):
        return unseen.Records(X[rows], labels[rows], ids[rows])

    assert audited(members=part(IN), non_members=part(OUT), references=0).state == "leak"


# --- persons


GROUPS = np.array([f"p{i // 3}" for i in range(3 * N)])


@pytest.mark.parametrize(("rule", "combine"), [("mean", np.mean), ("max", np.max)])
def test_with_persons_every_count_is_of_persons_and_a_score_combines_its_records(rule, combine):
    outcome = audited(members=records(IN, GROUPS), non_members=records(OUT, GROUPS), rule=rule, references=0)
    report = outcome.report
    assert (report.unit, report.rule) == ("person", rule)
    assert (report.members, report.non_members) == (100, 100)
    assert outcome.records.height == 200
    assert {one.counts["members"] for one in outcome.estimates if not one.slice} == {100}
    single = audited(references=0).records
    expected = single.with_columns(pl.Series("person", GROUPS[[int(name[1:]) for name in single["id"]]]))
    for person, score, member in outcome.records.select("id", "loss score", "member").rows()[::17]:
        own = expected.filter(pl.col("person") == person)
        assert own.height == 3
        assert score == pytest.approx(combine(own["loss score"].to_numpy()))
        assert own["member"].to_list() == [member] * 3


def test_records_have_no_rule_in_the_report():
    assert (full().report.unit, full().report.rule) == ("record", "")


@pytest.mark.parametrize("side", ["non_members", "population"])
def test_a_person_on_both_sides_is_refused(side):
    groups = GROUPS.copy()
    groups[N if side == "non_members" else 2 * N] = groups[0]
    with pytest.raises(DataError, match=rf"members and {side} overlap.* 1\b"):
        audited(members=records(IN, groups), non_members=records(OUT, groups), population=records(MORE, groups))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_a_record_without_a_person_is_refused(missing):
    groups = GROUPS.astype(object)
    groups[5] = groups[N + 5] = missing
    with pytest.raises(DataError, match="no group"):
        audited(members=records(IN, groups), non_members=records(OUT, groups), references=0)


def test_groups_in_one_table_and_not_in_the_other_are_refused():
    with pytest.raises(DataError, match="in every table or in none"):
        audited(members=records(IN, GROUPS))


def test_an_unknown_rule_is_refused():
    with pytest.raises(DataError, match="must be one of"):
        audited(rule="median")


# --- overlap and other bad tables


@pytest.mark.parametrize("side", ["non_members", "population"])
@pytest.mark.parametrize("complete", [True, False])
def test_ids_on_two_sides_are_refused(side, complete):
    ids = IDS.copy()
    ids[N if side == "non_members" else 2 * N] = ids[0]
    parts = [unseen.Records(X[rows], Y[rows], ids[rows]) for rows in (IN, OUT, MORE)]
    if not complete:  # one table without ids must not switch the check off for the others
        silent = 1 if side == "population" else 2
        parts[silent] = unseen.Records(parts[silent].features, parts[silent].labels)
    with pytest.raises(DataError, match=rf"members and {side} overlap.* 1\b"):
        unseen.audit(leaky(), *parts, references=0)


def test_an_id_used_twice_is_refused():
    ids = IDS.copy()
    ids[1] = ids[0]
    with pytest.raises(DataError, match="1 ids of the members are used more than once"):
        audited(members=unseen.Records(X[IN], Y[IN], ids[IN]))


def test_members_that_are_the_non_members_are_refused():
    with pytest.raises(DataError, match="overlap: 300 of 300 members have a copy on the other side"):
        audited(members=(X[IN], Y[IN]), non_members=(X[IN][::-1], Y[IN][::-1]))


def test_a_few_shared_records_are_told():
    both = np.r_[0:5, N : 2 * N]
    outcome = audited(members=(X[IN], Y[IN]), non_members=(X[both], Y[both]), references=0)
    counts = next(one.counts for one in outcome.report.gates if one.name == "duplicates")
    assert (counts["exact_across_members"], counts["exact_across_non_members"]) == (5, 5)
    assert (outcome.report.members, outcome.report.non_members) == (N - 5, N)


def refusal(call, kind):
    with pytest.raises(kind) as caught:
        call()
    message = str(caught.value)
    assert isinstance(caught.value, UnseenError)
    assert "\n" not in message
    assert SECRET not in message
    return message


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ((X[IN], np.full(N, 7)), "a label that the model never saw"),
        ((X[IN], Y[IN].astype(str)), "a label that the model never saw"),
        ((X[IN], np.full(N, SECRET)), "a label that the model never saw"),
        ((X[IN], np.where(Y[IN] == 1, np.nan, 0.0)), "a label that the model never saw"),
        ((X[IN], Y[OUT][:-1]), "one a record"),
        ((X[IN][:, :4], Y[IN]), "fitted on 5 columns, the table has 4"),
        ((X[IN][:, 0], Y[IN]), "rows and columns"),
        ((X[:0], Y[:0]), "is empty"),
        (X[IN], "must be a pair"),
        ((X[IN], Y[IN], Y[IN]), "must be a pair"),
        (None, "must be a pair"),
        ((X[IN].tolist(), Y[IN]), "features must be"),
        ((pd.DataFrame(X[IN]), Y[IN]), "of one kind"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(members, says):
    message = refusal(lambda: unseen.audit(leaky(), members, (X[OUT], Y[OUT]), references=0), InputError)
    assert says in message


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"references": 1}, "0 or at least 2"),
        ({"references": -2}, "references must be"),
        ({"references": 2.5}, "references must be"),
        ({"seed": -1}, "seed must be"),
        ({"copies": 0}, "copies must be"),
        ({"training_size": 1}, "training_size must be"),
        ({"attacks": ["lira-onlin"]}, "did you mean 'lira-online'"),
        ({"attacks": []}, "no attack is left"),
        ({"fprs": (0.0,)}, "(0, 1)"),
        ({"fprs": (1.5,)}, "(0, 1)"),
        ({"slices": ["sex"]}, "no feature column 'sex'"),
    ],
)
def test_a_bad_option_is_refused_in_one_sentence(options, says, tmp_path):
    assert says in refusal(lambda: audited(folder=tmp_path / "run", **options), InputError)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_whole_numbers_of_numpy_are_whole_numbers(kind):
    assert audited(references=kind(0), seed=kind(3), attacks=["gap"]).report.provenance.seed == 3


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: unseen.Limit("tpr", 0.1), "tpr needs fpr"),
        (lambda: unseen.Limit("auc", 0.6, fpr=0.1), "auc takes no fpr"),
        (lambda: unseen.Limit("ppv", 0.6, fpr=0.1), "ppv needs prior"),
        (lambda: unseen.Limit("accuracy", 0.6), "metric must be one of"),
        (lambda: unseen.Limit("auc", 1.6), "at_most must be"),
        (lambda: unseen.Limit("tpr", 0.6, fpr=1.0), "fpr must be in"),
        (lambda: unseen.Limit("advantage", 0.6, every_slice=True), "every_slice goes with"),
        (lambda: unseen.Policy(flag_fpr=0.0), "flag_fpr must be"),
        (lambda: unseen.Context(prior=1.0), "prior must be"),
    ],
)
def test_a_bad_limit_is_refused_in_one_sentence(make, says):
    assert says in refusal(make, PlanError)


# --- policy, states and exit codes


def judged(outcome_of=audited, **limit):
    return outcome_of(policy=unseen.Policy(limits=(unseen.Limit(**limit),)), references=0, attacks=["gap", "loss"])


@pytest.mark.parametrize(
    ("limit", "verdict", "state", "code"),
    [
        ({"metric": "auc", "at_most": 0.55}, "over", "leak", 1),
        ({"metric": "auc", "at_most": 0.99}, "within", "no_leak_found", 0),
        ({"metric": "tpr", "fpr": 0.1, "at_most": 0.9}, "within", "no_leak_found", 0),
        ({"metric": "tpr", "fpr": 0.001, "at_most": 0.5}, "undecided", "inconclusive", 3),
        ({"metric": "advantage", "at_most": 0.01}, "over", "leak", 1),
        ({"metric": "advantage", "at_most": 0.99}, "within", "no_leak_found", 0),
    ],
)
def test_the_policy_decides_the_state_and_the_exit_code(limit, verdict, state, code):
    outcome = judged(**limit)
    assert [one.verdict for one in outcome.report.limits] == [verdict]
    assert (outcome.state, outcome.report.exit_code) == (state, code)
    assert str(unseen.Limit(**limit)) in outcome.report.limits[0].limit
    assert outcome.report.reasons


def test_a_limit_on_the_ppv_holds_for_an_attack_that_points_to_nobody():
    policy = unseen.Policy(limits=(unseen.Limit("ppv", 0.9, fpr=0.1, prior=0.01),))
    assert audited(policy=policy, attacks=["lira-online"]).report.limits[0].verdict == "within"
    assert audited(policy=policy, attacks=["gap"], references=0).report.limits[0].verdict == "within"


def test_a_limit_inside_the_interval_is_undecided():
    area = max(
        (one for one in judged(metric="auc", at_most=1.0).estimates if one.quantity == "auc"), key=lambda e: e.value
    )
    outcome = judged(metric="auc", at_most=area.value)
    assert outcome.report.limits[0].verdict == "undecided"
    assert outcome.state == "inconclusive"


def test_an_undecided_limit_says_how_many_non_members_it_takes():
    assert "10000 non-members" in judged(metric="tpr", fpr=0.001, at_most=0.5).report.limits[0].detail


def test_a_limit_can_hold_for_every_slice():
    limit = {"metric": "auc", "at_most": 0.99, "every_slice": True}
    assert "every slice" in judged(**limit).report.limits[0].limit
    assert judged(**limit).report.limits[0].detail


def test_one_limit_over_outweighs_one_within_and_one_undecided():
    limits = tuple(
        unseen.Limit(**one)
        for one in (
            {"metric": "auc", "at_most": 0.99},
            {"metric": "auc", "at_most": 0.52},
            {"metric": "tpr", "fpr": 0.001, "at_most": 0.5},
        )
    )
    outcome = audited(policy=unseen.Policy(limits=limits), references=0, attacks=["gap"])
    assert [one.verdict for one in outcome.report.limits] == ["within", "over", "undecided"]
    assert outcome.state == "leak"


def test_there_are_five_states_and_each_has_its_exit_code():
    assert EXIT_CODES == {"no_leak_found": 0, "leak": 1, "inconclusive": 3, "not_applicable": 3, "failed": 3}


@pytest.mark.parametrize("raised", [ValueError(SECRET), ZeroDivisionError(SECRET), KeyError(SECRET), TypeError(SECRET)])
def test_an_attack_that_fails_is_named_unquoted_and_never_makes_the_state_better(raised, monkeypatch):
    def gap(correct):
        raise raised

    broken = Attack(score=gap, needs=(CORRECT,), row="S1", cites="heuristic")
    loss = unseen.attacks.catalogue()["loss"]
    monkeypatch.setattr(unseen.options.Options, "chosen", lambda self: [broken, loss])
    model = DecisionTreeClassifier(random_state=0, max_depth=4).fit(X[MORE], Y[MORE])
    outcome = audited(model, references=0)
    assert attack(outcome, "gap").state == "failed"
    assert outcome.state == "inconclusive"
    assert SECRET not in to_json(outcome.report).decode() + str(outcome)
    lax = unseen.Policy(limits=(unseen.Limit("auc", 0.999),))
    assert audited(model, references=0, policy=lax).state == "inconclusive"


def test_an_audit_in_which_nothing_could_be_measured_never_passes():
    facts = ReferenceFacts(0, 0, {}, None)
    for states in ([], ["not_applicable"], ["failed"], ["not_applicable", "failed"]):
        results = [AttackResult(f"a{i}", "S1", state, [], "why") for i, state in enumerate(states)]
        for limits in ([], [LimitResult("limit", "within", "")], [LimitResult("limit", "undecided", "")]):
            assert EXIT_CODES[conclude(results, [], limits, facts)[0]] == 3


def test_adding_a_failure_never_improves_a_state():
    badness = {"no_leak_found": 0, "inconclusive": 1, "failed": 1, "not_applicable": 1, "leak": 2}
    facts = ReferenceFacts(4, 4, {}, 0.5)
    failed = AttackResult("broken", "S1", "failed", [], "raised ValueError")
    for state in ("leak", "no_leak_found", "inconclusive"):
        results = [AttackResult("one", "S1", state, [], "")]
        for verdicts in ((), ("within",), ("over",), ("undecided",), ("within", "over")):
            limits = [LimitResult("limit", verdict, "") for verdict in verdicts]
            before = conclude(results, [], limits, facts)[0]
            assert badness[conclude([*results, failed], [], limits, facts)[0]] >= badness[before]
            assert conclude([*results, failed], [], limits, facts)[0] != "no_leak_found"


# --- what was not given


def test_without_references_the_attacks_that_need_them_are_not_applicable_by_name():
    outcome = audited(references=0, attacks=None, copies=2)
    for one in outcome.report.attacks:
        needs = {signal.name for signal in unseen.attacks.catalogue()[one.name].needs}
        lacking = any(name.startswith("ref_") for name in needs) or "population_loss" in needs
        assert (one.state == "not_applicable") == lacking, one.name
        if lacking:
            assert one.reason.startswith("needs ")
            assert not one.estimates
    assert outcome.report.references.asked == 0
    assert any("no references" in note for note in outcome.report.notes)
    assert outcome.state == "leak"


def test_without_a_population_the_attacks_that_need_one_say_so():
    outcome = audited(attacks=["attack-p", "rmia-online", "loss"])
    for one in outcome.report.attacks:
        if any("population" in signal.name for signal in unseen.attacks.catalogue()[one.name].needs):
            assert one.state == "not_applicable"
            assert "other records of the same population" in one.reason
    assert attack(full(), "attack-p").estimates


def test_a_model_without_probabilities_is_audited_with_what_it_gives():
    outcome = audited(Perceptron().fit(X[IN], Y[IN]), population=records(MORE), attacks=None, copies=2)
    for one in outcome.report.attacks:
        catalogued = unseen.attacks.catalogue()[one.name]
        needs_probabilities = "probabilities" in catalogued.access
        assert (one.state == "not_applicable") == needs_probabilities, one.name
        assert not needs_probabilities or "probabilities" in one.reason
    assert outcome.report.recommended == "moderated-t-trend"
    assert outcome.report.target.access == ["decision scores", "labels"]


class Words(ClassifierMixin, BaseEstimator):
    """Gives labels and nothing else."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.tree_ = DecisionTreeClassifier(random_state=0).fit(X, y)
        return self

    def predict(self, X):
        return self.tree_.predict(X)


def test_a_model_of_labels_alone_is_audited_by_labels():
    outcome = audited(Words().fit(X[IN], Y[IN]), population=records(MORE), attacks=None, copies=2)
    measured = {one.name for one in outcome.report.attacks if one.estimates}
    assert measured == {"gap", "noise-robustness"}
    assert {one.state for one in outcome.report.attacks if one.name not in measured} == {"not_applicable"}
    assert outcome.state == "leak"


class Bare:
    """Has the interface and no parameters to clone."""

    classes_ = np.array([0, 1])

    def __init__(self):
        self._tree = leaky()

    def predict(self, X):
        return self._tree.predict(X)

    def predict_proba(self, X):
        return self._tree.predict_proba(X)


def test_a_model_that_cannot_be_cloned_is_audited_without_references():
    assert audited(Bare(), references=0).state == "leak"


def test_a_model_that_cannot_be_cloned_says_so_when_references_are_asked_for():
    assert "references=0" in refusal(lambda: audited(Bare()), ModelError)


class Bursting(DecisionTreeClassifier):
    """Raises when it is asked."""

    def predict_proba(self, X):
        raise ValueError(f"cannot handle {SECRET} in row 3")


def test_a_model_that_raises_leaves_nothing_behind_and_no_word_of_its_own(tmp_path):
    model = Bursting().fit(X[IN], Y[IN])
    refusal(lambda: audited(model, folder=tmp_path / "run"), TargetFailed)
    assert not (tmp_path / "run").exists()


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("keep")
    refusal(lambda: audited(folder=tmp_path), FolderError)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


# --- slices


TOWNS = np.where(np.arange(3 * N) % 2 == 0, "east", "west").astype(object)
TOWNS[[0, 2, 4, N, N + 2, N + 4]] = "hamlet"


def sliced(**options):
    def table(rows):
        return pl.DataFrame(X[rows], schema=list("abcde")).with_columns(town=pl.Series(TOWNS[rows].tolist()))

    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["town"]), remainder="passthrough")
    model = make_pipeline(encode, DecisionTreeClassifier(random_state=0)).fit(table(IN), Y[IN])
    parts = [unseen.Records(table(rows), Y[rows], IDS[rows]) for rows in (IN, OUT)]
    return audited(model, *parts, slices=["town"], **({"references": 0} | options))


def test_slices_are_measured_by_class_loss_and_named_column():
    cells = {(one.by, one.value): one for one in sliced().report.slices}
    assert {"class", "town", "loss decile"} == {by for by, _ in cells}
    assert {value for by, value in cells if by == "class"} == {"0", "1"}
    east = cells["town", "east"]
    assert not east.suppressed
    assert east.estimates[0].counts == {"members": 147, "non_members": 147}
    assert east.estimates[0].confidence > 0.95  # simultaneous
    assert east.estimates[0].slice == "town=east"


def test_a_cell_under_ten_is_suppressed_without_counts_or_values():
    outcome = sliced()
    cell = next(one for one in outcome.report.slices if one.suppressed)
    assert cell.by == "town"
    assert "hamlet" not in to_json(outcome.report).decode()
    assert cell.estimates == []
    assert cell.state == "not_applicable"
    assert "hamlet" not in str(outcome)


def test_a_column_of_many_values_is_refused_as_a_slice_and_not_quoted():
    parts = [unseen.Records(pl.DataFrame({"a": X[rows, 0]}), Y[rows]) for rows in (IN, OUT)]
    model = DecisionTreeClassifier(random_state=0).fit(parts[0].features, Y[IN])
    with pytest.raises(DataError, match="bin them first"):
        audited(model, *parts, slices=["a"], references=0)


def test_with_no_attack_left_there_are_no_slices_and_no_pass():
    outcome = sliced(attacks=["lira-online"])
    assert outcome.report.slices == []
    assert outcome.state == "inconclusive"


def test_a_persons_mixed_records_fall_in_several():
    mixed = np.arange(3 * N) // 2

    def table(rows):
        return pl.DataFrame(X[rows], schema=list("abcde")).with_columns(town=pl.Series(TOWNS[rows].tolist()))

    parts = [
        unseen.Records(table(rows).drop("town"), Y[rows], IDS[rows], mixed[rows].astype(str)) for rows in (IN, OUT)
    ]
    model = DecisionTreeClassifier(random_state=0).fit(parts[0].features, Y[IN])
    outcome = audited(model, *parts, references=0)
    assert "(several)" in {one.value for one in outcome.report.slices if one.by == "class"}


# --- the report, the table, the pictures


@pytest.mark.parametrize("make", [full, clean, lambda: sliced(references=2), lambda: judged(metric="auc", at_most=0.6)])
def test_a_report_round_trips_and_keeps_its_schema(make):
    report = make().report
    text = to_json(report)
    assert from_json(text) == report
    content = json.loads(text)
    jsonschema.Draft202012Validator.check_schema(json_schema())
    jsonschema.validate(content, json_schema(), cls=jsonschema.Draft202012Validator)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content | {"more": 1}, json_schema())
    with pytest.raises(msgspec.ValidationError):
        from_json(json.dumps(content | {"more": 1}).encode())


def test_a_table_of_units_has_score_p_value_and_flag_for_each_attack():
    table = full().records
    assert table.height == 2 * N
    assert table["id"].n_unique() == 2 * N
    assert set(table["id"]) == set(IDS[: 2 * N])
    for one in full().report.attacks:
        p = table[f"{one.name} p"].to_numpy()
        flagged = table[f"{one.name} flagged"].to_numpy()
        assert np.isfinite(table[f"{one.name} score"].to_numpy()).all()
        assert ((p > 0) & (p <= 1)).all()
        assert (flagged == (p <= 0.01)).all()
        assert one.flagged_members == int((flagged & table["member"].to_numpy()).sum())


def test_scores_are_had_by_name_and_by_default_the_recommended():
    outcome = full()
    assert (outcome.scores() == outcome.scores("learned")).all()
    assert "did you mean 'loss'" in refusal(lambda: outcome.scores("los"), PlanError)


def test_what_is_saved_is_whole_and_for_its_owners_eyes_only(tmp_path):
    outcome = full()
    folder = outcome.save(tmp_path / "deep" / "run")
    files = sorted(folder.iterdir())
    assert [path.name for path in files] == ["records.parquet", "report.json", "run.json"]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert from_json((folder / "report.json").read_bytes()) == outcome.report
    assert pl.read_parquet(folder / "records.parquet").equals(outcome.records)


def test_no_content_of_a_record_is_told_anywhere_but_in_the_table(tmp_path):
    words = np.array([f"{SECRET}-{i}" for i in range(3 * N)])
    persons = np.array([f"Person{SECRET}{i}" for i in range(3 * N)])
    ids = np.array([f"Id{SECRET}{i}" for i in range(3 * N)])

    def part(rows):
        table = pl.DataFrame({"word": words[rows], "x": X[rows, 0], "y": X[rows, 1]})
        return unseen.Records(table, Y[rows], ids[rows], persons[rows])

    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["word"]), remainder="passthrough")
    model = make_pipeline(encode, RandomForestClassifier(5, random_state=0)).fit(part(IN).features, Y[IN])
    nobody = {"policy": unseen.Policy(name_ids=0), "folder": tmp_path / "run"}
    outcome = audited(model, part(IN), part(OUT), part(MORE), attacks=None, copies=2, **nobody)
    outcome.save(tmp_path / "run")
    told = [to_json(outcome.report).decode(), str(outcome), repr(outcome), outcome._repr_html_()]
    told += [repr(outcome.trial), repr(part(IN)), repr(outcome.report)]
    told += [path.read_bytes().decode("latin1") for path in (tmp_path / "run").rglob("*.json")]
    assert not [text for text in told if SECRET in text]


def test_a_notebook_shows_escaped_html():
    html = full()._repr_html_()
    assert html.startswith("<div>")
    assert "LEAK FOUND" in html
    assert "rank-combined" in html


def test_class_names_with_markup_in_them_are_printed_as_they_are(capsys):
    labels = np.array(["[red]no[/red]", "[/bold]<b>yes"])[Y]
    outcome = audited(
        DecisionTreeClassifier(random_state=0).fit(X[IN], labels[IN]), (X[IN], labels[IN]), (X[OUT], labels[OUT])
    )
    unseen.renderers.show(outcome.report)
    printed = capsys.readouterr().out
    assert "[/bold]<b>yes" in printed
    assert "<b>" not in outcome._repr_html_()


@pytest.mark.parametrize("make", [full, clean, lambda: judged(metric="auc", at_most=0.6), sliced])
def test_every_outcome_is_printed_for_people_and_for_programs(make, capsys):
    outcome = make()
    unseen.renderers.show(outcome.report)
    people = capsys.readouterr().out
    unseen.renderers.show(outcome.report, json=True)
    assert json.loads(capsys.readouterr().out)["state"] == outcome.state
    first = str(outcome).splitlines()[0]
    assert first.split(":")[0] in people
    assert "Not tested" in people
    for word in ("safe", "anonymous", "no leakage"):
        assert word not in people.lower()


@pytest.mark.filterwarnings("ignore:More than 20 figures:RuntimeWarning")
def test_pictures_are_displays_with_axes_and_figure():
    import matplotlib.pyplot as plt

    outcome = full()
    displays = [
        outcome.plot_roc(),
        outcome.plot_roc(attacks=["loss", "gap"]),
        outcome.plot_records(),
        outcome.plot_records(attack="gap"),
        outcome.plot_intervals(),
        outcome.plot_intervals(quantity="advantage"),
        outcome.plot_intervals(quantity="tpr", fpr=0.1),
    ]
    for display in displays:
        assert display.figure_ is display.ax_.figure
        display.figure_.canvas.draw()
    axes = plt.figure().add_subplot()
    assert outcome.plot_roc(axes).ax_ is axes
    assert SECRET not in repr(displays)
    assert len(repr(displays[2])) < 200
    plt.close("all")


def test_a_picture_of_a_number_that_was_not_measured_is_refused():
    assert "0.001" in refusal(lambda: full().plot_intervals(quantity="tpr", fpr=0.001), UnseenError)


def test_an_outcome_without_a_recommendation_has_no_default_scores():
    outcome = audited(references=0, attacks=["lira-online"])
    refusal(outcome.scores, PlanError)
    refusal(outcome.plot_roc, PlanError)
    assert outcome.records.columns == ["id", "member"]


def test_combining_rules_are_named_functions_of_a_persons_scores():
    member = np.array([True, False])
    for rule, expected in (("mean", [-1.5, 4.0]), ("max", [-1.0, 4.0])):
        trial = Trial(member, np.array(["a", "b"]), "person", np.array([0, 0, 1]), rule)
        assert trial.per_unit(np.array([-1.0, -2.0, 4.0])).tolist() == expected


def test_two_models_of_one_kind_share_no_state():
    first, second = audited(GaussianNB().fit(X[IN], Y[IN])), audited(GaussianNB().fit(X[OUT], Y[OUT]))
    assert first.report.provenance.model_digest != second.report.provenance.model_digest
    assert not np.allclose(first.scores("loss"), second.scores("loss"))


def test_an_attack_of_ones_own_is_run_beside_the_catalogues_or_told_what_it_lacks():
    def upside_down(correct):
        return 1 - correct

    def needs_more(weight):
        return weight

    own = Attack(score=upside_down, needs=(CORRECT,), row="S1", cites="heuristic")
    weight = Signal("weight", ("records",), "grams", frozenset(), "what nobody measures")
    lacking = Attack(score=needs_more, needs=(weight,), row="S1", cites="heuristic")
    outcome = audited(attacks=["gap", own, lacking], references=0)
    assert attack(outcome, "upside-down").estimates
    assert attack(outcome, "needs-more").state == "not_applicable"
    assert "weight" in attack(outcome, "needs-more").reason


# --- what a reviewer found


def test_records_that_repeat_on_one_side_count_once_and_are_told():
    twice = np.r_[np.arange(N), np.arange(N)]
    model = GaussianNB().fit(X[OUT], Y[OUT])
    outcome = audited(model, (X[IN][twice], Y[IN][twice]), (X[OUT], Y[OUT]), references=0)
    assert outcome.report.members == np.unique(X[IN], axis=0).shape[0] == N
    assert next(one.counts["exact_within_members"] for one in outcome.report.gates if one.name == "duplicates") == N


def test_a_handful_of_members_is_inconclusive_and_passes_no_policy():
    few = (X[:5], np.array([0, 1, 0, 1, 0]))
    model = GaussianNB().fit(X[OUT], Y[OUT])
    assert audited(model, members=few, references=0).state == "inconclusive"
    policy = unseen.Policy(limits=(unseen.Limit("auc", 0.99),))
    assert audited(model, members=few, references=0, policy=policy).state == "inconclusive"


def test_a_limit_on_every_slice_is_undecided_where_a_slice_cannot_be_measured():
    policy = unseen.Policy(limits=(unseen.Limit("tpr", 0.99, fpr=0.05, every_slice=True),))
    limit = sliced(policy=policy, attacks=["loss"]).report.limits[0]
    assert limit.verdict == "undecided"
    assert "cannot be measured" in limit.detail


def test_references_that_are_the_target_itself_are_no_evidence():
    class Frozen(GaussianNB):
        def fit(self, X, y):
            return super().fit(globals()["X"][OUT], Y[OUT])

    outcome = audited(Frozen().fit(X, Y), references=4, attacks=["lira-online", "base"])
    assert outcome.state == "inconclusive"
    assert "not retrained" in " ".join(outcome.report.reasons)


def test_a_model_that_will_not_answer_perturbed_copies_fails_that_attack_alone():
    class Strict(GaussianNB):
        def predict_proba(self, X):
            if not np.isin(X[:, 0], globals()["X"][:, 0]).all():
                raise ValueError("unknown")
            return super().predict_proba(X)

    outcome = audited(Strict().fit(X[IN], Y[IN]), references=0, attacks=["noise-robustness", "loss"])
    states = {one.name: one.state for one in outcome.report.attacks}
    assert states["noise-robustness"] == "failed"
    assert states["loss"] in {"leak", "no_leak_found", "inconclusive"}


def test_a_report_is_not_saved_over_another_run(tmp_path):
    audited(references=0).save(tmp_path / "run")
    other = audited(GaussianNB().fit(X[OUT], Y[OUT]), references=0)
    with pytest.raises(FolderError, match="another run"):
        other.save(tmp_path / "run")
