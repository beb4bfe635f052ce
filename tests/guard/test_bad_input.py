"""Whatever is sent to a guard that runs: refused with a sentence or closed, written down, and never sent on."""

import asyncio
import contextlib
import gzip
import json
import time
import zlib

import pytest
import uvicorn
from tests.guard.guards import FakeModel, policy, running
from uvicorn.server import ServerState

from unseen.guard.connection import GuardedHttp
from unseen.guard.log.entries import Asked, Done
from unseen.guard.log.reading import entries

GOOD = b'{"instances": [[1.0, 2.0]]}'
BOMB = gzip.compress(b" " * 10_000_000)


def request(body=GOOD, *headers, path=b"/invocations", method=b"POST", version=b"HTTP/1.1", length=True, key=b"KEY"):
    """The bytes of a request; `headers` come after the usual ones."""
    lines = [method + b" " + path + b" " + version, b"host: guard", b"authorization: Bearer " + key]
    if not any(header.lower().startswith(b"content-type") for header in headers):
        lines.append(b"content-type: application/json")
    if length:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, *headers, b"", body])


CHUNKED = b"transfer-encoding: chunked"
BAD = {
    # framing: two readers could disagree about where a request ends
    "length and chunks": request(b"1b\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED),
    "chunks and length": request(b"1b\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, b"content-length: 5", length=False),
    "two lengths": request(GOOD, b"content-length: 5"),
    "two equal lengths": request(GOOD, b"content-length: 27"),
    "a list of lengths": request(GOOD, b"content-length: 27, 27", length=False),
    "length with a sign": request(GOOD, b"content-length: +27", length=False),
    "negative length": request(GOOD, b"content-length: -27", length=False),
    "length in hexadecimal": request(GOOD, b"content-length: 0x1b", length=False),
    "length too large": request(GOOD, b"content-length: 99999999", length=False),
    "length beyond numbers": request(GOOD, b"content-length: " + b"9" * 40, length=False),
    "bad chunk size": request(b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, length=False),
    "negative chunk size": request(b"-1b\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, length=False),
    "chunk size beyond numbers": request(b"f" * 40 + b"\r\n" + GOOD, CHUNKED, length=False),
    "chunk too short": request(b"5\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, length=False),
    "a trailer": request(b"1b\r\n" + GOOD + b"\r\n0\r\nx-a: b\r\n\r\n", CHUNKED, length=False),
    "a long trailer": request(b"1b\r\n" + GOOD + b"\r\n0\r\nx-a: " + b"a" * 200_000, CHUNKED, length=False),
    "a long chunk extension": request(b"1b;a=" + b"a" * 200_000, CHUNKED, length=False),
    "unknown transfer encoding": request(GOOD, b"transfer-encoding: xchunked", length=False),
    "chunked twice": request(b"1b\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, CHUNKED, length=False),
    "chunked, gzip": request(b"1b\r\n" + GOOD + b"\r\n0\r\n\r\n", b"transfer-encoding: chunked, gzip", length=False),
    "bare line feeds": request().replace(b"\r\n", b"\n"),
    "folded header": request(GOOD, b"x-a: b\r\n c"),
    "space before colon": request(GOOD, b"x-a : b"),
    "no colon": request(GOOD, b"x-a"),
    "NUL in a value": request(GOOD, b"x-a: b\0c"),
    "NUL in a name": request(GOOD, b"x\0a: b"),
    "CR in a value": request(GOOD, b"x-a: b\rc"),
    "name in Unicode": request(GOOD, "x-\xe9: b".encode()),
    # what is HTTP, and not for us
    "no host": request().replace(b"host: guard\r\n", b""),
    "two keys": request(GOOD, b"authorization: Bearer x"),
    "two hosts": request(GOOD, b"host: other"),
    "two types": request(GOOD, b"content-type: application/json", b"content-type: application/json"),
    "many headers": request(GOOD, *[b"x-%d: a" % at for at in range(200)]),
    "a giant header": request(GOOD, b"x-a: " + b"a" * 200_000),
    "a giant path": request(path=b"/" + b"a" * 200_000),
    "upgrade": request(GOOD, b"connection: upgrade", b"upgrade: websocket"),
    "upgrade to HTTP/2": request(GOOD, b"connection: upgrade, http2-settings", b"upgrade: h2c", b"http2-settings: a"),
    "upgrade alone": request(GOOD, b"upgrade: h2c"),
    "gzip": request(gzip.compress(GOOD), b"content-encoding: gzip"),
    "deflate": request(zlib.compress(GOOD), b"content-encoding: deflate"),
    "br": request(GOOD, b"content-encoding: br"),
    "a bomb": request(BOMB, b"content-encoding: gzip"),
    "a bomb without a word": request(BOMB),
    "encoded twice": request(GOOD, b"content-encoding: identity", b"content-encoding: gzip"),
    "binary tensors": request(GOOD, b"inference-header-content-length: 27"),
    "another type": request(GOOD, b"content-type: text/plain"),
    "a form": request(GOOD, b"content-type: multipart/form-data; boundary=a"),
    "no type": request(GOOD, b"content-type;"),
    "another route": request(path=b"/other"),
    "a route within": request(path=b"/invocations/"),
    "dots": request(path=b"/a/../invocations"),
    "two slashes": request(path=b"//invocations"),
    "percent": request(path=b"/%69nvocations"),
    "percent, NUL": request(path=b"/invocations%00"),
    "percent, newline": request(path=b"/invocations%0a"),
    "a query": request(path=b"/invocations?a=b"),
    "an empty query and a fragment": request(path=b"/invocations#a"),
    "absolute": request(path=b"http://guard/invocations"),
    "absolute, elsewhere": request(path=b"http://elsewhere/invocations"),
    "connect": request(path=b"elsewhere:443", method=b"CONNECT"),
    "asterisk": request(path=b"*", method=b"OPTIONS"),
    "PUT": request(method=b"PUT"),
    "DELETE": request(method=b"DELETE"),
    "HEAD": request(b"", method=b"HEAD"),
    "TRACE": request(method=b"TRACE"),
    "GET with a body": request(path=b"/ping", method=b"GET"),
    "GET of a question": request(method=b"GET"),
    "unknown method": request(method=b"BREW"),
    "lower case method": request(method=b"post"),
    "HTTP/0.9": b"GET /invocations\r\n\r\n",
    "HTTP/9.9": request(version=b"HTTP/9.9"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 30,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 50,
    "another protocol": b"SSH-2.0-x\r\n",
    "noise": bytes(range(256)) * 4,
    # who asks
    "no key": request(GOOD, key=b""),
    "a wrong key": request(GOOD, key=b"unseen_abc_def"),
    "a key in Latin": request(GOOD, key=b"\xff\xfe"),
    # bodies
    "no body": request(b""),
    "no JSON": request(b"instances"),
    "cut": request(GOOD[:-1]),
    "more": request(GOOD + b"1"),
    "two": request(GOOD + GOOD),
    "a byte order mark": request(b"\xef\xbb\xbf" + GOOD),
    "UTF-16": request(GOOD.decode().encode("utf-16")),
    "no UTF-8": request(b'{"instances": [["\xff"]]}'),
    "half a surrogate": request(b'{"instances": [["\\ud800"]]}'),
    "NaN": request(b'{"instances": [[NaN]]}'),
    "Infinity": request(b'{"instances": [[-Infinity]]}'),
    "beyond floats": request(b'{"instances": [[1e999]]}'),
    "beyond integers": request(b'{"instances": [[1%s]]}' % (b"0" * 5000)),
    "a name twice": request(b'{"instances": [[1.0]], "instances": [[2.0]]}'),
    "a name twice, inside": request(b'{"instances": [{"a": 1, "a": 2}]}'),
    "a name twice, escaped": request(b'{"instances": [[1.0]], "\\u0069nstances": [[2.0]]}'),
    "deep": request(b'{"instances": ' + b"[" * 40 + b"1" + b"]" * 40 + b"}"),
    "very deep": request(b'{"instances": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "deep and no JSON": request(b"[" * 40 + b'"' + b'\\"' * 100_000),
    "too long": request(b'{"instances": [["%s"]]}' % (b"a" * 300_000)),
    "too many records": request(b'{"instances": [%s[1]]}' % (b"[1]," * 2000)),
    "no records": request(b'{"instances": []}'),
    "no such form": request(b'{"rows": [[1.0]]}'),
    "two forms": request(b'{"instances": [[1.0]], "inputs": [[1.0]]}'),
    "a list": request(b"[[1.0]]"),
    "a number": request(b"1"),
    "null": request(b"null"),
    "split without columns": request(b'{"dataframe_split": {"data": [[1.0]]}}'),
    "split, uneven": request(b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}'),
    "split, twice": request(b'{"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}'),
    "columns, uneven": request(b'{"inputs": {"a": [1, 2], "b": [1]}}'),
    "params": request(b'{"instances": [[1.0]], "params": {"a": 1}}'),
}


async def exchanged(port, data, wait=3.0):
    """What comes back for some bytes, until the other end closes or has nothing more to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    found = b""
    try:
        writer.write(data)
        await writer.drain()
        while part := await asyncio.wait_for(reader.read(65536), wait if not found else 0.05):
            found += part
    except (TimeoutError, ConnectionError):
        pass
    finally:
        writer.close()
    return found


def conversation(folder, talk, **guard):
    """Run `talk(port, key)` against a guard; return what it returns, what the model was asked, and the log."""

    async def run():
        model = FakeModel()
        read = policy(folder, guard={"max_request_bytes": 250_000, "read_timeout_s": 0.3, **guard})
        async with running(read, model) as guarded:
            found = await talk(int(guarded.url.rsplit(":", 1)[1]), guarded.key.encode())
            await asyncio.sleep(0.01)
        return found, model.asked, list(written(folder))

    return asyncio.run(run())


def written(folder):
    for entry in entries(folder / "state" / "log"):
        if isinstance(entry, Asked) or (isinstance(entry, Done) and entry.what in {"bad-http", "late"}):
            yield entry


def status_of(answer):
    """The status of an answer, whose body must be one sentence; None where nothing was said."""
    if not answer:
        return None
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert b"\r\nserver:" not in head.lower()
    said = json.loads(body)["error"]["message"] if body.startswith(b"{") else body.decode()
    assert said == "" or (said.endswith(".") and "\n" not in said and len(said) < 200)
    return int(head[9:12])


def test_what_is_bad_is_refused_written_down_and_not_sent_on(tmp_path):
    async def talk(port, key):
        return {name: await exchanged(port, data.replace(b"KEY", key)) for name, data in BAD.items()}

    found, asked, log = conversation(tmp_path, talk)
    statuses = {name: status_of(answer) for name, answer in found.items()}
    wrong = {name: status for name, status in statuses.items() if status is None or not 400 <= status < 500}
    assert wrong == {}
    assert asked == []
    assert len(log) == len(BAD)


def test_a_key_in_a_trailer_opens_nothing(tmp_path):
    data = request(b"1b\r\n" + GOOD + b"\r\n0\r\nauthorization: Bearer KEY\r\n\r\n", CHUNKED, length=False)
    data = data.replace(b"authorization: Bearer KEY\r\n", b"", 1)

    async def talk(port, key):
        return await exchanged(port, data.replace(b"KEY", key))

    found, asked, _ = conversation(tmp_path, talk)
    assert found[9:12] in {b"400", b"401"}  # whichever of the two is seen first
    assert asked == []


def test_a_body_is_not_read_before_it_is_known_who_asks(tmp_path):
    data = request(b"", b"content-length: 200000", length=False, key=b"unseen_none_none")

    async def talk(port, key):
        return await exchanged(port, data)

    found, _, _ = conversation(tmp_path, talk)
    assert found[9:12] == b"401"


def test_what_is_good_is_answered(tmp_path):
    fine = [
        request(),
        request(version=b"HTTP/1.0"),
        request(GOOD, b"content-encoding: identity"),
        request(GOOD, b"content-type: application/json; charset=utf-8"),
        request(GOOD, b"expect: 100-continue"),
        request(b"1b\r\n" + GOOD + b"\r\n0\r\n\r\n", CHUNKED, length=False),
        request(b"1\r\n{\r\n1a\r\n" + GOOD[1:] + b"\r\n0\r\n\r\n", CHUNKED, length=False),
    ]

    async def talk(port, key):
        return [await exchanged(port, data.replace(b"KEY", key)) for data in fine]

    found, asked, _ = conversation(tmp_path, talk)
    assert [answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")[9:12] for answer in found] == [b"200"] * len(fine)
    assert len(asked) == len(fine)


def test_requests_in_a_row_are_answered_in_their_order(tmp_path):
    async def talk(port, key):
        three = request() + request(b'{"instances": [[1], [2]]}') + request(path=b"/other")
        return await exchanged(port, three.replace(b"KEY", key))

    found, asked, log = conversation(tmp_path, talk)
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"404"]
    assert [entry.records for entry in log] == [1, 2, 0]
    assert len(asked) == 2


def test_a_second_request_hidden_in_a_body_is_no_request(tmp_path):
    async def talk(port, key):
        return await exchanged(port, request(GOOD + request(key=key), key=key))

    found, asked, log = conversation(tmp_path, talk)
    assert status_of(found) == 400
    assert (len(log), asked) == (1, [])


SLOW = {
    "nothing": (b"", None),
    "a line": (b"POST /invocations HTTP/1.1\r\n", 408),
    "a head without an end": (request().split(b"\r\n\r\n")[0], 408),
    "a body without an end": (request()[:-5], 408),
    "chunks without an end": (request(b"1b\r\n" + GOOD + b"\r\n", CHUNKED, length=False), 408),
    "a body refused before it ends": (request(GOOD, b"content-length: 999999", length=False), 413),
}


LOGGED = {None: [], 408: ["late"], 413: [413]}


@pytest.mark.parametrize("how", SLOW)
def test_what_does_not_come_in_time_is_closed(tmp_path, how):
    data, status = SLOW[how]

    async def talk(port, key):
        return await exchanged(port, data.replace(b"KEY", key), wait=1.0)

    found, asked, log = conversation(tmp_path, talk)
    assert status_of(found) == status
    assert asked == []
    assert [entry.status if isinstance(entry, Asked) else entry.what for entry in log] == LOGGED[status]


def test_a_trickle_does_not_hold_a_connection(tmp_path):
    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        found = asyncio.create_task(reader.read())
        data, sent = request().replace(b"KEY", key), 0
        while sent < len(data) and not found.done():
            writer.write(data[sent : sent + 1])
            sent += 1
            await asyncio.sleep(0.01)
        writer.close()
        with contextlib.suppress(ConnectionError):  # what is still on its way when the guard closes may end so
            assert status_of(await found) == 408
        return sent, len(data)

    (sent, size), asked, log = conversation(tmp_path, talk)
    assert sent < size
    assert asked == []
    assert [entry.what for entry in log] == ["late"]


def test_a_second_request_has_to_come_in_time_as_well(tmp_path):
    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request().replace(b"KEY", key))
        first = await reader.readuntil(b"}")
        await asyncio.sleep(0.4)  # between two requests a client may wait for longer
        writer.write(b"POST /invocations HTTP/1.1\r\n")
        rest = await asyncio.wait_for(reader.read(), 2)
        writer.close()
        return first, rest

    (first, rest), asked, log = conversation(tmp_path, talk)
    assert (int(first[9:12]), rest.strip()[:12], len(asked)) == (200, b"HTTP/1.1 408", 1)
    assert [getattr(entry, "what", "asked") for entry in log] == ["asked", "late"]


class Recorded(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self):
        super().__init__()
        self.said = b""
        self.closed = self.aborted = False
        self.left = 0

    def write(self, data):
        self.said += data

    def get_write_buffer_size(self):
        return self.left

    def abort(self):
        self.aborted = True

    def close(self):
        self.closed = True

    def is_closing(self):
        return self.closed

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


@pytest.mark.parametrize(
    ("left", "closed"),
    [
        ([900_000, 900_000], [True]),  # takes nothing
        ([900_000, 890_000], [True]),  # a trickle
        ([900_000, 800_000, 700_000, 650_000], [False, False, True]),
        ([900_000, 800_000, 0], [False, False]),  # slow, and all of it
    ],
)
def test_a_client_that_does_not_take_its_answer_is_let_go(left, closed):
    async def run():
        config = uvicorn.Config(lambda *_: None, log_config=None, lifespan="off")
        config.load()
        protocol, transport = GuardedHttp(config, ServerState(), {}), Recorded()
        protocol.patience_s = 0.05
        protocol.connection_made(transport)
        protocol.flow.pause_writing = protocol.flow.resume_writing = lambda: None
        transport.left = left[0]
        protocol.pause_writing()
        found = []
        for size in left[1:]:
            transport.left = size
            if size == 0:
                protocol.resume_writing()
            await asyncio.sleep(0.06)
            found.append(transport.aborted)
        protocol.connection_lost(None)
        return found

    assert asyncio.run(run()) == closed


@pytest.mark.parametrize("large", [b"x-a: " + b"a" * 40_000, b"x-%d: a" % 1])
def test_a_head_that_comes_at_once_may_not_be_longer_than_one_that_does_not(large):
    called = []

    async def app(scope, receive, send):
        called.append(scope)

    async def run():
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        protocol, transport = GuardedHttp(config, ServerState(), {}), Recorded()
        protocol.connection_made(transport)
        protocol.data_received(request(b" " * 50_000, large))
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        return transport

    refused = len(large) > 1000
    assert asyncio.run(run()).said[:12] == (b"HTTP/1.1 400" if refused else b"")
    assert len(called) == (not refused)


def test_a_request_behind_a_body_is_counted_from_its_own_beginning(tmp_path):
    long = GOOD.replace(b"1.0", b" " * 40_000 + b"1.0")
    following = request(b'{"instances": [[1], [2]]}')

    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        first, second = request(long).replace(b"KEY", key), following.replace(b"KEY", key)
        head = len(first) - len(long)
        writer.write(first[:head])
        await asyncio.sleep(0.05)
        writer.write(first[head:] + second[:40])
        await asyncio.sleep(0.1)
        writer.write(second[40:])
        found = b""
        with contextlib.suppress(TimeoutError):
            while part := await asyncio.wait_for(reader.read(65536), 1.0):
                found += part
        writer.close()
        return found

    found, asked, log = conversation(tmp_path, talk, read_timeout_s=5.0)
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert [entry.records for entry in log] == [1, 2]
    assert len(asked) == 2


def given(*parts):
    """What a connection to which these parts come says, and the paths of the requests that its application sees."""
    called = []

    async def app(scope, receive, send):
        called.append(scope["path"])
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    async def run():
        config = uvicorn.Config(app, log_config=None, lifespan="off")
        config.load()
        protocol, transport = GuardedHttp(config, ServerState(), {}), Recorded()
        protocol.connection_made(transport)
        for part in parts:
            if not transport.closed:
                protocol.data_received(part)
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)  # as long as many answers take
        protocol.connection_lost(None)
        return transport

    return asyncio.run(run()).said, called


LONG = b"x-a: " + b"a" * 20_000
BODY = request(b" " * 40_000)


@pytest.mark.parametrize(
    ("before", "parts", "refused"),
    [
        (BODY, (request(path=b"/b")[:30], request(path=b"/b")[30:]), False),
        (request(b"", method=b"GET", length=False) * 400, (request(path=b"/b")[:30], request(path=b"/b")[30:]), False),
        (BODY, (request(GOOD, LONG, path=b"/b")[:15_000], request(GOOD, LONG, path=b"/b")[15_000:]), False),
        (BODY, (b"POST /b HTTP/1.1\r\nx-a: ", *([b"a" * 4_000] * 10)), True),
        (BODY, (b"POST /b HTTP/1.1\r\n" + LONG, b"\r\n" + LONG + b"\r\n\r\n"), True),
        (b"", (b"POST /b HTTP/1.1\r\nx-a: ", *([b"a" * 4_000] * 10)), True),
    ],
    ids=["a body", "many heads", "a long head", "a head without an end", "too long a head", "nothing"],
)
def test_what_comes_with_the_end_of_a_request_may_be_no_longer_than_alone(before, parts, refused):
    said, called = given(before + parts[0], *parts[1:])
    assert (b"HTTP/1.1 400" in said) == refused
    assert ("/b" in called) == (not refused)


def test_a_request_behind_another_has_its_own_time(tmp_path):
    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        first, second = (request().replace(b"KEY", key) for _ in range(2))
        for part in (first[:-5], first[-5:] + second[:-5], second[-5:]):
            writer.write(part)
            await asyncio.sleep(0.35)
        found = await asyncio.wait_for(reader.read(65536), 1.0)
        writer.close()
        return found

    found, _, log = conversation(tmp_path, talk, read_timeout_s=0.5)
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert [entry.status for entry in log] == [200, 200]


def test_a_request_behind_one_that_the_model_thinks_about_is_not_late(tmp_path, monkeypatch):
    """The guard stops reading meanwhile: what does not come then is not the client's fault."""
    answer = FakeModel.ask

    async def slowly(self, path, body):
        await asyncio.sleep(1.0)
        return await answer(self, path, body)

    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        rows = b"[" + b",".join([b"[" + b",".join([b"0.123456789"] * 100) + b"]"] * 200) + b"]"
        second = request(b'{"inputs": ' + rows + b"}").replace(b"KEY", key)
        writer.write(request().replace(b"KEY", key))
        await asyncio.sleep(0.05)
        writer.write(second)
        found = b""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(3.0):
                while found.count(b"HTTP/1.1 ") < 2 and (part := await reader.read(65536)):
                    found += part
        writer.close()
        return found

    monkeypatch.setattr(FakeModel, "ask", slowly)
    found, asked, log = conversation(tmp_path, talk, read_timeout_s=0.3, max_request_bytes=1_000_000)
    assert [part[:3] for part in found.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200"]
    assert len(asked) == 2
    assert [entry.status for entry in log] == [200, 200]


def test_an_empty_line_after_an_answer_does_not_keep_a_connection_open(tmp_path):
    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request().replace(b"KEY", key))
        assert b"200" in await reader.readuntil(b"\r\n\r\n")
        await asyncio.sleep(0.1)
        writer.write(b"\r\n")
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while await reader.read(65536):
                    pass
        writer.close()
        return time.monotonic() - began

    seconds, _, _ = conversation(tmp_path, talk, read_timeout_s=0.3)
    assert seconds < 3


def test_a_header_without_an_end_is_cut_off(tmp_path):
    async def talk(port, key):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /invocations HTTP/1.1\r\nx-a: ")
        found = asyncio.create_task(reader.read())
        sent = 0
        while not found.done() and sent < 10_000_000:
            writer.write(b"a" * 4096)
            sent += 4096
            await asyncio.sleep(0.0005)
        writer.close()
        with contextlib.suppress(ConnectionError):  # what is still on its way when the guard closes may end so
            assert (await found)[9:12] == b"400"
        return sent

    sent, _, log = conversation(tmp_path, talk, read_timeout_s=10.0)
    assert sent < 2_000_000
    assert [entry.what for entry in log] == ["bad-http"]
