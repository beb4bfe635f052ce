"""Metrics for Prometheus: made from snapshots when it asks, by a registry that lives for one answer."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from unseen import __version__
from unseen.guard.counts import EDGES_S, Snapshot
from unseen.guard.exports.metrics import METRICS, TOOK

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "unseen_guard_"


class Collected(Collector):
    """The counts of every worker, by its number: one that began again at zero does not make a sum go back."""

    def __init__(self, workers: Mapping[int, Snapshot], policy: str, mode: str) -> None:
        self._workers = {str(number): snapshot for number, snapshot in sorted(workers.items())}
        self._policy = policy
        self._mode = mode

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        info = GaugeMetricFamily(f"{PREFIX}info", "The guard that runs.", labels=("version", "policy", "mode"))
        info.add_metric((__version__, self._policy, self._mode), 1)
        yield info
        for known in METRICS:
            family = CounterMetricFamily if known.up else GaugeMetricFamily
            metric = family(PREFIX + known.name, known.said, labels=("worker", *known.labels))
            for worker, snapshot in self._workers.items():
                for values, count in known.rows(snapshot):
                    metric.add_metric((worker, *values), count)
            yield metric
        took = HistogramMetricFamily(PREFIX + TOOK[0], TOOK[1], labels=("worker", "route"))
        for worker, snapshot in self._workers.items():
            for one in snapshot.took:
                took.add_metric((worker, one.route), _cumulated(one.buckets), one.seconds)
        yield took


def exposition(workers: Mapping[int, Snapshot], policy: str, mode: str) -> bytes:
    """Return the text that Prometheus reads."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Collected(workers, policy, mode))
    return generate_latest(registry)


def _cumulated(buckets: Iterable[int]) -> list[tuple[str, float]]:
    """Return how many took up to each edge.

    >>> _cumulated([1, 2] + [0] * 13)[:2]
    [('0.0005', 1.0), ('0.001', 3.0)]
    """
    total, found = 0, []
    for edge, count in zip((*map(str, EDGES_S), "+Inf"), buckets, strict=True):
        total += count
        found.append((edge, float(total)))
    return found
