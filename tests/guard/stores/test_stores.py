"""Every store keeps the same promises: wholly or not at all, never beyond a cap, durable, one answer for a token."""

import multiprocessing
import os
import random
import time

import pytest

from unseen.guard.budget import Ask, Grant, Kept

ATTEMPTS = int(os.environ.get("UNSEEN_ATTEMPTS", "0"))  # in full: 1000000, see benchmarks/guard/guarantees.md
PROCESSES = 8
SPAWN = multiprocessing.get_context("fork")


def one(account, need=1, want=None, cap=10):
    return [Ask(account, need, want or need, cap)]


def test_a_cap_is_never_passed_and_never_left_short(open_store):
    store = open_store()
    grants = store.reserve([one("a", 3)] * 4)
    assert [grant.refused for grant in grants] == [None, None, None, 0]
    assert store.reserve([one("a", 1)]) == [Grant((1,))]
    assert store.used("a") == {"a": 10}


def test_a_request_is_granted_wholly_or_not_at_all(open_store):
    store = open_store()
    store.reserve([one("full", 10)])
    assert store.reserve([[Ask("free", 1, 1, 10), Ask("full", 1, 1, 10)]]) == [Grant(refused=1)]
    assert store.used("") == {"full": 10} or store.used("free") == {"free": 0}


def test_more_is_granted_where_more_is_wanted_and_there(open_store):
    store = open_store()
    assert store.reserve([one("a", 2, 7), one("a", 1, 7)]) == [Grant((7,)), Grant((3,))]


def test_two_requests_of_one_step_see_each_other(open_store):
    store = open_store()
    first, second = store.reserve([[Ask("a", 6, 6, 10), Ask("b", 1, 1, 10)], [Ask("b", 1, 1, 10), Ask("a", 6, 6, 10)]])
    assert first == Grant((6, 1))
    assert second == Grant(refused=1)
    assert store.used("b") == {"b": 1}


def test_what_was_not_used_can_be_given_back(open_store):
    store = open_store()
    store.reserve([one("a", 8)])
    store.give_back({"a": 5})
    assert store.used("a") == {"a": 3}


def test_an_account_that_was_renewed_takes_back_no_more_than_it_has_and_closes_nothing(open_store):
    """An operator set an account to nothing, or restored an older copy, while workers held some of it."""
    store = open_store()
    store.reserve([[Ask("a", 3, 3, 10), Ask("b", 3, 3, 10)]])
    store.give_back({"a": 8, "b": 1, "never seen": 2})
    assert {name: count for name, count in store.used("").items() if count} == {"b": 2}
    assert store.reserve([one("a", 10)]) == [Grant((10,))]
    assert store.reserve([one("never seen", 11)]) == [Grant(refused=0)]


def test_a_step_that_fails_leaves_nothing_behind_and_the_next_is_taken(open_store):
    store = open_store()
    store.reserve([one("a", 3)])
    for failing in (
        lambda: store.reserve([one("a", 1), [Ask("b", 1, 1, 10), Ask(object(), 1, 1, 10)]]),
        lambda: store.give_back({"a": 1, "b": object()}),
        lambda: store.begin(b"t" * 32, object(), 100.0, 30.0),
        lambda: store.finish(b"t" * 32, b"r" * 32, Kept(200, object(), b"")),
    ):
        with pytest.raises(Exception, match=r"."):
            failing()
    assert store.used("a") == {"a": 3}
    assert store.reserve([one("a", 7)]) == [Grant((7,))]
    assert store.begin(b"t" * 32, b"r" * 32, 101.0, 30.0) == "new"
    assert open_store().used("a") == {"a": 10}


def test_a_prefix_is_no_pattern(open_store):
    store = open_store()
    store.reserve([one("key:a*"), one("key:ab"), one("key:a%"), one("key:a_")])
    assert store.used("key:a*") == {"key:a*": 1}
    assert store.used("key:a%") == {"key:a%": 1}
    assert len(store.used("key:a")) == 4


def test_what_is_charged_is_there_after_a_restart(open_store):
    store = open_store()
    store.reserve([one("a", 4)])
    store.close()
    assert open_store().used("a") == {"a": 4}


def test_a_token_is_answered_once(open_store):
    store = open_store()
    kept = Kept(200, "application/json", b"\x00\xff answer")
    assert store.begin(b"t" * 32, b"r" * 32, 100.0, 30.0) == "new"
    assert store.begin(b"t" * 32, b"r" * 32, 110.0, 30.0) == "busy"
    assert store.begin(b"t" * 32, b"x" * 32, 110.0, 30.0) == "other"
    store.finish(b"t" * 32, b"r" * 32, kept)
    assert open_store().begin(b"t" * 32, b"r" * 32, 120.0, 30.0) == kept


