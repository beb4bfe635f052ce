"""Fuzzing of every adapter: `read` refuses with 400, `harden` with 502, and no number leaves that was not hardened."""

import sys

import atheris

with atheris.instrument_imports(include=["unseen.guard"]):
    from unseen.controls import harden_from
    from unseen.guard.answering import Answering, Controls
    from unseen.guard.policy import Route
    from unseen.guard.protocols import adapter_of
    from unseen.guard.refusal import Refused
    from unseen.guard.shape import coarse_forms, vectors
    from unseen.guard.wire import encode

ROUTES = [
    (Route(protocol="open-inference-v2"), "/v2/models/m/infer"),
    (Route(protocol="open-inference-v2", outputs={"a": "probabilities", "b": "labels"}), "/v2/models/m/infer"),
    (
        Route(protocol="open-inference-v2", features=("a", "b"), shape=(2,), answers="values", width=2),
        "/v2/models/m/infer",
    ),
    (Route(protocol="mlflow"), "/invocations"),
    (Route(protocol="mlflow", features=("a", "b"), answers="labels", classes=2), "/invocations"),
    (Route(protocol="mlflow", outputs={"a": "probabilities", "b": "labels", "data": "probabilities"}), "/invocations"),
    (Route(protocol="kserve-v1"), "/v1/models/m:predict"),
    (Route(protocol="openai", embeddings=True), "/v1/chat/completions"),
    (Route(protocol="openai", embeddings=True), "/v1/completions"),
    (Route(protocol="openai", embeddings=True), "/v1/embeddings"),
    (Route(protocol="json", path="/p", records="#", outputs={"/a": "probabilities", "/b/0": "labels"}), "/p"),
]
ADAPTERS = [(adapter_of(route), route, path) for route, path in ROUTES]
CONTROLS = [
    (),
    (harden_from({"name": "label-only"}),),
    (harden_from({"name": "rounding", "decimals": 1}), harden_from({"name": "value-rounding", "step": 1.0})),
    (harden_from({"name": "cap-logprobs"}), harden_from({"name": "top-k", "k": 1})),
]
NAMES = [
    *("inputs", "outputs", "parameters", "id", "name", "shape", "datatype", "data", "content_type", "a", "b", "c"),
    *("dataframe_split", "dataframe_records", "instances", "columns", "index", "predictions", "messages", "prompt"),
    *("input", "n", "stream", "encoding_format", "choices", "logprobs", "content", "token_logprobs", "top_logprobs"),
    *("tokens", "embedding", "usage", "message", "delta", "token", "logprob", "text_offset", "model_name"),
]
SCALARS = [
    *(0, 1, 2, -1, 10**30, 0.5, 0.25, 1e308, -0.0, True, False, None, "", "a", "FP32", "INT64", "BYTES", "BOOL"),
    *("np", "base64", "0.5", "\ud7ff"),
]
SECRET = 0.7316  # a probability that no control here leaves as it is


def value(data: atheris.FuzzedDataProvider, levels: int) -> object:
    """Return some JSON made of the words that protocols know."""
    kind = data.ConsumeIntInRange(0, 5 if levels else 1)
    if kind <= 1:
        return data.PickValueInList([*SCALARS, SECRET, 1 - SECRET])
    if kind <= 3:
        return [value(data, levels - 1) for _ in range(data.ConsumeIntInRange(0, 3))]
    names = [data.PickValueInList(NAMES) for _ in range(data.ConsumeIntInRange(0, 5))]
    return {name: value(data, levels - 1) for name in names}


def check(raw: bytes) -> None:
    """Ask and answer with two values made of some bytes."""
    data = atheris.FuzzedDataProvider(raw)
    adapter, route, path = data.PickValueInList(ADAPTERS)
    controls = data.PickValueInList(CONTROLS)
    try:
        question = adapter.read(path, value(data, 5), frozenset({"n", "best_of"}))
        forms = coarse_forms(question.rows, route)
        vectors(question.rows, route)
    except Refused as refused:
        if refused.status != 400:
            raise
        return
    encode(question.body)
    assert question.records >= 1
    assert len(forms) in {question.records, len(question.rows)}
    try:
        left = adapter.harden(question, value(data, 6), Answering(Controls(controls), forms, strict=True))
    except Refused as refused:
        if refused.status != 502:
            raise
        return
    said = encode(left)
    if controls:
        assert b"0.7316" not in said, "a number left as it was"


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
