"""The theoretical link model fitted to observed links, and what it expects of links nobody heard yet.

A link that delivers nearly everything, or nothing, only bounds its received power; leaving such links out would
bias the exponent, so they enter as censored observations (Tobit model). In the parameters coefficient/deviation
and 1/deviation its likelihood is concave (Olsen 1978, Econometrica 46), so Newton's method finds the one maximum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

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
PRIOR_LINKS: Final = 4.0  # links that the prior counts as, so that two or three do not claim to know shadowing
NEWTON_ROUNDS: Final = 100  # ends far earlier, when the gain is below GAIN_MIN
GAIN_MIN: Final = 1e-9
HALVINGS: Final = 60
SHADOWING_MIN_DB: Final = 1.0  # below this the fit trusts single links too much
NODES: Final = 24  # Gauss-Hermite points over shadowing; more change the third digit


Array = NDArray[np.float64]


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

    Deterministic. Raises `InvalidInput` for a delivery outside 0..1.
    """
    start = prior or LogDistance()
    bounds = [_to_bound(link, start) for link in links]
    if not bounds:
        return FittedLinkModel(params=start, link_count=0)
    first = np.array([-start.reference_db, start.exponent, 1.0]) / max(start.shadowing_db, SHADOWING_MIN_DB)
    intercept, slope, inverse = (float(x) for x in _maximise(_Likelihood(bounds, start), first))
    params = LogDistance(
        exponent=max(slope / inverse, 0.5),
        reference_db=-intercept / inverse,
        reference_m=start.reference_m,
        shadowing_db=max(1.0 / inverse, SHADOWING_MIN_DB),
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


class _Likelihood:
    """Penalised log likelihood over (intercept, slope, 1) / deviation, with gradient and Hessian."""

    def __init__(self, bounds: Sequence[_Bound], prior: LogDistance) -> None:
        self._rows = np.array([[1.0, -10.0 * b.decades, -b.value] for b in bounds])
        self._sides = np.array([b.side for b in bounds])
        self._exact = float((self._sides == 0).sum())
        deviation = max(prior.shadowing_db, SHADOWING_MIN_DB)
        pull = np.array([[1.0, 0.0, prior.reference_db], [0.0, 1.0, -prior.exponent]])
        weights = np.diag([(deviation / REFERENCE_DEVIATION_DB) ** 2, (deviation / EXPONENT_DEVIATION) ** 2])
        self._penalty = pull.T @ weights @ pull
        self._penalty[2, 2] += PRIOR_LINKS * deviation**2

    def evaluate(self, theta: Array) -> tuple[float, Array, Array]:
        """Value, gradient (3,) and Hessian (3, 3) at ``theta``; minus infinity where 1/deviation is not > 0."""
        inverse = float(theta[2])
        if inverse <= 0.0:
            return -math.inf, np.zeros(3), np.eye(3)
        scores = self._rows @ theta
        censored = [
            _log_tail(float(s) * side) if side else (0.0, 0.0) for s, side in zip(scores, self._sides, strict=True)
        ]
        logs, hazards = (np.array(column) for column in zip(*censored, strict=True))
        is_exact = self._sides == 0
        count = self._exact + PRIOR_LINKS
        value = float(logs.sum() - 0.5 * (scores[is_exact] ** 2).sum() + count * math.log(inverse))
        slopes = np.where(is_exact, -scores, hazards * self._sides)
        curves = np.where(is_exact, 1.0, hazards * (hazards + scores * self._sides))
        gradient = self._rows.T @ slopes - self._penalty @ theta
        gradient[2] += count / inverse
        hessian = -(self._rows.T * curves) @ self._rows - self._penalty
        hessian[2, 2] -= count / inverse**2
        return value - 0.5 * float(theta @ self._penalty @ theta), gradient, hessian


def _maximise(likelihood: _Likelihood, theta: Array) -> Array:
    """Newton's method with halved steps on a concave function."""
    value, gradient, hessian = likelihood.evaluate(theta)
    for _ in range(NEWTON_ROUNDS):
        step = np.linalg.solve(hessian, -gradient)
        for _ in range(HALVINGS):
            trial = likelihood.evaluate(theta + step)
            if trial[0] >= value:
                break
            step = step / 2.0
        else:
            return theta
        gain = trial[0] - value
        theta, (value, gradient, hessian) = theta + step, trial
        if gain < GAIN_MIN:
            break
    return theta


def _log_tail(score: float) -> tuple[float, float]:
    """Logarithm of the normal distribution function at ``score``, and density over distribution function."""
    if score < -30.0:  # both underflow; leading terms of the asymptotic series
        return -0.5 * score * score - math.log(-score * math.sqrt(2.0 * math.pi)), -score
    below = 0.5 * math.erfc(-score / math.sqrt(2.0))
    return math.log(below), math.exp(-0.5 * score * score) / (math.sqrt(2.0 * math.pi) * below)


@lru_cache(maxsize=4096)
def _power(delivery: float) -> float:
    return compute_rx_power_dbm(delivery)


def _delivery(rx_power_dbm: float) -> float:
    return 1.0 - compute_packet_error_ratio(compute_snr_db(rx_power_dbm), 20)


@lru_cache(maxsize=1)
def _hermite() -> tuple[Array, Array]:
    points, weights = np.polynomial.hermite.hermgauss(NODES)
    return points, weights / math.sqrt(math.pi)
