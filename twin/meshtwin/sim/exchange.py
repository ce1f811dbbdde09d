"""Exchanges of the reference engine: messages of several network PDUs, and what transport does with them.

Segments with acknowledgments, publish retransmissions, retries of the application, replay protection, friends and
low-power nodes. The rules are those of `meshtwin.sim.elements`; here is only who does what when. Made for scenarios
that use one of these; others do not pay for it.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.draws import draw_below_ns, extend_key, make_key
from meshtwin.sim.elements.access import accept
from meshtwin.sim.elements.friendship import Friendship
from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.segmentation import SegmentedReception, SegmentedSending
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.packets import Instructions, LossCause, Packet, Part, PartKind, Properties
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.units import s_to_ns

__all__ = [
    "RESPONSE_PART",
    "Exchange",
    "Wire",
    "is_plain_flow",
    "needs_exchange",
    "next_sequence",
    "response_delay_ns",
]

ACKNOWLEDGMENT_PDU_BYTES: Final = 24  # Segment Acknowledgment: header 9, opcode 1, 6, NetMIC of control messages 8
POLL_PDU_BYTES: Final = 19  # Friend Poll: header 9, opcode 1, FSN 1, NetMIC 8
UPDATE_PDU_BYTES: Final = 24  # Friend Update: header 9, opcode 1, 6, NetMIC 8
RESPONSE_PART: Final = 1 << 21  # of the key of an answer: when it is asked to be sent; no copy has this number
ONCE: Final = Transmit(count=0, interval_steps=1)  # a poll; its repetition is the low-power node's retry (assumed)


def is_plain_flow(flow: ScenarioFlow) -> bool:
    """Whether each message of the flow is one PDU, sent once."""
    sizes = flow.segmentation.segment_pdu_bytes if flow.segmentation is not None else ()
    return len(sizes) < 2 and flow.publish_retransmit is None and flow.retries is None


def needs_exchange(scenario: Scenario) -> bool:
    """Whether the scenario uses something that is done here."""
    return not all(is_plain_flow(flow) for flow in scenario.flows) or any(
        node.replay_list_size is not None or node.low_power is not None for node in scenario.nodes
    )


def response_delay_ns(profile: StackProfile, node: NodeElements, request: Packet, packet: Packet) -> int:
    """From receiving ``request``, which came in ``packet``, to asking for the answer to be sent; drawn by the answer.

    Doubt: a group of one subscriber is taken for a unicast destination.
    """
    is_unicast = len(request.properties.member_indices) == 1
    least_ns, jitter_ns = profile.response_ns if is_unicast else profile.response_to_group_ns
    return least_ns + draw_below_ns(extend_key(packet.properties.key, node.index), RESPONSE_PART, jitter_ns)


def next_sequence(node: NodeElements) -> int:
    """The sequence number of the next PDU that ``node`` originates; counts it."""
    node.sequence += 1
    return node.sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What the engine does for exchanges: time, queues, and the books."""

    nodes: Sequence[NodeElements]
    root_key: int
    now_ns: Callable[[], int]
    at: Callable[[int, NodeElements, Callable[[], None] | None], Any]  # what it gives can be waited for
    start: Callable[[Generator[Any, Any, None]], Any]
    enlist: Callable[[NodeElements, Packet], None]  # begins a message without sending anything
    originate: Callable[[NodeElements, Packet], None]  # begins and sends a message of one PDU
    send: Callable[[NodeElements, Job], None]
    respond: Callable[[NodeElements, Packet, Packet], None]  # to a message that came in a packet
    lose: Callable[[Packet, LossCause, NodeElements], None]
    airtime_ns: Callable[[int], int]