def test_a_token_whose_worker_died_is_new_after_a_time(open_store):
    store = open_store()
    store.begin(b"t" * 32, b"r" * 32, 100.0, 30.0)
    assert store.begin(b"t" * 32, b"r" * 32, 131.0, 30.0) == "new"
    assert store.begin(b"t" * 32, b"r" * 32, 132.0, 30.0) == "busy"


def test_a_token_whose_request_failed_is_forgotten_and_an_answered_one_is_not(open_store):
    store = open_store()
    store.begin(b"t" * 32, b"r" * 32, 100.0, 30.0)
    store.finish(b"t" * 32, b"r" * 32, None)
    assert store.begin(b"t" * 32, b"r" * 32, 101.0, 30.0) == "new"
    store.finish(b"t" * 32, b"r" * 32, Kept(200, "a", b"b"))
    store.finish(b"t" * 32, b"r" * 32, None)
    assert store.begin(b"t" * 32, b"r" * 32, 102.0, 30.0) == Kept(200, "a", b"b")


def test_an_answer_that_comes_after_its_token_was_forgotten_is_not_kept(open_store):
    """A worker hung, another took its token over, and failed; then the first ends after all."""
    store = open_store()
    assert store.begin(b"t" * 32, b"r" * 32, 100.0, 30.0) == "new"
    assert store.begin(b"t" * 32, b"r" * 32, 200.0, 30.0) == "new"
    store.finish(b"t" * 32, b"r" * 32, None)
    store.finish(b"t" * 32, b"r" * 32, Kept(200, "application/json", b"late"))
    assert store.begin(b"t" * 32, b"other".ljust(32), 201.0, 30.0) == "new"
    assert store.begin(b"t" * 32, b"other".ljust(32), 202.0, 30.0) == "busy"
    for late in (Kept(200, "application/json", b"late"), None):  # nor is it the other request's, nor its end
        store.finish(b"t" * 32, b"r" * 32, late)
        assert store.begin(b"t" * 32, b"other".ljust(32), 203.0, 30.0) == "busy"


def attempt(open_store, attempts, seed, caps, pipe):
    """Ask for random amounts of two accounts, and tell of every grant once the store has said it."""
    store = open_store()
    chance = random.Random(seed)
    for number in range(attempts):
        need = chance.randint(1, 3)
        want = need + chance.randint(0, 5)
        accounts = ["total", f"key:{number % 5}"]
        chance.shuffle(accounts)
        (grant,) = store.reserve([[Ask(name, need, want, caps[name[:3]]) for name in accounts]])
        if grant.refused is None:
            pipe.send(dict(zip(accounts, grant.amounts, strict=True)))
    pipe.send(None)


@pytest.mark.parametrize("kills", [0, 3])
def test_racing_processes_are_never_granted_more_than_the_cap(open_store, kills):
    """Eight processes race; some are killed without warning, and others take their place."""
    cap = ATTEMPTS or open_store.attempts
    caps = {"tot": cap, "key": cap // 4}
    open_store().close()
    chance = random.Random(kills)
    each = cap // PROCESSES
    workers = [begin(open_store, each, seed, caps) for seed in range(PROCESSES)]
    told = {}
    for number in range(kills):
        time.sleep(chance.uniform(0.005, 0.05))
        process, pipe = workers.pop(chance.randrange(len(workers)))
        process.kill()
        process.join()
        listen(pipe, told)
        workers.append(begin(open_store, each, 100 + number, caps))
    for process, pipe in workers:
        listen(pipe, told)
        process.join()
    used = open_store().used("")
    assert used["total"] <= caps["tot"]
    assert all(used[name] <= caps["key"] for name in used if name.startswith("key:"))
    for name, granted in told.items():
        assert granted <= used[name]  # nothing that was granted is forgotten
        assert used[name] - granted <= kills * 8  # a process that dies takes at most one grant with it
    if not kills:
        assert told == {name: count for name, count in used.items() if count}
        assert used["total"] == caps["tot"]


def begin(open_store, attempts, seed, caps):
    mine, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=attempt, args=(open_store, attempts, seed, caps, theirs))
    process.start()
    theirs.close()
    return process, mine


def listen(pipe, told):
    while True:
        try:
            granted = pipe.recv()
        except EOFError:
            return
        if granted is None:
            return
        for name, amount in granted.items():
            told[name] = told.get(name, 0) + amount
