"""Key figures of the states of a flow, with intervals that hold the model's own error.

An interval at 90 % has two parts, added as squares: chance (Wilson over messages, widened where blocks of states
differ more than chance) and the error of the model, seen on the development networks beside the packet simulator
(`tests/benchmarks/bench_fast.py`, seeds below 1000) and held against others.
"""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from meshtwin.fast.answer import DestinationFigures
from meshtwin.fast.arrays import Floats, Ints
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval
from meshtwin.sim.intervals import compute_mean_interval, compute_ratio_interval
from meshtwin.sim.scenario import ScenarioFlow

__all__ = ["make_airtime", "summarise_destinations", "summarise_flow", "widen"]

BLOCKS: Final = 8  # neighbouring states share the background
ONE_BLOCK: Final = "too few states reached anybody"


class _Errors(NamedTuple):
    """Half widths at 90 % of the model's own error: of shares as such, of all else as a share of the figure."""

    share: float
    median: float
    p95: float
    p99: float
    spread: float
    airtime: float


# 90th percentile of the error on the development networks (120 flows at light load, 138 under load), the states' own
# chance taken off as squares; the simulator's is left in. Median and p95 at light load: chance alone holds 91 % and
# 86 %, and what it was set to before is kept.
LIGHT: Final = _Errors(share=0.01, median=0.04, p95=0.04, p99=0.06, spread=0.04, airtime=0.08)
LOADED: Final = _Errors(share=0.04, median=0.10, p95=0.15, p99=0.25, spread=0.20, airtime=0.19)


def widen(interval: Interval, error: float, least: float = 0.0, most: float = 1.0) -> Interval:
    """The interval with the model's ``error`` (half width at the same level) added as squares."""
    low = interval.estimate - float(np.hypot(interval.estimate - interval.low, error))
    high = interval.estimate + float(np.hypot(interval.high - interval.estimate, error))
    return Interval(estimate=interval.estimate, low=max(least, low), high=min(most, high), level=interval.level)


def make_airtime(ratio: float, *, is_loaded: bool) -> Interval:
    """The airtime ratio with its interval, which is the model's error alone."""
    ratio = min(1.0, float(ratio))
    half = (LOADED if is_loaded else LIGHT).airtime * ratio
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
    errors = LOADED if is_loaded else LIGHT
    shares = reached.mean(axis=1) if reached.shape[1] else np.ones(states)
    parts = np.array_split(latency_ns, BLOCKS)
    latencies = [part[part >= 0] for part in parts]
    median, p95, p99 = _to_intervals(
        latency_ns[reached], latencies, (0.50, 0.95, 0.99), (errors.median, errors.p95, errors.p99)
    )
    (spread,) = _to_intervals(_spreads_ns(latency_ns), [_spreads_ns(part) for part in parts], (0.95,), (errors.spread,))
    return FlowKpis(
        flow=flow.name,
        sent=states,
        on_time=widen(_to_interval(on_time), errors.share),
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
    """From first to last member, of the states that reached all; none where there is one member."""
    if latency_ns.shape[1] < 2:
        return np.empty(0, np.int64)
    reached = latency_ns[(latency_ns >= 0).all(axis=1)]
    return np.asarray(reached.max(axis=1, initial=0) - reached.min(axis=1, initial=1 << 60))


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


def _to_intervals(
    values_ns: Ints, blocks: Sequence[Ints], shares: tuple[float, ...], errors: tuple[float, ...]
) -> list[Interval | None]:
    """Quantiles of ``values_ns``: chance from how the ``blocks`` differ, and the model's ``errors``; None: no value."""
    own = np.asarray([_quantiles_ms(block, shares) for block in blocks if len(block)], np.float64)
    told: list[Interval | None] = []
    for place, (estimate_ms, error) in enumerate(zip(_quantiles_ms(values_ns, shares), errors, strict=True)):
        if estimate_ms is None:
            told.append(None)
            continue
        mean = compute_mean_interval(own[:, place].tolist(), least=0.0)
        if mean.open_because is not None:  # one block alone was reached
            told.append(Interval(estimate=estimate_ms, low=0.0, high=math.inf, open_because=ONE_BLOCK))
            continue
        half_ms = float(np.hypot((mean.high - mean.low) / 2.0, error * estimate_ms))
        told.append(Interval(estimate=estimate_ms, low=max(0.0, estimate_ms - half_ms), high=estimate_ms + half_ms))
    return told


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
