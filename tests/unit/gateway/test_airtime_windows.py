"""The share of time in which the air is busy is told regularly, also while single nodes are read back."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.gateway.core_rig import NAMES, Rig

from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.telemetry import FlowTelemetry
from meshtwin.gateway.effects import Effect, SendMesh, Sense

BUSY_RATIO = 0.12
ASKED_S = 1.0
FLOW = FlowSpec(name="lights", source="0005", destination="c001", members=["0001", "0003"], deadline_ms=150)


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


class AskingIsHeardRig(Rig):
    """The air is busy for `BUSY_RATIO` of the time, and for `ASKED_S` more with every message of the gateway."""

    asked = 0

    def perform(self, effects: list[Effect]) -> None:
        self.asked += sum(isinstance(effect, SendMesh) for effect in effects)
        super().perform(effects)
        for _ in (effect for effect in effects if isinstance(effect, Sense)):
            mesh_s = self.now.timestamp()
            super().perform(self.core.sensed(BUSY_RATIO * mesh_s + ASKED_S * self.asked, mesh_s, self.now))


@given(st.floats(0.0, 60.0))
def test_airtime_of_a_probe_is_that_of_its_quiet_time_whenever_the_regular_readings_come(wait_s: float) -> None:
    rig = AskingIsHeardRig()
    rig.command(Verb.ADOPT, nodes=NAMES)
    rig.run(wait_s)
    said = len(rig.said)

    until = rig.now + timedelta(seconds=900)
    assert rig.command(Verb.PROBE, nodes=NAMES, flows=[FLOW], run_s=300, not_after=until).status == "done"

    [told] = [
        p.payload.airtime_ratio
        for p in rig.said[said:]
        if isinstance(p.payload, FlowTelemetry) and p.payload.flows and p.payload.airtime_ratio is not None
    ]
    assert abs(told - BUSY_RATIO) < 1e-3


def test_airtime_is_measured_by_a_probe_without_flows_too() -> None:
    rig = SensingRig()
    rig.command(Verb.ADOPT, nodes=NAMES)

    until = rig.now + timedelta(seconds=900)
    rig.command(Verb.PROBE, nodes=NAMES, flows=[], run_s=300, not_after=until)

    ratios = [p.payload.airtime_ratio for p in rig.said if isinstance(p.payload, FlowTelemetry)]
    assert None not in ratios
