"""Intervals of ratios and means, and quantiles of samples."""

import math
import sys
from bisect import bisect_right
from collections.abc import Sequence
from statistics import NormalDist, fmean, variance
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.kpis import Interval
from meshtwin.wording import counted

__all__ = [
    "LEAST_EFFECT",
    "NOTHING_SENT",
    "ONE_REPLICATION",
    "compute_mean_interval",
    "compute_quantile",
    "compute_quantile_intervals",
    "compute_ratio_interval",
    "compute_student_quantile",
    "least_effect",
    "least_messages",
]

ONE_REPLICATION: Final = "one replication does not tell how replications differ; ask for two or more"
NOTHING_SENT: Final = "no message was sent"  # a share of nothing is not known
Values = npt.NDArray[np.float64]
NO_VALUE: Final = "there is no value"
LEAST_EFFECT: Final = 0.1  # the most that preset states are believed to save; 0.12 was the best measured


def compute_ratio_interval(
    runs: Sequence[tuple[float, float]], level: float = 0.9, *, is_selective: bool = False
) -> Interval:
    """Wilson interval of a share, from (successes, trials) per replication.

    Trials count as fewer where replications differ more than binomial chance allows (design effect, judged
    from three replications on). No trials: not estimated, 0..1.
    ``is_selective``: replications are scrambles of preset states, which may differ less than chance, so trials may
    count as more; the quantile is then Student's, the effect being known from that few scrambles only.
    Source: Wilson (1927); design effect after Kish (1965).
    """
    trials = sum(n for _, n in runs)
    if trials <= 0:
        return Interval(
            estimate=0.5, low=0.0, high=1.0, level=level, open_because=NOTHING_SENT, is_estimated=False
        )  # fmt: skip
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


def least_effect(replications: int) -> float:
    """The least variance that so many replications are believed to show, as a share of that of independent messages.

    Two may agree by luck, and then know nothing better than chance; from seven on it is `LEAST_EFFECT`. The square in
    between is a choice, made on four small networks (MODELS.md, Selective simulation).

    >>> least_effect(2), least_effect(4), least_effect(8)
    (1.0, 0.25, 0.1)
    """
    return max(LEAST_EFFECT, min(1.0, (2.0 / replications) ** 2))


def compute_mean_interval(
    values: Sequence[float],
    level: float = 0.9,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    chance: float = 0.0,
) -> Interval:
    """Student's interval of a mean over independent replications, kept within ``least`` .. ``most``.

    Student's rather than a bootstrap: with the usual eight scrambles of preset states it is the one that holds its
    level best (L'Ecuyer, Nakayama, Owen, Tuffin: Confidence Intervals for Randomized Quasi-Monte Carlo Estimators,
    Winter Simulation Conference 2023). Fewer than two values tell nothing of how they differ: both bounds are open.
    ``chance``: the variance that the mean of all messages would have if they were drawn one by one (0: not known).
    Means of scrambles may lie in two heaps in place of a bell, so that a few agree by luck; of ``chance`` the share
    `least_effect` is taken to remain at least. No value: not estimated.
    """
    mean = fmean(values) if values else 0.0
    if len(values) < 2:
        return Interval(
            estimate=mean, low=least, high=most, level=level, is_estimated=bool(values),
            open_because=ONE_REPLICATION if values else NO_VALUE,
        )  # fmt: skip
    half = compute_student_quantile(0.5 + level / 2.0, len(values) - 1)
    half *= math.sqrt(variance(values) / len(values))
    half = max(half, NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(least_effect(len(values)) * chance))
    low, high = max(least, mean - half), min(most, mean + half)
    return Interval(estimate=mean, low=min(low, mean), high=max(high, mean), level=level)


