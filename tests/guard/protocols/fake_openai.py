"""A model's server that speaks like OpenAI's, says more than it should, and counts what it is asked."""

import base64
import json

import numpy as np
from starlette.applications import Starlette
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

TOP = [{"token": "ja", "logprob": -0.105, "bytes": [106, 97]}, {"token": "nee", "logprob": -2.302, "bytes": [110]}]
LOGPROBS = {"content": [{**TOP[0], "top_logprobs": TOP}], "refusal": None}
USAGE = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4, "seconds": 0.123}
SHARED = {"created": 7, "model": "m", "system_fingerprint": "fp_1", "perplexity": 1.23, "timings": {"ms": 1.5}}
VECTOR = [0.12345, -0.54321, 0.0]
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"x": 0.5}'}}


class FakeOpenAI:
    """`asked` holds what came, `listed` are its models.

    `broken` breaks a stream off, `error` ends it with an error of its own words.
    """

    def __init__(self):
        self.asked = []
        self.broken = self.error = False
        self.listed = [{"id": "m", "object": "model", "created": 7, "owned_by": "us"}]
        paths = {"chat/completions": self.chat, "completions": self.completions, "embeddings": self.embeddings}
        routes = [Route(f"/v1/{path}", call, methods=["POST"]) for path, call in paths.items()]
        self.app = Starlette(routes=[*routes, Route("/v1/models", self.models)])

    async def chat(self, request):
        asked = await self._read(request)
        if asked.get("stream"):
            return StreamingResponse(self._events(asked), media_type="text/event-stream")
        message = {"role": "assistant", "content": "ja", "refusal": None, "confidence": 0.9731}
        message |= {"tool_calls": [CALL]} if asked.get("tools") else {}
        choice = {"message": message, "finish_reason": "stop", "logprobs": LOGPROBS, "score": 0.97}
        choices = [{"index": at, **choice} for at in range(asked.get("n", 1))]
        return JSONResponse({"id": "c", "object": "chat.completion", "choices": choices, "usage": USAGE, **SHARED})

    async def completions(self, request):
        asked = await self._read(request)
        prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        many = 1 if isinstance(prompts[0], int) else len(prompts)
        scores = {"tokens": ["ja"], "token_logprobs": [-0.105], "top_logprobs": [{"ja": -0.105}], "text_offset": [0]}
        choice = {"text": "ja", "finish_reason": "stop", "logprobs": scores}
        choices = [{"index": at, **choice} for at in range(many * asked.get("n", 1))]
        return JSONResponse({"id": "t", "object": "text_completion", "choices": choices, "usage": USAGE, **SHARED})

    async def embeddings(self, request):
        asked = await self._read(request)
        many = len(asked["input"]) if isinstance(asked["input"], list) else 1
        shown = VECTOR
        if asked.get("encoding_format") == "base64":
            shown = base64.b64encode(np.array(VECTOR, "<f4").tobytes()).decode()
        data = [{"object": "embedding", "index": at, "embedding": shown, "norm": 0.5} for at in range(many)]
        return JSONResponse({"object": "list", "data": data, "usage": USAGE, **SHARED})

    async def models(self, request):
        return JSONResponse({"object": "list", "data": self.listed, "secret": "x"})

    async def _read(self, request):
        self.asked.append(json.loads(await request.body()))
        return self.asked[-1]

    async def _events(self, asked):
        shared = {"id": "c", "object": "chat.completion.chunk", **SHARED}
        for word in ("een", " twee", " drie"):
            choice = {"index": 0, "delta": {"content": word}, "finish_reason": None, "logprobs": LOGPROBS}
            yield b"data: %s\n\n" % json.dumps({**shared, "choices": [choice]}).encode()
        if self.error:
            yield b'data: {"error": {"message": "the words of the server"}}\n\n'
            return
        if self.broken:
            return
        if (asked.get("stream_options") or {}).get("include_usage"):
            yield b"data: %s\n\n" % json.dumps({**shared, "choices": [], "usage": USAGE}).encode()
        yield b"data: [DONE]\n\n"
