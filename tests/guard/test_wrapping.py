"""A policy around a model of this process, and around an ASGI application."""

import asyncio
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from tests.guard.guards import FakeModel, policy
from tests.guard.test_gateway import log, used

import unseen.guard
from unseen.errors import DataError, PolicyError
from unseen.guard import Middleware, Refused, wrap

X, Y = make_classification(300, 6, n_informative=4, n_classes=3, random_state=0)
MODEL = LogisticRegression(max_iter=200).fit(X, Y)
TIERS = {"t": {"budget": {"lifetime": 20}, "controls": [{"name": "label-only"}]}}


def test_a_route_of_several_inputs_is_not_for_a_model_in_this_process(tmp_path):
    shapes = {"image": [8, 8], "age": []}
    route = {"protocol": "open-inference-v2", "features": ["image", "age"], "shapes": shapes}
    with pytest.raises(PolicyError, match="a model in this process has one"):
        wrap(MODEL, policy(tmp_path, routes=[route], tiers=TIERS))


def test_a_wrapped_model_gives_hardened_answers_counts_records_and_writes_them_down(tmp_path):
    guarded = wrap(MODEL, policy(tmp_path, tiers=TIERS))
    answers = guarded.predict_proba(X[:7])
    assert np.array_equal(answers.argmax(axis=1), MODEL.predict_proba(X[:7]).argmax(axis=1))
    assert set(np.unique(answers)) == {0.0, 1.0}
    assert np.array_equal(guarded.predict(X[:7]), MODEL.predict(X[:7]))
    with pytest.raises(Refused, match="beyond this key's budget"):
        guarded.predict_proba(X[:7])
    assert guarded.predict(X[:6]).shape == (6,)
    guarded.close()
    assert used(tmp_path, "key:") == {"key:in-process:lifetime": 20}
    assert [(entry.status, entry.records) for entry in log(tmp_path)] == [(200, 7), (200, 7), (429, 7), (200, 6)]
    assert "7.0" not in repr(guarded)


def test_a_keyed_control_answers_one_record_alike_alone_and_in_a_batch(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 1000}, "controls": [{"name": "keyed-noise", "scale": 0.1}]}}
    routes = [{"protocol": "mlflow", "features": [f"x{place}" for place in range(X.shape[1])]}]
    guarded = wrap(MODEL, policy(tmp_path, tiers=tiers, routes=routes))
    batch = guarded.predict_proba(X[:5])
    assert np.array_equal(batch, np.vstack([guarded.predict_proba(X[place : place + 1]) for place in range(5)]))
    guarded.close()
    again = wrap(MODEL, policy(tmp_path, tiers=tiers, routes=routes))
    assert np.array_equal(batch, again.predict_proba(X[:5]))
    again.close()


def test_a_model_that_fails_is_charged_and_written_down(tmp_path):
    class Broken:
        def predict_proba(self, X):
            raise ValueError("record 5")

    guarded = wrap(Broken(), policy(tmp_path, tiers=TIERS))
    with pytest.raises(ValueError, match="record 5"):
        guarded.predict_proba(X[:2])
    guarded.close()
    assert [(entry.status, entry.reason) for entry in log(tmp_path)] == [(500, "fault")]


def test_a_wrapped_model_gives_only_what_its_route_says(tmp_path):
    routes = [{"protocol": "mlflow", "answers": "labels"}]
    labels = wrap(MODEL, policy(tmp_path, routes=routes, tiers={"bare": {"budget": {"lifetime": 1000}}}))
    with pytest.raises(Refused, match="no probabilities"):
        labels.predict_proba(X[:2])
    assert labels.predict(X[:2]).shape == (2,)
    labels.close()
    with pytest.raises(Refused, match="was closed"):
        labels.predict(X[:2])
    numbers = wrap(Numbers(), policy(tmp_path))
    with pytest.raises(Refused, match="withheld"):
        numbers.predict(X[:2])
    numbers.close()


class Numbers:
    def predict(self, X):
        return X[:, 0] * 1.2345678


KEYED = {"budget": {"lifetime": 1000, "per_neighbourhood": 3}, "controls": [{"name": "keyed-noise", "scale": 0.3}]}


