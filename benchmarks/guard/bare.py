"""The least that a guard of this make could cost: uvicorn and a client of its own, and nothing between them.

    UPSTREAM=http://127.0.0.1:5900 CLIENT=aiohttp uvicorn --app-dir benchmarks/guard bare:app

No key, rate, budget, parser, control or log: what a client sends is sent on, and what the model's server says is said.
"""

import os

from unseen.guard.policy import Upstream
from unseen.guard.upstreams import open_upstream

SETTINGS = Upstream(url=os.environ["UPSTREAM"], client=os.environ["CLIENT"])
opened = []


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    if not opened:
        opened.append(open_upstream(SETTINGS))
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if b'"stream":true' in body:
        await stream(opened[0].stream(scope["path"], body), send)
        return
    answer = await opened[0].ask(scope["path"], body)
    length = str(len(answer.body)).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


async def stream(parts, send):
    await anext(parts)
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    async for part in parts:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
