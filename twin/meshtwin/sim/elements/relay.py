"""Whether a received message is sent on."""

from meshtwin.sim.packets import LossCause, Packet

__all__ = ["decide_relay", "decide_relay_of"]


def decide_relay(*, is_relay: bool, received_ttl: int, is_destination: bool = False) -> int | LossCause | None:
    """The TTL to relay with, `LossCause.TTL` if it ran out, or None if the node does not relay.

    Source: Mesh Protocol 1.1, 3.4.6.3: relayed if the feature is enabled, the TTL is 2 or more, and the
    destination is not a unicast address of this node (``is_destination``).
    """
    if not is_relay or is_destination:
        return None
    return received_ttl - 1 if received_ttl >= 2 else LossCause.TTL


def decide_relay_of(packet: Packet, node_index: int, *, has_relay: bool, received_ttl: int) -> int | LossCause | None:
    """`decide_relay` of a packet at a node with or without the feature (``has_relay``), under the instructions.

    What one node alone can decrypt is not relayed. Doubt: a group of one subscriber is taken for a unicast
    destination.
    """
    told, asked = packet.properties, packet.instructions
    if asked.only_to is not None:
        return None
    is_destination = told.member_indices == {node_index} or told.destination_index == node_index
    is_relay = has_relay and (asked.relays is None or node_index in asked.relays)
    return decide_relay(is_relay=is_relay, received_ttl=received_ttl, is_destination=is_destination)
