"""Key figures of the states of a flow, with intervals that hold the model's own error.

An interval at 90 % has two parts, added as squares. Chance: Wilson over messages for shares, Woodruff for times
(`meshtwin.fast.quantiles`), both widened where blocks of states differ more than chance. The error of the model, which
grows with how much of the time advertising sets are taken, and for few states because the stretch of air that they
meet is short; seen on the development networks beside the packet simulator (`tests/benchmarks/bench_fast.py`, seeds
below 1000) and held against others.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from meshtwin.fast.answer import DestinationFigures
from meshtwin.fast.arrays import Floats, Ints
from meshtwin.fast.quantiles import (
    compute_bounds,
    compute_clustered_half_share,
    compute_half_share,
    compute_quantiles,
    make_intervals,
    rank,
)
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval
from meshtwin.sim.intervals import compute_ratio_interval
from meshtwin.sim.scenario import ScenarioFlow

__all__ = ["find_errors", "make_airtime", "summarise_destinations", "summarise_flow", "widen"]

BLOCKS: Final = 8  # neighbouring states share the background


class _Errors(NamedTuple):
    """Half widths at 90 % of the model's own error: of shares as such, of all else as a share of the figure.

    ``lone_median``: of one destination; where half of its messages wait, that is in the gap to those that do not.
    """

    share: float
    on_time: float
    median: float
    lone_median: float
    p95: float
    p99: float
    spread: float
    airtime: float


# The error is hypot(QUIET + BUSY * busiest, (FEW + FEW_BUSY * busiest^2) / sqrt(states)), ``busiest`` being the share
# of time in which the sets of the busiest node are taken. Set so that chance and error together hold nine in ten
# figures of the development networks (40 light ones, 36 with channels busy 0.5 to 10 %, 55 with 10 to 30 %), with 32 to
# 256 states alike.
QUIET: Final = _Errors(
    share=0.005, on_time=0.005, median=0.01, lone_median=0.01, p95=0.01, p99=0.03, spread=0.03, airtime=0.05
)
BUSY: Final = _Errors(
    share=0.05, on_time=0.065, median=0.10, lone_median=0.30, p95=0.37, p99=0.28, spread=0.30, airtime=0.40
)
FEW: Final = _Errors(share=0.0, on_time=0.0, median=0.0, lone_median=0.0, p95=0.0, p99=0.0, spread=0.4, airtime=0.0)
FEW_BUSY: Final = _Errors(
    share=0.9, on_time=2.0, median=3.5, lone_median=4.5, p95=5.3, p99=7.2, spread=6.0, airtime=0.0
)


def find_errors(states: int, busiest_ratio: float) -> _Errors:
    """The model's own error with ``states`` states, where the sets of the busiest node are taken for that share."""
    load, root = min(1.0, busiest_ratio), math.sqrt(states)
    return _Errors(
        *(
            math.hypot(quiet + busy * load, (few + few_busy * load**2) / root)
            for quiet, busy, few, few_busy in zip(QUIET, BUSY, FEW, FEW_BUSY, strict=True)
        )
    )


def widen(interval: Interval, error: float, least: float = 0.0, most: float = 1.0) -> Interval:
    """The interval with the model's ``error`` (half width at the same level) added as squares."""
    low = interval.estimate - float(np.hypot(interval.estimate - interval.low, error))
    high = interval.estimate + float(np.hypot(interval.high - interval.estimate, error))
    return Interval(estimate=interval.estimate, low=max(least, low), high=min(most, high), level=interval.level)


def make_airtime(ratio: float, error: float) -> Interval:
    """The airtime ratio with its interval, which is the model's ``error`` alone, as a share of it."""
    ratio = min(1.0, float(ratio))
    half = error * ratio
    return Interval(estimate=ratio, low=max(0.0, ratio - half), high=min(1.0, ratio + half))


