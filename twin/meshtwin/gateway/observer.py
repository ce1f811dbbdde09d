"""Whether and how the mesh is observed: composition data first, then the check, then intervals or heartbeats.

Law: nothing is switched on before every node that answers has told how many sources it can remember, where the stack
tells that; and what is switched on is billed, and remembered, so that a later run can switch it off.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from meshtwin.contract.configuration import Command
from meshtwin.contract.telemetry import AirtimeBill, Observing, UpkeepReport
from meshtwin.gateway.bench import Bench
from meshtwin.gateway.bill import Costs, describe_stretching, find_looks, is_too_long
from meshtwin.gateway.compositions import CompositionWatch
from meshtwin.gateway.heartbeat_watch import HeartbeatWatch
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.models import ModelWatch
from meshtwin.gateway.monitor import CounterBook, MonitorSchedule, ReportPlan, plan_reports
from meshtwin.gateway.observing_words import NAMED_MAX, describe_shortages, has_moved, is_other, name_nodes
from meshtwin.gateway.quieting import HeartbeatQuieting
from meshtwin.gateway.replay_lists import Senders, Shortage, compute_needed, find_full, find_shortages
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.reporting import READ_BACK_PAUSE_S

__all__ = ["Observer"]

log = structlog.get_logger(__name__)

WINDOW_S: Final = 60.0  # mesh time in which floods are counted
TELL_AGAIN: Final = timedelta(minutes=10)  # the counted airtime, however little it changed
TELL_LEAST: Final = timedelta(seconds=30)  # between two states for its sake
WARNING_MAX: Final = 300  # characters
WARNINGS_MAX: Final = 16  # as many as the state may carry


class Observer:
    """`take_command` and `plan` decide; `on_time` reads composition data, rotates heartbeats, and keeps the bill."""

    def __init__(self, bench: Bench, counters: CounterBook, schedule: MonitorSchedule) -> None:
        self._bench = bench
        self._counters = counters
        self._schedule = schedule
        self._heartbeats = HeartbeatWatch(bench)
        self._quieting = HeartbeatQuieting(bench)
        self.compositions = CompositionWatch(bench, self.plan)
        self.models = ModelWatch(bench, self._take_models)
        self._pending: Command | None = None  # a monitor command that waits for composition data
        self._refusal: tuple[str, str] | None = None  # reason and message of what holds observing back
        self._costs: Costs | None = None
        self._bill: AirtimeBill | None = None
        self._plan: ReportPlan | None = None
        self._counted_ratio: float | None = None
        self._oddities: dict[str, set[UnicastAddress]] = {}  # what nodes sent that cannot be, and who
        self._told: Observing | None = None
        self._nodes_told: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self._window_at: datetime | None = None
        self._window_floods = 0
        self._told_at: datetime | None = None

    @property
    def read_back_pause_s(self) -> float:
        """Between two nodes that are read back, in mesh time; on a billed stack as long as the budget wants it."""
        return READ_BACK_PAUSE_S if self._costs is None else self._costs.read_back_pause_s

    def take_command(self, command: Command, now: datetime) -> None:
        """Answer a monitor command whose content is in memory: now, or when composition data was read."""
        old, self._pending = self._pending, command
        if old is not None and old.attempt_id != command.attempt_id:
            self._bench.answer(old, now, "failed", reason="Superseded", message="a newer monitor command came")
        self.plan(now)
        if self._pending is not None:
            self._bench.answer(command, now, "accepted", message="reading composition data first")

    def plan(self, now: datetime) -> None:
        """Compute what the airtime budget allows now, and switch it on if nothing holds it back."""
        bench = self._bench
        monitoring = bench.memory.monitoring
        if monitoring is None:
            return
        is_by_heartbeats = bench.identity.observability == "heartbeats"
        self._counters.restart(bench.memory.monitor_epoch, monitoring.notification_interval_seconds)
        if self.compositions.missing():
            self.compositions.turns.wanted_at = now
            self._tell(now)
            return  # comes back when they were read
        self._refusal = None
        self.models.want(now)
        if is_by_heartbeats:
            self._end_notifications(now)
            self._note_publishers()
        self._bill, self._plan = self._watch(monitoring) if is_by_heartbeats else self._report(monitoring, now)
        self._settle(None if self._plan is None else describe_stretching(monitoring, self._plan), now)
        self._tell(now)

    def hear(self, node: UnicastAddress, now: datetime) -> None:
        """A message of a node: if it did not answer before, it is asked again."""
        if node != self._bench.identity.address:
            self._bench.floods += 1
        self.compositions.turns.hear(node, now)
        self.models.turns.hear(node, now)
        self._quieting.hear(node, now)

    def note_odd(self, node: UnicastAddress, what: str) -> None:
        """Something came from a node that cannot be right; it is told with the next bill."""
        nodes = self._oddities.setdefault(what, set())
        if len(nodes) <= NAMED_MAX and node not in nodes:
            nodes.add(node)
            log.warning("Odd message", node=format_address(node), what=what)

    def on_time(self, now: datetime) -> None:
        """Read composition data, rotate heartbeats, count airtime, as it is time."""
        self.compositions.on_time(now)
        self._quieting.on_time(now)
        self.models.on_time(now)
        if not self.compositions.missing():
            self._heartbeats.on_time(now)
        if self._window_at is None or self._window_at <= now:
            self._count(now)

    def next_wakeups(self) -> tuple[datetime | None, ...]:
        """When `on_time` has something to do."""
        waiting = (self.compositions.next_wakeup(), self._quieting.next_wakeup(), self.models.next_wakeup())
        return (self._window_at, self._heartbeats.next_wakeup(), *waiting)

    def _take_models(self, now: datetime, is_changed: bool) -> None:
        """Tell what models lack; nodes that were changed are told to notify, and all count anew: some counted wrong."""
        if is_changed:
            memory = self._bench.memory
            self._bench.remember(replace(memory, monitor_epoch=memory.monitor_epoch + 1))
            self.plan(now)
        elif self._told is not None:
            self._tell(now)

    # Replay protection lists

    def _shortages(self, monitoring: Monitoring) -> tuple[Shortage, ...]:
        senders = self._senders(self._bench.identity.neighbours_at_most)
        return find_shortages(self._bench.book.compositions, senders, monitoring.flows)

    def _senders(self, neighbours_at_most: int | None) -> Senders:
        """Who may send to whom; ``neighbours_at_most`` None: everybody may hear everybody."""
        bench = self._bench
        network = max(bench.identity.network_nodes or 0, len(bench.memory.nodes))
        return Senders(
            nodes=bench.memory.nodes,
            gateway=bench.identity.address,
            neighbours_at_most=network - 1 if neighbours_at_most is None else neighbours_at_most,
            network=network,
        )

    # Levels

    def _report(self, monitoring: Monitoring, now: datetime) -> tuple[AirtimeBill | None, ReportPlan | None]:
        """Let nodes notify and report, unless a replay list or the budget forbids it."""
        bench = self._bench
        repeats = bench.identity.repeats_notifications
        known = bench.book.configuration(bench.memory.nodes)
        costs = self._costs = self._cost(monitoring)
        plan = plan_reports(
            monitoring,
            known,
            nodes=len(bench.memory.nodes),
            heard=costs.heard,
            flood_s=bench.desk.exchanges.flood_s,
            repeats=repeats,
            upkeep_ratio=costs.upkeep_ratio,
        )
        if shortages := self._shortages(monitoring):
            self._refusal = ("ReplayListTooSmall", describe_shortages(shortages))
        elif is_too_long(plan):
            message = (
                f"{monitoring.airtime_budget_percent:g} % of airtime would stretch intervals to {plan.report_s:.0f} s"
            )
            self._refusal = ("BudgetTooSmall", message)
        if self._refusal is not None:
            self._end_notifications(now)
        else:
            bench.remember(replace(bench.memory, notifying=True))
            self._schedule.set_plan(plan, bench.memory.monitor_epoch, now)
        return costs.bill_notifications(plan, len(bench.memory.nodes)), plan

    def _end_notifications(self, now: datetime) -> None:
        """Of nodes that were told to notify, in this run or an earlier one."""
        if self._bench.memory.notifying:
            self._schedule.stop(self._bench.memory.monitor_epoch, now)

    def _note_publishers(self) -> None:
        """Remember who is told to publish heartbeats, before anybody is."""
        memory = self._bench.memory
        publishers = {*memory.heartbeat_publishers, *memory.nodes, UnicastAddress(self._bench.identity.address)}
        self._bench.remember(replace(memory, heartbeat_publishers=tuple(sorted(publishers))))

    def _cost(self, monitoring: Monitoring) -> Costs:
        return self._costs_of(monitoring, self._counters.mean_heard, repeats=self._bench.identity.repeats_notifications)

    def _costs_of(self, monitoring: Monitoring, heard: float, *, repeats: bool) -> Costs:
        identity = self._bench.identity
        settings = [s for _, s in self._bench.book.configuration(self._bench.memory.nodes).entries]
        looks, keeps_budget = find_looks(identity), not identity.repeats_notifications
        return Costs.of(monitoring, settings, heard, repeats=repeats, looks=looks, keeps_budget=keeps_budget)

    def _watch(self, monitoring: Monitoring) -> tuple[AirtimeBill | None, ReportPlan | None]:
        """Rotate heartbeat subscriptions; nodes send nothing else by themselves."""
        bench = self._bench
        heard = self._heartbeats.mean_heard or self._counters.mean_heard
        self._costs = self._costs_of(monitoring, heard, repeats=True)
        room = {
            node: composition.replay_list_size - compute_needed(node, self._senders(0), monitoring.flows)
            for node, composition in bench.book.compositions.items()
            if node != bench.identity.address  # whose list holds everybody that it configures anyway
        }
        return self._heartbeats.plan(monitoring, self._costs, room, bench.desk.exchanges.flood_s), None

    def _settle(self, stretched: str | None, now: datetime) -> None:
        """Answer the command that waited."""
        command, self._pending = self._pending, None
        if command is None:
            return
        if self._refusal is not None:
            reason, message = self._refusal
            self._bench.conclude(command, now, "refused", reason=reason, message=message)
        else:
            self._bench.conclude(command, now, "done", message=stretched)

    # The bill

    def _count(self, now: datetime) -> None:
        """Close a window, and tell what changed in it."""
        bench, is_first = self._bench, self._window_at is None
        self._window_at = now + bench.mesh_time(WINDOW_S)
        floods, self._window_floods = bench.floods - self._window_floods, bench.floods
        if self._costs is None or is_first:
            return
        self._bill_again()
        self._tell_nodes(now)
        self._counted_ratio = floods * self._costs.message_s / WINDOW_S
        self._tell(now)

    def _tell_nodes(self, now: datetime) -> None:
        """Distances and fill of replay lists, if they are others; where the air is sensed that comes with it."""
        bench = self._bench
        if bench.identity.observability == "notifications":
            bench.sources = {node: heard + 1 for node, heard in self._counters.heard_by.items()}  # and the gateway
        known = (dict(bench.book.hops), dict(bench.sources))
        if known != self._nodes_told and not bench.identity.senses_occupancy:
            self._nodes_told = known
            bench.say_nodes(now)

    def _bill_again(self) -> None:
        """By what is known of neighbours now; intervals that were told stay, heartbeats change their pace."""
        bench, monitoring = self._bench, self._bench.memory.monitoring
        if monitoring is None or self._bill is None:
            return
        if self._plan is None:
            self._bill, _ = self._watch(monitoring)
        else:
            self._costs = self._cost(monitoring)
            self._bill = self._costs.bill_notifications(self._plan, len(bench.memory.nodes))

    def _tell(self, now: datetime) -> None:
        """Say in the state what is switched on, and what it costs, if that is new."""
        observing = self._describe()
        self._bench.observing = observing
        told, since = self._told, None if self._told_at is None else now - self._told_at
        if told is None or since is None or is_other(told, observing):
            is_news = True
        else:
            is_news = since >= TELL_AGAIN or (since >= TELL_LEAST and has_moved(told, observing))
        if is_news:
            self._told, self._told_at = observing, now
            said = observing.airtime.model_dump(exclude_none=True) if observing.airtime is not None else {}
            log.info("Airtime of observing", by=observing.level, active=observing.active, **said)
            self._bench.say_state(now)

    def _describe(self) -> Observing:
        bench, plan, bill = self._bench, self._plan, self._bill
        if bill is not None:
            counted = self._counted_ratio
            ratios = {name: round(ratio, 5) for name, ratio in bill.model_dump(exclude={"counted_ratio"}).items()}
            bill = AirtimeBill(**ratios, counted_ratio=None if counted is None else round(counted, 5))
        return Observing(
            level=bench.identity.observability,
            active=self._refusal is None and bill is not None,
            notification_interval_seconds=None if plan is None else round(plan.notification_s, 1),
            report_interval_seconds=None if plan is None else round(plan.report_s, 1),
            messages_per_report=None if plan is None else plan.messages_per_report,
            compositions_read=len(bench.book.compositions),
            notification_transmissions=self._notification_transmissions,
            airtime=bill,
            upkeep=self._upkeep(),
            warnings=[text[:WARNING_MAX] for text in self._warnings()][:WARNINGS_MAX],
            **self._progress(),
        )

    @property
    def _notification_transmissions(self) -> int | None:
        """Copies of each notification; None: as many as network transmit says."""
        identity = self._bench.identity
        return None if identity.repeats_notifications or identity.observability != "notifications" else 1

    def _upkeep(self) -> list[UpkeepReport] | None:
        """What we send by ourselves in the long run; None: not planned yet."""
        if self._costs is None:
            return None
        asked = self._heartbeats.describe_upkeep(self._costs)
        return [UpkeepReport.from_value(part) for part in (*self._costs.upkeep, *asked)]

    def _progress(self) -> dict[str, Any]:
        rotation = self._heartbeats.rotation
        if rotation is None:
            return {}
        return {
            "heartbeat_interval_seconds": self._heartbeats.heartbeat_s,
            "full_picture_seconds": round(rotation.compute_full_picture_s()),
            "pairs_listened": rotation.pairs_listened,
            "pairs": rotation.pairs,
        }

    def _warnings(self) -> list[str]:
        out = [self._refusal[1]] if self._refusal is not None else []
        bill = self._bill
        if bill is not None and not self._bench.identity.repeats_notifications:
            planned = bill.notifications_ratio + bill.reports_ratio + bill.heartbeats_ratio + bill.upkeep_ratio
            if planned > 1.01 * bill.budget_ratio:
                out.append(f"observing takes {planned:.2%} of airtime, the budget is {bill.budget_ratio:.2%}")
        if self.compositions.turns.silent:
            named = name_nodes(self.compositions.turns.silent)
            out.append(f"composition data not read, so that their replay protection lists are not known: {named}")
        if full := find_full(self._bench.sources, self._bench.book.compositions):
            out.append(f"replay protection lists are full, so that other sources may not be heard: {name_nodes(full)}")
        out += self.models.describe()
        gaps = self._heartbeats.describe_gaps()
        out += [] if gaps is None else [gaps]
        return out + [f"{what}: {name_nodes(nodes)}" for what, nodes in sorted(self._oddities.items())]
