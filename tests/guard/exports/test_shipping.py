"""Exports of a guard that runs: everything arrives, or is counted; and whatever a target does, requests go on."""

import asyncio
import contextlib
import datetime as dt
import http.server
import json
import re
import socket
import ssl
import threading
import time

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.guard.guards import FakeModel, asked, opened, policy

from unseen.errors import MissingExtra, PolicyError
from unseen.guard.checking import findings
from unseen.guard.counts import Counts
from unseen.guard.exports import FORMATS, shipping, targets
from unseen.guard.exports.shipping import Line, Shipping
from unseen.guard.exports.targets import FileTarget, SyslogTarget
from unseen.guard.log.entries import Done
from unseen.guard.log.reading import entries
from unseen.guard.policy import Export, endpoint_of

QUESTION = msgspec.json.encode({"inputs": [[1.0, 2.0], [3.0, 4.0]]})


def done(number, what="x"):
    return Done(number, 0.0, what)


def logged(folder):
    return [entry for entry in entries(folder / "state" / "log") if type(entry).__name__ in {"Asked", "Seen", "Done"}]


async def ask(folder, exports, times=20, between=None):
    """Ask a guard with exports `times` times; return the seconds of each, and the snapshot after it has closed."""
    took = []
    async with opened(policy(folder, log={"exports": exports}), FakeModel()) as gateway:
        _, key = gateway.state.keys.add(tenant="acme", tier="basic")
        for number in range(times):
            since = time.perf_counter()
            status, _, _ = await asked(gateway, QUESTION, key=key)
            took.append(time.perf_counter() - since)
            assert status in {200, 429}
            if between is not None:
                between(number)
    return took, gateway.state.snapshot()


@contextlib.contextmanager
def listening(kind=socket.SOCK_STREAM, buffer=None):
    with socket.socket(socket.AF_INET, kind) as sock:
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        sock.settimeout(5)
        yield sock, "{}:{}".format(*sock.getsockname())


def read_all(sock):
    """What came over one connection, to its end."""
    connection, _ = sock.accept()
    with connection:
        connection.settimeout(5)
        parts = []
        while part := connection.recv(65_536):
            parts.append(part)
        return b"".join(parts)


def octets(content):
    """The messages of RFC 6587, section 3.4.1."""
    while content:
        size, content = content.split(b" ", 1)
        yield content[: int(size)].decode()
        content = content[int(size) :]


@pytest.mark.parametrize("form", ["syslog", "cef"])
def test_every_entry_arrives_over_tcp(tmp_path, form):
    with listening() as (sock, where):
        exports = [{"to": "syslog", "address": f"tcp://{where}", "format": form}]
        _, snapshot = asyncio.run(ask(tmp_path, exports))
        lines = list(octets(read_all(sock)))
    assert len(lines) == len(logged(tmp_path)) == 20
    assert snapshot.exports[0].sent == 20
    assert all(line.startswith("<110>1 ") for line in lines)
    assert (
        all(FORMATS["cef"](entry, "worker-0") in line for entry, line in zip(logged(tmp_path), lines, strict=True))
        or form != "cef"
    )


def test_every_entry_arrives_over_udp_and_in_a_file(tmp_path):
    with listening(socket.SOCK_DGRAM) as (sock, where):
        exports = [
            {"to": "syslog", "address": f"udp://{where}"},
            {"to": "file", "path": str(tmp_path / "out" / "ecs"), "format": "ecs"},
            {"to": "file", "path": str(tmp_path / "out" / "plain")},
        ]
        asyncio.run(ask(tmp_path, exports))
        messages = [sock.recv(65_536).decode() for _ in range(20)]
    assert [re.search(r' n="(\d+)"', message)[1] for message in messages] == [str(e.n) for e in logged(tmp_path)]
    assert all(' worker="worker-0" ' in message for message in messages)
    ecs = (tmp_path / "out" / "ecs").read_text().splitlines()
    assert [json.loads(line)["event"]["sequence"] for line in ecs] == [entry.n for entry in logged(tmp_path)]
    plain = (tmp_path / "out" / "plain").read_text().splitlines()
    assert plain == [FORMATS["jsonl"](entry, "worker-0") for entry in logged(tmp_path)]
    assert (tmp_path / "out" / "plain").stat().st_mode & 0o077 == 0


