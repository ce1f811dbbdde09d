"""Observing by heartbeats alone: the rotation of subscriptions, at the pace that the airtime budget allows."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Final

from meshtwin.contract.configuration import Command
from meshtwin.contract.telemetry import AirtimeBill
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.bill import Costs
from meshtwin.gateway.heartbeats import HeartbeatBook, TurnJob
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.rotation import LISTEN_HEARTBEATS, Rotation, to_period_log
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings
from meshtwin.mesh.reporting import stretch_notifications_s
from meshtwin.mesh.upkeep import UpkeepPart

__all__ = ["HeartbeatWatch"]

LISTEN_LOG_MORE: Final = LISTEN_HEARTBEATS.bit_length() - 1  # a listening time is so many doublings of the period
PERIOD_LOG_MAX: Final = 0x11 - LISTEN_LOG_MORE


class HeartbeatWatch:
    """`plan` says what to watch; `on_time` does one turn whenever nothing else is under way."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._rotation: Rotation | None = None
        self._book = HeartbeatBook(epoch=bench.memory.monitor_epoch)
        self._publish_log = 1
        self._least_s = 1.0  # between two questions
        self._room: Mapping[UnicastAddress, int] = {}
        self.refusals: dict[UnicastAddress, int] = {}  # nodes that answered with an error status
        self._rounds_told = 0

    @property
    def rotation(self) -> Rotation | None:
        """Who listens to whom; None: nothing is watched yet."""
        return self._rotation

    @property
    def heartbeat_s(self) -> float:
        """Between two heartbeats of one node."""
        return float(2 ** (self._publish_log - 1))

    @property
    def mean_heard(self) -> float | None:
        """Mean number of neighbours, once a round is complete."""
        is_whole = self._rotation is not None and self._rotation.rounds_done > 0
        return self._book.mean_heard if is_whole else None

    def plan(
        self, monitoring: Monitoring, costs: Costs, room: Mapping[UnicastAddress, int], flood_s: float
    ) -> AirtimeBill:
        """Watch the nodes in memory from now on, or at another pace; what it costs.

        ``room``: sources that replay lists can hold besides those of messages, as far as known. ``flood_s``: how
        long a flood occupies a relay.
        """
        bench = self._bench
        wanted_s = stretch_notifications_s(
            monitoring.notification_interval_seconds,
            budget_ratio=costs.budget_ratio,
            heard=costs.heard,
            transmissions=costs.copies,
        )
        self._publish_log = min(PERIOD_LOG_MAX, to_period_log(wanted_s))
        self._least_s = 2 * flood_s / bench.identity.occupancy_share
        exchange_s = max(2 * costs.message_s / costs.left_ratio(self.heartbeat_s), self._least_s)
        self._room = room
        nodes = list(bench.memory.nodes)
        listen_s = LISTEN_HEARTBEATS * self.heartbeat_s
        old = self._rotation
        if old is not None and (list(old.nodes), old.listen_s) == (nodes, listen_s):
            old.exchange_s = exchange_s
        else:
            self._rotation = Rotation(
                nodes=nodes,
                gateway=UnicastAddress(bench.identity.address),
                listen_s=listen_s,
                exchange_s=exchange_s,
                hops=bench.book.hops,
                is_barred=self._is_barred,
            )
        return costs.bill_heartbeats(self.heartbeat_s, exchange_s)

    def on_time(self, now: datetime) -> None:
        """Do the turn that is due, if nothing else is under way."""
        bench, rotation = self._bench, self._rotation
        if rotation is None or not bench.is_quiet:
            return
        turn = rotation.due(now)
        if turn is None:
            return
        job = TurnJob(
            turn,
            group=bench.identity.report_group,
            publish_log=self._publish_log,
            listen_log=self._publish_log + LISTEN_LOG_MORE,
        )
        bench.begin(Work("heartbeats", job, partial(self._finish, job)), now)

    def describe_upkeep(self, costs: Costs) -> tuple[UpkeepPart, ...]:
        """The questions of the rotation, as the budget allows them; none while nothing is watched."""
        return () if self._rotation is None else (costs.heartbeats_part(self.heartbeat_s, 1 / self._least_s),)

    def next_wakeup(self) -> datetime | None:
        """When `on_time` has something to do."""
        return self._rotation.next_at if self._rotation is not None and self._bench.is_quiet else None

    def describe_gaps(self) -> str | None:
        """Nodes that refuse heartbeats; None: nobody does."""
        if not self.refusals:
            return None
        named = " ".join(f"{format_address(node)} (status {code:#04x})" for node, code in sorted(self.refusals.items()))
        return f"nodes refuse heartbeat messages: {named}"

    def _is_barred(self, node: int, source: int, other: int | None) -> bool:
        room = self._room.get(UnicastAddress(node))
        if room is None or self._book.is_known(node, source):
            return False
        is_new = other is not None and not self._book.is_known(node, other)
        return self._book.heard_by.get(node, 0) + is_new >= room

    def _finish(self, job: TurnJob, _command: Command | None, now: datetime) -> None:
        rotation, turn, heard = self._rotation, job.turn, job.heard
        if rotation is None or rotation.turn is not turn:
            return
        if job.refused is not None:
            self.refusals[turn.node] = job.refused
        if heard is not None and turn.is_distance:
            if heard.count_low > 0 and heard.min_hops > 0:
                self._bench.book.hops[turn.node] = heard.min_hops
        elif heard is not None:
            self._tell(turn.node, job, now)
        rotation.done(now, is_listening=job.is_listening, is_collected=heard is not None)
        if rotation.rounds_done > self._rounds_told:
            self._rounds_told = rotation.rounds_done
            # and the gateway
            self._bench.sources.update({n: k + 1 for n, k in self._book.heard_by.items()})
            self._bench.say_nodes(now)

    def _tell(self, node: UnicastAddress, job: TurnJob, now: datetime) -> None:
        heard = job.heard
        if heard is None:
            return
        settings = self._bench.book.known.get(UnicastAddress(heard.source), NodeSettings())
        transmit = settings.network_transmit
        counter = self._book.fold(node, heard, LISTEN_HEARTBEATS, transmit.transmissions if transmit else 1)
        if counter is not None:
            self._bench.say_neighbours(node, [counter], now)
