"""The result of a simulation as a document for other programs: every figure with its interval."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np
import numpy.typing as npt

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.intervals import (
    ONE_REPLICATION,
    compute_mean_interval,
    compute_quantile_intervals,
    compute_ratio_interval,
)
from meshtwin.sim.message_table import flow_columns
from meshtwin.sim.result_document import (
    CURVE_POINTS,
    CurveBoundsDocument,
    FlowDocument,
    IntervalDocument,
    RatioDocument,
    ResultDocument,
    TimesDocument,
    TotalsDocument,
)
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.wording import counted

__all__ = ["describe_result"]

Values = npt.NDArray[np.float64]


def describe_result(
    scenario: Scenario,
    runs: Sequence[RunResult],
    *,
    seed: int,
    engine: str,
    asked: int | None = None,
    gaps: Sequence[str] = (),
) -> ResultDocument:
    """The document of finished ``runs``; ``asked`` is how many were wanted (None: as many as there are).

    Every estimate has its interval over replications. ``gaps``: what was asked for and is missing.

    Raises `InvalidInput` without a run.
    """
    if not runs:
        raise InvalidInput("no replication is finished: there is nothing to tell", place=scenario.name)
    runs = [run.packed() for run in runs]
    kpis = summarise(runs, scenario.flows)
    flows = [_describe_flow(f, k, runs) for f, k in zip(scenario.flows, kpis.flows, strict=True)]
    return ResultDocument(
        scenario=scenario.name,
        profile=scenario.profile.name,
        engine=engine,
        seed=seed,
        is_selective=all(run.is_selective for run in runs),
        replications=len(runs),
        replications_asked=len(runs) if asked is None else asked,
        gaps=list(gaps),
        flows=flows,
        totals=_describe_totals(kpis.airtime_ratio, sum(flow.sent for flow in flows), runs),
    )


def _describe_totals(airtime_ratio: Interval, messages: int, runs: Sequence[RunResult]) -> TotalsDocument:
    losses: Counter[str] = Counter()
    for run in runs:
        losses.update({str(cause): count for cause, count in run.losses.items()})
    each = [{str(cause): count for cause, count in run.losses.items()} for run in runs]
    return TotalsDocument(
        messages=messages,
        transmissions=sum(run.transmissions for run in runs),
        airtime_ratio=IntervalDocument.from_value(airtime_ratio, most=1.0),
        losses_by_cause=dict(sorted(losses.items())),
        transmissions_per_replication=_mean([run.transmissions for run in runs]),
        losses_per_replication={cause: _mean([run[cause] for run in each]) for cause in sorted(losses)},
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _FlowFigures:
    """What is told of one flow in one run: a third of its columns, which are many where replications are."""

    messages: int
    delivered: int
    hops: int  # summed
    latencies_ms: Values  # ascending
    trips_ms: Values  # likewise
    answered_share: float

    @classmethod
    def of(cls, run: RunResult, flow: str) -> "_FlowFigures":
        its = flow_columns(run.messages, flow)
        return cls(
            messages=len(its.number),
            delivered=len(its.hops),
            hops=int(its.hops.sum()),
            latencies_ms=np.sort(its.latency_ns) / 1e6,
            trips_ms=np.sort(its.trips_ns) / 1e6,
            answered_share=its.answered_share,
        )


def _describe_flow(flow: ScenarioFlow, kpis: FlowKpis, runs: Sequence[RunResult]) -> FlowDocument:
    figures = [_FlowFigures.of(run, flow.name) for run in runs]
    filled = [its for its in figures if its.delivered]
    trips = [its.trips_ms for its in figures]
    is_selective = any(run.is_selective for run in runs)
    delivered, spread = sum(its.delivered for its in figures), kpis.spread_p95
    return FlowDocument(
        name=flow.name,
        source=f"{flow.source:04x}",
        members=len(flow.members),
        sent=kpis.sent,
        delivered=delivered,
        delivery_ratio=_ratio(kpis.delivery, runs),
        on_time_ratio=_ratio(kpis.on_time, runs),
        deadline_milliseconds=flow.deadline_ms,
        latency_milliseconds=_times([its.latencies_ms for its in figures], kpis.sent, is_selective=is_selective),
        round_trip_milliseconds=_times(trips, kpis.sent, is_selective=is_selective),
        spread_p95_milliseconds=kpis.spread_p95_ms,
        mean_hops=sum(its.hops for its in filled) / delivered if filled else None,
        spread_p95_interval=None if spread is None else IntervalDocument.from_value(spread),
        mean_hops_interval=_mean([its.hops / its.delivered for its in filled]) if filled else None,
        answered=sum(map(len, trips)) if flow.response_pdu_bytes else None,
        answered_ratio=_answered(figures, runs) if flow.response_pdu_bytes else None,
    )


def _answered(figures: Sequence[_FlowFigures], runs: Sequence[RunResult]) -> RatioDocument:
    """The interval counts messages: members share a flood's luck, and their answers each other's air."""
    shares = [(its.answered_share * its.messages, float(its.messages)) for its in figures]
    interval = compute_ratio_interval(shares, is_selective=any(run.is_selective for run in runs))
    return _ratio(interval, runs)


def _times(runs: Sequence[Values], messages: int, *, is_selective: bool) -> TimesDocument | None:
    """Of what arrived of ``messages``, from ascending milliseconds of each run."""
    ascending = [run for run in runs if len(run)]
    if not ascending:
        return None
    points = [i / (CURVE_POINTS - 1) for i in range(CURVE_POINTS)]
    curve = compute_quantile_intervals(ascending, points, messages=messages)
    p50, p95, p99 = (curve[points.index(p)] for p in (0.50, 0.95, 0.99))
    return TimesDocument(
        mean=_mean(
            [float(run.mean()) for run in ascending], chance=_chance(ascending, messages) if is_selective else 0.0
        ),
        p50=p50.estimate,
        p95=p95.estimate,
        p99=p99.estimate,
        p50_interval=IntervalDocument.from_value(p50),
        p95_interval=IntervalDocument.from_value(p95),
        p99_interval=IntervalDocument.from_value(p99),
        curve=[point.estimate for point in curve],
        curve_bounds=_curve_bounds([IntervalDocument.from_value(point) for point in curve], messages),
    )


def _curve_bounds(curve: Sequence[IntervalDocument], messages: int) -> CurveBoundsDocument:
    """Outwards to whole nanoseconds, which is what the simulator knows."""
    low = [None if point.low is None else floor(point.low * 1e6) / 1e6 for point in curve]
    high = [None if point.high is None else ceil(point.high * 1e6) / 1e6 for point in curve]
    return CurveBoundsDocument(level=curve[0].level, low=low, high=high, open_because=_why_open(low, high, messages))


def _why_open(low: Sequence[float | None], high: Sequence[float | None], messages: int) -> str | None:
    bounded = [place for place, bounds in enumerate(zip(low, high, strict=True)) if None not in bounds]
    if len(bounded) == len(low):
        return None
    if all(bound is None for bound in (*low, *high)):
        return ONE_REPLICATION
    told = counted(messages, "message bounds", "messages bound")
    if not bounded:
        return f"{told} no point on both sides; ask for more messages or replications"
    return (
        f"{told} the points from {bounded[0]} % to {bounded[-1]} % on both sides; more bound more "
        "of them, and the ends never: one farther out may always come"
    )


def _chance(runs: Sequence[Values], messages: int) -> float:
    """Variance of the mean of all values, if those of different messages were independent."""
    pooled = np.concatenate(runs)
    return float(pooled.var()) / min(messages, len(pooled))


def _mean(values: Sequence[float], *, chance: float = 0.0) -> IntervalDocument:
    """Of one value per replication, none below 0."""
    return IntervalDocument.from_value(compute_mean_interval(values, least=0.0, chance=chance))


def _ratio(interval: Interval, runs: Sequence[RunResult]) -> RatioDocument:
    """A share of messages; those of one replication met one network, and do not tell how another one does."""
    if len(runs) < 2:
        interval = replace(interval, low=0.0, high=1.0, open_because=interval.open_because or ONE_REPLICATION)
    return RatioDocument.from_value(interval, most=1.0)