def test_a_target_that_never_reads_slows_no_request_and_loses_only_what_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "FLUSH_S", 0.2)
    quiet, _ = asyncio.run(ask(tmp_path / "quiet", [], 400))
    with listening(buffer=2048) as (_, where):  # the kernel accepts; nobody reads
        exports = [{"to": "syslog", "address": f"tcp://{where}", "format": "ocsf", "queue": 50}]
        stuck, snapshot = asyncio.run(ask(tmp_path / "stuck", exports, 4000))
    (shipped,) = snapshot.exports
    written = logged(tmp_path / "stuck")
    told = [entry.count for entry in written if isinstance(entry, Done) and entry.what == "export-dropped"]
    assert shipped.dropped > 50
    assert shipped.sent + shipped.dropped == 4000
    assert sum(told) == shipped.dropped
    assert sorted(stuck)[len(stuck) // 2] < 3 * sorted(quiet)[len(quiet) // 2] + 0.001
    assert max(stuck) < targets.TIMEOUT_S / 5  # nobody waited for the target


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "udp://127.0.0.1:9", "tls://127.0.0.1:9"])
def test_a_target_that_is_not_there_fails_no_request(tmp_path, monkeypatch, address):
    monkeypatch.setattr(shipping, "FLUSH_S", 0.2)
    since = time.monotonic()
    _, snapshot = asyncio.run(ask(tmp_path, [{"to": "syslog", "address": address, "queue": 5}]))
    assert time.monotonic() - since < 3
    (shipped,) = snapshot.exports
    assert shipped.sent + shipped.dropped == 20
    assert shipped.failures > 0 or address.startswith("udp")


def test_a_target_that_comes_back_gets_what_waited(tmp_path, monkeypatch):
    monkeypatch.setattr(shipping, "FIRST_PAUSE_S", 0.02)
    with listening() as (sock, where):
        exports = [{"to": "syslog", "address": f"tcp://{where}"}]
        got = []

        def break_off(number):
            if number == 4:
                connection, _ = sock.accept()
                connection.settimeout(5)
                time.sleep(0.1)
                got.append(connection.recv(65_536))
                connection.close()

        _, snapshot = asyncio.run(ask(tmp_path, exports, 10, break_off))
        got.append(read_all(sock))
    numbers = [int(re.search(r' n="(\d+)"', line)[1]) for line in octets(b"".join(got))]
    assert numbers == [entry.n for entry in logged(tmp_path)]
    assert (snapshot.exports[0].sent, snapshot.exports[0].dropped) == (10, 0)


