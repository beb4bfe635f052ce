"""`unseen plan cost`: what is measured is what an engine's worker takes, what is extrapolated is arithmetic."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from unseen import costing
from unseen.costing import Batch, Cost, Gpu, Measured, cost_of_plan, extrapolate, measure_cost, task_of_plan
from unseen.errors import PlanError, TargetFailed
from unseen.reference import ReferenceFailure, ReferenceTask
from unseen.references.automatic import Automatic
from unseen.references.inclusion import draw_inclusion
from unseen.references.processes import Processes
from unseen.targets.estimator import EstimatorTarget

# what reads plans and models is imported where it is used: the workers that measure load this file too
SECRET = "Rumpelstilzchen"
N = 120
rng = np.random.default_rng(0)
X, Y = rng.normal(size=(2 * N, 3)), rng.integers(0, 2, 2 * N)


# --- arithmetic

SEEN = Measured(
    batches=(Batch(1, 3.0, 2.0), Batch(1, 2.0, 1.5), Batch(2, 5.0, 3.6)),
    start_seconds=4.0,
    peak_bytes=300_000_000,
    disk_bytes=8_500,
)


def test_the_cost_of_many_references_is_that_of_a_few_times_their_number():
    cost = extrapolate(SEEN, 64, workers=8, processors=8)
    assert cost.wall_seconds_each == (2.0, 3.0)
    assert cost.cpu_seconds_each == (1.5, 2.0)
    assert cost.wall_seconds == (8 * 2.0, 8 * 3.0 + 4.0)  # eight rounds; at most, the workers start first
    assert cost.cpu_seconds == (64 * 1.5, 64 * 2.0)
    assert (cost.peak_bytes_worker, cost.peak_bytes) == (300_000_000, 8 * 300_000_000)
    assert (cost.disk_bytes_each, cost.disk_bytes) == (8_500, 64 * 8_500)
    assert cost.trained == 4


@pytest.mark.parametrize(
    ("references", "workers", "processors", "rounds"),
    [(16, 1, 8, 16), (16, 8, 2, 8), (17, 8, 8, 3), (3, 8, 8, 1), (16, 16, 16, 1)],
)
def test_no_more_are_at_work_at_once_than_processors_workers_or_references(references, workers, processors, rounds):
    assert extrapolate(SEEN, references, workers, processors).wall_seconds[0] == rounds * 2.0


def test_one_worker_has_no_others_to_start():
    assert extrapolate(SEEN, 16, 1, 8).wall_seconds == (32.0, 48.0)


def test_a_system_that_does_not_say_what_memory_was_taken_is_reported_as_such():
    cost = extrapolate(msgspec.structs.replace(SEEN, peak_bytes=None), 16, 2, 2)
    assert cost.peak_bytes is None
    assert any("does not say" in line for line in cost.sentences())


def said(**changes):
    return " ".join(msgspec.structs.replace(extrapolate(SEEN, 64, 8, 8), **changes).sentences())


def test_the_sentences_give_time_memory_disk_and_how_far_to_believe_them():
    text = said()
    assert "64 references on 8 workers (8 processors here) take 16 s to 28 s, and 1 min 36 s to 2 min 8 s" in text
    assert "a worker takes up to 300 MB, all of them up to 2.4 GB" in text
    assert "8.5 kB a reference, 544 kB in all" in text
    assert "Extrapolated from 4 references" in text
    assert "not confidence intervals" in text


def test_the_sentences_say_what_an_adaptive_or_a_timed_plan_may_save():
    assert "may stop after 4 of them" in said(fewest=4)
    assert "adaptive" not in said()
    assert "max_time ends the training after 20 s" in said(most_seconds=20.0)
    assert "max_time" not in said(most_seconds=60.0)


@pytest.mark.parametrize(
    ("gpu", "words"),
    [
        (None, "does not load PyTorch"),
        (Gpu(), "PyTorch sees none here"),
        (Gpu(2, "Example 9000"), "2 (Example 9000), and the recipe uses none"),
        (Gpu(1, "Example 9000", 3_000_000_000), "take up to 3.0 GB there"),
    ],
)
def test_the_sentences_say_which_gpu_was_used_or_that_none_is_here(gpu, words):
    assert words in said(gpu=gpu)


def fake_torch(*peaks):
    cuda = SimpleNamespace(
        is_available=lambda: bool(peaks),
        device_count=lambda: len(peaks),
        get_device_name=lambda device: "Example 9000",
        max_memory_allocated=lambda device: peaks[device],
    )
    return SimpleNamespace(cuda=cuda)


def test_gpus_are_asked_of_a_pytorch_that_is_loaded_and_of_no_other(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", fake_torch(5, 7))
    assert costing._gpu() == Gpu(2, "Example 9000", 7)
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    assert costing._gpu() == Gpu()
    monkeypatch.delitem(sys.modules, "torch")
    assert costing._gpu() is None


# --- measuring


class Busy:
    """A recipe of a small tree that keeps a processor, memory or the clock busy; or that fails, on some seeds."""

    def __init__(self, burn=0.0, sleep=0.0, megabytes=0, failing=()):
        self.burn, self.sleep, self.megabytes, self.failing = burn, sleep, megabytes, failing

    def refit(self, features, labels, seed):
        if seed in self.failing:
            raise RuntimeError(SECRET)
        until = time.process_time() + self.burn
        while time.process_time() < until:
            pass
        time.sleep(self.sleep)
        np.ones(self.megabytes * 125_000).sum()
        return EstimatorTarget(DecisionTreeClassifier(max_depth=2, random_state=seed).fit(features, labels))

    def fingerprint(self):
        return "busy"


def task(recipe, references=16):
    inclusion = draw_inclusion(0, references, 2 * N, 0.5)
    return ReferenceTask(recipe, np.array([0, 1]), X, Y, Y, inclusion, list(range(references)))


def measured(recipe, engine=None, references=16):
    return measure_cost(task(recipe, references), engine or Processes(2))


@cache
def idle():
    return measured(Busy())


def test_three_references_are_trained_and_a_file_of_one_is_four_bytes_a_signal_and_record_and_its_head():
    assert [batch.references for batch in idle().batches] == [1, 1, 1]
    assert all(batch.wall_seconds > 0 for batch in idle().batches)
    assert 4 * 2 * 2 * N < idle().disk_bytes < 4 * 2 * 2 * N + 1100
    assert idle().start_seconds > 0
    assert idle().gpu is None


@cache
def busy():
    return measured(Busy(burn=0.2, sleep=0.4, megabytes=400))


def test_processor_time_is_not_the_time_of_the_clock():
    for batch in busy().batches:
        assert batch.cpu_seconds >= 0.19  # a tick of the system's counts is 0.01 s
        assert batch.wall_seconds >= batch.cpu_seconds + 0.38


@pytest.mark.skipif(not costing.STATUS.exists(), reason="only Linux gives the peak of one process")
def test_the_memory_is_that_of_the_worker_at_its_peak():
    assert 350e6 < busy().peak_bytes - idle().peak_bytes < 450e6


def test_a_worker_that_measures_loads_no_more_than_an_engine_needs():
    code = "import sys, unseen.costing; print(*sorted({'torch', 'sklearn', 'unseen.planned'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert loaded == []


def test_a_reference_that_fails_does_not_count():
    _, found = costing._measured(task(Busy(failing=(1,))), Processes(1), [[0], [1]])
    assert len(found.batches) == 1


def test_if_none_can_be_trained_the_error_is_named_and_its_message_is_not():
    with pytest.raises(TargetFailed, match=r"no reference could be trained \(fit: RuntimeError\)") as error:
        measured(Busy(failing=(0, 1)), references=2)
    assert SECRET not in str(error.value)


@pytest.mark.slow
def test_a_stack_of_torch_models_is_measured_as_a_stack_and_its_gpu_is_looked_for():
    torch = pytest.importorskip("torch")
    from unseen.recipes.torch import TorchRecipe

    recipe = TorchRecipe(line, classes=(0, 1), epochs=1)
    found = measured(recipe, Automatic(2))
    assert [batch.references for batch in found.batches] == [2, 4]
    assert found.gpu is not None
    assert found.gpu.count == (torch.cuda.device_count() if torch.cuda.is_available() else 0)


def line():
    import torch

    return torch.nn.Linear(3, 2)


class Cluster:
    """An engine without workers of this machine."""


def test_an_engine_is_measured_with_one_worker_and_one_that_knows_none_is_stood_in_for():
    engine = Processes(7)
    assert (costing._alone(engine).workers, engine.workers) == (1, 7)
    assert isinstance(costing._alone(engine), Processes)
    assert isinstance(costing._alone(Cluster()), Automatic)
    assert costing._alone(Cluster()).workers == 1


def test_an_engine_that_makes_several_at_once_is_measured_on_several_at_once():
    from unseen.references.free import Free

    work = task(EstimatorTarget(LogisticRegression().fit(X, Y)))
    assert costing._together(Free(), work)
    assert not costing._together(Processes(), work)
    assert not costing._together(Automatic(), work)
    _, found = costing._measured(work, Free(), costing.TOGETHER)
    assert [batch.references for batch in found.batches] == [2, 4]


# --- from a plan

PLAN = """
[target]
model = "model.skops"

