"""Key figures of flows and networks, each with an interval and how it is known."""

from dataclasses import dataclass
from enum import StrEnum
from math import isinf

from meshtwin.mesh.addresses import UnicastAddress

__all__ = [
    "FlowDifference",
    "FlowKpis",
    "HowKnown",
    "Interval",
    "NetworkKpis",
    "Objectives",
    "Prediction",
    "check_told",
]


class HowKnown(StrEnum):
    """Where a figure comes from; decisions are gated on the first two of the measured ones only."""

    RECEIVER_COUNTED = "receiverCounted"
    ROUND_TRIP = "roundTrip"
    INFERRED = "inferred"
    PREDICTED = "predicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with the bounds of its interval at ``level``.

    ``open_because``: why a bound is not known; it is then the widest that there can be (0 or 1 of a ratio, else
    infinite). None: both are known.
    ``is_estimated`` False: there was nothing to estimate from, and ``open_because`` says why. ``estimate`` is then a
    value to reckon with and no finding; whoever tells the figure tells `told`.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.9
    open_because: str | None = None
    is_estimated: bool = True

    @property
    def told(self) -> float | None:
        """The estimate for readers; None where nothing was estimated."""
        return self.estimate if self.is_estimated else None

    def __str__(self) -> str:
        """For people: ``12.29 [6.87, 17.71]``, a question mark for a bound that is not known."""
        if not self.is_estimated:
            return f"not known: {self.open_because}"
        low, high = ("?" if isinf(bound) else f"{bound:.4g}" for bound in (self.low, self.high))
        return f"{self.estimate:.4g} [{low}, {high}]"


def check_told(low: float | None, estimate: float | None, high: float | None, open_because: str | None) -> None:
    """Raises `ValueError` for an interval as it is written down that contradicts itself; None: not known."""
    told = [value for value in (low, estimate, high) if value is not None]
    if told != sorted(told):
        raise ValueError(f"estimate {estimate} is outside {low}..{high}")
    if len(told) < 3 and open_because is None:
        raise ValueError("openBecause says why something is not known")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowKpis:
    """Figures of one flow; ratios 0..1, times in milliseconds.

    ``on_time``: share of messages that reached *every* member within the deadline; lost counts as late.
    ``delivery``: share of (message, member) pairs that arrived at all.
    ``reached_all``: share of messages that reached *every* member, however late; None: not told. It is what nodes
    can count that share no clock.
    ``spread_p95_ms``: 95th percentile of first to last member, over messages that reached all; None for a
    single member or when no message reached all.
    ``answered``: share of (message, member) pairs whose answer came back to the source; None: no answers are asked
    for, or the model tells none.
    ``latency_p50`` … ``spread_p95``: the same figures with their intervals in milliseconds; None: not told.
    """

    flow: str
    sent: int
    on_time: Interval
    delivery: Interval
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    spread_p95_ms: float | None
    how_known: HowKnown
    latency_p50: Interval | None = None
    latency_p95: Interval | None = None
    latency_p99: Interval | None = None
    spread_p95: Interval | None = None
    reached_all: Interval | None = None
    answered: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDifference:
    """One side less the other, of one flow that both have, on the same states; ratios, latency in milliseconds.

    Intervals are over paired replications; of a single pair they are open (`Interval.open_because`). Latencies are
    the same quantile of either side, subtracted; what they are of, whoever makes them says.
    ``answered``: None where one of the sides asks for no answers, or tells none.
    """

    flow: str
    on_time: Interval
    delivery: Interval
    latency_p50_ms: Interval
    latency_p95_ms: Interval
    latency_p99_ms: Interval
    answered: Interval | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkKpis:
    """Figures of all flows, and the airtime of the whole network.

    ``airtime_ratio``: mean over nodes of the share of time in which a node hears or sends something on one
    advertising channel, from flows and monitoring together.
    ``airtime_at``: the same at single nodes, those of gateways, where it can be measured; empty: not told.
    ``reporting_airtime_ratio``: the part of it that is monitoring reports. They fill a budget of their own,
    whatever the configuration, so candidates are compared without it.
    ``redundancy``: smallest number of node-disjoint relay paths from the gateway to any node; None: not asked.
    ``battery_energy_mj_per_h``: what the low-power node that sends most spends on it, in millijoules per hour; None:
    not told, or there is no such node.
    """

    flows: tuple[FlowKpis, ...]
    airtime_ratio: Interval
    reporting_airtime_ratio: float = 0.0
    redundancy: int | None = None
    airtime_at: tuple[tuple[UnicastAddress, Interval], ...] = ()
    battery_energy_mj_per_h: float | None = None

    @property
    def own_airtime_ratio(self) -> float:
        """Estimated airtime that the configuration decides: without monitoring reports."""
        return max(0.0, self.airtime_ratio.estimate - self.reporting_airtime_ratio)


@dataclass(frozen=True, slots=True, kw_only=True)
class Objectives:
    """What a pipeline wants; None: not asked. Raised to per-flow tests by the recipes."""

    on_time_within_ms: int | None = None
    on_time_at_least: float | None = None  # ratio 0..1
    spread_at_most_ms: int | None = None
    airtime_at_most: float | None = None  # ratio 0..1
    redundancy_at_least: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """Figures before and after a change, computed on the same states.

    ``provisional``: the answer of a fast model, given while the simulation that replaces it goes on.
    ``differences``: after less before, per flow that both have, of the figures that stand in them; None: the model
    does not tell its replications apart.
    ``own_flows``, ``own_nodes``: those of the segment that was asked about, by name and address. Where there is no
    room to tell all, they come first.
    """

    before: NetworkKpis
    after: NetworkKpis
    model: str
    profile: str
    seed: int
    replications: int
    snapshot_fingerprint: str
    provisional: bool = False
    differences: tuple[FlowDifference, ...] | None = None
    own_flows: frozenset[str] = frozenset()
    own_nodes: frozenset[UnicastAddress] = frozenset()
