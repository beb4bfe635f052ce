"""References trained on a Ray cluster are those of one process, whatever nodes, workers and records were lost in it."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from unseen.errors import MissingExtra, ModelError, PlanError
from unseen.recipes.estimator import EstimatorRecipe
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask
from unseen.references import cluster as engine
from unseen.references.automatic import Automatic
from unseen.references.cluster import Cluster, train_stack
from unseen.references.inclusion import draw_inclusion, draw_seeds
from unseen.references.processes import Processes

SECRET = "Rumpelstilzchen"
X, Y = make_classification(240, 5, n_informative=4, n_redundant=0, n_classes=3, flip_y=0.2, random_state=0)
STORE_BYTES = 80 * 2**20
NODE = {"num_cpus": 1, "object_store_memory": STORE_BYTES}
NOTICE_SOON = {"health_check_initial_delay_ms": 0, "health_check_period_ms": 500, "health_check_failure_threshold": 4}


def task(model, references=3, features=X):
    inclusion, seeds = draw_inclusion(0, references, len(Y), 0.5), draw_seeds(0, references)
    return ReferenceTask(EstimatorRecipe(model), np.unique(Y), features, Y, Y, inclusion, seeds)


def assert_same(some, others):
    assert sorted(some) == sorted(others)
    for k, answers in some.items():
        assert isinstance(answers, ReferenceAnswers)
        assert answers.margin.tobytes() == others[k].margin.tobytes()
        assert (answers.loss is None) == (others[k].loss is None)
        assert answers.loss is None or answers.loss.tobytes() == others[k].loss.tobytes()


class Logged(DecisionTreeClassifier):
    """Takes its time, and notes when it is trained and where; with `deadly` seeds it ends its process or raises.

    On the node of process `doomed` it ends once and then never; on every other it waits until then.
    """

    def __init__(self, log="", seconds=0.0, deadly=(), raising=(), doomed=None, random_state=None):
        super().__init__(max_depth=4, random_state=random_state)
        self.log, self.seconds, self.deadly, self.raising, self.doomed = log, seconds, deadly, raising, doomed

    def fit(self, X, y):
        note(self.log, "start", self.random_state)
        if self.random_state in self.raising:
            raise LookupError(SECRET)
        if self.random_state in self.deadly:
            os._exit(9)
        if self.doomed is not None:
            here = os.getppid() == self.doomed
            wait_until(lambda: ended_on(self.log, self.doomed) != here)
        time.sleep(self.seconds)
        super().fit(X, y)
        note(self.log, "end", self.random_state)
        return self


def note(log, what, seed):
    words = (what, seed, os.getpid(), os.getppid(), os.environ.get("CUDA_VISIBLE_DEVICES", "-"))
    with Path(log).open("a") as file:
        print(*words, file=file)


def noted(log):
    path = Path(log)
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def ended_on(log, node):
    return any(what == "end" and int(parent) == node for what, _, _, parent, _ in noted(log))


def wait_until(happened, seconds=60.0):
    give_up = time.monotonic() + seconds
    while not happened() and time.monotonic() < give_up:
        time.sleep(0.05)


def trainings(log, work):
    """How often each reference's training was begun."""
    begun = Counter(int(seed) for what, seed, *_ in noted(log) if what == "start")
    return [begun[int(seed)] for seed in work.seeds]


def training_now(log):
    """The process and its parent, the node's, of each training that has not ended."""
    ended = {(seed, pid) for what, seed, pid, *_ in noted(log) if what == "end"}
    return [
        (int(pid), int(node)) for what, seed, pid, node, _ in noted(log) if what == "start" and (seed, pid) not in ended
    ]


def halted(log, node=None):
    """A process stopped in the midst of a training, of one node's if it is named; None where all are between two."""
    for pid, parent in training_now(log):
        if node in {None, parent}:
            os.kill(pid, signal.SIGSTOP)
            if (pid, parent) in training_now(log):
                return pid
            os.kill(pid, signal.SIGCONT)
    return None


def caught(log, seconds=10.0):
    """A process stopped in the midst of a training, as soon as there is one."""
    give_up = time.monotonic() + seconds
    while (pid := halted(log)) is None and time.monotonic() < give_up:
        time.sleep(0.01)
    return pid


