"""Quantiles of times over states, and how far chance may have moved them.

A quantile is bounded through shares (Woodruff 1952): its bounds are the times below which a little less and a little
more of all values lie, by as much as the share of values below it may vary. Far out there are no values left to look
them up; there the tail is taken for exponential, with the mean excess over `TAIL_FROM` that was seen, and the wider of
both bounds holds, since times may have a gap between those who found the air idle and those who waited. How quantiles
of parts of the values differ says too little there: each part's 99th percentile is next to its largest value.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from meshtwin.fast.arrays import Floats, Ints
from meshtwin.mesh.kpis import Interval
from meshtwin.sim.intervals import compute_student_quantile

__all__ = [
    "LEVEL",
    "REACHED_LEAST",
    "Bounds",
    "Ranked",
    "compute_bounds",
    "compute_clustered_half_share",
    "compute_half_share",
    "compute_quantiles",
    "make_intervals",
    "rank",
]

LEVEL: Final = 0.9
REACHED_LEAST: Final = 8  # states; fewer have no tail to speak of, and do not tell how they vary
TAIL_FROM: Final = 0.8
TOO_FEW: Final = f"fewer than {REACHED_LEAST} states reached it"
DIFFER: Final = "states differ too much to bound it"
NORMAL: Final = NormalDist().inv_cdf(0.5 + LEVEL / 2.0)


class Ranked(NamedTuple):
    """``values_ms``: (states, columns) in milliseconds, ascending, inf where there is none; ``counts``: of values.

    ``excess_ms``: (columns,) mean excess over the quantile at `TAIL_FROM`, 0 where nothing is above it.
    """

    values_ms: Floats
    counts: Ints
    excess_ms: Floats


class Bounds(NamedTuple):
    """(columns,) in milliseconds, of ``states`` states; nan: no value, ``low`` -inf or ``high`` inf: not known."""

    estimate: Floats
    low: Floats
    high: Floats
    states: Ints


def rank(values_ns: Ints) -> Ranked:
    """Each column of ``values_ns`` by itself, (states, columns) in nanoseconds, below 0: no value."""
    values_ms = np.where(values_ns >= 0, values_ns * 1e-6, np.inf)
    values_ms.sort(axis=0)
    counts = np.asarray(np.count_nonzero(values_ns >= 0, axis=0), np.int64)
    from_place = int(TAIL_FROM * max(0, int(counts.min(initial=len(values_ms))) - 1))  # nothing before it is above
    over_ms = values_ms[from_place:] - _look_up(values_ms, counts, TAIL_FROM)
    counted = (over_ms > 0.0) & (over_ms < np.inf)
    excess_ms = np.where(counted, over_ms, 0.0).sum(axis=0) / np.maximum(counted.sum(axis=0), 1)
    return Ranked(values_ms, counts, np.asarray(excess_ms))


def compute_half_share(counts: Ints, share: float) -> Floats:
    """Half width of a share of ``counts`` independent values at `LEVEL`."""
    return np.asarray(NORMAL * np.sqrt(share * (1.0 - share) / np.maximum(counts, 1)))


def compute_clustered_half_share(blocks: Sequence[Ints | Floats], limit: float, share: float) -> float:
    """As `compute_half_share` where values of one block may depend on each other: by how the blocks' shares differ.

    ``limit``: the quantile itself, in the unit of the values. inf where a single block has values.
    """
    filled = [block for block in blocks if len(block)]
    if len(filled) < 2:
        return math.inf
    total = sum(len(block) for block in filled)
    squares = sum((np.count_nonzero(block <= limit) - share * len(block)) ** 2 for block in filled)
    deviation = math.sqrt(squares * len(filled) / (len(filled) - 1)) / total
    alone = float(compute_half_share(np.asarray([total]), share)[0])
    return max(alone, compute_student_quantile(0.5 + LEVEL / 2.0, len(filled) - 1) * deviation)


def compute_quantiles(ranked: Ranked, shares: float | Floats) -> Floats:
    """(columns,) by linear interpolation, as of `numpy.quantile`; nan: no value.

    ``shares`` may differ by column, or be several for each, (shares, columns), as the result is then.
    """
    return _look_up(ranked.values_ms, ranked.counts, shares)


def _look_up(values_ms: Floats, counts: Ints, shares: float | Floats) -> Floats:
    last = counts - 1
    places = np.minimum(np.maximum(shares, 0.0), 1.0) * np.maximum(last, 0)
    low = places.astype(np.int64)
    columns = np.arange(len(last))
    below, above = (values_ms[at, columns] for at in (low, np.minimum(low + 1, np.maximum(last, 0))))
    with np.errstate(invalid="ignore"):  # of columns without a value
        return np.where(last >= 0, below + (above - below) * (places - low), np.nan)


def compute_bounds(ranked: Ranked, share: float, half_share: Floats, states: Ints) -> Bounds:
    """The quantile of every column with the bounds that chance leaves; ``half_share``: (columns,) of ``share``.

    ``states``: (columns,) that the values are of, each of which may have several that depend on each other.
    """
    known = (states >= REACHED_LEAST) & np.isfinite(half_share)
    half_share = np.where(known, half_share, 0.0)
    estimate, low, high = compute_quantiles(ranked, share + np.asarray([[0.0], [-1.0], [1.0]]) * half_share)
    if share >= TAIL_FROM:
        excess, half = ranked.excess_ms, half_share * _wider(states) / (1.0 - share)
        low = np.minimum(low, estimate - excess * np.log1p(half))
        high = np.maximum(high, estimate + excess * half)
    else:
        known &= half_share <= min(share, 1.0 - share)
    return Bounds(estimate, np.where(known, low, -np.inf), np.where(known, high, np.inf), states)


def _wider(states: Ints) -> Floats:
    """What the mean excess makes the bounds wider by, since it is known from a fifth of the states only."""
    factors = {
        count: compute_student_quantile(0.5 + LEVEL / 2.0, max(1, int(count * (1.0 - TAIL_FROM)) - 1)) / NORMAL
        for count in set(states.tolist())
    }
    return np.asarray([factors[count] for count in states.tolist()])


def make_intervals(bounds: Bounds, error: float) -> list[Interval | None]:
    """The bounds with ``error``, as a share of the figure, added as squares of logarithms; None: no value.

    Of logarithms, since times err by factors: one of two below is as likely as one of two above.
    """
    estimate = bounds.estimate
    with np.errstate(divide="ignore", invalid="ignore"):  # a spread may be 0
        lows = estimate * np.exp(-np.hypot(np.log(estimate / np.maximum(bounds.low, 0.0)), error))
        highs = estimate * np.exp(np.hypot(np.log(bounds.high / estimate), error))
    lows, highs = np.where(estimate > 0.0, lows, 0.0), np.where(estimate > 0.0, highs, bounds.high)
    rows = zip(estimate.tolist(), lows.tolist(), highs.tolist(), bounds.states.tolist(), strict=True)
    # the common case stands here: all destinations have hundreds of them
    return [
        Interval(estimate=row[0], low=row[1], high=row[2], level=LEVEL)
        if row[3] and row[2] < math.inf
        else _make_open(*row)
        for row in rows
    ]


def _make_open(estimate: float, low: float, high: float, count: int) -> Interval | None:
    """An interval without an upper bound; None: no value."""
    if not count:
        return None
    why = TOO_FEW if count < REACHED_LEAST else DIFFER
    return Interval(estimate=estimate, low=low, high=high, level=LEVEL, open_because=why)
