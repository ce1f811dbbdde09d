"""Whether a received message is for this node, and what it does about it."""

from meshtwin.sim.packets import Packet

__all__ = ["accept"]


def accept(packet: Packet, node_index: int, time_ns: int, hops: int) -> bool:
    """Whether the node is a member hearing this message for the first time; writes the packet's monitoring.

    An answer's arrival is also written to the monitoring of the request that it answers.
    """
    if node_index not in packet.properties.member_indices or node_index in packet.monitoring.reached:
        return False
    packet.monitoring.reached[node_index] = (time_ns, hops)
    request = packet.instructions.answers
    if request is not None:
        request.monitoring.answered.setdefault(packet.properties.source_index, time_ns)
    return True
