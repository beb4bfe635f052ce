"""References by retraining in stacks on a Ray cluster: this machine's cores, or the nodes of one that is running.

What crosses between its processes is pickled, by Ray as well: whoever can reach a cluster's ports, or runs code on one
of its nodes, can run code on all of them and here, and read the records. Ray itself asks nobody who they are unless its
token authentication is switched on (`RAY_AUTH_MODE=token`); hand it an address only where you trust the network and all
who share it. A cluster started here listens on the loopback interface, and asks for a token where Ray knows them.
"""

import copy
import importlib
import math
import os
import pickle
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from unseen.errors import FolderError, MissingExtra, ModelError, PlanError
from unseen.provenance import versions
from unseen.reference import ReferenceAnswers, ReferenceFailure, ReferenceTask, some_of
from unseen.references.automatic import Automatic
from unseen.references.processes import Outcome

MOST_DEATHS = 4  # of the worker processes that a reference was in; a stack of 8 is down to single ones by then
KNOCK_SECONDS = 10.0  # for a connection to the address
CONNECT_SECONDS = 60.0  # for Ray to answer there
ROOM_SECONDS = 60.0  # for a cluster that grows on demand to have a node that can hold a task
POLL_SECONDS = 5.0

QUIET = {"log_to_driver": False, "logging_level": "ERROR"}
SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as Ray does on these: no other machine can join
PROBE = """
import os, sys, ray
try:
    ray.init(address=sys.stdin.read(), log_to_driver=False, logging_level="CRITICAL")
except Exception as error:
    os.write(1, type(error).__name__.encode())
    os._exit(1)
ray.shutdown()
"""


