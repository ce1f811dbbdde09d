"""What a link takes off a signal: transmit power, as somebody stated it, less received power, as reports tell it.

Gains of both antennas and what cases and walls take are in it; with a radiated power (EIRP) as the statement, the
sender's antenna is not. Power and statement err independently, so that their variances add.

Of a link whose reports tell no RSSI it is not told: counts say on which side of the receiver's sensitivity a link is,
and by how much only where it loses some of what is sent; where the sensitivity lies nobody tells.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

from meshtwin.mesh.nodes import Node
from meshtwin.mesh.snapshots import LinkEstimate

__all__ = ["Attenuation", "AttenuationUnknown", "estimate_attenuation"]


class AttenuationUnknown(StrEnum):
    """Why no attenuation of a link is told."""

    NO_TX_POWER = "txPowerNotStated"
    NO_RX_POWER = "rxPowerNotKnown"


@dataclass(frozen=True, slots=True)
class Attenuation:
    """Mean over channels and time, in dB, and the standard deviation of its error."""

    mean_db: float
    deviation_db: float


def estimate_attenuation(link: LinkEstimate, sender: Node | None) -> Attenuation | AttenuationUnknown:
    """Attenuation of a directed link, or why it is not known; ``sender`` None: a node that nobody here holds."""
    if link.rx_power_dbm is None or link.rx_power_deviation_db is None:
        return AttenuationUnknown.NO_RX_POWER
    stated = None if sender is None else sender.tx_power
    if stated is None:
        return AttenuationUnknown.NO_TX_POWER
    return Attenuation(
        stated.tx_power_dbm - link.rx_power_dbm, math.hypot(stated.deviation_db, link.rx_power_deviation_db)
    )
