"""Path loss over distance: free space, log-distance with log-normal shadowing, and indoor as the ITU has it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.nodes import Position

__all__ = [
    "ADVERTISING_FREQUENCY_HZ",
    "ITU_INDOOR",
    "ItuIndoor",
    "LogDistance",
    "compute_distance_m",
    "compute_floors_loss_db",
    "compute_free_space_loss_db",
    "compute_itu_indoor_loss_db",
    "compute_log_distance_loss_db",
]

ADVERTISING_FREQUENCY_HZ: Final = 2.426e9  # channel 38, the middle one of the three advertising channels
SPEED_OF_LIGHT_M_PER_S: Final = 299_792_458.0
NEAREST_M: Final = 0.01  # closer than an antenna: the far field formula has no meaning there


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDistance:
    """Parameters of the log-distance model; ``shadowing_db`` is the standard deviation of a normal in dB.

    Defaults: free-space loss at 1 m, and an exponent and deviation in the middle of what is published for
    offices at 2.4 GHz (Rappaport 2002, table 4.6: exponent 2.6 to 3.3, deviation 7 to 14 dB). Measured links
    replace them, see `meshtwin.radio.fitting`.
    """

    exponent: float = 2.8
    reference_db: float = 40.1
    reference_m: float = 1.0
    shadowing_db: float = 7.0

    def __post_init__(self) -> None:
        if not (self.exponent > 0 and self.reference_m > 0 and self.shadowing_db >= 0):
            raise InvalidInput(
                f"log-distance exponent {self.exponent} and reference {self.reference_m} m must be positive, "
                f"shadowing {self.shadowing_db} dB not negative"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItuIndoor:
    """Coefficients of one environment: 10 alpha log d(m) + beta + 10 gamma log f(GHz), shadowing sigma in dB."""

    alpha: float
    beta_db: float
    gamma: float
    sigma_db: float

    def to_log_distance(self, frequency_hz: float = ADVERTISING_FREQUENCY_HZ) -> LogDistance:
        """The same loss as a log-distance model at one frequency."""
        reference_db = self.beta_db + 10.0 * self.gamma * math.log10(frequency_hz / 1e9)
        return LogDistance(exponent=self.alpha, reference_db=reference_db, shadowing_db=self.sigma_db)


# Recommendation ITU-R P.1238-11, table 2 (site-general models). Open: transmitter and receiver see each other.
# Valid from 2 m to some tens of metres (office: 27 open, 30 obstructed); beyond is continued, not measured.
ITU_INDOOR: Final[Mapping[str, ItuIndoor]] = MappingProxyType(
    {
        "officeOpen": ItuIndoor(alpha=1.46, beta_db=34.62, gamma=2.03, sigma_db=3.76),
        "officeObstructed": ItuIndoor(alpha=2.46, beta_db=29.53, gamma=2.38, sigma_db=5.04),
        "corridorOpen": ItuIndoor(alpha=1.63, beta_db=28.12, gamma=2.25, sigma_db=4.07),
        "corridorObstructed": ItuIndoor(alpha=2.77, beta_db=29.27, gamma=2.48, sigma_db=7.63),
        "industrialOpen": ItuIndoor(alpha=2.31, beta_db=24.52, gamma=2.06, sigma_db=2.69),
        "industrialObstructed": ItuIndoor(alpha=3.79, beta_db=21.01, gamma=1.34, sigma_db=9.05),
    }
)
FIRST_FLOOR_DB: Final = 15.0  # office at 1.8 to 2 GHz, ITU-R P.1238-8, table 3: 15 + 4 (n - 1) dB for n floors
FURTHER_FLOOR_DB: Final = 4.0  # none is tabulated for 2.4 GHz: taken over


def compute_distance_m(a: Position, b: Position) -> float:
    """Straight-line distance."""
    return math.dist((a.x_m, a.y_m, a.z_m), (b.x_m, b.y_m, b.z_m))


def compute_free_space_loss_db(distance_m: float, frequency_hz: float = ADVERTISING_FREQUENCY_HZ) -> float:
    """Free-space path loss in dB, never negative; below 1 cm counts as 1 cm.

    Raises `InvalidInput` if ``distance_m`` is negative or not finite. Source: Friis (1946).

    >>> round(compute_free_space_loss_db(1.0), 1)
    40.1
    """
    check_distance(distance_m)
    ratio = 4.0 * math.pi * max(distance_m, NEAREST_M) * frequency_hz / SPEED_OF_LIGHT_M_PER_S
    return max(0.0, 20.0 * math.log10(ratio))


def compute_log_distance_loss_db(distance_m: float, params: LogDistance, shadowing_db: float = 0.0) -> float:
    """Path loss of the log-distance model plus one value of shadowing, in dB, never negative.

    ``distance_m`` below the reference distance counts as the reference distance. ``shadowing_db`` is the
    value of *this* link (drawn by the caller), 0 gives the median.
    Raises `InvalidInput` if ``distance_m`` is negative or not finite.
    Source: Rappaport (2002), section 4.9.1.

    >>> compute_log_distance_loss_db(10.0, LogDistance(exponent=2.0, reference_db=40.0))
    60.0
    """
    check_distance(distance_m)
    decades = math.log10(max(distance_m / params.reference_m, 1.0))
    return max(0.0, params.reference_db + 10.0 * params.exponent * decades + shadowing_db)


def compute_itu_indoor_loss_db(
    distance_m: float, environment: str, *, floors: int = 0, shadowing_db: float = 0.0
) -> float:
    """Path loss within a building at the middle advertising channel plus one value of shadowing, in dB.

    ``environment`` is a key of `ITU_INDOOR`; ``floors`` lie between the ends; below 1 m counts as 1 m.
    Raises `InvalidInput` for an unknown environment, negative floors and impossible distances.
    Source: Recommendation ITU-R P.1238-11, section 3.1; floors: ITU-R P.1238-8, table 3.

    >>> round(compute_itu_indoor_loss_db(10.0, "officeObstructed"), 1)
    63.3
    """
    if environment not in ITU_INDOOR:
        raise InvalidInput(f"environment {environment!r} is not one of {', '.join(ITU_INDOOR)}")
    extra_db = shadowing_db + compute_floors_loss_db(floors)
    return compute_log_distance_loss_db(distance_m, ITU_INDOOR[environment].to_log_distance(), extra_db)


def compute_floors_loss_db(floors: int) -> float:
    """What ``floors`` between two ends add to the loss within a building, in dB.

    Doubt: tabulated for offices at 1.8 to 2 GHz and up to three floors; taken over for all else.
    Raises `InvalidInput` for a negative number. Source: ITU-R P.1238-8, table 3.

    >>> [compute_floors_loss_db(floors) for floors in (0, 1, 2)]
    [0.0, 15.0, 19.0]
    """
    if floors < 0:
        raise InvalidInput(f"{floors} floors is below 0")
    return FIRST_FLOOR_DB + FURTHER_FLOOR_DB * (floors - 1) if floors else 0.0


def check_distance(distance_m: float) -> None:
    """Raises `InvalidInput` for a distance that is negative or not finite."""
    if not (math.isfinite(distance_m) and distance_m >= 0.0):
        raise InvalidInput(f"distance {distance_m} m is negative or not finite")
