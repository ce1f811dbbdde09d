"""The share of time in which the air is busy is told regularly, also while single nodes are read back."""

from tests.unit.gateway.core_rig import NAMES, Rig

from meshtwin.contract.configuration import Verb
from meshtwin.contract.telemetry import FlowTelemetry
from meshtwin.gateway.effects import Effect, Sense

BUSY_RATIO = 0.12


class SensingRig(Rig):
    """The gateway's radio tells how long the air was busy."""

    def perform(self, effects: list[Effect]) -> None:
        super().perform(effects)
        for _ in (effect for effect in effects if isinstance(effect, Sense)):
            mesh_s = self.now.timestamp()
            super().perform(self.core.sensed(BUSY_RATIO * mesh_s, mesh_s, self.now))


def test_airtime_is_told_every_window_though_nodes_that_are_read_back_are_slow_to_answer() -> None:
    rig = SensingRig()
    rig.command(Verb.ADOPT, nodes=NAMES)
    rig.silent = set(rig.nodes)
    rig.run(300)

    told = [p.payload.airtime_ratio for p in rig.said if isinstance(p.payload, FlowTelemetry)]

    assert len(told) >= 8
    assert all(ratio is not None and abs(ratio - BUSY_RATIO) < 1e-6 for ratio in told)
