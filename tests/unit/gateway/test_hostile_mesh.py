"""Nothing that comes through the mesh, or from the way into it, ends the core, whatever it is doing just then."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.access import NeighbourRecord, Opcode, encode_records
from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.telemetry import FlowTelemetry, NeighbourTelemetry

STACKS = {
    "notifications": IDENTITY,
    "heartbeats": replace(IDENTITY, observability="heartbeats"),
    "emulated": replace(IDENTITY, reads_composition=False, senses_occupancy=True, measures_round_trips=False),
}
FLOW = FlowSpec(name="lights", source="0002", destination="c001", members=["0003", "0004"], deadline_ms=150)
WORK = [(Verb.ADOPT, {}), (Verb.MONITOR, MONITOR), (Verb.PROBE, {"flows": [FLOW], "presses": 9})]
SOURCES = st.sampled_from([0, 1, 2, 3, 5, 6, 0x7FFF, 0xC001, 0xFFFF])
PAYLOADS = st.binary(max_size=24) | st.builds(
    lambda opcode, parameters: opcode.to_bytes(3 if opcode > 0xFFFF else 2 if opcode > 0xFF else 1, "big") + parameters,
    st.sampled_from(Opcode),
    st.binary(max_size=24),
)
HEARD = st.tuples(SOURCES, PAYLOADS, st.none() | st.integers(-1, 300), st.sampled_from([0.0, 0.05, 0.3, 7.0]))


@settings(max_examples=100)
@given(st.sampled_from(sorted(STACKS)), st.sampled_from(WORK), st.lists(HEARD, max_size=12))
def test_no_message_ends_the_gateway_whatever_it_does_just_then(
    stack: str, work: tuple[Verb, dict[str, object]], heard: list[tuple[int, bytes, int | None, float]]
) -> None:
    mesh = ObservedMesh(identity=STACKS[stack], silent={3})
    mesh.command(Verb.ADOPT, "a0", run_s=3)
    verb, said = work
    mesh.command(verb, "a1", run_s=1, **said)

    for source, payload, ttl, pause_s in heard:
        for effect in mesh.hear_in_mesh(source, payload, ttl):
            effect.to_payload()
        mesh.run(pause_s)
    mesh.run(60)
    mesh.start()
    mesh.run(10)


@pytest.mark.parametrize("low", [0, 3])
def test_a_node_that_tells_of_itself_or_of_nobody_is_not_believed(low: int) -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.MONITOR, **MONITOR)
    odd = bool(mesh.core.memory.monitor_epoch & 1)
    records = [NeighbourRecord(neighbour_low=n, expected=5, received=4, transmissions=1, rssi_dbm=None, odd_epoch=odd)
               for n in (low, 4)]  # fmt: skip

    mesh.receive(3, Opcode.REPORT, encode_records(tuple(records)))

    assert [[n.neighbour for n in told.neighbours] for told in mesh.told(NeighbourTelemetry)] == [["0004"]]


@pytest.mark.parametrize("busy_s", [5.0, float("nan"), float("inf"), -1.0])
def test_a_clock_that_began_anew_or_is_none_gives_no_airtime(busy_s: float) -> None:
    mesh = ObservedMesh(identity=STACKS["emulated"])
    mesh.command(Verb.ADOPT, "a0")
    mesh.sense(10.0, 100.0)

    mesh.sense(busy_s, 200.0)

    assert mesh.told(FlowTelemetry) == []
    mesh.sense(20.0, 300.0)
    mesh.sense(30.0, 400.0)
    assert mesh.told(FlowTelemetry)[-1].airtime_ratio == pytest.approx(0.1)
