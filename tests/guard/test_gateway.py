"""What the guard enforces: who, how fast, how much, what is answered, and what is kept of it."""

import asyncio
import json
import os
import time
from hashlib import blake2b
from types import SimpleNamespace

import msgspec
import pytest
from tests.guard.crash_points import dying_at
from tests.guard.guards import SECRET, FakeModel, asked, opened, policy

from unseen.guard import asgi
from unseen.guard.budget import Charge
from unseen.guard.gateway import open_state
from unseen.guard.layers import forwarded
from unseen.guard.leases import Leases
from unseen.guard.log.entries import Asked, Done
from unseen.guard.log.reading import entries
from unseen.guard.log.verifying import verify
from unseen.guard.stores.sqlite import SqliteStore
from unseen.guard.tenant_keys import tenant_key_path
from unseen.guard.upstream import Answer, gone, late, too_long

ROW = b'{"instances": [[1.0, 2.0, 3.0]]}'
ROWS = b'{"instances": [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]}'


def conversation(folder, talk, model=None, **changes):
    """Run `talk(gateway, key)` against a guard; return what it returns."""

    async def run():
        read = policy(folder, **changes)
        async with opened(read, model or FakeModel()) as gateway:
            _, key = gateway.state.keys.add(tenant="acme", tier=next(iter(read.tiers)))
            return await talk(gateway, key)

    return asyncio.run(run())


def used(folder, prefix=""):
    store = SqliteStore(folder / "state" / "budgets.sqlite")
    found = store.used(prefix)
    store.close()
    return {name: count for name, count in found.items() if count}


def log(folder, noun=Asked):
    return [entry for entry in entries(folder / "state" / "log") if isinstance(entry, noun)]


def test_a_key_gets_an_answer_that_says_less(tmp_path):
    async def talk(gateway, key):
        return await asked(gateway, ROWS, key=key)

    model = FakeModel()
    status, headers, body = conversation(tmp_path, talk, model)
    assert status == 200
    assert json.loads(body)["predictions"] == [pytest.approx([0.71, 0.2, 0.09], abs=1e-12)] * 3
    assert len(body) % 128 == 0
    assert set(headers) == {"content-type", "content-length", "x-request-id", "cache-control"}
    (entry,) = log(tmp_path)
    assert (entry.status, entry.records, entry.tenant, entry.controls) == (200, 3, "acme", ("rounding",))
    assert len(set(entry.fingerprints)) == 3
    assert used(tmp_path, "key:").popitem()[1] == 3


@pytest.mark.parametrize("key", [None, "unseen_aaaaaaaa_b", "\udcff"])
def test_without_a_valid_key_nothing_is_asked(tmp_path, key):
    model = FakeModel()

    async def talk(gateway, _):
        return await asked(gateway, ROW, authorization=f"Bearer {key}".encode("utf-8", "replace").decode("latin-1"))

    status, headers, body = conversation(tmp_path, talk, model)
    assert (status, headers["www-authenticate"], model.asked) == (401, "Bearer", [])
    assert b"valid key" in body
    assert log(tmp_path)[0].status == 401


def test_the_other_header_opens_too_and_scopes_close(tmp_path):
    async def talk(gateway, _):
        _, narrow = gateway.state.keys.add(tenant="acme", tier="basic", scopes=["another"])
        _, wide = gateway.state.keys.add(tenant="acme", tier="basic", scopes=["mlflow"])
        _, lost = gateway.state.keys.add(tenant="acme", tier="gone")
        found = [await asked(gateway, ROW, x_api_key=key) for key in (narrow, wide, lost)]
        return [status for status, _, _ in found]

    assert conversation(tmp_path, talk) == [403, 200, 403]


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
def test_a_client_is_told_which_method_a_route_needs_where_it_may_use_that_route(tmp_path, method):
    async def talk(gateway, key):
        _, narrow = gateway.state.keys.add(tenant="acme", tier="basic", scopes=["another"])
        found = [await asked(gateway, b"", key=one, method=method) for one in (key, narrow)]
        return [(status, json.loads(body)["error"]["message"]) for status, _, body in found]

    allowed, other = conversation(tmp_path, talk)
    assert allowed == (405, "POST is needed here.")
    unknown = (404, "The policy names no such route.")
    assert other == (unknown if method == "GET" else (405, "Only GET and POST are understood."))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"path": "/other"}, 404),
        ({"path": "/invocations/"}, 404),
        ({"path": "/../invocations"}, 404),
        ({"method": "PUT"}, 405),
        ({"method": "GET"}, 405),
        ({"method": "GET", "path": "/other"}, 404),
        ({"idempotency_key": ""}, 400),
        ({"content_type": "text/csv"}, 415),
        ({"content_encoding": "gzip"}, 415),
        ({"body": b"{"}, 400),
        ({"body": b'{"instances": []}'}, 400),
        ({"body": b'{"instances": [[1]], "instances": [[2]]}'}, 400),
        ({"body": b'{"instances": [[NaN]]}'}, 400),
        ({"body": b'{"instances": ' + b"[" * 50 + b"]" * 50 + b"}"}, 400),
        ({"body": b'{"instances": ' + msgspec.json.encode([[1]] * 1001) + b"}"}, 413),
        ({"body": b'{"instances": [[1]], "params": {"a": 1}}'}, 400),
        ({"content_length": "5000000"}, 413),
        ({"content_length": "x"}, 400),
        ({"transfer_encoding": "chunked", "content_length": "32"}, 400),
        ({"inference_header_content_length": "9"}, 415),
    ],
)
def test_what_is_not_understood_is_refused_and_never_forwarded(tmp_path, change, status):
    model = FakeModel()

    async def talk(gateway, key):
        change_ = dict(change)
        return await asked(gateway, change_.pop("body", ROW), key=key, **change_)

    found, _, body = conversation(tmp_path, talk, model)
    assert (found, model.asked) == (status, [])
    sentence = json.loads(body)["error"]["message"]
    assert sentence.count(".") <= 2
    assert sentence.endswith(".")
    assert log(tmp_path)[0].status == status
    assert used(tmp_path) == {}


