"""What the links of one network have in common: log-odds of delivery over distance, and both ways alike.

The log-odds of a link's delivery are taken as normal around a line in the logarithm of its length (log-distance path
loss under a logistic reception curve), or around one mean where places are not known, fitted to all links of
the network by their own counters: expectation maximisation, with the posterior of every link on the grid. Pairs that
never heard each other enter with what they were exposed to; without them far pairs would seem better than they are.

The two directions of a pair share most of their shadowing, so that what is known of one moves the other, by a
correlation that is fitted as well.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.twins.delivery_grid import CHUNK, LOG_WEIGHT, LOGIT, Array, Tables, log_likelihood
from meshtwin.twins.load import Load

__all__ = ["Expectation", "LinkLine", "Pairs", "fit_link_line", "log_normal_mass"]

LINKS_MIN: Final = 20  # fewer cannot tell slope and scatter apart
ROUNDS: Final = 12  # of expectation maximisation; more move the mean delivery by less than 0.002
RIDGE: Final = np.array([0.01, 0.05])  # of intercept and slope, in links: keeps the fit finite
DEVIATION_MIN: Final = 1.0  # of the log-odds: a metal door is in no line
DEVIATION_MAX: Final = 6.0
DEVIATION_GUESS: Final = 2.5  # 5 dB of shadowing under a reception curve 2 dB wide
DEVIATION_LINKS: Final = 4.0  # links that this guess counts as
LIMIT: Final = 14.0  # log-odds: beyond it nothing changes on the grid
CORRELATIONS: Final = np.arange(0.0, 0.96, 0.1)
PRECISION_MIN: Final = 1e-3  # of what the counters of one link say, in 1 / log-odds squared

Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Directed pairs as rows: ``decades`` of metres (NaN: not known), counts, and the row of the other direction.

    ``reverse`` is -1 where the other direction is not among the rows.
    """

    decades: Array  # (pairs,)
    tables: Tables
    reverse: Rows  # (pairs,)

    def __len__(self) -> int:
        return len(self.decades)


@dataclass(frozen=True, slots=True)
class Expectation:
    """Mean and standard deviation of the log-odds of each pair, (pairs,)."""

    mean: Array
    deviation: Array


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLine:
    """``intercept`` at ``centre`` decades, ``slope`` per decade, ``deviation`` around them, all in log-odds.

    ``correlation``: of the two directions of a pair, given their length.
    """

    intercept: float
    slope: float
    centre: float
    deviation: float
    correlation: float = 0.0

    def expect(self, decades: Array) -> Expectation:
        """What to expect of pairs of these lengths before anything is counted; NaN counts as the centre."""
        mean = self.intercept + self.slope * np.nan_to_num(decades - self.centre)
        return Expectation(np.clip(mean, -LIMIT, LIMIT), np.full(len(decades), self.deviation))

    def expect_both_ways(self, pairs: Pairs, load: Load) -> Expectation:
        """The same with what the counters of the other direction say; a pair's own counters are not used."""
        alone = self.expect(pairs.decades)
        if self.correlation == 0.0:
            return alone
        said, variance = _said_by_counters(pairs, alone, load)
        other = np.maximum(pairs.reverse, 0)
        share = np.where(pairs.reverse >= 0, self.deviation**2 / (self.deviation**2 + variance[other]), 0.0)
        mean = alone.mean + self.correlation * share * said[other]
        return Expectation(np.clip(mean, -LIMIT, LIMIT), alone.deviation * np.sqrt(1.0 - self.correlation**2 * share))


