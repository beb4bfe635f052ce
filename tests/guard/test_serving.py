"""A guard as a process: it starts, reloads, ends in order, is killed, and has workers."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from tests.guard.guards import SECRET
from tests.guard.stores.servers import free_port

from unseen.guard.keys import KeyRing
from unseen.guard.listening import listen
from unseen.guard.log.chain import public_of, signing_key
from unseen.guard.log.entries import Asked, Done
from unseen.guard.log.reading import entries
from unseen.guard.log.verifying import verify
from unseen.guard.secrets import derive
from unseen.guard.stores.sqlite import SqliteStore

COMMAND = "import sys; from unseen.guard.commands import main; sys.exit(main())"


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wait = 0.0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(type(self).wait)
        answer = json.dumps({"predictions": [[0.7123, 0.2, 0.0877]] * len(body["instances"])}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    handler = type("OneModel", (Model,), {})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    server.handler = handler
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


class Process:
    """A guard in a process of its own, with a policy file that a test can change."""

    def __init__(self, folder, model, *, workers=1, lifetime=100_000, lease=10):
        self.folder, self.port = folder, free_port()
        self.path = folder / "policy.toml"
        self.settings = {"workers": workers, "lifetime": lifetime, "lease": lease, "control": '{ name = "label-only" }'}
        self.upstream = f"http://127.0.0.1:{model.server_address[1]}"
        self.write()
        ring = KeyRing(folder / "state", derive(SECRET.encode(), "keys"))
        _, self.key = ring.add(tenant="acme", tier="t")

    def write(self, **changes):
        self.settings |= changes
        self.path.write_text(
            f"""
            [guard]
            listen = "127.0.0.1:{self.port}"
            state = "{self.folder}/state"
            workers = {self.settings["workers"]}
            [upstream]
            url = "{self.upstream}"
            [[routes]]
            protocol = "mlflow"
            [store]
            lease = {self.settings["lease"]}
            durability = "process"
            [tiers.t]
            rate = "100000 per second, burst 10000"
            budget = {{ lifetime = {self.settings["lifetime"]} }}
            controls = [{self.settings["control"]}]
            """
        )

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "serve", str(self.path)],
            env=os.environ | {"UNSEEN_GUARD_SECRET": SECRET},
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for _ in range(400):
            assert self.process.poll() is None, self.process.stderr.read()
            try:
                self.ask()
            except OSError:
                time.sleep(0.025)
            else:
                return
        raise AssertionError("the guard did not begin to answer")

    def ask(self, records=1):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/invocations",
            data=json.dumps({"instances": [[1.0, 2.0]] * records}).encode(),
            headers={"authorization": f"Bearer {self.key}", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read())

    def end(self, name=signal.SIGTERM):
        self.process.send_signal(name)
        said = self.process.communicate(timeout=30)[1].decode()
        return self.process.returncode, said

    def used(self):
        store = SqliteStore(self.folder / "state" / "budgets.sqlite")
        found = store.used("key:")
        store.close()
        return sum(found.values())

    def log(self, noun=Asked):
        return [entry for entry in entries(self.folder / "state" / "log") if isinstance(entry, noun)]

    def verdicts(self):
        return verify(self.folder / "state" / "log", [public_of(signing_key(SECRET.encode()))])


@contextmanager
def serving(*arguments, **named):
    guard = Process(*arguments, **named)
    guard.start()
    try:
        yield guard
    finally:
        if guard.process.poll() is None:
            guard.end()
        guard.process.stderr.close()


def test_an_orderly_end_gives_back_what_is_held_and_signs_the_log(tmp_path, model):
    with serving(tmp_path, model, lease=50) as guard:
        for _ in range(6):
            assert guard.ask(2)[0] == 200
        code, said = guard.end()
        assert code == 0
        assert said.count("\n") == 1  # that it listens
        assert guard.used() == sum(entry.records for entry in guard.log() if entry.status == 200) == 13
        (verdict,) = guard.verdicts()
        assert (verdict.bad, verdict.unsigned) == ("", 0)


def test_what_is_being_answered_when_the_end_comes_is_answered(tmp_path, model):
    with serving(tmp_path, model) as guard:
        model.handler.wait = 0.5
        found = []
        thread = threading.Thread(target=lambda: found.append(guard.ask()))
        thread.start()
        time.sleep(0.2)
        guard.process.send_signal(signal.SIGTERM)
        thread.join()
        assert found[0][0] == 200
        assert guard.process.wait(20) == 0


def test_a_reload_is_atomic_and_a_bad_policy_leaves_the_old_one(tmp_path, model):
    with serving(tmp_path, model) as guard:
        assert guard.ask()[1] == {"predictions": [[1.0, 0.0, 0.0]]}
        guard.write(control='{ name = "clip-confidence", at_most = 0.6 }')
        told, stop = [[], [], []], threading.Event()

        def ask(answers):
            while not stop.is_set():
                answers.append(guard.ask())

        threads = [threading.Thread(target=ask, args=(answers,)) for answers in told]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        guard.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)
        guard.path.write_text("[guard]\nlisten = 5")
        guard.process.send_signal(signal.SIGHUP)
        time.sleep(0.4)
        guard.write(control='{ name = "temperature", at = 2 }')
        guard.process.send_signal(signal.SIGHUP)
        time.sleep(0.4)
        stop.set()
        for thread in threads:
            thread.join()
        for answers in told:
            assert {status for status, _ in answers} == {200}
            tops = [answer["predictions"][0][0] for _, answer in answers]
            assert set(tops) == {1.0, 0.6}
            assert tops == sorted(tops, reverse=True)  # each client sees one policy, then the other
        code, said = guard.end()
        assert code == 0
        assert said.count("the new policy is refused, the old one stays") == 2
        (held,) = [entry.detail for entry in guard.log(Done) if entry.what == "policy"]
        assert said.count(f"unseen guard: policy {held} holds from now, mode enforce.\n") == 1
        assert [entry.what for entry in guard.log(Done)] == ["policy", "policy-refused", "policy-refused"]
        assert len({entry.policy for entry in guard.log()}) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_being_told_to_read_the_policy_again_while_it_begins_ends_no_guard(tmp_path, model, workers):
    guard = Process(tmp_path, model, workers=workers)
    text = guard.path.read_text()
    guard.path.unlink()
    os.mkfifo(guard.path)
    begun = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", str(guard.path)],
        env=os.environ | {"UNSEEN_GUARD_SECRET": SECRET},
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    guard.process = begun
    with guard.path.open("w") as given:  # open once the guard reads it
        (tmp_path / "whole").write_text(text)
        (tmp_path / "whole").replace(guard.path)  # for those who read it again
        begun.send_signal(signal.SIGHUP)
        given.write(text)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        with suppress(OSError):
            assert guard.ask()[0] == 200
            break
        time.sleep(0.05)
    assert guard.end()[0] == 0
    begun.stderr.close()


@pytest.mark.parametrize("address", ["@unseen-{pid}", "{folder}/notify"])
def test_a_service_manager_is_told_once_that_the_guard_answers(tmp_path, model, monkeypatch, address):
    address = address.format(pid=os.getpid(), folder=tmp_path)
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0"))
        manager.settimeout(20)
        with serving(tmp_path, model, workers=2):
            assert manager.recv(100) == b"READY=1"
            manager.settimeout(1.0)
            with pytest.raises(TimeoutError):
                manager.recv(100)


def test_what_the_guard_listens_on_is_its_own(tmp_path):
    del tmp_path
    with listen("127.0.0.1", 0) as sock:
        assert not sock.get_inheritable()


def test_a_killed_guard_loses_no_charge_and_no_record(tmp_path, model):
    with serving(tmp_path, model, lifetime=60, lease=7) as guard:
        answered = 0
        for _ in range(4):
            answered += sum(guard.ask()[0] == 200 for _ in range(9))
            guard.end(signal.SIGKILL)
            guard.process.stderr.close()
            guard.start()
        told = [entry for entry in guard.log() if entry.status == 200]
        assert len(told) >= answered
        assert answered <= guard.used() <= len(told) + 5 * 7  # at most a lease for every process that there was
        while guard.ask()[0] == 200:
            pass
        assert sum(entry.records for entry in guard.log() if entry.status == 200) <= 60
        assert {verdict.bad for verdict in guard.verdicts()} == {""}


def test_workers_share_a_budget_and_a_dead_one_is_replaced(tmp_path, model):
    with serving(tmp_path, model, workers=3, lifetime=120, lease=4) as guard:
        children = children_of(guard.process.pid)
        assert len(children) == 3
        results = []
        threads = [threading.Thread(target=lambda: results.extend(guard.ask()[0] for _ in range(15))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.kill(children[0], signal.SIGKILL)
        deadline = time.time() + 20
        while time.time() < deadline:
            try:
                status, _ = guard.ask()
            except OSError:
                continue
            if status == 429:
                break
        answered = sum(entry.records for entry in guard.log() if entry.status == 200)
        assert answered <= 120
        assert answered >= 120 - 4 * 4  # a lease is stranded by the worker that died, and held by those that live
        code, said = guard.end()
        assert code == 0
        assert "worker 0 was killed (signal 9); another takes its place" in said
        assert {verdict.bad for verdict in guard.verdicts()} == {""}


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize(
    ("secret", "said"),
    [(None, "UNSEEN_GUARD_SECRET, which is not set"), ("short", "too weak"), ("a" * 64, "too weak")],
)
def test_it_refuses_to_start_open_or_with_a_weak_secret(tmp_path, model, secret, said):
    guard = Process(tmp_path, model)
    environment = {name: value for name, value in os.environ.items() if name != "UNSEEN_GUARD_SECRET"}
    environment |= {"UNSEEN_GUARD_SECRET": secret} if secret else {}
    command = [sys.executable, "-c", COMMAND, "serve", str(guard.path)]
    found = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert found.returncode == 2
    assert said in found.stderr.decode()
    (tmp_path / "state" / "keys.json").unlink()
    environment["UNSEEN_GUARD_SECRET"] = SECRET
    command = [sys.executable, "-c", COMMAND, "serve", str(guard.path)]
    found = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert found.returncode == 2
    assert "there is no key" in found.stderr.decode()


def test_it_says_that_it_listens_once_it_does(tmp_path, model):
    guard = Process(tmp_path, model, workers=2)
    listens = f"unseen guard listens on 127.0.0.1:{guard.port}, in front of {guard.upstream}, mode enforce"
    assert started(guard) == f"{listens}.\n"
    admin = free_port()
    token = tmp_path / "token"
    token.write_text(SECRET[::-1])
    token.chmod(0o600)
    words = f'[guard]\nadmin = "127.0.0.1:{admin}"\nadmin_token = "file:{token}"\n'
    guard.path.write_text(guard.path.read_text().replace("[guard]", words))
    assert started(guard) == f"{listens}, admin API on 127.0.0.1:{admin}.\n"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", admin))
        taken.listen()
        command = [sys.executable, "-c", COMMAND, "serve", str(guard.path)]
        environment = os.environ | {"UNSEEN_GUARD_SECRET": SECRET}
        found = subprocess.run(command, env=environment, capture_output=True, timeout=30, check=False)
    assert found.returncode == 2
    assert b"cannot be listened on" in found.stderr
    assert b"unseen guard listens" not in found.stderr


def started(guard):
    """The first line that a guard says; then it is stopped, and has said no more."""
    guard.start()
    said = guard.process.stderr.readline().decode()
    assert guard.end() == (0, "")
    guard.process.stderr.close()
    return said


def test_workers_end_when_whoever_watches_over_them_is_killed(tmp_path, model):
    with serving(tmp_path, model, workers=2) as guard:
        children = children_of(guard.process.pid)
        guard.end(signal.SIGKILL)
        deadline = time.time() + 20
        while any(Path(f"/proc/{child}").exists() for child in children) and time.time() < deadline:
            time.sleep(0.05)
        assert not [child for child in children if Path(f"/proc/{child}").exists()]
        assert {(verdict.bad, verdict.unsigned) for verdict in guard.verdicts()} == {("", 0)}
