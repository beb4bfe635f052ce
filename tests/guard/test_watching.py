"""What is noticed: afterwards, for a client and not for a query; steps come late, by chance, and show in no answer."""

import asyncio
import errno
import json
import random
import threading
import time

import numpy as np
import pytest
from tests.guard.guards import SECRET, FakeModel, asked, opened, policy
from tests.guard.test_gateway import ROW, ROWS, conversation, log

from unseen.disk import alone
from unseen.errors import FolderError, PolicyError
from unseen.guard.client import Client
from unseen.guard.detector import Query, Sighting
from unseen.guard.detectors import listed
from unseen.guard.log.entries import Done, Seen
from unseen.guard.opening import open_gateway
from unseen.guard.policy import Actions, read_policy
from unseen.guard.refusal import Refused
from unseen.guard.secrets import derive
from unseen.guard.shape import coarse_forms, fingerprint
from unseen.guard.watching import Watch, parts_of, read_standings, released
from unseen.guard.worker import Shared, Worker


class Alarm:
    """Sees probing in every query of one client."""

    name = "alarm"

    def __init__(self, client="bad"):
        self.client = client
        self.forgotten = []

    def observe(self, query):
        if query.client != self.client:
            return None
        return Sighting(self.name, query.client, query.when, 2.0, {"queries": 3})

    def forget(self, client):
        self.forgotten.append(client)


class Written:
    def __init__(self):
        self.entries = []

    def append(self, noun, **fields):
        self.entries.append((noun.__name__, fields))


LADDER = ("log", "alert", "tighten", "reauthenticate", "suspend")
DAY = 86_400.0


def watch(folder, detector=None, *, ladder=LADDER, delay=(600.0, 7200.0), seed=0, shadow=False):
    actions = Actions(ladder=ladder, delay_s=delay)
    return Watch([detector or Alarm()], actions, Written(), folder, shadow=shadow, chance=random.Random(seed))


def refusal(watched, client, now, made=0.0):
    try:
        watched.standing(Client(client, "t", "b", since=made), now)
    except Refused as refused:
        return refused.status
    return None


def release(watched, client):
    """Forget a client, as the admin API does; return whether there was anything."""
    known = released(watched._path.parent, client)
    watched.was_released(client, known=known)
    return known


def test_each_sighting_takes_one_step_and_each_step_comes_late(tmp_path):
    watched = watch(tmp_path)
    for day in range(5):
        watched.look(Query("bad", day * DAY))
        assert refusal(watched, "bad", day * DAY + 599) in ({None} if day < 4 else {401, None})
    standing = watched.all()["bad"]
    assert list(standing.steps) == list(LADDER)
    for day, step in enumerate(LADDER):
        assert 600 <= standing.steps[step] - day * DAY <= 7200
    assert not watched.tightened("bad", standing.steps["tighten"] - 1)
    assert watched.tightened("bad", standing.steps["tighten"])
    assert refusal(watched, "bad", standing.steps["reauthenticate"] - 1) is None
    assert refusal(watched, "bad", standing.steps["reauthenticate"] + 1) == 401
    assert refusal(watched, "bad", standing.steps["reauthenticate"] + 1, made=standing.steps["reauthenticate"]) is None
    assert refusal(watched, "bad", standing.steps["suspend"] + 1, made=5 * DAY) == 403
    assert refusal(watched, "good", 99 * DAY) is None


def test_the_delay_is_chance_and_not_the_same_for_two_clients(tmp_path):
    delays = set()
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        watched = watch(folder, seed=seed)
        watched.look(Query("bad", 0.0))
        delays.add(watched.all()["bad"].steps["log"])
    assert len(delays) == 20
    assert max(delays) - min(delays) > 3000


def test_many_sightings_within_an_hour_are_one(tmp_path):
    watched = watch(tmp_path)
    for second in range(200):
        watched.look(Query("bad", float(second)))
    assert watched.all()["bad"].sightings == 1
    assert [name for name, _ in watched._writer.entries] == ["Seen"]


