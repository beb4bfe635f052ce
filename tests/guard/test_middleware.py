"""An ordinary Starlette application behind the guard: streams, its state, background tasks, and what it raises."""

import asyncio
import contextlib
import gc
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from tests.guard.guards import SECRET, policy
from tests.guard.test_gateway import log, used

from unseen.errors import PolicyError
from unseen.guard import Middleware
from unseen.guard.keys import KeyRing
from unseen.guard.log.verifying import verify
from unseen.guard.secrets import derive
from unseen.guard.traced import tell_failure, traced

ROW = {"inputs": [[1.0, 2.0]]}
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}
GOOD = {"predictions": [[0.5, 0.5]]}
ROUTES = [{"protocol": "mlflow"}, {"protocol": "openai"}]


def test_a_policy_that_no_guard_can_serve_is_refused_at_once(tmp_path):
    read = policy(tmp_path, detectors={"decoys": {"file": str(tmp_path / "none.jsonl")}})
    with pytest.raises(PolicyError, match="decoys"):
        Middleware(Starlette(), read)
    assert not (tmp_path / "state" / "log").exists()


def without_secret(folder):
    """A policy whose secret is nowhere."""
    return policy(folder, guard={"secret": "env:UNSEEN_GUARD_NO_SUCH_SECRET"})


@pytest.mark.parametrize("listens", [True, False])
def test_a_guard_that_cannot_be_opened_fails_the_start_with_its_sentence(tmp_path, listens):
    began, sent = [], []

    @contextlib.asynccontextmanager
    async def life(app):
        began.append(app)
        yield

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    app = Starlette(lifespan=life) if listens else knows_http_only
    guarded = Middleware(app, without_secret(tmp_path))
    with pytest.raises(PolicyError):
        asyncio.run(guarded({"type": "lifespan"}, receive, send))
    assert [one["type"] for one in sent] == ["lifespan.startup.failed"]
    assert "UNSEEN_GUARD_NO_SUCH_SECRET" in sent[0]["message"]
    assert began == []


SERVED = """
import sys
from pathlib import Path
import uvicorn
from starlette.applications import Starlette
from unseen.guard import Middleware
from tests.guard.guards import policy

uvicorn.run(Middleware(Starlette(), policy=policy(Path(sys.argv[1]))), port=0)
"""