def test_the_rate_holds_for_a_key_and_a_route(tmp_path):
    tier = {"rate": "1 per second, burst 3", "budget": {"lifetime": 100}}

    async def talk(gateway, key):
        _, other = gateway.state.keys.add(tenant="acme", tier="slow")
        first = [await asked(gateway, ROW, key=key) for _ in range(4)]
        return first, await asked(gateway, ROW, key=other)

    first, other = conversation(tmp_path, talk, tiers={"slow": tier})
    assert [status for status, _, _ in first] in ([200, 200, 200, 429], [200, 200, 200, 200])
    assert first[3][0] == 429
    assert first[3][1]["retry-after"] == "1"
    assert other[0] == 200


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"tiers": {"t": {"budget": {"lifetime": 7}}}}, "this key's budget for its lifetime"),
        ({"tiers": {"t": {"budget": {"per_day": 7}}}}, "this key's budget for the day"),
        ({"budgets": {"tenant": {"lifetime": 7}}}, "this tenant's budget"),
        ({"budgets": {"total": {"per_day": 7}}}, "everybody's budget for the day"),
    ],
)
def test_a_budget_counts_records_and_ends(tmp_path, tables, said):
    tables = {"tiers": {"t": {"budget": {"lifetime": 1000}}}} | tables
    tables["tiers"]["t"] |= {"rate": "10000 per second, burst 1000"}

    async def talk(gateway, key):
        return [await asked(gateway, ROWS, key=key) for _ in range(4)] + [await asked(gateway, ROW, key=key)]

    found = conversation(tmp_path, talk, tiers=tables["tiers"], budgets=tables.get("budgets", {}))
    assert [status for status, _, _ in found] == [200, 200, 429, 429, 200]
    assert said in found[2][2].decode()
    assert ("retry-after" in found[2][1]) == ("day" in said)
    assert max(used(tmp_path).values()) == 7


def test_a_restart_does_not_renew_a_budget(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 4}, "rate": "1000 per second"}}
    keys = []

    async def talk(gateway, key):
        keys.append(key)
        return [(await asked(gateway, ROW, key=keys[0]))[0] for _ in range(3)]

    assert conversation(tmp_path, talk, tiers=tiers) == [200, 200, 200]
    assert conversation(tmp_path, talk, tiers=tiers) == [200, 429, 429]


def test_what_the_model_never_answered_is_not_charged(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 9}, "rate": "1000 per second"}}
    model = FakeModel()

    async def talk(gateway, key):
        found = []
        for model.status, model.fails in (
            (500, None),
            (200, gone()),
            (422, None),
            (302, None),
            (401, None),
            (200, None),
        ):
            found.append((await asked(gateway, ROW, key=key))[0])
        model.answer = "odd"
        model.status = 200
        found.append((await asked(gateway, b'{"instances": [[1]]}', key=key))[0])
        return found

    assert conversation(tmp_path, talk, model, tiers=tiers) == [502, 502, 422, 502, 502, 200, 502]
    assert used(tmp_path, "key:").popitem()[1] == 6  # all but the one that the model's server never answered


def test_an_upstream_s_words_never_pass(tmp_path):
    class Loud(FakeModel):
        async def ask(self, path, body):
            answer = await super().ask(path, body)
            return type(answer)(422, b'{"detail": "record [1.0, 2.0, 3.0] has p=0.98765"}')

    async def talk(gateway, key):
        return await asked(gateway, ROW, key=key)

    status, _, body = conversation(tmp_path, talk, Loud())
    assert status == 422
    assert b"0.98765" not in body