def fit_link_line(pairs: Pairs, weights: Array, load: Load) -> LinkLine | None:
    """The line that best explains the counts; None if fewer than `LINKS_MIN` pairs have any.

    ``weights``: pairs that each row stands for. The grid takes 2 kB per row: callers take samples of many pairs.
    """
    if not pairs.tables or len(pairs) < LINKS_MIN:
        return None
    known = pairs.decades[~np.isnan(pairs.decades)]
    centre = float(np.median(known)) if len(known) else 0.0
    features = np.stack([np.ones(len(pairs)), np.nan_to_num(pairs.decades - centre)], axis=1)
    likelihood = log_likelihood(pairs.tables, slice(None), load)
    mean: Array = np.zeros(len(pairs))
    deviation = DEVIATION_GUESS
    coefficients: Array = np.zeros(2)
    for _ in range(ROUNDS):
        expected = Expectation(mean, np.full(len(pairs), deviation))
        middles, variances = _moments(likelihood + log_normal_mass(expected))
        gram = features.T @ (features * weights[:, None]) + np.diag(RIDGE * deviation**2)
        coefficients = np.asarray(np.linalg.solve(gram, features.T @ (middles * weights)), dtype=np.float64)
        mean = np.asarray(np.clip(features @ coefficients, -LIMIT, LIMIT), dtype=np.float64)
        scatter = float(weights @ (variances + (middles - mean) ** 2)) + DEVIATION_LINKS * DEVIATION_GUESS**2
        deviation = (scatter / (float(weights.sum()) + DEVIATION_LINKS)) ** 0.5
        deviation = min(max(deviation, DEVIATION_MIN), DEVIATION_MAX)
    line = LinkLine(intercept=float(coefficients[0]), slope=float(coefficients[1]), centre=centre, deviation=deviation)
    return replace(line, correlation=_fit_correlation(line, pairs, load))


def log_normal_mass(expected: Expectation) -> Array:
    """(pairs, grid): logarithm of the prior mass per grid point, up to a constant per row."""
    score = (LOGIT - expected.mean[:, None]) / expected.deviation[:, None]
    # d(log-odds) is d(delivery) / (p (1 - p)), which is d(angle) over the weight of d(delivery).
    return np.asarray(-0.5 * score * score - LOG_WEIGHT)


def _moments(log_mass: Array) -> tuple[Array, Array]:
    """Mean and variance of the log-odds of each row."""
    mass = log_mass - log_mass.max(axis=1, keepdims=True)
    np.exp(mass, out=mass)
    whole = mass.sum(axis=1)
    mean = mass @ LOGIT / whole
    return mean, np.maximum(mass @ LOGIT**2 / whole - mean**2, 1e-4)


def _said_by_counters(pairs: Pairs, expected: Expectation, load: Load) -> tuple[Array, Array]:
    """How far the counters alone put each pair from what is expected, and the variance of that, as a normal."""
    mean, variance = np.empty(len(pairs)), np.empty(len(pairs))
    for start in range(0, len(pairs), CHUNK):
        rows = slice(start, start + CHUNK)
        before = Expectation(expected.mean[rows], expected.deviation[rows])
        mean[rows], variance[rows] = _moments(log_likelihood(pairs.tables, rows, load) + log_normal_mass(before))
    prior = 1.0 / expected.deviation**2
    precision = np.maximum(1.0 / variance - prior, PRECISION_MIN)
    return (mean / variance - expected.mean * prior) / precision - expected.mean, 1.0 / precision


def _fit_correlation(line: LinkLine, pairs: Pairs, load: Load) -> float:
    """The correlation under which both directions of all pairs are likeliest; 0 where there are few such pairs."""
    first = np.flatnonzero(pairs.reverse > np.arange(len(pairs)))
    if len(first) < LINKS_MIN // 2:
        return 0.0
    said, variance = _said_by_counters(pairs, line.expect(pairs.decades), load)
    second = pairs.reverse[first]
    x, y = said[first], said[second]
    a, b = variance[first] + line.deviation**2, variance[second] + line.deviation**2
    best = (-np.inf, 0.0)
    for correlation in CORRELATIONS:
        shared = correlation * line.deviation**2
        determinant = a * b - shared**2
        fit = -0.5 * (np.log(determinant) + (b * x**2 - 2 * shared * x * y + a * y**2) / determinant).sum()
        best = max(best, (float(fit), float(correlation)))
    return best[1]
