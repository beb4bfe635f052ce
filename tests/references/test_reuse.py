"""References know nothing of membership, and are used again for the same data, estimator and seed alone."""

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import unseen
from unseen.errors import FolderError
from unseen.pool import assemble
from unseen.references import processes
from unseen.references.inclusion import draw_inclusion
from unseen.targets.estimator import EstimatorTarget

X, Y = make_classification(360, 5, n_informative=4, n_redundant=0, flip_y=0.3, random_state=0)
IDS = np.array([f"r{i}" for i in range(360)])
SIDES = (slice(0, 120), slice(120, 240), slice(240, 360))


def records(rows, ids=True, groups=None):
    return unseen.Records(X[rows], Y[rows], IDS[rows] if ids else None, None if groups is None else groups[rows])


def tree(**settings):
    return DecisionTreeClassifier(random_state=0, **settings).fit(X[:120], Y[:120])


def audited(folder=None, model=None, members=None, non_members=None, **options):
    return unseen.audit(
        model or tree(),
        members or records(SIDES[0]),
        non_members or records(SIDES[1]),
        records(SIDES[2]),
        **({"references": 3, "workers": 1, "attacks": ["rank-combined"], "folder": folder} | options),
    )


@pytest.fixture
def refits(monkeypatch):
    """Count the refits of the test."""
    count = []
    train = EstimatorTarget.refit

    def counted(self, features, labels, seed):
        count.append(seed)
        return train(self, features, labels, seed)

    monkeypatch.setattr(EstimatorTarget, "refit", counted)
    return count


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("persons", [True, False])
def test_who_is_a_member_reaches_no_reference(ids, persons):
    groups = np.array([f"p{i // 3}" for i in range(360)]) if persons else None
    a, b, c = (records(rows, ids, groups) for rows in SIDES)
    one = assemble(a, b, c, np.array([0, 1]), "mean")
    other = assemble(b, a, c, np.array([0, 1]), "mean")
    assert (one.digests == other.digests).all()
    assert (one.features == other.features).all()
    assert (one.unit_of == other.unit_of).all()
    coins = draw_inclusion(0, 3, one.units, 0.3)[:, one.unit_of]
    assert (coins == draw_inclusion(0, 3, other.units, 0.3)[:, other.unit_of]).all()
    assert (one.audited == other.audited).all()
    assert (one.trial.member == ~other.trial.member).all()


def test_swapped_sides_have_the_same_references_and_score_with_the_signs_of_the_same_signals(refits):
    there = audited(attacks=["lira-online", "loss"])
    back = audited(attacks=["lira-online", "loss"], members=records(SIDES[1]), non_members=records(SIDES[0]))
    assert refits[:3] == refits[3:]
    one, other = (outcome.records.sort("id") for outcome in (there, back))
    assert (one["member"] != other["member"]).all()
    for attack in ("lira-online", "loss"):
        assert np.allclose(one[f"{attack} score"], other[f"{attack} score"])


def test_membership_and_inclusion_are_independent():
    pool = assemble(records(SIDES[0]), records(SIDES[1]), records(SIDES[2]), np.array([0, 1]), "mean")
    coins = draw_inclusion(0, 200, pool.units, 1 / 3)[:, pool.unit_of][:, pool.audited]
    apart = coins[:, :120].mean() - coins[:, 120:].mean()
    assert abs(apart) < 4 * np.sqrt(2 * (2 / 9) / (200 * 120))


def test_a_persons_records_share_their_coin():
    groups = np.array([f"p{i // 4}" for i in range(360)])
    pool = assemble(*(records(rows, groups=groups) for rows in SIDES), np.array([0, 1]), "mean")
    coins = draw_inclusion(0, 5, pool.units, 0.5)[:, pool.unit_of]
    assert pool.units == 90
    for unit in range(pool.units):
        assert (coins[:, pool.unit_of == unit].std(axis=1) == 0).all()


def test_a_second_run_uses_the_finished_references(tmp_path, refits):
    first = audited(tmp_path / "run")
    second = audited(tmp_path / "run")
    assert len(refits) == 3
    assert second.reused == 3
    assert first.estimates == second.estimates
    assert first.records.equals(second.records)


def test_kept_references_give_what_fresh_ones_give(tmp_path):
    audited(tmp_path / "run")
    assert audited(tmp_path / "run").records.equals(audited().records)


def test_a_damaged_reference_is_noted_and_trained_again(tmp_path, refits):
    first = audited(tmp_path / "run")
    victim = sorted((tmp_path / "run").rglob("reference-*"))[1]
    victim.write_bytes(victim.read_bytes()[:-3])
    second = audited(tmp_path / "run")
    assert len(refits) == 4
    assert list(second.damaged) == [victim.name]
    assert first.estimates == second.estimates


