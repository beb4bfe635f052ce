"""What leaves a connection, and in how many writes."""

import asyncio

import pytest

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
