"""The workbench of the core: memory, effects, and the one piece of long work under way."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.contract.configuration import Command, FlowSpec, GatewayPhase, NodeOutcome
from meshtwin.contract.telemetry import FlowReport, Observing
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.effects import Effect, Listen, Publish, Save, SendMesh, Sense
from meshtwin.gateway.exchanges import UNKNOWN_FLOOD_S, Completed, Exchanges, Outgoing
from meshtwin.gateway.jobs import Desk, Job, doubt_abandoned
from meshtwin.gateway.memory import Memory
from meshtwin.gateway.outbox import Identity, Outbox
from meshtwin.mesh.addresses import is_group
from meshtwin.mesh.configuration import Configuration

__all__ = ["Bench", "Work"]

PROGRESS_PAUSE: Final = timedelta(seconds=1)
# Last results, for commands that come again: a push has six commands, an operator has one push under way at a time in a
# tree of twins, and asks again within minutes. Each may name 2,000 nodes, so that thousands would be megabytes.
RESULTS_KEPT: Final = 16
QUIET_PHASES: Final = (GatewayPhase.IDLE, GatewayPhase.ARMED)
FIXED_GROUPS: Final = 0xFF00  # and above: every node with the role receives them (Mesh Protocol 1.1, 3.4.2.4)


@dataclass(slots=True)
class Work:
    """A job under way; ``command`` is None for what the gateway does by itself."""

    name: str
    job: Job
    on_finished: Callable[[Command | None, datetime], None]
    command: Command | None = None
    told_at: datetime | None = None
    told: int = 0  # interim outcomes


class Bench:
    """Effects gather here and are carried out in order, so that what is said was saved before."""

    def __init__(self, memory: Memory, identity: Identity) -> None:
        self.memory = memory
        self.identity = identity
        self.book = NodeBook(known=memory.known.as_dict(), compositions=dict(memory.compositions))
        exchanges = Exchanges(
            time_scale=identity.time_scale,
            hops=self.book.hops,
            flood_s=self.book.flood_s(UNKNOWN_FLOOD_S),
            occupancy_share=identity.occupancy_share,
        )
        self.desk = Desk(exchanges=exchanges, book=self.book, time_scale=identity.time_scale)
        self.work: Work | None = None
        self.observing: Observing | None = None
        self.fault: str | None = None  # why the mesh cannot be reached
        self.sources: dict[int, int] = {}  # how many each node has to remember in its replay list, as far as known
        self.floods = 0  # messages that we sent into the mesh or got out of it
        self._outbox = Outbox(identity)
        self._effects: list[Effect] = []
        self._groups: set[int] = set()  # that our node was told to listen to
        self._results: dict[tuple[str, str], Publish] = {}

    @property
    def is_quiet(self) -> bool:
        """Whether there is room for work of the gateway's own: none under way, and no push between its steps."""
        return self.work is None and self.memory.phase in QUIET_PHASES

    # Memory and messages

    def remember(self, memory: Memory) -> None:
        """Make ``memory`` the truth, on disk before anything said later."""
        if memory != self.memory:
            self.memory = memory
            self._effects.append(Save(memory))

    def target(self) -> Configuration:
        """What the nodes should have now."""
        if self.memory.phase is GatewayPhase.ARMED and self.memory.pending is not None:
            return self.memory.configuration.overlaid(self.memory.pending.configuration)
        return self.memory.configuration

    def add(self, effect: Effect) -> None:
        """Do something after all that was decided before."""
        self._effects.append(effect)

    def listen_to(self, flows: Sequence[FlowSpec]) -> None:
        """Let our node receive the groups of flows that it is a member of; each is asked for once in a run."""
        groups = {int(flow.destination, 16) for flow in flows if self.identity.address in _members(flow)}
        for group in sorted(groups - self._groups):
            if is_group(group) and group < FIXED_GROUPS:
                self.add(Listen(group))
        self._groups |= groups

    def say_state(self, now: datetime) -> None:
        """Publish ``state``."""
        self.add(self._outbox.state(now, observing=self.observing, fault=self.fault))

    def say_reported(self, now: datetime) -> None:
        """Publish what is in force."""
        self.add(self._outbox.reported(self.memory, self.book, now))

    def say_flows(self, flows: Sequence[FlowReport], airtime_ratio: float | None, now: datetime) -> None:
        """Publish measured figures."""
        self.add(self._outbox.flows(flows, airtime_ratio, now))

    def say_nodes(self, now: datetime) -> None:
        """Publish what is known of single nodes."""
        self.add(self._outbox.nodes(self.book, now, self.sources))

    def say_neighbours(self, node: int, counters: Sequence[Any], now: datetime) -> None:
        """Publish one report."""
        self.add(self._outbox.neighbours(node, counters, now))

    def answer(self, command: Command, now: datetime, status: str, **said: Any) -> None:
        """Publish a result."""
        self.add(self._outbox.result(command, now, status, **said))

    def conclude(self, command: Command, now: datetime, status: str, **said: Any) -> None:
        """Publish the last result of long work, and keep it for a repeated command."""
        result = self._outbox.result(command, now, status, **said)
        self._results[command.attempt_id, command.verb] = result
        while len(self._results) > RESULTS_KEPT:
            del self._results[next(iter(self._results))]
        self.add(result)

    def answer_again(self, command: Command, now: datetime) -> bool:
        """Answer a command that was seen before from what is known; False: it is new."""
        work = self.work
        if work is not None and work.command is not None and work.command.attempt_id == command.attempt_id:
            self._tell_progress(work, command, now)
            return True
        kept = self._results.get((command.attempt_id, command.verb))
        if kept is not None:
            self.add(kept)
        return kept is not None

    def mesh_time(self, seconds: float) -> timedelta:
        """Wall time of a span of mesh time."""
        return timedelta(seconds=seconds / self.identity.time_scale)

    # Long work

    def begin(self, work: Work, now: datetime) -> None:
        """Start ``work``; what was under way is given up, and its command told so."""
        old = self.work
        if old is not None and old.command is not None:
            message = f"{work.name} took over"
            self.answer(old.command, now, "failed", reason="Superseded", message=message)
        doubt_abandoned(self.desk, self.desk.exchanges.clear())
        self.work = work
        if work.command is not None:
            self.answer(work.command, now, "accepted", progress=0.0)
            work.told_at = now
        work.job.start(self.desk, now)
        self.look_at_work(now)

    def complete(self, exchange: Completed, now: datetime) -> None:
        """Hand an exchange to the job."""
        if self.work is not None:
            self.work.job.completed(self.desk, exchange, now)
            self.desk.exchanges.flood_s = self.book.flood_s(UNKNOWN_FLOOD_S)
            self.look_at_work(now)

    def on_time(self, now: datetime) -> None:
        """Repeat and give up exchanges, and wake the job."""
        for event in self.desk.exchanges.expire(now):  # each ends as its turn comes
            if isinstance(event, Outgoing):
                self._send(event)
            else:
                self.complete(event, now)
        work = self.work
        if work is not None and work.job.wake_at is not None and work.job.wake_at <= now:
            work.job.on_time(self.desk, now)
            self.look_at_work(now)

    def look_at_work(self, now: datetime) -> None:
        """Finish the job if it is done, else tell its progress now and then."""
        work = self.work
        if work is None:
            return
        if work.job.finished:
            self.work = None
            work.on_finished(work.command, now)
        elif work.command is not None and work.told_at is not None:
            is_new = len(work.job.interim()) != work.told
            if is_new or now - work.told_at >= PROGRESS_PAUSE:
                self._tell_progress(work, work.command, now)

    def _tell_progress(self, work: Work, command: Command, now: datetime) -> None:
        interim = work.job.interim()
        work.told_at, work.told = now, len(interim)
        self.answer(command, now, "accepted", progress=work.job.progress, outcomes=interim)

    def drain(self, now: datetime) -> list[Effect]:
        """All effects so far, with the exchanges that may start now."""
        for outgoing in self.desk.exchanges.start_waiting(now):
            self._send(outgoing)
        if self.desk.sense_wanted:
            self.desk.sense_wanted = False
            self.add(Sense())
        effects, self._effects = self._effects, []
        own = self.identity.address
        self.floods += sum(isinstance(effect, SendMesh) and effect.destination != own for effect in effects)
        return effects

    def next_wakeups(self) -> tuple[datetime | None, ...]:
        """When `on_time` or `drain` has something to do."""
        return (self.desk.exchanges.next_wakeup(), self.work.job.wake_at if self.work else None)

    def _send(self, outgoing: Outgoing) -> None:
        request = outgoing.request
        self.add(SendMesh(request.node, request.payload, request.ttl))


def _members(flow: FlowSpec) -> set[int]:
    return {int(member, 16) for member in flow.members}


def lost_nodes(outcomes: Sequence[NodeOutcome]) -> list[str]:
    """Nodes that were not applied."""
    return [o.node for o in outcomes if o.outcome != "applied"]
