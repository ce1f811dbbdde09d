"""The reference engine: the packet simulator on simpy, one process per PDU and advertising set.

Rules of nodes are in `elements`; here they meet on the air. Each PDU end is one event with a loop over the
receivers. A receiver listens to one channel at a time, so of the three PDUs of an advertising event it judges
the one on its channel. Copies of a message fade independently (doubt: real copies 20 ms
apart are correlated).

What happens at the same nanosecond happens in the order of `Rank`, then of node, flow or background, then of
asking: a rule of its own, so that another engine can keep it with other queues.
"""

from collections import deque
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

import simpy
from simpy.events import EventPriority

from meshtwin.sim.air import Interference, build_nodes, link_nodes
from meshtwin.sim.draws import draw, extend_key, make_key
from meshtwin.sim.elements.access import accept
from meshtwin.sim.elements.bearer import Advertisement, Pdu, plan_event
from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.relay import decide_relay
from meshtwin.sim.elements.scanner import Scanner, listens_to
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.exchange import Exchange, Wire, needs_exchange, response_delay_ns
from meshtwin.sim.interference import build_schedule
from meshtwin.sim.murmurs import schedule_murmurs
from meshtwin.sim.ordering import BURST_SALT, RANK_STEP, Airing, Rank
from meshtwin.sim.packets import LossCause, Packet, Record, RecordKind
from meshtwin.sim.results import RunResult, collect_result
from meshtwin.sim.scenario import Scenario, ScenarioLink
from meshtwin.sim.scenario_features import NodeChange
from meshtwin.sim.states import SLOTS_PER_NODE, PresetStates, Slot, advertising_slot
from meshtwin.sim.traffic import (
    BackgroundTraffic,
    FlowTraffic,
    compute_pdu_airtime_ns,
    find_end_ns,
    make_response,
)
from meshtwin.sim.watching import tell
from meshtwin.units import s_to_ns

__all__ = ["BURST_SALT", "Rank", "ReferenceEngine", "run_reference"]

SimpyProcess = Generator[Any, Any, None]
AIRTIME_CHANNEL = 0  # the channel on which airtime is counted (37)
LAST_PDU = 2


def run_reference(scenario: Scenario, seed: int, replication: int, states: PresetStates | None = None) -> RunResult:
    """One replication of ``scenario``; ``states``: preset states in place of draws."""
    engine = ReferenceEngine(scenario, extend_key(make_key(seed, "replication"), replication), states)
    engine.run()
    return collect_result(scenario, seed, replication, engine.packets, tuple(engine.records))


