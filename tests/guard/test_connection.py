"""What leaves a connection, and in how many writes."""

import asyncio
import socket

import pytest

from unseen.guard.connection import not_taken
from unseen.guard.outbox import Delayed, Outbox

HEAD, BODY = b"HTTP/1.1 200 OK\r\n\r\n", b"body"


class Kept(asyncio.Transport):
    """A transport that keeps what is written, in a list of all writes."""

    def __init__(self, name, writes):
        super().__init__()
        self.name, self.writes, self.closed = name, writes, False

    def write(self, data):
        assert not self.closed
        self.writes.append((self.name, data))

    def is_closing(self):
        return self.closed

    def close(self):
        self.closed = True


def written(*steps):
    """Each write that a transport sees, in order: a step is a transport's number and what is written to it."""

    async def run():
        outbox, writes = Outbox(), []
        delayed = [Delayed(Kept(name, writes), outbox) for name in range(2)]
        for step in steps:
            if step == "rest":
                await asyncio.sleep(0)
                continue
            name, what = step
            if what == "close":
                delayed[name].close()
                assert delayed[name].is_closing()
            else:
                delayed[name].write(what)
        await asyncio.sleep(0)
        return writes

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("steps", "writes"),
    [
        ([(0, HEAD), (0, BODY)], [(0, HEAD + BODY)]),
        ([(0, HEAD), (0, b"")], [(0, HEAD)]),
        ([(0, HEAD), "rest", (0, BODY)], [(0, HEAD), (0, BODY)]),
        ([(0, HEAD), (1, HEAD), (0, BODY), (1, BODY)], [(0, HEAD + BODY), (1, HEAD + BODY)]),
        ([(0, HEAD), (0, BODY), (0, "close"), (1, HEAD)], [(0, HEAD + BODY), (1, HEAD)]),
        ([(0, HEAD), (1, HEAD), (1, "close")], [(1, HEAD), (0, HEAD)]),
        ([(0, "close"), (0, HEAD), (1, HEAD)], [(1, HEAD)]),
        ([(0, HEAD), "rest", "rest", (0, HEAD)], [(0, HEAD), (0, HEAD)]),
    ],
)
def test_what_is_written_in_one_turn_leaves_together_in_its_order(steps, writes):
    assert written(*steps) == writes


def test_what_a_client_takes_out_of_the_kernel_is_taken():
    async def run():
        opened = asyncio.Queue()
        server = await asyncio.start_server(lambda *both: opened.put_nowait(both), "127.0.0.1", 0)
        with socket.create_connection(server.sockets[0].getsockname()) as client:
            _, writer = await opened.get()
            delayed = Delayed(writer.transport, Outbox())
            writer.write(bytes(20_000_000))
            await asyncio.sleep(0.1)
            before = not_taken(delayed), delayed.get_write_buffer_size()
            taken = 0
            while taken < 1_000_000:
                taken += len(client.recv(100_000))
            await asyncio.sleep(0.1)
            after = not_taken(delayed)
            delayed.abort()
        server.close()
        await server.wait_closed()
        return before, after, taken

    (before, waiting), after, taken = asyncio.run(run())
    assert before > waiting
    assert before - after >= taken // 2
