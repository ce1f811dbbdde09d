"""The theoretical link model fitted to observed links, and what it expects of links nobody heard yet.

A link that delivers nearly everything, or nothing, only bounds its received power; leaving such links out would
bias the exponent, so they enter as censored observations (expectation maximisation).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np

from meshtwin.errors import InvalidInput
from meshtwin.radio.path_loss import LogDistance, compute_log_distance_loss_db
from meshtwin.radio.reception import compute_packet_error_ratio, compute_rx_power_dbm, compute_snr_db

__all__ = [
    "DeliveryPrior",
    "FittedLinkModel",
    "ObservedLink",
    "expect_delivery",
    "fit_link_model",
]

WELL_HEARD: Final = 0.8  # delivery above which collisions and deafness, not power, explain what is missing
UNHEARD: Final = 0.05
EXPONENT_DEVIATION: Final = 0.6  # spread of published indoor exponents around the prior (Rappaport, table 4.6)
REFERENCE_DEVIATION_DB: Final = 10.0  # antennas, housings and unknown transmit power
ITERATIONS: Final = 60
SHADOWING_MIN_DB: Final = 1.0  # below this the fit trusts single links too much
STANDARD: Final = NormalDist()
NODES: Final = 24  # Gauss-Hermite points over shadowing; more change the third digit


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedLink:
    """One directed link with a known distance; ``delivery`` is the ratio of single transmissions, 0..1.

    ``rssi_dbm`` None: not told; then power is inferred from ``delivery``.
    """

    distance_m: float
    delivery: float
    rssi_dbm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedLinkModel:
    """Log-distance parameters fitted to ``link_count`` links; 0 links: the prior as it was.

    ``params.reference_db`` includes transmit power and antennas: received power is minus the loss.
    """

    params: LogDistance
    link_count: int


@dataclass(frozen=True, slots=True)
class DeliveryPrior:
    """Beta distribution of a link's delivery, known from its distance only."""

    alpha: float
    beta: float

    @property
    def mean(self) -> float:
        """Expected delivery of a single transmission, 0..1."""
        return self.alpha / (self.alpha + self.beta)


@dataclass(frozen=True, slots=True)
class _Bound:
    """Received power in dBm: exactly ``value``, or above (side 1) or below (side -1) it."""

    decades: float
    value: float
    side: int


def fit_link_model(links: Sequence[ObservedLink], prior: LogDistance | None = None) -> FittedLinkModel:
    """Reference loss, exponent and shadowing that best explain ``links``, drawn to ``prior`` when few.

    Raises `InvalidInput` for a delivery outside 0..1. Deterministic; time grows with links times 60 rounds.
    """
    start = prior or LogDistance()
    bounds = [_to_bound(link, start) for link in links]
    if not bounds:
        return FittedLinkModel(params=start, link_count=0)
    design = np.array([[1.0, -10.0 * b.decades] for b in bounds])
    centre = np.array([-start.reference_db, start.exponent])
    precision = np.diag([REFERENCE_DEVIATION_DB**-2, EXPONENT_DEVIATION**-2])
    coefficients, sigma = centre.copy(), max(start.shadowing_db, SHADOWING_MIN_DB)
    for _ in range(ITERATIONS):
        expected = design @ coefficients
        moments = [_complete(b, float(m), sigma) for b, m in zip(bounds, expected, strict=True)]
        powers = np.array([mean for mean, _ in moments])
        spread = np.array([var for _, var in moments])
        gram = design.T @ design / sigma**2 + precision
        coefficients = np.linalg.solve(gram, design.T @ powers / sigma**2 + precision @ centre)
        squares = float(((powers - design @ coefficients) ** 2 + spread).sum())
        # the prior counts as four links, so that two or three links do not claim to know the shadowing
        sigma = math.sqrt((squares + 4.0 * start.shadowing_db**2) / (len(bounds) + 4.0))
        sigma = max(sigma, SHADOWING_MIN_DB)
    params = LogDistance(
        exponent=max(float(coefficients[1]), 0.5),
        reference_db=-float(coefficients[0]),
        reference_m=start.reference_m,
        shadowing_db=sigma,
    )
    return FittedLinkModel(params=params, link_count=len(bounds))


def expect_delivery(distance_m: float, model: FittedLinkModel) -> DeliveryPrior:
    """What to expect of a link of this length before anything was heard over it.

    Delivery averaged over shadowing; a Beta of the same mean and variance, worth at most two observations.
    """
    median_dbm = -compute_log_distance_loss_db(distance_m, model.params)
    points, weights = _hermite()
    deliveries = np.array(
        [_delivery(median_dbm + math.sqrt(2.0) * model.params.shadowing_db * float(x)) for x in points]
    )
    mean = min(max(float(weights @ deliveries), 1e-4), 1.0 - 1e-4)
    variance = float(weights @ (deliveries - mean) ** 2)
    strength = mean * (1.0 - mean) / variance - 1.0 if variance > 1e-9 else 2.0
    strength = min(max(strength, 0.1), 2.0)
    return DeliveryPrior(mean * strength, (1.0 - mean) * strength)


def _to_bound(link: ObservedLink, start: LogDistance) -> _Bound:
    if not 0.0 <= link.delivery <= 1.0:
        raise InvalidInput(f"delivery {link.delivery} is outside 0..1")
    decades = math.log10(max(link.distance_m / start.reference_m, 1.0))
    if link.rssi_dbm is not None:
        return _Bound(decades, link.rssi_dbm, 0)
    if link.delivery >= WELL_HEARD:
        return _Bound(decades, _power(WELL_HEARD), 1)
    if link.delivery <= UNHEARD:
        return _Bound(decades, _power(UNHEARD), -1)
    return _Bound(decades, _power(link.delivery), 0)


def _complete(bound: _Bound, expected: float, sigma: float) -> tuple[float, float]:
    """Mean and variance of a received power given its bound (moments of a truncated normal)."""
    if bound.side == 0:
        return bound.value, 0.0
    z = (bound.value - expected) / sigma * bound.side
    tail = STANDARD.cdf(-z)
    hazard = STANDARD.pdf(z) / tail if tail > 1e-12 else max(z, 0.0)
    return expected + bound.side * sigma * hazard, max(0.0, sigma**2 * (1.0 + z * hazard - hazard**2))


@lru_cache(maxsize=4096)
def _power(delivery: float) -> float:
    return compute_rx_power_dbm(delivery)


def _delivery(rx_power_dbm: float) -> float:
    return 1.0 - compute_packet_error_ratio(compute_snr_db(rx_power_dbm), 20)


@lru_cache(maxsize=1)
def _hermite() -> tuple[np.ndarray, np.ndarray]:
    points, weights = np.polynomial.hermite.hermgauss(NODES)
    return points, weights / math.sqrt(math.pi)
