"""Friends and low-power nodes of one run: who polls when, and what friends answer.

The rules are those of `meshtwin.sim.elements.friendship`.
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol

from meshtwin.sim.draws import draw_below_ns, make_key
from meshtwin.sim.elements.friendship import Friendship
from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.packets import Instructions, LossCause, Packet, Part, PartKind, Properties
from meshtwin.sim.parts import POLL_PDU_BYTES, UPDATE_PDU_BYTES
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.traffic import compute_pdu_airtime_ns
from meshtwin.sim.wire import Wire
from meshtwin.units import s_to_ns

__all__ = ["Friendships"]


class SendPart(Protocol):
    """Sends one network PDU of a message from a node."""

    def __call__(self, node: NodeElements, part: Part, *, pdu_bytes: int) -> None: ...


class Friendships:
    """All friendships of a run; ``accept`` takes what a friend delivers as if it had come over the air."""

    def __init__(
        self,
        wire: Wire,
        scenario: Scenario,
        *,
        send_part: SendPart,
        accept: Callable[[NodeElements, Packet, int, int], None],
    ) -> None:
        self._wire = wire
        self._scenario = scenario
        self._send_part = send_part
        self._accept = accept
        self._all = [node.friendship for node in wire.nodes if node.friendship is not None]

    def start(self, end_ns: int) -> None:
        """Begins the polls of all low-power nodes, which go on until ``end_ns`` and one interval more."""
        for friendship in self._all:
            interval_ns = s_to_ns(friendship.low_power.poll_interval_s)
            node = self._node_of(friendship)
            first_ns = draw_below_ns(make_key(self._wire.root_key, "poll", node.settings.address), 0, interval_ns)
            self._at(first_ns, node, partial(self._poll_again, friendship, interval_ns, end_ns + interval_ns))

    def store(self, node: NodeElements, packet: Packet, ttl: int, hops: int) -> None:
        """Keeps a message for those low-power nodes of ``node`` that are its members."""
        for friendship in node.friend_of:
            if friendship.low_power_index in packet.properties.member_indices and packet.instructions.only_to is None:
                lost = friendship.queue.store(packet, ttl, hops)
                if lost is not None:
                    self._wire.lose(lost, LossCause.FRIEND_QUEUE, node)

    def sent(self, node: NodeElements, packet: Packet, end_ns: int) -> None:
        """Takes in that the last copy of a PDU has left; a low-power node listens some time after its poll."""
        part, friendship = packet.instructions.part, node.friendship
        if part is None or part.kind is not PartKind.POLL or friendship is None:
            return
        low_power = friendship.low_power
        from_ns = end_ns + s_to_ns(low_power.receive_delay_s)
        until_ns = from_ns + s_to_ns(low_power.receive_window_s)
        friendship.window.open(from_ns, until_ns)
        self._at(until_ns, node, partial(self._end_window, friendship, friendship.polls, part.attempt))

    def receive(self, node: NodeElements, packet: Packet, part: Part, time_ns: int) -> None:
        """A friend hears a poll, or a low-power node what its friend delivers."""
        if part.kind is PartKind.POLL:
            for friendship in node.friend_of:
                if friendship.low_power_index == packet.properties.source_index:
                    due_ns = time_ns + s_to_ns(friendship.low_power.receive_delay_s)
                    self._at(due_ns, node, partial(self._answer_poll, node, friendship, part))
        elif node.friendship is not None and node.friendship.is_waiting:
            self._take_delivery(node, node.friendship, part, time_ns)

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

    def _node_of(self, friendship: Friendship) -> NodeElements:
        return self._wire.nodes[friendship.low_power_index]

    def _poll_again(self, friendship: Friendship, interval_ns: int, end_ns: int) -> None:
        now_ns, node = self._wire.now_ns(), self._node_of(friendship)
        if now_ns >= end_ns:
            return
        if node.is_on:
            self._poll(friendship, 0)
        self._at(now_ns + interval_ns, node, partial(self._poll_again, friendship, interval_ns, end_ns))

    def _poll(self, friendship: Friendship, tries: int) -> None:
        node = self._node_of(friendship)
        friendship.begin_poll()
        message = self._make_poll(node, friendship)
        self._wire.enlist(node, message)
        self._send_part(node, Part(PartKind.POLL, message, friendship.fsn, tries), pdu_bytes=POLL_PDU_BYTES)

    def _make_poll(self, node: NodeElements, friendship: Friendship) -> Packet:
        """A message of its own, told apart from flows and backgrounds by its flow's place."""
        properties = Properties(
            key=make_key(self._wire.root_key, "poll", node.settings.address, friendship.polls),
            flow_index=-1 - len(self._scenario.background) - self._all.index(friendship),
            number=friendship.polls,
            source_index=node.index,
            member_indices=frozenset((friendship.friend_index,)),
            initial_ttl=0,
            pdu_bytes=POLL_PDU_BYTES,
            airtime_ns=compute_pdu_airtime_ns(self._scenario.profile, POLL_PDU_BYTES),
            started_ns=self._wire.now_ns(),
        )
        return Packet(properties, Instructions(is_traced=self._scenario.is_traced))

    def _end_window(self, friendship: Friendship, polls: int, tries: int) -> None:
        """Polls again if the window passed without an answer, as often as the node retries."""
        is_unanswered = friendship.ends_unanswered(polls)
        if is_unanswered and tries < friendship.low_power.poll_retries and self._node_of(friendship).is_on:
            self._poll(friendship, tries + 1)

    def _answer_poll(self, friend: NodeElements, friendship: Friendship, poll: Part) -> None:
        if friend.is_on:
            stored = friendship.answer(poll.index)
            size = UPDATE_PDU_BYTES if stored is None else stored[0].properties.pdu_bytes
            self._send_part(friend, Part(PartKind.DELIVERY, poll.message, stored=stored), pdu_bytes=size)

    def _take_delivery(self, node: NodeElements, friendship: Friendship, part: Part, time_ns: int) -> None:
        """Takes what the friend sent, and asks for more until it says that nothing waits."""
        friendship.take_delivery(time_ns)
        if part.stored is not None:
            stored, hops = part.stored
            self._accept(node, stored, hops + 1, time_ns)
            self._at(time_ns, node, partial(self._poll, friendship, 0))
