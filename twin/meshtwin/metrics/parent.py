"""Metrics of a parent twin, read from its summary when somebody scrapes."""

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meshtwin.contract.summaries import TwinSummary

__all__ = ["ParentMetrics"]


class ParentMetrics(Collector):
    """Roll-up figures of one parent."""

    def __init__(
        self,
        network: str,
        registry: CollectorRegistry,
        summary: Callable[[], TwinSummary],
        dropped: Mapping[str, int],
    ) -> None:
        self._network = network
        self._registry = registry
        self._summary = summary
        self._dropped = dropped
        registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the summary is asked for at each scrape."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Figures of the summary as it is now."""
        summary = self._summary()
        segments = summary.segments
        yield self._gauge("meshtwin_segments", "Segments below this twin", len(segments))
        yield self._gauge("meshtwin_children_missing", "Children offline", len(summary.children_missing))
        yield self._gauge("meshtwin_nodes", "Nodes of all inventories", sum(s.nodes for s in segments))
        yield self._gauge("meshtwin_nodes_heard", "Nodes heard recently", sum(s.nodes_heard for s in segments))
        yield self._gauge("meshtwin_links", "Directed links ever reported", sum(s.links for s in segments))
        fresh = sum(s.links_fresh for s in segments)
        yield self._gauge("meshtwin_links_fresh", "Directed links heard recently", fresh)
        if summary.age_seconds is not None:
            help_text = "Since the newest report of the least fresh segment"
            yield self._gauge("meshtwin_twin_age_seconds", help_text, summary.age_seconds)
        dropped = CounterMetricFamily(
            "meshtwin_summaries_dropped", "Summaries not used, by reason", labels=["network", "reason"]
        )
        for reason, count in self._dropped.items():
            dropped.add_metric([self._network, reason], count)
        yield dropped

    def to_text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, help_text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, help_text, labels=["network"])
        family.add_metric([self._network], value)
        return family
