"""From counters to the delivery of a single transmission: one Beta posterior per directed link.

A notification is sent ``k`` times and heard if one copy arrives, and the channel is busy part of the time,
so with single-transmission delivery ``p`` on a quiet channel and loss by load ``u`` (collision, or the
receiver sending itself)

    q_k(p) = (1 - c) (1 - B_k(1 - p (1 - u)))

where ``B_k`` is the chance that all copies are lost, ``x^k`` for independent ones and more for copies that
share a channel (see `bursts`), and ``c`` the share of notifications of which all copies are lost to load
(see `load`).

The posterior of ``p`` given heard and missed notifications per ``k`` is computed on a grid and written as
the Beta distribution of equal mean and variance. The prior is uniform, or comes from RSSI where links tell
it (see `rssi_prior`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.twins.bursts import log_likelihoods
from meshtwin.twins.folding import EVIDENCE_HALF_LIFE_S
from meshtwin.twins.load import Load
from meshtwin.twins.rssi_prior import fit_rssi_prior
from meshtwin.twins.silence import SilentLink, find_silent_links
from meshtwin.twins.state import LinkRecord, TwinState

__all__ = ["estimate_links", "fit_beta"]

GRID_SIZE: Final = 256  # points, dense at both ends; error of mean and deviation below 0.001 up to 500 counts
CHUNK: Final = 1000  # links at a time: 2 MB per array instead of 60 MB for 30,000 links
EVIDENCE_FLOOR: Final = 4.0  # notifications: what old evidence still weighs, so that its direction remains
QUIET: Final = Load(busy_ratio=0.0, source="monitoring")
UNIFORM: Final = (1.0, 1.0)  # alpha and beta of the prior where nothing else is known

Counts = tuple[tuple[int, float, float], ...]  # (transmissions, heard, missed)


@dataclass(frozen=True, slots=True)
class _Grid:
    delivery: NDArray[np.float64]  # (GRID_SIZE,), ascending in (0, 1)
    log_weight: NDArray[np.float64]  # (GRID_SIZE,)


def estimate_links(state: TwinState, *, now_s: float, load: Load, report_interval_s: float) -> tuple[LinkEstimate, ...]:
    """Estimates of all links that were ever reported, ascending by (source, target).

    Evidence decays with a half-life of `EVIDENCE_HALF_LIFE_S` down to `EVIDENCE_FLOOR` notifications; links
    that fell silent while both ends are known to be alive count what was missed since (see `silence`).
    """
    silent = find_silent_links(state, report_interval_s=report_interval_s)
    rows: list[tuple[int, int, LinkRecord]] = sorted(
        (source, target, record) for target, node in state.nodes.items() for source, record in node.links.items()
    )
    counts = [_aged(record, silent.get((source, target)), now_s) for source, target, record in rows]
    told = [(row[2].rssi_dbm, link) for row, link in zip(rows, counts, strict=True)]
    prior = fit_rssi_prior([(rssi, link) for rssi, link in told if rssi is not None], load)
    priors = [UNIFORM if prior is None or rssi is None else prior.at(rssi) for rssi, _ in told]
    posteriors = fit_beta(counts, load, priors)
    return tuple(
        LinkEstimate(
            source=UnicastAddress(source),
            target=UnicastAddress(target),
            delivery_alpha=alpha,
            delivery_beta=beta,
            rssi_dbm=record.rssi_dbm,
            last_heard=datetime.fromtimestamp(record.heard_s, UTC),
        )
        for (source, target, record), (alpha, beta) in zip(rows, posteriors, strict=True)
    )


def fit_beta(
    counts: Sequence[Counts], load: Load = QUIET, priors: Sequence[tuple[float, float]] | None = None
) -> list[tuple[float, float]]:
    """Alpha and beta of the single-transmission delivery for each link's counts.

    ``priors`` are alpha and beta
    per link, None: uniform for all.
    """
    grid = _make_grid()
    before = np.array([UNIFORM] * len(counts) if priors is None else priors).reshape(-1, 2)
    fitted: list[tuple[float, float]] = []
    for start in range(0, len(counts), CHUNK):
        chunk = slice(start, start + CHUNK)
        fitted.extend(_fit_chunk(counts[chunk], load, before[chunk], grid))
    return fitted


def _make_grid() -> _Grid:
    theta = (np.arange(GRID_SIZE) + 0.5) * (np.pi / 2 / GRID_SIZE)
    delivery = np.sin(theta) ** 2
    weight = np.sin(2 * theta)  # dp/dtheta
    return _Grid(delivery, np.log(weight))


def _fit_chunk(
    counts: Sequence[Counts], load: Load, priors: NDArray[np.float64], grid: _Grid
) -> list[tuple[float, float]]:
    alpha, beta = priors[:, :1] - 1, priors[:, 1:] - 1
    log_posterior = alpha * np.log(grid.delivery) + beta * np.log1p(-grid.delivery) + grid.log_weight
    for k in sorted({entry[0] for link in counts for entry in link}):
        table = np.array([_of(link, k) for link in counts])  # (links, 2): heard, missed
        log_heard, log_missed = log_likelihoods(grid.delivery, k, load)
        log_posterior += table[:, :1] * log_heard + table[:, 1:] * log_missed
    log_posterior -= log_posterior.max(axis=1, keepdims=True)
    weight = np.exp(log_posterior)
    weight /= weight.sum(axis=1, keepdims=True)
    mean = weight @ grid.delivery
    variance = weight @ grid.delivery**2 - mean**2
    total = np.maximum(mean * (1 - mean) / np.maximum(variance, 1e-9) - 1, 1e-3)
    return [(float(a), float(b)) for a, b in zip(mean * total, (1 - mean) * total, strict=True)]


def _of(link: Counts, transmissions: int) -> tuple[float, float]:
    for k, heard, missed in link:
        if k == transmissions:
            return heard, missed
    return 0.0, 0.0


def _aged(record: LinkRecord, silent: SilentLink | None, now_s: float) -> Counts:
    """Evidence as it counts at ``now_s``."""
    total = sum(heard + missed for _, heard, missed in record.evidence)
    if total <= 0.0:
        factor = 1.0
    else:
        decay = 0.5 ** (max(0.0, now_s - record.evidence_s) / EVIDENCE_HALF_LIFE_S)
        factor = max(decay, min(1.0, EVIDENCE_FLOOR / total))
    aged = tuple((k, heard * factor, missed * factor) for k, heard, missed in record.evidence)
    if silent is None:
        return aged
    newest = aged[-1][0] if aged else 1
    return tuple((k, h, m + (silent.missed if k == newest else 0.0)) for k, h, m in aged)
