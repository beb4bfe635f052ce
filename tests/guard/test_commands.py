"""The commands: what a person sees, and every wrong input in one sentence."""

import json
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from tests.guard.guards import FakeModel, asked, opened
from tests.guard.test_gateway import ROW

from unseen.errors import FolderError
from unseen.guard.commands import main
from unseen.guard.detectors import from_settings
from unseen.guard.exports import FORMATS
from unseen.guard.policy import read_policy
from unseen.guard.tenant_keys import tenant_key_path


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(capsys, *arguments):
    code = main(arguments)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_from_nothing_to_a_guard_that_could_start(home, capsys):
    assert run(capsys, "init")[0] == 0
    assert run(capsys, "init")[0] == 2
    code, out, _ = run(capsys, "check", "policy.toml")
    assert code == 0
    assert out.startswith("note: guard.state: no guard starts on this machine: there is no key that opens")
    assert out.endswith("\n0 refused, 1 note.\n")
    code, out, _ = run(capsys, "explain", "policy.toml")
    assert "What this does NOT stop" in out
    code, token, err = run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    assert token.startswith("unseen_")
    assert "only copy" in err
    assert token.strip() not in err
    code, out, _ = run(capsys, "keys", "list", "policy.toml")
    name = out.split()[0]
    assert "acme" in out
    assert token.strip() not in out
    code, out, _ = run(capsys, "keys", "rotate", "policy.toml", name, "--out", "key.txt")
    assert (home / "key.txt").read_text().startswith("unseen_")
    assert (home / "key.txt").stat().st_mode & 0o077 == 0
    assert run(capsys, "keys", "revoke", "policy.toml", name)[0] == 0
    code, out, _ = run(capsys, "keys", "list", "policy.toml")
    assert f"{name}  revoked  acme" in out
    assert f"takes the place of {name}" in out
    assert run(capsys, "check", "policy.toml")[:2] == (0, "0 refused, 0 notes.\n")


def test_a_secret_is_made_once_and_named_in_the_policy(home, capsys, monkeypatch):
    monkeypatch.delenv("UNSEEN_GUARD_SECRET")
    _, out, _ = run(capsys, "init", "--secret-file", "guard.secret")
    made = (home / "guard.secret").read_text()
    assert len(made) == 65
    assert made.strip() not in out
    assert (home / "guard.secret").stat().st_mode & 0o077 == 0
    assert read_policy("policy.toml").guard.secret == "file:guard.secret"
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")[0] == 0
    assert run(capsys, "check", "policy.toml")[:2] == (0, "0 refused, 0 notes.\n")
    assert run(capsys, "init", "other.toml", "--secret-file", "guard.secret")[0] == 0
    assert (home / "guard.secret").read_text() == made
    assert run(capsys, "init", "third.toml", "--secret-file", 'a"b')[0] == 2


def test_check_says_what_this_machine_lacks(home, capsys, monkeypatch):
    run(capsys, "init")
    monkeypatch.delenv("UNSEEN_GUARD_SECRET")
    code, out, _ = run(capsys, "check", "policy.toml")
    assert code == 0
    assert "note: guard.secret: no guard starts on this machine: guard.secret is read from the environment" in out
    (home / "policy.toml").write_text((home / "policy.toml").read_text().replace("env:UNSEEN_GUARD_SECRET", "file:s"))
    assert "guard.secret is read from the file s" in run(capsys, "check", "policy.toml")[1]
    (home / "s").write_text("0123456789abcdef" * 4)
    (home / "s").chmod(0o644)
    assert "chmod 600 s" in run(capsys, "check", "policy.toml")[1]


def test_a_key_that_cannot_be_handed_over_is_not_made_or_is_closed(home, capsys, monkeypatch):
    run(capsys, "init")
    (home / "file").write_text("")
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "a", "--out", "file/a.key")[0] == 2
    assert run(capsys, "keys", "list", "policy.toml")[1] == ""

    def full(*_):
        raise FolderError("the disk is full.")

    monkeypatch.setattr("unseen.guard.commands._shown", full)
    assert run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[0] == 2
    assert "revoked" in run(capsys, "keys", "list", "policy.toml")[1]


