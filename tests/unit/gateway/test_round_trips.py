"""Flows from the gateway's own node: acknowledged round trips, and nothing that they do not tell."""

from dataclasses import replace

from tests.unit.gateway.observed_mesh import IDENTITY, ObservedMesh

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import CommandResult, FlowSpec, Verb
from meshtwin.contract.telemetry import FlowReport, FlowTelemetry

FLOW = FlowSpec(name="scene", source="0001", destination="c001", members=["0001", "0002", "0003"], deadline_ms=150)


def probe(mesh: ObservedMesh, presses: int = 20) -> tuple[CommandResult, FlowReport]:
    result = mesh.command(Verb.PROBE, flows=[FLOW], presses=presses, run_s=200)[-1]
    return result, mesh.told(FlowTelemetry)[-1].flows[0]


def test_every_member_is_asked_once_per_message_and_the_time_until_its_answer_is_told() -> None:
    mesh = ObservedMesh(delay_s=0.055)
    result, flow = probe(mesh)

    assert result.status == "done"
    assert (flow.how_known, flow.presses, flow.on_time_presses) == ("roundTrip", 20, 20)
    assert (flow.sent_pairs, flow.delivered_pairs) == (40, 40)
    assert flow.latency is not None
    assert flow.latency.counts[flow.latency.upper_ms.index(60)] == 40


def test_half_a_round_trip_is_no_latency_so_there_is_neither_deadline_nor_spread() -> None:
    _, flow = probe(ObservedMesh(delay_s=0.4))

    assert (flow.deadline_ms, flow.spread, flow.clock_uncertainty_ms) == (None, None, None)
    assert flow.on_time_presses == 20  # answered by every member, however late


def test_an_answer_that_is_lost_is_not_asked_for_again() -> None:
    mesh = ObservedMesh()
    mesh.lost = {10, 11}  # the first five questions ask who is there
    _, flow = probe(mesh)

    assert (flow.sent_pairs, flow.delivered_pairs) == (40, 38)
    assert flow.on_time_presses in (18, 19)


def test_an_answer_that_comes_after_the_next_question_is_not_taken_for_its_answer() -> None:
    mesh = ObservedMesh(delay_s=3.0)  # later than a node so near is waited for
    _, flow = probe(mesh)

    assert flow.delivered_pairs == 0


def test_a_member_that_is_silent_counts_as_lost_and_is_not_asked() -> None:
    mesh = ObservedMesh(silent={3})
    _, flow = probe(mesh)

    assert (flow.sent_pairs, flow.delivered_pairs, flow.on_time_presses) == (40, 20, 0)
    assert mesh.questions(Opcode.DEFAULT_TTL_GET).count(3) == 0


def test_where_nodes_share_a_clock_the_gateway_s_flows_are_counted_by_their_receivers() -> None:
    mesh = ObservedMesh(identity=replace(IDENTITY, measures_round_trips=False))
    mesh.command(Verb.PROBE, flows=[FLOW], presses=5)

    assert mesh.questions(Opcode.PROBE_RUN)[:1] == [1]
