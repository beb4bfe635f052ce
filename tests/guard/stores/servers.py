"""Redis and PostgreSQL, started for the tests from Debian's packages, in a folder of their own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

REQUIRED = os.environ.get("UNSEEN_STORES") == "required"  # as in CI: elsewhere a missing server skips


def missing(what):
    if REQUIRED:
        pytest.fail(f"{what} is not installed, and UNSEEN_STORES requires it")
    pytest.skip(f"{what} is not installed")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Redis:
    """A Redis server that keeps each step on its disk, or does not."""

    def __init__(self, folder, *, always=True):
        program = shutil.which("redis-server") or shutil.which("valkey-server") or missing("redis-server")
        self.port = free_port()
        sync = "always" if always else "everysec"
        self._command = [program, "--port", str(self.port), "--dir", str(folder), "--bind", "127.0.0.1"]
        self._command += ["--appendonly", "yes", "--appendfsync", sync, "--save", ""]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self):
        self.process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        wait_for(self.port, self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    stop = kill


class Postgresql:
    """A PostgreSQL server; run by the user postgres where the tests run as root, which it refuses."""

    def __init__(self, folder):
        found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
        if not found:
            missing("postgresql")
        self._bin = found[-1].parent
        self._folder = folder / "base"
        self._as = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if self._as:
            shutil.chown(folder, "postgres")
            for above in [folder, *folder.parents]:
                if above.stat().st_uid == 0 and above.is_relative_to("/tmp") and above != Path("/tmp"):
                    above.chmod(above.stat().st_mode | 0o011)
        command = [*self._as, self._bin / "initdb", "-D", self._folder, "-A", "trust", "-U", "postgres"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self.start()

    def start(self):
        command = [*self._as, self._bin / "postgres", "-D", self._folder, "-p", str(self.port), "-k", ""]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "max_connections=50"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
        wait_for(self.port, self.process)
        import psycopg

        for _ in range(200):
            with contextlib.suppress(psycopg.OperationalError):
                psycopg.connect(self.url).close()
                return
            time.sleep(0.05)
        raise AssertionError("PostgreSQL did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()

    def stop(self):
        self.process.send_signal(signal.SIGINT)  # SIGTERM would wait for the connections of the tests
        self.process.wait()


def wait_for(port, process):
    for _ in range(400):
        assert process.poll() is None, "the server ended"
        with socket.socket() as sock:
            if sock.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.025)
    raise AssertionError("the server did not begin to listen")


class Between:
    """Stands before a server of this machine, and may fall silent: then it passes nothing on, and refuses nothing."""

    def __init__(self, port):
        self._server = port
        self.speaks = threading.Event()  # to those who ask
        self.listens = threading.Event()
        self.speaks.set()
        self.listens.set()
        self._sock = socket.create_server(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._open = [self._sock]
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self):
        self.speaks.clear()
        self.listens.clear()

    def wake(self):
        self.speaks.set()
        self.listens.set()

    def close(self):
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        self.wake()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                asking, _ = self._sock.accept()
                serving = socket.create_connection(("127.0.0.1", self._server))
                self._open += [asking, serving]
                for source, sink, opened in ((asking, serving, self.listens), (serving, asking, self.speaks)):
                    threading.Thread(target=_pass_on, args=(source, sink, opened), daemon=True).start()


def _pass_on(source, sink, opened):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            opened.wait()
            sink.sendall(data)
        opened.wait()
        sink.shutdown(socket.SHUT_WR)