@pytest.mark.parametrize("url", ['http://h"x', "http://[::1:5001", "ftp://h", "http://a\nb", "h"])
def test_init_writes_no_policy_that_would_not_start(home, capsys, url):
    code, out, err = run(capsys, "init", "--upstream", url)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "--upstream must be http://HOST" in err
    assert not list(home.iterdir())


def folder_full(*_):
    raise FolderError("the disk is full.")


@pytest.mark.parametrize("step", ["commands._write_down", "commands._shown", "keys.KeyRing.retire"])
def test_a_rotation_that_fails_leaves_the_old_key_as_it_was(home, capsys, monkeypatch, step):
    run(capsys, "init")
    old = run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[1].split("_")[1]
    before = run(capsys, "keys", "list", "policy.toml")[1]
    with monkeypatch.context() as patched:
        patched.setattr(f"unseen.guard.{step}", folder_full)
        assert run(capsys, "keys", "rotate", "policy.toml", old, "--overlap-hours", "0")[0] == 2
    assert before in run(capsys, "keys", "list", "policy.toml")[1]


def test_damaged_standings_are_no_empty_ones(home, capsys):
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "a")
    said = "guard-state/actions.json does not hold standings"
    for content in (b'{"x": broken', b'{"\xff": {}}'):
        (home / "guard-state" / "actions.json").write_bytes(content)
        code, out, _ = run(capsys, "status", "policy.toml")
        assert code == 0
        assert f"clients noticed:\n  {said}" in out
        assert "\nlog: " in out
        code, out, err = run(capsys, "release", "policy.toml", "x")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert said in err


def test_a_client_that_is_released_may_be_named_by_its_key_which_is_never_shown(home, capsys):
    run(capsys, "init")
    token = run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")[1].strip()
    code, out, err = run(capsys, "release", "policy.toml", token)
    assert (code, token.split("_", 2)[2] in out + err) == (2, False)
    (home / "guard-state" / "actions.json").write_text(f'{{"{token.split("_")[1]}": {{"sightings": 1}}}}')
    assert run(capsys, "release", "policy.toml", token)[0] == 0