def test_a_client_that_goes_is_not_charged(tmp_path):
    model = FakeModel(wait=asyncio.Event())

    async def talk(gateway, key):
        task = asyncio.create_task(asked(gateway, ROW, key=key))
        while not model.asked:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    conversation(tmp_path, talk, model)
    assert used(tmp_path) == {}
    assert [(entry.status, entry.reason) for entry in log(tmp_path)] == [(500, "cancelled")]


def test_an_idempotency_key_charges_once_and_repeats_the_bytes(tmp_path):
    model = FakeModel()

    async def talk(gateway, key):
        first = await asked(gateway, ROW, key=key, idempotency_key="one")
        model.answer = [0.1, 0.1, 0.8]
        again = await asked(gateway, ROW, key=key, idempotency_key="one")
        other = await asked(gateway, ROWS, key=key, idempotency_key="one")
        _, stranger = gateway.state.keys.add(tenant="acme", tier="basic")
        theirs = await asked(gateway, ROW, key=stranger, idempotency_key="one")
        return first, again, other, theirs

    first, again, other, theirs = conversation(tmp_path, talk, model)
    assert first[2] == again[2] != theirs[2]
    assert [found[0] for found in (first, again, other, theirs)] == [200, 200, 422, 200]
    assert sorted(used(tmp_path, "key:").values()) == [1, 1]
    assert [entry.replayed for entry in log(tmp_path)] == [False, True, False, False]


def test_racing_requests_with_one_idempotency_key_are_answered_once(tmp_path):
    model = FakeModel(wait=asyncio.Event())

    async def talk(gateway, key):
        tasks = [asyncio.create_task(asked(gateway, ROW, key=key, idempotency_key="one")) for _ in range(5)]
        await asyncio.sleep(0.1)
        model.wait.set()
        return sorted(status for status, _, _ in await asyncio.gather(*tasks))

    assert conversation(tmp_path, talk, model) == [200, 409, 409, 409, 409]
    assert len(model.asked) == 1


def test_a_failed_request_frees_its_idempotency_key(tmp_path):
    model = FakeModel(fails=gone())

    async def talk(gateway, key):
        first = await asked(gateway, ROW, key=key, idempotency_key="one")
        model.fails = None
        return first[0], (await asked(gateway, ROW, key=key, idempotency_key="one"))[0]

    assert conversation(tmp_path, talk, model) == (502, 200)
    assert sum(used(tmp_path, "key:").values()) == 1


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        (FakeModel(status=500), 502, "upstream_failed"),
        (FakeModel(status=429), 429, "upstream_refused"),
        (FakeModel(answer="odd"), 502, "upstream_answer"),
        (FakeModel(fails=too_long(200)), 502, "upstream_answer"),
    ],
)
def test_a_refusal_that_was_charged_is_charged_once_and_repeated(tmp_path, model, status, reason):
    async def talk(gateway, key):
        found = [await asked(gateway, ROW, key=key, idempotency_key="one") for _ in range(2)]
        model.status, model.answer, model.fails = 200, [0.5, 0.5], None
        return [*found, await asked(gateway, ROW, key=key, idempotency_key="one")]

    found = conversation(tmp_path, talk, model)
    assert [one[0] for one in found] == [status] * 3
    assert len({body for _, _, body in found}) == 1
    assert len(model.asked) == 1
    assert sum(used(tmp_path, "key:").values()) == 1
    code = reason if status == 429 else "upstream"
    assert json.loads(found[0][2])["error"]["code"] == code
    assert [(entry.reason, entry.replayed) for entry in log(tmp_path)] == [(reason, False), (code, True), (code, True)]


@pytest.mark.parametrize("shadow", [False, True])
@pytest.mark.parametrize(
    ("model", "charged"),
    [
        (FakeModel(status=500), True),
        (FakeModel(status=422), True),
        (FakeModel(answer="odd"), True),
        (FakeModel(fails=gone()), False),
        (FakeModel(fails=late()), False),
    ],
)
def test_a_failure_says_that_it_was_charged_where_it_was(tmp_path, model, charged, shadow):
    async def talk(gateway, key):
        return json.loads((await asked(gateway, ROW, key=key))[2])["error"]["message"]

    changes = {"guard": {"mode": "shadow"}} if shadow else {}
    said = conversation(tmp_path, talk, model, **changes)
    assert sum(used(tmp_path, "key:").values()) == charged
    assert (", and this was charged" in said) == charged


def test_a_failure_that_told_of_the_model_alone_says_nothing_of_charges(tmp_path):
    async def talk(gateway, key):
        return json.loads((await asked(gateway, b"", key=key, method="GET", path="/ping"))[2])["error"]["message"]

    assert conversation(tmp_path, talk, FakeModel(status=500)).endswith("status 500; try again.")


