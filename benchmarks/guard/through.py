"""One model, audited directly and through its deployed policy: how long that takes, and what the policy changes.

    python benchmarks/guard/through.py [--control '{ name = "rounding", decimals = 1 }'] [--references 16]

The census model of the demonstration (5,000 members, 5,000 of the non-members), served over HTTP as MLflow does, with
the guard in front; references are hardened as the policy says, so the attacks adapt. Everything runs on this machine.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import skops.io
import uvicorn

from unseen.data import LABEL
from unseen.demo import census_parts, train
from unseen.guard.keys import KeyRing
from unseen.guard.secrets import derive

SECRET = os.urandom(32).hex()


@contextmanager
def serving(model, port):
    """Answer `/invocations` with the model's probabilities, on a thread."""

    async def app(_scope, receive, send):
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        said = json.loads(body)["dataframe_split"]
        table = pl.DataFrame(said["data"], schema=said["columns"], orient="row", infer_schema_length=None)
        answer = json.dumps({"predictions": model.predict_proba(table).tolist()}).encode()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": answer})

    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield
    server.should_exit = True
    thread.join()


@contextmanager
def guarding(folder, port, upstream, control):
    policy = folder / "policy.toml"
    policy.write_text(f"""
        guard = {{ listen = "127.0.0.1:{port}", state = "{folder}/state" }}
        upstream = {{ url = "http://127.0.0.1:{upstream}", timeout_s = 120 }}
        routes = [{{ protocol = "mlflow" }}]
        [tiers.auditor]
        rate = "100 per second, burst 100"
        budget = {{ lifetime = 2000000 }}
        controls = [{control}]
        [detectors]
        volume = {{}}
    """)
    _, key = KeyRing(folder / "state", derive(SECRET.encode(), "keys")).add(tenant="audit", tier="auditor")
    run = "import sys; from unseen.guard.commands import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", run, "serve", policy], env=os.environ | {"UNSEEN_GUARD_SECRET": SECRET}
    )
    time.sleep(2)
    yield key
    process.terminate()
    process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", default='{ name = "rounding", decimals = 1 }')
    parser.add_argument("--references", type=int, default=16)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parts = census_parts()
        model = train(parts["members"])
        parts["non_members"] = parts["non_members"][:5000]
        for part, table in parts.items():
            table.write_parquet(folder / f"{part}.parquet")
        skops.io.dump(model, folder / "model.skops")
        (folder / "plan.toml").write_text(f"""
            seed = 0
            [target]
            url = "http://127.0.0.1:5920/invocations"
            protocol = "mlflow"
            model = "model.skops"
            answers = "probabilities"
            records_per_request = 500
            requests_per_second = 50.0
            timeout_seconds = 120.0
            [through]
            url = "http://127.0.0.1:5921/invocations"
            api_key = "env:GUARD_KEY"
            controls = [{arguments.control}]
            [data]
            members = "members.parquet"
            non_members = "non_members.parquet"
            population = "population.parquet"
            label = "{LABEL}"
            id = "id"
            [references]
            count = {arguments.references}
        """)
        with serving(model, 5920), guarding(folder, 5921, 5920, arguments.control) as key:
            begun = time.time()
            program = "from unseen.cli.main import app; app()"
            subprocess.run(
                [sys.executable, "-c", program, "audit", "plan.toml"],
                cwd=folder,
                env=os.environ | {"GUARD_KEY": key},
                check=False,
            )
            print(f"\n{time.time() - begun:.0f} s from the command to the comparison")


if __name__ == "__main__":
    main()