class Named:
    """Answers with two probabilities, and keeps the columns and the rows that it was asked about."""

    def __init__(self):
        self.asked = []

    def predict_proba(self, X):
        self.asked.append((list(getattr(X, "columns", [])), np.asarray(X).tolist()))
        return np.full((len(X), 2), 0.5)


def named(folder, **route):
    model = Named()
    return model, wrap(model, policy(folder, tiers={"t": KEYED}, routes=[{"protocol": "mlflow", **route}]))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_wrapped_model_is_asked_about_the_features_of_the_policy_alone(tmp_path, frame):
    model, guarded = named(tmp_path, features=["age", "city"])
    for wrong in ({"age": [41], "city": ["Delft"], "x": [7.0]}, {"age": [41]}, {"age": [41], "town": ["Delft"]}):
        with pytest.raises(Refused, match="fields that the policy names"):
            guarded.predict_proba(frame(wrong))
    for table in ([[41, "Delft", 7]], [[41]]):
        with pytest.raises(Refused, match="2 values"):
            guarded.predict_proba(table)
    assert model.asked == []
    found = [guarded.predict_proba(frame({"city": [city], "age": [41.0]})) for city in ("Delft", "DELFT", " delft")]
    assert all(np.array_equal(one, found[0]) for one in found)
    assert model.asked[0] == (["age", "city"], [[41.0, "Delft"]])
    with pytest.raises(Refused, match="records near this one"):
        guarded.predict_proba(frame({"age": [41.0], "city": ["Delft"]}))
    assert len(model.asked) == 3
    guarded.close()


def test_two_columns_of_one_name_are_refused(tmp_path):
    model, guarded = named(tmp_path, features=["age"])
    with pytest.raises(Refused, match="fields that the policy names"):
        guarded.predict_proba(pd.DataFrame([[41, 42]], columns=["age", "age"]))
    assert model.asked == []
    guarded.close()


def test_a_wrapped_model_is_asked_about_records_of_the_shape_of_the_policy(tmp_path):
    model, guarded = named(tmp_path, shape=[2, 2])
    for wrong in (np.zeros((1, 4)), np.zeros((1, 2, 3)), np.zeros((1, 2, 2, 1))):
        with pytest.raises(Refused, match="shape"):
            guarded.predict_proba(wrong)
    assert model.asked == []
    assert guarded.predict_proba(np.ones((3, 2, 2))).shape == (3, 2)
    assert np.shape(model.asked[0][1]) == (3, 2, 2)
    guarded.close()


def test_numbers_that_are_no_floats_of_python_are_read(tmp_path):
    _, guarded = named(tmp_path, features=["a", "b"])
    mixed = np.array([[np.float32(0.5), "x"], [np.int8(1), "y"]], dtype=object)
    assert guarded.predict_proba(mixed).shape == (2, 2)
    with pytest.raises(DataError, match="at least one record"):
        guarded.predict_proba(np.zeros((0, 2)))
    guarded.close()


@pytest.mark.parametrize("stopped", [KeyboardInterrupt, SystemExit, MemoryError])
def test_a_call_that_is_broken_off_was_not_answered(tmp_path, stopped):
    class Stopped:
        def predict_proba(self, X):
            raise stopped

    guarded = wrap(Stopped(), policy(tmp_path, tiers=TIERS))
    with pytest.raises(stopped):
        guarded.predict_proba(X[:2])
    guarded.close()
    assert [(entry.status, entry.reason) for entry in log(tmp_path)] == [(500, "fault")]


def test_a_wrapped_model_has_rates_and_works_inside_a_loop(tmp_path):
    async def run():
        tiers = {"t": {"budget": {"lifetime": 100}, "rate": "1 per hour, burst 2"}}
        guarded = wrap(MODEL, policy(tmp_path, tiers=tiers))
        found = [guarded.predict(X[:1]).shape for _ in range(2)]
        with pytest.raises(Refused, match="Too many calls"):
            guarded.predict(X[:1])
        guarded.close()
        return found

    assert asyncio.run(run()) == [(1,), (1,)]


