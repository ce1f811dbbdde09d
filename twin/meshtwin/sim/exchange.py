"""Exchanges of the reference engine: messages of several network PDUs, and what transport does with them.

Segments with acknowledgments, publish retransmissions, retries of the application and replay protection; polls and
what friends answer are in `meshtwin.sim.friendships`. The rules are those of `meshtwin.sim.elements`; here is only
who does what when. Made for scenarios that use one of these; others do not pay for it.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from meshtwin.sim.elements.access import accept
from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.elements.repeating import is_still_wanted, plan_repeats
from meshtwin.sim.elements.segmentation import SegmentedReception, SegmentedSending, segment_retry_ns
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.friendships import Friendships
from meshtwin.sim.packets import LossCause, Packet, Part, PartKind
from meshtwin.sim.parts import ACKNOWLEDGMENT_PDU_BYTES, make_part, transmit_of
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.traffic import compute_pdu_airtime_ns, is_plain_flow, network_pdu_bytes
from meshtwin.sim.wire import Wire

__all__ = ["Exchange", "needs_exchange"]


def needs_exchange(scenario: Scenario) -> bool:
    """Whether the scenario uses something that is done here."""
    return not all(is_plain_flow(flow) for flow in scenario.flows) or any(
        node.replay_list_size is not None or node.low_power is not None for node in scenario.nodes
    )


class Exchange:
    """The transport layers of all nodes during one run."""

    def __init__(self, wire: Wire, scenario: Scenario) -> None:
        self._wire = wire
        self._scenario = scenario
        self._timing = scenario.profile.segmentation
        self._sendings: dict[tuple[int, int], SegmentedSending] = {}  # (message key, attempt)
        self._receptions: dict[tuple[int, int, int], SegmentedReception] = {}  # (node, message key, attempt)
        self.friendships = Friendships(wire, scenario, send_part=self._send_part, accept=self._accept)

    def originate(self, node: NodeElements, message: Packet, flow: ScenarioFlow) -> None:
        """Sends a message of a flow that is not plain, with its repetitions and retries."""
        sizes = network_pdu_bytes(flow)
        if len(sizes) == 1:
            self._wire.originate(node, message)
        else:
            self._wire.enlist(node, message)
            self._send_message(node, message, sizes, PartKind.SEGMENT, 0)
        for repeat in plan_repeats(flow):
            again = partial(self._repeat, node, message, sizes, repeat.kind, repeat.attempt)
            self._at(self._wire.now_ns() + repeat.after_ns, node, again)

    def receive(self, node: NodeElements, job: Job, time_ns: int) -> None:
        """What the node's transport layer does with a PDU that is new to it; relaying is none of its affair."""
        packet = job.packet
        if node.index in packet.properties.member_indices:
            self._accept(node, packet, job.hops, time_ns)
        self.friendships.store(node, packet, job.ttl, job.hops)

    def _at(self, time_ns: int, node: NodeElements, action: Callable[[], None]) -> None:
        self._wire.at(time_ns, node, action)

    def _accept(self, node: NodeElements, packet: Packet, hops: int, time_ns: int) -> None:
        """A member takes a PDU, from the air or from its friend."""
        properties, part = packet.properties, packet.instructions.part
        if part is not None and part.kind in (PartKind.POLL, PartKind.DELIVERY):
            self.friendships.receive(node, packet, part, time_ns)
        elif node.replay_list is not None and not node.replay_list.admit(
            properties.source_index,
            properties.sequence,
            is_segment=part is not None and part.kind is PartKind.SEGMENT,
        ):
            self._wire.lose(packet, LossCause.REPLAY_LIST, node)
        elif part is None:
            self._deliver(node, packet, packet, hops, time_ns)
        elif part.kind is PartKind.SEGMENT:
            self._accept_segment(node, packet, part, hops, time_ns)
        elif part.kind is PartKind.ACKNOWLEDGMENT:
            sending = self._sendings.get((part.message.properties.key, part.attempt))
            if sending is not None:
                sending.acknowledge(part.index)
        else:
            self._deliver(node, part.message, packet, hops, time_ns, is_retry=part.kind is PartKind.RETRY)

    def _deliver(
        self, node: NodeElements, message: Packet, packet: Packet, hops: int, time_ns: int, *, is_retry: bool = False
    ) -> None:
        """Gives a whole message, come in ``packet``, to the access layer, which may answer."""
        is_first = accept(message, node.index, time_ns, hops)
        if (is_first or is_retry) and message.instructions.response_pdu_bytes:
            self._wire.respond(node, message, packet)

    def _send_message(
        self, node: NodeElements, message: Packet, sizes: tuple[int, ...], kind: PartKind, attempt: int
    ) -> None:
        if len(sizes) > 1:
            self._wire.start(self._send_segments(node, message, sizes, attempt))
        else:
            self._send_part(node, Part(kind, message, 0, attempt), pdu_bytes=sizes[0])

    def _repeat(
        self, node: NodeElements, message: Packet, sizes: tuple[int, ...], kind: PartKind, attempt: int
    ) -> None:
        if node.is_on and is_still_wanted(message, kind):
            self._send_message(node, message, sizes, kind, attempt)

    def _send_segments(
        self, node: NodeElements, message: Packet, sizes: tuple[int, ...], attempt: int
    ) -> Generator[Any, Any, None]:
        """Sends the segments that are missing at the receiver, turn by turn; all of them share a sequence number."""
        wire, properties, timing = self._wire, message.properties, self._timing
        sending = SegmentedSending(
            timing,
            count=len(sizes),
            ttl=properties.initial_ttl,
            is_acknowledged=len(properties.member_indices) == 1,
        )
        self._sendings[properties.key, attempt] = sending
        sequence = node.next_sequence()
        turn = 0
        while node.is_on:
            for number in sending.missing():
                while node.queue.refuses_own:  # the transport layer keeps the segment, and asks again
                    yield wire.at(wire.now_ns() + segment_retry_ns(timing, node.settings.network_transmit), node, None)
                part = Part(PartKind.SEGMENT, message, number, attempt, turn)
                self._send_part(node, part, pdu_bytes=sizes[number], sequence=sequence)
                yield wire.at(wire.now_ns() + timing.segment_interval_ns, node, None)
            delay_ns = sending.retransmission_ns()
            if delay_ns is None:
                return
            yield wire.at(wire.now_ns() + delay_ns, node, None)
            turn += 1

    def _send_part(self, node: NodeElements, part: Part, *, pdu_bytes: int, sequence: int | None = None) -> None:
        """Originates one network PDU of a message; ``sequence`` None: the node's next."""
        now_ns = self._wire.now_ns()
        packet = make_part(
            node,
            part,
            pdu_bytes=pdu_bytes,
            airtime_ns=compute_pdu_airtime_ns(self._scenario.profile, pdu_bytes),
            sequence=node.next_sequence() if sequence is None else sequence,
            now_ns=now_ns,
        )
        ttl = packet.properties.initial_ttl
        node.cache.add(packet.properties.cached_as)
        self.friendships.store(node, packet, ttl, 0)
        self._wire.send(node, Job(packet, ttl, 1, transmit_of(node, part), True, now_ns))

    def _accept_segment(self, node: NodeElements, packet: Packet, part: Part, hops: int, time_ns: int) -> None:
        message = part.message
        reception = self._reception_of(node, part)
        asked_ns = reception.acknowledges_at_ns
        if reception.take(part.index, time_ns):
            self._deliver(node, message, packet, hops, time_ns, is_retry=part.attempt > 0)
        due_ns = reception.acknowledges_at_ns
        if len(message.properties.member_indices) == 1 and due_ns is not None and due_ns != asked_ns:
            self._at(due_ns, node, partial(self._acknowledge, node, part, reception, due_ns))

    def _reception_of(self, node: NodeElements, part: Part) -> SegmentedReception:
        """What the node has of the message so far; begins with its first segment."""
        told = part.message.properties
        key = (node.index, told.key, part.attempt)
        if key not in self._receptions:
            segments = len(network_pdu_bytes(self._scenario.flows[told.flow_index]))
            self._receptions[key] = SegmentedReception(self._timing, segments)
        return self._receptions[key]

    def _acknowledge(self, node: NodeElements, part: Part, reception: SegmentedReception, due_ns: int) -> None:
        if node.is_on and reception.end_timer(due_ns):
            turn = reception.acknowledged_times
            acknowledgment = Part(PartKind.ACKNOWLEDGMENT, part.message, reception.segments, part.attempt, turn)
            self._send_part(node, acknowledgment, pdu_bytes=ACKNOWLEDGMENT_PDU_BYTES)