def test_a_server_prints_why_the_guard_cannot_be_opened_and_ends(tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "log").touch()  # where a folder should be
    command = [sys.executable, "-c", SERVED, str(tmp_path)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert f"unseen guard: {tmp_path / 'state' / 'log'} cannot be read or written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mounted_guard_that_cannot_be_opened_tells_the_operator_once_and_clients_nothing(tmp_path, caplog):
    app = Starlette(routes=[Mount("/ml", Middleware(Starlette(), without_secret(tmp_path)))])
    with TestClient(app) as client:
        found = [client.post("/ml/invocations", json=ROW) for _ in range(3)]
    assert [one.status_code for one in found] == [503] * 3
    said = {"message": "The guard is not open, and answers nothing.", "type": "not_open", "code": "not_open"}
    assert [one.json() for one in found] == [{"error": said}] * 3
    (told,) = [record for record in caplog.records if record.name == "unseen.guard"]
    assert (told.levelname, told.exc_info) == ("ERROR", None)
    assert "UNSEEN_GUARD_NO_SUCH_SECRET" in told.getMessage()


def test_a_mounted_guard_opens_once_it_can(tmp_path, monkeypatch):
    guarded = Middleware(Starlette(), without_secret(tmp_path))
    with TestClient(Starlette(routes=[Mount("/ml", guarded)])) as client:
        first = client.post("/ml/invocations", json=ROW).status_code
        monkeypatch.setenv("UNSEEN_GUARD_NO_SUCH_SECRET", SECRET)
        second = client.post("/ml/invocations", json=ROW).status_code
        client.portal.call(guarded.aclose)
    assert (first, second) == (503, 401)


@pytest.mark.parametrize("keys", [0, 1])
def test_a_guard_that_no_key_opens_says_so_once(tmp_path, caplog, keys):
    ring = KeyRing(tmp_path / "state", derive(SECRET.encode(), "keys"))
    for _ in range(keys):
        ring.add(tenant="acme", tier="basic")
    with TestClient(Middleware(Starlette(), policy(tmp_path))) as client:
        assert [client.post("/invocations", json=ROW).status_code for _ in range(2)] == [401, 401]
    told = [record.levelname for record in caplog.records if "no key that opens" in record.getMessage()]
    assert told == ["WARNING"] * (1 - keys)


def test_an_application_that_cannot_begin_leaves_no_guard_open(tmp_path):
    @contextlib.asynccontextmanager
    async def life(app):
        raise KeyError("no model")
        yield

    with pytest.raises(KeyError), TestClient(Middleware(Starlette(lifespan=life), policy(tmp_path))):
        pass
    assert ended(tmp_path) == [True]


@contextlib.contextmanager
def served(folder, answer, *, path="/invocations", **settings):
    """A client with a key, of a guarded application in which `answer(request)` answers at `path`."""
    options = {name: settings.pop(name) for name in ("lifespan", "inner") if name in settings}
    _, key = KeyRing(folder / "state", derive(SECRET.encode(), "keys")).add(tenant="acme", tier="basic")
    app = Starlette(routes=[Route(path, answer, methods=["POST"])], lifespan=options.get("lifespan"))
    if "inner" in options:
        app.add_middleware(BaseHTTPMiddleware, dispatch=options["inner"])
    app.add_middleware(Middleware, policy=policy(folder, routes=ROUTES, store={"lease": 1}, **settings))
    with TestClient(app, raise_server_exceptions=False, headers={"authorization": f"Bearer {key}"}) as client:
        yield client


def charged(folder):
    return sum(used(folder, "key:").values())


def event(text):
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode() + b"\n\n"


def contents(body):
    """The text of each event, and whether the stream ended as it should."""
    *events, last = [part.removeprefix(b"data: ") for part in body.strip().split(b"\n\n")]
    found = [json.loads(one)["choices"][0]["delta"]["content"] for one in events]
    return found, last


async def passed(request, call_next):
    return await call_next(request)


@pytest.mark.parametrize("options", [{}, {"inner": passed}], ids=["alone", "in a middleware"])
def test_a_stream_comes_whole(tmp_path, options):
    async def chat(request):
        await request.json()

        async def events():
            for number in range(30):
                yield event(str(number))
                await asyncio.sleep(0.001 * (number < 5))
            yield b"data: [DONE]\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    with served(tmp_path, chat, path="/v1/chat/completions", **options) as client:
        found = client.post("/v1/chat/completions", json=CHAT)
    assert found.status_code == 200
    assert contents(found.content) == ([str(number) for number in range(30)], b"[DONE]")
    assert charged(tmp_path) == 1


def test_a_plain_answer_may_come_as_a_stream(tmp_path):
    async def answer(request):
        del request
        body = json.dumps(GOOD)

        async def parts():
            for letter in body:
                yield letter
                await asyncio.sleep(0)

        return StreamingResponse(parts(), media_type="application/json")

    with served(tmp_path, answer) as client:
        assert client.post("/invocations", json=ROW).json() == GOOD


@contextlib.asynccontextmanager
async def life(app):
    app.state.model = lambda rows: [[0.5, 0.5] for _ in rows]
    yield {"other": app.state.model}


@pytest.mark.parametrize("where", ["app", "request"])
def test_what_the_application_keeps_is_there_and_nothing_of_the_client(tmp_path, where):
    seen = []

    async def answer(request):
        seen.append({name for name, _ in request.scope["headers"]})
        assert request.scope["extensions"] == {}
        model = request.app.state.model if where == "app" else request.state.other
        return JSONResponse({"predictions": model((await request.json())["inputs"])})

    with served(tmp_path, answer, lifespan=life) as client:
        found = client.post("/invocations", json=ROW, headers={"x-mine": "a"})
    assert (found.status_code, found.json()) == (200, GOOD)
    assert seen == [{b"content-type", b"content-length", b"accept", b"accept-encoding"}]


@pytest.mark.parametrize("root", ["/ml", "/invocations"])
def test_a_route_says_the_path_below_where_the_guard_is_mounted(tmp_path, root):
    async def answer(request):
        assert request.scope["path"] == f"{root}/invocations"
        return JSONResponse(GOOD)

    _, key = KeyRing(tmp_path / "state", derive(SECRET.encode(), "keys")).add(tenant="acme", tier="basic")
    inner = Starlette(routes=[Route("/invocations", answer, methods=["POST"])])
    guarded = Middleware(inner, policy=policy(tmp_path, routes=ROUTES))
    with TestClient(Starlette(routes=[Mount(root, guarded)]), headers={"authorization": f"Bearer {key}"}) as client:
        asked = [client.post(f"{root}{path}", json=ROW).status_code for path in ("/invocations", "", "x/invocations")]
        client.portal.call(guarded.aclose)
    assert asked == [200, 404, 404]


def test_what_a_background_task_raises_is_told_without_its_words(tmp_path, caplog):
    async def later():
        raise ValueError(f"row of {SECRET}")

    async def answer(request):
        del request
        return JSONResponse(GOOD, background=BackgroundTask(later))

    with served(tmp_path, answer) as client:
        assert client.post("/invocations", json=ROW).status_code == 200
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "after its answer" in told
    assert "in later" in told
    assert SECRET not in caplog.text


def test_what_fails_beside_requests_is_told_without_its_words(caplog):
    async def fail(words):
        raise ValueError(words)

    async def run():
        asyncio.get_running_loop().set_exception_handler(tell_failure)
        asyncio.create_task(fail(f"row of {SECRET}"))  # noqa: RUF006 - nobody waits for it
        asyncio.get_running_loop().call_soon(int, SECRET)
        await asyncio.sleep(0.01)
        gc.collect()

    asyncio.run(run())
    assert [record.name for record in caplog.records] == ["unseen.guard"] * 2
    assert caplog.text.count("builtins.ValueError") == 2
    assert SECRET not in caplog.text


def test_an_answer_leaves_before_its_background_task_which_goes_on_until_the_end(tmp_path):
    done = []

    async def later():
        await asyncio.sleep(0.4)
        done.append(True)

    async def answer(request):
        del request
        return JSONResponse(GOOD, background=BackgroundTask(later))

    with served(tmp_path, answer, upstream={"timeout_s": 0.2}) as client:
        began = time.monotonic()
        found = client.post("/invocations", json=ROW)
        assert time.monotonic() - began < 0.3
        assert (found.status_code, done) == (200, [])
    assert done == [True]


def test_a_background_task_that_never_ends_is_let_go_of_at_the_end(tmp_path):
    async def answer(request):
        del request
        return JSONResponse(GOOD, background=BackgroundTask(asyncio.sleep, 60.0))

    began = time.monotonic()
    with served(tmp_path, answer, guard={"drain_s": 0.1}) as client:
        assert client.post("/invocations", json=ROW).status_code == 200
    assert time.monotonic() - began < 5


def raising(request):
    raise KeyError("a word of the training set")


def failing(request):
    return JSONResponse({}, 500)


async def silent(scope, receive, send):
    """An application that answers nothing."""


async def half(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b'{"predictions"', "more_body": True})


