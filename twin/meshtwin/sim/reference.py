"""The reference engine: the packet simulator on simpy, one process per advertising set, flow and background.

Here nodes wait and call. What they decide is elsewhere: rules of one node in `elements`, what becomes of a PDU at its
receivers in `fates`, chance in `luck`, transport in `exchange`; what goes first at one nanosecond in `timeline`.
Each PDU end is one event with a loop over the receivers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from meshtwin.sim.air import Links, build_nodes, link_nodes, move_links
from meshtwin.sim.books import Books
from meshtwin.sim.draws import extend_key, make_key
from meshtwin.sim.elements.access import accept, response_delay_ns
from meshtwin.sim.elements.advertiser import (
    compute_first_delay_ns,
    compute_repeat_ns,
    copies_of_turn,
    counts_delay_from_ns,
    left_after,
    set_is_free_ns,
)
from meshtwin.sim.elements.bearer import Advertisement, Pdu, plan_event
from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.elements.relay import decide_relay_of
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.exchange import Exchange, needs_exchange
from meshtwin.sim.fates import Airing, Fates
from meshtwin.sim.luck import Luck
from meshtwin.sim.murmurs import schedule_murmurs
from meshtwin.sim.ordering import Rank
from meshtwin.sim.packets import LossCause, Packet, RecordKind
from meshtwin.sim.results import RunResult, collect_result
from meshtwin.sim.scenario import NodeChange, Scenario
from meshtwin.sim.states import PresetStates, Slot, advertising_slot
from meshtwin.sim.timeline import Moment, Process, Timeline
from meshtwin.sim.traffic import BackgroundTraffic, FlowTraffic, find_end_ns, make_response, places_of_senders
from meshtwin.sim.wire import Wire
from meshtwin.units import s_to_ns

__all__ = ["run_reference"]

LAST_PDU: Final = 2  # of the three of an advertising event
# at hand where it is hot: to find a member of an enum takes a tenth of a microsecond
BEGIN, END, JUDGE = Rank.BEGIN, Rank.END, Rank.JUDGE
TRANSMITTED, RECEIVED, RELAYED = RecordKind.TRANSMITTED, RecordKind.RECEIVED, RecordKind.RELAYED
CACHE: Final = LossCause.CACHE


def run_reference(scenario: Scenario, seed: int, replication: int, states: PresetStates | None = None) -> RunResult:
    """One replication of ``scenario``; ``states``: preset states in place of draws."""
    engine = ReferenceEngine(scenario, extend_key(make_key(seed, "replication"), replication), states)
    books = engine.run()
    return collect_result(scenario, seed, replication, books.packets, tuple(books.records))


class ReferenceEngine:
    """State of one run."""

    def __init__(self, scenario: Scenario, root_key: int, states: PresetStates | None = None) -> None:
        self._scenario = scenario
        self._profile = scenario.profile
        self._root_key = root_key
        self._time = Timeline()
        self._at = self._time.at
        self._nodes = build_nodes(scenario, root_key)
        self._index = {node.settings.address: node.index for node in self._nodes}
        for address in scenario.watched:
            self._nodes[self._index[address]].is_watched = True
        self._links: Links = {(link.source, link.target): link for link in scenario.links} if scenario.changes else {}
        self._luck = Luck(scenario.profile, states)
        self._fates = Fates(scenario)
        self._books = Books(scenario, self._time.now_ns)
        self._lose, self._record = self._books.lose, self._books.record
        self._exchange = Exchange(self._make_wire(), scenario) if needs_exchange(scenario) else None

    def run(self) -> Books:
        """Runs until the duration is over or nothing is left to do."""
        scenario = self._scenario
        for place in places_of_senders(scenario):
            traffic = FlowTraffic(scenario, place, self._nodes, self._index, self._root_key)
            self._time.process(self._press(traffic))
        for change in scenario.changes:
            node = self._nodes[self._index[change.node]]
            self._at(s_to_ns(change.at_s), Rank.CHANGE, node.index, partial(self._change, node, change))
        if self._exchange is not None:
            self._exchange.friendships.start(find_end_ns(scenario))
        self._time.process(self._murmur())
        duration_s = scenario.duration_s
        self._time.run(until=None if duration_s is None else s_to_ns(duration_s))
        return self._books

    def _press(self, traffic: FlowTraffic) -> Process:
        """Originates the messages of one flow."""
        node, flow_index = traffic.node, traffic.flow_index
        for number in range(traffic.flow.count):
            yield self._at(max(traffic.begin_ns(number), self._time.now_ns()), Rank.PRESS, flow_index)
            if not node.is_on:
                continue
            packet = traffic.make(number, self._time.now_ns(), self._luck.state_index(flow_index, number))
            if traffic.is_plain or self._exchange is None:
                self._originate(node, packet)
            else:
                self._exchange.originate(node, packet, traffic.flow)

    def _murmur(self) -> Process:
        """Originates what nobody asks after."""
        scenario = self._scenario
        traffics = [BackgroundTraffic(scenario, place) for place in range(len(scenario.background))]
        for time_ns, place, source, number, destination, key in schedule_murmurs(scenario, self._root_key).tolist():
            yield self._at(time_ns, Rank.MURMUR, place)
            node = self._nodes[source]
            if node.is_on:
                self._originate(node, traffics[place].make(key, number, node, destination, time_ns))

    def _enlist(self, node: NodeElements, packet: Packet) -> None:
        if not self._profile.relays_own_echo:
            node.cache.add(packet.properties.cached_as)
        self._books.enlist(node, packet)

    def _originate(self, node: NodeElements, packet: Packet) -> None:
        ttl = packet.properties.initial_ttl
        self._enlist(node, packet)
        if self._exchange is not None:
            self._exchange.friendships.store(node, packet, ttl, 0)
        self._send(node, Job(packet, ttl, 1, node.settings.network_transmit, True, self._time.now_ns()))

    def _send(self, node: NodeElements, job: Job) -> None:
        if self._profile.queue_after_delay:
            key, interval_ns = extend_key(node.key, job.packet.properties.key), s_to_ns(job.transmit.interval_s)
            delay_ns = self._first_delay_ns(node, job, key, interval_ns)
            self._at(self._time.now_ns() + delay_ns, Rank.QUEUE, node.index, lambda _: self._queue(node, job))
        else:
            self._queue(node, job)

    def _queue(self, node: NodeElements, job: Job) -> None:
        if not node.is_on:
            self._lose(job.packet, LossCause.SWITCHED_OFF, node)
        elif not node.queue.put(job):
            self._lose(job.packet, LossCause.BUFFER, node)
        else:
            self._serve(node)

    def _serve(self, node: NodeElements) -> None:
        while (job := node.queue.take()) is not None:
            self._time.process(self._advertise(node, job))

    def _release(self, node: NodeElements, job: Job) -> None:
        node.queue.release(job)
        self._serve(node)

    def _advertise(self, node: NodeElements, job: Job) -> Process:
        """Sends one PDU on one advertising set: all its copies, or one where they take turns."""
        profile, packet, now_ns = self._profile, job.packet, self._time.now_ns
        key, interval_ns = extend_key(node.key, packet.properties.key), s_to_ns(job.transmit.interval_s)
        begin_ns, copies = self._first_begin_ns(node, job, key, interval_ns), copies_of_turn(profile, job)
        cycles, free_ns, is_held = node.power_cycles, now_ns(), True
        for copy in copies:
            if profile.hands_over and copy == copies[-1]:
                yield self._at(max(begin_ns, now_ns()), END, node.index)
                is_held = False
                self._release(node, job)
            begin_ns = node.free_from_ns(begin_ns)
            yield self._at(begin_ns, BEGIN, node.index)
            while (begin_ns := node.free_from_ns(now_ns())) > now_ns():
                yield self._at(begin_ns, BEGIN, node.index)
            if node.power_cycles != cycles:
                self._lose(packet, LossCause.SWITCHED_OFF, node)
                break
            copy_key = extend_key(key, copy + 1)
            event = plan_event(profile, begin_ns, packet.properties.airtime_ns, copy_key)
            self._transmit(node, job, event, copy)
            free_ns = event.end_ns
            if profile.scan_restarts_after_event:
                yield self._at(free_ns, END, node.index)
                node.scanner.restart(free_ns, event.pdus)
            chance = self._luck.number(packet, node, advertising_slot(copy), copy_key, 3)
            begin_ns += compute_repeat_ns(profile, interval_ns, chance)
        if self._exchange is not None and node.power_cycles == cycles:
            self._exchange.friendships.sent(node, packet, free_ns)
        free_ns = set_is_free_ns(profile, free_ns, begin_ns)
        if free_ns > now_ns():
            yield self._at(free_ns, END, node.index)
        if node.power_cycles == cycles and (rest := left_after(job, copies)) is not None:
            node.queue.put_back(rest)
        if is_held:
            self._release(node, job)

    def _first_begin_ns(self, node: NodeElements, job: Job, key: int, interval_ns: int) -> int:
        """When the next copy of a PDU that has just got an advertising set is to begin, not before now."""
        now_ns = self._time.now_ns()
        from_ns = counts_delay_from_ns(self._profile, job, now_ns)
        if from_ns is None:
            return now_ns
        return max(from_ns + self._first_delay_ns(node, job, key, interval_ns), now_ns)

    def _first_delay_ns(self, node: NodeElements, job: Job, key: int, interval_ns: int) -> int:
        luck, packet, is_own = self._luck, job.packet, job.is_originated
        return compute_first_delay_ns(
            self._profile,
            is_originated=is_own,
            interval_ns=interval_ns,
            jitter=luck.number(packet, node, Slot.FIRST_DELAY, key, -1),
            further=luck.number(packet, node, Slot.RECEPTION, key, -2) if is_own else 0.0,
        )

    def _transmit(self, node: NodeElements, job: Job, event: Advertisement, copy: int) -> None:
        """One advertising event: three PDUs on the air, each judged at its end."""
        packet = job.packet
        node.occupy_radio(event)
        packet.monitoring.transmissions += 1
        self._record(packet, TRANSMITTED, node, copy)
        self._fates.put_on_air(node, packet, event)
        cached_as, links = packet.properties.cached_as, node.audience(packet, job.ttl)
        waiting = [link for link in links if cached_as not in link.known]
        packet.monitoring.losses[CACHE] += len(links) - len(waiting)
        if waiting:
            if packet.properties.state_index >= 0:
                self._luck.preset(packet, waiting, copy, event.start_ns)
            airing = Airing(node, job, copy, waiting)
            for place, pdu in enumerate(event.pdus):
                self._at(pdu.end_ns, JUDGE, node.index, partial(self._end_pdu, airing, pdu, place))

    def _end_pdu(self, airing: Airing, pdu: Pdu, place: int, _: Any) -> None:
        """The ``place``-th PDU of an advertising event ends at those who wait for its message."""
        packet = airing.job.packet
        for link in self._fates.find_listeners(airing, pdu):
            cause = self._fates.judge(airing, link, pdu)
            if cause is None:
                self._receive(link.target, airing, pdu.end_ns)
            elif cause is CACHE:
                packet.monitoring.losses[cause] += 1  # a repeat: counted, not told one by one
            else:
                self._lose(packet, cause, link.target, airing)
        if place == LAST_PDU and airing.silent:
            self._lose(packet, LossCause.NOT_LISTENING, airing.node, airing, len(airing.silent))

    def _receive(self, node: NodeElements, airing: Airing, time_ns: int) -> None:
        job, packet = airing.job, airing.job.packet
        refusal = node.refuse(packet, relays_own_echo=self._profile.relays_own_echo)
        if refusal is not None:
            self._lose(packet, refusal, node, airing)
            return
        node.cache.add(packet.properties.cached_as)
        self._record(packet, RECEIVED, node, job.hops, airing)
        if self._exchange is not None:
            self._exchange.receive(node, job, time_ns)
        elif accept(packet, node.index, time_ns, job.hops) and packet.instructions.response_pdu_bytes:
            self._ask_response(node, packet, packet)
        verdict = decide_relay_of(packet, node.index, has_relay=node.settings.relay, received_ttl=job.ttl)
        if isinstance(verdict, LossCause):
            self._lose(packet, verdict, node)
        elif verdict is not None:
            self._record(packet, RELAYED, node, verdict)
            self._send(node, Job(packet, verdict, job.hops + 1, node.settings.relay_retransmit, False, time_ns))

    def _ask_response(self, node: NodeElements, request: Packet, packet: Packet) -> None:
        """Has ``request``, which came in ``packet``, answered after the stack's delay."""
        due_ns = self._time.now_ns() + response_delay_ns(self._profile, node.index, request, packet)
        self._at(due_ns, Rank.RESPOND, node.index, lambda _: self._respond(node, request, packet))

    def _respond(self, node: NodeElements, request: Packet, packet: Packet) -> None:
        if node.is_on:
            self._originate(node, make_response(self._profile, node, request, packet, self._time.now_ns()))

    def _change(self, node: NodeElements, change: NodeChange, _: Any) -> None:
        """Switches or moves a node; what is on the air already still arrives."""
        self._links = move_links(self._links, change)
        was_on = node.is_on
        lost = [] if change.is_on is None else node.switch(is_on=change.is_on)
        if was_on and not node.is_on and self._exchange is not None:
            self._exchange.friendships.switch_off(node)
        for job in lost:
            self._lose(job.packet, LossCause.SWITCHED_OFF, node)
        link_nodes(self._nodes, self._links.values(), self._root_key, self._profile)

    def _make_wire(self) -> Wire:
        def at(time_ns: int, node: NodeElements, action: Callable[[], None] | None) -> Moment:
            told = None if action is None else (lambda _: action())
            return self._at(max(time_ns, self._time.now_ns()), Rank.TRANSPORT, node.index, told)

        return Wire(
            nodes=self._nodes,
            root_key=self._root_key,
            now_ns=self._time.now_ns,
            at=at,
            start=self._time.process,
            enlist=self._enlist,
            originate=self._originate,
            send=self._send,
            respond=self._ask_response,
            lose=self._lose,
        )