def test_shadow_takes_no_step(tmp_path):
    watched = watch(tmp_path, shadow=True, delay=(0.0, 0.0))
    for day in range(6):
        watched.look(Query("bad", day * DAY))
    assert refusal(watched, "bad", 99 * DAY) is None
    assert not watched.tightened("bad", 99 * DAY)
    assert [fields["what"] for name, fields in watched._writer.entries if name == "Done"] == [
        *("would-alert", "would-tighten", "would-reauthenticate", "would-suspend", "would-suspend")
    ]
    assert watched.all()["bad"].steps == {}  # to enforce later begins anew


def test_standings_outlive_a_restart_and_are_shared_and_can_be_forgotten(tmp_path):
    first = watch(tmp_path, ladder=("suspend",))
    second = watch(tmp_path, Alarm("nobody"))
    first.look(Query("bad", 0.0))
    assert refusal(second, "bad", DAY) == 403
    assert refusal(watch(tmp_path), "bad", DAY) == 403
    assert release(first, "bad")
    assert not release(first, "bad")
    assert refusal(second, "bad", DAY + 2) is None
    first.look(Query("bad", 2 * DAY))
    assert released(tmp_path, "bad")
    assert not released(tmp_path, "bad")
    assert read_standings(tmp_path) == {}


def test_two_workers_never_lose_each_other_s_standings(tmp_path):
    first, second = watch(tmp_path, ladder=("suspend",)), watch(tmp_path, Alarm("other"), ladder=("suspend",))
    first.refresh(0.0)
    second.refresh(0.0)
    first.look(Query("bad", 0.0))
    second.look(Query("other", 0.3))
    assert set(read_standings(tmp_path)) == {"bad", "other"}
    assert refusal(first, "other", DAY) == refusal(second, "bad", DAY) == 403


def test_a_detector_that_fails_is_written_down_and_the_others_look_on(tmp_path):
    class Broken(Alarm):
        name = "broken"

        def observe(self, query):
            raise ValueError("record 1, 2, 3")

    watched = watch(tmp_path, Broken())
    watched._detectors = [Broken(), Alarm()]
    watched.look(Query("bad", 0.0))
    assert watched.sightings == 1
    assert "1, 2, 3" not in str(watched._writer.entries)


def test_a_sighting_that_the_disk_does_not_take_is_kept_until_it_does_and_the_detectors_look_on(tmp_path, monkeypatch):
    watched = watch(tmp_path, ladder=("suspend",))

    def failing(*_, **__):
        raise OSError(errno.EMFILE, "too many open files")

    async def run():
        monkeypatch.setattr("unseen.guard.watching.alone_in_state", failing)
        task = asyncio.create_task(watched.run())
        watched._queue.append(Query("bad", 0.0))
        await asyncio.sleep(0.2)
        assert not task.done()
        assert watched.sightings == 0
        monkeypatch.undo()
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(run())
    assert watched.sightings == 1
    assert refusal(watched, "bad", DAY) == 403
    assert [name for name, _ in watched._writer.entries].count("Seen") == 1


def test_a_step_is_said_to_be_taken_once_the_disk_has_kept_it_and_not_before(tmp_path, monkeypatch):
    watched = watch(tmp_path, ladder=("suspend",))

    def full(*_):
        raise FolderError("actions.json could not be written.")

    async def run():
        monkeypatch.setattr("unseen.guard.watching.write_whole", full)
        watched.look(Query("bad", 0.0))
        assert watched._writer.entries == []
        assert refusal(watched, "bad", DAY) is None
        monkeypatch.undo()
        task = asyncio.create_task(watched.run())
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(run())
    assert [(name, fields.get("what")) for name, fields in watched._writer.entries] == [
        ("Seen", None),
        ("Done", "suspend"),
    ]
    assert refusal(watch(tmp_path, Alarm("nobody")), "bad", DAY) == 403


def test_a_step_that_waits_for_the_disk_is_taken_under_the_next_policy_too(tmp_path):
    first = watch(tmp_path, ladder=("suspend",))
    with alone(tmp_path / "actions.json"):
        first.look(Query("bad", 0.0))
    second = watch(tmp_path, Alarm("nobody"), ladder=("suspend",))
    second.follow(first)
    second.catch_up()
    assert refusal(second, "bad", DAY) == 403


