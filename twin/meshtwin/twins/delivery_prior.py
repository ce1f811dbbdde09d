"""A prior for the delivery of links from a score that goes with it, learned from the links of the same network.

Many repeats saturate: a notification sent six times is always heard, whether a single transmission arrives
with 0.6 or with 0.99. RSSI tells them apart; where it is not told, distance and the other direction do (the score
is then what `link_line` expects). The relation is not assumed but fitted, to all links that have the score, by
their own counters: mean delivery is a logistic function of the score, and links scatter around it as a Beta
distribution. RSSI is known of what was heard only, so that weak links look stronger than they are; the fit takes
the biased figure as what it is, a covariate of the same kind for all links.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from meshtwin.twins.bursts import log_likelihoods
from meshtwin.twins.delivery_grid import Array, Tables, scale_tables
from meshtwin.twins.load import Load

__all__ = ["LOG_ODDS", "RSSI_DBM", "DeliveryPrior", "ScoreKind", "fit_delivery_prior"]

LINKS_MIN: Final = 20  # fewer cannot tell midpoint, width and scatter apart
LINKS_MAX: Final = 400  # more change the fit little; bounds the time to some 50 ms
EVIDENCE_MAX: Final = 20.0  # notifications per link in the fit: no single link may decide it
STRENGTHS: Final = np.array([1.0, 2.0, 4.0, 8.0, 16.0])  # notifications that the prior is worth
MEAN_LEAST: Final = 0.02  # a prior is never certain
# Delivery that the curve rises to, however strong the signal. A scanner that changes its channel every 10 to 30 ms
# misses 2 to 6 % of what is sent across a change, and in an ordinary building others are on the air. Two and more
# copies of a notification hide both from the counters. 0.98 made the best links 0.04 too good.
MEAN_MOST: Final = 0.94
SCATTER_POINTS: Final = 64  # of the grid over delivery while the scatter is fitted
REFINEMENTS: Final = 5  # of the curve, steps halved
STEPS_MAX: Final = 6  # of one size


@dataclass(frozen=True, slots=True, eq=False)
class ScoreKind:
    """Midpoints and widths that are tried, in the unit of the score.

    ``scatter``: notifications that the prior is taken to be worth while the curve is fitted; a curve fitted as if all
    links lay on it comes out too flat. RSSI says more of the delivery than distance does.
    """

    midpoints: Array
    widths: Array
    scatter: float


RSSI_DBM: Final = ScoreKind(
    np.arange(-110.0, -49.0, 1.0), np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0]), scatter=8.0
)
LOG_ODDS: Final = ScoreKind(
    np.arange(-6.0, 6.01, 0.25), np.array([0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2, 3.0, 4.0]), scatter=4.0
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPrior:
    """Mean delivery is half of `MEAN_MOST` at ``midpoint`` and nears it above; worth ``strength`` notifications.

    One ``width`` above the midpoint it is 0.73 of `MEAN_MOST`.
    """

    midpoint: float
    width: float
    strength: float

    def at(self, score: Array) -> Array:
        """(links, 2): alpha and beta of the prior of links with these scores."""
        mean = _mean(score, self.midpoint, self.width)
        return np.stack([self.strength * mean, self.strength * (1 - mean)], axis=1)


def fit_delivery_prior(score: Array, tables: Tables, load: Load, kind: ScoreKind) -> DeliveryPrior | None:
    """The prior that best explains the counts of links with these scores; None if too few have any.

    Midpoint and width by likelihood over a grid, refined by marginal likelihood, then the scatter by it. Equal links
    give an equal prior; of very many every n-th is taken.
    """
    if not tables:
        return None
    told = np.flatnonzero(np.sum([table.sum(axis=1) for table in tables.values()], axis=0) > 0)
    if len(told) < LINKS_MIN:
        return None
    told = told[:: -(-len(told) // LINKS_MAX)]
    sample = scale_tables({k: table[told] for k, table in tables.items()}, EVIDENCE_MAX)
    grid = _Grid(sample, load)
    start = _fit_curve(score[told], sample, load, kind)
    midpoint, width = _refine_curve(score[told], grid, kind, start)
    strength = _fit_strength(_mean(score[told], midpoint, width), grid)
    return DeliveryPrior(midpoint=midpoint, width=width, strength=strength)


def _mean(score: Array, midpoint: float, width: float | Array) -> Array:
    steps = np.clip((score - midpoint) / width, -50.0, 50.0)
    return np.clip(MEAN_MOST / (1.0 + np.exp(-steps)), MEAN_LEAST, MEAN_MOST)


def _log_likelihood(delivery: Array, tables: Tables, load: Load) -> Array:
    """``delivery`` is (links,) or (links, points); the result likewise."""
    total = np.zeros_like(delivery)
    for k in sorted(tables):
        heard, missed = tables[k][:, 0], tables[k][:, 1]
        if delivery.ndim == 2:
            heard, missed = heard[:, None], missed[:, None]
        log_heard, log_missed = log_likelihoods(delivery, k, load)
        total += heard * log_heard + missed * log_missed
    return total


def _fit_curve(score: Array, tables: Tables, load: Load, kind: ScoreKind) -> tuple[float, float]:
    distinct, group = np.unique(score, return_inverse=True)  # reports round RSSI: some ten values of hundreds
    sums = {k: np.zeros((len(distinct), 2)) for k in tables}
    for k, table in tables.items():
        np.add.at(sums[k], group, table)
    best = (-np.inf, 0.0, 1.0)
    for midpoint in kind.midpoints:
        mean = _mean(distinct[:, None], midpoint, kind.widths)
        fits = _log_likelihood(mean, sums, load).sum(axis=0)
        row = max(range(len(fits)), key=lambda i: (fits[i], kind.widths[i]))
        best = max(best, (float(fits[row]), float(midpoint), float(kind.widths[row])))
    return best[1], best[2]


class _Grid:
    """Likelihood of every link on a coarse grid of delivery, and evidence for a prior on it."""

    def __init__(self, tables: Tables, load: Load) -> None:
        theta = (np.arange(SCATTER_POINTS) + 0.5) * (np.pi / 2 / SCATTER_POINTS)
        self._log_heard = np.log(np.sin(theta) ** 2)  # (points,), dense at both ends
        self._log_missed = np.log(np.cos(theta) ** 2)
        self._log_weight = np.log(np.sin(2 * theta))
        links = len(next(iter(tables.values())))
        grid = np.broadcast_to(np.sin(theta) ** 2, (links, SCATTER_POINTS))
        likelihood = _log_likelihood(grid.copy(), tables, load)
        # Evidence is at most `EVIDENCE_MAX`, and some point is fair to both prior and counts: nothing sums up to 0.
        self._top = float(likelihood.max(axis=1).sum())
        self._likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))

    def evidence(self, mean: Array, strength: float) -> float:
        """Marginal log likelihood of all links under Beta priors of these means."""
        distinct, group = np.unique(mean, return_inverse=True)
        alpha, beta = strength * distinct[:, None], strength * (1 - distinct[:, None])
        log_prior = (alpha - 1) * self._log_heard + (beta - 1) * self._log_missed + self._log_weight
        prior = np.exp(log_prior - log_prior.max(axis=1, keepdims=True))
        prior /= prior.sum(axis=1, keepdims=True)
        together = np.einsum("lp,lp->l", self._likelihood, prior[group])
        return float(np.log(together).sum()) + self._top


def _refine_curve(score: Array, grid: _Grid, kind: ScoreKind, start: tuple[float, float]) -> tuple[float, float]:
    """Midpoint and width of most evidence with scatter around the curve: steps to the best neighbour, halved."""
    step, factor = 4 * float(kind.midpoints[1] - kind.midpoints[0]), 1.5

    def judge(midpoint: float, width: float) -> tuple[float, float, float]:
        return grid.evidence(_mean(score, midpoint, width), kind.scatter), midpoint, width

    best = judge(*start)
    for _ in range(REFINEMENTS):
        for _ in range(STEPS_MAX):
            _, m, w = best
            found = max(judge(m + step, w), judge(m - step, w), judge(m, w * factor), judge(m, w / factor))
            if found[0] <= best[0]:
                break
            best = found
        step, factor = step / 2, factor**0.5
    return best[1], best[2]


def _fit_strength(mean: Array, grid: _Grid) -> float:
    return max((grid.evidence(mean, float(strength)), float(strength)) for strength in STRENGTHS)[1]
