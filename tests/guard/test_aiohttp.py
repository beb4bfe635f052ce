"""What the way past aiohttp's session must look after itself."""

import asyncio
import contextlib
import socket
import struct
import time

import pytest
from tests.guard.fault_proxy import FaultProxy

from unseen.errors import PolicyError
from unseen.guard.policy import Upstream
from unseen.guard.refusal import Refused
from unseen.guard.upstreams import open_upstream
from unseen.guard.upstreams.aiohttp import AiohttpUpstream, CleanConnector

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def answer(body, status=b"200 OK"):
    return b"HTTP/1.1 %s\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


class Server(FaultProxy):
    """`script(path, reader, writer)` is called for each request once its head is there; `opened` counts connections."""

    opened = 0

    async def _serve(self, reader, writer):
        self.opened += 1
        self._tasks.add(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await self._script(head.split()[1].decode(), reader, writer)
        writer.close()


def talked(script, talk, **settings):
    """What `talk(upstream, server)` returns."""

    async def run():
        async with Server(script) as server:
            upstream = AiohttpUpstream(Upstream(url=server.url, **settings), None)
            try:
                return await talk(upstream, server)
            finally:
                await upstream.close()

    return asyncio.run(run())


def test_a_connection_with_an_answer_nobody_asked_for_is_not_taken_from_behind_one_that_rested_too_long(monkeypatch):
    monkeypatch.setattr(CleanConnector, "_cleanup", lambda _: None)

    async def script(path, reader, writer):
        await reader.readexactly(2)
        await asyncio.sleep(0.3 if path == "/dirty" else 0.05)
        writer.write(answer(path.encode()))
        if path == "/dirty":
            await asyncio.sleep(0.05)
            writer.write(answer(b"not for you"))

    async def talk(upstream, server):
        upstream._connector._keepalive_timeout = 0.4
        await asyncio.gather(upstream.ask("/old", b"{}"), upstream.ask("/dirty", b"{}"))
        await asyncio.sleep(0.2)  # one has rested for 0.45 s, the other for 0.2 s
        found = await upstream.ask("/mine", b"{}")
        return found.body, server.opened

    assert talked(script, talk) == (b"/mine", 3)


def test_an_answer_that_came_before_its_request_was_through_costs_the_next_one_nothing():
    async def script(path, reader, writer):
        if path == "/large":
            writer.write(answer(b"{}", b"413 Too Large"))
            await asyncio.sleep(3)  # and the rest of the request is not read
            return
        await reader.readexactly(2)
        writer.write(answer(b"{}"))

    async def talk(upstream, server):
        first = await upstream.ask("/large", b" " * 16_000_000)
        second = await upstream.ask("/small", b"{}")
        return first.status, second.status, server.opened

    assert talked(script, talk, timeout_s=2) == (413, 200, 2)


def test_a_second_try_has_no_more_time_than_is_left():
    tries = []

    async def script(_, reader, writer):
        tries.append(1)
        await asyncio.sleep(0.3)
        if len(tries) == 1:
            writer.transport.abort()
        await reader.read()

    async def talk(upstream, _):
        began = time.monotonic()
        with pytest.raises(Refused) as refused:
            await upstream.ask("/v2", None)
        return refused.value.status, len(tries), time.monotonic() - began

    status, count, seconds = talked(script, talk, timeout_s=0.5)
    assert (status, count) == (504, 2)
    assert seconds < 0.75


def test_a_chunk_that_breaks_while_the_client_is_slow_is_the_models_fault():
    async def script(_, reader, writer):
        await reader.readexactly(2)
        writer.write(CHUNKED + b"2\r\n{}\r\n")
        await asyncio.sleep(0.05)
        writer.write(b"zz\r\n")
        await reader.read()

    async def talk(upstream, _):
        try:
            async for part in upstream.stream("/v2", b"{}"):
                await asyncio.sleep(0.2 * bool(part))
        except Refused as refused:
            return refused.status

    assert talked(script, talk, timeout_s=2) in {502, 504}


@pytest.mark.parametrize("asks", ["whole", "stream"])
def test_a_body_without_a_length_that_a_reset_ends_is_not_whole(asks):
    async def script(_, reader, writer):
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n[1,2")
        await asyncio.sleep(0.05)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def talk(upstream, _):
        try:
            if asks == "whole":
                return await upstream.ask("/v2", b"{}")
            return [part async for part in upstream.stream("/v2", b"{}")]
        except Refused as refused:
            return refused.status

    assert talked(script, talk) == 502


def test_a_stream_whose_client_is_slow_lets_go_of_the_connection_once_it_is_whole():
    async def script(_, reader, writer):
        await reader.readexactly(2)
        writer.write(CHUNKED + b"2\r\n{}\r\n0\r\n\r\n")

    async def talk(upstream, server):
        stream = upstream.stream("/v2", b"{}")
        assert await anext(stream) == b""
        await asyncio.sleep(0.05)  # it is all there, and nobody has read it
        found = await upstream.ask("/v2", b"{}")
        rest = [part async for part in stream]
        return found.status, server.opened, rest

    assert talked(script, talk) == (200, 1, [b"{}"])


@pytest.mark.parametrize("ends", ["cancelled", "late"])
def test_what_is_given_up_leaves_no_connection_behind(ends):
    async def script(_, reader, writer):
        del writer
        await reader.readexactly(2)
        assert await reader.read() == b""  # until the other end is closed
        closed.set()

    async def talk(upstream, _):
        task = asyncio.ensure_future(upstream.ask("/v2", b"{}"))
        await asyncio.sleep(0.1)
        if ends == "cancelled":
            task.cancel()
        with pytest.raises((asyncio.CancelledError, Refused)):
            await task
        await asyncio.wait_for(closed.wait(), 2)
        return len(upstream._connector._acquired)

    closed = asyncio.Event()
    assert talked(script, talk, timeout_s=0.3) == 0


@pytest.mark.parametrize("value", ["Bearer a\nx-b: c", "Bearer a\tb", "Bearer é"])
def test_a_secret_that_is_no_header_is_refused_without_being_shown(monkeypatch, value):
    monkeypatch.setenv("UPSTREAM", value)
    with pytest.raises(PolicyError, match="one line of printable ASCII") as error:
        open_upstream(Upstream(url="http://127.0.0.1:1", authorization="env:UPSTREAM"))
    assert "Bearer" not in str(error.value)
