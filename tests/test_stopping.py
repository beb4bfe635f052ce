"""An audit stops once more references cannot change its verdict, errs in one audit of twenty at most, and says so.

The error of the whole rule is measured on 400 leak-free worlds, whose looks share their records and references.
"""

import math
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from itertools import count
from unittest.mock import patch

import joblib
import numpy as np
import pytest
from scipy.stats import binom
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier
from typer.testing import CliRunner

from unseen import audit
from unseen.cli.main import app
from unseen.errors import PlanError
from unseen.judgement import judge
from unseen.options import Options
from unseen.policy import Limit, Policy
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references.gather import gather
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.references.store import ReferenceStore
from unseen.report import LEAK, ReferenceFacts
from unseen.signal import Signals
from unseen.slicing import by_value
from unseen.stats.spending import looks, spending
from unseen.stopping import Once, Ration, Stopped, Timed, gather_until, ration, seconds_of, settled, within
from unseen.targets.estimator import EstimatorTarget
from unseen.testing.worlds import World, classifier
from unseen.trial import Trial

WORLDS, LEVEL = 400, 0.05
RECORDS = 40
SMALL = spending((4, 8, 16))[0]  # half a percent


# --- what settles an audit


def seen(world, references):
    """The signals of a world's first references."""
    return Signals(
        **{name: array[:references] if name.startswith("ref_") else array for name, array in world.signals.items()}
    )


def judged(world, references, level, policy=None, attacks=("rank-combined",), by=None):
    options = Options(attacks=attacks, policy=policy or Policy())
    trial = Trial(world.member, np.arange(world.member.size).astype(str))
    cells = [] if by is None else by_value("part", by, trial)
    facts = ReferenceFacts(references, references, {}, None)
    return settled(seen(world, references), trial, options.chosen(), cells, options, facts, level)


def stopped_at(world, most, policy=None, levels=None):
    """The number of references at which the rule says that there is a leak, the last look included; else None."""
    schedule = looks(most)
    for references, level in zip(schedule, levels or spending(schedule, LEVEL), strict=True):
        if judged(world, references, level, policy) is not None:
            return references
    return None


BOUNDARY = Policy(limits=(Limit("auc", 0.5), Limit("tpr", 0.1, fpr=0.1)))  # what is true of a world without a leak


def null_alarms(seed):
    world = classifier(seed, records=300, references=16, leak=0.0, population=10)
    with patch("unseen.judgement.threadpool_limits", nullcontext):  # looking for thread pools takes longer than scoring
        return stopped_at(world, 16), stopped_at(world, 16, BOUNDARY)


@cache
def null_worlds():
    return joblib.Parallel(n_jobs=2)(joblib.delayed(null_alarms)(seed) for seed in range(WORLDS))


def most_alarms(worlds, level=LEVEL):
    """The false alarms that a rule erring at `level` exceeds in 1 run of this test in 10,000."""
    return int(binom.isf(1e-4, worlds, level))


@pytest.mark.slow
@pytest.mark.parametrize("rule", [0, 1], ids=["above chance", "over a limit"])
def test_over_all_its_looks_the_rule_raises_a_false_alarm_in_one_audit_of_twenty_at_most(rule):
    stops = [alarm[rule] for alarm in null_worlds()]
    assert sum(stop is not None for stop in stops) <= most_alarms(WORLDS)
    assert sum(stop in {4, 8} for stop in stops) <= most_alarms(WORLDS, 0.2 * LEVEL)


@pytest.mark.slow
def test_a_leak_is_found_early_and_most_references_are_saved():
    stops = [stopped_at(classifier(seed, 1000, 64, leak=0.7, population=10), 64) for seed in range(10)]
    assert stops == [4] * 10


@pytest.mark.slow
def test_a_limit_just_under_the_truth_takes_more_references_and_one_above_it_takes_all():
    def stops(at_most):
        worlds = (classifier(seed, 3000, 32, leak=1.0, population=10) for seed in range(6))
        return [stopped_at(world, 32, Policy(limits=(Limit("auc", at_most),))) for world in worlds]

    far, near, above = stops(0.80), stops(0.82), stops(0.95)  # four references reach 0.825, eight 0.839, sixteen 0.848
    assert set(far) <= {4, 8}
    assert set(near) <= {8, 16, 32}
    assert sum(near) > sum(far)
    assert above == [None] * 6