def summarise_flow(flow: ScenarioFlow, latency_ns: Ints, busiest_ratio: float) -> FlowKpis:
    """Figures of one flow from (states, members) latencies in nanoseconds, -1: not reached.

    They mean what those of `meshtwin.sim.results.summarise` mean; ``sent`` is the number of states.
    """
    states = len(latency_ns)
    reached = latency_ns >= 0
    reached_all = reached.all(axis=1)
    last = latency_ns.max(axis=1, initial=0)
    on_time = reached_all & (last <= flow.deadline_ms * 1_000_000)
    errors = find_errors(states, busiest_ratio)
    shares = reached.mean(axis=1) if reached.shape[1] else np.ones(states)
    median, p95, p99 = _pool(latency_ns, {0.50: errors.median, 0.95: errors.p95, 0.99: errors.p99})
    (spread,) = _pool(_spreads_ns(latency_ns), {0.95: errors.spread})
    return FlowKpis(
        flow=flow.name,
        sent=states,
        on_time=widen(_to_interval(on_time), errors.on_time),
        delivery=widen(_to_interval(shares), errors.share),
        latency_p50_ms=None if median is None else median.estimate,
        latency_p95_ms=None if p95 is None else p95.estimate,
        latency_p99_ms=None if p99 is None else p99.estimate,
        spread_p95_ms=None if spread is None else spread.estimate,
        how_known=HowKnown.PREDICTED,
        latency_p50=median,
        latency_p95=p95,
        latency_p99=p99,
        spread_p95=spread,
        reached_all=widen(_to_interval(np.asarray(reached_all)), errors.share),
    )


def _spreads_ns(latency_ns: Ints) -> Ints:
    """(states, 1) from first to last member, -1: some were not reached; (states, 0) where there is one member."""
    if latency_ns.shape[1] < 2:
        return latency_ns[:, :0]
    spreads = latency_ns.max(axis=1) - latency_ns.min(axis=1)
    return np.where((latency_ns >= 0).all(axis=1), spreads, -1)[:, np.newaxis]


def summarise_destinations(
    flow: ScenarioFlow, latency_ns: Ints, busiest_ratio: float
) -> tuple[DestinationFigures, ...]:
    """Figures of each member, in the order of the flow's members; ``latency_ns`` as in `summarise_flow`.

    States are taken for independent of each other: those of one block have too few values of one destination to tell.
    """
    errors = find_errors(len(latency_ns), busiest_ratio)
    ranked = rank(latency_ns)
    medians, p95s = (
        make_intervals(compute_bounds(ranked, share, compute_half_share(ranked.counts, share), ranked.counts), error)
        for share, error in ((0.50, errors.lone_median), (0.95, errors.p95))
    )
    deliveries = _deliveries(ranked.counts, len(latency_ns), errors.share)
    members = (member for member in flow.members if member != flow.source)
    return tuple(
        DestinationFigures(destination=member, delivery=delivery, latency_p50=median, latency_p95=p95)
        for member, delivery, median, p95 in zip(members, deliveries, medians, p95s, strict=True)
    )


def _deliveries(counts: Ints, states: int, error: float) -> list[Interval]:
    """One for each of ``counts``, most of which are equal."""
    known = {
        count: widen(compute_ratio_interval([(float(count), float(states))]), error) for count in set(counts.tolist())
    }
    return [known[count] for count in counts.tolist()]


def _to_interval(shares: Floats | npt.NDArray[np.bool_]) -> Interval:
    blocks = np.array_split(shares.astype(np.float64), BLOCKS)
    return compute_ratio_interval([(float(block.sum()), float(len(block))) for block in blocks if len(block)])


def _pool(values_ns: Ints, errors: Mapping[float, float]) -> list[Interval | None]:
    """Quantiles of all of ``values_ns``, (states, columns), below 0: none; ``errors``: the model's, by share."""
    known = values_ns >= 0
    if not known.any():
        return [None for _ in errors]
    pairs = zip(np.array_split(values_ns, BLOCKS), np.array_split(known, BLOCKS), strict=True)
    blocks = [block[there] for block, there in pairs]
    ranked = rank(values_ns.reshape(-1, 1))
    states = np.asarray([np.count_nonzero(known.any(axis=1))], np.int64)
    told: list[Interval | None] = []
    for share, error in errors.items():
        limit_ns = float(compute_quantiles(ranked, share)[0]) * 1e6
        half = compute_clustered_half_share(blocks, limit_ns, share)
        told += make_intervals(compute_bounds(ranked, share, np.asarray([half]), states), error)
    return told