class Exchange:
    """The transport layers of all nodes during one run."""

    def __init__(self, wire: Wire, scenario: Scenario) -> None:
        self._wire = wire
        self._scenario = scenario
        self._timing = scenario.profile.segmentation
        self._sendings: dict[tuple[int, int], SegmentedSending] = {}  # (message key, attempt)
        self._receptions: dict[tuple[int, int, int], SegmentedReception] = {}  # (node, message key, attempt)
        self._friendships = [node.friendship for node in wire.nodes if node.friendship is not None]

    def start(self, end_ns: int) -> None:
        """Begins the polls of all low-power nodes, which go on until ``end_ns`` and one interval more."""
        for friendship in self._friendships:
            interval_ns = s_to_ns(friendship.low_power.poll_interval_s)
            node = self._wire.nodes[friendship.low_power_index]
            key = make_key(self._wire.root_key, "poll", node.settings.address)
            first_ns = draw_below_ns(key, 0, interval_ns)
            self._at(first_ns, node, partial(self._poll_again, friendship, key, interval_ns, end_ns + interval_ns))

    def originate(self, node: NodeElements, message: Packet, flow: ScenarioFlow) -> None:
        """Sends a message of a flow that is not plain, with its repetitions and retries."""
        sizes = flow.segmentation.segment_pdu_bytes if flow.segmentation is not None else (flow.pdu_bytes,)
        if len(sizes) == 1:
            self._wire.originate(node, message)
        else:
            self._wire.enlist(node, message)
            self._send_message(node, message, sizes, PartKind.SEGMENT, 0)
        repeats = flow.publish_retransmit
        for number in range(1, 1 + repeats.count if repeats is not None else 1):
            at_ns = self._wire.now_ns() + s_to_ns(number * repeats.interval_s if repeats is not None else 0.0)
            self._at(at_ns, node, partial(self._repeat, node, message, sizes, PartKind.REPETITION, number))
        if flow.retries is not None:
            for number in range(1, 1 + flow.retries.count):
                at_ns = self._wire.now_ns() + s_to_ns(number * flow.retries.after_s)
                attempt = (repeats.count if repeats is not None else 0) + number
                self._at(at_ns, node, partial(self._repeat, node, message, sizes, PartKind.RETRY, attempt))

    def links_to(self, node: NodeElements, target_index: int) -> tuple[OutgoingLink, ...]:
        """The link from ``node`` to the one node that can decrypt what it sends."""
        link = node.friend_links.get(target_index)
        if link is not None:
            return (link,)
        return tuple(link for link in node.links if link.target.index == target_index)

    def sent(self, node: NodeElements, packet: Packet, end_ns: int) -> None:
        """Takes in that the last copy of a part has left; a low-power node listens some time after its poll."""
        part, friendship = packet.instructions.part, node.friendship
        if part is None or part.kind is not PartKind.POLL or friendship is None:
            return
        low_power = friendship.low_power
        from_ns = end_ns + s_to_ns(low_power.receive_delay_s)
        until_ns = from_ns + s_to_ns(low_power.receive_window_s)
        friendship.window.open(from_ns, until_ns)
        self._at(until_ns, node, partial(self._end_window, friendship, friendship.polls, part.attempt))

    def receive(self, node: NodeElements, job: Job, time_ns: int) -> None:
        """What the node's transport layer does with a PDU that is new to it; relaying is none of its affair."""
        packet = job.packet
        if node.index in packet.properties.member_indices:
            self._accept(node, packet, job.hops, time_ns)
        self.store(node, packet, job.ttl, job.hops)

    def store(self, node: NodeElements, packet: Packet, ttl: int, hops: int) -> None:
        """Keeps a message for those low-power nodes of ``node`` that are its members."""
        for friendship in node.friend_of:
            if friendship.low_power_index in packet.properties.member_indices and packet.instructions.only_to is None:
                lost = friendship.queue.store(packet, ttl, hops)
                if lost is not None:
                    self._wire.lose(lost, LossCause.FRIEND_QUEUE, node)

    def switch_off(self, node: NodeElements) -> None:
        """A node loses power: as a friend what it stored, as a low-power node its window. Friendships remain."""
        for friendship in node.friend_of:
            for packet in friendship.queue.clear():
                self._wire.lose(packet, LossCause.SWITCHED_OFF, node)
        if node.friendship is not None:
            node.friendship.is_waiting = False
            node.friendship.window.close(self._wire.now_ns())

    def _at(self, time_ns: int, node: NodeElements, action: Callable[[], None]) -> None:
        self._wire.at(time_ns, node, action)

    def _accept(self, node: NodeElements, packet: Packet, hops: int, time_ns: int) -> None:
        properties, part = packet.properties, packet.instructions.part
        kind = None if part is None else part.kind
        if kind is PartKind.POLL or kind is PartKind.DELIVERY:
            self._accept_friendship(node, packet, hops, time_ns)
            return
        if node.replay_list is not None and not node.replay_list.admit(
            properties.source_index, properties.sequence, is_segment=kind is PartKind.SEGMENT
        ):
            self._wire.lose(packet, LossCause.REPLAY_LIST, node)
        elif part is None:
            self._deliver(node, packet, packet, hops, time_ns, is_retry=False)
        elif kind is PartKind.SEGMENT:
            self._accept_segment(node, packet, part, hops, time_ns)
        elif kind is PartKind.ACKNOWLEDGMENT:
            sending = self._sendings.get((part.message.properties.key, part.attempt))
            if sending is not None:
                sending.acknowledge(part.index)
        else:
            self._deliver(node, part.message, packet, hops, time_ns, is_retry=kind is PartKind.RETRY)

    def _deliver(
        self, node: NodeElements, message: Packet, packet: Packet, hops: int, time_ns: int, *, is_retry: bool
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
            sequence = next_sequence(node)
            part = Part(kind, message, 0, attempt)
            self._send_part(node, part, message.properties.member_indices, size=sizes[0], sequence=sequence)

    def _repeat(
        self, node: NodeElements, message: Packet, sizes: tuple[int, ...], kind: PartKind, attempt: int
    ) -> None:
        """A repetition, or a retry unless all members have answered meanwhile."""
        answered = message.monitoring.answered.keys() >= message.properties.member_indices
        if node.is_on and not (kind is PartKind.RETRY and answered):
            self._send_message(node, message, sizes, kind, attempt)

    def _send_segments(
        self, node: NodeElements, message: Packet, sizes: tuple[int, ...], attempt: int
    ) -> Generator[Any, Any, None]:
        wire, properties, timing = self._wire, message.properties, self._timing
        sending = SegmentedSending(
            timing,
            count=len(sizes),
            ttl=properties.initial_ttl,
            is_acknowledged=len(properties.member_indices) == 1,
        )
        self._sendings[properties.key, attempt] = sending
        sequence = next_sequence(node)
        turn = 0
        while node.is_on:
            for number in sending.missing():
                part = Part(PartKind.SEGMENT, message, number, attempt, turn)
                self._send_part(node, part, properties.member_indices, size=sizes[number], sequence=sequence)
                yield wire.at(wire.now_ns() + timing.segment_interval_ns, node, None)
            delay_ns = sending.retransmission_ns()
            if delay_ns is None:
                return
            yield wire.at(wire.now_ns() + delay_ns, node, None)
            turn += 1

    def _send_part(
        self,
        node: NodeElements,
        part: Part,
        members: frozenset[int],
        *,
        size: int,
        sequence: int,
        ttl: int | None = None,
    ) -> None:
        """One network PDU of a message, with a key of its own in all caches; its message pays for it."""
        message = part.message
        key = make_key(message.properties.key, part.kind.name, node.index, part.index, part.attempt, part.turn)
        properties = Properties(
            key=key,
            flow_index=message.properties.flow_index,
            number=message.properties.number,
            source_index=node.index,
            member_indices=members,
            initial_ttl=message.properties.initial_ttl if ttl is None else ttl,
            pdu_bytes=size,
            airtime_ns=self._wire.airtime_ns(size),
            started_ns=self._wire.now_ns(),
            sequence=sequence,
        )
        is_friendship = part.kind in (PartKind.POLL, PartKind.DELIVERY)
        instructions = Instructions(
            is_traced=message.instructions.is_traced,
            part=part,
            relays=message.instructions.relays,
            only_to=min(members) if is_friendship else None,
        )
        packet = Packet(properties, instructions, message.monitoring)
        transmit = ONCE if part.kind is PartKind.POLL else node.settings.network_transmit
        node.cache.add(properties.cached_as)
        self.store(node, packet, properties.initial_ttl, 0)
        self._wire.send(node, Job(packet, properties.initial_ttl, 1, transmit, True, self._wire.now_ns()))

    def _accept_segment(self, node: NodeElements, packet: Packet, part: Part, hops: int, time_ns: int) -> None:
        message = part.message
        key = (node.index, message.properties.key, part.attempt)
        reception = self._receptions.get(key)
        if reception is None:
            flow = self._scenario.flows[message.properties.flow_index]
            count = len(flow.segmentation.segment_pdu_bytes) if flow.segmentation is not None else 1
            reception = self._receptions[key] = SegmentedReception(self._timing, count)
        asked_ns = reception.acknowledges_at_ns
        if reception.take(part.index, time_ns):
            self._deliver(node, message, packet, hops, time_ns, is_retry=part.attempt > 0)
        due_ns = reception.acknowledges_at_ns
        if len(message.properties.member_indices) == 1 and due_ns is not None and due_ns != asked_ns:
            self._at(due_ns, node, partial(self._acknowledge, node, part, reception, due_ns))

    def _acknowledge(self, node: NodeElements, part: Part, reception: SegmentedReception, due_ns: int) -> None:
        if reception.acknowledges_at_ns != due_ns or not node.is_on:
            return  # an earlier one has gone meanwhile
        reception.acknowledges_at_ns = None
        source = part.message.properties.source_index
        reception.acknowledged_times += 1
        turn = reception.acknowledged_times
        acknowledgment = Part(PartKind.ACKNOWLEDGMENT, part.message, reception.segments, part.attempt, turn)
        ttl = 0 if part.message.properties.initial_ttl == 0 else node.settings.ttl
        sequence = next_sequence(node)
        members = frozenset((source,))
        self._send_part(node, acknowledgment, members, size=ACKNOWLEDGMENT_PDU_BYTES, sequence=sequence, ttl=ttl)

    def _poll_again(self, friendship: Friendship, key: int, interval_ns: int, end_ns: int) -> None:
        wire, node = self._wire, self._wire.nodes[friendship.low_power_index]
        if wire.now_ns() >= end_ns:
            return
        if node.is_on:
            self._poll(friendship, 0)
        again = partial(self._poll_again, friendship, key, interval_ns, end_ns)
        self._at(wire.now_ns() + interval_ns, node, again)

    def _poll(self, friendship: Friendship, tries: int) -> None:
        wire, node = self._wire, self._wire.nodes[friendship.low_power_index]
        friendship.polls += 1
        friendship.is_waiting = True
        place = self._friendships.index(friendship)
        properties = Properties(
            key=make_key(wire.root_key, "poll", node.settings.address, friendship.polls),
            flow_index=-1 - len(self._scenario.background) - place,
            number=friendship.polls,
            source_index=node.index,
            member_indices=frozenset((friendship.friend_index,)),
            initial_ttl=0,
            pdu_bytes=POLL_PDU_BYTES,
            airtime_ns=wire.airtime_ns(POLL_PDU_BYTES),
            started_ns=wire.now_ns(),
        )
        message = Packet(properties, Instructions(is_traced=self._scenario.is_traced))
        wire.enlist(node, message)
        part = Part(PartKind.POLL, message, friendship.fsn, tries)
        sequence = next_sequence(node)
        self._send_part(node, part, properties.member_indices, size=POLL_PDU_BYTES, sequence=sequence)

    def _end_window(self, friendship: Friendship, polls: int, tries: int) -> None:
        """Polls again if the window passed without an answer, as often as the node retries."""
        if friendship.is_waiting and friendship.polls == polls:
            friendship.is_waiting = False
            node = self._wire.nodes[friendship.low_power_index]
            if tries < friendship.low_power.poll_retries and node.is_on:
                self._poll(friendship, tries + 1)

    def _accept_friendship(self, node: NodeElements, packet: Packet, hops: int, time_ns: int) -> None:
        part = packet.instructions.part
        if part is None:
            return
        if part.kind is PartKind.POLL:
            for friendship in node.friend_of:
                if friendship.low_power_index == packet.properties.source_index:
                    due_ns = time_ns + s_to_ns(friendship.low_power.receive_delay_s)
                    self._at(due_ns, node, partial(self._answer_poll, node, friendship, part))
        elif node.friendship is not None and node.friendship.is_waiting:
            self._take_delivery(node, node.friendship, part, time_ns)

    def _answer_poll(self, friend: NodeElements, friendship: Friendship, poll: Part) -> None:
        if not friend.is_on:
            return
        stored = friendship.answer(poll.index)
        size = UPDATE_PDU_BYTES if stored is None else stored[0].properties.pdu_bytes
        delivery = Part(PartKind.DELIVERY, poll.message, stored=stored)
        members = frozenset((friendship.low_power_index,))
        self._send_part(friend, delivery, members, size=size, sequence=next_sequence(friend), ttl=0)

    def _take_delivery(self, node: NodeElements, friendship: Friendship, part: Part, time_ns: int) -> None:
        """Takes what the friend sent, and asks for more until it says that nothing waits."""
        friendship.is_waiting = False
        friendship.window.close(time_ns)
        friendship.fsn ^= 1
        if part.stored is not None:
            stored, hops = part.stored
            self._accept(node, stored, hops + 1, time_ns)
            self._at(time_ns, node, partial(self._poll, friendship, 0))
