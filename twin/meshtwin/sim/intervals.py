"""Intervals of ratios and means, and quantiles of samples."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance
from typing import Final

from meshtwin.mesh.kpis import Interval

__all__ = [
    "compute_mean_interval",
    "compute_quantile",
    "compute_quantile_interval",
    "compute_ratio_interval",
    "compute_student_quantile",
]


LEAST_EFFECT: Final = 0.1  # the most that preset states are believed to save; 0.12 was the best measured


def compute_ratio_interval(
    runs: Sequence[tuple[float, float]], level: float = 0.9, *, is_selective: bool = False
) -> Interval:
    """Wilson interval of a share, from (successes, trials) per replication.

    Trials count as fewer where replications differ more than binomial chance allows (design effect, judged
    from three replications on). No trials: 0..1 around 0.5.
    ``is_selective``: replications are scrambles of preset states, which may differ less than chance, so trials may
    count as more; the quantile is then Student's, the effect being known from that few scrambles only.
    Source: Wilson (1927); design effect after Kish (1965).
    """
    trials = sum(n for _, n in runs)
    if trials <= 0:
        return Interval(estimate=0.5, low=0.0, high=1.0, level=level)
    estimate = sum(k for k, _ in runs) / trials
    effect = _design_effect(runs, estimate)
    effective = trials / max(LEAST_EFFECT if is_selective else 1.0, effect)
    if is_selective and len(runs) >= 3:
        z2 = compute_student_quantile(0.5 + level / 2.0, len(runs) - 1) ** 2
    else:
        z2 = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    centre = (estimate + z2 / (2.0 * effective)) / (1.0 + z2 / effective)
    half = math.sqrt(z2 * (estimate * (1.0 - estimate) / effective + z2 / (4.0 * effective**2)))
    half /= 1.0 + z2 / effective
    low, high = max(0.0, centre - half), min(1.0, centre + half)
    return Interval(estimate=estimate, low=min(low, estimate), high=max(high, estimate), level=level)


def _design_effect(runs: Sequence[tuple[float, float]], estimate: float) -> float:
    """Variance between replications over what chance explains; 1 where it can't be judged."""
    shares = [k / n for k, n in runs if n > 0]
    chance = estimate * (1.0 - estimate) * len(shares) / max(sum(n for _, n in runs), 1)
    return variance(shares) / chance if len(shares) >= 3 and chance > 0 else 1.0


def compute_mean_interval(values: Sequence[float], level: float = 0.9) -> Interval:
    """Student interval of a mean over independent replications; a single value has no width of its own."""
    if not values:
        return Interval(estimate=0.0, low=0.0, high=0.0, level=level)
    mean = fmean(values)
    if len(values) < 2:
        return Interval(estimate=mean, low=mean, high=mean, level=level)
    half = compute_student_quantile(0.5 + level / 2.0, len(values) - 1)
    half *= math.sqrt(variance(values) / len(values))
    return Interval(estimate=mean, low=mean - half, high=mean + half, level=level)


def compute_quantile_interval(
    runs: Sequence[Sequence[float]], probability: float, level: float = 0.9
) -> Interval | None:
    """Interval of a quantile, from the sorted values of each replication; None of nothing.

    The estimate is the quantile of all values together, the width Student's of the replications' own quantiles.
    A single replication has no width of its own.
    """
    estimate = compute_quantile(sorted(v for run in runs for v in run), probability)
    if estimate is None:
        return None
    own = compute_mean_interval([q for run in runs if (q := compute_quantile(run, probability)) is not None], level)
    half = (own.high - own.low) / 2.0
    return Interval(estimate=estimate, low=max(0.0, estimate - half), high=estimate + half, level=level)


def compute_student_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t: exact for 1 and 2 degrees, else within 2 % at 0.95.

    Source: Abramowitz and Stegun (1964), 26.7.5, expansion around the normal quantile.

    >>> round(compute_student_quantile(0.95, 4), 2)
    2.13
    """
    if degrees == 1:
        return math.tan(math.pi * (probability - 0.5))
    if degrees == 2:
        a = 2.0 * probability - 1.0
        return a * math.sqrt(2.0 / (1.0 - a * a))
    z = NormalDist().inv_cdf(probability)
    g1 = (z**3 + z) / 4.0
    g2 = (5.0 * z**5 + 16.0 * z**3 + 3.0 * z) / 96.0
    g3 = (3.0 * z**7 + 19.0 * z**5 + 17.0 * z**3 - 15.0 * z) / 384.0
    return z + g1 / degrees + g2 / degrees**2 + g3 / degrees**3


def compute_quantile(ascending: Sequence[float], probability: float) -> float | None:
    """Quantile of sorted values by linear interpolation; None of nothing.

    >>> compute_quantile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    if not ascending:
        return None
    place = probability * (len(ascending) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    return ascending[low] + (ascending[high] - ascending[low]) * (place - low)