def test_a_limit_far_below_the_truth_is_over_and_the_reason_names_it():
    limit = Limit("auc", 0.55)
    reason = judged(classifier(0, 1000, 4), 4, 0.0025, Policy(limits=(limit,)))
    assert reason.startswith(f"over the limit, {limit}")


def test_within_a_limit_settles_nothing():
    world = classifier(0, 2000, 4, leak=0.0)
    assert judged(world, 4, 0.04, Policy(limits=(Limit("auc", 0.99), Limit("tpr", 0.9, fpr=0.1)))) is None


def test_a_leak_within_the_limits_settles_nothing():
    world = classifier(0, 1000, 4)
    assert judged(world, 4, 0.0025) is not None
    assert judged(world, 4, 0.0025, Policy(limits=(Limit("auc", 0.999),))) is None


def test_no_leak_found_settles_nothing():
    assert judged(classifier(3, 500, 8, leak=0.0), 8, 0.0025) is None


def test_a_limit_in_every_slice_is_judged_in_the_slices():
    leaks, tight = classifier(0, 600, 8, leak=1.0, population=10), classifier(1, 1800, 8, leak=0.0, population=10)
    names = ("margin", "ref_margin", "ref_member", "loss", "ref_loss")
    signals = Signals(**{name: np.concatenate([leaks.signals[name], tight.signals[name]], axis=-1) for name in names})
    world = World(signals, np.concatenate([leaks.member, tight.member]))
    part = np.repeat(["leaks", "tight"], [600, 1800])
    assert judged(world, 8, 0.01, Policy(limits=(Limit("auc", 0.7),)), by=part) is None
    reason = judged(world, 8, 0.01, Policy(limits=(Limit("auc", 0.7, every_slice=True),)), by=part)
    assert "part=leaks" in reason


def test_the_stricter_the_level_the_less_is_settled():
    world = classifier(1, 300, 4, leak=0.25)
    levels = [10.0**-power for power in range(1, 13)]
    found = [judged(world, 4, level) is not None for level in levels]
    assert found == sorted(found, reverse=True)
    assert found[0]
    assert not found[-1]


def test_at_the_whole_budget_the_rule_says_what_a_report_says():
    for seed, leak in ((0, 0.0), (1, 0.2), (2, 0.4)):
        world = classifier(seed, 400, 8, leak=leak)
        trial = Trial(world.member, np.arange(400).astype(str))
        for policy in (Policy(), BOUNDARY):
            options = Options(attacks=["rank-combined", "loss"], policy=policy)
            state = judge(world.signals, trial, options.chosen(), [], options, ReferenceFacts(8, 8, {}, None)).state
            said = judged(world, 8, LEVEL, policy, attacks=["rank-combined", "loss"])
            assert (said is not None) == (state == "leak")


# --- how references are gathered


def answers_of(k):
    rng = np.random.default_rng(k)
    return ReferenceAnswers(rng.normal(size=RECORDS).astype(np.float32), rng.random(RECORDS).astype(np.float32))


class Engine:
    """Gives the answers above, last first, a tick of the clock each, and remembers what it was asked for."""

    def __init__(self, failing=(), clock=None):
        self.failing, self.clock, self.trained, self.ended = failing, clock, [], 0

    def train(self, task, wanted):
        try:
            for k in reversed(wanted):
                self.trained.append(k)
                if self.clock:
                    self.clock.now += 1
                yield k, ReferenceFailure("fit", "ValueError") if k in self.failing else answers_of(k)
        finally:
            self.ended += 1


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def task(references=16):
    inclusion = draw_inclusion(0, references, RECORDS, 0.5)
    return ReferenceTask(None, None, None, None, None, inclusion, draw_seeds(0, references))


def quiet(done, of):
    pass


