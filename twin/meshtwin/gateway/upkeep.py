"""What the gateway does by itself: monitoring, repairing silent nodes, watching for drift."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from meshtwin.contract.access import RECORD_BYTES, Access, Opcode, decode_records
from meshtwin.contract.configuration import Command, GatewayPhase, Outcome
from meshtwin.errors import InvalidInput
from meshtwin.gateway import transitions
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.commands import parse_nodes
from meshtwin.gateway.effects import SendMesh, Sense
from meshtwin.gateway.hops import compute_hops
from meshtwin.gateway.jobs import PushJob, ReadJob
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.monitor import CounterBook, MonitorSchedule
from meshtwin.gateway.observer import Observer
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings

__all__ = ["Upkeep"]

REPAIR_PAUSE_S: Final = 30.0  # mesh time between two tries at one node
AIRTIME_WINDOW_S: Final = 30.0  # mesh time
SHORT_WORK: Final = frozenset({"drift"})  # reading back one node: part of every window, and little


class Upkeep:
    """Monitoring parameters reach the nodes by broadcast; reports become telemetry."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        scale = bench.identity.time_scale
        self._schedule = MonitorSchedule(time_scale=scale)
        self._counters = CounterBook(time_scale=scale)
        self._observer = Observer(bench, self._counters, self._schedule)
        self._drift_at: datetime | None = None
        self._drift_turn = 0
        self._suspects: list[UnicastAddress] = []
        self._repaired_at: dict[UnicastAddress, datetime] = {}
        self._window_at: datetime | None = None
        self._window: tuple[float, float] | None = None

    def resume(self, now: datetime) -> None:
        """After a start nodes are told to count anew, since the old counters are not known any more."""
        memory = self._bench.memory
        if memory.monitoring is not None:
            self._bench.listen_to(memory.monitoring.flows)
            self._bench.remember(replace(memory, monitor_epoch=memory.monitor_epoch + 1))
            self.plan_monitoring(now)

    def on_time(self, now: datetime) -> None:
        """Broadcast, look for drift and measure airtime when it is time."""
        plan = self._schedule.take(now)
        if plan is not None:
            payload = plan.to_payload(self._bench.memory.monitor_epoch)
            self._bench.add(SendMesh(self._bench.identity.report_group, payload))
        self._watch_drift(now)
        self._observer.on_time(now)
        if self._window_at is None or self._window_at <= now:
            self._window_at = now + self._bench.mesh_time(AIRTIME_WINDOW_S)
            self._bench.add(Sense())

    def next_wakeups(self) -> tuple[datetime | None, ...]:
        """When `on_time` has something to do."""
        return (self._schedule.next_at, self._drift_at, self._window_at, *self._observer.next_wakeups())

    # Monitoring

    def on_monitor(self, command: Command, now: datetime) -> None:
        """Take new intervals, budget and flows."""
        bench = self._bench
        if command.notification_interval_seconds is None or command.report_interval_seconds is None:
            message = "monitor needs notificationIntervalSeconds and reportIntervalSeconds"
            raise InvalidInput(message, reason="Incomplete")
        monitoring = Monitoring(
            notification_interval_seconds=command.notification_interval_seconds,
            report_interval_seconds=command.report_interval_seconds,
            airtime_budget_percent=command.airtime_budget_percent or 1.0,
            flows=command.flows or [],
        )
        bench.listen_to(monitoring.flows)
        memory = bench.memory
        must_name = bench.identity.reads_composition  # else nothing could be checked
        nodes = parse_nodes(command, memory) if command.nodes or must_name else memory.nodes
        if monitoring != memory.monitoring or nodes != memory.nodes:
            epoch = memory.monitor_epoch + (monitoring != memory.monitoring)
            bench.remember(replace(memory, monitoring=monitoring, nodes=nodes, monitor_epoch=epoch))
        self._observer.take_command(command, now)

    def read_compositions_again(self, nodes: Iterable[UnicastAddress], now: datetime) -> None:
        """Ask nodes once more what they are: their firmware may be another since, and what their model publishes."""
        again = list(nodes)
        self._observer.compositions.read_again(again, now)
        self._observer.models.read_again(again, now)

    def plan_monitoring(self, now: datetime) -> None:
        """Compute what the airtime budget allows now, and broadcast it if that changed."""
        self._observer.plan(now)

    def is_odd(self, node: UnicastAddress, message: Access) -> bool:
        """Whether a message cannot be right, and is to be ignored: from a stranger, or a report of the wrong size."""
        nodes = self._bench.memory.nodes
        if nodes and node not in nodes and node != self._bench.identity.address:
            self._observer.note_odd(node, "messages from addresses that are not in the inventory")
            return True
        size = len(message.parameters)
        if message.opcode is Opcode.REPORT and (size == 0 or size % RECORD_BYTES):
            self._observer.note_odd(node, "reports of the wrong size")
            return True
        return False

    def hear(self, node: UnicastAddress, now: datetime) -> None:
        """Note that a node sent something to us."""
        self._observer.hear(node, now)

    def take_report(self, node: UnicastAddress, parameters: bytes, now: datetime) -> None:
        """Publish a report; a neighbour that repeats otherwise than configured becomes a suspect."""
        counters = self._counters.fold(node, decode_records(parameters), now)
        if counters:
            self._bench.say_neighbours(node, counters, now)
        if not self._bench.identity.repeats_notifications:
            return
        wanted = self._bench.memory.configuration.as_dict()
        for counter in counters:
            neighbour = UnicastAddress(int(counter.neighbour, 16))
            transmit = wanted.get(neighbour, NodeSettings()).network_transmit
            changed = transmit is not None and transmit.transmissions != counter.transmissions
            if changed and neighbour not in (*self._bench.memory.drifted, *self._suspects):
                self._suspects.append(neighbour)

    def learn_hops(self) -> None:
        """Distances from what nodes reported, where the stack does not tell them."""
        self._bench.book.hops.update(compute_hops(self._bench.identity.address, self._counters.heard))

    def take_airtime(self, busy_s: float, mesh_s: float, now: datetime) -> None:
        """Publish the airtime of a window in which the gateway did no long work of its own."""
        bench = self._bench
        is_usual = bench.work is None or bench.work.name in SHORT_WORK
        before = self._window
        # A mesh that was started anew counts from zero: then this reading begins the next window.
        if before is not None and mesh_s > before[1] and busy_s >= before[0] and is_usual:
            bench.say_flows((), (busy_s - before[0]) / (mesh_s - before[1]), now)
            bench.say_nodes(now)
        self._window = (busy_s, mesh_s) if is_usual else None

    # Nodes that are not as they should be

    def repair_if_heard(self, node: UnicastAddress, now: datetime) -> None:
        """A node that did not answer before was just heard: try again."""
        bench = self._bench
        exception = bench.memory.exceptions.get(node)
        if exception is None or exception.outcome is not Outcome.UNKNOWN or not bench.is_quiet:
            return
        last = self._repaired_at.get(node)
        if last is not None and now - last < bench.mesh_time(REPAIR_PAUSE_S):
            return
        self._repaired_at[node] = now
        wanted = bench.target().get(node)
        bench.book.forget(node)
        job = PushJob(Configuration.of({node: wanted}), [[(node, wanted)]])
        bench.begin(Work("repair", job, partial(self._finish_repair, job)), now)

    def note_drift(self, nodes: Iterable[UnicastAddress]) -> None:
        """Compare what was read with what is in force; nodes already excepted are not drifted."""
        memory = self._bench.memory
        wanted = memory.configuration.as_dict()
        drifted = set(memory.drifted)
        for node in nodes:
            if node in memory.exceptions or node not in wanted:
                continue
            if self._bench.book.differs(node, wanted[node]):
                drifted.add(node)
            else:
                drifted.discard(node)
        if tuple(sorted(drifted)) != memory.drifted:
            known = self._bench.book.configuration(memory.nodes)
            self._bench.remember(replace(memory, drifted=tuple(sorted(drifted)), known=known))

    def _finish_repair(self, job: PushJob, _command: Command | None, now: datetime) -> None:
        bench = self._bench
        exceptions = dict(bench.memory.exceptions)
        for node in job.target.addresses:
            exceptions.pop(node, None)
        exceptions.update(transitions.exceptions_of(job.outcomes(bench.desk)))
        if exceptions != bench.memory.exceptions:
            known = bench.book.configuration(bench.memory.nodes)
            bench.remember(replace(bench.memory, exceptions=exceptions, known=known))
            bench.say_reported(now)

    def _watch_drift(self, now: datetime) -> None:
        """Read back one node now and then, suspects first."""
        bench = self._bench
        if self._drift_at is not None and now < self._drift_at:
            return
        first, self._drift_at = self._drift_at is None, now + bench.mesh_time(self._observer.read_back_pause_s)
        memory = bench.memory
        idle = bench.work is None and memory.phase is GatewayPhase.IDLE
        if first or not idle or not memory.nodes or memory.revision is None:
            return
        if self._suspects:
            node = self._suspects.pop(0)
        else:
            self._drift_turn = (self._drift_turn + 1) % len(memory.nodes)
            node = memory.nodes[self._drift_turn]
        bench.begin(Work("drift", ReadJob([node], tries=3), partial(self._finish_drift, node)), now)

    def _finish_drift(self, node: UnicastAddress, _command: Command | None, now: datetime) -> None:
        before = self._bench.memory.drifted
        self.note_drift([node])
        self._observer.compositions.note_read_back(now)
        self._observer.models.note_read_back(now)
        if self._bench.memory.drifted != before:
            self._bench.say_reported(now)
