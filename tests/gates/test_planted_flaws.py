"""Each gate catches the flaw that was planted for it, says what to do, and the result is inconclusive."""

from dataclasses import replace
from functools import partial

import msgspec
import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.tree import DecisionTreeClassifier
from tests.gates.planted import balanced, case_of, changed, clean

import unseen
from unseen.attack import Attack
from unseen.attacks.lira_online import LIRA_ONLINE
from unseen.gate import Finding, Gate, broken, held
from unseen.gates import GATES, catalogue
from unseen.pool import assemble
from unseen.signals import FEATURES, LOSS, REF_MARGIN, REF_MEMBER

N = 400
X, Y = make_classification(3 * N, 6, n_informative=4, n_redundant=0, flip_y=0.3, random_state=0)
IDS = np.array([f"r{i:04d}" for i in range(3 * N)])
IN, OUT = slice(0, N), slice(N, 2 * N)


def audited(members=None, non_members=None, model=None, **options):
    members = members or unseen.Records(X[IN], Y[IN], IDS[IN])
    non_members = non_members or unseen.Records(X[OUT], Y[OUT], IDS[OUT])
    model = model or RandomForestClassifier(20, random_state=0).fit(members.features, members.labels)
    return unseen.audit(model, members, non_members, **({"references": 4, "workers": 1, "copies": 2} | options))


def gate(outcome, name):
    return next(one for one in outcome.report.gates if one.name == name)


def caught(outcome, name):
    """Whether the flaw made the whole audit inconclusive, for the reason that this gate gives, with advice."""
    found = gate(outcome, name)
    named = any(reason.startswith(f"gate {name}:") for reason in outcome.report.reasons)
    return found.state == "broken" and bool(found.advice) and named and outcome.report.exit_code == 3


def test_an_honest_audit_breaks_no_gate():
    outcome = audited()
    assert [one.name for one in outcome.report.gates] == [one.name for one in GATES]
    assert {one.name: one.state for one in outcome.report.gates if one.state == "broken"} == {}
    assert outcome.state == "leak"


def test_a_shifted_split_is_caught_by_the_blind_baseline():
    later = X[OUT] + 0.5 * (np.arange(6) == 2)
    outcome = audited(non_members=unseen.Records(later, Y[OUT], IDS[OUT]))
    assert caught(outcome, "blind-baseline")
    beside = [one for one in gate(outcome, "blind-baseline").estimates if one.quantity == "auc_difference"]
    assert len(beside) == 2


def test_a_shift_of_the_labels_alone_is_caught():
    ones, zeros = np.flatnonzero(Y[OUT] == 1)[:150] + N, np.flatnonzero(Y[OUT] == 0)[:60] + N
    rows = np.sort(np.r_[ones, zeros])
    noise = np.random.default_rng(0).normal(size=X.shape)  # features that say nothing of the label
    members = unseen.Records(noise[IN], Y[IN], IDS[IN])
    assert caught(audited(members, unseen.Records(noise[rows], Y[rows], IDS[rows])), "blind-baseline")


def test_a_shift_that_only_labels_in_a_table_of_answers_show_is_caught():
    rng = np.random.default_rng(0)
    member = np.arange(2000) < 1000
    label = (rng.random(2000) < np.where(member, 0.5, 0.7)).astype(int)
    table = {"member": member, "label": label, "probability": rng.dirichlet([2, 2], 2000)}
    assert caught(unseen.audit_table(table), "blind-baseline")


@pytest.mark.parametrize("noise", [0.0, 1e-4], ids=["exact", "near"])
def test_many_copies_across_the_split_are_caught(noise):
    both = X[OUT].copy()
    both[:80] = X[:80] + noise * np.random.default_rng(0).normal(size=(80, 6))
    labels = np.r_[Y[:80], Y[OUT][80:]]
    outcome = audited(non_members=unseen.Records(both, labels, IDS[OUT]))
    assert caught(outcome, "duplicates")
    kind = "exact" if noise == 0 else "near"
    assert gate(outcome, "duplicates").counts[f"{kind}_across_members"] == 80