class Judge:
    """Settles an audit with so many references, and remembers what it was shown."""

    def __init__(self, enough=math.inf):
        self.enough, self.shown = enough, []

    def __call__(self, gathered, level):
        self.shown.append((gathered.finished, level))
        return "over" if gathered.finished >= self.enough else None


def gathered(engine, given=None, judge=None, folder=None, clock=None, progress=quiet):
    store = ReferenceStore(folder, "key")
    return gather_until(
        task(), engine, store, progress, given or ration(16, adaptive=True), judge or Judge(), clock or Clock()
    )


def test_an_audit_that_is_settled_asks_for_no_more():
    engine, judge = Engine(), Judge(enough=8)
    found, end = gathered(engine, judge=judge)
    assert sorted(engine.trained) == list(range(8))
    assert judge.shown == [(4, SMALL), (8, SMALL)]
    assert (found.asked, found.finished) == (8, 8)
    assert end == Stopped(asked=8, used=8, most=16, level=SMALL, spent=SMALL, looks=2, reason="over")
    assert end.saved == 8


def test_an_audit_that_is_not_settled_has_every_reference_and_what_is_left_of_the_budget():
    engine, judge = Engine(), Judge()
    found, end = gathered(engine, judge=judge)
    whole = gather(task(), Engine(), ReferenceStore(None, "key"), quiet)
    assert (found.margin == whole.margin).all()
    assert (found.loss == whole.loss).all()
    assert (found.member == whole.member).all()
    assert sorted(engine.trained) == list(range(16))
    assert [finished for finished, _ in judge.shown] == [4, 8]  # the last look is the report's
    assert (end.asked, end.saved, end.looks, end.reason) == (16, 0, 3, "")
    assert end.level == pytest.approx(0.04)
    assert end.spent + end.level == 0.05


def test_the_first_references_are_the_same_however_many_there_could_be():
    found, _ = gathered(Engine(), judge=Judge(enough=4))
    whole = gather(task(), Engine(), ReferenceStore(None, "key"), quiet)
    assert (found.margin == whole.margin[:4]).all()
    assert (found.member == whole.member[:4]).all()


def test_one_look_at_all_spends_nothing_before_and_asks_no_judge():
    judge = Judge()
    _, end = gathered(Engine(), ration(16, adaptive=False), judge)
    assert judge.shown == []
    assert end == Stopped(asked=16, used=16, most=16, level=0.05)
    assert end.notes() == []


def test_kept_references_are_used_and_counted_and_those_of_this_run_are_not(tmp_path):
    gathered(Engine(), judge=Judge(enough=4), folder=tmp_path)
    engine = Engine()
    found, _ = gathered(engine, folder=tmp_path)
    assert sorted(engine.trained) == list(range(4, 16))
    assert (found.reused, found.finished) == (4, 16)
    again = Engine()
    assert gathered(again, folder=tmp_path)[0].reused == 16
    assert again.trained == []


def test_where_references_are_kept_the_audit_still_stops_where_it_did(tmp_path):
    gathered(Engine(), folder=tmp_path)
    found, end = gathered(Engine(), judge=Judge(enough=8), folder=tmp_path)
    assert (found.finished, end.asked, end.level) == (8, 8, SMALL)


def test_a_failed_reference_is_counted_once_and_not_tried_again():
    engine = Engine(failing={1, 5})
    found, end = gathered(engine)
    assert sorted(engine.trained) == list(range(16))
    assert found.failures == {"fit: ValueError": 2}
    assert (found.asked, end.used) == (16, 14)


def test_progress_is_told_of_all_that_there_could_be():
    told = []
    gathered(Engine(), judge=Judge(enough=8), progress=lambda done, of: told.append((done, of)))
    assert {of for _, of in told} == {16}
    assert max(done for done, _ in told) == 8


def test_a_ration_without_a_look_is_refused():
    for looking in ((), (8, 4), (4, 4)):
        with pytest.raises(ValueError, match="one look or more, ascending"):
            Ration(looking)


# --- the clock


