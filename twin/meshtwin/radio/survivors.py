"""What mean RSSI says of the power that arrives over a link, given that only packets that came through have an RSSI.

Power varies from packet to packet (fading, and the three channels) as a normal in dB around the link's mean, and a
packet is received with a probability that rises with its power (probit). The mean over survivors is then above
the mean of all by the inverse Mills ratio at the share received: nothing for good links, several dB for weak ones.
Source: Heckman (1979), sample selection bias, Econometrica 47, eq. 9 for two normals.

Attenuation is transmit power less received power: see `attenuation`.
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.errors import InvalidInput

__all__ = ["ReceivedPower", "compute_survivor_bias_db", "estimate_received_power", "estimate_received_powers"]

Array = NDArray[np.float64]

# Packet to packet, over channels up to 78 MHz apart. Chosen on 16 emulated networks (1.25 fits best there: 3.0, assumed
# from indoor measurements of 2 to 5 dB, took three times too much off). Doubt: a building may fade more, and no report
# tells how RSSI spreads, which would show it.
FADING_DB: Final = 1.5
SOFTNESS_DB: Final = 2.0  # width of the reception curve, probit; LE 1M falls from 0.9 to 0.1 within about 4 dB
BIAS_DOUBT: Final = 1.0  # standard deviation of the bias's own error, as a share of it: see the two above
# Over minutes, by people and doors, which is not averaged out: nodes take the mean of RSSI over their last 16 readings,
# 160 s by default. Assumed; doubt: a busy corridor may show more, an empty hall less.
SLOW_FADING_DB: Final = 1.0
RSSI_STEP_DB: Final = 5.0  # reports round RSSI to it, see `meshtwin.contract.access`
# Of a receiver's reading, constant over time: +-2 dB (nRF52840 product specification, RSSI_ACC, -90 to -20 dBm), taken
# for the limits of a uniform error. Doubt: weaker than -90 dBm and other chips may read worse.
RSSI_ACCURACY_DB: Final = 2.0 / math.sqrt(3.0)
DELIVERY_MARGIN: Final = 0.01  # below it no RSSI was counted often enough to be corrected


def compute_survivor_bias_db(
    delivery: float, *, fading_db: float = FADING_DB, softness_db: float = SOFTNESS_DB
) -> float:
    """How far the mean RSSI of what was received lies above the mean power of what was sent, in dB, never negative.

    ``delivery`` is the share received of single transmissions, 0..1. Raises `InvalidInput` outside of it.

    >>> round(compute_survivor_bias_db(0.5), 1), round(compute_survivor_bias_db(0.99), 1)
    (0.7, 0.0)
    """
    if not 0.0 <= delivery <= 1.0:
        raise InvalidInput(f"delivery {delivery} is outside 0..1")
    share = min(max(delivery, DELIVERY_MARGIN), 1.0 - 1e-6)
    normal = NormalDist()
    mills = normal.pdf(normal.inv_cdf(share)) / share
    return fading_db**2 / math.hypot(fading_db, softness_db) * mills


@dataclass(frozen=True, slots=True)
class ReceivedPower:
    """Mean power of all that is sent over a link as it arrives, received or not, and the deviation of its error."""

    mean_dbm: float
    deviation_db: float


def estimate_received_power(
    rssi_dbm: float, delivery: float, *, delivery_deviation: float = 0.0, readings: int = 1
) -> ReceivedPower:
    """Received power of a link whose survivors have a mean RSSI of ``rssi_dbm``, over ``readings`` of them.

    ``delivery`` of single transmissions, 0..1, and its standard deviation: the bias is taken as it is at their mean.
    The deviation is of independent parts: readings that fade, slowly and not, rounding, the receiver's accuracy,
    delivery that is not known well, and the bias's own doubt. Raises `InvalidInput` for a delivery outside 0..1.

    >>> round(estimate_received_power(-90.0, 0.06).mean_dbm, 1)
    -91.8
    """
    one = (np.array([float(value)]) for value in (rssi_dbm, delivery, delivery_deviation, readings))
    mean_dbm, deviation_db = estimate_received_powers(*one)
    return ReceivedPower(float(mean_dbm[0]), float(deviation_db[0]))


def estimate_received_powers(
    rssi_dbm: Array, delivery: Array, delivery_deviation: Array, readings: Array
) -> tuple[Array, Array]:
    """Mean and deviation as `estimate_received_power` gives them, of many links at once, (links,) each."""
    if (outside := ~((delivery >= 0.0) & (delivery <= 1.0))).any():
        raise InvalidInput(f"delivery {delivery[outside][0]} is outside 0..1")
    low, high = np.maximum(0.0, delivery - delivery_deviation), np.minimum(1.0, delivery + delivery_deviation)
    bias_db, most_db, least_db = (_biases()[np.rint(share * 1000).astype(np.intp)] for share in (delivery, low, high))
    variance = (
        FADING_DB**2 / np.maximum(1.0, readings)
        + SLOW_FADING_DB**2
        + RSSI_STEP_DB**2 / 12.0
        + RSSI_ACCURACY_DB**2
        + ((most_db - least_db) / 2.0) ** 2
        + (BIAS_DOUBT * bias_db) ** 2
    )
    return rssi_dbm - bias_db, np.sqrt(variance)


@lru_cache(maxsize=1)
def _biases() -> Array:
    """The bias by per mille of delivery, 0 to 1000."""
    return np.array([compute_survivor_bias_db(per_mille / 1000.0) for per_mille in range(1001)])