class ReferenceEngine:
    """State of one run."""

    def __init__(self, scenario: Scenario, root_key: int, states: PresetStates | None = None) -> None:
        self._scenario = scenario
        self._states = states
        self._rows: list[list[float]] = [] if states is None else states.table.tolist()
        # where scanners keep step with each other or with their own sending, their phase is no number of its own
        self._presets_scan = not (scenario.profile.scan_in_phase or scenario.profile.scan_restarts_after_event)
        self._profile = scenario.profile
        self._root_key = root_key
        self._env = simpy.Environment(initial_time=0)
        self._nodes = build_nodes(scenario, root_key)
        self._index = {node.settings.address: node.index for node in self._nodes}
        for address in scenario.watched:
            self._nodes[self._index[address]].is_watched = True
        self._interference = Interference(scenario)
        self._bursts = build_schedule(scenario)
        self._links: dict[tuple[int, int], ScenarioLink] = {}  # those of now, if anything changes
        self._exchange = Exchange(self._make_wire(), scenario) if needs_exchange(scenario) else None
        self._on_air: tuple[deque[tuple[int, int, NodeElements]], ...] = (deque(), deque(), deque())
        self.packets: list[Packet] = []
        self.records: list[Record] = []

    def run(self) -> None:
        """Runs until the duration is over or nothing is left to do."""
        scenario = self._scenario
        switched_on = {change.node for change in scenario.changes if change.is_on}
        world = (self._nodes, self._index, self._root_key)
        for flow_index, flow in enumerate(scenario.flows):
            if flow.count and (self._nodes[self._index[flow.source]].is_on or flow.source in switched_on):
                self._env.process(self._press(FlowTraffic(scenario, flow_index, *world)))
        if scenario.changes:
            self._links = {(link.source, link.target): link for link in scenario.links}
            for change in scenario.changes:
                index = self._index[change.node]
                self._at(s_to_ns(change.at_s), Rank.CHANGE, index, partial(self._change, change))
        if self._exchange is not None:
            self._exchange.start(find_end_ns(scenario))
        self._env.process(self._murmur())
        duration_s = scenario.duration_s
        self._env.run(until=None if duration_s is None else s_to_ns(duration_s))

    def _press(self, traffic: FlowTraffic) -> SimpyProcess:
        """Originates the messages of one flow."""
        node, flow_index = traffic.node, traffic.flow_index
        for number in range(traffic.flow.count):
            yield self._at(max(traffic.begin_ns(number), self._now), Rank.PRESS, flow_index)
            if not node.is_on:
                continue
            state_index = -1 if self._states is None else self._states.state_index(flow_index, number)
            packet = traffic.make(number, self._now, state_index)
            if traffic.is_plain or self._exchange is None:
                self._originate(node, packet)
            else:
                self._exchange.originate(node, packet, traffic.flow)

    def _murmur(self) -> SimpyProcess:
        """Originates what nobody asks after."""
        traffics = [BackgroundTraffic(self._scenario, place) for place in range(len(self._scenario.background))]
        for time_ns, place, source, number, destination, key in schedule_murmurs(
            self._scenario, self._root_key
        ).tolist():
            yield self._at(time_ns, Rank.MURMUR, place)
            node = self._nodes[source]
            if node.is_on:
                self._originate(node, traffics[place].make(key, number, node, destination, self._now))

    def _enlist(self, node: NodeElements, packet: Packet) -> None:
        tell(self._scenario, self._now)
        self.packets.append(packet)
        if not self._profile.relays_own_echo:
            node.cache.add(packet.properties.cached_as)
        self._record(packet, RecordKind.ORIGINATED, node, packet.properties.number)

    def _originate(self, node: NodeElements, packet: Packet) -> None:
        self._enlist(node, packet)
        if self._exchange is not None:
            self._exchange.store(node, packet, packet.properties.initial_ttl, 0)
        self._send(
            node,
            Job(packet, packet.properties.initial_ttl, 1, node.settings.network_transmit, True, self._now),
        )

    @property
    def _now(self) -> int:
        return self._env.now  # type: ignore[return-value]  # integers in, integers out

    def _at(self, time_ns: int, rank: Rank, index: int, action: Callable[[Any], None] | None = None) -> simpy.Event:
        """An event at ``time_ns`` (not in the past); ``index`` of node, flow or background breaks ties."""
        event = simpy.Event(self._env)
        event._ok, event._value = True, None
        if action is not None:
            event.callbacks.append(action)
        self._env.schedule(event, EventPriority(rank * RANK_STEP + index), time_ns - self._now)
        return event

    def _send(self, node: NodeElements, job: Job) -> None:
        if self._profile.queue_after_delay:
            key = extend_key(node.key, job.packet.properties.key)
            delay_ns = self._first_delay_ns(node, job, key, s_to_ns(job.transmit.interval_s))
            self._at(self._now + delay_ns, Rank.QUEUE, node.index, lambda _: self._queue(node, job))
        else:
            self._queue(node, job)

    def _queue(self, node: NodeElements, job: Job) -> None:
        if not node.is_on:
            self._lose(job.packet, LossCause.SWITCHED_OFF, node)
            return
        if not node.queue.put(job):
            self._lose(job.packet, LossCause.BUFFER, node)
            return
        self._serve(node)

    def _serve(self, node: NodeElements) -> None:
        while (job := node.queue.take()) is not None:
            self._env.process(self._advertise(node, job))

    def _advertise(self, node: NodeElements, job: Job) -> SimpyProcess:
        """Sends one PDU on one advertising set, all its copies."""
        profile, packet = self._profile, job.packet
        key = extend_key(node.key, packet.properties.key)
        interval_ns = s_to_ns(job.transmit.interval_s)
        begin_ns = self._first_begin_ns(node, job, key, interval_ns)
        cycles, free_ns, is_held = node.power_cycles, self._now, True
        last = job.transmit.transmissions - 1
        if profile.copies_take_turns:
            last = job.copies_sent
        for copy in range(job.copies_sent, last + 1):
            copy_key = extend_key(key, copy + 1)
            if profile.hands_over and copy == last:
                yield self._at(max(begin_ns, self._now), Rank.END, node.index)
                is_held = False
                node.queue.release(job)
                self._serve(node)
            begin_ns = self._free_start(node, begin_ns)
            yield self._at(begin_ns, Rank.BEGIN, node.index)
            while (begin_ns := self._free_start(node, self._now)) > self._now:
                yield self._at(begin_ns, Rank.BEGIN, node.index)
            if node.power_cycles != cycles:
                self._lose(packet, LossCause.SWITCHED_OFF, node)
                break
            event = plan_event(profile, begin_ns, packet.properties.airtime_ns, copy_key)
            self._transmit(node, job, event, copy)
            free_ns = event.end_ns
            if profile.scan_restarts_after_event:
                yield self._at(free_ns, Rank.END, node.index)
                node.scanner.restart(free_ns, event.pdus)
            delay = self._chance(packet, node, advertising_slot(copy), copy_key, 3)
            begin_ns += interval_ns + int(delay * profile.advertising_delay_ns)
        if packet.instructions.part is not None and self._exchange is not None and node.power_cycles == cycles:
            self._exchange.sent(node, packet, free_ns)
        if profile.rests_after_last:
            free_ns = max(free_ns, begin_ns)
        if free_ns > self._now:
            yield self._at(free_ns, Rank.END, node.index)
        if last + 1 < job.transmit.transmissions and node.power_cycles == cycles:
            node.queue.put_back(job._replace(copies_sent=last + 1))
        if is_held:
            node.queue.release(job)
            self._serve(node)

    def _first_begin_ns(self, node: NodeElements, job: Job, key: int, interval_ns: int) -> int:
        """When the next copy of a PDU that has just got an advertising set is to begin, not before now."""
        profile, now_ns = self._profile, self._now
        asked_ns = now_ns if profile.hands_over else job.asked_ns
        is_delayed = not (job.copies_sent or (profile.delay_when_idle_only and now_ns > asked_ns))
        if profile.queue_after_delay or not is_delayed:
            return now_ns
        return max(asked_ns + self._first_delay_ns(node, job, key, interval_ns), now_ns)

    def _first_delay_ns(self, node: NodeElements, job: Job, key: int, interval_ns: int) -> int:
        profile, packet = self._profile, job.packet
        jitter = self._chance(packet, node, Slot.FIRST_DELAY, key, -1)
        if job.is_originated and profile.own_delay_ns is not None:
            return profile.own_delay_ns[0] + int(jitter * profile.own_delay_ns[1])
        delay = profile.processing_ns + int(jitter * profile.jitter_ns)
        if profile.first_send_after_interval:
            delay += interval_ns
        if job.is_originated:
            further = self._chance(packet, node, Slot.RECEPTION, key, -2)
            delay += profile.originated_extra_ns + int(further * profile.originated_jitter_ns)
        return delay

    def _chance(self, packet: Packet, node: NodeElements, slot: int, key: int, part: int) -> float:
        """The number in [0, 1) of a node's slot for a message: preset, or drawn by (``key``, ``part``)."""
        row = packet.properties.state_index
        return draw(key, part) if row < 0 or slot < 0 else self._rows[row][node.index * SLOTS_PER_NODE + slot]

    def _free_start(self, node: NodeElements, time_ns: int) -> int:
        """First time from ``time_ns`` on at which the node's radio may begin an event."""
        time_ns = max(time_ns, node.radio_busy_until_ns)
        return node.scanner.window_end(time_ns) if self._profile.start_at_scan_window_end else time_ns

    def _transmit(self, node: NodeElements, job: Job, event: Advertisement, copy: int) -> None:
        """One advertising event: three PDUs on the air, each judged at its end."""
        packet = job.packet
        node.occupy_radio(event)
        packet.monitoring.transmissions += 1
        self._record(packet, RecordKind.TRANSMITTED, node, copy)
        for channel, start_ns, end_ns in event.pdus:
            on_air = self._on_air[channel]
            while on_air and on_air[0][1] <= event.start_ns - 1_000_000:  # 1 ms: longer than any PDU
                on_air.popleft()
            on_air.append((start_ns, end_ns, node))
            if channel == AIRTIME_CHANNEL:
                packet.monitoring.busy_ns += node.occupy_channel(start_ns, end_ns, packet.monitoring.watched_ns)
        cached_as = packet.properties.cached_as
        links = node.links
        if packet.properties.flow_index < 0:  # background concerns those alone who would relay it
            links = node.relay_links if job.ttl >= 2 else ()
        if packet.instructions.only_to is not None and self._exchange is not None:
            links = self._exchange.links_to(node, packet.instructions.only_to)
        waiting = [link for link in links if cached_as not in link.known]
        packet.monitoring.losses[LossCause.CACHE] += len(links) - len(waiting)
        if waiting:
            if packet.properties.state_index >= 0:
                self._preset_luck(packet, waiting, copy, event.start_ns)
            airing = Airing(node, job, copy, waiting)
            for place, pdu in enumerate(event.pdus):
                self._at(pdu.end_ns, Rank.JUDGE, node.index, partial(self._end_pdu, airing, pdu, place))

    def _preset_luck(self, packet: Packet, waiting: Sequence[OutgoingLink], copy: int, time_ns: int) -> None:
        """Decides who of ``waiting`` receives the transmission if it listens; the first success sets its scanner."""
        properties = packet.properties
        row, airtime_ns = self._rows[properties.state_index], properties.airtime_ns
        for link in waiting:
            node, luck = link.target, link.target.luck
            first = node.index * SLOTS_PER_NODE
            if not luck.follow(properties.key, properties.started_ns, row[first + Slot.RECEPTION]):
                link.passes = draw(extend_key(link.key, properties.key), copy) < link.delivery_of[airtime_ns]
                continue
            link.passes = luck.decide(link.delivery_of[airtime_ns])
            if link.passes and not luck.is_phased:
                luck.is_phased = True
                if self._presets_scan and isinstance(node.scanner, Scanner):
                    node.scanner.preset(time_ns, row[first + Slot.SCAN])

    def _end_pdu(self, airing: Airing, pdu: Pdu, place: int, _: Any) -> None:
        """Judges the ``place``-th PDU of an advertising event at the receivers that listen to it."""
        node, job, copy = airing.node, airing.job, airing.copy
        properties, bursts, sample_ns = job.packet.properties, self._bursts, self._profile.scan_sample_ns
        cached_as, airtime_ns, is_drawn = properties.cached_as, properties.airtime_ns, properties.state_index < 0
        channel, start_ns, end_ns = pdu
        for link in airing.waiting:
            receiver = link.target
            scanner = receiver.scanner
            if not listens_to(scanner, pdu, sample_ns):
                continue
            airing.silent.discard(link)
            if cached_as in link.known:
                job.packet.monitoring.losses[LossCause.CACHE] += 1
                continue
            if receiver.is_sending(start_ns, end_ns):
                self._lose(job.packet, LossCause.RADIO_BUSY, receiver, airing)
                continue
            key = extend_key(link.key, properties.key)
            if not (draw(key, copy) < link.delivery_of[airtime_ns] if is_drawn else link.passes):
                self._lose(job.packet, LossCause.BELOW_SENSITIVITY, receiver, airing)
                continue
            if bursts is not None:
                calm = bursts.compute_survival(receiver.index, channel, start_ns, end_ns)
                if calm < 1.0 and draw(extend_key(key, BURST_SALT + channel), copy) >= calm:
                    self._lose(job.packet, LossCause.INTERFERENCE, receiver, airing)
                    continue
            survival = self._interference.compute_survival(self._on_air[channel], node, receiver, link.rx_mw, pdu)
            if survival < 1.0 and draw(key, -1 - copy) >= survival:
                self._lose(job.packet, LossCause.COLLISION, receiver, airing)
                continue
            self._receive(receiver, airing, end_ns)
        if place == LAST_PDU and airing.silent:
            self._lose(job.packet, LossCause.NOT_LISTENING, node, airing, len(airing.silent))

    def _receive(self, node: NodeElements, airing: Airing, time_ns: int) -> None:
        job, packet = airing.job, airing.job.packet
        if node.index == packet.properties.source_index and not self._profile.relays_own_echo:
            self._lose(packet, LossCause.CACHE, node, airing)
            return  # own message, forgotten by the cache: the network layer drops it by its source
        if not node.is_on:
            self._lose(packet, LossCause.SWITCHED_OFF, node, airing)
            return
        node.cache.add(packet.properties.cached_as)
        self._record(packet, RecordKind.RECEIVED, node, job.hops, airing)
        instructions = packet.instructions
        if self._exchange is not None:
            self._exchange.receive(node, job, time_ns)
            if instructions.only_to is not None:
                return
        elif accept(packet, node.index, time_ns, job.hops) and packet.instructions.response_pdu_bytes:
            self._ask_response(node, packet, packet)
        # doubt: a group of one subscriber is taken for a unicast destination
        told = packet.properties
        is_destination = told.member_indices == {node.index} or told.destination_index == node.index
        is_relay = node.settings.relay and (instructions.relays is None or node.index in instructions.relays)
        verdict = decide_relay(is_relay=is_relay, received_ttl=job.ttl, is_destination=is_destination)
        if isinstance(verdict, LossCause):
            self._lose(packet, verdict, node)
        elif verdict is not None:
            self._record(packet, RecordKind.RELAYED, node, verdict)
            transmit = node.settings.relay_retransmit
            self._send(node, Job(packet, verdict, job.hops + 1, transmit, False, time_ns))

    def _ask_response(self, node: NodeElements, request: Packet, packet: Packet) -> None:
        due_ns = self._now + response_delay_ns(self._profile, node, request, packet)
        self._at(due_ns, Rank.RESPOND, node.index, lambda _: self._respond(node, request, packet))

    def _respond(self, node: NodeElements, request: Packet, packet: Packet) -> None:
        """Answers a request, which came in ``packet``, to its source."""
        if not node.is_on:
            return
        self._originate(node, make_response(self._profile, node, request, packet, self._now))

    def _change(self, change: NodeChange, _: Any) -> None:
        """Switches or moves a node; what is on the air already still arrives."""
        node = self._nodes[self._index[change.node]]
        if change.links is not None:
            self._links = {pair: link for pair, link in self._links.items() if change.node not in pair}
            self._links.update({(link.source, link.target): link for link in change.links})
        if change.is_on is not None and change.is_on != node.is_on:
            node.is_on = change.is_on
            if not node.is_on:
                node.power_cycles += 1
                node.cache.clear()
                if self._exchange is not None:
                    self._exchange.switch_off(node)
                for job in node.queue.clear():
                    self._lose(job.packet, LossCause.SWITCHED_OFF, node)
        link_nodes(self._nodes, self._links.values(), self._root_key, self._profile)

    def _make_wire(self) -> Wire:
        def at(time_ns: int, node: NodeElements, action: Callable[[], None] | None) -> simpy.Event:
            told = None if action is None else (lambda _: action())
            return self._at(max(time_ns, self._now), Rank.TRANSPORT, node.index, told)

        return Wire(
            nodes=self._nodes,
            root_key=self._root_key,
            now_ns=lambda: self._now,
            at=at,
            start=self._env.process,
            enlist=self._enlist,
            originate=self._originate,
            send=self._send,
            respond=self._ask_response,
            lose=self._lose,
            airtime_ns=partial(compute_pdu_airtime_ns, self._profile),
        )

    def _lose(
        self, packet: Packet, cause: LossCause, node: NodeElements, airing: Airing | None = None, times: int = 1
    ) -> None:
        packet.monitoring.losses[cause] += times
        if packet.instructions.is_traced:
            self._record(packet, RecordKind.LOST, node, cause.value, airing)

    def _record(
        self, packet: Packet, kind: RecordKind, node: NodeElements, detail: int | str, airing: Airing | None = None
    ) -> None:
        if packet.instructions.is_traced:
            told, address = packet.properties, node.settings.address
            sender, copy = (None, None) if airing is None else (airing.node.settings.address, airing.copy)
            self.records.append(
                Record(
                    self._now, kind, address, told.key, detail, told.flow_index, told.number, packet.part_name, sender,
                    copy,
                )
            )  # fmt: skip
