"""Key figures of the states of a flow, with intervals that hold the model's own error.

An interval at 90 % has two parts, added as squares: chance (Wilson over messages, widened where blocks of states
differ more than chance) and the error of the model, seen on the development networks beside the packet simulator
(`tests/benchmarks/bench_fast.py`, seeds below 1000) and held against others.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.fast.answer import DestinationFigures
from meshtwin.fast.arrays import Floats, Ints
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval
from meshtwin.sim.intervals import compute_mean_interval, compute_ratio_interval
from meshtwin.sim.scenario import ScenarioFlow

__all__ = ["make_airtime", "summarise_destinations", "summarise_flow", "widen"]

BLOCKS: Final = 8  # neighbouring states share the background
# 90th percentile of the error on the development networks, ratios 0..1; the simulator's and the states' own chance is
# taken off as squares (on-time share: 0.027 seen at light load, 0.069 under load; 0.04 holds 91 % of 99 flows there)
ERROR_AT_LIGHT_LOAD: Final = 0.01
ERROR_UNDER_LOAD: Final = 0.04
AIRTIME_ERROR: Final = 0.08  # of the airtime itself
LATENCY_ERROR_AT_LIGHT_LOAD: Final = 0.04  # of median and p95 latency themselves
LATENCY_ERROR_UNDER_LOAD: Final = 0.20
ERROR_UNKNOWN: Final = "the fast model's error of p99 latency and spread has not been measured"
ONE_BLOCK: Final = "too few states reached anybody"


def widen(interval: Interval, error: float, least: float = 0.0, most: float = 1.0) -> Interval:
    """The interval with the model's ``error`` (half width at the same level) added as squares."""
    low = interval.estimate - float(np.hypot(interval.estimate - interval.low, error))
    high = interval.estimate + float(np.hypot(interval.high - interval.estimate, error))
    return Interval(estimate=interval.estimate, low=max(least, low), high=min(most, high), level=interval.level)


def make_airtime(ratio: float) -> Interval:
    """The airtime ratio with its interval, which is the model's error alone."""
    ratio = min(1.0, float(ratio))
    half = AIRTIME_ERROR * ratio
    return Interval(estimate=ratio, low=max(0.0, ratio - half), high=min(1.0, ratio + half))


def summarise_flow(flow: ScenarioFlow, latency_ns: Ints, *, is_loaded: bool) -> FlowKpis:
    """Figures of one flow from (states, members) latencies in nanoseconds, -1: not reached.

    They mean what those of `meshtwin.sim.results.summarise` mean; ``sent`` is the number of states.
    """
    states = len(latency_ns)
    reached = latency_ns >= 0
    reached_all = reached.all(axis=1)
    last = latency_ns.max(axis=1, initial=0)
    on_time = reached_all & (last <= flow.deadline_ms * 1_000_000)
    error = ERROR_UNDER_LOAD if is_loaded else ERROR_AT_LIGHT_LOAD
    shares = reached.mean(axis=1) if reached.shape[1] else np.ones(states)
    quantiles = _quantiles_ms(latency_ns[reached], (0.50, 0.95, 0.99))
    median, p95 = _to_latency_intervals(latency_ns, quantiles, is_loaded)
    spreads = (last - latency_ns.min(axis=1, initial=1 << 60))[reached_all] if reached.shape[1] > 1 else np.empty(0)
    (spread_ms,) = _quantiles_ms(spreads, (0.95,))
    return FlowKpis(
        flow=flow.name,
        sent=states,
        on_time=widen(_to_interval(on_time), error),
        delivery=widen(_to_interval(shares), error),
        latency_p50_ms=quantiles[0],
        latency_p95_ms=quantiles[1],
        latency_p99_ms=quantiles[2],
        spread_p95_ms=spread_ms,
        how_known=HowKnown.PREDICTED,
        latency_p50=median,
        latency_p95=p95,
        latency_p99=_open_interval(quantiles[2]),
        spread_p95=_open_interval(spread_ms),
        reached_all=widen(_to_interval(np.asarray(reached_all)), error),
    )


def _open_interval(estimate_ms: float | None) -> Interval | None:
    """Of a figure whose error was not compared with the simulator's."""
    if estimate_ms is None:
        return None
    return Interval(estimate=estimate_ms, low=0.0, high=math.inf, open_because=ERROR_UNKNOWN)


def summarise_destinations(flow: ScenarioFlow, latency_ns: Ints) -> tuple[DestinationFigures, ...]:
    """Figures of each member, in the order of the flow's members; ``latency_ns`` as in `summarise_flow`."""
    found = []
    for place, member in enumerate(m for m in flow.members if m != flow.source):
        reached = latency_ns[latency_ns[:, place] >= 0, place]
        median_ms, p95_ms = _quantiles_ms(reached, (0.50, 0.95))
        found.append(
            DestinationFigures(
                destination=member,
                delivery_ratio=len(reached) / len(latency_ns),
                latency_p50_ms=median_ms,
                latency_p95_ms=p95_ms,
            )
        )
    return tuple(found)


def _to_interval(shares: Floats | npt.NDArray[np.bool_]) -> Interval:
    blocks = np.array_split(shares.astype(np.float64), BLOCKS)
    return compute_ratio_interval([(float(block.sum()), float(len(block))) for block in blocks if len(block)])


def _to_latency_intervals(
    latency_ns: Ints, estimates_ms: tuple[float | None, ...], is_loaded: bool
) -> tuple[Interval | None, Interval | None]:
    """Intervals of median and p95 latency, whose estimates come first in ``estimates_ms``."""
    if estimates_ms[0] is None or estimates_ms[1] is None:
        return None, None
    blocks = [block[block >= 0] for block in np.array_split(latency_ns, BLOCKS)]
    own = np.asarray([_quantiles_ms(block, (0.50, 0.95)) for block in blocks if len(block)])
    share = LATENCY_ERROR_UNDER_LOAD if is_loaded else LATENCY_ERROR_AT_LIGHT_LOAD
    told = []
    for estimate_ms, values in zip(estimates_ms[:2], own.T.tolist(), strict=True):
        mean = compute_mean_interval(values, least=0.0)
        if mean.open_because is not None:  # one block alone was reached
            told.append(Interval(estimate=estimate_ms or 0.0, low=0.0, high=math.inf, open_because=ONE_BLOCK))
            continue
        half_ms = float(np.hypot((mean.high - mean.low) / 2.0, share * (estimate_ms or 0.0)))
        low_ms = max(0.0, (estimate_ms or 0.0) - half_ms)
        told.append(Interval(estimate=estimate_ms or 0.0, low=low_ms, high=(estimate_ms or 0.0) + half_ms))
    return told[0], told[1]


def _quantiles_ms(values_ns: Ints | Floats, shares: tuple[float, ...]) -> tuple[float | None, ...]:
    """Quantiles by linear interpolation, as of `numpy.quantile`, which takes five times as long for a few values."""
    if not len(values_ns):
        return tuple(None for _ in shares)
    ranked = np.sort(values_ns)
    places = [share * (len(ranked) - 1) for share in shares]
    found = []
    for place in places:
        low = int(place)
        high = min(low + 1, len(ranked) - 1)
        found.append(float(ranked[low] + (ranked[high] - ranked[low]) * (place - low)) / 1e6)
    return tuple(found)
