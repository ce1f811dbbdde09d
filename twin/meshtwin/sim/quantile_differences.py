"""Differences of quantiles between two sides that met the same states, with intervals over paired replications."""

import math
from collections.abc import Sequence
from itertools import combinations
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.mesh.kpis import Interval
from meshtwin.sim.draws import draw, extend_key
from meshtwin.sim.intervals import LEAST_EFFECT, ONE_REPLICATION, compute_student_quantile, least_messages
from meshtwin.wording import counted

__all__ = ["NOTHING_REACHED", "Pairs", "compute_quantile_differences"]

NOTHING_REACHED: Final = "no message reached a member on both sides"
HALVES: Final = 70  # half samples, which is all of them up to eight replications
SHUFFLE_KEY: Final = 0x68616C76657321  # of the halves where they are drawn: equal questions have equal answers

# Values of the first and of the second side in one replication
Pairs = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
Floats = npt.NDArray[np.float64]


def compute_quantile_differences(
    replications: Sequence[Pairs], probabilities: Sequence[float], level: float = 0.9, *, messages: int
) -> tuple[Interval, ...]:
    """The second side's quantiles of all values less the first side's, each with its interval.

    The width is Student's, with a delete-half jackknife over replications: how much the difference varies between
    halves of them. Values of one replication may depend on each other, and so may the two sides, whose common luck
    cancels. Deleting half is what quantiles need: deleting one replication at a time is not consistent for them, and
    the mean of the replications' own differences is biased where they have few values each.
    Never narrower than what ``messages`` independent messages can show, unless both sides are the same to the last
    value: a share of which none was seen (Wilson's bound), or less where chance itself is less, of which
    `LEAST_EFFECT` is believed to remain. Fewer than `least_messages` bound nothing, nor does one replication.
    Source: Shao and Wu (1989), A general theory for jackknife variance estimation, Annals of Statistics 17.
    """
    filled = [pair for pair in replications if len(pair[0]) and len(pair[1])]
    if not filled:
        return tuple(
            Interval(estimate=0.0, low=-math.inf, high=math.inf, level=level, open_because=NOTHING_REACHED,
                     is_estimated=False)
            for _ in probabilities
        )  # fmt: skip
    first, second = _pooled(filled)
    estimates = _differences((first, second), probabilities)
    if len(filled) < 2:
        return tuple(_open(float(estimate), level, ONE_REPLICATION) for estimate in estimates)
    if np.array_equal(first, second):
        return tuple(Interval(estimate=0.0, low=0.0, high=0.0, level=level) for _ in probabilities)
    halves = compute_student_quantile(0.5 + level / 2.0, len(filled) - 1) * _deviations(filled, probabilities)
    told = []
    for p, estimate, half in zip(probabilities, estimates, halves, strict=True):
        needed = least_messages(max(p, 1.0 - p), level)
        if messages < needed:
            why = f"{counted(messages, 'message does', 'messages do')} not bound a difference of p{100 * p:g}; "
            why += f"ask for more (at least {needed})"
            told.append(_open(float(estimate), level, why))
            continue
        below, above = _unseen(second, p, messages, level)
        low, high = float(estimate - max(half, below)), float(estimate + max(half, above))
        told.append(Interval(estimate=float(estimate), low=low, high=high, level=level))
    return tuple(told)


def _open(estimate: float, level: float, why: str) -> Interval:
    return Interval(estimate=estimate, low=-math.inf, high=math.inf, level=level, open_because=why)


def _pooled(pairs: Sequence[Pairs]) -> Pairs:
    return np.concatenate([first for first, _ in pairs]), np.concatenate([second for _, second in pairs])


def _differences(sides: Pairs, probabilities: Sequence[float]) -> Floats:
    return np.asarray(np.quantile(sides[1], probabilities) - np.quantile(sides[0], probabilities))


def _deviations(filled: Sequence[Pairs], probabilities: Sequence[float]) -> Floats:
    """Standard deviation of each difference over what replications there might have been."""
    whole = _differences(_pooled(filled), probabilities)
    kept = (len(filled) + 1) // 2
    squares = [
        (_differences(_pooled([filled[i] for i in half]), probabilities) - whole) ** 2
        for half in _half_samples(len(filled), kept)
    ]
    return np.asarray(np.sqrt(np.mean(squares, axis=0) * kept / (len(filled) - kept)))


def _half_samples(count: int, kept: int) -> list[tuple[int, ...]]:
    """Every choice of ``kept`` out of ``count``, or `HALVES` of them where there are more."""
    if math.comb(count, kept) <= HALVES:
        return list(combinations(range(count), kept))
    keys = [extend_key(SHUFFLE_KEY, number) for number in range(HALVES)]
    return [tuple(sorted(sorted(range(count), key=lambda i: draw(key, i))[:kept])) for key in keys]


def _unseen(values: Floats, probability: float, messages: int, level: float) -> tuple[float, float]:
    """How far the quantile lies from those a share below and above it that so many messages may not show."""
    z2 = NormalDist().inv_cdf(0.5 + level / 2.0) ** 2
    chance = probability * (1.0 - probability) / messages
    share = min(z2 / (messages + z2), math.sqrt(z2 * LEAST_EFFECT * chance))
    places = [max(0.0, probability - share), probability, min(1.0, probability + share)]
    low, here, high = (float(value) for value in np.quantile(values, places))
    return here - low, high - here
