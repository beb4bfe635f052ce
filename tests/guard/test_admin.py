"""The admin API: what it does, what it refuses, what it never shows, and that its own document holds."""

import asyncio
import contextlib
import os

import msgspec
import pytest
from tests.guard.guards import SECRET, FakeModel, asked, in_loop, opened, policy

from unseen.disk import alone
from unseen.errors import FolderError, PolicyError
from unseen.guard.admin import admin_app
from unseen.guard.counts import Counts
from unseen.guard.exports.prometheus import exposition
from unseen.guard.keys import KeyRing
from unseen.guard.log.entries import Done
from unseen.guard.log.reading import entries
from unseen.guard.snapshots import keep_writing
from unseen.guard.watching import FILE

TOKEN = "ADMIN-0123456789-abcdefghijklmnop-xyz"
QUESTION = msgspec.json.encode({"inputs": [[1.0, 2.0], [3.0, 4.0]]})


@pytest.fixture(autouse=True)
def token(monkeypatch):
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)


def admin_policy(folder, **changes):
    guard = {"admin": "127.0.0.1:0", "admin_token": "env:ADMIN_TOKEN"} | changes.pop("guard", {})
    return policy(folder, guard=guard, **changes)


@contextlib.asynccontextmanager
async def administered(folder, **changes):
    """A gateway and what asks its admin API: status, headers, content."""
    read = admin_policy(folder, **changes)
    async with opened(read, FakeModel()) as gateway:
        app = admin_app(lambda: gateway, read)

        async def ask(method, path, body=None, token=TOKEN, **headers):
            content = body if isinstance(body, bytes) else b"" if body is None else msgspec.json.encode(body)
            path, _, query = path.partition("?")
            named = {"content-type": "application/json"} if body is not None else {}
            named |= {"authorization": f"Bearer {token}"} if token else {}
            named |= {name.replace("_", "-"): value for name, value in headers.items()}
            given = iter([{"type": "http.request", "body": content, "more_body": False}])
            sent = []

            async def receive():
                return next(given, {"type": "http.disconnect"})

            async def send(message):
                sent.append(message)

            scope = {
                "type": "http",
                "method": method,
                "path": path,
                "query_string": query.encode(),
                "headers": [(name.encode(), value.encode()) for name, value in named.items()],
            }
            await app(scope, receive, send)
            said = b"".join(message.get("body", b"") for message in sent[1:])
            json = dict(sent[0]["headers"])[b"content-type"] == b"application/json"
            return sent[0]["status"], msgspec.json.decode(said) if json else said.decode()

        yield gateway, ask


@in_loop
async def test_a_key_is_made_used_rotated_and_revoked(tmp_path):
    async with administered(tmp_path) as (gateway, ask):
        status, made = await ask("POST", "/keys", {"tenant": "acme", "tier": "basic", "days": 1})
        assert status == 201
        assert (await asked(gateway, QUESTION, key=made["token"]))[0] == 200
        status, again = await ask("POST", f"/keys/{made['key']['id']}/rotate", {"overlap_hours": 0})
        assert status == 201
        assert again["key"]["replaces"] == made["key"]["id"]
        assert (await asked(gateway, QUESTION, key=made["token"]))[0] == 401
        status, revoked = await ask("POST", f"/keys/{again['key']['id']}/revoke")
        assert (status, revoked["state"]) == (200, "revoked")
        assert (await asked(gateway, QUESTION, key=again["token"]))[0] == 401
        assert (await ask("POST", f"/keys/{again['key']['id']}/rotate", {}))[0] == 409
        assert (await ask("GET", "/keys"))[1]["keys"][1] == revoked
        folder = gateway.state.folder / "log"
        done = [(entry.what, entry.detail) for entry in entries(folder) if isinstance(entry, Done)]
        ids = made["key"]["id"], again["key"]["id"]
        assert done == [("key-added", ids[0]), ("key-rotated", ids[1]), ("key-revoked", ids[1])]


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("POST", "/keys", {"tenant": "acme", "tier": "basic", "admin": True}, 400),
        ("POST", "/keys", {"tenant": "a:b", "tier": "basic"}, 400),
        ("POST", "/keys", {"tenant": "acme\n", "tier": "basic"}, 400),
        ("POST", "/keys", b'{"tenant": "acme", "tenant": "b", "tier": "basic"}', 400),
        ("POST", "/keys", b"[" * 100, 400),
        ("POST", "/keys", b" " * 10_001, 413),
        ("POST", "/keys", {"tenant": "acme", "tier": "gold"}, 409),
        ("POST", "/keys", {"tenant": "acme", "tier": "basic", "routes": ["other"]}, 409),
        ("POST", "/keys", {"tenant": "acme", "tier": "basic", "days": 0}, 400),
        ("POST", "/keys?dry=1", {"tenant": "acme", "tier": "basic"}, 400),
        ("POST", "/keys/aaaaaaaa/revoke", None, 404),
        ("POST", "/keys/aaaaaaaa/rotate", {}, 404),
        ("POST", "/clients/nobody/release", None, 404),
        ("GET", "/budgets", None, 400),
        ("GET", "/budgets?prefix=a&prefix=b", None, 400),
        ("GET", "/nothing", None, 404),
        ("DELETE", "/keys", None, 405),
    ],
)
@in_loop
async def test_what_is_not_understood_is_refused(tmp_path, method, path, body, expected):
    async with administered(tmp_path) as (gateway, ask):
        status, said = await ask(method, path, body)
        assert status == expected
        assert set(said) == {"error"}
        assert not gateway.state.keys.all()