def test_what_is_no_table_and_what_is_no_policy_are_refused(tmp_path):
    guarded = wrap(MODEL, policy(tmp_path, tiers=TIERS))
    with pytest.raises(DataError):
        guarded.predict_proba(X[0])
    guarded.close()
    with pytest.raises(PolicyError, match="no tier"):
        wrap(MODEL, policy(tmp_path, tiers=TIERS), tier="x")
    with pytest.raises(PolicyError, match=r"tiers \['a', 'b'\]: say which"):
        wrap(MODEL, policy(tmp_path, tiers={"a": TIERS["t"], "b": TIERS["t"]}))
    with pytest.raises(PolicyError, match="object has neither"):
        wrap(object(), policy(tmp_path, tiers=TIERS))
    with pytest.raises(PolicyError, match="no budget"):
        wrap(MODEL, policy(tmp_path, tiers={"t": {}}))


def test_an_application_behind_the_middleware_is_asked_within_the_policy(tmp_path):
    async def run():
        read = policy(tmp_path, tiers=TIERS | {})
        guarded = Middleware(application, read)
        found = [await call(guarded, tmp_path, None)]
        _, key = guarded._gateway.state.keys.add(tenant="acme", tier="t")
        found += [await call(guarded, tmp_path, key) for _ in range(3)]
        await lifespan(guarded)
        return found

    found = asyncio.run(run())
    assert [status for status, _ in found] == [401, 200, 200, 429]
    assert json.loads(found[1][1]) == {"predictions": [[1.0, 0.0, 0.0]] * 8}
    assert used(tmp_path, "key:").popitem()[1] == 16


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    body = (await receive())["body"]
    answer = await FakeModel().ask(scope["path"], body)
    headers = [(b"content-type", b"application/json"), (b"x-model-version", b"7")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body[:10], "more_body": True})
    await send({"type": "http.response.body", "body": answer.body[10:]})