@pytest.mark.parametrize("adaptive", [False, True])
def test_when_time_is_up_no_more_are_asked_and_the_rest_of_the_budget_is_for_the_report(adaptive):
    clock = Clock()
    engine = Engine(clock=clock)
    found, end = gathered(engine, ration(16, adaptive=adaptive, seconds=6.0), clock=clock)
    assert len(engine.trained) == 6
    assert (found.asked, found.finished) == (6, 6)
    assert end.late
    assert (end.asked, end.used, end.most) == (6, 6, 16)
    assert end.spent + end.level == 0.05
    assert end.spent == (SMALL if adaptive else 0.0)
    for row, k in enumerate(sorted(engine.trained)):
        assert (found.margin[row] == answers_of(k).margin).all()
        assert (found.member[row] == task().inclusion[k]).all()


def test_time_that_is_up_between_two_looks_makes_the_look_before_the_last_one():
    clock, judge = Clock(), Judge()
    _, end = gathered(Engine(clock=clock), ration(16, adaptive=True, seconds=4.0), judge, clock=clock)
    assert judge.shown == []
    assert end == Stopped(asked=4, used=4, most=16, level=0.05, late=True)


def test_judging_costs_no_training_time():
    clock = Clock()

    def slow(found, level):
        clock.now += 1000

    _, end = gathered(Engine(clock=clock), ration(16, adaptive=True, seconds=17.0), slow, clock=clock)
    assert (end.asked, end.late) == (16, False)


class Batches:
    """Trains four at a time, and hands them on one by one."""

    def __init__(self, clock):
        self.clock, self.ready, self.stacks = clock, 0, 0

    def train(self, work, wanted):
        for first in range(0, len(wanted), 4):
            self.clock.now += 4
            self.stacks += 1
            some = wanted[first : first + 4]
            self.ready = len(some)
            for k in some:
                self.ready -= 1
                yield k, answers_of(k)


def test_what_was_trained_in_one_stack_is_kept_though_the_time_is_up():
    clock = Clock()
    engine = Batches(clock)
    found, end = gathered(engine, ration(16, adaptive=False, seconds=5.0), clock=clock)
    assert engine.stacks == 2
    assert (found.finished, end.asked, end.late) == (8, 8, True)


def test_two_references_are_trained_whatever_the_clock_says():
    clock = Clock()
    engine = Engine(failing={15}, clock=clock)
    found, end = gathered(engine, ration(16, adaptive=False, seconds=0.5), clock=clock)
    assert engine.trained == [15, 14, 13]
    assert (found.finished, found.asked, end.asked) == (2, 3, 3)


def test_kept_references_count_towards_the_two(tmp_path):
    gathered(Engine(), judge=Judge(enough=4), folder=tmp_path)
    clock = Clock()
    engine = Engine(clock=clock)
    found, _ = gathered(engine, ration(16, adaptive=False, seconds=1.0), clock=clock, folder=tmp_path)
    assert len(engine.trained) == 1
    assert (found.finished, found.reused) == (5, 4)


def test_all_references_in_time_is_not_late():
    clock = Clock()
    _, end = gathered(Engine(clock=clock), ration(16, adaptive=False, seconds=16.0), clock=clock)
    assert not end.late
    assert end.notes() == []


def test_an_engine_is_ended_when_time_is_up():
    clock = Clock()
    engine = Engine(clock=clock)
    timed = Timed(engine, 3.0, clock)
    assert [k for k, _ in timed.train(task(), range(16))] == [15, 14, 13]
    assert engine.ended == 1
    assert timed.left == 0


def test_an_iterator_that_cannot_be_closed_is_left_alone():
    ticks = count()
    assert len(list(within(iter([(0, answers_of(0))] * 9), 4, lambda: next(ticks)))) == 3


def test_once_asks_for_what_is_missing_alone():
    engine = Engine(failing={2})
    once = Once(engine)
    assert len(list(once.train(task(), [0, 1, 2]))) == 3
    assert [k for k, _ in once.train(task(), [0, 2, 3])] == [0, 2, 3]
    assert engine.trained == [2, 1, 0, 3]
    assert once.trained == 3