def test_an_application_without_a_loop_of_ours_takes_the_step_when_the_disk_does(tmp_path, monkeypatch):
    watched = watch(tmp_path, ladder=("suspend",))
    watched._path = tmp_path / "file" / "actions.json"
    (tmp_path / "file").write_text("")
    watched.look(Query("bad", 0.0))
    (tmp_path / "file").unlink()
    watched.catch_up()
    assert refusal(watched, "bad", DAY) == 403


def test_a_step_does_not_wait_for_who_holds_the_standings(tmp_path):
    watched = watch(tmp_path, ladder=("suspend",))
    with alone(tmp_path / "actions.json"):
        watched.look(Query("bad", 0.0))  # for ever, if it did
        assert refusal(watched, "bad", DAY) is None
    watched.catch_up()
    assert refusal(watched, "bad", DAY) == 403


def test_what_another_detector_sees_within_the_hour_is_written_down_once_and_takes_no_step(tmp_path):
    watched = watch(tmp_path, ladder=("alert", "suspend"))
    for when, detector in ((0.0, "near"), (10.0, "near"), (20.0, "decoys"), (30.0, "decoys"), (3_700.0, "decoys")):
        watched._tell(Sighting(detector, "bad", when, 1.0, {}))
    entries = [(name, fields.get("detector") or fields["what"]) for name, fields in watched._writer.entries]
    assert entries == [("Seen", "near"), ("Done", "alert"), ("Seen", "decoys"), ("Seen", "decoys"), ("Done", "suspend")]
    assert read_standings(tmp_path)["bad"].sightings == 2
    release(watched, "bad")
    watched._tell(Sighting("decoys", "bad", 3_800.0, 1.0, {}))
    assert [fields.get("detector") for _, fields in watched._writer.entries][-2:] == ["decoys", None]


def test_who_is_released_is_not_taken_up_again_for_what_waited(tmp_path):
    watched = watch(tmp_path, ladder=("suspend",))
    with alone(tmp_path / "actions.json"):
        for client in ("bad", "worse"):
            watched._tell(Sighting("alarm", client, 0.0, 1.0, {}))
    watched._queue.append(Query("bad", 1.0))
    release(watched, "bad")
    watched.catch_up()
    assert [refusal(watched, client, DAY) for client in ("bad", "worse")] == [None, 403]


def test_what_waits_for_the_disk_is_told_a_few_at_a_time_and_not_past_one_that_fails(tmp_path):
    watched = watch(tmp_path, ladder=("suspend",))
    names = [f"bad {number}" for number in range(10)]
    with alone(tmp_path / "actions.json"):
        for name in names:
            watched._tell(Sighting("alarm", name, 0.0, 1.0, {}))
        watched.tell_again()
        assert [one.client for one in watched._untold] == names
    watched.tell_again()
    assert [one.client for one in watched._untold] == names[4:]
    assert list(read_standings(tmp_path)) == names[:4]


def test_whatever_goes_wrong_the_detectors_look_again(tmp_path, monkeypatch):
    watched = watch(tmp_path)
    monkeypatch.setattr("unseen.guard.watching.LOOK_S", 0.0)
    monkeypatch.setattr(watched, "refresh", lambda _: 1 / 0)

    async def run():
        task = asyncio.create_task(watched.run())
        await asyncio.sleep(0.2)
        monkeypatch.undo()
        watched._queue.append(Query("bad", 0.0))
        await asyncio.sleep(0.2)
        task.cancel()

    asyncio.run(run())
    assert watched.sightings == 1
    assert ("Done", {"what": "detector-failed", "detail": "ZeroDivisionError"}) in watched._writer.entries


def test_a_probing_client_is_found_behind_the_guard_and_its_answers_stay_as_they_were(tmp_path):
    """Noisy copies of one record, mixed with others: seen, written down, and no answer tells."""
    detectors = {"near-duplicates": {"tau": 1.0}, "geometry": {}}
    rng = np.random.default_rng(0)
    tiers = {"t": {"budget": {"lifetime": 10_000}, "rate": "100000 per second, burst 10000"}}

    async def talk(gateway, key):
        centre, answers = rng.normal(size=16) * 5, set()
        for _ in range(200):
            for point in (centre + rng.normal(size=16) * 0.05, rng.normal(size=16) * 5):
                body = json.dumps({"instances": [point.tolist()]}).encode()
                status, headers, answer = await asked(gateway, body, key=key)
                answers.add((status, tuple(sorted(headers)), answer))
        while gateway.watch._queue:
            gateway.watch.look(gateway.watch._queue.popleft())
        return answers, gateway.watch.all()

    answers, standings = conversation(tmp_path, talk, detectors=detectors, tiers=tiers)
    assert len(answers) == 1
    assert len(standings) == 1
    seen = log(tmp_path, Seen)
    assert {entry.detector for entry in seen} <= {"near-duplicates", "geometry"}
    assert len(seen) == 1


