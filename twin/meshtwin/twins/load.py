"""How much of what is sent is lost by load rather than by the link: collisions and own sending."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from meshtwin.twins.state import TwinState

__all__ = ["Load", "estimate_load", "loss_by_load"]

NOTIFICATION_AIRTIME_S: Final = 0.000376  # 47 bytes at 1 Mbit/s on one channel: a network PDU of 29 bytes
LOSS_MAX: Final = 0.9  # beyond it nothing can be inverted


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Share of time in which the channel is busy at a node, and where the figure comes from."""

    busy_ratio: float
    source: Literal["measured", "monitoring"]

    @property
    def loss_ratio(self) -> float:
        """Share of transmissions lost by it."""
        return loss_by_load(self.busy_ratio)


def loss_by_load(busy_ratio: float) -> float:
    """Share of transmissions that overlap another one, 0..0.9.

    Senders of equal packets at Poisson times destroy each other within two packet lengths:
    1 - exp(-2 busy). Capture makes it less, bursts make it more; both are left out.
    Source: Abramson (1970), pure ALOHA.
    """
    return min(LOSS_MAX, 1.0 - math.exp(-2.0 * max(0.0, busy_ratio)))


def estimate_load(state: TwinState, *, notification_interval_s: float) -> Load:
    """The load as the gateway measured it, else that of the notifications alone.

    The measured figure is a mean over nodes; a node in a crowd hears more (unverified on hardware).
    """
    if state.airtime_ratio is not None:
        return Load(busy_ratio=state.airtime_ratio, source="measured")
    degrees = [len(node.links) for node in state.nodes.values() if node.links]
    if not degrees or notification_interval_s <= 0:
        return Load(busy_ratio=0.0, source="monitoring")
    transmissions = [r.evidence[-1][0] for n in state.nodes.values() for r in n.links.values() if r.evidence]
    mean_transmissions = sum(transmissions) / max(1, len(transmissions))
    heard = sum(degrees) / len(degrees)
    busy = heard * mean_transmissions * NOTIFICATION_AIRTIME_S / notification_interval_s
    return Load(busy_ratio=busy, source="monitoring")