@pytest.mark.parametrize("named", [{}, {"idempotency_key": "one"}])
def test_only_a_refusal_that_is_not_kept_says_to_try_again_as_it_was(tmp_path, named):
    async def talk(gateway, key):
        return [json.loads((await asked(gateway, ROW, key=key, **named))[2])["error"]["message"] for _ in range(2)]

    first, again = conversation(tmp_path, talk, FakeModel(status=500))
    assert first == again
    end = "try again with another idempotency key." if named else "try again."
    assert first.endswith(f"status 500, and this was charged; {end}")


@pytest.mark.parametrize(
    ("model", "status", "reason"),
    [
        (FakeModel(fails=gone()), 502, "upstream_unreachable"),
        (FakeModel(fails=late()), 504, "upstream_slow"),
        (FakeModel(status=500), 502, "upstream_failed"),
        (FakeModel(status=401), 502, "upstream_failed"),
        (FakeModel(answer="odd"), 502, "upstream_answer"),
        (FakeModel(fails=too_long(200)), 502, "upstream_answer"),
    ],
)
def test_the_log_and_the_counts_say_what_the_models_server_did_and_clients_one_word(tmp_path, model, status, reason):
    async def talk(gateway, key):
        found = await asked(gateway, ROW, key=key)
        return found, [(row.status, row.reason) for row in gateway.state.snapshot().requests]

    (found, _, body), counted = conversation(tmp_path, talk, model)
    error = json.loads(body)["error"]
    assert (found, error["code"], error["type"]) == (status, "upstream", "upstream")
    assert counted == [(status, reason)]
    assert [entry.reason for entry in log(tmp_path)] == [reason]


def test_an_answer_that_hardening_made_too_long_is_withheld_and_charged(tmp_path):
    upstream = {"url": "http://127.0.0.1:1", "max_response_bytes": 128}
    many = json.dumps({"instances": [[1.0, 2.0]] * 40}).encode()

    async def talk(gateway, key):
        return [(await asked(gateway, body, key=key))[0] for body in (many, ROW)]

    assert conversation(tmp_path, talk, upstream=upstream) == [502, 200]
    assert [(entry.reason, entry.upstream) for entry in log(tmp_path)] == [("upstream_answer", 200), ("answered", 200)]
    assert sum(used(tmp_path, "key:").values()) == 41


def test_a_slow_body_and_a_slow_model_together_do_not_let_another_take_over(tmp_path, monkeypatch):
    clock, model, came = [1_000_000.0], FakeModel(wait=asyncio.Event()), asyncio.Event()
    monkeypatch.setattr(asgi, "time", SimpleNamespace(time=lambda: clock[0], monotonic=time.monotonic))
    read = asgi._body

    async def slow(*given):
        await came.wait()
        return await read(*given)

    async def talk(gateway, key):
        monkeypatch.setattr(asgi, "_body", slow)
        first = asyncio.create_task(asked(gateway, ROW, key=key, idempotency_key="one"))
        await asyncio.sleep(0.01)
        clock[0] += gateway.policy.guard.read_timeout_s  # the last byte came as late as it may
        came.set()
        while not model.asked:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.001)
        clock[0] += gateway.policy.upstream.timeout_s  # and so may the answer
        again = await asyncio.wait_for(asked(gateway, ROW, key=key, idempotency_key="one"), 5)
        model.wait.set()
        return again[0], (await first)[0]

    assert conversation(tmp_path, talk, model, guard={"read_timeout_s": 60.0}) == (409, 200)
    assert len(model.asked) == 1
    assert sum(used(tmp_path, "key:").values()) == 1


def test_a_fault_of_ours_after_the_model_answered_is_charged_once_and_repeated(tmp_path, monkeypatch):
    model = FakeModel()

    async def talk(gateway, key):
        monkeypatch.setattr(forwarded, "padded", lambda _: 1 / 0)
        first = await asked(gateway, ROW, key=key, idempotency_key="one")
        monkeypatch.undo()
        return first, await asked(gateway, ROW, key=key, idempotency_key="one")

    first, again = conversation(tmp_path, talk, model)
    assert (first[0], first[2]) == (again[0], again[2])
    assert first[0] == 500
    assert sum(used(tmp_path, "key:").values()) == 1


@pytest.mark.parametrize(
    "tier", [{"rate": "1 per hour, burst 1"}, {"rate": "1000 per second", "budget": {"lifetime": 1}}]
)
def test_a_refusal_of_the_guard_itself_is_not_kept(tmp_path, tier):
    async def talk(gateway, key):
        found = [await asked(gateway, ROW, key=key), await asked(gateway, ROW, key=key, idempotency_key="one")]
        token = blake2b(log_client(tmp_path) + b"\0one", digest_size=32).digest()
        return [status for status, _, _ in found], gateway.state.store.begin(token, b"r", time.time(), 30.0)

    tiers = {"t": {"budget": {"lifetime": 100}} | tier}
    assert conversation(tmp_path, talk, tiers=tiers) == ([200, 429], "new")


