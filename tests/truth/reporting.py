"""What a gateway would tell its twin of a network, from the reports that reach it through the mesh.

Broadcasting, planning and unwrapping counters are the gateway's own code; adopting and reading back are left out: what
is configured is told as it is, and that intervals are all the upkeep there is. Reports that are lost on the way stay
lost.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from meshtwin.contract.access import Opcode, decode_access, decode_records
from meshtwin.contract.configuration import GatewayPhase, Reported
from meshtwin.contract.telemetry import FlowTelemetry, GatewayState, NeighbourTelemetry, Observing, UpkeepReport
from meshtwin.contract.wire import SettingsEntry
from meshtwin.emulation.world import World
from meshtwin.gateway.bill import INTERVALS
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.monitor import CounterBook, ReportPlan, plan_reports
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, compress_settings, compute_digest
from meshtwin.mesh.reporting import compute_flood_s
from meshtwin.twins.folding import fold
from meshtwin.twins.observations import Observation
from meshtwin.twins.state import EMPTY_STATE, TwinState

__all__ = ["START", "Collector", "plan_monitoring"]

START: Final = datetime(2030, 1, 1, tzinfo=UTC)  # of simulated time
FLOOD_ASSUMED_S: Final = 0.175  # as the gateway does before it knows the settings
BROADCAST_S: Final = (0.5, 2.5, 4.5)  # then every two minutes, as `meshtwin.gateway.monitor.MonitorSchedule`
BROADCAST_PAUSE_S: Final = 120.0
AIRTIME_WINDOW_S: Final = 60.0


def plan_monitoring(
    monitoring: Monitoring, configuration: Configuration, nodes: int, heard: float | None = None
) -> ReportPlan:
    """Intervals and size of reports under ``configuration``, as a gateway plans them."""
    flood_s = compute_flood_s(settings for _, settings in configuration.entries)
    heard = CounterBook(time_scale=1.0).mean_heard if heard is None else heard
    return plan_reports(monitoring, configuration, nodes, heard, FLOOD_ASSUMED_S if flood_s is None else flood_s)


@dataclass(eq=False)
class Collector:
    """A gateway's monitoring on the first gateway of ``world``; ``state`` is what a twin folded of it."""

    world: World
    configuration: Configuration
    monitoring: Monitoring
    state: TwinState = EMPTY_STATE
    reports: int = 0
    _sequence: int = 0
    _counters: CounterBook = field(init=False)
    _busy: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        world = self.world
        gateway = world.attachment(world.scenario.gateways[0].id)
        self._gateway = gateway
        self._counters = CounterBook(
            time_scale=1.0, notification_s=self.monitoring.notification_interval_seconds, monitor_epoch=1
        )
        world.listeners[gateway.index] = self._heard
        self._tell_state()
        world.env.process(self._broadcast())
        world.env.process(self._sense())

    @property
    def now(self) -> datetime:
        """Simulated time."""
        return START + timedelta(seconds=self.world.env.now)

    def _fold(self, observation: Observation) -> None:
        self.state = fold(self.state, observation, self.now.timestamp())

    def _envelope(self) -> dict[str, Any]:
        self._sequence += 1
        return {"session": "truth", "sequence": self._sequence, "sent_at": self.now}

    def _tell_state(self) -> None:
        address = format_address(self._gateway.address)
        told = Observing(level="notifications", active=True, upkeep=[UpkeepReport.from_value(INTERVALS)])
        self._fold(GatewayState(**self._envelope(), online=True, gateway_address=address, observing=told))
        entries = compress_settings(self.configuration, list(self.configuration.addresses))
        self._fold(
            Reported(
                **self._envelope(),
                phase=GatewayPhase.IDLE,
                epoch=1,
                revision=0,
                hash=compute_digest(self.configuration),
                settings=[SettingsEntry.from_value(entry) for entry in entries],
                last_adopted_at=self.now,
            )
        )

    def _broadcast(self) -> Any:
        env, at_s = self.world.env, list(BROADCAST_S)
        while True:
            wanted_s = at_s.pop(0) if at_s else env.now + BROADCAST_PAUSE_S
            yield env.timeout(wanted_s - env.now)
            nodes = len(self.world.networks)
            plan = plan_monitoring(self.monitoring, self.configuration, nodes, self._counters.mean_heard)
            self.world.send(self._gateway.index, self._gateway.report_group, plan.to_payload(1))

    def _sense(self) -> Any:
        while True:
            yield self.world.env.timeout(AIRTIME_WINDOW_S)
            busy_s, now_s = self.world.medium.busy_s(self._gateway.index), self.world.env.now
            ratio = (busy_s - self._busy[0]) / (now_s - self._busy[1])
            self._busy = (busy_s, now_s)
            self._fold(FlowTelemetry(**self._envelope(), flows=[], airtime_ratio=ratio))

    def _heard(self, source: int, _destination: int, payload: bytes, _ttl: int, _power_dbm: float) -> None:
        message = decode_access(payload)
        if message is None or message.opcode is not Opcode.REPORT:
            return
        node = UnicastAddress(source)
        counters = self._counters.fold(node, decode_records(message.parameters), self.now)
        if counters:
            self.reports += 1
            self._fold(NeighbourTelemetry(**self._envelope(), node=format_address(node), neighbours=counters))