@pytest.fixture(scope="module")
def nodes():
    """A cluster of two nodes on this machine, the second with a GPU by name; a test adds and loses others."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster as Nodes

    with ExitStack() as undo:
        undo.enter_context(engine._environment(engine.SETTINGS | engine.LOOPBACK | engine._token()))
        undo.enter_context(engine._attribute("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", value=False))
        undo.enter_context(engine._terminated_as_before())
        engine._forget_token()
        head = {**NODE, "include_dashboard": False, "_system_config": NOTICE_SOON}
        nodes = Nodes(initialize_head=True, head_node_args=head)
        undo.callback(nodes.shutdown)
        undo.callback(ray.shutdown)
        nodes.add_node(num_gpus=1, **NODE)
        yield nodes


@pytest.fixture
def connected(nodes):
    import ray

    if not ray.is_initialized():
        engine._forget_token()
        ray.init(address=nodes.address, **engine.QUIET)
    return nodes


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [RandomForestClassifier(4, random_state=0), LogisticRegression(), Logged(os.devnull)],
    ids=lambda model: type(model).__name__,
)
def test_a_cluster_gives_the_references_of_one_process_to_the_last_bit(connected, model):
    work = task(model, references=5)
    assert_same(dict(Cluster(stack=2).train(work, range(5))), dict(Processes(1).train(work, range(5))))


@pytest.mark.slow
def test_an_address_is_connected_to_and_left_again(nodes):
    import ray

    ray.shutdown()
    work = task(RandomForestClassifier(4, random_state=0))
    assert_same(dict(Cluster(nodes.address).train(work, [2, 0])), dict(Processes(1).train(work, [0, 2])))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_an_address_is_refused_in_a_process_that_is_connected_already(connected):
    with pytest.raises(PlanError, match=r"leave out the address, or call ray.shutdown\(\) first"):
        next(Cluster(connected.address).train(task(Logged(os.devnull)), [0]))


@pytest.mark.slow
def test_a_node_lost_in_mid_run_changes_no_reference_and_takes_no_finished_one_along(connected, log):
    victim = connected.add_node(**NODE)
    raylet = victim.all_processes["raylet"][0].process.pid
    work = task(Logged(log, seconds=0.1, doomed=raylet), references=16)
    found, before = {}, None
    for k, answers in Cluster(stack=4).train(work, range(16)):
        found[k] = answers
        if before is None and len(found) >= 3 and (pid := halted(log, raylet)):
            before = sorted(found)
            os.kill(raylet, signal.SIGKILL)
            os.kill(pid, signal.SIGKILL)
            connected.remove_node(victim, allow_graceful=False)
    begun = trainings(log, work)
    assert before is not None
    assert [begun[k] for k in before] == [1] * len(before)
    assert 16 < sum(begun) <= 16 + 4
    assert_same(found, dict(Processes(1).train(task(Logged(os.devnull), references=16), range(16))))


@pytest.mark.slow
def test_a_worker_killed_in_mid_run_changes_no_reference_and_takes_no_finished_one_along(connected, log):
    work = task(Logged(log, seconds=0.3), references=8)
    found, before = {}, None
    for k, answers in Cluster(stack=4).train(work, range(8)):
        found[k] = answers
        if before is None and len(found) >= 2:
            before = sorted(found)
            os.kill(caught(log), signal.SIGKILL)
    begun = trainings(log, work)
    assert [begun[k] for k in before] == [1] * len(before)
    assert 8 < sum(begun) <= 8 + 2
    assert_same(found, dict(Processes(1).train(task(Logged(os.devnull), references=8), range(8))))


@pytest.mark.slow
def test_records_lost_with_the_node_that_held_them_are_put_into_the_store_again(connected, monkeypatch):
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    doomed, put, puts = connected.add_node(**NODE), engine._put, []

    @ray.remote(num_cpus=0)
    def put_there(packed):
        return [ray.put(packed)]

    def put_elsewhere(ray, work):
        puts.append(None)
        if len(puts) > 1:
            return put(ray, work)
        there = put_there.options(scheduling_strategy=NodeAffinitySchedulingStrategy(doomed.node_id, soft=False))
        (records,) = ray.get(there.remote(np.zeros(10**6, dtype=np.uint8)))
        connected.remove_node(doomed, allow_graceful=False)
        return records

    monkeypatch.setattr(engine, "_put", put_elsewhere)
    work = task(RandomForestClassifier(4, random_state=0))
    assert_same(dict(Cluster(stack=2).train(work, range(3))), dict(Processes(1).train(work, range(3))))
    assert len(puts) == 2


@pytest.mark.slow
def test_a_reference_that_ends_its_process_every_time_fails_by_name_and_the_others_do_not(connected, log):
    plain = task(Logged(log), references=4)
    work = task(Logged(log, deadly=[plain.seeds[1]]), references=4)
    found = dict(Cluster(stack=4, gpus_per_task=0.5).train(work, range(4)))
    assert found.pop(1) == ReferenceFailure("worker process", "died")
    assert trainings(log, work)[1] == engine.MOST_DEATHS
    assert_same(found, dict(Processes(1).train(task(Logged(os.devnull), references=4), [0, 2, 3])))


@pytest.mark.slow
def test_what_a_recipe_raises_is_a_failure_of_that_reference_and_is_not_tried_again(connected, log):
    plain = task(Logged(log))
    work = task(Logged(log, raising=[plain.seeds[1]]))
    found = dict(Cluster().train(work, range(3)))
    assert found[1] == ReferenceFailure("fit", "LookupError")
    assert isinstance(found[0], ReferenceAnswers)
    assert trainings(log, work) == [1, 1, 1]


@pytest.mark.slow
def test_a_task_that_asks_for_a_gpu_goes_where_there_is_one_and_sees_it(connected, log):
    work = task(Logged(log), references=4)
    found = dict(Cluster(gpus_per_task=0.5, stack=2).train(work, range(4)))
    assert all(isinstance(answers, ReferenceAnswers) for answers in found.values())
    assert {seen for *_, seen in noted(log)} == {"0"}
    assert len({node for _, _, _, node, _ in noted(log)}) == 1


@pytest.mark.slow
def test_more_than_any_node_has_is_refused_and_not_waited_for(connected):
    with pytest.raises(PlanError, match="asks for 1 CPUs and 8 GPUs a task, and no node has as many"):
        next(Cluster(gpus_per_task=8).train(task(Logged(os.devnull)), [0]))


@pytest.mark.slow
def test_references_whose_last_node_is_gone_fail_by_name(connected, monkeypatch, log):
    monkeypatch.setattr(engine, "ROOM_SECONDS", 0.0)
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.5)
    lonely = connected.add_node(**{**NODE, "num_cpus": 2})
    found = {}
    for k, answers in Cluster(cpus_per_task=2, stack=1).train(task(Logged(log, seconds=0.3), references=4), range(4)):
        found[k] = answers
        if len(found) == 1:
            connected.remove_node(lonely, allow_graceful=False)
    assert sum(isinstance(answers, ReferenceAnswers) for answers in found.values()) in {1, 2}
    assert ReferenceFailure("worker process", "found no node") in found.values()
    assert sorted(found) == [0, 1, 2, 3]


@pytest.mark.slow
def test_what_is_not_waited_for_any_more_is_stopped(connected, log):
    work = task(Logged(log, seconds=0.3), references=12)
    references = Cluster(stack=6).train(work, range(12))
    next(references)
    references.close()
    time.sleep(1.0)
    begun = sum(trainings(log, work))
    time.sleep(1.0)
    assert sum(trainings(log, work)) == begun < 12


class Unsendable:
    def __reduce__(self):
        raise TypeError(SECRET)


@pytest.mark.slow
def test_a_recipe_that_cannot_be_sent_is_an_error_that_quotes_nothing(connected):
    with pytest.raises(ModelError, match=r"cannot send the recipe to other processes \(TypeError\)") as caught:
        next(Cluster().train(task(Logged(Unsendable())), [0]))
    assert SECRET not in str(caught.value)


def two_layers():
    from torch import nn

    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3))


def odd_layers():
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    return nn.Sequential(weight_norm(nn.Linear(5, 8)), nn.ReLU(), nn.Linear(8, 3))


@pytest.mark.slow
def test_a_recipe_that_can_be_stacked_is_trained_in_stacks(connected):
    pytest.importorskip("torch")
    from unseen.recipes.torch import TorchRecipe

    plain = task(Logged(os.devnull), references=4, features=X.astype(np.float32))
    recipe = TorchRecipe(two_layers, classes=[0, 1, 2], epochs=3, batch_size=32)
    work = ReferenceTask(recipe, plain.classes, plain.features, Y, Y, plain.inclusion, plain.seeds)
    cluster = Cluster(stack=2)
    found, alone = (dict(one.train(work, range(4))) for one in (cluster, Automatic(1)))
    assert cluster.said == []
    odd = replace(work, recipe=replace(recipe, module=odd_layers))
    assert isinstance(dict(cluster.train(odd, [0]))[0], ReferenceAnswers)
    assert "one by one, not in stacks" in cluster.said[0]
    assert sorted(found) == [0, 1, 2, 3]
    for k, answers in alone.items():
        assert isinstance(found[k], ReferenceAnswers), found[k]
        assert np.allclose(found[k].margin, answers.margin, rtol=1e-4, atol=1e-5)


LOCAL = """
    import os
    import sys
    from pathlib import Path

    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.tree import DecisionTreeClassifier

    from unseen.recipes.estimator import EstimatorRecipe
    from unseen.reference import ReferenceTask
    from unseen.references.cluster import Cluster
    from unseen.references.inclusion import draw_inclusion, draw_seeds
    from unseen.references.processes import Processes

    class Own(DecisionTreeClassifier):
        pass

    def ancestors():
        parents = {}
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    parents[place.name] = (place / "stat").read_text().rpartition(")")[2].split()[1]
                except OSError:
                    pass
        return parents

    def ours():
        parents, found = ancestors(), {str(os.getpid())}
        while more := {child for child, parent in parents.items() if parent in found} - found:
            found |= more
        return found

    def listening():
        inodes = set()
        for pid in ours():
            for place in Path("/proc", pid, "fd").glob("*"):
                try:
                    inodes.add(os.readlink(place).removeprefix("socket:[").removesuffix("]"))
                except OSError:
                    pass
        lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
        return {line[1].rpartition(":")[0] for line in lines if line[3] == "0A" and line[9] in inodes}

    X, y = make_classification(200, 4, random_state=0)
    work = ReferenceTask(EstimatorRecipe(Own(random_state=0)), np.unique(y), X, y, y, draw_inclusion(0, 4, 200, 0.5),
                         draw_seeds(0, 4))
    environment = dict(os.environ)
    engine = Cluster(stack=2).train(work, range(4))
    found = dict([next(engine)])
    places = listening()
    found |= dict(engine)
    expected = dict(Processes(1).train(work, range(4)))
    print("same", all(found[k].margin.tobytes() == expected[k].margin.tobytes() for k in range(4)))
    print("addresses", *sorted(places))
    changed = {name for name in {*environment, *os.environ} if environment.get(name) != os.environ.get(name)}
    print("left", len(ours()) - 1, changed, sys.modules["ray"].is_initialized())