@pytest.mark.parametrize("noise", [0.0, 1e-4], ids=["exact", "near"])
def test_a_few_copies_leave_the_trial_and_change_no_number_of_the_rest(noise):
    copied = X[:8] + noise * np.random.default_rng(0).normal(size=(8, 6))
    more = unseen.Records(np.r_[copied, X[OUT]], np.r_[Y[:8], Y[OUT]], np.r_[[f"copy{i}" for i in range(8)], IDS[OUT]])
    model = RandomForestClassifier(20, random_state=0).fit(X[IN], Y[IN])
    rest = unseen.Records(X[8:N], Y[8:N], IDS[8:N])
    options = {"model": model, "references": 0, "attacks": ["loss", "gap"]}
    outcome = audited(non_members=more, **options)
    assert (outcome.report.members, outcome.report.non_members) == (N - 8, N)
    assert outcome.estimates == audited(members=rest, **options).estimates
    assert gate(outcome, "duplicates").state == "held"


def test_copies_within_a_side_are_one_unit():
    jitter = X[:50] + 1e-5
    doubled = unseen.Records(np.r_[X[IN], jitter], np.r_[Y[IN], Y[:50]], np.r_[IDS[IN], [f"c{i}" for i in range(50)]])
    outcome = audited(members=doubled, references=0, attacks=["loss"])
    assert outcome.report.members == N
    assert gate(outcome, "duplicates").counts["near_within_members"] == 50


@pytest.mark.parametrize("seed", range(5))
def test_balanced_references_that_hold_the_target_are_caught(seed):
    found = catalogue()["self-null"](balanced(seed))
    assert found.state == "broken"
    assert "number of references" in found.finding


def test_balanced_references_in_a_table_of_answers_are_caught():
    rng = np.random.default_rng(0)
    design = np.stack([rng.permutation(np.arange(8) < 4) for _ in range(800)], axis=1)
    table = {"member": design[0], "margin": rng.normal(size=800)}
    table |= {"ref_member": design[1:], "ref_margin": rng.normal(size=(7, 800))}
    assert caught(unseen.audit_table(table), "self-null")


def test_a_reference_that_was_trained_on_the_members_is_caught():
    case = clean(1)
    lists = case.signals["ref_member"].copy()
    lists[3] = case.member
    assert catalogue()["self-null"](case_of(changed(case, ref_member=lists), case.member)).state == "broken"


@pytest.mark.parametrize("references", [0, 4])
def test_an_attack_that_knows_the_members_is_caught(references):
    model = GaussianNB().fit(X[2 * N :], Y[2 * N :])  # knows neither side: nothing to find
    known = np.isin(_canonical(), X[IN, 0])

    def peeks(loss):
        return loss + 3.0 * known

    own = Attack(score=peeks, needs=(LOSS,), row="S1", cites="specimen")
    outcome = audited(model=model, references=references, attacks=[own])
    assert outcome.report.attacks[0].state == "leak"
    assert caught(outcome, "self-null")


def _canonical():
    """The first feature of the audited records in the order in which attacks see them."""
    sides = (unseen.Records(X[rows], Y[rows], IDS[rows]) for rows in (IN, OUT))
    pool = assemble(*sides, None, np.array([0, 1]), "mean")
    return pool.features[pool.audited, 0]


def test_a_tiny_number_of_non_members_is_caught():
    outcome = audited(non_members=unseen.Records(X[N : N + 40], Y[N : N + 40], IDS[N : N + 40]))
    assert caught(outcome, "resolution")
    assert "100 non-members" in gate(outcome, "resolution").finding


def test_a_rate_of_the_policy_that_the_counts_cannot_carry_is_undecided_with_the_count_it_takes():
    outcome = audited(policy=unseen.Policy(limits=(unseen.Limit("tpr", 0.9, fpr=0.001),)))
    assert outcome.state == "inconclusive"
    assert "10000 non-members are needed" in " ".join(outcome.report.reasons)
    assert gate(outcome, "resolution").counts["needed for 0.001"] == 10_000


def test_a_reversed_score_is_caught():
    rng = np.random.default_rng(0)
    member = np.arange(1000) < 500
    table = {"member": member, "score": rng.normal(size=1000) - 0.5 * member}
    assert caught(unseen.audit_table(table), "direction")