@in_loop
async def test_without_the_token_nothing_but_health_and_the_document_is_told(tmp_path):
    async with administered(tmp_path) as (gateway, ask):
        assert await ask("GET", "/health", token=None) == (200, {"status": "up"})
        status, document = await ask("GET", "/openapi.json", token=None)
        assert status == 200
        for path, operations in document["paths"].items():
            for method in operations:
                for token in (None, "", TOKEN[:-1], TOKEN + "x", "\xff", SECRET):
                    open_one = path in {"/health", "/openapi.json"}
                    assert ((await ask(method.upper(), path, token=token))[0] != 401) == open_one
        assert (await ask("GET", "/keys", token=None, authorization=f"Basic {TOKEN}"))[0] == 401
        assert gateway.state.counts.admin_refused > 50


@pytest.mark.parametrize("token", ["short", "changeme" * 8, ""])
def test_a_weak_token_opens_no_admin_api(tmp_path, monkeypatch, token):
    monkeypatch.setenv("ADMIN_TOKEN", token)
    with pytest.raises(PolicyError, match=r"guard\.admin_token"):
        admin_app(lambda: None, admin_policy(tmp_path))


@in_loop
async def test_budgets_clients_status_and_metrics_say_what_happened(tmp_path):
    async with administered(tmp_path) as (gateway, ask):
        _, key = gateway.state.keys.add(tenant="acme", tier="basic")
        for _ in range(3):
            await asked(gateway, QUESTION, key=key)
        await asked(gateway, QUESTION)
        name = gateway.state.keys.all()[0].id
        assert (await ask("GET", f"/budgets?prefix=key:{name}"))[1]["used"] == {f"key:{name}:lifetime": 10}
        (gateway.state.folder / FILE).write_bytes(b'{"abc": {"sightings": 2, "seen": 5.0, "steps": {"tighten": 9.0}}}')
        assert (await ask("GET", "/clients"))[1]["clients"] == [
            {"id": "abc", "sightings": 2, "seen": 5.0, "steps": {"tighten": 9.0}}
        ]
        assert (await ask("POST", "/clients/abc/release"))[0] == 200
        assert (await ask("GET", "/clients"))[1]["clients"] == []
        status = (await ask("GET", "/status"))[1]
        assert status["requests"] == {"answered": 3, "unauthorized": 1}
        assert (status["records_answered"], status["keys"], status["keys_open"]) == (6, 1, 1)
        metrics = (await ask("GET", "/metrics"))[1]
        for line in (
            'unseen_guard_requests_total{reason="answered",route="mlflow",status="200",worker="0"} 3.0',
            'unseen_guard_refusals_total{reason="unauthorized",route="",worker="0"} 1.0',
            'unseen_guard_records_answered_total{route="mlflow",worker="0"} 6.0',
            'unseen_guard_events_total{what="released",worker="0"} 1.0',
            'unseen_guard_request_seconds_count{route="mlflow",worker="0"} 3.0',
            'unseen_guard_budget_waits_total{worker="0"} 1.0',
        ):
            assert line in metrics.splitlines(), line