@pytest.mark.parametrize("arguments", [["keys", "list"], ["keys", "add", "--tenant", "b"], ["status"], ["serve"]])
def test_keys_that_are_no_text_are_said_to_be_damaged(home, capsys, arguments):
    run(capsys, "init")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    path = home / "guard-state" / "keys.json"
    path.write_bytes(path.read_bytes().replace(b"acme", b"ac\xffe"))
    code, out, err = run(capsys, *arguments, "policy.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "keys.json does not hold keys" in err


def test_messages_about_the_state_say_where_it_is(home, capsys):
    run(capsys, "init")
    state = home / "guard-state"
    assert f"there is no state in {state}: is this" in run(capsys, "status", "policy.toml")[2]
    assert run(capsys, "keys", "list", "policy.toml") == (0, "", f"no keys in {state}\n")
    assert f"a new state begins in {state}\n" in run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[2]
    assert "new state" not in run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[2]
    assert run(capsys, "keys", "list", "policy.toml")[2] == ""


def test_a_tier_that_a_running_guard_may_not_know_yet_is_said(home, capsys):
    import asyncio

    run(capsys, "init")
    assert "SIGHUP" not in run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[2]

    async def begin():
        async with opened(read_policy("policy.toml"), FakeModel()):
            pass

    asyncio.run(begin())
    assert "SIGHUP" not in run(capsys, "keys", "add", "policy.toml", "--tenant", "a")[2]
    path = home / "policy.toml"
    path.write_text(path.read_text().replace("[budgets]", "[tiers.gold]\nbudget = { per_day = 5 }\n[budgets]"))
    said = "tier gold: a guard that runs knows it once it has read the policy again (SIGHUP)\n"
    assert said in run(capsys, "keys", "add", "policy.toml", "--tenant", "a", "--tier", "gold")[2]


def test_status_shows_caps_and_what_is_not_due_any_more(home, capsys):
    import asyncio

    run(capsys, "init")
    token = run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")[1].strip()
    name = token.split("_")[1]

    async def ask():
        async with opened(read_policy("policy.toml"), FakeModel()) as gateway:
            await asked(gateway, ROW, key=token)
            gateway.state.keys.successor(name)

    asyncio.run(ask())
    steps = '{"log": 9e9, "alert": 9e9, "tighten": 9e9}'
    (home / "guard-state" / "actions.json").write_text(f'{{"x": {{"sightings": 3, "steps": {steps}}}}}')
    out = run(capsys, "status", "policy.toml")[1]
    assert re.search(rf"^  key:{name}:day:\S+: 1 of 1,000$", out, re.MULTILINE), out
    assert f"  key:{name}:lifetime: 1 of 50,000\n" in out
    assert re.search(r"^  total:day:\S+: 1 of 20,000$", out, re.MULTILINE)
    assert "  x: 3 sightings; log, alert, tighten (due)\n" in out
    path = home / "policy.toml"
    path.write_text(path.read_text().replace(", lifetime = 50000", "").replace("total = {", "# total = {"))
    out = run(capsys, "status", "policy.toml")[1]
    assert f"  key:{name}:lifetime: 1\n" in out
    assert re.search(r"^  total:day:\S+: 1$", out, re.MULTILINE)


def test_a_whole_key_in_the_place_of_its_id_is_taken_and_never_shown(home, capsys):
    run(capsys, "init")
    token = run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")[1].strip()
    secret = token.split("_", 2)[2]
    for arguments in (["keys", "revoke", "policy.toml", token], ["keys", "rotate", "policy.toml", token]):
        _, out, err = run(capsys, *arguments)
        assert secret not in out + err
        assert token.split("_")[1] in out + err
    assert "revoked" in run(capsys, "keys", "list", "policy.toml")[1]
    code, _, err = run(capsys, "keys", "revoke", "policy.toml", secret)
    assert code == 2
    assert secret not in err


def test_a_refused_policy_has_exit_code_1_and_the_reason(home, capsys):
    (home / "p.toml").write_text(
        "[upstream]\nurl = 'http://127.0.0.1:1'\n[[routes]]\nprotocol = 'mlflow'\n[tiers.a]\n"
        "controls = [{ name = 'temperature', value = 2 }]\n"
    )
    code, out, _ = run(capsys, "check", "p.toml")
    assert code == 1
    assert out.count("refused: ") == 2
    assert "monotone" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["check", "nowhere.toml"], "nowhere.toml cannot be read"),
        (["keys", "add", "policy.toml", "--tenant", "a", "--tier", "gold"], "no tier 'gold'; it has ['default']"),
        (["keys", "add", "policy.toml", "--tenant", "a", "--route", "x"], "no route 'x'"),
        (["keys", "add", "policy.toml", "--tenant", ""], "a tenant is"),
        (["keys", "revoke", "policy.toml", "nobody"], "no key 'nobody'"),
        (["log", "verify", "policy.toml"], "no log in"),
        (["log", "show", "policy.toml", "--key", "x"], "no log in"),
        (["log", "export", "policy.toml"], "no log in"),
        (["log", "verify", "policy.toml", "--public-key", "x"], "64 hexadecimal"),
        (["log", "shred", "policy.toml", "--tenant", "a"], "no fingerprint key"),
        (["status", "policy.toml"], "/guard-state: is this the folder that the guard is started in?"),
        (["release", "policy.toml", "x"], "nothing was noticed"),
        (["calibrate", "nowhere.jsonl"], "cannot be read"),
        (["calibrate", "policy.toml"], "line 1 is no past query"),
        (["calibrate", "policy.toml", "--rate", "2"], "between 0 and 1"),
        (["serve", "policy.toml"], "there is no key"),
    ],
)
def test_wrong_input_is_one_sentence_and_exit_code_2(home, capsys, arguments, said):
    run(capsys, "init")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


