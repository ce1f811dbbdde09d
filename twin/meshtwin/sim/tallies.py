"""What key figures need of a run: numbers in flat arrays, a tenth of the size of its messages.

Workers hand tallies over instead of runs; a twin that follows thousands of messages to hundreds of members neither
keeps nor unpacks them one by one.
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis
from meshtwin.sim.intervals import (
    compute_mean_interval,
    compute_quantile_intervals,
    compute_ratio_interval,
)
from meshtwin.sim.message_table import FlowColumns, MessageTable, flow_columns
from meshtwin.sim.run_result import RunResult

__all__ = ["FlowLike", "FlowTally", "RunTally", "summarise_tallies", "tally_run"]


class FlowLike(Protocol):
    """What the summary reads of a flow: `meshtwin.mesh.nodes.Flow` and `ScenarioFlow` both fit."""

    @property
    def name(self) -> str: ...
    @property
    def deadline_ms(self) -> int: ...
    @property
    def is_acknowledged(self) -> bool: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTally:
    """One flow in one run; times in milliseconds.

    ``delivered``, ``expected`` and ``answered`` count (message, member) pairs; ``answered`` None: nobody is to answer.
    """

    messages: int = 0
    on_time: int = 0
    reached_all: int = 0  # messages, however late
    delivered: int = 0
    expected: int = 0
    latencies_ms: Sequence[float] = ()  # sorted, of every arrival
    spreads_ms: Sequence[float] = ()  # of every message that reached all of several members
    answered: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTally:
    """One replication, its flows by name; the rest as in `RunResult`."""

    flows: Mapping[str, FlowTally]
    airtime_ratio: float
    reporting_airtime_ratio: float
    is_selective: bool
    airtime_at: Mapping[UnicastAddress, float] = field(default_factory=dict)


def tally_run(run: RunResult, flows: Sequence[FlowLike]) -> RunTally:
    """The tally of ``run`` for ``flows``, whose deadlines decide what was on time."""
    table = MessageTable.of(run.messages)
    return RunTally(
        flows={flow.name: _tally_flow(flow_columns(table, flow.name), flow) for flow in flows},
        airtime_ratio=run.airtime_ratio,
        reporting_airtime_ratio=run.reporting_airtime_ratio,
        is_selective=run.is_selective,
        airtime_at=dict(run.airtime_at),
    )


def _tally_flow(messages: FlowColumns, flow: FlowLike) -> FlowTally:
    return FlowTally(
        messages=len(messages.number),
        on_time=int(messages.is_on_time(flow.deadline_ms).sum()),
        reached_all=int(messages.reached_all.sum()),
        delivered=len(messages.latency_ns),
        expected=int(messages.member_count.sum()),
        latencies_ms=_doubles(np.sort(messages.latency_ns) / 1e6),
        spreads_ms=_doubles(messages.spread_ns / 1e6),
        answered=int((messages.round_trip_ns >= 0).sum()) if flow.is_acknowledged else None,
    )


def _doubles(values: npt.NDArray[np.float64]) -> "array[float]":
    return array("d", values.tobytes())


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
        delivery=_clustered_share([(t, t.delivered) for t in tallies], level, is_selective=is_selective),
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
        answered=_clustered_share([(t, t.answered or 0) for t in tallies], level, is_selective=is_selective)
        if flow.is_acknowledged
        else None,
    )


def _estimate(interval: Interval | None) -> float | None:
    return None if interval is None else interval.estimate


def _clustered_share(counted: Sequence[tuple[FlowTally, int]], level: float, *, is_selective: bool) -> Interval:
    """Share of pairs, its interval counting messages, not (message, member) pairs: members share a flood's luck."""
    runs = [(pairs / t.expected * t.messages if t.expected else 0.0, float(t.messages)) for t, pairs in counted]
    return compute_ratio_interval(runs, level, is_selective=is_selective)