def test_a_reversed_attack_beside_honest_ones_is_caught():
    def backwards(loss):
        return 1.0 * loss

    own = Attack(score=backwards, needs=(LOSS,), row="S1", cites="specimen")
    assert caught(audited(attacks=["gap", "loss", own]), "direction")


def test_members_that_the_model_was_not_trained_on_are_caught():
    listed = unseen.Manifest(ids=IDS[10 : N + 3])
    outcome = audited(manifest=listed)
    assert caught(outcome, "manifest")
    assert gate(outcome, "manifest").counts == {
        "members": N,
        "members_listed": N - 10,
        "non_members": N,
        "non_members_listed": 3,
    }


def test_members_that_stand_in_the_manifest_pass():
    assert gate(audited(manifest=unseen.Manifest(ids=IDS[IN])), "manifest").state == "held"


def test_an_attack_that_does_not_repeat_itself_is_caught():
    rng = np.random.default_rng(0)

    def fickle(loss):
        return -loss + rng.normal(size=loss.size)

    own = Attack(score=fickle, needs=(LOSS,), row="S1", cites="specimen")
    assert caught(audited(attacks=[own]), "agreement")


def test_flags_that_other_references_do_not_repeat_are_caught():
    case = clean(0, records=24_000, references=16, leak=1.0, attacks=[LIRA_ONLINE])

    def chance(loss, ref_margin, ref_member):  # whom it flags hangs on the references alone
        return np.random.default_rng(ref_member.sum(axis=1)).normal(size=loss.size)

    lottery = Attack(score=chance, needs=(LOSS, REF_MARGIN, REF_MEMBER), row="S2", cites="specimen")
    drawn = case_of(case.signals, case.member, attacks=[lottery])
    claimed = replace(drawn, results=[msgspec.structs.replace(drawn.results[0], state="leak")])
    assert catalogue()["agreement"](claimed).state == "broken"
    assert catalogue()["agreement"](case).state == "held"


@pytest.mark.slow
@pytest.mark.parametrize("references", [8, 16])
def test_trees_that_learned_by_heart_break_no_gate_though_few_of_their_flags_repeat(references):
    for seed in range(4):
        x, y = make_classification(1600, 10, n_informative=5, flip_y=0.2, random_state=seed)
        tree = DecisionTreeClassifier(random_state=0).fit(x[:800], y[:800])
        sides = (x[:800], y[:800]), (x[800:], y[800:])
        report = unseen.audit(
            tree, *sides, references=references, workers=1, seed=seed, attacks=["rank-combined"]
        ).report
        assert {one.name for one in report.gates if one.state == "broken"} <= {"blind-baseline", "self-null"}
        assert report.attacks[0].state == "leak"


def test_repeats_within_a_side_break_no_gate():
    broken_ones = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x, y = rng.exponential(size=(1500, 4)), rng.integers(0, 2, 1500)
        elsewhere = GaussianNB().fit(x[1000:], y[1000:])
        more = np.r_[500:1000, rng.integers(500, 1000, 300)]
        report = unseen.audit(elsewhere, (x[:500], y[:500]), (x[more], y[more]), references=0, seed=seed).report
        broken_ones += [one.name for one in report.gates if one.state == "broken"]
    assert len(broken_ones) <= 1


@pytest.mark.parametrize("hidden", [0, 299], ids=["first", "last"])
def test_a_column_that_tells_the_sides_apart_is_seen_among_three_hundred_larger_ones(hidden):
    wide = 10 * np.random.default_rng(0).normal(size=(2 * N, 300))
    wide[:, hidden] = (np.arange(2 * N) >= N) + 0.1 * np.random.default_rng(1).normal(size=2 * N)
    members, others = (unseen.Records(wide[rows], Y[rows], IDS[rows]) for rows in (IN, OUT))
    assert caught(audited(members, others, references=0), "blind-baseline")


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300], ids=str)
def test_columns_that_no_classifier_takes_break_no_gate(value):
    odd = X.copy()
    odd[:, 1] = value
    odd[3, 2] = np.nan
    members, others = (unseen.Records(odd[rows], Y[rows], IDS[rows]) for rows in (IN, OUT))
    model = Ignores().fit(X[IN], Y[IN])
    report = audited(members, others, model, references=0, attacks=["gap", "loss"]).report
    assert [one.name for one in report.gates if one.state == "broken"] == []