def test_the_log_is_verified_shown_exported_and_shredded(home, capsys):
    import asyncio

    run(capsys, "init")
    _, token, _ = run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")

    async def ask():
        async with opened(read_policy("policy.toml"), FakeModel()) as gateway:
            for _ in range(3):
                await asked(gateway, ROW, key=token.strip())

    asyncio.run(ask())
    name = token.split("_")[1]
    code, out, _ = run(capsys, "log", "verify", "policy.toml")
    assert code == 0
    assert "as it was written; 5 records, 1 signature by this guard's key, 0 records after the last" in out
    _, out, _ = run(capsys, "log", "show", "policy.toml", "--key", name)
    assert "3 requests, 3 answered, 3 records answered" in out
    assert "x 3" in out
    assert "holds nothing" in run(capsys, "log", "show", "policy.toml", "--key", "nobody")[1]
    for name_ in FORMATS:
        code, out, _ = run(capsys, "log", "export", "policy.toml", "--format", name_)
        assert code == 0
        assert out.count("\n") >= 3
    _, out, _ = run(capsys, "status", "policy.toml")
    assert "answered 3" in out
    (log,) = (home / "guard-state" / "log" / "worker-0").glob("*.jsonl")
    log.write_bytes(log.read_bytes().replace(b'"records":1', b'"records":0', 1))
    code, out, _ = run(capsys, "log", "verify", "policy.toml")
    assert code == 1
    assert "BROKEN at record 2" in out
    for arguments in (["show", "policy.toml", "--key", name], ["export", "policy.toml", "--format", "jsonl"]):
        code, out, err = run(capsys, "log", *arguments)
        assert (code, "(worker-0), and what is damaged or gone is left out" in err) == (1, True)
        assert out
    assert run(capsys, "log", "shred", "policy.toml", "--tenant", "acme")[0] == 0
    assert run(capsys, "log", "shred", "policy.toml", "--tenant", "acme")[0] == 2


@pytest.mark.parametrize("command", ["shred", "release"])
def test_what_cannot_be_written_down_is_not_done(home, capsys, monkeypatch, command):
    from unseen.guard import gateway, watching

    def no_place(*_):
        raise FolderError("no place.")

    run(capsys, "init")
    with monkeypatch.context() as patched:
        patched.setattr(gateway, "_free_place", no_place)
        (home / "guard-state").mkdir(mode=0o700, exist_ok=True)
        watching._keep(home / "guard-state" / watching.FILE, {"x": watching.Standing(1, 1.0, {})})
        path = tenant_key_path(home / "guard-state", "acme")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(32))
        told = {
            "shred": ["log", "shred", "policy.toml", "--tenant", "acme"],
            "release": ["release", "policy.toml", "x"],
        }
        code, out, err = run(capsys, *told[command])
    assert (code, out, "no place" in err) == (2, "", True)
    assert path.exists()
    assert "x" in watching.read_standings(home / "guard-state")


def test_calibrate_prints_what_a_policy_takes(home, capsys):
    rng = np.random.default_rng(0)
    lines = [
        {"client": f"c{client}", "when": day * 86400 + second * 60.0, "vector": rng.normal(size=6).tolist()}
        for client in range(10)
        for day in range(3)
        for second in range(30)
    ]
    (home / "past.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    code, out, err = run(capsys, "calibrate", "past.jsonl")
    assert (code, err) == (0, "")
    settings = tomllib.loads(out)
    assert {"near-duplicates", "geometry", "volume"} <= set(settings)
    from_settings(settings)
    assert "0 of 15 client-days flagged" in out
    assert "cannot be shown" in out


def test_it_is_a_command_of_unseen(home):
    program = "from unseen.cli.main import app; app()"
    for arguments, said in ((["guard", "--help"], b"calibrate"), (["guard", "keys", "add", "--help"], b"--tenant")):
        shown = called(program, *arguments)
        assert shown.returncode == 0
        assert said in shown.stdout
    assert called(program, "guard", "check", "x").returncode == 2


def called(program, *arguments):
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


def test_a_damaged_fingerprint_key_is_named(home, capsys):
    run(capsys, "init", "--secret-file", "guard.secret")
    run(capsys, "keys", "add", "policy.toml", "--tenant", "acme")
    folder = home / "guard-state" / "fingerprint-keys"
    folder.mkdir(mode=0o700)
    (folder / ("a" * 32)).write_bytes(b"k" * 32)
    (folder / ("a" * 32 + ".0011")).write_bytes(b"")  # one that is being made
    assert run(capsys, "check", "policy.toml")[1] == "0 refused, 0 notes.\n"
    assert "fingerprint" not in run(capsys, "status", "policy.toml")[1]
    (folder / ("b" * 32)).write_bytes(b"short")
    code, out, _ = run(capsys, "check", "policy.toml")
    said = f"guard-state/fingerprint-keys/{'b' * 32} does not hold a fingerprint key"
    assert (code, out.count(said)) == (0, 1)
    assert run(capsys, "status", "policy.toml")[1].count(said) == 1