def compute_quantile_intervals(
    runs: Sequence[Sequence[float] | Values],
    probabilities: Sequence[float],
    level: float = 0.9,
    *,
    messages: int | None = None,
) -> tuple[Interval, ...]:
    """Intervals of quantiles of times, from the sorted values of each replication; empty if there is no value.

    The estimate is the quantile of all values together. Its bounds are the quantiles a little below and above, by
    as much as the replications' shares of values up to the estimate let that share vary (Student's interval of a
    ratio over replications). So values of one replication may depend on each other, and a distribution in steps,
    as advertising intervals make it, does no harm; the spread of the replications' own quantiles covers 0.4 to 0.8
    in place of 0.9 where they have few values.
    Few replications with equal shares by luck do not give a point: of chance, `least_effect` is taken to remain.
    ``messages``: how many independent ones were sent (None: each value is one); what was lost has no value, so they
    count as no more than there are values. Too few of them have no upper
    bound: 99 % of all messages being below a value takes `least_messages` to see; low quantiles lack their lower
    bound likewise. One replication has no bound. Several quantiles are told each by itself: their intervals are
    pointwise, and do not hold all at once with the probability ``level``.
    Source: Woodruff (1952), Confidence intervals for medians and other position measures, JASA 47.
    """
    filled = [run for run in runs if len(run)]
    if not filled:
        return ()
    pooled = np.concatenate([np.asarray(run, dtype=np.float64) for run in filled])
    pooled.sort()
    seen = len(pooled) if messages is None else min(messages, len(pooled))
    return tuple(_quantile_interval(filled, pooled, p, level, seen) for p in probabilities)


def least_messages(probability: float, level: float = 0.9) -> int:
    """How many messages it takes to bound a quantile from above: fewer may all lie below the true one.

    That many values below a bound show, by Wilson's interval, that the share below it is ``probability`` at least.

    >>> least_messages(0.95), least_messages(0.99)
    (52, 268)
    """
    if probability >= 1.0:
        return sys.maxsize
    return math.ceil(NormalDist().inv_cdf(0.5 + level / 2.0) ** 2 * probability / (1.0 - probability))


def _quantile_interval(
    runs: Sequence[Sequence[float] | Values], pooled: Values, probability: float, level: float, messages: int
) -> Interval:
    estimate = compute_quantile(pooled, probability) or 0.0
    if len(runs) < 2:
        return Interval(estimate=estimate, low=0.0, high=math.inf, level=level, open_because=ONE_REPLICATION)
    counts = [bisect_right(run, estimate) for run in runs]
    share = sum(counts) / len(pooled)
    mean_size = len(pooled) / len(runs)
    squares = sum(((k - share * len(run)) / mean_size) ** 2 for k, run in zip(counts, runs, strict=True))
    half = compute_student_quantile(0.5 + level / 2.0, len(runs) - 1)
    half *= math.sqrt(squares / (len(runs) * (len(runs) - 1)))
    chance = probability * (1.0 - probability) / max(1, messages)
    half = max(half, NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(least_effect(len(runs)) * chance))
    below, above = _why_open(1.0 - probability, half, messages, level), _why_open(probability, half, messages, level)
    low = 0.0 if below else compute_quantile(pooled, probability - half) or 0.0
    high = math.inf if above else compute_quantile(pooled, probability + half) or 0.0
    why = _tell_open(probability, below, above, messages)
    return Interval(estimate=estimate, low=min(low, estimate), high=max(high, estimate), level=level, open_because=why)


def _tell_open(probability: float, below: str, above: str, messages: int) -> str | None:
    """Which quantile has no bound, on which side, and what helps; None: it has both."""
    if not below and not above:
        return None
    if below == above:
        sides = f"from below or above{below}"
    else:
        sides = " and ".join(f"from {side}{why}" for side, why in (("below", below), ("above", above)) if why)
    return f"{counted(messages, 'message does', 'messages do')} not bound p{100 * probability:g} {sides}"


def _why_open(probability: float, half: float, messages: int, level: float) -> str:
    """What would help a quantile of these messages to a bound from above; empty: it has one."""
    needed = least_messages(probability, level)
    is_open = probability + half >= 1.0 or messages < needed
    return _what_helps(probability, messages, needed) if is_open else ""


def _what_helps(probability: float, messages: int, needed: int) -> str:
    if probability >= 1.0:
        return ": one farther out may always come"
    if messages < needed:
        return f"; ask for more (at least {needed})"
    return " where replications differ that much; ask for more replications"


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


def compute_quantile(ascending: Sequence[float] | Values, probability: float) -> float | None:
    """Quantile of sorted values by linear interpolation; None of nothing.

    >>> compute_quantile([1.0, 2.0, 3.0], 0.5)
    2.0
    """
    if not len(ascending):
        return None
    place = probability * (len(ascending) - 1)
    low = math.floor(place)
    high = min(low + 1, len(ascending) - 1)
    below, above = float(ascending[low]), float(ascending[high])
    return below + (above - below) * (place - low)