class Cluster:
    """Trains references in stacks of up to `stack`, each a Ray task that is given so many cores and GPUs.

    Without `address`, in the Ray that this process is connected to, else in one that is started and ended here. An
    `address` is `host:port` of a cluster's head, or `auto`; this machine must be one of its nodes.

    A task trains on one thread. It answers reference by reference, or stack by stack where the recipe can be stacked.
    What a lost process or node had not answered yet is trained again, by halves, and is the same; after four losses the
    reference is a `ReferenceFailure`. What the recipe raises is one at once, as in `Processes`, and so is a node whose
    libraries have other versions than here. Each task works on a copy of the records of its own.
    """

    def __init__(
        self, address: str | None = None, cpus_per_task: float = 1, gpus_per_task: float = 0.0, stack: int = 8
    ) -> None:
        """Check the settings; raises `PlanError`, and `MissingExtra` without Ray."""
        if find_spec("ray") is None:
            raise MissingExtra("the cluster engine", "ray", "ray")
        if address is not None:
            _host_and_port(address)
        for name, value in (("cpus_per_task", cpus_per_task), ("gpus_per_task", gpus_per_task)):
            if not 0 <= value < math.inf or (value > 1 and value % 1):
                raise PlanError(f"{name} is 0 or more, and whole above 1, got {value}.")
        if not cpus_per_task and not gpus_per_task:
            raise PlanError("a task needs cores or GPUs, got cpus_per_task and gpus_per_task of 0.")
        if stack < 1:
            raise PlanError(f"a stack holds 1 reference or more, got {stack}.")
        self.address, self.stack = address, stack
        self.cpus_per_task, self.gpus_per_task = cpus_per_task, gpus_per_task
        self.said: list[str] = []

    def __repr__(self) -> str:
        return f"Cluster(stack={self.stack})"

    def train(self, task: ReferenceTask, wanted: Sequence[int]) -> Iterator[Outcome]:
        """Yield each wanted reference as it finishes.

        Raises `PlanError` where there is no cluster at the address or no node that can hold a task, `ModelError` where
        the recipe cannot be sent to other processes, `FolderError` where the records do not fit the object store.
        """
        if not wanted:
            return
        self.said = _said(task)
        with _connected(self.address) as ray:
            places = self._places(ray, ROOM_SECONDS if self.address else 0.0)
            if not places:
                raise PlanError(
                    f"the cluster engine asks for {self.cpus_per_task} CPUs and {self.gpus_per_task} GPUs a task, and "
                    "no node has as many: lower cpus_per_task or gpus_per_task, or add a node."
                )
            yield from self._outcomes(ray, task, _stacks(wanted, self.stack, places))

    def _outcomes(self, ray: Any, task: ReferenceTask, stacks: Sequence["Stack"]) -> Iterator[Outcome]:
        """Yield what the stacks answer, as it comes; where some have no place to be trained any more, say so."""
        running = Running(ray, task, {"num_cpus": self.cpus_per_task, "num_gpus": self.gpus_per_task})
        try:
            running.start(stacks)
            while running.stacks:
                if (outcomes := running.next()) is not None:
                    yield from outcomes
                elif not self._places(ray, ROOM_SECONDS):
                    left = [k for stack, _ in running.stacks.values() for k in stack.numbers]
                    yield from _failed(left, "found no node")
                    return
        finally:
            running.cancel()

    def _places(self, ray: Any, patience: float) -> int:
        """Return how many tasks the nodes can hold at once; where that is none, look again for `patience` seconds."""
        give_up = time.monotonic() + patience
        while not (places := sum(map(self._held_by, ray.nodes()))) and time.monotonic() < give_up:
            time.sleep(1.0)
        return places

    def _held_by(self, node: Mapping[str, Any]) -> int:
        asked = {"CPU": self.cpus_per_task, "GPU": self.gpus_per_task}
        has = node["Resources"] if node["Alive"] else {}
        return int(min(has.get(name, 0) // amount for name, amount in asked.items() if amount))


@dataclass(frozen=True)
class Stack:
    """References of one task that are still to come, and how often they were lost with a process or a node."""

    numbers: tuple[int, ...]
    deaths: int = 0

    def without(self, k: int) -> "Stack":
        """Return the stack after `k` was answered."""
        return replace(self, numbers=tuple(number for number in self.numbers if number != k))

    def halves(self) -> list["Stack"]:
        """Return what to train after a loss: smaller stacks, in case one reference brings down its process."""
        middle = (len(self.numbers) + 1) // 2
        parts = (self.numbers[:middle], self.numbers[middle:])
        return [Stack(part, self.deaths + 1) for part in parts if part]


class Running:
    """The stacks under way, each the stream of what one Ray task answers; the records are in the object store once."""

    def __init__(self, ray: Any, task: ReferenceTask, asked: Mapping[str, float]) -> None:
        self.ray, self.task = ray, task
        # a retry of Ray's would start at a stack's beginning, and out of memory it would retry for ever
        self.run = ray.remote(train_stack).options(num_returns="streaming", max_retries=0, **asked)
        self.libraries = _libraries(task)
        self.records = _put(ray, task)
        self.stacks: dict[Any, tuple[Stack, Any]] = {}  # and the records that each was given

    def start(self, stacks: Sequence[Stack]) -> None:
        """Hand in stacks."""
        for stack in stacks:
            stream = self.run.remote(self.records, stack.numbers, self.libraries)
            self.stacks[stream] = stack, self.records

    def next(self) -> list[Outcome] | None:
        """Return what came next: an answer, or nothing after a loss that is made good; None if all was still."""
        ready, _ = self.ray.wait(list(self.stacks), num_returns=1, timeout=POLL_SECONDS)
        if not ready:
            return None
        stack, records = self.stacks.pop(ready[0])
        try:
            k, result = self.ray.get(next(ready[0]))
        except StopIteration:
            return self._again(stack)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, self.ray.exceptions.ObjectLostError):
                if records is self.records:  # else another stack has missed them before
                    self.records = _put(self.ray, self.task)
                return self._again(stack)
            return _failed(stack.numbers, type(error.cause).__name__)
        except self.ray.exceptions.RayError:
            return self._again(stack)
        if (rest := stack.without(k)).numbers:
            self.stacks[ready[0]] = rest, records
        return [(k, _copied(result))]

    def cancel(self) -> None:
        """Stop what is still running."""
        for stream in self.stacks:
            with suppress(Exception):  # the cluster may be gone
                self.ray.cancel(stream, force=True)

    def _again(self, stack: Stack) -> list[Outcome]:
        if stack.deaths + 1 >= MOST_DEATHS:
            return _failed(stack.numbers, "died")
        self.start(stack.halves())
        return []


def train_stack(packed: Any, numbers: Sequence[int], libraries: Mapping[str, str]) -> Iterator[Outcome]:
    """Train the references `numbers` of a pickled task, in the worker process where this runs; yield each when done.

    With other `libraries` than the task comes from, none: the same seed would not give the same reference.
    """
    task: ReferenceTask = pickle.loads(packed)  # noqa: S301 - from the process that started this one
    if (torch := sys.modules.get("torch")) is not None:  # the recipe's, if it has one
        torch.set_num_threads(1)
    known = _libraries(task) == libraries
    outcomes = _alone(task, numbers) if known else _failed(numbers, "has other libraries")
    for outcome in outcomes:  # noqa: UP028 - Ray sends into the generator, which a list's iterator cannot take
        yield outcome


def _stacks(wanted: Sequence[int], most: int, places: int) -> list[Stack]:
    """Return stacks of up to `most` and of like sizes, so many that no place stays empty.

    >>> [stack.numbers for stack in _stacks(range(7), most=4, places=3)]
    [(0, 1, 2), (3, 4), (5, 6)]
    """
    rounds = math.ceil(math.ceil(len(wanted) / most) / places)
    parts = np.array_split(np.asarray(wanted), min(rounds * places, len(wanted)))
    return [Stack(tuple(part.tolist())) for part in parts]


def _failed(numbers: Sequence[int], error: str) -> list[Outcome]:
    return [(k, ReferenceFailure("worker process", error)) for k in numbers]


def _said(task: ReferenceTask) -> list[str]:
    """Return what a reader should know of how these references are trained, as a stacked engine says it."""
    if not hasattr(task.recipe, "stackable"):
        return []
    from unseen.references.stacked.engine import stackable  # PyTorch is there: the recipe came out of it

    return stackable(task)[1]


def _alone(task: ReferenceTask, numbers: Sequence[int]) -> Iterator[Outcome]:
    """Yield these references, trained in this process as one stack where they can be stacked."""
    for place, result in Automatic(workers=1).train(some_of(task, numbers), range(len(numbers))):
        yield numbers[place], result


def _libraries(task: ReferenceTask) -> dict[str, str]:
    """Return the versions that numbers depend on; PyTorch's only where the recipe is its, without the kind of build."""
    torch = sys.modules.get("torch") if hasattr(task.recipe, "stackable") else None
    return versions() | ({} if torch is None else {"torch": torch.__version__.partition("+")[0]})


def _put(ray: Any, task: ReferenceTask) -> Any:
    """Return a reference to the task in the object store, pickled, so that each worker unpickles a copy of its own."""
    try:
        packed = np.frombuffer(ray.cloudpickle.dumps(task), dtype=np.uint8)
    except Exception as error:  # noqa: BLE001 - whatever a user's object raises when it is pickled
        raise ModelError(
            f"the cluster engine cannot send the recipe to other processes ({type(error).__name__}): make what it "
            "holds picklable, or train in this process (engine processes, one worker)."
        ) from None
    try:
        return ray.put(packed)
    except ray.exceptions.RayError as error:
        raise FolderError(
            f"the records, {packed.nbytes} bytes, do not go into Ray's object store ({type(error).__name__}): give it "
            "more memory or disk (ray start --object-store-memory)."
        ) from None


def _copied(result: ReferenceAnswers | ReferenceFailure) -> ReferenceAnswers | ReferenceFailure:
    """Return answers outside the object store, which would keep its place as long as they live."""
    if isinstance(result, ReferenceFailure):
        return result
    return copy.deepcopy(result)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Yield `ray`, connected: as it was, to the cluster at `address`, or to one of this machine's that ends here."""
    with ExitStack() as undo:
        undo.enter_context(_environment(SETTINGS if address else SETTINGS | LOOPBACK | _token()))
        ray = importlib.import_module("ray")
        if ray.is_initialized():
            if address is not None:
                raise PlanError(
                    "the cluster engine was given an address in a process that is connected to Ray already: leave out "
                    "the address, or call ray.shutdown() first."
                )
            yield ray
            return
        _forget_token()
        undo.enter_context(_attribute("ray._private.worker", "print_to_stdstream", lambda *_, **__: None))
        undo.enter_context(_terminated_as_before())
        if address is None:
            place = undo.enter_context(_private_folder())
            undo.callback(ray.shutdown)
            _start(ray, place)
        else:
            undo.callback(ray.shutdown)
            _join(ray, address)
        yield ray


def _start(ray: Any, place: str) -> None:
    """Start Ray on this machine, on the loopback interface only, with its logs and spilled records under `place`."""
    try:
        with _attribute("ray._private.ray_constants", "ENABLE_RAY_CLUSTER", value=False):
            ray.init(address="local", num_cpus=joblib.cpu_count(), include_dashboard=False, _temp_dir=place, **QUIET)
    except Exception as error:  # noqa: BLE001 - whatever a machine has against it
        raise PlanError(
            f"the cluster engine could not start Ray on this machine ({type(error).__name__}): use engine processes."
        ) from None


def _join(ray: Any, address: str) -> None:
    """Connect to the cluster at `address`.

    Tried in a process of its own first: Ray waits for long where nothing answers, and may end its process. The address
    is in no message and on no command line, as it may tell an inside name.
    """
    reason = _unheard(address)
    if reason is None:
        try:
            ray.init(address=address, **QUIET)
        except Exception as error:  # noqa: BLE001 - as above
            reason = type(error).__name__
    if reason is not None:
        raise PlanError(
            f"the cluster engine could not connect to Ray at the address given ({reason}): start it there, with this "
            "machine as a node, or correct the address (ray status --address shows whether one answers)."
        ) from None


def _unheard(address: str) -> str | None:
    """Return why no cluster can be connected to at `address`, or None; takes seventy seconds at most."""
    if (place := _host_and_port(address)) is not None:
        try:
            socket.create_connection(place, timeout=KNOCK_SECONDS).close()
        except (OSError, UnicodeError):
            return "nothing listens there"
    command = [sys.executable, "-c", PROBE]
    try:
        tried = subprocess.run(  # noqa: S603 - this Python and the text above
            command, input=address, capture_output=True, text=True, timeout=CONNECT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"no answer in {CONNECT_SECONDS:.0f} seconds"
    return None if tried.returncode == 0 else tried.stdout.strip() or "Ray gave up"


def _host_and_port(address: str) -> tuple[str, int] | None:
    """Return where the head of a cluster listens; None where Ray is to find it."""
    if address == "auto":
        return None
    if "://" in address:
        raise PlanError(
            "the cluster engine takes no Ray Client address (ray://) or other URL: run the audit on a node of the "
            "cluster, as with ray job submit, with the address auto."
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) >= 2**16:
        raise PlanError("the address of a Ray cluster is host:port of its head, or auto.")
    return host.strip("[]"), int(port)


def _token() -> dict[str, str]:
    """Return the settings by which a cluster asks for a token, and the token."""
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}


def _forget_token() -> None:
    """Have Ray read the settings of its authentication anew, after another connection of this process."""
    with suppress(ImportError, AttributeError):  # Ray before 2.52 has none
        inside = importlib.import_module("ray._raylet")
        inside.Config.initialize("")
        inside.AuthenticationTokenLoader.instance().reset_cache()


@contextmanager
def _environment(settings: Mapping[str, str]) -> Iterator[None]:
    """Set variables for this process and those that it starts; afterwards all of Ray's are as before."""
    before = dict(os.environ)
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith("RAY_")]:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if name.startswith("RAY_")})


@contextmanager
def _attribute(module: str, name: str, value: Any) -> Iterator[None]:
    """Change what Ray has no setting for, while it is there: errors of nodes on standard output; loopback on Linux."""
    owner = importlib.import_module(module)
    if not hasattr(owner, name):
        yield
        return
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """Put back what SIGTERM does, which Ray changes."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and before is not None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def _private_folder() -> Iterator[str]:
    """Yield the path of a folder under one of this user's only, since Ray opens its own to all; short, for sockets."""
    short = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108 - the path of a socket has 107 bytes at most
    with tempfile.TemporaryDirectory(prefix="unseen-", dir=short, ignore_cleanup_errors=True) as outer:
        yield str(Path(outer) / "ray")
