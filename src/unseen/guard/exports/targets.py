"""Targets: where entries of the log are sent as they are written, one class a kind; each is used by one thread."""

import errno
import os
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Protocol

from unseen.errors import PolicyError
from unseen.guard.counts import Snapshot
from unseen.guard.exports import FORMATS
from unseen.guard.exports.event import PART, Form
from unseen.guard.exports.syslog import framed
from unseen.guard.log.entries import Entry
from unseen.guard.policy import Export, endpoint_of

TIMEOUT_S = 5.0  # how long one connection or one send may take


class Target(Protocol):
    """Sends entries. Whatever it raises, the same entries are handed to it again later."""

    every_s: float | None  # how often `tell` is called; never where None
    at_once: int  # how many entries are sent together at most

    def send(self, entries: Sequence[Entry]) -> int:
        """Send them all, in order; return how many of them can never be sent."""

    def tell(self, counts: Snapshot) -> None:
        """Send the counts."""

    def close(self) -> None:
        """Let go of the connection."""


class Lines:
    """What every target for lines does; `_put` sends encoded lines and returns how many were too long."""

    every_s: float | None = None
    at_once = PART

    def __init__(self, form: Form) -> None:
        self._form = form

    def send(self, entries: Sequence[Entry]) -> int:
        """Send all that have a form."""
        lines, unsendable = [], 0
        for entry in entries:
            try:
                line = self._form(entry)
                lines.append((line or "").encode("utf-8", "replace"))
            except Exception:  # noqa: BLE001 - one entry that no line can say must not stop the others
                unsendable += 1
        return unsendable + self._put([line for line in lines if line])

    def tell(self, counts: Snapshot) -> None:
        """Send nothing: a log holds entries."""

    def _put(self, lines: list[bytes]) -> int:
        raise NotImplementedError


class SyslogTarget(Lines):
    """Syslog over UDP (RFC 5426), TCP with counted octets (RFC 6587) or TLS (RFC 5425)."""

    def __init__(self, kind: str, host: str, port: int, form: Form) -> None:
        super().__init__(form)
        self._kind = kind
        self._where = (host, port)
        self._socket: socket.socket | None = None

    def _put(self, lines: list[bytes]) -> int:
        if self._socket is not None and self._kind != "udp" and _closed(self._socket):
            self.close()
        try:
            if self._socket is None:
                self._socket = self._connected()
            if self._kind == "udp":
                return sum(not _sent(self._socket, line) for line in lines)
            self._socket.sendall(b"".join(b"%d %b" % (len(line), line) for line in lines))
        except OSError:
            self.close()
            raise
        return 0

    def _connected(self) -> socket.socket:
        if self._kind == "udp":
            family, kind, protocol, _, where = socket.getaddrinfo(*self._where, type=socket.SOCK_DGRAM)[0]
            opened = socket.socket(family, kind, protocol)
            opened.settimeout(TIMEOUT_S)
            opened.connect(where)
            return opened
        opened = socket.create_connection(self._where, timeout=TIMEOUT_S)
        if self._kind == "tls":
            return ssl.create_default_context().wrap_socket(opened, server_hostname=self._where[0])
        return opened

    def close(self) -> None:
        """Let go of the connection; the next line makes another."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.close()
        self._socket = None


def _sent(opened: socket.socket, line: bytes) -> bool:
    """Send one datagram; False where it is longer than any may be."""
    try:
        opened.send(line)
    except OSError as error:
        if error.errno != errno.EMSGSIZE:
            raise
        return False
    return True


def _closed(opened: socket.socket) -> bool:
    """Whether the other side has closed: what is sent then would be lost without a word. Drops what it has said."""
    try:
        opened.setblocking(False)  # noqa: FBT003 - its only argument
        return opened.recv(65_536) == b""
    except (BlockingIOError, ssl.SSLWantReadError):
        return False
    except OSError:
        return True
    finally:
        opened.settimeout(TIMEOUT_S)


class FileTarget(Lines):
    """A file that lines are appended to; one that was moved away, as logrotate does, is made anew."""

    def __init__(self, path: Path, form: Form) -> None:
        super().__init__(form)
        self._path = path
        self._file = -1
        self._torn = False

    def _put(self, lines: list[bytes]) -> int:
        if self._file >= 0 and not self._there():
            self.close()
        if self._file < 0:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW
            self._file = os.open(self._path, flags, 0o600)
        content = (b"\n" if self._torn else b"") + b"".join(line + b"\n" for line in lines)
        written = os.write(self._file, content)
        self._torn = 0 < written < len(content)
        if written < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return 0

    def _there(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._file))

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def open_target(export: Export, worker: int) -> Target:
    """Return what sends to an export of the policy; nothing is connected yet. Raises `PolicyError`, `MissingExtra`."""
    if export.to == "otlp":
        from unseen.guard.exports.otlp import OtlpTarget

        return OtlpTarget(export, worker)
    worker_name = f"worker-{worker}"
    form = FORMATS[export.format or ("syslog" if export.to == "syslog" else "jsonl")]
    if export.to == "file":
        return FileTarget(Path(export.path or ""), partial(form, worker=worker_name))
    if export.address is None:
        raise PolicyError("log.exports: syslog needs an address.")
    form = form if export.format in {None, "syslog"} else framed(form)
    return SyslogTarget(*endpoint_of(export.address), partial(form, worker=worker_name))
