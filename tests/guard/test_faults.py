"""Whatever the model's server does, the client gets one clear sentence, and pays only for what may have left."""

import asyncio
import time
import tracemalloc

import aiohttp
import msgspec
import pytest
from tests.guard.fault_proxy import GOOD, WORDS, FaultProxy, giant, says, whole
from tests.guard.guards import asked, opened, policy, running

from unseen.guard.log.entries import Asked
from unseen.guard.log.reading import entries

ROW = b'{"instances": [[1.0, 2.0, 3.0]]}'
CHAT = b'{"messages": [{"role": "user", "content": "a"}], "stream": true}'
LONG = b'{"predictions": "%s"}' % (b"a" * 2000)
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

FAULTS = {
    "closes at once": (says(), 502),
    "resets at once": (says(then="reset"), 502),
    "half-closes at once": (says(then="half-close"), 502),
    "says nothing": (says(then="stay"), 504),
    "garbage": (says(b"\x00\x01garbage\r\n\r\n"), 502),
    "garbage status": (says(b"HTTP/1.1 abc " + WORDS + b"\r\n\r\n"), 502),
    "no status": (says(b"HTTP/1.1\r\n\r\n"), 502),
    "another protocol": (says(b"SSH-2.0-" + WORDS + b"\r\n"), 502),
    "head cut": (says(b"HTTP/1.1 200 OK\r\ncontent-le"), 502),
    "head without end": (says(*[b"HTTP/1.1 200 OK\r\n", *[b"x-a: b\r\n"] * 20], pause=0.04, then="stay"), 504),
    "giant header": (says(b"HTTP/1.1 200 OK\r\nx-a: " + b"a" * 2_000_000), 502),
    "body cut": (says(whole()[:-5]), 502),
    "body cut, reset": (says(whole()[:-5], then="reset"), 502),
    "length too long": (says(whole().replace(b"length: 40", b"length: 90")), 502),
    "length too short": (says(whole().replace(b"length: 40", b"length: 20")), 502),
    "length no number": (says(whole().replace(b"length: 40", b"length: xx")), 502),
    "length negative": (says(whole().replace(b"length: 40", b"length: -1")), 502),
    "length gigantic": (says(whole().replace(b"length: 40", b"length: 99999999999"), then="stay"), 502),
    "two lengths": (says(whole(extra=b"content-length: 20\r\n")), 502),
    "slow body": (says(*[whole()[at : at + 1] for at in range(len(whole()))], pause=0.02), 504),
    "body never ends": (says(whole()[:-5], then="stay"), 504),
    "no length, no end": (says(b"HTTP/1.1 200 OK\r\n\r\n" + GOOD, then="stay"), 504),
    "chunk size bad": (says(CHUNKED + b"zz\r\n" + GOOD + b"\r\n0\r\n\r\n"), 502),
    "chunk size bad, later": (says(CHUNKED, b"zz\r\n" + GOOD, pause=0.05, then="stay"), (502, 504)),
    "no end of a chunk, later": (says(CHUNKED + b"2\r\n{}", b"zzzz", pause=0.05, then="stay"), (502, 504)),
    "giant trailer, later": (
        says(CHUNKED + b"28\r\n" + GOOD + b"\r\n0\r\n", b"a: " + b"a" * 100_000, pause=0.05, then="stay"),
        (502, 504),
    ),
    "chunks cut": (says(CHUNKED + b"28\r\n" + GOOD + b"\r\n"), 502),
    "too long": (says(whole(LONG)), 502),
    "too long, in chunks": (says(CHUNKED + b"%x\r\n" % len(LONG) + LONG + b"\r\n0\r\n\r\n"), 502),
    "compressed": (says(whole(b"\x1f\x8b\x08\x00" + WORDS, extra=b"content-encoding: gzip\r\n")), 502),
    "not JSON": (says(whole(b"<html>" + WORDS)), 502),
    "not UTF-8": (says(whole(b'{"predictions": ["\xff"]}')), 502),
    "empty": (says(whole(b"")), 502),
    "other JSON": (says(whole(b'{"detail": "' + WORDS + b'"}')), 502),
    "deep JSON": (says(whole(b"[" * 500 + b"]" * 500)), 502),
    "too few answers": (says(whole(b'{"predictions": []}')), 502),
    "too many answers": (says(whole(b'{"predictions": [[0.5, 0.5], [0.5, 0.5]]}')), 502),
    "no distribution": (says(whole(b'{"predictions": [[0.9, 0.9]]}')), 502),
    "null": (says(whole(b'{"predictions": [null]}')), 502),
    "a huge number": (says(whole(b'{"predictions": [[1%s, 0]]}' % (b"0" * 400))), 502),
    "400": (says(whole(WORDS, b"400 Bad Request")), 400),
    "401": (says(whole(WORDS, b"401 Unauthorized")), 502),
    "404": (says(whole(WORDS, b"404 Not Found")), 404),
    "422": (says(whole(WORDS, b"422 Unprocessable")), 422),
    "500": (says(whole(WORDS, b"500 Internal Server Error")), 502),
    "503": (says(whole(WORDS, b"503 Service Unavailable", b"retry-after: 7\r\n")), 502),
    "204": (says(b"HTTP/1.1 204 No Content\r\n\r\n"), 502),
    "301": (says(whole(WORDS, b"301 Moved", b"location: http://127.0.0.1:9/\r\n")), 502),
    "307": (says(whole(WORDS, b"307 Temporary Redirect", b"location: /other\r\n")), 502),
    "101": (
        says(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", then="stay"),
        (502, 504),
    ),
}


def settings(folder, url, client, **upstream):
    limits = {"timeout_s": 0.5, "max_response_bytes": 1000}
    return policy(folder, upstream={"url": url, "client": client, **limits, **upstream})


def chatting(folder, url, client, **upstream):
    texts = policy(folder, routes=[{"protocol": "openai"}], tiers={"basic": {"budget": {"lifetime": 1000}}})
    return msgspec.structs.replace(settings(folder, url, client, **upstream), routes=texts.routes, tiers=texts.tiers)


async def used(gateway):
    """What was charged, once the worker has given back what it holds."""
    await gateway.state.leases.close()
    return sum(gateway.state.store.used("key:").values())


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_in_one_sentence_and_charged_where_the_model_said_a_status(tmp_path, client, fault):
    script, expected = FAULTS[fault]

    async def run():
        async with FaultProxy(script) as proxy, opened(settings(tmp_path, proxy.url, client)) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            found = await asked(gateway, ROW, key=key)
            return found, proxy.asked, await used(gateway)

    (status, headers, body), requests, charged = asyncio.run(run())
    (entry,) = [one for one in entries(tmp_path / "state" / "log") if isinstance(one, Asked)]
    assert status in (expected if isinstance(expected, tuple) else (expected,)), body
    error = msgspec.json.decode(body)["error"]
    assert error["message"].endswith(".")
    assert WORDS not in body
    assert not headers.keys() & {"retry-after", "location", "server", "x-a"}
    assert requests == 1  # asked once, and never where a redirect points
    assert charged == (1 if entry.upstream else 0)
    assert charged == 0 or fault not in {"closes at once", "says nothing", "garbage"}
    assert charged == 1 or fault not in {"too long", "too long, in chunks", "length gigantic", "not JSON", "500", "422"}


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["at once", "later"])
def test_bytes_after_an_answer_never_become_the_answer_to_another(tmp_path, client, pause):
    other = whole(b'{"predictions": [[0.1, 0.9]]}')

    async def run():
        script = says(whole(), other, pause=pause, then="keep")
        async with FaultProxy(script) as proxy, opened(settings(tmp_path, proxy.url, client)) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            found = []
            for _ in range(4):
                found.append(await asked(gateway, ROW, key=key))
                await asyncio.sleep(2 * pause)
            return found

    for status, _, body in asyncio.run(run()):
        assert status in {200, 502}
        if status == 200:
            assert msgspec.json.decode(body)["predictions"][0][0] == 0.71


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
def test_a_giant_answer_is_not_kept_in_memory(tmp_path, client):
    async def run():
        async with (
            FaultProxy(giant(200_000_000)) as proxy,
            opened(settings(tmp_path, proxy.url, client, max_response_bytes=1_000_000, timeout_s=20)) as gateway,
        ):
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            tracemalloc.start()
            found = await asked(gateway, ROW, key=key)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            return found[0], peak

    status, peak = asyncio.run(run())
    assert status == 502
    assert peak < 10_000_000


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
def test_a_server_that_is_not_there(tmp_path, client):
    async def run():
        async with opened(settings(tmp_path, "http://127.0.0.1:1", client)) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            return await asked(gateway, ROW, key=key), await used(gateway)

    (status, _, _), charged = asyncio.run(run())
    assert (status, charged) == (502, 0)


