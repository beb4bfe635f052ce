"""The protocols that the guard speaks, one file each."""

from unseen.guard.policy import Route
from unseen.guard.protocols.kserve_v1 import KServeV1
from unseen.guard.protocols.mlflow import MLflow
from unseen.guard.protocols.open_inference import OpenInference
from unseen.guard.protocols.openai import OpenAI
from unseen.guard.protocols.pointer import Pointers
from unseen.guard.question import Adapter

PROTOCOLS: dict[str, type[Adapter]] = {
    "open-inference-v2": OpenInference,
    "mlflow": MLflow,
    "kserve-v1": KServeV1,
    "openai": OpenAI,
    "json": Pointers,
}


def adapter_of(route: Route) -> Adapter:
    """Return what reads and hardens for a route. Raises `PolicyError` where its settings do not fit."""
    return PROTOCOLS[route.protocol](route)
