"""The reference engine: the packet simulator on simpy, one process per PDU and advertising set.

Rules of nodes are in `elements`; here they meet on the air. Each PDU end is one event with a loop over the
receivers. A receiver listens to one channel at a time, so of the three PDUs of an advertising event it judges
the one on its channel. Copies of a message fade independently (doubt: real copies 20 ms
apart are correlated).
"""

import math
from collections import deque
from collections.abc import Generator, Sequence
from typing import Any

import simpy

from meshtwin.radio.reception import compute_airtime_ns
from meshtwin.sim.air import Interference, build_nodes
from meshtwin.sim.draws import draw, draw_below_ns, extend_key, make_key
from meshtwin.sim.elements.access import accept
from meshtwin.sim.elements.bearer import Advertisement, Pdu, plan_event
from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.relay import decide_relay
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.packets import Instructions, LossCause, Packet, Properties, Record, RecordKind
from meshtwin.sim.results import RunResult, collect_result
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow
from meshtwin.units import s_to_ns

__all__ = ["ReferenceEngine", "run_reference"]

SimpyProcess = Generator[Any, Any, None]
AIRTIME_CHANNEL = 0  # the channel on which airtime is counted (37)


def run_reference(scenario: Scenario, seed: int, replication: int) -> RunResult:
    """One replication of ``scenario``."""
    engine = ReferenceEngine(scenario, extend_key(make_key(seed, "replication"), replication))
    engine.run()
    return collect_result(scenario, seed, replication, engine.packets, tuple(engine.records))


