"""What a configuration costs nodes that live on a battery.

Only what a configuration decides is counted: sending their own messages, as often as Network Transmit says, and
relaying where such a node relays. Receiving is not: a low-power node's receive windows follow from its poll
timeout, which no configuration here sets, and a relay on a battery scans all the time whatever is set.
"""

from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.sim.background import DEFAULT_SETTINGS

__all__ = ["compute_battery_energy_mj_per_h"]

ADVERTISING_CHANNELS: Final = 3
PDU_AIRTIME_S: Final = 304e-6  # network PDU of 20 bytes in a legacy advertising PDU at 1 Mbit/s
RAMP_S: Final = 140e-6  # start of the radio per channel (TXEN to READY): nRF52832 Product Specification 1.4, RADIO
# Radio at 0 dBm and 3 V with DC/DC converter, 5.3 mA: nRF52832 Product Specification 1.4, RADIO. The start of the
# crystal and the processor are left out: per event they are the same for every configuration.
SENDING_W: Final = 3.0 * 5.3e-3
EVENT_J: Final = ADVERTISING_CHANNELS * (PDU_AIRTIME_S + RAMP_S) * SENDING_W


def compute_battery_energy_mj_per_h(snapshot: Snapshot, configuration: Configuration) -> float | None:
    """Millijoules per hour that the low-power node that sends most spends on sending; None: no such node.

    ``configuration`` is put on top of the one in force. Messages are those of the flows at their declared rates
    and the notifications; each is sent Network Transmit count + 1 times on three channels. A low-power node never
    relays (Mesh Protocol 1.1, 3.6.6), whatever is set.
    """
    settings = snapshot.configuration.overlaid(configuration).as_dict()
    spent = [
        _messages_per_h(snapshot, n.address) * _transmissions(settings.get(n.address)) * EVENT_J * 1e3
        for n in snapshot.nodes
        if n.capabilities.low_power
    ]
    return max(spent, default=None)


def _messages_per_h(snapshot: Snapshot, address: UnicastAddress) -> float:
    flows = sum(f.rate_per_minute * 60.0 for f in snapshot.flows if f.source == address)
    interval_s = snapshot.notification_interval_s
    return flows + (3600.0 / interval_s if interval_s > 0.0 else 0.0)


def _transmissions(said: NodeSettings | None) -> int:
    full = DEFAULT_SETTINGS if said is None else DEFAULT_SETTINGS.overlaid(said)
    if full.network_transmit is None:
        raise AssertionError("default settings say everything")
    return full.network_transmit.transmissions
