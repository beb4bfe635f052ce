"""The guard's cost beside its peers, in one run: requests per CPU second, added time at one connection, start, memory.

    python benchmarks/guard/speed.py --out benchmarks/guard/speed.md [--litellm PATH/TO/bin/litellm] [--rounds 5]

Needs nginx and wrk (Debian's packages). Every server has one worker and one thread; the load comes from wrk with one
thread. CPU seconds are those of the server's process tree. nginx answers as the model's server, always the same.
"""

import argparse
import os
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from importlib.metadata import version
from pathlib import Path

from unseen.guard.keys import KeyRing
from unseen.guard.secrets import derive

SECRET = os.urandom(32).hex()
TENSOR = (
    '{"model_name":"m","id":"1","outputs":[{"name":"p","shape":[1,3],"datatype":"FP64","data":[0.9712,0.0188,0.01]}]}'
)
CHAT = (
    '{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":'
    '{"role":"assistant","content":"Hello there, how may I help you today?"},"finish_reason":"stop"}],'
    '"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18}}'
)
ASK_TENSOR = (
    '{"id":"1","inputs":[{"name":"x","shape":[1,12],"datatype":"FP64","data":'
    "[0.11,1.22,3.31,4.1,5.1,6.6,7.01,8.8,9.31,1.1,1.2,1.3]}]}"
)
ASK_CHAT = '{"model":"m","messages":[{"role":"user","content":"Say hello to somebody who has just arrived here."}]}'
V2, OPENAI = "/v2/models/m/infer", "/v1/chat/completions"
CONNECTIONS = 64
ALONE = "the model's server, alone"
TICK = os.sysconf("SC_CLK_TCK")


class Server:
    """A server under test: its port, the process whose tree is counted, and the headers it wants."""

    def __init__(self, name, port, process, headers=()):
        self.name, self.port, self.process, self.headers = name, port, process, dict(headers)

    def cpu(self):
        return sum(cpu_of(pid) for pid in tree(self.process.pid))

    def rss(self):
        found = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", found)[1]) / 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def tree(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in tree(int(child)))]


def cpu_of(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def nginx(folder, port, inner, name):
    config = folder / f"nginx-{port}.conf"
    config.write_text(
        f"worker_processes 1; daemon off; error_log {folder}/{port}.err; pid {folder}/{port}.pid;\n"
        f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; keepalive_requests 100000000;\n{inner}\n}}\n"
    )
    return Server(name, port, subprocess.Popen([shutil.which("nginx") or "/usr/sbin/nginx", "-c", config]))


def guard(folder, port, upstream, client, controls, name):
    policy = folder / f"{port}.toml"
    policy.write_text(f"""
        guard = {{ listen = "127.0.0.1:{port}", state = "{folder}/{port}" }}
        upstream = {{ url = "http://127.0.0.1:{upstream}", client = "{client}" }}
        budgets = {{ total = {{ per_day = 20000000000 }} }}
        [[routes]]
        protocol = "open-inference-v2"
        [[routes]]
        protocol = "openai"
        [tiers.t]
        rate = "1000000 per second, burst 100000"
        budget = {{ per_day = 1000000000, lifetime = 10000000000 }}
        controls = [{controls}]
    """)
    _, key = KeyRing(folder / str(port), derive(SECRET.encode(), "keys")).add(tenant="t", tier="t")
    run = "import sys; from unseen.guard.commands import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", run, "serve", policy],
        env=os.environ | {"UNSEEN_GUARD_SECRET": SECRET},
        stderr=subprocess.DEVNULL,
    )
    return Server(name, port, process, {"Authorization": f"Bearer {key}"})


def bare(port, upstream, client, name):
    """Start uvicorn and a client, and nothing between: what a guard on them cannot go below."""
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "error"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "uvicorn",
            "--app-dir",
            Path(__file__).parent,
            "--port",
            str(port),
            *options,
            "bare:app",
        ],
        env=os.environ | {"UPSTREAM": f"http://127.0.0.1:{upstream}", "CLIENT": client},
    )
    return Server(name, port, process)


