"""Whether a received message is sent on."""

from meshtwin.sim.packets import LossCause

__all__ = ["decide_relay"]


def decide_relay(*, is_relay: bool, received_ttl: int, is_destination: bool = False) -> int | LossCause | None:
    """The TTL to relay with, `LossCause.TTL` if it ran out, or None if the node does not relay.

    Source: Mesh Protocol 1.1, 3.4.6.3: relayed if the feature is enabled, the TTL is 2 or more, and the
    destination is not a unicast address of this node (``is_destination``).
    """
    if not is_relay or is_destination:
        return None
    return received_ttl - 1 if received_ttl >= 2 else LossCause.TTL