def log_client(folder):
    return log(folder)[0].client.encode()


@pytest.mark.parametrize("failing", ["begin", "finish"])
def test_a_store_that_fails_with_an_idempotency_key_is_said_and_answers_nothing(tmp_path, monkeypatch, failing):
    model = FakeModel()

    async def talk(gateway, key):
        def fail(*_):
            raise OSError("the store is gone")

        monkeypatch.setattr(gateway.state.store, failing, fail)
        return await asked(gateway, ROW, key=key, idempotency_key="one")

    status, _, body = conversation(tmp_path, talk, model)
    assert (status, json.loads(body)["error"]["code"]) == (503, "store")
    assert b"predictions" not in body
    assert len(model.asked) == (failing == "finish")
    assert log(tmp_path)[0].status == 503


def test_a_refusal_stands_where_its_idempotency_key_cannot_be_forgotten(tmp_path, monkeypatch):
    model = FakeModel(fails=gone())

    async def talk(gateway, key):
        monkeypatch.setattr(gateway.state.store, "finish", lambda *_: 1 / 0)
        return (await asked(gateway, ROW, key=key, idempotency_key="one"))[0]

    assert conversation(tmp_path, talk, model) == 502


def test_a_client_that_goes_frees_its_idempotency_key(tmp_path):
    model = FakeModel(wait=asyncio.Event())

    async def talk(gateway, key):
        task = asyncio.create_task(asked(gateway, ROW, key=key, idempotency_key="one"))
        while not model.asked:  # noqa: ASYNC110 - a list has no event
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model.wait.set()
        return (await asked(gateway, ROW, key=key, idempotency_key="one"))[0]

    assert conversation(tmp_path, talk, model) == 200
    assert sum(used(tmp_path, "key:").values()) == 1


def test_a_lowered_cap_holds_for_what_is_held_already(tmp_path):
    """A stock taken under the old cap is given back, and what is put back later is nobody's."""

    async def run():
        store = SqliteStore(tmp_path / "b.sqlite", power=False)
        leases = Leases(store, lease=100, workers=1)
        assert await leases.reserve([Charge("a", 1, 10_000)]) is None
        assert store.used("a") == {"a": 100}
        answered = 1 + sum([await leases.reserve([Charge("a", 1, 5)]) is None for _ in range(20)])
        leases.refund([Charge("a", 1, 10_000)])
        answered += sum([await leases.reserve([Charge("a", 1, 5)]) is None for _ in range(20)])
        await leases.close()
        found = store.used("a")
        store.close()
        return answered, found

    answered, found = asyncio.run(run())
    assert answered - 1 == 5  # one of them was refunded
    assert found == {"a": 5}


def test_a_raised_cap_is_open_at_once(tmp_path):
    async def run():
        store = SqliteStore(tmp_path / "b.sqlite", power=False)
        leases = Leases(store, lease=10, workers=1)
        refused = [await leases.reserve([Charge("a", 1, cap)]) is not None for cap in (1, 1, 3, 3, 3)]
        await leases.close()
        store.close()
        return refused

    assert asyncio.run(run()) == [False, True, False, False, True]


def damaged(folder):
    """A key of a tenant's fingerprints that is none."""
    path = tenant_key_path(folder / "state", "acme")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"short")
    return path


def test_a_damaged_fingerprint_key_is_refused_and_told_once_and_hangs_nobody(tmp_path, caplog):
    model = FakeModel()

    async def talk(gateway, key):
        path = damaged(tmp_path)
        found = [await asyncio.wait_for(asked(gateway, ROW, key=key), 5) for _ in range(3)]
        _, other = gateway.state.keys.add(tenant="other", tier="basic")
        found.append(await asked(gateway, ROW, key=other))
        path.unlink()
        found.append(await asked(gateway, ROW, key=key))
        path.write_bytes(b"again")
        gateway.state.tenants.clear()
        return [*found, await asked(gateway, ROW, key=key)]

    found = conversation(tmp_path, talk, model)
    assert [status for status, _, _ in found] == [503, 503, 503, 200, 200, 503]
    said = json.loads(found[0][2])["error"]
    assert said["code"] == "fingerprint_key"
    assert "state" not in said["message"]
    assert len(model.asked) == 2
    path = tenant_key_path(tmp_path / "state", "acme")
    assert [(entry.what, entry.detail) for entry in log(tmp_path, Done)] == [("fingerprint-key-damaged", path.name)] * 2
    assert [record.getMessage().count(f"{path} does not hold a fingerprint key") for record in caplog.records] == [1, 1]


