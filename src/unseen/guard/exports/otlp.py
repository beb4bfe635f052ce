"""OpenTelemetry over HTTP: entries as log records, counts as metrics. An extra; nothing of the process is set up."""

import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from unseen import __version__
from unseen.errors import FolderError, MissingExtra
from unseen.guard.counts import EDGES_S, Snapshot
from unseen.guard.exports.event import PART, event_of, facts
from unseen.guard.exports.metrics import METRICS, TOOK
from unseen.guard.log.entries import Asked, Entry
from unseen.guard.policy import Export
from unseen.guard.secrets import read_secret

TIMEOUT_S = 5.0
SEVERITIES = {1: ("INFO", 9), 2: ("INFO2", 10), 3: ("WARN", 13), 4: ("ERROR", 17)}
PREFIX = "unseen.guard."
NS = 1_000_000_000
BREATH_S = 0.001  # between parts: the thread that answers goes first
NOT_TAKEN = "the collector did not take what was sent."


class OtlpTarget:
    """Sends to a collector's /v1/logs and /v1/metrics; reads no proxy settings and follows no redirect."""

    at_once = 512  # a collector may be far away

    def __init__(self, export: Export, worker: int) -> None:
        try:
            import opentelemetry._logs as api
            import opentelemetry.proto.collector.logs.v1.logs_service_pb2 as answers
            import opentelemetry.sdk._logs as logs
            import opentelemetry.sdk.metrics.export as metrics
            import requests
            from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
            from opentelemetry.exporter.otlp.proto.http import Compression
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.util.instrumentation import InstrumentationScope
            from opentelemetry.util.re import parse_env_headers
        except ImportError:
            raise MissingExtra(
                "log.exports to = 'otlp'", "opentelemetry-exporter-otlp-proto-http", "guard-otel"
            ) from None
        self.every_s: float | None = export.every_s
        self._gen_ai = export.gen_ai
        self._api: Any = api
        self._logs_of: Any = logs
        self._of: Any = metrics
        self._encode: Any = encode_logs
        self._answers: Any = answers.ExportLogsServiceResponse
        headers = {}
        if export.authorization is not None:
            headers = {"authorization": read_secret(export.authorization, "log.exports authorization").decode()}
        base = (export.address or "").rstrip("/")
        self._session = session = requests.Session()
        session.trust_env, session.max_redirects = False, 0
        settings: dict[str, Any] = {"headers": headers, "timeout": TIMEOUT_S, "compression": Compression.NoCompression}
        settings["session"] = session
        said = os.environ.get("OTEL_EXPORTER_OTLP_LOGS_HEADERS", os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", ""))
        shared = parse_env_headers(said, liberal=True)  # the exporter of metrics reads its own
        self._headers = {**shared, **headers, "content-type": "application/x-protobuf"}
        self._logs = f"{base}/v1/logs"
        self._metrics: Any = OTLPMetricExporter(f"{base}/v1/metrics", **settings)
        named = {"service.name": "unseen-guard", "service.version": __version__}
        named["service.instance.id"] = f"{socket.gethostname()}-{worker}"
        self._worker = f"worker-{worker}"
        self._resource = Resource(named)
        self._scope = InstrumentationScope("unseen.guard", __version__)

    def send(self, entries: Sequence[Entry]) -> int:
        """Send entries as log records; those that the collector rejects can never be sent."""
        body, said = b"", 0
        for start in range(0, len(entries), PART):
            records = list(self._records(entries[start : start + PART]))
            body += self._encode(records).SerializeToString()  # one after the other they are one message
            said += len(records)
            time.sleep(BREATH_S)
        answer = self._session.post(self._logs, body, headers=self._headers, timeout=TIMEOUT_S)
        if answer.status_code // 100 != 2:
            raise FolderError(NOT_TAKEN)
        return len(entries) - said + min(self._rejected(answer.content), said)

    def tell(self, counts: Snapshot) -> None:
        """Send counts as metrics, added up since the worker began."""
        metrics = [*self._counters(counts), self._histogram(counts, f"{PREFIX}request.duration", {})]
        if self._gen_ai:
            named = {"gen_ai.operation.name": "inference", "gen_ai.provider.name": "unseen.guard"}
            metrics.append(self._histogram(counts, "gen_ai.server.request.duration", named))
        scoped = self._of.ScopeMetrics(self._scope, metrics, "")
        data = self._of.MetricsData([self._of.ResourceMetrics(self._resource, [scoped], "")])
        _must(self._metrics.export(data, timeout_millis=TIMEOUT_S * 1000))

    def close(self) -> None:
        """Let go of the connections."""
        self._metrics.shutdown()
        self._session.close()

    def _rejected(self, answer: bytes) -> int:
        """Return how many records a collector says it has rejected; an answer that is none of OTLP says nothing."""
        with suppress(Exception):  # protobuf's own
            return max(0, int(self._answers.FromString(answer).partial_success.rejected_log_records))
        return 0

    def _records(self, entries: Sequence[Entry]) -> Iterable[Any]:
        for entry in entries:
            with suppress(Exception):  # one entry that cannot be said must not stop the others
                yield self._record(entry)

    def _record(self, entry: Entry) -> Any:
        event = event_of(entry)
        if event is None:
            raise ValueError("no event")
        text, number = SEVERITIES[event.severity]
        attributes: dict[str, Any] = {PREFIX + name: value for name, value in facts(entry, self._worker).items()}
        if isinstance(entry, Asked):
            attributes["http.response.status_code"] = entry.status
            if self._gen_ai:
                attributes |= {"gen_ai.operation.name": "inference", "gen_ai.provider.name": "unseen.guard"}
        record = self._api.LogRecord(
            timestamp=int(entry.t * NS),
            observed_timestamp=time.time_ns(),
            severity_text=text,
            severity_number=self._api.SeverityNumber(number),
            body=event.said,
            attributes=attributes,
            event_name=PREFIX + event.name,
        )
        return self._logs_of.ReadableLogRecord(record, self._resource, self._scope)

    def _counters(self, counts: Snapshot) -> Iterable[Any]:
        for metric in METRICS:
            points = [
                self._of.NumberDataPoint(
                    dict(zip(metric.labels, values, strict=True)), int(counts.began * NS), int(counts.at * NS), value
                )
                for values, value in metric.rows(counts)
            ]
            data = self._of.Sum(points, self._of.AggregationTemporality.CUMULATIVE, True) if metric.up else None  # noqa: FBT003
            yield self._of.Metric(PREFIX + metric.name, metric.said, "1", data or self._of.Gauge(points))

    def _histogram(self, counts: Snapshot, name: str, named: dict[str, str]) -> Any:
        points = [
            self._of.HistogramDataPoint(
                attributes={"route": took.route, **named},
                start_time_unix_nano=int(counts.began * NS),
                time_unix_nano=int(counts.at * NS),
                count=sum(took.buckets),
                sum=took.seconds,
                bucket_counts=took.buckets,
                explicit_bounds=EDGES_S,
                min=None,
                max=None,
            )
            for took in counts.took
        ]
        return self._of.Metric(
            name, TOOK[1], "s", self._of.Histogram(points, self._of.AggregationTemporality.CUMULATIVE)
        )


def _must(result: Any) -> None:
    """Raise where an exporter says that it failed: the entries are kept then."""
    if result.name != "SUCCESS":
        raise FolderError(NOT_TAKEN)
