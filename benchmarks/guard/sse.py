"""What the guard adds to a stream: time to the first byte, and CPU an event.

    python benchmarks/guard/sse.py

The model's server and the client are in this process, the guard is in one of its own; one connection at a time, so that
what is added is added by the guard alone. Medians over streams; directly and through the guard in turn.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

from speed import guard, wait

EVENTS, STREAMS, ROUNDS = 400, 30, 5
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
BODY = b'{"model":"m","messages":[{"role":"user","content":"Say hello."}],"stream":true}'


async def answer(reader, writer):
    """Answer each request with a stream of events, as fast as they are taken."""
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length")
            )
            body = await reader.readexactly(length)
            if b"stream" not in body:
                whole = b'{"id":"a","choices":[]}'
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(whole)
                    + whole
                )
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(EVENTS):
                writer.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
                await writer.drain()
            end = b"data: [DONE]\n\n"
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(port, headers):
    """Ask for one stream; return the seconds to its first event, and its events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    begun = time.perf_counter()
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{said}"
        f"content-length: {len(BODY)}\r\n\r\n".encode()
        + BODY
    )
    await reader.readuntil(b"data: ")
    first = time.perf_counter() - begun
    count = 1
    while b"[DONE]" not in (part := await reader.readuntil(b"\n\n")):
        count += part.count(b"data: ")
    writer.close()
    return first, count


async def run():
    with tempfile.TemporaryDirectory() as name:
        server = await asyncio.start_server(answer, "127.0.0.1", 5910)
        found = guard(
            Path(name), 5911, 5910, sys.argv[1] if len(sys.argv) > 1 else "aiohttp", '{ name = "label-only" }', "guard"
        )
        await asyncio.to_thread(wait, found, "/v1/chat/completions", BODY.decode().replace(',"stream":true', ""))
        firsts, cpus = [], []
        for _ in range(ROUNDS):
            direct = [await stream(5910, {}) for _ in range(STREAMS)]
            before = found.cpu()
            through = [await stream(5911, found.headers) for _ in range(STREAMS)]
            cpus.append((found.cpu() - before) / sum(count for _, count in through))
            assert {count for _, count in direct + through} == {EVENTS}
            middle = [statistics.median(first for first, _ in each) for each in (direct, through)]
            firsts.append(middle[1] - middle[0])
        server.close()
        found.stop()
    print(
        f"first byte added: {1e3 * statistics.median(firsts):.2f} ms [{1e3 * min(firsts):.2f}, {1e3 * max(firsts):.2f}]"
    )
    print(f"CPU an event: {1e6 * statistics.median(cpus):.0f} us [{1e6 * min(cpus):.0f}, {1e6 * max(cpus):.0f}]")


asyncio.run(run())
