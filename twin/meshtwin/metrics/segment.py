"""Metrics of a segment twin, read from its state when somebody scrapes; only delays are kept on the way."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from meshtwin.twins.freshness import Rollup
from meshtwin.twins.state import TwinState

__all__ = ["SegmentFigures", "SegmentMetrics"]

DELAY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 5.0, 60.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFigures:
    """What is scraped."""

    state: TwinState
    rollup: Rollup
    is_connected: bool
    connections: int


class SegmentMetrics(Collector):
    """The registry of one segment twin."""

    def __init__(self, network: str, figures: Callable[[], SegmentFigures]) -> None:
        self._network = network
        self._figures = figures
        self.registry = CollectorRegistry()
        self.registry.register(self)
        self.observation_delay = Histogram(
            "meshtwin_observation_delay_seconds",
            "From the sender's time of a neighbour report to the state, clock differences included",
            ["network"],
            buckets=DELAY_BUCKETS_S,
            registry=self.registry,
        ).labels(network)
        self.journal_write = Histogram(
            "meshtwin_journal_write_seconds",
            "Writing one batch to the journal, fsync included",
            ["network"],
            registry=self.registry,
        ).labels(network)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the state is not there yet when this is registered."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Figures of the state as it is now."""
        figures = self._figures()
        state, rollup = figures.state, figures.rollup
        yield self._counter("meshtwin_observations", "Messages folded into the state", state.folded)
        dropped = CounterMetricFamily(
            "meshtwin_observations_dropped", "Messages not folded, by reason", labels=["network", "reason"]
        )
        for reason, count in state.dropped.items():
            dropped.add_metric([self._network, reason], count)
        yield dropped
        gaps = sum(stream.gaps for stream in state.streams.values())
        repeated = sum(stream.repeated for stream in state.streams.values())
        yield self._counter("meshtwin_observation_gaps", "Messages that never came, by sequence", gaps)
        yield self._counter("meshtwin_observations_repeated", "Messages that came again or late", repeated)
        yield self._counter("meshtwin_counter_resets", "Neighbour counters that started anew", state.resets)
        yield self._counter("meshtwin_broker_connections", "Connections to the broker", figures.connections)
        yield self._gauge("meshtwin_broker_connected", "1 while connected", float(figures.is_connected))
        yield self._gauge("meshtwin_nodes", "Nodes of the inventory", rollup.nodes)
        yield self._gauge("meshtwin_nodes_heard", "Nodes heard recently", rollup.nodes_heard)
        yield self._gauge("meshtwin_links", "Directed links ever reported", rollup.links)
        yield self._gauge("meshtwin_links_fresh", "Directed links heard recently", rollup.links_fresh)
        if rollup.age_s is not None:
            yield self._gauge("meshtwin_twin_age_seconds", "Since the newest neighbour report", rollup.age_s)

    def to_text(self) -> bytes:
        """Prometheus text."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str, value: float) -> Metric:
        family = GaugeMetricFamily(name, help_text, labels=["network"])
        family.add_metric([self._network], value)
        return family

    def _counter(self, name: str, help_text: str, value: float) -> Metric:
        family = CounterMetricFamily(name, help_text, labels=["network"])
        family.add_metric([self._network], value)
        return family
