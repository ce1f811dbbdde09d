"""Whether a received message is for this node, and what it does about it."""

from typing import Final

from meshtwin.sim.draws import draw_below_ns, extend_key
from meshtwin.sim.packets import Packet
from meshtwin.sim.profiles import StackProfile

__all__ = ["RESPONSE_PART", "accept", "response_delay_ns"]

RESPONSE_PART: Final = 1 << 21  # of the key of an answer: when it is asked to be sent; no copy has this number


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


def response_delay_ns(profile: StackProfile, node_index: int, request: Packet, packet: Packet) -> int:
    """From receiving ``request``, which came in ``packet``, to asking for the answer to be sent; drawn by the answer.

    Doubt: a group of one subscriber is taken for a unicast destination.
    """
    is_unicast = len(request.properties.member_indices) == 1
    least_ns, jitter_ns = profile.response_ns if is_unicast else profile.response_to_group_ns
    return least_ns + draw_below_ns(extend_key(packet.properties.key, node_index), RESPONSE_PART, jitter_ns)
