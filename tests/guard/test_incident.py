"""What a person reads of one client and of one guard: counts that add up, and reasons that say what there was."""

import re

import msgspec
from tests.guard.test_commands import home, run  # noqa: F401 - a fixture

from unseen.guard.incident import incident, why
from unseen.guard.log.entries import Asked

HOUR = 3600.0


def asked(number, *, t=0.0, status=200, reason="answered", records=1, upstream=0):
    kept = {"id": "i", "client": "c", "key": "c", "tenant": "acme", "tier": "t", "route": "r", "ms": 1.0, "policy": "p"}
    fingerprints = (str(number),) if status == 200 else ()
    return Asked(
        n=number,
        t=t,
        status=status,
        reason=reason,
        records=records,
        upstream=upstream,
        fingerprints=fingerprints,
        **kept,
    )


def test_the_hours_add_up_to_the_summary():
    entries = [
        *[asked(number, records=3) for number in range(5)],
        *[asked(number, t=HOUR, status=429, reason="rate", records=7) for number in range(2)],
        asked(9, t=HOUR, records=1),
        asked(10, t=2 * HOUR, status=401, reason="unauthorized", records=0),
    ]
    page = incident(entries, "c")
    assert "9 requests, 6 answered, 16 records answered" in page
    rows = re.findall(r":00 +(\d+) +(\d+)", page.split("By hour")[1])
    assert [tuple(map(int, row)) for row in rows] == [(15, 0), (1, 2), (0, 1)]
    assert "records answered  requests refused" in page


def test_older_hours_are_counted_and_left_out():
    page = incident([asked(number, t=number * HOUR) for number in range(26)], "c")
    assert page.count(":00  ") == 24
    assert "(2 earlier hours left out)" in page
    assert "1 request, 1 answered, 1 record answered" in incident([asked(1)], "c")


def test_what_the_models_server_did_is_told_apart():
    said = [why(asked(1, status=502, reason="upstream", upstream=status)) for status in (0, 401, 200)]
    assert len(set(said)) == 3
    assert why(asked(1, status=429, reason="rate")) == "rate"
    assert why(asked(1, status=502, reason="upstream_slow")) == "upstream_slow"
    assert why(asked(1, status=502, reason="upstream_failed", upstream=503)) == "upstream_failed (its status 503)"
    assert "idempotency key" in why(msgspec.structs.replace(asked(1, status=502, reason="upstream"), replayed=True))


def test_status_says_that_another_policy_runs(home, capsys):  # noqa: F811 - the fixture
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    plain = run(capsys, "status", "policy.toml")[1]
    assert "in the file" not in plain
    assert "log: 1 segment, " in plain
    old = plain.split(",")[0].removeprefix("policy ")
    log = home / "guard-state" / "log"
    (log / "worker-1000").rename(log / "worker-0")  # as if a guard had written it
    text = (home / "policy.toml").read_text()
    (home / "policy.toml").write_text(text.replace("per_day = 20000", "per_day = 20001"))
    page = run(capsys, "status", "policy.toml")[1]
    assert old in page
    assert re.match(rf"policy \w{{16}} in the file \(the guard that wrote the log last holds {old}\), mode", page)