class Ignores(GaussianNB):
    """Sees the first column alone."""

    def fit(self, x, y):
        super().fit(x[:, :1], y)
        self.n_features_in_ = 6
        return self

    def predict_proba(self, x):
        self.n_features_in_ = 1
        return super().predict_proba(x[:, :1])

    def predict(self, x):
        self.n_features_in_ = 1
        return super().predict(x[:, :1])


def test_labels_of_one_value_leave_nothing_to_look_at():
    rng = np.random.default_rng(0)
    table = {"member": np.arange(400) < 200, "loss": rng.normal(size=400), "label": np.zeros(400, dtype=int)}
    assert gate(unseen.audit_table(table), "blind-baseline").state == "not_applicable"


@pytest.mark.parametrize("references", [0, 4])
def test_an_attack_that_knows_the_members_by_content_is_caught(references):
    known = set(X[IN, 0].tolist())

    def recognises(features):
        return np.array([1.0 * (row[0] in known) for row in features])

    own = Attack(score=recognises, needs=(FEATURES,), row="S5", cites="specimen")
    model = GaussianNB().fit(X[2 * N :], Y[2 * N :])
    assert caught(audited(model=model, references=references, attacks=[own]), "self-null")


def test_an_attack_that_fails_does_not_break_a_gate():
    def fails(loss):
        raise ValueError("no")

    own = Attack(score=fails, needs=(LOSS,), row="S1", cites="specimen")
    outcome = audited(attacks=["gap", "loss", own])
    assert outcome.state == "leak"
    assert "fails failed: raised ValueError" in outcome.report.reasons


def test_what_a_broken_gate_disqualifies_is_evidence_for_neither_side():
    rng = np.random.default_rng(0)
    member = np.arange(1000) < 500
    outcome = unseen.audit_table({"member": member, "score": rng.normal(size=1000) - 0.5 * member})
    evidence = outcome.report.evidence
    assert not [line for line in [*evidence.for_release, *evidence.against_release] if "attacks" in line]
    assert [line for line in evidence.undecided if "found nothing" in line]
    assert "would have been found" not in str(outcome)
    assert "not to be believed" in str(outcome)


# --- a gate of one's own


def test_a_gate_of_ones_own_is_asked_and_can_break_an_audit():
    def few_features(case):
        """The table has at least ten columns."""
        return (held if case.features.shape[1] >= 10 else broken)(f"{case.features.shape[1]} columns")

    outcome = audited(gates=[Gate(check=few_features, advice="Bring more.")])
    assert caught(outcome, "few-features")
    assert gate(outcome, "few-features").meaning == "The table has at least ten columns."


@pytest.mark.parametrize("given", [None, False, "held", Finding("Broken", "no"), Finding("fine", "yes")])
def test_a_gate_that_gives_no_finding_that_is_understood_has_not_held(given):
    def mumbles(case):
        """Something."""
        return given

    assert caught(audited(references=0, gates=[Gate(check=mumbles, advice="Speak up.")]), "mumbles")


def test_counts_of_a_gate_of_ones_own_may_be_numpys(tmp_path):
    def counts(case):
        """Something."""
        return held("it is", counts={"n": np.int64(3)})

    audited(references=0, gates=[Gate(check=counts, advice="")]).save(tmp_path / "run")


def test_a_gate_without_a_name_is_refused():
    with pytest.raises(TypeError, match="a function with a name"):
        Gate(check=partial(held, "fine"), advice="")


def test_a_gate_that_raises_has_not_held_and_quotes_nothing():
    def explodes(case):
        """Never."""
        raise ValueError(f"secret {case.trial.ids[0]}")

    outcome = audited(gates=[Gate(check=explodes, advice="Mend it.")])
    assert caught(outcome, "explodes")
    assert "ValueError" in gate(outcome, "explodes").finding
    assert "secret" not in str(outcome.report)