def test_a_fingerprint_key_that_cannot_be_read_is_refused_alike(tmp_path):
    async def talk(gateway, key):
        tenant_key_path(tmp_path / "state", "acme").mkdir(parents=True)
        found = await asked(gateway, ROW, key=key)
        return found[0], json.loads(found[2])["error"]["code"]

    assert conversation(tmp_path, talk) == (503, "fingerprint_key")
    assert [entry.what for entry in log(tmp_path, Done)] == ["fingerprint-key-damaged"]


def test_a_store_that_fails_answers_nothing(tmp_path):
    model = FakeModel()

    async def talk(gateway, key):
        gateway.state.store.close()
        found = await asked(gateway, ROW, key=key)
        gateway.state.store = SqliteStore(tmp_path / "state" / "budgets.sqlite")
        gateway.state.leases._store = gateway.state.store
        return found[0]

    assert conversation(tmp_path, talk, model) == 503
    assert model.asked == []


@pytest.mark.parametrize("end", ["close", "close_now"])
def test_a_store_that_fails_at_the_end_is_told_and_the_end_is_orderly(tmp_path, monkeypatch, caplog, end):
    async def run():
        state = open_state(policy(tmp_path))
        assert await state.leases.reserve([Charge("a", 1, 10_000), Charge("b", 2, 10_000)]) is None
        monkeypatch.setattr(state.store, "give_back", lambda _: 1 / 0)
        found = getattr(state, end)()
        if found is not None:
            await found

    asyncio.run(run())
    assert used(tmp_path) == {"a": 10, "b": 10}
    assert [(entry.what, entry.count) for entry in log(tmp_path, Done)] == [("charges-stranded", 17)]
    assert [one.ended for one in verify(tmp_path / "state" / "log", [])] == [True]
    (told,) = caplog.records
    assert "ZeroDivisionError" in told.getMessage()
    assert "17 records" in told.getMessage()


@pytest.mark.parametrize("end", ["close", "close_now"])
def test_what_is_held_goes_back_at_the_end(tmp_path, end):
    async def run():
        state = open_state(policy(tmp_path))
        assert await state.leases.reserve([Charge("a", 1, 10_000)]) is None
        found = getattr(state, end)()
        if found is not None:
            await found

    asyncio.run(run())
    assert used(tmp_path) == {"a": 1}
    assert log(tmp_path, Done) == []


def test_two_guards_on_one_state_write_two_chains(tmp_path):
    async def run():
        async with opened(policy(tmp_path), FakeModel()) as one, opened(policy(tmp_path), FakeModel()) as two:
            _, key = one.state.keys.add(tenant="acme", tier="basic")
            two.state.keys.refresh()
            for _ in range(3):
                await asked(one, ROW, key=key)
                await asked(two, ROW, key=key)
            return one.state.worker, two.state.worker

    assert asyncio.run(run()) == (0, 1)
    assert {verdict.bad for verdict in verify(tmp_path / "state" / "log")} == {""}


def test_many_requests_at_once_never_pass_a_budget(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 100}, "rate": "100000 per second, burst 10000"}}

    async def talk(gateway, key):
        found = await asyncio.gather(*(asked(gateway, ROWS, key=key) for _ in range(200)))
        return [status for status, _, _ in found].count(200)

    assert conversation(tmp_path, talk, tiers=tiers) == 33


def test_a_neighbourhood_has_a_budget_of_its_own(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 10_000, "per_neighbourhood": 10}, "rate": "100000 per second, burst 10000"}}

    async def talk(gateway, key):
        near = [await asked(gateway, row(1.0 + number / 1000), key=key) for number in range(30)]
        far = [await asked(gateway, row(100.0 * number), key=key) for number in range(2, 32)]
        return [[status for status, _, _ in found].count(200) for found in (near, far)]

    routes = [{"protocol": "mlflow", "features": ["a", "b", "c", "d"]}]
    near, far = conversation(tmp_path, talk, tiers=tiers, routes=routes)
    assert near == 10
    assert far == 30


def row(value):
    return json.dumps({"instances": [[value, 2.0, 3.0, 4.0]]}).encode()


def test_a_text_has_a_neighbourhood_too(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 100, "per_neighbourhood": 2}, "rate": "1000 per second, burst 100"}}

    async def talk(gateway, key):
        prompts = ("Ada  was born in", "ada was born in", " Ada was born IN ", "Grace was born in")
        bodies = [json.dumps({"model": "m", "prompt": prompt}).encode() for prompt in prompts]
        return [(await asked(gateway, body, key=key, path="/v1/completions"))[0] for body in bodies]

    model = FakeText()
    assert conversation(tmp_path, talk, model, routes=[{"protocol": "openai"}], tiers=tiers) == [200, 200, 429, 200]