@in_loop
async def test_the_log_is_verified_by_a_process_that_is_told_no_secret(tmp_path):
    async with administered(tmp_path) as (gateway, ask):
        _, key = gateway.state.keys.add(tenant="acme", tier="basic")
        await asked(gateway, QUESTION, key=key)
        status, said = await ask("GET", "/log/verify")
        assert (status, said["as_written"], said["chains"][0]["records"]) == (200, True, 2)
        segment = next((gateway.state.folder / "log").glob("*/*.jsonl"))
        segment.write_bytes(segment.read_bytes().replace(b'"acme"', b'"acne"'))
        said = (await ask("GET", "/log/verify"))[1]
        assert not said["as_written"]
        assert "record 2" in said["chains"][0]["bad"]


@in_loop
async def test_a_key_that_cannot_be_written_down_is_not_handed_over(tmp_path, monkeypatch):
    async with administered(tmp_path) as (gateway, ask):

        def full(*_, **__):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(gateway.state.writer, "append", full)
        status, said = await ask("POST", "/keys", {"tenant": "acme", "tier": "basic"})
        assert (status, "token" in said) == (503, False)
        assert [key.revoked is not None for key in gateway.state.keys.all()] == [True]


@pytest.mark.parametrize("failing", ["log", "keys"])
@in_loop
async def test_a_rotation_that_fails_leaves_the_old_key_as_it_was(tmp_path, monkeypatch, failing):
    async with administered(tmp_path) as (gateway, ask):
        old, key = gateway.state.keys.add(tenant="acme", tier="basic")

        def full(*_, **__):
            raise FolderError("No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(*{"log": (gateway.state.writer, "append"), "keys": (KeyRing, "retire")}[failing], full)
            status, said = await ask("POST", f"/keys/{old.id}/rotate", {"overlap_hours": 0})
        assert (status, "token" in said) == (503, False)
        assert gateway.state.keys.get(old.id) == old
        assert (await asked(gateway, QUESTION, key=key))[0] == 200
        assert [one.revoked is not None for one in gateway.state.keys.all()] == [False, True]


@in_loop
async def test_no_request_waits_while_another_process_holds_the_keys_or_the_standings(tmp_path, monkeypatch):
    async with administered(tmp_path) as (gateway, ask):
        old, key = gateway.state.keys.add(tenant="acme", tier="basic")
        for name in ("keys", "watching"):
            monkeypatch.setattr(f"unseen.guard.{name}.PATIENCE_S", 0.5)
        calls = {
            "/keys": {"tenant": "acme", "tier": "basic"},
            f"/keys/{old.id}/rotate": {},
            f"/keys/{old.id}/revoke": None,
            "/clients/x/release": None,
        }
        with alone(gateway.state.folder / "keys.json"), alone(gateway.state.folder / FILE):
            waiting = [asyncio.create_task(ask("POST", path, body)) for path, body in calls.items()]
            await asyncio.sleep(0.1)
            assert (await asked(gateway, QUESTION, key=key))[0] == 200
            assert not any(task.done() for task in waiting)
            assert [status for status, _ in await asyncio.gather(*waiting)] == [503] * 4
        assert gateway.state.keys.all() == [old]
        assert (await ask("POST", "/keys", calls["/keys"]))[0] == 201


@in_loop
async def test_no_key_token_or_secret_is_shown_anywhere(tmp_path):
    async with administered(tmp_path, log={"exports": [{"to": "file", "path": str(tmp_path / "out")}]}) as (
        gateway,
        ask,
    ):
        _, made = await ask("POST", "/keys", {"tenant": "acme", "tier": "basic"})
        _, again = await ask("POST", f"/keys/{made['key']['id']}/rotate", {})
        for key in (made["token"], again["token"], TOKEN):
            await asked(gateway, QUESTION, key=key)
        answers = [await ask("GET", path) for path in ("/keys", "/status", "/metrics", "/clients", "/openapi.json")]
        answers += [await ask("GET", "/budgets?prefix=k"), await ask("GET", "/log/verify"), await ask("GET", "/keys/x")]
        shown = repr((answers, gateway.state, gateway.state.keys, gateway.state.keys.all()[0].client, gateway.policy))
        hashes = [key.hash for key in gateway.state.keys.all()]
        folder, counts = gateway.state.folder, msgspec.json.encode(gateway.state.snapshot()).decode()
    written = "".join(path.read_text() for path in [*folder.glob("log/*/*.jsonl"), tmp_path / "out"])
    for secret in (made["token"], again["token"], TOKEN, SECRET):
        assert secret not in shown + written + counts
        assert secret not in (folder / "keys.json").read_text()
    assert not any(value in repr(answers) + written + counts for value in hashes)


@in_loop
async def test_every_worker_is_counted_and_a_damaged_file_is_left_out(tmp_path):
    async with administered(tmp_path, guard={"workers": 4}) as (gateway, ask):
        second = Counts()
        second.asked("mlflow", 429, "rate", 1, 0.2)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(keep_writing(gateway.state.folder, 2, second.snapshot), 0.2)
        (gateway.state.folder / "counts" / "worker-1.json").write_bytes(b"{")
        (gateway.state.folder / "counts" / "worker-3.json").write_bytes(b'{"requests": [{"route": "\xff"}]}')
        status = (await ask("GET", "/status"))[1]
        assert (status["counted"], status["workers"], status["requests"]) == (2, 4, {"rate": 1})
        line = 'unseen_guard_requests_total{reason="rate",route="mlflow",status="429",worker="2"} 1.0'
        assert line in (await ask("GET", "/metrics"))[1]


def test_hostile_labels_break_no_line_of_the_metrics():
    from prometheus_client.parser import text_string_to_metric_families

    counts = Counts()
    name = 'a"} 1\nforged{x="\\'
    counts.asked(name, 200, "answered", 1, 0.1)
    counts.written(Done(1, 0.0, what=name))
    families = list(text_string_to_metric_families(exposition({0: counts.snapshot()}, name, "enforce").decode()))
    assert all(family.name.startswith("unseen_guard_") for family in families)
    assert name in {label for family in families for sample in family.samples for label in sample.labels.values()}


@pytest.mark.parametrize("examples", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_the_api_is_what_its_document_says(tmp_path, examples):
    if examples > 5 and not os.environ.get("UNSEEN_LONG"):
        pytest.skip("a minute; set UNSEEN_LONG to run it")
    schemathesis = pytest.importorskip("schemathesis")
    from schemathesis.config import SchemathesisConfig
    from schemathesis.engine import events, from_schema

    read = admin_policy(tmp_path)
    with asyncio.Runner() as runner:
        held = opened(read, FakeModel())
        gateway = runner.run(held.__aenter__())
        gateway.state.keys.add(tenant="acme", tier="basic")
        auth = {"openapi": {"token": {"bearer": TOKEN}}}
        refusals = {"negative_data_rejection": {"expected-statuses": [400, 401, 404, 405, 409, 413, 415]}}
        settings = {"auth": auth, "generation": {"max-examples": examples, "mode": "all"}, "checks": refusals}
        config = SchemathesisConfig.from_dict(settings)
        schema = schemathesis.openapi.from_asgi("/openapi.json", admin_app(lambda: gateway, read), config=config)
        failed, tried = [], 0
        for event in from_schema(schema).execute():
            if isinstance(event, events.ScenarioFinished):
                checks = [check for found in event.recorder.checks.values() for check in found]
                tried += len(checks)
                failed += [(event.recorder.label, c.name) for c in checks if c.status.name != "SUCCESS"]
            elif isinstance(event, events.NonFatalError | events.FatalError):
                failed.append((str(event), "error"))
        assert not failed
        assert tried > 500
        runner.run(held.__aexit__(None, None, None))