def test_answers_that_a_store_keeps_are_not_kept_in_memory_too():
    engine = Engine(failing={2})
    once = Once(engine, remember=False)
    list(once.train(task(), [0, 1, 2]))
    assert list(once.known) == [2]
    assert once.trained == 2


@pytest.mark.slow
def test_worker_processes_are_ended_when_time_is_up_and_what_they_gave_is_kept(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 2, 60)
    target = EstimatorTarget(Slow(random_state=0).fit(X, y))
    inclusion = draw_inclusion(0, 16, 60, 0.5)
    work = ReferenceTask(target, target.classes, X, y, y, inclusion, draw_seeds(0, 16))
    store = ReferenceStore(tmp_path, "key")
    found, end = gather_until(work, Processes(2), store, quiet, ration(16, adaptive=False, seconds=4.0), Judge())
    assert end.late
    assert 2 <= found.finished < 16
    assert len(list(tmp_path.rglob("reference-*"))) == found.finished
    assert all(store.load(k, 60) is not None for k in found.used)


class Slow(DecisionTreeClassifier):
    def fit(self, X, y, sample_weight=None, check_input=True):
        import time

        time.sleep(1.0)  # long enough for worker processes to be started
        return super().fit(X, y, sample_weight, check_input)


# --- what is said of it


def test_a_report_says_what_was_asked_used_saved_and_spent():
    end = Stopped(
        asked=8, used=7, most=64, level=0.0025, spent=0.0025, looks=2, reason="over the limit, AUC at most 0.6"
    )
    first, second, third = end.notes()
    assert "8 of at most 64 references, 7 of them used and 56 saved" in first
    assert "over the limit, AUC at most 0.6" in first
    assert "0.25%" in second
    assert "5 %" in second
    assert "more references can do better" in third


def test_a_report_that_time_cut_short_says_so_and_that_nothing_was_spent_on_it():
    (note,) = Stopped(asked=23, used=22, most=64, level=0.05, late=True).notes()
    assert "time limit with 23 of 64 references, 22 of them used" in note
    assert "no error is spent" in note


def test_a_report_after_looks_that_settled_nothing_says_what_they_spent():
    (note,) = Stopped(asked=64, used=64, most=64, level=0.04, spent=0.01, looks=5).notes()
    assert "4 looks with fewer references settled nothing and spent 1.00%" in note
    assert "4.00% left" in note


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("2h", 7200), ("0.5h", 1800), ("10 m", 600)])
def test_times_are_read(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "10", "ten", "10 d", "-5m", "0s", "1m30s", "1e3s", "infs"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(PlanError, match=r"references\.max_time must be a time above zero"):
        seconds_of(text)


def test_the_level_of_a_stop_does_not_hang_on_the_budget_of_another():
    assert replace(ration(16, adaptive=True), budget=0.01).budget == 0.01
    _, end = gathered(Engine(), replace(ration(16, adaptive=True), budget=0.01), Judge(enough=4))
    assert end.level == pytest.approx(0.001)


def test_intervals_are_wider_by_what_earlier_looks_spent():
    assert Options(error_share=0.8).asked.confidence == pytest.approx(0.96)
    assert Options().asked.confidence == pytest.approx(0.95)


@pytest.mark.slow
def test_an_audit_that_is_settled_early_says_how_many_references_it_saved(tmp_path):
    X, y = make_classification(1200, 8, n_informative=6, flip_y=0.2, random_state=0)
    model = RandomForestClassifier(20, random_state=0).fit(X[:600], y[:600])
    given = {"references": 32, "adaptive": True, "workers": 1, "attacks": ["learned", "loss"]}
    outcome = audit(model, (X[:600], y[:600]), (X[600:], y[600:]), folder=tmp_path, **given)
    facts = outcome.report.references
    assert outcome.state == LEAK
    assert facts.asked < 32
    assert facts.saved == 32 - facts.asked
    assert 0 < facts.error_share < 1
    outcome.save(tmp_path)
    assert CliRunner().invoke(app, ["report", str(tmp_path)]).exit_code == 0
    assert (
        f"{facts.finished} of {facts.asked} trained, {facts.saved} more not needed"
        in (tmp_path / "report.html").read_text()
    )
