"""The guard in front of real servers: the classes that the server says, and no more of its probabilities."""

import asyncio
import base64
import contextlib
import socket
import warnings

import aiohttp
import numpy as np
import pandas as pd
import pytest
import uvicorn
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from tests.guard.guards import policy, running
from tests.guard.protocols.servers import kserve, mlserver

from unseen.guard.listening import QuietServer

X, Y = load_iris(return_X_y=True)
ROWS = X[::15].round(2)
NAMES = ["sepal length", "sepal width", "petal length", "petal width"]
CLASSES = ("setosa", "versicolor", "virginica")


@contextlib.asynccontextmanager
async def served(app):
    """An ASGI application on a free port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    server = QuietServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        sock.close()


async def posted(url, body, headers=None):
    """Status and content of an answer to JSON."""
    kind = {"content-type": "application/json"}
    async with aiohttp.ClientSession(headers=kind | (headers or {})) as session:
        if body is None:
            answer = session.get(url)
        elif isinstance(body, str):
            answer = session.post(url, data=body)
        else:
            answer = session.post(url, json=body)
        async with answer as got:
            return got.status, await got.json(content_type=None)


async def both(read, url, path, body):
    """What the server says, and what the guard in front of it says."""
    status, bare = await posted(url + path, body)
    assert status == 200, bare
    async with running(read) as guard:
        status, guarded = await posted(guard.url + path, body, guard.headers)
        assert status == 200, guarded
    return bare, guarded


def hardened(bare, guarded):
    """Assert that probabilities are rounded to two decimals at most, and name the same classes."""
    bare, guarded = np.array(bare, dtype=float), np.array(guarded, dtype=float)
    assert bare.shape == guarded.shape
    assert (bare.argmax(axis=1) == guarded.argmax(axis=1)).all()
    assert np.abs(guarded.sum(axis=1) - 1).max() < 1e-9
    tops = guarded.max(axis=1)
    assert np.abs(tops * 100 - np.round(tops * 100)).max() < 1e-9
    assert np.abs(bare - guarded).max() < 0.03
    assert not np.array_equal(bare, guarded)


# MLflow's own scoring server, with the model in each flavour that answers differently


@pytest.fixture(scope="module")
def mlflow_apps(tmp_path_factory):
    """MLflow's scoring server of one model: answering probabilities, labels, or a table by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import mlflow.sklearn
        from mlflow.pyfunc import scoring_server

        class Table(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                found = pd.DataFrame(model.predict_proba(np.asarray(model_input)), columns=list(CLASSES))
                return found.assign(label=found.to_numpy().argmax(axis=1))

        class Columns(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                found = model.predict_proba(np.asarray(model_input))
                return {**dict(zip(CLASSES, found.T, strict=True)), "label": found.argmax(axis=1)}

        folder = tmp_path_factory.mktemp("mlflow")
        model = LogisticRegression(max_iter=500).fit(X, Y)
        for method in ("predict", "predict_proba"):
            mlflow.sklearn.save_model(model, folder / method, pyfunc_predict_fn=method, pip_requirements=[])
        for name, python_model in (("table", Table()), ("columns", Columns())):
            mlflow.pyfunc.save_model(folder / name, python_model=python_model, pip_requirements=[])
        return {
            path.name: scoring_server.init(mlflow.pyfunc.load_model(str(path))) for path in sorted(folder.iterdir())
        }


FRAME = pd.DataFrame(ROWS, columns=NAMES)
FORMS = {
    "dataframe_split": {"dataframe_split": FRAME.to_dict("split")},
    "dataframe_records": {"dataframe_records": FRAME.to_dict("records")},
    "instances": {"instances": ROWS.tolist()},
    "inputs": {"inputs": ROWS.tolist()},
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", FORMS)
def test_mlflow_answers_every_form_with_hardened_probabilities(tmp_path, mlflow_apps, form):
    async def run():
        async with served(mlflow_apps["predict_proba"]) as url:
            return await both(policy(tmp_path, upstream={"url": url}), url, "/invocations", FORMS[form])

    bare, guarded = asyncio.run(run())
    hardened(bare["predictions"], guarded["predictions"])


@pytest.mark.filterwarnings("ignore")
def test_mlflow_labels_pass_as_they_are_and_its_client_reads_them(tmp_path, mlflow_apps):
    from mlflow.deployments import PredictionsResponse
    from mlflow.utils.proto_json_utils import dump_input_data

    async def run():
        async with served(mlflow_apps["predict"]) as url:
            routes = [{"protocol": "mlflow", "answers": "labels"}]
            tiers = {"bare": {"budget": {"lifetime": 1000}}}
            read = policy(tmp_path, upstream={"url": url}, routes=routes, tiers=tiers)
            return await both(read, url, "/invocations", dump_input_data(FRAME))

    bare, guarded = asyncio.run(run())
    assert bare == guarded
    assert len(PredictionsResponse(guarded).get_predictions()) == len(ROWS)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("app", ["table", "columns"])
def test_mlflow_answers_by_name_are_hardened_as_one_row(tmp_path, mlflow_apps, app):
    outputs = dict.fromkeys(CLASSES, "probabilities") | {"label": "labels"}

    async def run():
        async with served(mlflow_apps[app]) as url:
            routes = [{"protocol": "mlflow", "outputs": outputs}]
            read = policy(tmp_path, upstream={"url": url}, routes=routes)
            return await both(read, url, "/invocations", FORMS["dataframe_split"])

    bare, guarded = (pd.DataFrame(found["predictions"]) for found in asyncio.run(run()))
    assert (bare["label"] == guarded["label"]).all()
    hardened(bare[list(CLASSES)], guarded[list(CLASSES)])


@pytest.mark.filterwarnings("ignore")
def test_mlflow_tells_that_it_is_there_and_nothing_more(tmp_path, mlflow_apps):
    async def run():
        async with served(mlflow_apps["predict"]) as url:
            read = policy(tmp_path, upstream={"url": url})
            async with running(read) as guard:
                told = [
                    await posted(guard.url + path, None, guard.headers) for path in ("/ping", "/health", "/version")
                ]
                refused = await posted(
                    guard.url + "/invocations", {"dataframe_split": {"columns": ["a"], "data": [["x"]]}}, guard.headers
                )
        return told, refused

    told, refused = asyncio.run(run())
    assert [status for status, _ in told] == [200, 200, 404]
    assert told[0][1] == {}
    assert refused[0] == 400
    sentence = "The model's server refused the request with status 400, and this was charged."
    assert refused[1]["error"]["message"] == sentence


# MLServer and KServe, each in an environment of its own


def tensor(rows, **more):
    return {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist(), **more}


def columns(rows):
    """Each feature as an input of its own, which MLServer reads as a table."""
    return [
        {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": rows[:, at].tolist()}
        for at, name in enumerate(NAMES)
    ]


WANTED = {"outputs": [{"name": "predict_proba"}, {"name": "predict"}]}
V2 = {
    "flat": {"inputs": [tensor(ROWS)], **WANTED},
    "nested": {"inputs": [{**tensor(ROWS), "data": ROWS.tolist()}], "id": "7", **WANTED},
    "numpy": {"inputs": [tensor(ROWS, parameters={"content_type": "np"})], "parameters": None, **WANTED},
    "table": {"inputs": columns(ROWS), "parameters": {"content_type": "pd"}, **WANTED},
    "one": {"inputs": [tensor(ROWS[:1])], **WANTED},
}


@pytest.mark.slow
def test_mlserver_answers_in_every_form_and_tells_what_it_is(tmp_path):
    async def run(url):
        outputs = {"predict_proba": "probabilities", "predict": "labels"}
        routes = [{"protocol": "open-inference-v2", "path": "/v2/models/iris", "outputs": outputs}]
        read = policy(tmp_path, upstream={"url": url}, routes=routes)
        for body in V2.values():
            bare, guarded = await both(read, url, "/v2/models/iris/infer", body)
            named = [{one["name"]: one for one in found["outputs"]} for found in (bare, guarded)]
            assert named[0].keys() == named[1].keys() == {"predict", "predict_proba"}
            assert named[0]["predict"]["data"] == named[1]["predict"]["data"]
            shape = named[0]["predict_proba"]["shape"]
            assert shape == named[1]["predict_proba"]["shape"]
            hardened(*(np.reshape(one["predict_proba"]["data"], shape) for one in named))
        async with running(read) as guard:
            paths = ("/v2/health/live", "/v2/health/ready", "/v2/models/iris", "/v2/models/iris/ready", "/v2")
            return [await posted(guard.url + path, None, guard.headers) for path in paths]

    with mlserver(tmp_path) as url:
        told = asyncio.run(run(url))
    assert [status for status, _ in told] == [200] * 5
    assert told[2][1]["name"] == "iris"
    assert "parameters" not in told[2][1]


@pytest.mark.slow
def test_kserve_answers_v1_and_v2(tmp_path):
    async def run(url):
        routes = [{"protocol": "open-inference-v2"}, {"protocol": "kserve-v1"}]
        read = policy(tmp_path, upstream={"url": url}, routes=routes)
        bare, guarded = await both(read, url, "/v1/models/iris:predict", {"instances": ROWS.tolist()})
        hardened(bare["predictions"], guarded["predictions"])
        bare, guarded = await both(read, url, "/v2/models/iris/infer", {"inputs": [tensor(ROWS)], "id": "1"})
        hardened(*(np.reshape(found["outputs"][0]["data"], (len(ROWS), 3)) for found in (bare, guarded)))
        alone = bare["outputs"][0]["data"]
        await parted(url, alone)
        await as_bytes(url, alone)
        async with running(read) as guard:
            return await posted(guard.url + "/v1/models/iris", None, guard.headers)

    async def parted(url, alone):
        """The same table as two inputs of different shapes, the second first."""
        routes = [{"protocol": "open-inference-v2", "features": ["a", "b"], "shapes": {"a": [1, 3], "b": []}}]
        inputs = [{**tensor(ROWS[:, 3]), "name": "b"}, {**tensor(ROWS[:, None, :3]), "name": "a"}]
        read = policy(tmp_path, upstream={"url": url}, routes=routes)
        bare, guarded = await both(read, url, "/v2/models/iris/infer", {"inputs": inputs, "id": "1"})
        assert bare["outputs"][0]["data"] == alone
        hardened(*(np.reshape(found["outputs"][0]["data"], (len(ROWS), 3)) for found in (bare, guarded)))

    async def as_bytes(url, alone):
        """The same records as bytes."""
        read = policy(tmp_path, upstream={"url": url}, routes=[{"protocol": "kserve-v1", "b64": True}])
        instances = [{"b64": base64.b64encode(row.tobytes()).decode()} for row in ROWS]
        bare, guarded = await both(read, url, "/v1/models/iris:predict", {"instances": instances})
        assert np.ravel(bare["predictions"]).tolist() == alone
        hardened(bare["predictions"], guarded["predictions"])

    with kserve(tmp_path) as url:
        assert asyncio.run(run(url)) == (200, {"name": "iris", "ready": True})
