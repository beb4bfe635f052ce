"""Wire formats: how records become the body of a request, and an answer's body becomes one prediction a record."""

from collections.abc import Mapping

from unseen.targets.wire.format import Format
from unseen.targets.wire.kserve_v1 import KSERVE_V1
from unseen.targets.wire.mlflow import MLFLOW
from unseen.targets.wire.openai import OPENAI
from unseen.targets.wire.pointer import POINTER
from unseen.targets.wire.v2 import V2

FORMATS: Mapping[str, Format] = {
    "open-inference-v2": V2,
    "mlflow": MLFLOW,
    "kserve-v1": KSERVE_V1,
    "json": POINTER,
    "openai": OPENAI,
}