[data]
members = "members.csv"
non_members = "non_members.csv"
label = "label"

[references]
count = 8
workers = 2
"""


def table(rows, labels):
    return pl.DataFrame(X[rows], schema=["a", "b", "c"]).with_columns(label=pl.Series(labels[rows]))


def home_of(path, model=None, labels=Y):
    import skops.io

    model = (model or DecisionTreeClassifier(random_state=0)).fit(
        pl.DataFrame(X[:N], schema=["a", "b", "c"]), labels[:N]
    )
    skops.io.dump(model, path / "model.skops")
    table(slice(0, N), labels).write_csv(path / "members.csv")
    table(slice(N, 2 * N), labels).write_csv(path / "non_members.csv")
    (path / "plan.toml").write_text(PLAN)
    return path


@pytest.fixture
def home(tmp_path):
    return home_of(tmp_path)


def edit(home, old, new):
    text = (home / "plan.toml").read_text()
    assert old in text
    (home / "plan.toml").write_text(text.replace(old, new))


class Spy:
    """An engine that remembers its task and trains nothing."""

    def train(self, task, wanted):
        self.task = task
        yield from ((k, ReferenceFailure("spy", "Nothing")) for k in wanted)


@pytest.mark.parametrize("kind", ["classifier", "regressor", "images"])
def test_the_task_that_is_measured_is_the_one_that_the_audit_gives_its_engine(tmp_path, kind):
    import skops.io

    from unseen.options import quiet
    from unseen.plan import read_plan
    from unseen.planned import plan_options, run_plan

    if kind == "regressor":
        home_of(tmp_path, DecisionTreeRegressor(random_state=0, max_depth=3), labels=X[:, 0] + rng.normal(size=2 * N))
    else:
        home_of(tmp_path)
    if kind == "images":
        skops.io.dump(DecisionTreeClassifier(random_state=0).fit(X[:N], Y[:N]), tmp_path / "model.skops")  # of arrays
        edit(tmp_path, "[references]", "[attacks]\nimage = [1, 1, 3]\n\n[references]")
    plan, spy = read_plan(tmp_path / "plan.toml"), Spy()
    options = plan_options(plan, tmp_path, tmp_path / "run", quiet)
    run_plan(plan, tmp_path, replace(options, engine=spy), trust=False)
    one, other = spy.task, task_of_plan(plan, tmp_path, options, trust=False)
    assert one.scale == other.scale
    assert (one.scale is None) == (kind != "regressor")
    assert list(one.seeds) == list(other.seeds)
    assert one.recipe.fingerprint() == other.recipe.fingerprint()
    for name in ("classes", "labels", "label_index", "inclusion"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert np.array_equal(np.asarray(one.features), np.asarray(other.features))


@pytest.fixture
def known(monkeypatch):
    """What is measured is known beforehand."""
    monkeypatch.setattr(costing, "measure_cost", lambda task, engine: SEEN)


def test_an_adaptive_plan_with_a_time_says_both(home, known):
    edit(home, "count = 8", 'count = 64\nadaptive = true\nmax_time = "1s"')
    cost = cost_of_plan(home / "plan.toml")
    assert (cost.references, cost.fewest, cost.most_seconds) == (64, 4, 1.0)


def run(*arguments):
    from typer.testing import CliRunner

    from unseen.cli.main import app

    return CliRunner().invoke(app, ["plan", "cost", *map(str, arguments)])


def test_the_command_says_what_a_plan_costs_and_ends_with_zero(home, known):
    result = run(home / "plan.toml", "--references", 100)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("100 references on 2 workers")
    assert "GPU" in result.stdout


def test_the_command_gives_the_cost_as_json_and_keeps_nothing(home):
    before = sorted(home.rglob("*"))
    cost = msgspec.convert(json.loads(run(home / "plan.toml", "--json").stdout), Cost)
    assert (cost.references, cost.fewest, cost.workers, cost.trained) == (8, 8, 2, 3)
    assert cost.disk_bytes == 8 * cost.disk_bytes_each
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("count = 8", "count = 0", "no references"),
        ("count = 8", "count = 1", "at least 2"),
        ('members = "members.csv"', 'members = "nobody.csv"', "nobody.csv"),
        ("workers = 2", "wrokers = 2", "did you mean 'workers'"),
    ],
)
def test_what_is_wrong_with_a_plan_is_one_sentence_and_exit_code_two(home, old, new, words):
    edit(home, old, new)
    result = run(home / "plan.toml")
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_plan_that_trains_none_can_be_costed_with_a_number(home, known):
    edit(home, "count = 8", "count = 0")
    assert run(home / "plan.toml", "--references", 4).exit_code == 0


def test_a_plan_of_answers_trains_none(tmp_path):
    (tmp_path / "plan.toml").write_text('[answers]\ntable = "answers.csv"\n')
    with pytest.raises(PlanError, match="trains none"):
        cost_of_plan(tmp_path / "plan.toml")