"""
LOOPBACK_HEX = {"0100007F", "0000000000000000FFFF00000100007F"}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_ray_of_its_own_listens_on_loopback_only_says_nothing_and_leaves_nothing(tmp_path):
    pytest.importorskip("ray")
    script, home = tmp_path / "own.py", tmp_path / "home"
    script.write_text(textwrap.dedent(LOCAL))
    home.mkdir()
    folders = set(Path("/tmp").glob("unseen-*"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    ran = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**environment, "HOME": str(home)},
    )
    assert ran.stderr == ""
    same, addresses, left = ran.stdout.splitlines()
    assert same == "same True"
    assert set(addresses.split()[1:]) <= LOOPBACK_HEX
    assert len(addresses.split()) > 1
    assert left == "left 0 set() False"
    assert list(home.iterdir()) == []
    assert set(Path("/tmp").glob("unseen-*")) <= folders


def unused_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@pytest.mark.parametrize("host", ["127.0.0.1", f"{SECRET}.invalid"])
def test_an_address_where_nothing_listens_is_said_to_be_so_and_not_repeated(host):
    with pytest.raises(
        PlanError, match=r"could not connect to Ray at the address given \(nothing listens there\)"
    ) as caught:
        engine._join(None, f"{host}:{unused_port()}")
    assert host not in str(caught.value)


@pytest.mark.slow
def test_an_address_where_something_else_listens_is_given_up_in_time(monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(PlanError, match=r"at the address given \(no answer in 2 seconds\)"):
            engine._join(None, f"127.0.0.1:{silent.getsockname()[1]}")
    assert time.monotonic() - started < 20.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"address": f"ray://{SECRET}:10001"}, "takes no Ray Client address"),
        ({"address": SECRET}, "is host:port of its head, or auto"),
        ({"address": f"{SECRET}:99999"}, "is host:port of its head, or auto"),
        ({"cpus_per_task": -1}, "cpus_per_task is 0 or more, and whole above 1, got -1"),
        ({"cpus_per_task": float("nan")}, "got nan"),
        ({"gpus_per_task": 1.5}, "gpus_per_task is 0 or more, and whole above 1, got 1.5"),
        ({"cpus_per_task": 0}, "a task needs cores or GPUs"),
        ({"stack": 0}, "a stack holds 1 reference or more, got 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused_and_an_address_is_not_repeated(settings, message):
    pytest.importorskip("ray")
    with pytest.raises(PlanError, match=message) as caught:
        Cluster(**settings)
    assert SECRET not in str(caught.value)


def test_without_ray_the_extra_that_brings_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        MissingExtra, match=r"the cluster engine needs ray, which is not installed: pip install 'unseen\[ray\]'"
    ):
        Cluster()


def test_a_node_with_other_versions_of_the_libraries_trains_nothing():
    work = task(Logged(os.devnull))
    packed, libraries = pickle.dumps(work), engine._libraries(work)
    assert list(train_stack(packed, [0, 2], {**libraries, "numpy": "1"})) == [
        (0, ReferenceFailure("worker process", "has other libraries")),
        (2, ReferenceFailure("worker process", "has other libraries")),
    ]
    assert_same(dict(train_stack(packed, [0, 2], libraries)), dict(Processes(1).train(work, [0, 2])))