# streams

EVENT = b'data: {"choices": [{"index": 0, "delta": {"content": "a"}, "p": 0.5}]}\n\n'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
BROKEN = {
    "closes": says(HEAD + EVENT),
    "resets": says(HEAD + EVENT, b"", pause=0.05, then="reset"),
    "cut in an event": says(HEAD + EVENT + EVENT[:20]),
    "stays": says(HEAD + EVENT, then="stay"),
    "not JSON": says(HEAD + EVENT + b"data: " + WORDS + b"\n\n"),
    "error": says(HEAD + EVENT + b'data: {"error": "' + WORDS + b'"}\n\n', then="stay"),
    "too long an event": says(HEAD + EVENT + b"data: " + b"a" * 1_100_000, then="stay"),
    "too long a line": says(HEAD + EVENT + b": " + b"a" * 1_100_000, then="stay"),
}


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize("fault", BROKEN)
def test_a_stream_that_breaks_off_ends_with_an_error_and_is_paid(tmp_path, client, fault):
    async def run():
        async with FaultProxy(BROKEN[fault]) as proxy:
            read = chatting(tmp_path, proxy.url, client, max_response_bytes=2_000_000)
            async with opened(read) as gateway:
                _, key = gateway.state.keys.add(tenant="acme", tier="basic")
                found = await asked(gateway, CHAT, key=key, path="/v1/chat/completions")
                for _ in range(40):
                    await asyncio.sleep(0.01 * (proxy.left == 0))
                return found, proxy.left, await used(gateway)

    (status, _, body), left, charged = asyncio.run(run())
    first, *_, last = body.strip().split(b"\n\n")
    assert status == 200
    assert b"0.5" not in first
    assert msgspec.json.decode(last.removeprefix(b"data: "))["error"]["message"].endswith(".")
    assert WORDS not in body
    assert charged == 1
    assert left == 1  # nothing holds on to the server


