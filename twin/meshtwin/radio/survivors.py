"""What mean RSSI says of a link's power, given that only packets that came through have an RSSI.

Power varies from packet to packet (fading, and the three channels) as a normal in dB around the link's mean, and a
packet is received with a probability that rises with its power (probit). The mean over survivors is then above
the mean of all by the inverse Mills ratio at the share received: nothing for good links, several dB for weak ones.
Source: Heckman (1979), sample selection bias, Econometrica 47, eq. 9 for two normals.
"""

import math
from statistics import NormalDist
from typing import Final

from meshtwin.errors import InvalidInput

__all__ = ["compute_attenuation_db", "compute_survivor_bias_db"]

FADING_DB: Final = 3.0  # packet to packet, over channels 24 MHz apart; assumed from indoor measurements of 2 to 5 dB
SOFTNESS_DB: Final = 2.0  # width of the reception curve, probit; LE 1M falls from 0.9 to 0.1 within about 4 dB
DELIVERY_MARGIN: Final = 0.01  # below it no RSSI was counted often enough to be corrected


def compute_survivor_bias_db(
    delivery: float, *, fading_db: float = FADING_DB, softness_db: float = SOFTNESS_DB
) -> float:
    """How far the mean RSSI of what was received lies above the mean power of what was sent, in dB, never negative.

    ``delivery`` is the share received of single transmissions, 0..1. Raises `InvalidInput` outside of it.

    >>> round(compute_survivor_bias_db(0.5), 1), round(compute_survivor_bias_db(0.99), 1)
    (2.0, 0.1)
    """
    if not 0.0 <= delivery <= 1.0:
        raise InvalidInput(f"delivery {delivery} is outside 0..1")
    share = min(max(delivery, DELIVERY_MARGIN), 1.0 - 1e-6)
    normal = NormalDist()
    mills = normal.pdf(normal.inv_cdf(share)) / share
    return fading_db**2 / math.hypot(fading_db, softness_db) * mills


def compute_attenuation_db(
    rssi_dbm: float,
    delivery: float,
    *,
    tx_power_dbm: float = 0.0,
    fading_db: float = FADING_DB,
    softness_db: float = SOFTNESS_DB,
) -> float:
    """Attenuation of a link from the mean RSSI of what was received over it, in dB.

    ``tx_power_dbm`` and the gain of antennas are those of the sender: what is not known of them ends up in here.
    """
    bias_db = compute_survivor_bias_db(delivery, fading_db=fading_db, softness_db=softness_db)
    return tx_power_dbm - (rssi_dbm - bias_db)
