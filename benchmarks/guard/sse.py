"""What the guard adds to a stream: time to the first byte, and CPU an event.

    python benchmarks/guard/sse.py [aiohttp|pyreqwest]

The model's server, what is asked in front of it and the client are a process each; one connection at a time, so that
what is added is added by what is between. The first byte is that of streams whose events come 2 ms apart, as a language
model's do; CPU an event is of streams that come as fast as they are taken. Medians over streams, directly and through
the guard, its own stack with no guard in it, and nginx.
"""

import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from speed import bare, guard, nginx, wait

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


async def run(server, client="aiohttp"):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        proxied = (
            "server { listen 127.0.0.1:5913; location / { proxy_pass http://127.0.0.1:5910; proxy_http_version 1.1; "
            'proxy_buffering off; proxy_set_header Connection ""; } }'
        )
        among = [
            guard(folder, 5911, 5910, client, '{ name = "label-only" }', f"guard, {client}, label-only"),
            bare(5912, 5910, client, f"no guard: uvicorn and {client} alone"),
            nginx(folder, 5913, proxied, "nginx proxy"),
        ]
        for one in among:
            await asyncio.to_thread(wait, one, "/v1/chat/completions", BODY.decode().replace(',"stream":true', ""))
        firsts, cpus = {one.name: [] for one in among}, {one.name: [] for one in among}
        for _ in range(ROUNDS):
            direct = await slow_first(5910, {})
            for one in among:
                before = one.cpu()
                fast = [await stream(one.port, one.headers, BODY) for _ in range(STREAMS)]
                whole = {count for _, count in fast} == {EVENTS}
                assert whole or one is not among[0]  # of the others an event may come in two pieces, and is missed
                cpus[one.name].append((one.cpu() - before) / (STREAMS * EVENTS))
                firsts[one.name].append(await slow_first(one.port, one.headers) - direct)
        for one in among:
            one.stop()
        server.kill()
        server.wait()
    print("| server | first byte added, ms | CPU an event, us |\n|---|---:|---:|")
    for one in among:
        print(f"| {one.name} | {told(firsts[one.name], 1e3, 2)} | {told(cpus[one.name], 1e6, 0)} |")


async def slow_first(port, headers):
    """Return the middle of the seconds to the first event, of streams whose events come slowly."""
    return statistics.median([(await stream(port, headers, SLOW))[0] for _ in range(STREAMS)])


def told(values, unit, digits):
    low, middle, high = (
        f"{unit * value:.{digits}f}" for value in (min(values), statistics.median(values), max(values))
    )
    return f"{middle} [{low}, {high}]"


async def serve():
    server = await asyncio.start_server(answer, "127.0.0.1", 5910)
    await server.serve_forever()


if sys.argv[1:] == ["serve"]:
    asyncio.run(serve())
else:
    asyncio.run(run(subprocess.Popen([sys.executable, __file__, "serve"]), *sys.argv[1:]))