def litellm(folder, port, upstream, program):
    config = folder / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: m\n    litellm_params:\n      model: openai/m\n"
        f"      api_base: http://127.0.0.1:{upstream}/v1\n      api_key: none\n"
        "general_settings:\n  master_key: os.environ/LITELLM_MASTER_KEY\n"
    )
    key = "sk-" + os.urandom(24).hex()
    quiet = {"LITELLM_MASTER_KEY": key, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
    process = subprocess.Popen(
        [program, "--config", config, "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"],
        env=os.environ | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Server("LiteLLM proxy", port, process, {"Authorization": f"Bearer {key}"})


def wait(server, path, body, seconds=120):
    """Wait until a server answers 200; return how long that took."""
    begun = time.time()
    headers = {"content-type": "application/json", **server.headers}
    while time.time() - begun < seconds:
        assert server.process.poll() is None, f"{server.name} ended"
        try:
            request = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", body.encode(), headers)
            with urllib.request.urlopen(request, timeout=5) as answer:
                answer.read()
            return time.time() - begun
        except (urllib.error.URLError, OSError):
            time.sleep(0.005)
    raise SystemExit(f"{server.name} did not answer")


def wrk(folder, server, path, body, connections, seconds):
    """Load a server; return requests answered, and the middle and 99th percentile of the time of one."""
    script = folder / f"{server.port}.lua"
    lines = ['wrk.method = "POST"', 'wrk.headers["Content-Type"] = "application/json"']
    lines += [f'wrk.headers["{name}"] = "{value}"' for name, value in server.headers.items()]
    script.write_text("\n".join([*lines, f"wrk.body = [[{body}]]"]))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", script]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    assert "Non-2xx" not in said, said
    times = [micros(re.search(rf"{share}%\s+([\d.]+\w+)", said)[1]) for share in (50, 99)]
    return int(re.search(r"(\d+) requests in", said)[1]), *times


def micros(text):
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]


def measured(folder, server, path, body, seconds):
    before = server.cpu()
    requests, _, _ = wrk(folder, server, path, body, CONNECTIONS, seconds)
    cpu = server.cpu() - before
    _, middle, late = wrk(folder, server, path, body, 1, max(1, seconds // 2))
    return requests / cpu, requests / seconds, middle, late


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--litellm")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fixed = "\n".join(
            f"location {path} {{ default_type application/json; return 200 '{answer}'; }}"
            for path, answer in ((V2, TENSOR), (OPENAI, CHAT))
        )
        upstream = nginx(folder, 5900, f"server {{ listen 127.0.0.1:5900; {fixed} }}", ALONE)
        label, rounding = '{ name = "label-only" }', '{ name = "rounding", decimals = 2 }'
        proxied = (
            "upstream u { server 127.0.0.1:5900; keepalive 256; keepalive_requests 100000000; }\n"
            "server { listen 127.0.0.1:5901; location / { proxy_pass http://u; proxy_http_version 1.1; "
            'proxy_set_header Connection ""; } }'
        )
        servers = [
            nginx(folder, 5901, proxied, "nginx proxy"),
            guard(folder, 5902, 5900, "aiohttp", label, "guard, aiohttp, label-only"),
            guard(folder, 5903, 5900, "aiohttp", rounding, "guard, aiohttp, rounding"),
            guard(folder, 5904, 5900, "pyreqwest", label, "guard, pyreqwest, label-only"),
        ]
        floors = [
            bare(5906, 5900, "aiohttp", "no guard: uvicorn and aiohttp alone"),
            bare(5907, 5900, "pyreqwest", "no guard: uvicorn and pyreqwest alone"),
        ]
        starts = {server.name: wait(server, V2, ASK_TENSOR) for server in servers}
        time.sleep(2)
        memory = {server.name: server.rss() for server in servers}
        for floor in floors:
            wait(floor, V2, ASK_TENSOR)
        peers = [litellm(folder, 5905, 5900, arguments.litellm)] if arguments.litellm else []
        for peer in peers:
            starts[peer.name] = wait(peer, OPENAI, ASK_CHAT)
            memory[peer.name] = peer.rss()
        rows = {}
        try:
            for number in range(arguments.rounds):
                for path, body, among in (
                    (V2, ASK_TENSOR, [*servers, *floors]),
                    (OPENAI, ASK_CHAT, [*servers, *peers]),
                ):
                    for server in [upstream, *among]:
                        found = measured(folder, server, path, body, arguments.seconds)
                        rows.setdefault((path, server.name), []).append(found)
                print(f"round {number + 1}", file=sys.stderr)
        finally:
            for server in [*servers, *floors, *peers, upstream]:
                server.stop()
    text = report(rows, starts, memory, arguments)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


HEAD = """\
# The guard's cost beside its peers

`python benchmarks/guard/speed.py --rounds {rounds}{litellm}`; medians of {rounds} rounds [lowest, highest], with all
servers in each. One worker and one thread each; wrk with one thread, {connections} connections for {seconds} s, then
one connection for {half} s, on the same two shared x86-64 cores as the servers. Python {python}, uvicorn {uvicorn},
aiohttp {aiohttp}, pyreqwest {pyreqwest}, msgspec {msgspec}. The guard's path is whole: key, rate, three budgets in
SQLite (each lease of 1,000 on the disk), strict JSON in, the control, fingerprint, and a chained log record written
before the answer."""


def report(rows, starts, memory, arguments):
    versions = {name: version(name) for name in ("uvicorn", "aiohttp", "pyreqwest", "msgspec")}
    said = {"rounds": arguments.rounds, "seconds": arguments.seconds, "half": max(1, arguments.seconds // 2)}
    said |= {"litellm": " --litellm ..." if arguments.litellm else "", "connections": CONNECTIONS}
    lines = [HEAD.format(python=platform.python_version(), **said, **versions)]
    for path, title in ((V2, "Open Inference V2, one record of 12 numbers"), (OPENAI, "OpenAI chat completion")):
        lines += ["", f"## {title}", ""]
        lines += ["| server | requests a CPU second | of nginx | requests a second | p50 added, µs | p99, ms |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
        lines += table({name: values for (where, name), values in rows.items() if where == path})
    lines += ["", "| started together | first answer after, s | memory then, MiB |", "|---|---:|---:|"]
    lines += [f"| {name} | {starts[name]:.2f} | {memory[name]:.0f} |" for name in starts if name != "nginx proxy"]
    return "\n".join(lines) + "\n"


def table(named):
    """One row a server: its rate beside nginx's, and what it adds to the model's server alone."""
    alone = statistics.median(value[2] for value in named[ALONE])
    nginx_rate = statistics.median(value[0] for value in named["nginx proxy"])
    for name, values in named.items():
        rate, total, middle, late = (statistics.median(column) for column in zip(*values, strict=True))
        rates = [value[0] for value in values]
        share, added = f"{100 * rate / nginx_rate:.1f} %", f"{middle - alone:.0f}"
        if name == ALONE:
            share = added = ""
        cells = (
            f"{rate:,.0f} [{min(rates):,.0f}, {max(rates):,.0f}] | {share} | {total:,.0f} | {added} | {late / 1e3:.1f}"
        )
        yield f"| {name} | {cells} |"


if __name__ == "__main__":
    main()
