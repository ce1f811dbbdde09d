"""What key figures need of a run: numbers in flat arrays, a tenth of the size of its messages.

Workers hand tallies over instead of runs; a twin that follows thousands of messages to hundreds of members neither
keeps nor unpacks them one by one.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis
from meshtwin.sim.intervals import (
    compute_mean_interval,
    compute_quantile_intervals,
    compute_ratio_interval,
)

if TYPE_CHECKING:
    from meshtwin.sim.results import MessageResult, RunResult

__all__ = ["FlowLike", "FlowTally", "RunTally", "summarise_tallies", "tally_run"]


class FlowLike(Protocol):
    """What the summary reads of a flow: `meshtwin.mesh.nodes.Flow` and `ScenarioFlow` both fit."""

    @property
    def name(self) -> str: ...
    @property
    def deadline_ms(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTally:
    """One flow in one run. ``delivered`` and ``expected`` count (message, member) pairs; times in milliseconds."""

    messages: int = 0
    on_time: int = 0
    reached_all: int = 0  # messages, however late
    delivered: int = 0
    expected: int = 0
    latencies_ms: Sequence[float] = ()  # sorted, of every arrival
    spreads_ms: Sequence[float] = ()  # of every message that reached all of several members


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTally:
    """One replication, its flows by name; the rest as in `meshtwin.sim.results.RunResult`."""

    flows: Mapping[str, FlowTally]
    airtime_ratio: float
    reporting_airtime_ratio: float
    is_selective: bool
    airtime_at: Mapping[UnicastAddress, float] = field(default_factory=dict)


def tally_run(run: "RunResult", flows: Sequence[FlowLike]) -> RunTally:
    """The tally of ``run`` for ``flows``, whose deadlines decide what was on time."""
    by_flow: dict[str, list[MessageResult]] = {flow.name: [] for flow in flows}
    for message in run.messages:
        if message.flow in by_flow:
            by_flow[message.flow].append(message)
    return RunTally(
        flows={flow.name: _tally_flow(by_flow[flow.name], flow.deadline_ms) for flow in flows},
        airtime_ratio=run.airtime_ratio,
        reporting_airtime_ratio=run.reporting_airtime_ratio,
        is_selective=run.is_selective,
        airtime_at=dict(run.airtime_at),
    )


def _tally_flow(messages: Sequence["MessageResult"], deadline_ms: float) -> FlowTally:
    return FlowTally(
        messages=len(messages),
        on_time=sum(m.is_on_time(deadline_ms) for m in messages),
        reached_all=sum(m.reached_all for m in messages),
        delivered=sum(len(m.arrivals) for m in messages),
        expected=sum(m.member_count for m in messages),
        latencies_ms=array("d", sorted(a.latency_ns / 1e6 for m in messages for a in m.arrivals)),
        spreads_ms=array("d", (s / 1e6 for m in messages if (s := m.spread_ns) is not None)),
    )


def summarise_tallies(runs: Sequence[RunTally], flows: Sequence[FlowLike], *, level: float = 0.9) -> NetworkKpis:
    """See `meshtwin.sim.results.summarise`."""
    return NetworkKpis(
        flows=tuple(_summarise_flow(runs, flow, level) for flow in flows),
        airtime_ratio=compute_mean_interval([r.airtime_ratio for r in runs], level, least=0.0, most=1.0),
        reporting_airtime_ratio=sum(r.reporting_airtime_ratio for r in runs) / max(1, len(runs)),
        airtime_at=tuple(
            (node, compute_mean_interval([r.airtime_at[node] for r in runs], level, least=0.0, most=1.0))
            for node in (runs[0].airtime_at if runs else ())
        ),
    )


def _summarise_flow(runs: Sequence[RunTally], flow: FlowLike, level: float) -> FlowKpis:
    tallies = [run.flows.get(flow.name, FlowTally()) for run in runs]
    per_run = [tally.latencies_ms for tally in tallies]
    is_selective = any(run.is_selective for run in runs)
    sent = sum(tally.messages for tally in tallies)
    spreads = [sorted(tally.spreads_ms) for tally in tallies]
    told = compute_quantile_intervals(per_run, (0.50, 0.95, 0.99), level, messages=sent)
    median, p95, p99 = told or (None, None, None)
    spread = next(iter(compute_quantile_intervals(spreads, (0.95,), level)), None)
    on_time = [(tally.on_time, tally.messages) for tally in tallies]
    reached_all = [(tally.reached_all, tally.messages) for tally in tallies]
    return FlowKpis(
        flow=flow.name,
        sent=sent,
        on_time=compute_ratio_interval(on_time, level, is_selective=is_selective),
        delivery=_clustered_delivery(tallies, level, is_selective=is_selective),
        latency_p50_ms=_estimate(median),
        latency_p95_ms=_estimate(p95),
        latency_p99_ms=_estimate(p99),
        spread_p95_ms=_estimate(spread),
        how_known=HowKnown.PREDICTED,
        latency_p50=median,
        latency_p95=p95,
        latency_p99=p99,
        spread_p95=spread,
        reached_all=compute_ratio_interval(reached_all, level, is_selective=is_selective),
    )


def _estimate(interval: Interval | None) -> float | None:
    return None if interval is None else interval.estimate


def _clustered_delivery(tallies: Sequence[FlowTally], level: float, *, is_selective: bool) -> Interval:
    """Delivery, its interval counting messages, not (message, member) pairs: members share a flood's luck."""
    runs = [(t.delivered / t.expected * t.messages if t.expected else 0.0, float(t.messages)) for t in tallies]
    return compute_ratio_interval(runs, level, is_selective=is_selective)