async def call(app, folder, key):
    del folder
    sent = []

    async def receive():
        body = b'{"instances": [[1], [2], [3], [4], [5], [6], [7], [8]]}'
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    headers = [(b"content-type", b"application/json")] + ([(b"x-api-key", key.encode())] if key else [])
    scope = {"type": "http", "method": "POST", "path": "/invocations", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert not any(name == b"x-model-version" for name, _ in sent[0]["headers"])
    return sent[0]["status"], sent[1]["body"]


async def lifespan(app):
    async def receive():
        return {"type": "lifespan.shutdown"}

    async def send(_):
        pass

    await app({"type": "lifespan"}, receive, send)


def test_the_public_names_are_there():
    for name in unseen.guard.__all__:
        assert getattr(unseen.guard, name) is not None
    with pytest.raises(AttributeError):
        _ = unseen.guard.nothing


def test_what_is_refused_for_its_shape_is_written_down(tmp_path):
    routes = [{"protocol": "mlflow", "features": [f"x{place}" for place in range(X.shape[1])]}]
    guarded = wrap(MODEL, policy(tmp_path, tiers=TIERS, routes=routes))
    for bad in (X[:2, :3], pd.DataFrame(X[:2]), [[["a"]]], [["a", "b", "c"], ["d"]]):
        with pytest.raises((Refused, DataError, ValueError)):
            guarded.predict_proba(bad)
    with pytest.raises(DataError, match="at least one record"):
        guarded.predict(X[:0])
    guarded.close()
    assert [(entry.status, entry.client) for entry in log(tmp_path)] == [(400, "in-process")] * 5
    assert {entry.reason for entry in log(tmp_path)} <= {"shape", "field"}
    assert used(tmp_path, "key:") == {}


def test_what_the_route_does_not_give_is_refused_and_written_down(tmp_path):
    routes, tiers = [{"protocol": "mlflow", "answers": "labels"}], {"bare": {"budget": {"lifetime": 1000}}}
    guarded = wrap(MODEL, policy(tmp_path, routes=routes, tiers=tiers))
    with pytest.raises(Refused, match="no probabilities"):
        guarded.predict_proba(X[:2])
    guarded.close()
    assert [(entry.status, entry.reason) for entry in log(tmp_path)] == [(404, "unknown_route")]


class Says:
    """Answers with the same whatever it is asked."""

    def __init__(self, said):
        self.said = said

    def predict(self, X):
        return self.said

    predict_proba = predict


def said(folder, said, route, method="predict", controls=()):
    """What leaves of an answer about two records."""
    tiers = {"t": {"budget": {"lifetime": 1000}, "controls": list(controls)}}
    guarded = wrap(Says(said), policy(folder, routes=[{"protocol": "mlflow", **route}], tiers=tiers))
    try:
        return getattr(guarded, method)(X[:2])
    finally:
        guarded.close()


LABELS, VALUES, PROBABILITIES = {"classes": 5}, {"answers": "values"}, {"answers": "probabilities"}
ROW = [0.71234, 0.28766]


@pytest.mark.parametrize(
    ("found", "route", "method"),
    [
        ([712340.0, 2.0], LABELS, "predict"),
        ([5, 1], LABELS, "predict"),
        ([1, 2, 3], LABELS, "predict"),
        ([[1, 2], [2, 3]], {}, "predict"),
        ([[1.5, 2.5, 3.5]] * 2, VALUES, "predict"),
        ([1.5] * 7, VALUES, "predict"),
        ([1.5] * 2, {**VALUES, "width": 2}, "predict"),
        (["0.71234", "0.28766"], VALUES, "predict"),
        ([{"p": 0.71234}, None], VALUES, "predict"),
        ([0.5j, 0.5j], VALUES, "predict"),
        ([ROW] * 3, PROBABILITIES, "predict_proba"),
        ([[ROW] * 2] * 2, PROBABILITIES, "predict_proba"),
        (0.71234, PROBABILITIES, "predict_proba"),
    ],
)
def test_an_answer_that_a_server_s_would_be_withheld_for_is_withheld_here_too(tmp_path, found, route, method):
    with pytest.raises(Refused, match="withheld") as refused:
        said(tmp_path, np.array(found), route, method)
    assert refused.value.status == 502
    assert [entry.status for entry in log(tmp_path)] == [502]


@pytest.mark.parametrize(
    ("found", "route", "method"),
    [
        (np.array([3, 1], dtype=np.uint8), LABELS, "predict"),
        (np.array([[3], [1]]), LABELS, "predict"),
        (np.array([3.0, 1.0], dtype=np.float32), LABELS, "predict"),
        (np.array([True, False]), {}, "predict"),
        (np.array(["yes", "no"]), {}, "predict"),
        (np.array(["yes", None], dtype=object), {}, "predict"),
        (np.array([True, 2, 1.0, "a"], dtype=object)[[0, 3]], {}, "predict"),
        (np.array([1.5, 2.5]), VALUES, "predict"),
        (np.array([[1.5], [2.5]]), VALUES, "predict"),
        (np.array([[1.5, 2.5]] * 2), {**VALUES, "width": 2}, "predict"),
        (np.array([ROW] * 2), PROBABILITIES, "predict_proba"),
        (np.array([0.25, 0.5]), PROBABILITIES, "predict_proba"),
    ],
)
def test_what_leaves_is_an_array_of_its_own_of_the_same_kind(tmp_path, found, route, method):
    left = said(tmp_path, found, route, method)
    assert type(left) is np.ndarray
    assert left.dtype == found.dtype
    assert left.tolist() == found.tolist()
    assert not np.shares_memory(left, found)


def test_nothing_that_a_model_hangs_on_its_answer_comes_along(tmp_path):
    class Telling(np.ndarray):
        pass

    class Word(str):
        __slots__ = ("scores",)

    class Number(int):
        pass

    found = np.array([1, 2]).view(Telling)
    found.scores = [0.71, 0.2]
    assert not hasattr(said(tmp_path / "array", found, {}), "scores")
    words = np.array([Word("yes"), Number(2)], dtype=object)
    words[0].scores = words[1].scores = 0.71
    left = said(tmp_path / "words", words, {})
    assert [(type(one), one) for one in left] == [(str, "yes"), (int, 2)]
    assert type(said(tmp_path / "list", ["yes", "no"], {})) is np.ndarray
