"""References are trained in processes, give the same answers however many there are, and name what failed."""

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references import processes
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes
from unseen.signals.margin import margin
from unseen.targets.estimator import EstimatorTarget

SECRET = "Rumpelstilzchen"
X, Y = make_classification(240, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0)


def task(model, features=X, labels=Y, references=3, rate=0.5, inclusion=None):
    target = EstimatorTarget(model.fit(features, labels))
    index = np.searchsorted(target.classes, labels)
    coins = draw_inclusion(0, references, len(labels), rate) if inclusion is None else inclusion
    return ReferenceTask(target, target.classes, features, labels, index, coins, draw_seeds(0, references))


def trained(work, workers=1, wanted=None):
    return dict(Processes(workers).train(work, range(len(work.seeds)) if wanted is None else wanted))


MODELS = [
    RandomForestClassifier(4, random_state=0),
    make_pipeline(LinearSVC()),
    GaussianNB(),
]


def test_one_is_trained_alone_to_see_how_long_it_takes_and_an_engine_that_knows_trains_none_alone(monkeypatch):
    together = []

    def in_processes(work, jobs, workers):
        jobs = list(jobs)
        together.append([k for _, _, k, _, _ in jobs])
        return iter([processes.train_one(*job) for _, *job in jobs])

    monkeypatch.setattr(processes, "in_processes", in_processes)
    monkeypatch.setattr(processes, "START_UP_SECONDS", 0.0)
    engine, work = Processes(2), task(GaussianNB())
    for _ in range(2):
        assert sorted(dict(engine.train(work, range(3)))) == [0, 1, 2]
    assert together == [[1, 2], [0, 1, 2]]


@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given:UserWarning")
@pytest.mark.parametrize("model", MODELS, ids=lambda model: type(model).__name__)
def test_one_worker_and_two_give_the_same_answers(model, monkeypatch):
    monkeypatch.setattr(processes, "START_UP_SECONDS", 0.0)  # else what is this quick stays in one process
    work = task(model)
    alone, together = trained(work, 1), trained(work, 2)
    assert sorted(alone) == sorted(together) == [0, 1, 2]
    for k, answers in alone.items():
        assert isinstance(answers, ReferenceAnswers)
        assert (answers.margin == together[k].margin).all()
        assert (answers.loss is None) == (together[k].loss is None)
        assert answers.loss is None or (answers.loss == together[k].loss).all()


@pytest.mark.filterwarnings("error")
def test_one_who_asks_no_further_is_told_nothing_of_what_was_cancelled(monkeypatch):
    monkeypatch.setattr(processes, "START_UP_SECONDS", 0.0)
    outcomes = Processes(2).train(task(GaussianNB(), references=40), range(40))
    for _ in range(3):
        assert isinstance(next(outcomes)[1], ReferenceAnswers)
    outcomes.close()


def test_a_reference_does_not_depend_on_which_others_are_wanted():
    work = task(MODELS[0])
    assert (trained(work, wanted=[2])[2].margin == trained(work)[2].margin).all()


def test_a_reference_is_the_model_refitted_on_its_records_from_its_seed():
    work = task(RandomForestClassifier(4, random_state=0))
    model = RandomForestClassifier(4, random_state=work.seeds[1]).fit(X[work.inclusion[1]], Y[work.inclusion[1]])
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = margin(np.log(model.predict_proba(X)), work.label_index)
    assert np.allclose(trained(work)[1].margin, expected)


def test_frames_with_words_and_sparse_tables_are_subset_too():
    table = pl.DataFrame({"word": ["a", "b", "c"] * 80, "number": X[:, 0]})
    encode = make_column_transformer((OneHotEncoder(handle_unknown="ignore"), ["word"]), remainder="passthrough")
    for features, model in (
        (table, make_pipeline(encode, DecisionTreeClassifier(max_depth=4))),
        (sparse.csr_array(X), LogisticRegression()),
    ):
        assert all(isinstance(one, ReferenceAnswers) for one in trained(task(model, features)).values())


def rare(count=2):
    labels = np.array(["common", "usual", "rare"])[Y]
    labels[labels == "rare"] = "usual"
    labels[:count] = "rare"
    return labels


@pytest.mark.parametrize("model", [DecisionTreeClassifier(max_depth=4, random_state=0), LinearSVC()])
def test_a_reference_whose_subset_lacks_a_class_answers_in_the_targets_order(model):
    labels = rare()
    inclusion = np.ones((2, 240), dtype=bool)
    inclusion[0, :2] = False
    answers = trained(task(model, labels=labels, references=2, inclusion=inclusion))
    lacking, full = answers[0].margin, answers[1].margin
    assert (lacking[:2] == -np.inf).all()  # it cannot answer with a class that it never saw
    assert np.isfinite(full[:2]).all() or isinstance(model, DecisionTreeClassifier)
    assert not np.isnan(lacking).any()
    assert np.sign(lacking[2:][np.isfinite(lacking[2:])]).mean() > 0  # the columns are not mixed up