def test_many_answers_to_one_text_are_so_many_in_its_neighbourhood(tmp_path):
    budget = {"lifetime": 1000, "per_neighbourhood": 10}
    tiers = {"t": {"budget": budget, "rate": "1000 per second, burst 100", "parameters": ["n"]}}

    async def talk(gateway, key):
        bodies = [json.dumps({"model": "m", "prompt": "Ada was born in", "n": n}).encode() for n in (6, 5, 4, 1)]
        return [(await asked(gateway, body, key=key, path="/v1/completions"))[0] for body in bodies]

    model = FakeText()
    assert conversation(tmp_path, talk, model, routes=[{"protocol": "openai"}], tiers=tiers) == [200, 429, 200, 429]


class FakeText(FakeModel):
    async def ask(self, path, body):
        self.asked.append((path, body))
        return Answer(200, b'{"id": "a", "choices": [{"index": 0, "text": "London", "finish_reason": "stop"}]}')


def test_shadow_mode_writes_down_and_changes_nothing(tmp_path):
    tiers = {"t": {"budget": {"lifetime": 1}, "rate": "1 per second, burst 2", "controls": [{"name": "label-only"}]}}

    async def talk(gateway, key):
        return [await asked(gateway, ROW, key=key) for _ in range(3)]

    found = conversation(tmp_path, talk, tiers=tiers, guard={"mode": "shadow"})
    assert [status for status, _, _ in found] == [200, 200, 200]
    assert json.loads(found[0][2]) == {"predictions": [[0.7123, 0.2, 0.0877]]}
    assert [entry.shadow for entry in log(tmp_path)] == ["controls", "budget", "rate"]
    assert {entry.controls for entry in log(tmp_path)} == {()}


def test_nothing_is_answered_where_the_log_cannot_be_written(tmp_path, monkeypatch):
    async def talk(gateway, key):
        monkeypatch.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
        found = await asked(gateway, ROW, key=key)
        monkeypatch.undo()
        monkeypatch.setenv("UNSEEN_GUARD_SECRET", SECRET)
        return found, await asked(gateway, ROW, key=key)

    refused, answered = conversation(tmp_path, talk)
    assert refused[0] == 503
    assert b"predictions" not in refused[2]
    assert answered[0] == 200


def test_a_fault_of_ours_says_nothing_gives_the_charge_back_and_is_seen_by_the_operator(tmp_path, caplog):
    model = FakeModel(fails=RuntimeError("record 1.0, 2.0, 3.0"))

    async def talk(gateway, key):
        return await asked(gateway, ROW, key=key)

    status, _, body = conversation(tmp_path, talk, model)
    assert status == 500
    assert b"1.0" not in body
    assert used(tmp_path) == {}
    assert log(tmp_path)[0].reason == "fault"
    assert "builtins.RuntimeError (its words are left out)" in caplog.text
    assert "1.0" not in caplog.text


def test_no_secret_and_no_record_stands_in_the_log_or_in_a_repr(tmp_path, capfd):
    tokens = []

    async def talk(gateway, key):
        tokens.append(key)
        await asked(gateway, b'{"instances": [["Ada Lovelace", 36.123456]]}', key=key)
        await asked(gateway, b'{"instances": [["Ada Lovelace"', key=key)
        return repr(gateway.state) + repr(gateway.policy)

    shown = conversation(tmp_path, talk)
    files = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*.jsonl"))
    for hidden in (tokens[0], SECRET, "Lovelace", "36.123", "0.7123"):
        assert hidden not in shown
        assert hidden.encode() not in files
    assert capfd.readouterr() == ("", "")


def test_a_stream_is_charged_once_and_counted(tmp_path):
    events = (b'data: {"id": "a", "choices": [{"delta": {"content": "x"}, "logprobs": {"content": [1.5]}}]}\n\n',)
    model = FakeModel(events=(*events, b"data: [DONE]\n\n"))

    async def talk(gateway, key):
        body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": true}'
        return await asked(gateway, body, key=key, path="/v1/chat/completions")

    tiers = {"t": {"budget": {"lifetime": 5}}}
    status, headers, body = conversation(tmp_path, talk, model, routes=[{"protocol": "openai"}], tiers=tiers)
    assert (status, headers["content-type"]) == (200, "text/event-stream")
    assert b"1.5" not in body
    assert body.endswith(b"data: [DONE]\n\n")
    assert [entry.count for entry in log(tmp_path, Done) if entry.what == "stream-end"] == [2]
    assert used(tmp_path, "key:").popitem()[1] == 1


def test_controls_of_text_hold_for_the_request_too(tmp_path):
    controls = [{"name": "allowed-parameters", "allow": ["model", "prompt"]}]
    tiers = {"t": {"budget": {"lifetime": 5}, "controls": controls}}
    model = FakeText()

    async def talk(gateway, key):
        bodies = (b'{"model": "m", "prompt": "a"}', b'{"model": "m", "prompt": "a", "temperature": 0.5}')
        return [(await asked(gateway, body, key=key, path="/v1/completions")) for body in bodies]

    found = conversation(tmp_path, talk, model, routes=[{"protocol": "openai"}], tiers=tiers)
    assert [status for status, _, _ in found] == [200, 400]
    assert used(tmp_path, "key:").popitem()[1] == 1


