"""One kept connection to an endpoint: JSON out, a bounded answer in, no redirects, certificates checked."""

import http.client
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Timer
from urllib.parse import urlsplit

import unseen
from unseen.errors import PlanError

MOST_BYTES = 64 * 2**20  # of one answer
PIECE = 2**16
AFTER_S = 0.01  # so much after its end an exchange is cut off, so that who then looks at the clock finds it passed
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class NoAnswer(Exception):
    """There is no whole answer; the message says in a clause why, and quotes nothing."""


@dataclass(frozen=True)
class Reply:
    """What came back: the status, the headers by lower-case name, and the whole body."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Connection:
    """A connection to the server of `url`, opened when first used and again after a fault.

    `secret` holds the headers that nobody is shown. Raises `PlanError` where the address is none.
    """

    def __init__(self, url: str, secret: Mapping[str, str], timeout: float, *, insecure: bool = False) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in {"http", "https"} or not host:
            raise PlanError("a url must begin with http:// or https:// and a host.")
        if parts.username is not None or parts.password is not None or parts.fragment:
            raise PlanError("a url holds no user, password or fragment; a key goes to api_key.")
        if not url.isascii() or not url.isprintable() or " " in url:
            raise PlanError("a url holds printable ASCII without blanks; escape the rest with %.")
        if secret and parts.scheme == "http" and host not in LOOPBACK and not insecure:
            raise PlanError(
                f"http:// would show the key to everybody between here and {host}: use https, or insecure = true."
            )
        self.shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}"
        self._host, self._port, self._tls = host, port, parts.scheme == "https"
        self._secret, self._timeout = dict(secret), timeout
        self._open: http.client.HTTPConnection | None = None

    def __repr__(self) -> str:
        return f"Connection({self.shown})"

    def ask(self, method: str, url: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Return the reply to one request; raises `NoAnswer` where there is no whole one in time."""
        parts = urlsplit(url)
        place = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        sent = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"unseen/{unseen.__version__}",
        }
        sent |= {} if body is None else {"Content-Type": "application/json"}
        until = time.monotonic() + self._timeout
        try:
            connection = self._connected()
            connection.request(method, place, body, {**sent, **(headers or {}), **self._secret})
            with _cut_off(connection.sock, until):
                return _whole(connection, until)
        except (NoAnswer, OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise NoAnswer(self._told_why(error, late=time.monotonic() >= until)) from None

    def _told_why(self, error: Exception, *, late: bool) -> str:
        """Return why there is no answer; what is cut off at the end of its time fails in any way."""
        if late or isinstance(error, TimeoutError):
            return f"it gave no answer within {self._timeout:g} s (timeout_seconds)"
        if isinstance(error, NoAnswer):
            return str(error)
        if isinstance(error, ssl.SSLError):
            return f"its certificate or encryption was refused here ({type(error).__name__})"
        return f"the connection failed ({type(error).__name__})"

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._open is not None:
            self._open.close()
        self._open = None

    def _connected(self) -> http.client.HTTPConnection:
        if self._open is None:
            if self._tls:
                self._open = http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout, context=ssl.create_default_context()
                )
            else:
                self._open = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return self._open


@contextmanager
def _cut_off(sock: socket.socket, until: float) -> Iterator[None]:
    """Shut the connection down at that time: a head that trickles, or is never the last, has no end of its own."""
    timer = Timer(max(until - time.monotonic(), 0) + AFTER_S, _shut, [sock])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _shut(sock: socket.socket) -> None:
    with suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # of TLS too the connection, which its own would keep waiting


def _whole(connection: http.client.HTTPConnection, until: float) -> Reply:
    """Read an answer piece by piece: not past the time, not past `MOST_BYTES`, and to the length that it said."""
    with connection.getresponse() as response:
        headers = {name.lower(): value for name, value in response.getheaders()}
        length, pieces, size = response.length, list[bytes](), 0
        if (length or 0) > MOST_BYTES:
            raise NoAnswer(f"its answer is larger than {MOST_BYTES // 2**20} MiB; lower records_per_request")
        while length is None or size < length:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            if connection.sock is not None:
                connection.sock.settimeout(left)
            piece = response.read1(PIECE)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
            if size > MOST_BYTES:
                raise NoAnswer(f"its answer is larger than {MOST_BYTES // 2**20} MiB; lower records_per_request")
        if time.monotonic() >= until:  # then this may be no end but ours
            raise TimeoutError
        if length is not None and size < length:
            raise NoAnswer(f"its answer broke off after {size} of {length} bytes")
    ends = headers.get("connection", "").lower() == "close"
    if ends or connection.sock is None:
        connection.close()
    else:
        connection.sock.settimeout(connection.timeout)
    return Reply(response.status, headers, b"".join(pieces))
