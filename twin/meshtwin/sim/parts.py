"""Network PDUs that are part of a message: segments, acknowledgments, repetitions, polls and deliveries."""

from typing import Final

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.draws import make_key
from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.packets import Instructions, Packet, Part, PartKind, Properties

__all__ = [
    "ACKNOWLEDGMENT_PDU_BYTES",
    "ONCE",
    "POLL_PDU_BYTES",
    "UPDATE_PDU_BYTES",
    "make_part",
    "transmit_of",
]

ACKNOWLEDGMENT_PDU_BYTES: Final = 24  # Segment Acknowledgment: header 9, opcode 1, 6, NetMIC of control messages 8
POLL_PDU_BYTES: Final = 19  # Friend Poll: header 9, opcode 1, FSN 1, NetMIC 8
UPDATE_PDU_BYTES: Final = 24  # Friend Update: header 9, opcode 1, 6, NetMIC 8
ONCE: Final = Transmit(count=0, interval_steps=1)  # a poll; its repetition is the low-power node's retry (assumed)
TO_SOURCE: Final = frozenset({PartKind.ACKNOWLEDGMENT, PartKind.DELIVERY})  # the others go to the message's members
TO_ONE: Final = frozenset({PartKind.POLL, PartKind.DELIVERY})  # under the keys of a friendship


def make_part(node: NodeElements, part: Part, *, pdu_bytes: int, airtime_ns: int, sequence: int, now_ns: int) -> Packet:
    """One network PDU of a message, with a key of its own in all caches; its message pays for it."""
    asked, told = part.message.properties, part.message.instructions
    members = frozenset((asked.source_index,)) if part.kind in TO_SOURCE else asked.member_indices
    properties = Properties(
        key=make_key(asked.key, part.kind.name, node.index, part.index, part.attempt, part.turn),
        flow_index=asked.flow_index,
        number=asked.number,
        source_index=node.index,
        member_indices=members,
        initial_ttl=_initial_ttl(node, part),
        pdu_bytes=pdu_bytes,
        airtime_ns=airtime_ns,
        started_ns=now_ns,
        sequence=sequence,
    )
    instructions = Instructions(
        is_traced=told.is_traced,
        part=part,
        relays=told.relays,
        only_to=min(members) if part.kind in TO_ONE else None,
    )
    return Packet(properties, instructions, part.message.monitoring)


def transmit_of(node: NodeElements, part: Part) -> Transmit:
    """How often ``node`` sends a part."""
    return ONCE if part.kind is PartKind.POLL else node.settings.network_transmit


def _initial_ttl(node: NodeElements, part: Part) -> int:
    """That of its message; of an acknowledgment its sender's default, or 0 where the message came with 0."""
    asked_ttl = part.message.properties.initial_ttl
    return node.settings.ttl if part.kind is PartKind.ACKNOWLEDGMENT and asked_ttl != 0 else asked_ttl