def texts(folder, talk, controls, **changes):
    """A conversation with a guard in front of a server of texts, which counts what it is asked."""
    model = FakeText()
    tier = {"budget": {"lifetime": 5}, "controls": controls, **changes.pop("tier", {})}
    routes = [{"protocol": "openai"}, {"protocol": "mlflow"}]
    found = conversation(folder, talk, model, routes=routes, tiers={"t": tier}, **changes)
    return found, [(path, json.loads(body)) for path, body in model.asked]


HOT = b'{"model": "m", "prompt": "a", "temperature": 0.5}'
PLAIN_ALONE = {"name": "allowed-parameters", "allow": ["model", "prompt"]}


def test_a_control_of_text_refuses_before_anything_is_charged_or_counted(tmp_path):
    async def talk(gateway, key):
        full = b'{"model": "m", "prompt": ["a", "b", "c", "d", "e", "f"], "temperature": 0.5}'
        found = [await asked(gateway, body, key=key, path="/v1/completions") for body in (full, HOT)]
        retried = await asked(gateway, HOT, key=key, path="/v1/completions", idempotency_key="one")
        return [json.loads(body)["error"]["code"] for _, _, body in (*found, retried)]

    found, sent = texts(tmp_path, talk, [PLAIN_ALONE])
    assert (found, sent, used(tmp_path)) == (["parameter"] * 3, [], {})


def test_a_control_of_text_is_noted_in_shadow_mode_and_lets_the_request_be(tmp_path):
    async def talk(gateway, key):
        return await asked(gateway, HOT, key=key, path="/v1/completions")

    found, sent = texts(tmp_path, talk, [PLAIN_ALONE], guard={"mode": "shadow"})
    assert found[0] == 200
    assert sent == [("/v1/completions", json.loads(HOT))]
    assert [entry.shadow for entry in log(tmp_path)] == ["controls"]


def test_a_tightened_client_s_request_asks_for_no_log_probabilities(tmp_path):
    async def talk(gateway, key):
        gateway.watch.tightened = lambda _: True
        return await asked(gateway, b'{"model": "m", "prompt": "a", "logprobs": 3}', key=key, path="/v1/completions")

    found, sent = texts(tmp_path, talk, [], tier={"parameters": ["logprobs"]})
    assert found[0] == 200
    assert sent == [("/v1/completions", {"model": "m", "prompt": "a"})]
    assert log(tmp_path)[0].parameters == ("logprobs",)


def test_a_control_of_text_lets_requests_of_other_protocols_be(tmp_path):
    async def talk(gateway, key):
        return await asked(gateway, ROW, key=key)

    _, sent = texts(tmp_path, talk, [PLAIN_ALONE])
    assert sent == [("/invocations", json.loads(ROW))]


CALLS = [
    ("unseen.guard.stores.sqlite", "SqliteStore", "reserve"),
    ("unseen.guard.stores.sqlite", "SqliteStore", "begin"),
    ("unseen.guard.stores.sqlite", "SqliteStore", "finish"),
    ("unseen.guard.log.writer", "Writer", "_write"),
]


def test_no_answer_leaves_without_a_durable_charge_wherever_the_guard_dies(tmp_path):
    """The process ends before or after every write, one after another; then the disk is looked at."""
    points, answered = 0, 0
    while True:
        folder = tmp_path / str(points)
        folder.mkdir()
        left, child = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(left)
            die_at(points, folder, child)
        os.close(child)
        with os.fdopen(left, "rb") as pipe:
            said = pipe.read()
        _, status = os.waitpid(pid, 0)
        charged = used(folder, "key:")
        if b"predictions" in said:
            answered += 1
            assert sum(charged.values()) >= 1
            assert any(entry.status == 200 for entry in log(folder))
        if os.waitstatus_to_exitcode(status) == 0:
            break
        points += 1
    assert points >= 10
    assert answered >= 1


def die_at(point, folder, pipe):
    """In a child: answer one request with an idempotency key, and end without warning at one write."""
    tick = dying_at(point, CALLS)

    async def talk(gateway, key):
        _, _, body = await asked(gateway, ROW, key=key, idempotency_key="one")
        os.write(pipe, body)
        tick()

    code = 1
    try:
        conversation(folder, talk)
        code = 0
    finally:
        os._exit(code)


def test_a_request_takes_no_time_worth_speaking_of_in_the_log(tmp_path):
    async def talk(gateway, key):
        before = time.time()
        await asked(gateway, ROW, key=key)
        return before

    before = conversation(tmp_path, talk)
    (entry,) = log(tmp_path)
    assert entry.ms >= 0
    assert before - 1 <= entry.t <= time.time() + 1