def test_more_references_use_those_there_are(tmp_path, refits):
    audited(tmp_path / "run")
    assert audited(tmp_path / "run", references=5).reused == 3
    assert len(refits) == 5


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"model": DecisionTreeClassifier(max_depth=2).fit(X[:120], Y[:120])},
        {"model": GaussianNB().fit(X[:120], Y[:120])},
        {"members": unseen.Records(X[:120] + 0.001, Y[:120], IDS[:120])},
        {"members": unseen.Records(X[:119], Y[:119], IDS[:119])},
    ],
    ids=["seed", "settings", "class", "values", "rows"],
)
def test_another_seed_estimator_or_table_is_refused_the_folder(tmp_path, other):
    audited(tmp_path / "run")
    with pytest.raises(FolderError, match="holds another run"):
        audited(tmp_path / "run", **other)


def test_the_same_pool_split_in_another_way_is_another_run(tmp_path):
    audited(tmp_path / "run", training_size=120)
    with pytest.raises(FolderError, match="holds another run"):
        audited(
            tmp_path / "run",
            training_size=120,
            members=records(slice(0, 100)),
            non_members=records(slice(100, 240)),
        )


def test_the_same_records_in_another_order_continue_the_run(tmp_path, refits):
    audited(tmp_path / "run")
    order = np.random.default_rng(0).permutation(120)
    audited(tmp_path / "run", members=unseen.Records(X[order], Y[order], IDS[order]))
    assert len(refits) == 3


def test_another_training_size_trains_anew(tmp_path, refits):
    audited(tmp_path / "run")
    audited(tmp_path / "run", training_size=180)
    assert len(refits) == 6


def test_a_model_refitted_by_the_same_recipe_uses_them(tmp_path, refits):
    audited(tmp_path / "run")
    audited(tmp_path / "run", model=tree())
    assert len(refits) == 3


def test_an_interrupt_keeps_what_is_finished_and_the_rerun_uses_it(tmp_path, monkeypatch):
    train, trained = processes.train_one, []

    def interrupted(*task):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(task)
        return train(*task)

    monkeypatch.setattr(processes, "train_one", interrupted)
    with pytest.raises(KeyboardInterrupt):
        audited(tmp_path / "run", references=4)
    monkeypatch.setattr(processes, "train_one", train)
    assert not (tmp_path / "run" / "report.json").exists()
    outcome = audited(tmp_path / "run", references=4)
    assert outcome.reused == 2
    assert outcome.estimates == audited(references=4).estimates


class Sometimes(DecisionTreeClassifier):
    """Refuses to be trained from odd seeds."""

    def fit(self, X, y):
        if self.random_state and self.random_state % 2:
            raise ArithmeticError("Rumpelstilzchen")
        return super().fit(X, y)


def test_a_failing_refit_is_named_counted_and_told():
    outcome = audited(model=Sometimes(random_state=0).fit(X[:120], Y[:120]), references=8, attacks=["lira-online"])
    facts = outcome.report.references
    failed = facts.failures["fit: ArithmeticError"]
    assert failed > 0
    assert facts.finished == 8 - failed
    assert any(f"{failed} of 8 references failed" in note for note in outcome.report.notes)
    assert "Rumpelstilzchen" not in str(outcome) + outcome._repr_html_()


class Never(DecisionTreeClassifier):
    """Cannot be trained again."""

    def fit(self, X, y):
        if self.random_state:
            raise ArithmeticError
        return super().fit(X, y)


def test_if_every_refit_fails_the_attacks_that_need_them_failed_and_the_audit_does_not_pass():
    X0, y0 = X[240:], Y[240:]  # trained on neither side, so there is no leak to find
    outcome = audited(model=Never(random_state=0).fit(X0, y0), attacks=["lira-online", "gap"])
    state = {one.name: (one.state, one.reason) for one in outcome.report.attacks}
    assert state["lira-online"] == ("failed", "3 of 3 references failed")
    assert state["gap"][0] != "failed"
    assert outcome.state in {"inconclusive", "failed"}


@pytest.mark.parametrize(
    ("model", "lacks"),
    [
        (LinearSVC(), "probabilities"),
        (VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())], voting="hard"), "decision scores"),
    ],
)
def test_what_a_model_does_not_give_is_lacking_not_failed(model, lacks):
    outcome = audited(model=model.fit(X[:120], Y[:120]), attacks=["rank-combined", "lira-online", "gap"])
    result = {one.name: one for one in outcome.report.attacks}
    assert outcome.report.references.failures == {}
    assert result["rank-combined"].state == "not_applicable"
    assert lacks in result["rank-combined"].reason
    assert result["lira-online"].state == (
        "not_applicable" if lacks == "decision scores" else result["lira-online"].state
    )
    assert result["lira-online"].state != "failed"