async def stopped(scope, receive, send):
    raise asyncio.CancelledError


def test_what_an_application_raises_is_told_to_the_operator_without_its_words(tmp_path, caplog):
    def asks(request):
        try:
            raising(request)
        except KeyError as error:
            raise ValueError(f"row of {SECRET}") from error

    async def answer(request):
        return asks(request)

    with served(tmp_path, answer) as client:
        assert client.post("/invocations", json=ROW).status_code == 502
    (told,) = [record for record in caplog.records if record.name == "unseen.guard"]
    assert told.levelname == "ERROR"
    assert told.exc_info is None  # what formats it would add its words, and some its variables
    for part in ("Traceback", "in raising", "in asks", "KeyError", "ValueError", Path(__file__).name):
        assert part in told.getMessage()
    assert SECRET not in caplog.text


def test_a_group_of_errors_is_told_one_by_one():
    told = traced(ExceptionGroup(SECRET, [KeyError(SECRET), OSError(SECRET)]))
    assert [told.count(name) for name in ("KeyError", "OSError", "ExceptionGroup")] == [1, 1, 1]
    assert SECRET not in told


@pytest.mark.parametrize("answer", [raising, failing, silent, half, stopped])
def test_an_application_that_fails_is_charged_as_one_that_says_500(tmp_path, answer):
    class Raw(Response):
        async def __call__(self, scope, receive, send):
            await answer(scope, receive, send)

    async def wrapped(request):
        return answer(request) if answer in {raising, failing} else Raw()

    with served(tmp_path, wrapped) as client:
        found = [client.post("/invocations", json=ROW) for _ in range(3)]
    assert {one.status_code for one in found} == {502}
    assert {one.json()["error"]["code"] for one in found} == {"upstream"}
    assert b"word" not in found[0].content
    assert charged(tmp_path) == 3
    assert [entry.upstream for entry in log(tmp_path)] == [500] * 3


def test_an_application_that_fails_in_a_stream_ends_it_with_an_error(tmp_path):
    async def chat(request):
        del request

        async def events():
            yield event("a")
            raise KeyError("a word")

        return StreamingResponse(events(), media_type="text/event-stream")

    with served(tmp_path, chat, path="/v1/chat/completions") as client:
        found = client.post("/v1/chat/completions", json=CHAT)
    texts, last = contents(found.content)
    assert texts == ["a"]
    assert "failed" in json.loads(last)["error"]["message"]
    assert charged(tmp_path) == 1


