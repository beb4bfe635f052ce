"""Real servers of models for tests: started, waited for, stopped; skipped where they are not installed.

MLflow's scoring server comes with mlflow-skinny. MLServer and KServe ask for other versions of our own dependencies, so
each needs an environment of its own: UNSEEN_MLSERVER is the path of its `mlserver`, UNSEEN_KSERVE of its `python`.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request

import pytest

REQUIRED = os.environ.get("UNSEEN_SERVERS") == "required"  # elsewhere a missing server skips

TRAIN = """
import joblib
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

X, y = load_iris(return_X_y=True)
joblib.dump(LogisticRegression(max_iter=500).fit(X, y), "iris.joblib")
"""
KSERVE = """
import sys
from base64 import b64decode
import joblib
import numpy as np
from kserve import InferOutput, InferResponse, Model, ModelServer

class Iris(Model):
    def __init__(self):
        super().__init__("iris")
        self.model, self.ready = joblib.load("iris.joblib"), True

    def predict(self, payload, headers=None):
        if isinstance(payload, dict):
            rows = [np.frombuffer(b64decode(row["b64"])) if "b64" in row else row for row in payload["instances"]]
            return {"predictions": self.model.predict_proba(rows).tolist()}
        inputs = sorted(payload.inputs, key=lambda tensor: tensor.name)
        table = np.hstack([tensor.as_numpy().reshape(tensor.shape[0], -1) for tensor in inputs])
        found = self.model.predict_proba(table)
        output = InferOutput("probabilities", list(found.shape), "FP64")
        output.set_data_from_numpy(found, binary_data=False)
        return InferResponse(response_id=payload.id, model_name="iris", infer_outputs=[output])

if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Iris()])
"""


def found(variable, program):
    """The program that a variable names, or that is on the path; else the test skips, or fails where it must not."""
    path = os.environ.get(variable) or (program and shutil.which(program))
    if not path:
        (pytest.fail if REQUIRED else pytest.skip)(f"{variable} names no program")
    return path


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@contextlib.contextmanager
def started(command, folder, ready):
    """A server's process, once it answers at `ready`."""
    with (folder / "server.out").open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait(process, ready, folder)
        yield
    finally:
        process.terminate()
        process.wait(20)


def _wait(process, ready, folder):
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(ready, timeout=2) as answer:
            if answer.status == 200:
                return
        time.sleep(0.2)
    pytest.fail((folder / "server.out").read_text()[-2000:])


@contextlib.contextmanager
def mlserver(folder):
    """MLServer with one scikit-learn model, `iris`; yields its address."""
    program = found("UNSEEN_MLSERVER", "mlserver")
    python = os.path.join(os.path.dirname(program), "python")  # noqa: PTH118, PTH120 - of that environment, no link followed
    subprocess.run([python, "-c", TRAIN], cwd=folder, check=True)
    ports = [free_port() for _ in range(3)]
    named = dict(zip(("http_port", "grpc_port", "metrics_port"), ports, strict=True))
    (folder / "settings.json").write_text(json.dumps({**named, "host": "127.0.0.1", "parallel_workers": 0}))
    model = {"name": "iris", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": {"uri": "./iris.joblib"}}
    (folder / "model-settings.json").write_text(json.dumps(model))
    url = f"http://127.0.0.1:{ports[0]}"
    with started([program, "start", "."], folder, f"{url}/v2/models/iris/ready"):
        yield url


@contextlib.contextmanager
def kserve(folder):
    """KServe's Python server with one model, `iris`, that speaks V1 and V2; yields its address."""
    python = found("UNSEEN_KSERVE", "")
    subprocess.run([python, "-c", TRAIN], cwd=folder, check=True)
    (folder / "serve.py").write_text(KSERVE)
    port = free_port()
    with started([python, "serve.py", str(port)], folder, f"http://127.0.0.1:{port}/v2/models/iris/ready"):
        yield f"http://127.0.0.1:{port}"
