"""A prior for the delivery of links from their RSSI, learned from the links of the same network.

Many repeats saturate: a notification sent six times is always heard, whether a single transmission arrives
with 0.6 or with 0.99. RSSI tells them apart. The relation is not assumed but fitted, to all links that tell
RSSI, by their own counters: mean delivery is a logistic function of RSSI, and links scatter around it as a Beta
distribution. RSSI is known of what was heard only, so that weak links look stronger than they are; the fit
takes the biased figure as what it is, a covariate of the same kind for all links.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.twins.bursts import log_likelihoods
from meshtwin.twins.load import Load

__all__ = ["RssiPrior", "fit_rssi_prior"]

Counts = Sequence[tuple[int, float, float]]  # (transmissions, heard, missed)
Array = NDArray[np.float64]

LINKS_MIN: Final = 20  # fewer cannot tell midpoint, width and scatter apart
LINKS_MAX: Final = 400  # more change the fit little; bounds the time to some 50 ms
EVIDENCE_MAX: Final = 20.0  # notifications per link in the fit: no single link may decide it
MIDPOINTS_DBM: Final = np.arange(-110.0, -49.0, 1.0)
WIDTHS_DB: Final = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0])
STRENGTHS: Final = np.array([1.0, 2.0, 4.0, 8.0, 16.0])  # notifications that the prior is worth
MEAN_MARGIN: Final = 0.02  # the mean stays within 0.02..0.98: a prior is never certain


@dataclass(frozen=True, slots=True, kw_only=True)
class RssiPrior:
    """Mean delivery is 1/2 at ``midpoint_dbm`` and 0.73 one ``width_db`` above; worth ``strength`` counts."""

    midpoint_dbm: float
    width_db: float
    strength: float

    def at(self, rssi_dbm: float) -> tuple[float, float]:
        """Alpha and beta of the prior of a link with this RSSI."""
        mean = float(_mean(np.array([rssi_dbm]), self.midpoint_dbm, self.width_db)[0])
        return self.strength * mean, self.strength * (1 - mean)


def fit_rssi_prior(links: Sequence[tuple[float, Counts]], load: Load) -> RssiPrior | None:
    """The prior that best explains ``links`` (RSSI in dBm, counts); None if there are too few of them.

    Midpoint and width by likelihood over a grid, then the scatter by marginal likelihood. Equal links give
    an equal prior; of very many every n-th is taken.
    """
    told = [link for link in links if sum(h + m for _, h, m in link[1]) > 0]
    if len(told) < LINKS_MIN:
        return None
    told = told[:: -(-len(told) // LINKS_MAX)]
    rssi = np.array([link[0] for link in told])
    tables = _tables([link[1] for link in told])
    midpoint, width = _fit_curve(rssi, tables, load)
    strength = _fit_strength(_mean(rssi, midpoint, width), tables, load)
    return RssiPrior(midpoint_dbm=midpoint, width_db=width, strength=strength)


def _mean(rssi_dbm: Array, midpoint_dbm: float, width_db: float) -> Array:
    score = np.clip((rssi_dbm - midpoint_dbm) / width_db, -50.0, 50.0)
    return np.clip(1.0 / (1.0 + np.exp(-score)), MEAN_MARGIN, 1.0 - MEAN_MARGIN)


def _tables(counts: Sequence[Counts]) -> Mapping[int, Array]:
    """Per number of transmissions (links, 2): heard and missed, at most `EVIDENCE_MAX` in total per link."""
    scales = [min(1.0, EVIDENCE_MAX / sum(h + m for _, h, m in link)) for link in counts]
    tables: dict[int, Array] = {}
    for row, (link, scale) in enumerate(zip(counts, scales, strict=True)):
        for k, heard, missed in link:
            table = tables.setdefault(k, np.zeros((len(counts), 2)))
            table[row] += (heard * scale, missed * scale)
    return tables


def _log_likelihood(delivery: Array, tables: Mapping[int, Array], load: Load) -> Array:
    """``delivery`` is (links,) or (links, points); the result likewise."""
    total = np.zeros_like(delivery)
    for k in sorted(tables):
        heard, missed = tables[k][:, 0], tables[k][:, 1]
        if delivery.ndim == 2:
            heard, missed = heard[:, None], missed[:, None]
        log_heard, log_missed = log_likelihoods(delivery, k, load)
        total += heard * log_heard + missed * log_missed
    return total


def _fit_curve(rssi: Array, tables: Mapping[int, Array], load: Load) -> tuple[float, float]:
    best = (-np.inf, 0.0, 1.0)
    for midpoint in MIDPOINTS_DBM:
        for width in WIDTHS_DB:
            fit = _log_likelihood(_mean(rssi, midpoint, width), tables, load).sum()
            best = max(best, (float(fit), float(midpoint), float(width)))
    return best[1], best[2]


def _fit_strength(mean: Array, tables: Mapping[int, Array], load: Load) -> float:
    theta = (np.arange(128) + 0.5) * (np.pi / 256)
    delivery = np.sin(theta) ** 2  # (points,), dense at both ends
    log_weight = np.log(np.sin(2 * theta))
    grid = np.broadcast_to(delivery, (len(mean), delivery.size))
    likelihood = _log_likelihood(grid.copy(), tables, load)
    best = (-np.inf, 1.0)
    for strength in STRENGTHS:
        alpha, beta = strength * mean[:, None], strength * (1 - mean[:, None])
        log_prior = (alpha - 1) * np.log(delivery) + (beta - 1) * np.log1p(-delivery) + log_weight
        evidence = _log_sum(log_prior + likelihood) - _log_sum(log_prior)
        best = max(best, (float(evidence.sum()), float(strength)))
    return best[1]


def _log_sum(values: Array) -> Array:
    top = values.max(axis=1)
    return np.asarray(top + np.log(np.exp(values - top[:, None]).sum(axis=1)))
