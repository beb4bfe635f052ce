"""The guard's documentation is true: every key with its default, code that runs, files for deployment that parse."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest
from tests.test_docs import default_of

from unseen.guard import policy
from unseen.guard.connection import HEAD_BYTES
from unseen.guard.detectors import DETECTORS
from unseen.guard.listening import server_settings
from unseen.guard.policy import policy_from
from unseen.guard.proposing import PROTOCOLS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guard.md").read_text(encoding="utf-8")
DEPLOY = ROOT / "deploy"
PARSED_BY_ENVOY = ("envoy", "--mode", "validate", "-c", "envoy.yaml")
ELSEWHERE = ("# train.py", "# client")  # code that needs MLflow, or a guard that runs
SECTIONS = {
    "Top of the file": policy.Policy,
    "`[guard]`": policy.Server,
    "`[upstream]`": policy.Upstream,
    "`[[routes]]`": policy.Route,
    "`[tiers.NAME]`": policy.Tier,
    "`budget`": policy.Budget,
    "`[budgets]`": policy.Shared,
    "`[neighbourhood]`": policy.Neighbourhood,
    "`[store]`": policy.Store,
    "`[log]`": policy.Log,
    "`[[log.exports]]`": policy.Export,
    "`[oidc]`": policy.Oidc,
    "`[actions]`": policy.Actions,
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_with_its_default(section):
    body = PAGE.split(f"\n### {section}\n")[1].split("\n### ")[0].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", body, re.MULTILINE))
    assert rows == {field.encode_name: default_of(field) for field in msgspec.structs.fields(SECTIONS[section])}


def test_every_table_of_the_policy_has_a_section():
    nouns = {noun for noun in vars(policy).values() if isinstance(noun, type) and issubclass(noun, msgspec.Struct)}
    assert {noun for noun in nouns if not noun.__name__.startswith("_")} == set(SECTIONS.values())


def test_every_protocol_and_detector_is_named():
    assert not [name for name in PROTOCOLS if f"| `{name}` |" not in PAGE]
    said = (ROOT / "docs" / "detectors.md").read_text(encoding="utf-8")
    assert not [name for name in DETECTORS if f"| `{name}` |" not in said]


@pytest.mark.slow
def test_the_code_of_the_page_runs_in_order(tmp_path):
    blocks = re.findall(r"^```python\n(.*?)^```\n+(?:```text\n(.*?)^```)?", PAGE, re.MULTILINE | re.DOTALL)
    blocks = [(code, said) for code, said in blocks if not code.startswith(ELSEWHERE)]
    (tmp_path / "page.py").write_text("\n".join(code for code, _ in blocks), encoding="utf-8")
    env = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-W", "error", "page.py"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "".join(said for _, said in blocks)


@pytest.mark.parametrize("name", ["guard-runbook", "guard-deployment"])
def test_policies_on_a_page_can_be_read(name):
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    for block in re.findall(r"^```toml\n(.*?)^```", page, re.MULTILINE | re.DOTALL):
        content = {"upstream": {"url": "http://127.0.0.1:1"}, "routes": [{"protocol": "mlflow"}]} | tomllib.loads(block)
        policy_from(content)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_parses(tmp_path):
    unit = tmp_path / "unseen-guard.service"
    said = (DEPLOY / unit.name).read_text(encoding="utf-8")
    unit.write_text(said.replace("/opt/unseen-guard/bin/unseen", "/bin/true"), encoding="utf-8")
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
@pytest.mark.parametrize("command", [("nginx", "-t", "-p", ".", "-c", "nginx.conf"), PARSED_BY_ENVOY])
def test_a_proxy_parses(command, tmp_path):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    shutil.copy(DEPLOY / command[-1], tmp_path)
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=guard.example"]
    made += ["-keyout", "tls.key", "-out", "tls.crt"]
    subprocess.run(made, cwd=tmp_path, capture_output=True, timeout=60, check=True)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_what_stands_around_the_guard_waits_longer_and_lets_through_as_much():
    server, asked = policy.Server(), policy.Upstream(url="http://127.0.0.1:5001")
    nginx, envoy, unit = (number_in(name) for name in ("nginx.conf", "envoy.yaml", "unseen-guard.service"))
    assert nginx(r"proxy_read_timeout (\d+)s;") > asked.timeout_s
    assert nginx(r"client_max_body_size (\d+)m;") * 2**20 >= server.max_request_bytes
    assert envoy(r"^ +timeout: (\d+)s") > asked.timeout_s
    assert envoy(r"stream_idle_timeout: (\d+)s") > asked.timeout_s
    assert envoy(r"max_request_bytes: (\d+)") == server.max_request_bytes
    assert envoy(r"max_headers_count: (\d+)") < server.max_headers
    assert envoy(r"max_request_headers_kb: (\d+)") * 1024 < HEAD_BYTES
    assert envoy(r"^ +idle_timeout: (\d+)s +# the guard closes") < keep_alive_s()
    assert unit(r"^TimeoutStopSec=(\d+)$") > server.drain_s


def number_in(name):
    said = (DEPLOY / name).read_text(encoding="utf-8")
    return lambda pattern: int(re.search(pattern, said, re.MULTILINE)[1])


def keep_alive_s():
    guarded = {"upstream": {"url": "http://127.0.0.1:5001"}, "routes": [{"protocol": "mlflow"}]}
    return server_settings(policy_from(guarded | {"tiers": {"t": {"budget": {"lifetime": 5}}}}))["timeout_keep_alive"]


def test_envoy_asks_once_and_writes_nothing_down():
    lines = [line.strip() for line in (DEPLOY / "envoy.yaml").read_text(encoding="utf-8").splitlines()]
    keys = {line.split("#")[0].removeprefix("- ").split(":")[0] for line in lines}
    assert not keys & {"admin", "access_log", "retry_policy"}
    assert "compressor" not in "".join(lines)
    # None is internal, or x-envoy-retry-on would be obeyed; without an address in it, the list would mean everybody.
    assert "cidr_ranges: [{ address_prefix: 255.255.255.255, prefix_len: 32 }]" in lines


def test_the_unit_refuses_calls_and_kills_for_none():
    assert "SystemCallErrorNumber=EPERM" in (DEPLOY / "unseen-guard.service").read_text(encoding="utf-8").splitlines()


def test_the_image_runs_without_rights_and_copies_what_is_there():
    lines = (DEPLOY / "Containerfile").read_text(encoding="utf-8").splitlines()
    assert "USER 10001:10001" in lines
    for line in lines:
        if line.startswith("COPY ") and "--from" not in line:
            assert (ROOT / line.split()[1]).exists()
