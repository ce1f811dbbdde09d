"""Measuring on command: who answers, how busy the air is, and what flows deliver.

Who answers comes first, and is told at once: after a change that cuts a part of the mesh away it is the verdict,
and everything else would be waiting for nodes that cannot answer. Then sources send numbered messages, members note
them, and the gateway collects what they noted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.access import GETS, RESULTS_PER_PAGE, STATUS_OF, Opcode, encode_access
from meshtwin.contract.configuration import FlowSpec, NodeOutcome, Outcome
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.jobs import Desk, learn_status, to_outcome
from meshtwin.gateway.measured import PROBE_SPACING_S, Measured
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["PRESSES_MAX", "QUIET_S", "ProbeJob"]

PRESSES_MAX: Final = 256 * RESULTS_PER_PAGE  # the page number is one byte
QUIET_S: Final = 30.0  # mesh time without own traffic, in which the airtime is measured; a usual report interval
SENSE_S: Final = 1.0  # mesh time for the second reading to come, before we send again; 63 ms at 16 times the pace
SETTLE_S: Final = 3.0  # mesh time for the last message to arrive
REACH_TRIES: Final = 3  # per pass
REACH_PASSES: Final = 2  # the second one after the first is through, so that a short disturbance is no silence
NO_TIME: Final = "out of time"


@dataclass(slots=True)
class ProbeJob:
    """Asks every node, measures the airtime, then the flows one after the other; done by ``finish_by`` at the latest.

    A node that did not answer is not asked for anything else. What could not be measured is in ``missing``.
    """

    flows: Sequence[FlowSpec]
    nodes: Sequence[UnicastAddress]
    presses: int
    first_probe: int  # 8-bit number of the first flow's probe
    quiet_s: float = QUIET_S  # 0 where nothing tells the airtime
    spacing_s: float = PROBE_SPACING_S
    finish_by: datetime | None = None  # None: however long it takes
    asks_from: int | None = None  # our node, if its flows are measured by round trips; None: no flow is
    has_counters: bool = True  # nodes count what reaches them; else flows between nodes cannot be measured
    measured: list[Measured] = field(default_factory=list)
    unanswered: set[UnicastAddress] = field(default_factory=set)
    airtime_ratio: float | None = None
    finished: bool = False
    progress: float = 0.0
    _answered: set[UnicastAddress] = field(default_factory=set)
    _silence: Mapping[UnicastAddress, str] = field(default_factory=dict)  # why nodes cannot answer
    _passes_left: int = REACH_PASSES
    _wait_until: datetime | None = None
    _step: str = "reach"
    _current: int = 0
    _sensed: tuple[float, float] | None = None

    @property
    def wake_at(self) -> datetime | None:
        """When a wait is over, or the time."""
        return min((t for t in (self._wait_until, self.finish_by) if t is not None), default=None)

    @property
    def missing(self) -> dict[str, str]:
        """Flows without figures, and why."""
        return {m.flow.name: m.missing for m in self.measured if m.missing is not None}

    def start(self, desk: Desk, now: datetime) -> None:
        """Ask who is there."""
        self._silence = desk.book.silence
        self.measured = [Measured(flow, (self.first_probe + i) & 0xFF) for i, flow in enumerate(self.flows)]
        for m in self.measured:
            m.is_round_trip = m.source == self.asks_from
            if not (m.is_round_trip or self.has_counters):
                m.give_up("its nodes count nothing: they have no firmware of ours")
        self._reach(desk, now, self.nodes)

    def sensed(self, busy_s: float, mesh_s: float) -> None:
        """Note a reading of the busy time: the first while we are quiet, and the first after it, make a ratio.

        Readings come at other times, too, since airtime is told regularly: those are none of ours.
        """
        if self._step == "quiet":
            self._sensed = self._sensed or (busy_s, mesh_s)
        elif self._sensed is not None and self.airtime_ratio is None:
            busy_before_s, mesh_before_s = self._sensed
            if mesh_s > mesh_before_s and busy_s >= busy_before_s:  # less: the mesh was started anew
                self.airtime_ratio = (busy_s - busy_before_s) / (mesh_s - mesh_before_s)

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Go on after a wait, or end because the time is over."""
        if self.finish_by is not None and now >= self.finish_by:
            self._end_early(desk)
        elif self._wait_until is not None and now >= self._wait_until:
            self._wait_until = None
            if self._step == "quiet":
                self._step, desk.sense_wanted = "listened", True
                self._wait(desk, now, SENSE_S)
                return
            self._current += self._step == "run"
            self._run_flow(desk, now)

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, and go on when the step is done."""
        node, answer = UnicastAddress(exchange.request.node), exchange.answer
        match exchange.request.tag:
            case ("run", int(index)):
                self._source_answered(desk, index, answer is not None, now)
                return
            case ("trip", int(index), int(press)):
                waited = exchange.waited
                waited_ms = None if waited is None else 1000 * waited.total_seconds() * desk.time_scale
                self.measured[index].take_trip(node, press, waited_ms, self.presses)
            case ("page", int(index), int(page)) if answer is not None:
                self.measured[index].take_page(node, page, answer.parameters[1:], self.presses)
            case ("page", int(index), int()):
                self.measured[index].lose_member(node)
                desk.exchanges.drop_node(node)
            case _ if answer is not None:
                self._answered.add(node)
                learn_status(desk, node, answer)
        if desk.exchanges.is_idle:
            if self._step == "reach":
                silent = [node for node in self.nodes if node not in self._answered]
                self._reach(desk, now, silent)
            elif self._step == "trips":
                self.measured[self._current].is_complete = True
                self._current += 1
                self._run_flow(desk, now)
            else:
                self.finished = True

    def interim(self) -> list[NodeOutcome]:
        """Nodes that did not answer, as soon as that is certain."""
        return [self._outcome(node) for node in sorted(self.unanswered)]

    def outcomes(self) -> list[NodeOutcome]:
        """Reachability of every node; members whose results were not fetched are named."""
        unfetched = {node for m in self.measured for node in m.unfetched}
        return [self._outcome(node, is_fetched=node not in unfetched) for node in sorted({*self.nodes, *unfetched})]

    def _outcome(self, node: UnicastAddress, *, is_fetched: bool = True) -> NodeOutcome:
        if node in self.unanswered:
            return to_outcome(node, Outcome.UNKNOWN, self._silence.get(node, "no answer"))
        if node in self.nodes and node not in self._answered:
            return to_outcome(node, Outcome.PENDING, NO_TIME)
        if not is_fetched:
            return to_outcome(node, Outcome.UNKNOWN, "probe results not fetched")
        return to_outcome(node, Outcome.APPLIED)

    # Steps

    def _reach(self, desk: Desk, now: datetime, nodes: Sequence[UnicastAddress]) -> None:
        if nodes and self._passes_left > 0:
            self._passes_left -= 1
            for node in nodes:
                desk.exchanges.add(_reach_request(node))
            return
        self.unanswered.update(nodes)
        self._step, self.progress = "quiet", 0.2
        if self.quiet_s > 0:
            desk.sense_wanted = True
            self._wait(desk, now, self.quiet_s)
        else:
            self._run_flow(desk, now)

    def _run_flow(self, desk: Desk, now: datetime) -> None:
        """Let the next source send that can."""
        self._step = "run"
        while self._current < len(self.measured):
            m = self.measured[self._current]
            self.progress = 0.2 + 0.5 * self._current / len(self.measured)
            needed = timedelta(seconds=self._duration_s(desk, m) / desk.time_scale)
            if m.missing is not None:
                pass
            elif m.source in self.unanswered:
                m.give_up(f"its source {format_address(m.source)} does not answer")
            elif self.finish_by is not None and now + needed > self.finish_by:
                m.give_up(NO_TIME)
            elif not m.is_round_trip:
                desk.exchanges.add(self._run_request(m))
                return
            elif self._ask_members(desk, m):
                return
            self._current += 1
        self._fetch(desk)

    def _ask_members(self, desk: Desk, m: Measured) -> bool:
        """Ask every member once per message, in turn; False: nobody is left to be asked."""
        self._step, m.started = "trips", True
        m.unfetched.update(member for member in m.members if member in self.unanswered)
        asked = [member for member in m.members if member not in self.unanswered]
        for press in range(self.presses):
            for member in asked:
                desk.exchanges.add(_trip_request(member, self._current, press))
        m.is_complete = not asked
        return bool(asked)

    def _run_request(self, m: Measured) -> Request:
        parameters = (
            bytes((m.probe,))
            + int(m.flow.destination, 16).to_bytes(2, "little")
            + self.presses.to_bytes(2, "little")
            + bytes((min(255, round(self.spacing_s * 100)),))
        )
        return Request(
            node=m.source,
            payload=encode_access(Opcode.PROBE_RUN, parameters),
            answer=Opcode.PROBE_STARTED,
            answer_prefix=bytes((m.probe,)),
            tries=6,
            tag=("run", self._current),
        )

    def _source_answered(self, desk: Desk, index: int, answered: bool, now: datetime) -> None:
        m = self.measured[index]
        m.started = answered
        if answered:
            self._wait(desk, now, self._sending_s)
        else:
            m.give_up(f"its source {format_address(m.source)} did not begin")
            self._current += 1
            self._run_flow(desk, now)

    def _fetch(self, desk: Desk) -> None:
        """Collect what members noted; those that do not answer count as lost without being asked."""
        self._step, self.progress = "fetch", 0.7
        for index, m in enumerate(self.measured):
            if not m.started or m.is_round_trip:
                continue
            members = [member for member in m.members if member not in self.unanswered]
            m.unfetched.update(member for member in m.members if member in self.unanswered)
            m.outstanding = {(member, page) for member in members for page in range(self._pages)}
            for page in range(self._pages):
                for member in members:
                    desk.exchanges.add(_page_request(member, m.probe, index, page))
        self.finished = desk.exchanges.is_idle

    def _end_early(self, desk: Desk) -> None:
        """The time is over: figures that are not complete are no figures."""
        desk.exchanges.clear()
        for m in self.measured:
            if m.missing is None and not m.is_complete and (m.outstanding or self._step != "fetch"):
                m.give_up(NO_TIME)
        self.finished = True

    # Times

    @property
    def _pages(self) -> int:
        return -(-self.presses // RESULTS_PER_PAGE)

    @property
    def _sending_s(self) -> float:
        """Mesh time of one flow; the source spaces messages by 1.0 to 1.5 times the spacing, 1.25 in the mean."""
        return 0.5 + self.presses * self.spacing_s * 1.27 + 1.0 + SETTLE_S

    def _duration_s(self, desk: Desk, m: Measured) -> float:
        """Mesh time that one flow takes at least, with fetching its results."""
        if m.is_round_trip:
            return self.presses * len(m.members) * desk.exchanges.gap_s
        return self._sending_s + self._pages * len(m.members) * desk.exchanges.gap_s

    def _wait(self, desk: Desk, now: datetime, mesh_s: float) -> None:
        self._wait_until = now + timedelta(seconds=mesh_s / desk.time_scale)


def _reach_request(node: UnicastAddress) -> Request:
    return Request(
        node=node,
        payload=encode_access(Opcode.RELAY_GET),
        answer=Opcode.RELAY_STATUS,
        tries=REACH_TRIES,
        tag=("reach",),
    )


def _trip_request(member: UnicastAddress, index: int, press: int) -> Request:
    """One question, never repeated; each differs from the one before, so that a late answer fits none but its own."""
    get = GETS[press % len(GETS)]
    return Request(node=member, payload=encode_access(get), answer=STATUS_OF[get], tries=1, tag=("trip", index, press))


def _page_request(member: UnicastAddress, probe: int, index: int, page: int) -> Request:
    return Request(
        node=member,
        payload=encode_access(Opcode.RESULT_GET, bytes((probe, page))),
        answer=Opcode.RESULT,
        answer_prefix=bytes((page,)),
        tries=6,
        tag=("page", index, page),
    )