END = b"%x\r\ndata: [DONE]\n\n\r\n" % len(b"data: [DONE]\n\n")
WHOLE_STREAM = CHUNKED + b"%x\r\n%s\r\n" % (len(EVENT), EVENT) + END


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize(("parts", "closed"), [([b"0\r\n\r\n"], 0), ([], 2)], ids=["ends", "never ends"])
def test_the_connection_of_a_stream_that_ended_serves_the_next(tmp_path, client, parts, closed):
    async def run():
        script = says(WHOLE_STREAM, *parts, pause=0.01, then="keep" if parts else "stay")
        async with FaultProxy(script) as proxy, opened(chatting(tmp_path, proxy.url, client)) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier="basic")
            found = [await asked(gateway, CHAT, key=key, path="/v1/chat/completions") for _ in range(2)]
            await asyncio.sleep(0.2)  # what was let go is seen to be closed
            return found, proxy.asked, proxy.left

    found, times, left = asyncio.run(run())
    assert [(status, body.endswith(b"data: [DONE]\n\n")) for status, _, body in found] == [(200, True)] * 2
    assert (times, left) == (2, closed)


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize("fault", ["closes at once", "500", "says nothing", "garbage"])
def test_a_stream_that_never_began_is_charged_only_where_the_model_said_a_status(tmp_path, client, fault):
    async def run():
        async with FaultProxy(FAULTS[fault][0]) as proxy:
            read = chatting(tmp_path, proxy.url, client)
            async with opened(read) as gateway:
                _, key = gateway.state.keys.add(tenant="acme", tier="basic")
                found = await asked(gateway, CHAT, key=key, path="/v1/chat/completions")
                return found[0], await used(gateway)

    status, charged = asyncio.run(run())
    assert (status, charged) == (504 if fault == "says nothing" else 502, 1 if fault == "500" else 0)


@pytest.mark.parametrize("client", ["aiohttp", "pyreqwest"])
@pytest.mark.parametrize("talks", [True, False], ids=["events", "silence"])
def test_a_client_that_leaves_lets_the_server_go(tmp_path, client, talks):
    async def run():
        script = says(HEAD + EVENT, *[EVENT] * (500 if talks else 0), pause=0.01, then="stay")
        async with FaultProxy(script) as proxy:
            read = chatting(tmp_path, proxy.url, client, timeout_s=20, max_response_bytes=1_000_000)
            async with running(read) as guard, aiohttp.ClientSession(headers=guard.headers) as session:
                async with session.post(guard.url + "/v1/chat/completions", data=CHAT) as answer:
                    assert await answer.content.readuntil(b"\n\n")
                    answer.close()
                began = time.monotonic()
                while not proxy.left and time.monotonic() - began < 3:  # noqa: ASYNC110 - how long is what is asked
                    await asyncio.sleep(0.01)
                return proxy.left, time.monotonic() - began

    left, seconds = asyncio.run(run())
    assert left == 1
    assert seconds < 1