def test_a_tightened_client_gets_labels_and_nothing_says_so(tmp_path):
    async def talk(gateway, key):
        first = await asked(gateway, ROW, key=key)
        client = gateway.state.keys.all()[0].id
        gateway.watch._detectors = [Alarm(client)]
        gateway.watch._actions = Actions(ladder=("tighten",), delay_s=(0.0, 0.0))
        gateway.watch.look(Query(client, 0.0))
        return first, await asked(gateway, ROW, key=key)

    first, tightened = conversation(tmp_path, talk)
    assert set(first[1]) == set(tightened[1])
    assert len(first[2]) == len(tightened[2])
    assert json.loads(tightened[2]) == {"predictions": [[1.0, 0.0, 0.0]]}
    assert [entry.what for entry in log(tmp_path, Done)] == ["tighten"]


def test_the_queue_has_an_end_and_counts_what_it_drops(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.guard.watching.WAITING", 5)

    async def talk(gateway, key):
        gateway.watch._detectors = [Alarm()]
        from collections import deque

        gateway.watch._queue = deque(maxlen=5)
        for _ in range(8):
            await asked(gateway, ROW, key=key)
        return gateway.watch.dropped, len(gateway.watch._queue)

    assert conversation(tmp_path, talk) == (3, 5)


def test_the_detectors_look_between_the_requests(tmp_path):
    async def talk(gateway, key):
        gateway.watch._detectors = [Alarm(gateway.state.keys.all()[0].id)]
        task = asyncio.create_task(gateway.watch.run())
        await asked(gateway, ROW, key=key)
        for _ in range(200):
            if gateway.watch.sightings:
                break
            await asyncio.sleep(0.01)
        task.cancel()
        return gateway.watch.sightings

    assert conversation(tmp_path, talk, FakeModel()) == 1


@pytest.mark.parametrize("content", [b"", b"{", b'{"a": 5}', b"[]", b'{"\xff": {}}'])
def test_a_damaged_file_of_standings_stops_a_start_and_not_a_running_guard(tmp_path, content):
    running = watch(tmp_path, ladder=("suspend",))
    running.look(Query("bad", 0.0))
    (tmp_path / "actions.json").write_bytes(content)
    assert refusal(running, "bad", DAY) == 403
    for reads in (watch, read_standings, lambda folder: released(folder, "bad")):
        with pytest.raises(FolderError, match="does not hold standings"):
            reads(tmp_path)
    assert (tmp_path / "actions.json").read_bytes() == content


def test_a_big_batch_is_looked_at_in_parts():
    query = Query("a", 0.0, np.ones((150, 2), np.float32), tuple(range(150)), tuple(b"%d" % n for n in range(150)))
    parts = list(parts_of(query))
    assert [part.records for part in parts] == [64, 64, 22]
    assert parts[2].labels[0] == 128
    assert parts[1].fingerprints[0] == b"64"
    assert list(parts_of(Query("a", 0.0))) == [Query("a", 0.0)]


def of_many_tenants(folder, talk, count=8, **changes):
    """Run `talk(gateway, keys)` against a guard with a key of each of so many tenants."""

    async def run():
        async with opened(policy(folder, **changes), FakeModel()) as gateway:
            keys = [gateway.state.keys.add(tenant=f"t{number}", tier="basic")[1] for number in range(count)]
            found = await talk(gateway, keys)
            gateway.watch.catch_up()
            return found, gateway.watch.all()

    return asyncio.run(run())


def test_one_record_asked_by_many_tenants_is_seen_and_the_log_still_tells_them_apart(tmp_path):
    async def talk(gateway, keys):
        for _ in range(10):
            for key in keys:
                assert (await asked(gateway, ROW, key=key))[0] == 200

    detectors = {"sharing": {"threshold": 5, "others": 2}}
    _, standings = of_many_tenants(tmp_path, talk, detectors=detectors)
    assert len(standings) == 8
    prints = {entry.fingerprints[0] for entry in log(tmp_path)}
    assert len(prints) == 8
    written = b"".join(path.read_bytes() for path in (tmp_path / "state" / "log").rglob("*.jsonl"))
    key = derive(SECRET.encode(), "detectors")
    (form,) = coarse_forms([[1.0, 2.0, 3.0]], policy(tmp_path).routes[0])
    assert fingerprint(key, form).hex().encode() not in written


def test_fingerprints_are_computed_for_detectors_that_read_them_alone(tmp_path):
    async def talk(gateway, keys):
        await asked(gateway, ROW, key=keys[0])
        return [len(query.fingerprints) for query in gateway.watch._queue]

    for name, count in (("geometry", 0), ("volume", 1)):
        assert of_many_tenants(tmp_path / name, talk, 1, detectors={name: {}})[0] == [count]


def test_a_decoy_of_the_list_is_seen_from_any_tenant(tmp_path):
    (tmp_path / "decoys.jsonl").write_text('{"inputs": [[1.004, 2.0, 3.0]]}\n')

    async def talk(gateway, keys):
        await asked(gateway, ROWS, key=keys[0])
        await asked(gateway, ROW, key=keys[1])
        return gateway.state.keys.all()[1].id

    client, standings = of_many_tenants(
        tmp_path, talk, 2, detectors={"decoys": {"file": str(tmp_path / "decoys.jsonl")}}
    )
    assert list(standings) == [client]
    (seen,) = log(tmp_path, Seen)
    assert (seen.detector, seen.evidence) == ("decoys", {"decoys": 1.0})


def test_the_list_of_decoys_is_read_again_at_a_reload_and_a_bad_one_leaves_the_old(tmp_path):
    path = tmp_path / "decoys.jsonl"
    path.write_text('{"inputs": [[9.0, 9.0, 9.0]]}')
    read = policy(tmp_path, detectors={"decoys": {"file": str(path)}})

    async def run():
        async with opened(read, FakeModel()) as gateway:
            (detector,) = gateway.watch._detectors
            first = detector.known
            path.write_text('{"inputs": [[1.0, 2.0, 3.0]]}')
            assert open_gateway(read, gateway.state, gateway, upstream=FakeModel()).watch is gateway.watch
            second = detector.known
            path.write_text("{")
            with pytest.raises(PolicyError, match="line 1"):
                open_gateway(read, gateway.state, gateway, upstream=FakeModel())
            return first, second, detector.known

    first, second, third = asyncio.run(run())
    assert first != second == third


def test_a_reload_reads_the_list_of_decoys_once_and_beside_the_requests(tmp_path, monkeypatch):
    read, threads = listed.read_decoys, []
    (tmp_path / "decoys.jsonl").write_text('{"inputs": [[9.0, 9.0, 9.0]]}')
    path = tmp_path / "policy.toml"
    path.write_text(
        f"[guard]\nstate = '{tmp_path}/state'\n[upstream]\nurl = 'http://127.0.0.1:9'\n"
        "[[routes]]\nprotocol = 'mlflow'\n[tiers.a]\nbudget = { lifetime = 10 }\n"
        f"[detectors.decoys]\nfile = '{tmp_path}/decoys.jsonl'\n"
    )

    def slow(*given):
        threads.append(threading.current_thread())
        time.sleep(0.05)
        return read(*given)

    async def run():
        settings = read_policy(path)
        async with opened(settings, FakeModel()) as gateway:
            worker = Worker(path, settings, 0, Shared(gateway.state.pace, None), say=lambda _: None)
            worker._gateway = gateway
            monkeypatch.setattr(listed, "read_decoys", slow)
            worker.reload()
            worker.reload()  # as two signals that come at once
            while len(worker._old) < 2:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.001)
            known = worker.current().watch._detectors[0].known
            worker._watching.cancel()
            for other in [worker.current(), *worker._old]:
                await other.upstream.close()
            return known, gateway.watch._detectors[0].known

    known, before = asyncio.run(run())
    assert len(threads) == 2
    assert threading.main_thread() not in threads
    assert known == before