@pytest.mark.parametrize("stream", [True, False])
def test_an_application_that_takes_too_long_is_stopped(tmp_path, stream):
    ended = []

    async def slow(request):
        del request

        async def parts():
            try:
                for number in range(1000):
                    yield event(str(number)) if stream else b" "
                    await asyncio.sleep(0.02)
            finally:
                ended.append(True)

        return StreamingResponse(parts())

    path, body = ("/v1/chat/completions", CHAT) if stream else ("/invocations", ROW)
    began = time.monotonic()
    with served(tmp_path, slow, path=path, upstream={"timeout_s": 0.3}) as client:
        found = client.post(path, json=body)
        seconds = time.monotonic() - began
    assert seconds < 3
    assert ended == [True]
    assert found.status_code == (200 if stream else 504)
    assert b"did not answer in time" in found.content
    assert charged(tmp_path) == (1 if stream else 0)


def test_too_long_an_answer_is_withheld_and_charged(tmp_path):
    async def long(request):
        del request
        return JSONResponse({**GOOD, "x": "a" * 10_000})

    with served(tmp_path, long, upstream={"max_response_bytes": 1000}) as client:
        assert client.post("/invocations", json=ROW).status_code == 502
    assert charged(tmp_path) == 1


def test_an_application_that_says_more_after_its_answer_hangs_nothing(tmp_path):
    class Chatty(Response):
        async def __call__(self, scope, receive, send):
            await super().__call__(scope, receive, send)
            for _ in range(100):
                await send({"type": "http.response.body", "body": b"more"})
            assert (await receive())["type"] in {"http.request", "http.disconnect"}
            assert (await receive())["type"] == "http.disconnect"
            done.append(True)

    async def answer(request):
        del request
        return Chatty(json.dumps(GOOD))

    done = []
    with served(tmp_path, answer) as client:
        assert client.post("/invocations", json=ROW).json() == GOOD
    assert done == [True]


async def knows_http_only(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(GOOD).encode()})


async def says_nothing_to_lifespan(scope, receive, send):
    if scope["type"] == "http":
        await knows_http_only(scope, receive, send)


def ended(folder):
    """Whether each chain of the log had an orderly end."""
    return [one.ended for one in verify(folder / "state" / "log", [])]


@pytest.mark.parametrize("app", [knows_http_only, says_nothing_to_lifespan])
def test_an_application_that_knows_no_lifespan_closes_the_guard_all_the_same(tmp_path, app):
    _, key = KeyRing(tmp_path / "state", derive(SECRET.encode(), "keys")).add(tenant="acme", tier="basic")
    guarded = Middleware(app, policy=policy(tmp_path))
    with TestClient(guarded, headers={"authorization": f"Bearer {key}"}) as client:
        assert client.post("/invocations", json=ROW).status_code == 200
    assert charged(tmp_path) == 1
    assert ended(tmp_path) == [True]


def test_an_application_that_fails_as_it_begins_is_not_said_to_have_begun(tmp_path):
    async def broken(scope, receive, send):
        await receive()
        raise KeyError("no model")

    with pytest.raises(KeyError), TestClient(Middleware(broken, policy=policy(tmp_path))):
        pass
    assert ended(tmp_path) == [True]


ALONE = """
import asyncio, sys
from unseen.guard import Middleware
from tests.guard.test_middleware import ROW, knows_http_only, once
from tests.guard.guards import policy
from pathlib import Path

guarded = Middleware(knows_http_only, policy=policy(Path(sys.argv[1])))
asyncio.run(once(guarded, sys.argv[2], sys.argv[3]))
"""


async def once(app, key, how):
    """Ask once, without a lifespan."""
    given = iter([{"type": "http.request", "body": json.dumps(ROW).encode(), "more_body": False}])
    sent = []

    async def receive():
        return next(given)

    async def send(message):
        sent.append(message)

    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent[0]["status"] == 200
    if how == "aclose":
        await app.aclose()


@pytest.mark.parametrize("how", ["aclose", "exit"])
def test_a_guard_that_nobody_tells_of_the_end_is_closed_with_its_process(tmp_path, how):
    _, key = KeyRing(tmp_path / "state", derive(SECRET.encode(), "keys")).add(tenant="acme", tier="basic")
    command = [sys.executable, "-c", ALONE, str(tmp_path), key, how]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert charged(tmp_path) == 1
    assert ended(tmp_path) == [True]