def certified(folder):
    """A server's side of TLS, and the file of its certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(1)).not_valid_after(now + dt.timedelta(1))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    file = folder / "localhost.pem"
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file.write_bytes(key.private_bytes(*encoding) + made.sign(key, hashes.SHA256()).public_bytes(encoding[0]))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


@pytest.mark.parametrize("polite", [True, False], ids=["close_notify", "end of stream"])
def test_what_comes_after_a_tls_server_closed_an_idle_connection_arrives(tmp_path, monkeypatch, polite):
    context, file = certified(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    got, closed = [], threading.Event()

    def serve(sock):
        for sends in (2, 1):
            with context.wrap_socket(sock.accept()[0], server_side=True) as connection:
                connection.settimeout(5)
                got.extend(connection.recv(65_536) for _ in range(sends))
                connection.settimeout(0.01)
                with contextlib.suppress(OSError):
                    if polite:
                        connection.unwrap()
            closed.set()

    with listening() as (sock, where):
        target = SyslogTarget("tls", "localhost", int(where.rpartition(":")[2]), FORMATS["syslog"])
        server = threading.Thread(target=serve, args=(sock,))
        server.start()
        target.send([done(1)])
        opened_first = target._socket
        target.send([done(2)])
        assert target._socket is opened_first
        assert closed.wait(5)
        target.send([done(3)])
        server.join()
        target.close()
    numbers = [int(re.search(r' n="(\d+)"', line)[1]) for line in octets(b"".join(got))]
    assert numbers == [1, 2, 3]


class Broken:
    every_s = 0.01
    at_once = 16

    def __init__(self, fails):
        self.fails = fails
        self.got, self.told = [], 0

    def send(self, sent):
        self.fails -= 1
        if self.fails >= 0:
            raise ValueError("no")
        self.got += sent
        return 0

    def tell(self, counts):
        self.told += 1
        raise ValueError("no")

    def close(self):
        raise ValueError("no")


def wait_for(true):
    until = time.monotonic() + 5
    while not true() and time.monotonic() < until:
        time.sleep(0.005)
    assert true()


@pytest.mark.parametrize(("fails", "arrives"), [(3, True), (4, False)])
def test_entries_are_tried_again_but_not_for_ever(monkeypatch, fails, arrives):
    monkeypatch.setattr(shipping, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(shipping, "TRIES", 4)
    target = Broken(fails)
    line = Line("x", target, 10, Counts().snapshot)
    line.take(done(1))
    wait_for(lambda: line.shipped().waiting == 0)
    line.take(done(2))
    line.stop()
    line.end(time.monotonic() + 5)
    assert [entry.n for entry in target.got] == ([1, 2] if arrives else [2])
    assert line.shipped().dropped == (0 if arrives else 1)
    assert line.shipped().failures > fails
    assert target.told > 0


def test_the_log_is_told_of_drops_every_so_often_and_at_the_end(tmp_path, monkeypatch):
    written = []
    exporting = Shipping(
        [Export(to="file", path=str(tmp_path / "no" / "such" / "\0"), queue=2)],
        0,
        Counts().snapshot,
        lambda noun, **fields: written.append(fields),
    )
    for number in range(10):
        exporting.take(done(number))
    assert written == []
    monkeypatch.setattr(shipping, "FLUSH_S", 0.05)
    exporting._next = 0.0
    exporting.take(done(10))
    exporting.take(done(11))
    exporting.close()
    exporting.settle()
    exporting.settle()
    assert len(written) == 2
    assert sum(fields["count"] for fields in written) == 12
    assert {fields["what"] for fields in written} == {"export-dropped"}


def test_a_file_that_was_moved_away_is_made_anew(tmp_path):
    target = FileTarget(tmp_path / "out", FORMATS["jsonl"])
    target.send([done(1)])
    (tmp_path / "out").rename(tmp_path / "out.1")
    target.send([done(2)])
    target.close()
    assert [json.loads((tmp_path / name).read_text())["n"] for name in ("out.1", "out")] == [1, 2]


def test_a_line_torn_by_a_full_disk_stands_alone(tmp_path, monkeypatch):
    target, write = FileTarget(tmp_path / "out", FORMATS["jsonl"]), targets.os.write
    monkeypatch.setattr(targets.os, "write", lambda file, content: write(file, content[:9]))
    with pytest.raises(OSError, match="No space"):
        target.send([done(1)])
    monkeypatch.setattr(targets.os, "write", write)
    target.send([done(1)])
    target.close()
    torn, whole = (tmp_path / "out").read_text().splitlines()
    assert (len(torn), json.loads(whole)["n"]) == (9, 1)


def test_no_file_is_followed_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        FileTarget(tmp_path / "link", FORMATS["jsonl"]).send([done(1)])


def test_one_entry_that_cannot_be_said_stops_no_other():
    def form(entry):
        if entry.n == 2:
            raise ValueError("no")
        return "x" * (70_000 if entry.n == 3 else 5)

    with listening(socket.SOCK_DGRAM) as (sock, where):
        target = SyslogTarget(*endpoint_of(f"udp://{where}"), form)
        assert target.send([done(1), done(2), done(3), done(4)]) == 2
        assert [sock.recv(9), sock.recv(9)] == [b"xxxxx"] * 2
        target.close()


# OpenTelemetry


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, self.headers.get("authorization"), body))
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def collecting(status=200, answer=b""):
    with http.server.HTTPServer(("127.0.0.1", 0), Collector) as server:
        server.got, server.status, server.answer = [], status, answer
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def values(attributes):
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


@pytest.mark.parametrize("gen_ai", [False, True])
def test_entries_and_counts_arrive_as_opentelemetry(tmp_path, monkeypatch, gen_ai):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    monkeypatch.setenv("COLLECTOR", "Bearer of-the-collector")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with collecting() as (server, address):
        export = {"to": "otlp", "address": address, "authorization": "env:COLLECTOR", "gen_ai": gen_ai}
        _, snapshot = asyncio.run(ask(tmp_path, [export]))
    assert snapshot.exports[0].sent == 20
    assert {authorization for _, authorization, _ in server.got} == {"Bearer of-the-collector"}
    logs = [ExportLogsServiceRequest.FromString(body) for path, _, body in server.got if path == "/v1/logs"]
    records = [
        one
        for log in logs
        for resource in log.resource_logs
        for scope in resource.scope_logs
        for one in scope.log_records
    ]
    assert len(records) == 20
    assert values(logs[0].resource_logs[0].resource.attributes)["service.name"] == "unseen-guard"
    said = values(records[0].attributes)
    assert (said["unseen.guard.worker"], said["unseen.guard.n"]) == ("worker-0", logged(tmp_path)[0].n)
    assert (said["unseen.guard.tenant"], said["http.response.status_code"]) == ("acme", 200)
    assert records[0].time_unix_nano == pytest.approx(logged(tmp_path)[0].t * 1e9, abs=1e3)
    assert any(name.startswith("gen_ai.") for name in said) == gen_ai
    told = [ExportMetricsServiceRequest.FromString(body) for path, _, body in server.got if path == "/v1/metrics"]
    metrics = {one.name: one for one in told[-1].resource_metrics[0].scope_metrics[0].metrics}
    (point,) = metrics["unseen.guard.requests"].sum.data_points
    assert (point.as_double or point.as_int, values(point.attributes)["reason"]) == (20, "answered")
    (point,) = metrics["unseen.guard.request.duration"].histogram.data_points
    assert (point.count, len(point.bucket_counts) - 1) == (20, len(point.explicit_bounds))
    assert ("gen_ai.server.request.duration" in metrics) == gen_ai


def record_counts(server):
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    logs = [ExportLogsServiceRequest.FromString(body) for path, _, body in server.got if path == "/v1/logs"]
    return [sum(len(s.log_records) for r in log.resource_logs for s in r.scope_logs) for log in logs]


@pytest.mark.parametrize(("rejects", "dropped"), [(0, 0), (3, 3), (20, 20), (999, 20), (-1, 0)])
def test_records_that_a_collector_rejects_are_counted_as_dropped(rejects, dropped):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse

    answer = ExportLogsServiceResponse()
    answer.partial_success.rejected_log_records = rejects
    with collecting(answer=answer.SerializeToString()) as (_, address):
        target = targets.open_target(Export(to="otlp", address=address), 0)
        assert target.send([done(n) for n in range(20)]) == dropped
        target.close()


def test_a_collector_whose_answer_says_nothing_has_taken_everything():
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with collecting(answer=b"ok, thanks!") as (_, address):
        target = targets.open_target(Export(to="otlp", address=address), 0)
        assert target.send([done(1)]) == 0
        target.close()


def test_what_waits_for_a_collector_goes_several_hundred_a_request():
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with collecting() as (server, address):
        line = Line("x", targets.open_target(Export(to="otlp", address=address), 0), 10_000, Counts().snapshot)
        for number in range(2_000):
            line.take(done(number))
        wait_for(lambda: line.shipped().waiting == 0)
        line.stop()
        line.end(time.monotonic() + 5)
        counts = record_counts(server)
    assert sum(counts) == line.shipped().sent == 2_000
    assert len(counts) < 9
    assert max(counts) <= 512


def test_a_collector_that_refuses_fails_no_request(tmp_path, monkeypatch, caplog):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    monkeypatch.setattr(shipping, "FLUSH_S", 0.3)
    with collecting(status=401) as (_, address):
        _, snapshot = asyncio.run(ask(tmp_path, [{"to": "otlp", "address": address}]))
    (shipped,) = snapshot.exports
    assert (shipped.sent, shipped.dropped) == (0, 20)
    assert shipped.failures > 0


def test_without_the_extra_the_guard_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.exporter.otlp.proto.http", None)
    with pytest.raises(MissingExtra, match="guard-otel"):
        asyncio.run(ask(tmp_path, [{"to": "otlp", "address": "http://127.0.0.1:9"}]))


# The policy


@pytest.mark.parametrize(
    ("export", "said"),
    [
        ({"to": "syslog"}, "needs address"),
        ({"to": "file", "path": "x", "address": "udp://127.0.0.1:1"}, "address says nothing"),
        ({"to": "syslog", "address": "udp://127.0.0.1"}, "HOST:PORT"),
        ({"to": "syslog", "address": "http://127.0.0.1:514"}, "HOST:PORT"),
        ({"to": "syslog", "address": "udp://u:p@127.0.0.1:514"}, "HOST:PORT"),
        ({"to": "syslog", "address": "tcp://127.0.0.1:99999"}, "HOST:PORT"),
        ({"to": "otlp", "address": "http://u:p@127.0.0.1:4318"}, "without a user"),
        ({"to": "otlp", "address": "http://127.0.0.1:4318", "format": "cef"}, "format"),
        ({"to": "file", "path": "x", "gen_ai": True}, "otlp"),
        ({"to": "file", "path": "STATE/log/worker-0/000002.jsonl"}, "inside guard.state"),
        ({"to": "file", "path": "x", "queue": 0}, "at least 1"),
        ({"to": "file", "pth": "x"}, "did you mean 'path'"),
        ({"to": "kafka"}, "kafka"),
    ],
)
def test_an_export_that_cannot_be_is_refused(tmp_path, export, said):
    export = {
        name: str(v).replace("STATE", str(tmp_path / "state")) if name == "path" else v for name, v in export.items()
    }
    with pytest.raises(PolicyError, match=re.escape(said)):
        policy(tmp_path, log={"exports": [export]})


def test_two_exports_to_one_place_are_refused(tmp_path):
    with pytest.raises(PolicyError, match="one place"):
        policy(tmp_path, log={"exports": [{"to": "file", "path": "x"}] * 2})


def test_what_is_unwise_is_said(tmp_path):
    exports = [{"to": "syslog", "address": "udp://10.0.0.1:514"}, {"to": "otlp", "address": "http://a.test"}]
    exports.append({"to": "otlp", "address": "https://b.test", "authorization": "the secret itself"})
    said = [
        str(finding) for finding in findings(policy(tmp_path, log={"exports": exports})) if "exports" in finding.place
    ]
    assert sum("in clear" in one for one in said) == 2
    assert sum("udp" in one for one in said) == 1
    assert next(one for one in said if one.startswith("refused")).startswith("refused: log.exports 3.authorization")
    assert "the secret itself" not in "".join(said)
