"""What the guard adds to a stream: time to the first byte, and CPU an event.

    python benchmarks/guard/sse.py

The model's server, the guard and the client are a process each; one connection at a time, so that what is added is
added by the guard alone. The first byte is that of streams whose events come 2 ms apart, as a language model's do; CPU
an event is of streams that come as fast as they are taken. Medians over streams, directly and through the guard.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed import guard, wait

EVENTS, STREAMS, ROUNDS = 400, 30, 5
SLOWLY, APART_S = 10, 0.002  # events of a slow stream, and the seconds between them
EVENT = (
    b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,'
    b'"delta":{"content":" word"},"finish_reason":null}]}\n\n'
)
BODY = b'{"model":"m","messages":[{"role":"user","content":"Say hello."}],"stream":true}'
SLOW = BODY.replace(b"hello", b"hello slowly")


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
            slow = b"slowly" in body
            for _ in range(SLOWLY if slow else EVENTS):
                writer.write(b"%x\r\n%s\r\n" % (len(EVENT), EVENT))
                await asyncio.sleep(APART_S) if slow else await writer.drain()
            end = b"data: [DONE]\n\n"
            writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def stream(port, headers, asked):
    """Ask for one stream; return the seconds to its first event, and its events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    begun = time.perf_counter()
    writer.write(
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n{said}"
        f"content-length: {len(asked)}\r\n\r\n".encode()
        + asked
    )
    await reader.readuntil(b"data: ")
    first = time.perf_counter() - begun
    count = 1
    while b"[DONE]" not in (part := await reader.readuntil(b"\n\n")):
        count += part.count(b"data: ")
    writer.close()
    return first, count


async def run(server):
    with tempfile.TemporaryDirectory() as name:
        found = guard(
            Path(name), 5911, 5910, sys.argv[1] if len(sys.argv) > 1 else "aiohttp", '{ name = "label-only" }', "guard"
        )
        await asyncio.to_thread(wait, found, "/v1/chat/completions", BODY.decode().replace(',"stream":true', ""))
        firsts, cpus = [], []
        for _ in range(ROUNDS):
            before = found.cpu()
            fast = [await stream(5911, found.headers, BODY) for _ in range(STREAMS)]
            cpus.append((found.cpu() - before) / sum(count for _, count in fast))
            direct = [await stream(5910, {}, SLOW) for _ in range(STREAMS)]
            through = [await stream(5911, found.headers, SLOW) for _ in range(STREAMS)]
            assert {count for _, count in fast} == {EVENTS}
            assert {count for _, count in direct + through} == {SLOWLY}
            middle = [statistics.median(first for first, _ in each) for each in (direct, through)]
            firsts.append(middle[1] - middle[0])
        found.stop()
        server.kill()
        server.wait()
    print(
        f"first byte added: {1e3 * statistics.median(firsts):.2f} ms [{1e3 * min(firsts):.2f}, {1e3 * max(firsts):.2f}]"
    )
    print(f"CPU an event: {1e6 * statistics.median(cpus):.0f} us [{1e6 * min(cpus):.0f}, {1e6 * max(cpus):.0f}]")


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 5910)
    await server.serve_forever()


if sys.argv[1:] == ["serve"]:
    asyncio.run(serve())
else:
    asyncio.run(run(subprocess.Popen([sys.executable, __file__, "serve"])))
