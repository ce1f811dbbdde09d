"""The same gateway that puts real nodes' models right does it on the emulated mesh, over its lossy air, hop by hop."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.unit.emulation.test_emulated_mesh import make_chain

from meshtwin.contract.configuration import Command, FlowSpec, Verb
from meshtwin.contract.model_messages import Publication
from meshtwin.contract.telemetry import GatewayState
from meshtwin.emulation.world import World
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Publish, SendMesh
from meshtwin.gateway.memory import Memory
from meshtwin.gateway.outbox import Identity
from meshtwin.mesh.configuration import Transmit

START = datetime(2026, 1, 1, tzinfo=UTC)
STEP_S = 0.1
NOTIFICATION = Publication(address=0xFFFF, ttl=0, retransmit=Transmit(count=0, interval_steps=0))
GROUP = 0xD001
NAMES = [f"{address:04x}" for address in range(1, 7)]
FLOW = FlowSpec(name="lights", source="0005", destination="c001", members=["0002", "0003"], deadline_ms=150)


class Rig:
    """A row of emulated nodes with a gateway at the first; mesh time alone passes."""

    def __init__(self) -> None:
        self.world = World(make_chain(len(NAMES)), 1)
        self.said: list[Publish] = []
        identity = Identity(session="s1", address=1, report_group=GROUP, notification=NOTIFICATION)
        self.core = GatewayCore(Memory(), identity)
        self.world.listeners[0] = lambda source, _d, payload, ttl, _p: self.perform(
            self.core.mesh(source, payload, ttl, self.now)
        )
        self.perform(self.core.start(self.now))

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.world.env.now)

    def perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Publish():
                    self.said.append(effect)
                case SendMesh():
                    self.world.send(0, effect.destination, effect.payload, effect.ttl)

    def command(self, verb: Verb, run_s: float, **said: object) -> None:
        values = {"verb": verb, "epoch": 1, "attempt_id": verb.value, "sent_at": self.now, "nodes": NAMES}
        command = Command.model_validate(values | {"not_after": self.now + timedelta(seconds=600)} | said)
        self.perform(self.core.command(command.to_payload(), self.now))
        for _ in range(round(run_s / STEP_S)):
            self.world.env.run(until=self.world.env.now + STEP_S)
            wake_at = self.core.next_wakeup()
            if wake_at is not None and wake_at <= self.now:
                self.perform(self.core.on_time(self.now))


def test_models_of_emulated_nodes_are_put_right_and_those_who_miss_a_flow_are_told() -> None:
    rig = Rig()
    models = [firmware.models for firmware in rig.world.firmwares]
    models[3].publication = replace(NOTIFICATION, ttl=5)
    models[4].groups.clear()
    models[1].groups.add(0xC001)

    rig.command(Verb.ADOPT, 60)
    rig.command(
        Verb.MONITOR,
        120,
        notification_interval_seconds=10,
        report_interval_seconds=60,
        airtime_budget_percent=5,
        flows=[FLOW],
    )

    assert all(model.publication == NOTIFICATION and GROUP in model.groups for model in models)
    observing = [p.payload.observing for p in rig.said if isinstance(p.payload, GatewayState)][-1]
    assert observing is not None
    (warning,) = observing.warnings
    assert warning.startswith("flows to c001")
    assert warning.endswith(": 0003")