def test_a_subset_of_one_class_is_a_named_failure():
    labels = np.where(np.arange(240) < 2, "rare", "common")
    inclusion = np.ones((2, 240), dtype=bool)
    inclusion[0, :2] = False
    few = "a classifier needs two classes or more, got 1."
    for model, error in ((LogisticRegression(), "ValueError"), (DecisionTreeClassifier(), few)):
        answers = trained(task(model, labels=labels, references=2, inclusion=inclusion))
        assert answers[0] == ReferenceFailure("fit", error)
        assert isinstance(answers[1], ReferenceAnswers)


def test_an_empty_subset_is_a_named_failure():
    inclusion = np.ones((2, 240), dtype=bool)
    inclusion[1] = False
    answers = trained(task(GaussianNB(), references=2, inclusion=inclusion))
    assert answers[1] == ReferenceFailure("fit", "ValueError")


class Fragile(ClassifierMixin, BaseEstimator):
    """Works once, and raises a secret whenever it is trained again, or asked after that."""

    def __init__(self, stage="fit", fitted=()):
        self.stage, self.fitted = stage, fitted

    def fit(self, X, y):
        if self.stage == "fit" and len(X) < 240:
            raise RuntimeError(SECRET)
        self.classes_ = np.unique(y)
        self.rows_ = len(X)
        return self

    def predict(self, X):
        return np.full(len(X), self.classes_[0])

    def predict_proba(self, X):
        if self.rows_ < 240:
            raise LookupError(SECRET)
        return np.full((len(X), self.classes_.size), 1 / self.classes_.size)


@pytest.mark.parametrize(("stage", "error"), [("fit", "RuntimeError"), ("answer", "TargetFailed")])
def test_an_estimator_that_raises_is_named_by_stage_and_type_and_never_quoted(stage, error):
    for answer in trained(task(Fragile(stage))).values():
        assert answer == ReferenceFailure(stage, error)
        assert SECRET not in repr(answer)


DEADLY = """
    import os
    import numpy as np
    import unseen
    import unseen.references.processes
    from sklearn.tree import DecisionTreeClassifier

    class Deadly(DecisionTreeClassifier):
        def fit(self, X, y):
            if os.getpid() != {here}:
                os._exit(9)
            return super().fit(X, y)

    if __name__ == "__main__":
        unseen.references.processes.START_UP_SECONDS = 0.0
        X = np.random.default_rng(0).normal(size=(200, 3))
        y = (X[:, 0] > 0).astype(int)
        model = Deadly().fit(X[:100], y[:100])
        try:
            outcome = unseen.audit(model, (X[:100], y[:100]), (X[100:], y[100:]), references=3, workers=2)
        except unseen.errors.UnseenError as error:
            print("refused", type(error).__name__)
        else:
            print("failures", sum(outcome.report.references.failures.values()), outcome.state)
"""


@pytest.mark.slow
def test_a_process_that_dies_is_an_error_of_ours_or_a_counted_failure(tmp_path):
    script = tmp_path / "deadly.py"
    script.write_text(textwrap.dedent(DEADLY).replace("{here}", "int(os.environ.setdefault('HERE', str(os.getpid())))"))
    ran = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=120)
    assert ran.stdout.startswith(("refused", "failures 2")), ran.stderr[-300:]


ORPHANS = """
    import os
    import sys
    import time
    from pathlib import Path

    from sklearn.datasets import make_classification
    from sklearn.tree import DecisionTreeClassifier

    import numpy as np

    from unseen.recipes.function import FunctionRecipe
    from unseen.reference import ReferenceTask
    from unseen.references import processes
    from unseen.references.inclusion import draw_inclusion, draw_seeds

    processes.START_UP_SECONDS = 0.0
    HERE, LOG = os.getpid(), sys.argv[1]

    def train(features, labels, seed):
        if os.getpid() != HERE:
            with Path(LOG).open("a") as file:
                file.write(f"{os.getpid()}\\n")
            time.sleep(600)
        return DecisionTreeClassifier().fit(features, labels)

    X, y = make_classification(100, 4, random_state=0)
    work = ReferenceTask(FunctionRecipe(train), np.unique(y), X, y, y, draw_inclusion(0, 5, 100, 0.5), draw_seeds(0, 5))
    list(processes.Processes(2).train(work, range(5)))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_end_soon_after_the_process_that_started_them_was_killed(tmp_path):
    script, log = tmp_path / "orphans.py", tmp_path / "log"
    script.write_text(textwrap.dedent(ORPHANS))
    with subprocess.Popen([sys.executable, script, log], stderr=subprocess.DEVNULL) as parent:
        wait_until(lambda: log.exists() and len(log.read_text().split()) >= 2)
        workers = [int(pid) for pid in log.read_text().split()]
        assert all(alive(pid) for pid in workers)
        parent.kill()
    wait_until(lambda: not any(alive(pid) for pid in workers))
    assert not any(alive(pid) for pid in workers)


def alive(pid):
    """Whether a process runs: neither gone nor waiting for who would ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(happened, seconds=60.0):
    give_up = time.monotonic() + seconds
    while not happened() and time.monotonic() < give_up:
        time.sleep(0.1)