class ReferenceEngine:
    """State of one run."""

    def __init__(self, scenario: Scenario, root_key: int) -> None:
        self._scenario = scenario
        self._profile = scenario.profile
        self._root_key = root_key
        self._env = simpy.Environment(initial_time=0)
        self._nodes = build_nodes(scenario, root_key)
        self._index = {node.settings.address: node.index for node in self._nodes}
        self._interference = Interference(scenario)
        self._on_air: tuple[deque[tuple[int, int, NodeElements]], ...] = (deque(), deque(), deque())
        self.packets: list[Packet] = []
        self.records: list[Record] = []

    def run(self) -> None:
        """Runs until the duration is over or nothing is left to do."""
        for flow_index, flow in enumerate(self._scenario.flows):
            if flow.count and self._nodes[self._index[flow.source]].settings.is_on:
                self._env.process(self._press(flow_index, flow))
        for number, background in enumerate(self._scenario.background):
            self._env.process(self._murmur(-1 - number, background))
        duration_s = self._scenario.duration_s
        self._env.run(until=None if duration_s is None else s_to_ns(duration_s))

    def _press(self, flow_index: int, flow: ScenarioFlow) -> SimpyProcess:
        """Originates the messages of one flow."""
        key = make_key(self._root_key, "press", flow.name)
        period_ns, start_ns = s_to_ns(flow.period_s), s_to_ns(flow.start_s)
        spread_ns = period_ns if flow.spread_in_period else s_to_ns(flow.spread_s)
        node = self._nodes[self._index[flow.source]]
        members = frozenset(self._index[a] for a in flow.members if a != flow.source)
        for number in range(flow.count):
            offset = draw_below_ns(key, number, spread_ns)
            yield self._env.timeout(start_ns + number * period_ns + offset - self._now)
            properties = Properties(
                key=extend_key(key, number),
                flow_index=flow_index,
                number=number,
                source_index=node.index,
                member_indices=members,
                initial_ttl=node.settings.ttl if flow.ttl is None else flow.ttl,
                pdu_bytes=flow.pdu_bytes,
                airtime_ns=self._airtime_ns(flow.pdu_bytes),
                started_ns=self._now,
            )
            instructions = Instructions(response_pdu_bytes=flow.response_pdu_bytes, is_traced=self._scenario.is_traced)
            self._originate(node, Packet(properties, instructions))

    def _murmur(self, flow_index: int, background: ScenarioBackground) -> SimpyProcess:
        """Originates the messages of one background until the flows are through."""
        flows = self._scenario.flows
        end_ns = s_to_ns(max((f.start_s + f.count * f.period_s for f in flows), default=0.0))
        key = make_key(self._root_key, "background", background.name)
        sources = [self._nodes[self._index[a]] for a in background.sources]
        sources = [node for node in sources if node.settings.is_on]
        mean_ns, number = 1e9 / background.rate_per_s, 0
        while sources:
            yield self._env.timeout(int(-mean_ns * math.log1p(-draw(extend_key(key, number), 0))))
            if self._now >= end_ns:
                return
            node = sources[int(draw(extend_key(key, number), 1) * len(sources))]
            properties = Properties(
                key=extend_key(key, number),
                flow_index=flow_index,
                number=number,
                source_index=node.index,
                member_indices=frozenset(),
                initial_ttl=node.settings.ttl if background.ttl is None else background.ttl,
                pdu_bytes=background.pdu_bytes,
                airtime_ns=self._airtime_ns(background.pdu_bytes),
                started_ns=self._now,
            )
            self._originate(node, Packet(properties, Instructions(is_traced=self._scenario.is_traced)))
            number += 1

    def _airtime_ns(self, pdu_bytes: int) -> int:
        return self._profile.pdu_airtime_ns or compute_airtime_ns(pdu_bytes)

    def _originate(self, node: NodeElements, packet: Packet) -> None:
        self.packets.append(packet)
        node.cache.add(packet.properties.key)
        self._record(packet, RecordKind.ORIGINATED, node, packet.properties.number)
        self._send(
            node,
            Job(packet, packet.properties.initial_ttl, 1, node.settings.network_transmit, True, self._now),
        )

    @property
    def _now(self) -> int:
        return self._env.now  # type: ignore[return-value]  # integers in, integers out

    def _send(self, node: NodeElements, job: Job) -> None:
        if self._profile.queue_after_delay:
            key = extend_key(node.key, job.packet.properties.key)
            timer = self._env.timeout(self._first_delay_ns(job, key, s_to_ns(job.transmit.interval_s)))
            timer.callbacks.append(lambda _: self._queue(node, job))
        else:
            self._queue(node, job)

    def _queue(self, node: NodeElements, job: Job) -> None:
        if not node.queue.put(job):
            self._lose(job.packet, LossCause.BUFFER, node)
            return
        self._serve(node)

    def _serve(self, node: NodeElements) -> None:
        while (job := node.queue.take()) is not None:
            self._env.process(self._advertise(node, job))

    def _advertise(self, node: NodeElements, job: Job) -> SimpyProcess:
        """Sends one PDU on one advertising set, all its copies."""
        env, profile, packet = self._env, self._profile, job.packet
        key = extend_key(node.key, packet.properties.key)
        interval_ns = s_to_ns(job.transmit.interval_s)
        begin_ns = free_ns = self._now
        if not profile.queue_after_delay:
            begin_ns = max(job.asked_ns + self._first_delay_ns(job, key, interval_ns), begin_ns)
        for copy in range(job.transmit.transmissions):
            copy_key = extend_key(key, copy + 1)
            begin_ns = self._free_start(node, begin_ns)
            while begin_ns > self._now:
                yield env.timeout(begin_ns - self._now)
                begin_ns = self._free_start(node, self._now)
            event = plan_event(profile, begin_ns, packet.properties.airtime_ns, copy_key)
            yield from self._transmit(node, job, event, copy)
            free_ns = event.end_ns
            if profile.scan_restarts_after_event:
                if free_ns > self._now:
                    yield env.timeout(free_ns - self._now)
                node.scanner.restart(free_ns)
            begin_ns += interval_ns + draw_below_ns(copy_key, 3, profile.advertising_delay_ns)
        if profile.rests_after_last:
            free_ns = max(free_ns, begin_ns)
        if free_ns > self._now:
            yield env.timeout(free_ns - self._now)
        node.queue.release(job)
        self._serve(node)

    def _first_delay_ns(self, job: Job, key: int, interval_ns: int) -> int:
        profile = self._profile
        if job.is_originated and profile.own_delay_ns is not None:
            return profile.own_delay_ns[0] + draw_below_ns(key, -1, profile.own_delay_ns[1])
        delay = profile.processing_ns + draw_below_ns(key, -1, profile.jitter_ns)
        if profile.first_send_after_interval:
            delay += interval_ns
        if job.is_originated:
            delay += profile.originated_extra_ns + draw_below_ns(key, -2, profile.originated_jitter_ns)
        return delay

    def _free_start(self, node: NodeElements, time_ns: int) -> int:
        """First time from ``time_ns`` on at which the node's radio may begin an event."""
        time_ns = max(time_ns, node.radio_busy_until_ns)
        return node.scanner.window_end(time_ns) if self._profile.start_at_scan_window_end else time_ns

    def _transmit(self, node: NodeElements, job: Job, event: Advertisement, copy: int) -> SimpyProcess:
        """One advertising event: three PDUs on the air, each judged at its end; ends with the last one judged."""
        env, packet = self._env, job.packet
        node.occupy_radio(event)
        packet.monitoring.transmissions += 1
        self._record(packet, RecordKind.TRANSMITTED, node, copy)
        for channel, start_ns, end_ns in event.pdus:
            on_air = self._on_air[channel]
            while on_air and on_air[0][1] <= event.start_ns - 1_000_000:  # 1 ms: longer than any PDU
                on_air.popleft()
            on_air.append((start_ns, end_ns, node))
            if channel == AIRTIME_CHANNEL:
                packet.monitoring.busy_ns += node.occupy_channel(start_ns, end_ns)
        message = packet.properties.key
        links = node.links
        if packet.properties.flow_index < 0:  # background concerns those alone who would relay it
            links = node.relay_links if job.ttl >= 2 else ()
        waiting = [link for link in links if message not in link.known]
        asked = len(waiting)
        packet.monitoring.losses[LossCause.CACHE] += len(links) - asked
        if not waiting:
            return
        for pdu in event.pdus:
            yield env.timeout(pdu.end_ns - self._now)
            asked -= self._end_pdu(waiting, node, job, copy, pdu)
        if asked > 0:
            self._lose(packet, LossCause.NOT_LISTENING, node, asked)

    def _end_pdu(self, waiting: Sequence[OutgoingLink], node: NodeElements, job: Job, copy: int, pdu: Pdu) -> int:
        """Judges one PDU at the receivers ``waiting``; gives how many of those without the message listened."""
        message = job.packet.properties.key
        channel, start_ns, end_ns = pdu
        listened = 0
        for link in waiting:
            receiver = link.target
            if message in link.known:
                continue
            scanner = receiver.scanner
            if scanner.channel_at(start_ns) != channel or scanner.channel_at(end_ns) != channel:
                continue
            listened += 1
            if receiver.is_sending(start_ns, end_ns):
                self._lose(job.packet, LossCause.RADIO_BUSY, receiver)
                continue
            key = extend_key(link.key, message)
            if draw(key, copy) >= link.delivery:
                self._lose(job.packet, LossCause.BELOW_SENSITIVITY, receiver)
                continue
            survival = self._interference.compute_survival(self._on_air[channel], node, receiver, link.rx_mw, pdu)
            if survival < 1.0 and draw(key, -1 - copy) >= survival:
                self._lose(job.packet, LossCause.COLLISION, receiver)
                continue
            self._receive(receiver, job, end_ns)
        return listened

    def _receive(self, node: NodeElements, job: Job, time_ns: int) -> None:
        packet = job.packet
        if node.index == packet.properties.source_index:
            return  # own message, forgotten by the cache: the network layer drops it by its source
        node.cache.add(packet.properties.key)
        self._record(packet, RecordKind.RECEIVED, node, job.hops)
        if accept(packet, node.index, time_ns, job.hops) and packet.instructions.response_pdu_bytes:
            self._env.process(self._respond(node, packet))
        verdict = decide_relay(is_relay=node.settings.relay, received_ttl=job.ttl)
        if isinstance(verdict, LossCause):
            self._lose(packet, verdict, node)
        elif verdict is not None:
            self._record(packet, RecordKind.RELAYED, node, verdict)
            transmit = node.settings.relay_retransmit
            self._send(node, Job(packet, verdict, job.hops + 1, transmit, False, time_ns))

    def _respond(self, node: NodeElements, request: Packet) -> SimpyProcess:
        """Answers a request to its source."""
        yield self._env.timeout(self._profile.response_ns)
        asked, size = request.properties, request.instructions.response_pdu_bytes or 0
        properties = Properties(
            key=extend_key(asked.key, node.index),
            flow_index=asked.flow_index,
            number=asked.number,
            source_index=node.index,
            member_indices=frozenset((asked.source_index,)),
            initial_ttl=node.settings.ttl,
            pdu_bytes=size,
            airtime_ns=self._airtime_ns(size),
            started_ns=self._now,
        )
        self._originate(
            node, Packet(properties, Instructions(answers=request, is_traced=request.instructions.is_traced))
        )

    def _lose(self, packet: Packet, cause: LossCause, node: NodeElements, times: int = 1) -> None:
        packet.monitoring.losses[cause] += times
        if packet.instructions.is_traced:
            self._record(packet, RecordKind.LOST, node, cause.value)

    def _record(self, packet: Packet, kind: RecordKind, node: NodeElements, detail: int | str) -> None:
        if packet.instructions.is_traced:
            self.records.append(Record(self._now, kind, node.settings.address, packet.properties.key, detail))
