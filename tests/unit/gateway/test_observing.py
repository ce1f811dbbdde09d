"""Before anything is switched on: composition data, replay protection lists, the airtime budget, and the bill."""

from dataclasses import replace

import pytest
from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.access import NeighbourRecord, Opcode, encode_records
from meshtwin.contract.configuration import FlowSpec, Verb
from meshtwin.contract.telemetry import GatewayState, NeighbourTelemetry, NodeTelemetry

FLOW = FlowSpec(name="lights", source="0004", destination="c001", members=["0002", "0003"], deadline_ms=150)
RECORD = NeighbourRecord(neighbour_low=3, expected=5, received=4, transmissions=1, rssi_dbm=None, odd_epoch=True)


def is_monitoring(mesh: ObservedMesh) -> bool:
    return any(message.opcode is Opcode.MONITOR for _, message in mesh.asked)


def test_composition_data_is_read_before_nodes_are_told_to_notify() -> None:
    mesh = ObservedMesh()
    results = mesh.command(Verb.MONITOR, **MONITOR)

    order = [message.opcode for _, message in mesh.asked]
    assert [r.status for r in results] == ["accepted", "done"]
    assert sorted(mesh.questions(Opcode.COMPOSITION_GET)) == [1, 2, 3, 4, 5]
    assert order.index(Opcode.MONITOR) > max(i for i, opcode in enumerate(order) if opcode is Opcode.COMPOSITION_GET)
    told = {n.node: n.composition for n in mesh.told(NodeTelemetry)[-1].nodes}
    assert {node: c.crpl for node, c in told.items() if c is not None} == dict.fromkeys(mesh.names, 1000)
    assert mesh.observing.active
    assert mesh.observing.compositions_read == 5


def test_composition_data_survives_a_restart_of_the_gateway() -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.MONITOR, **MONITOR)
    before = len(mesh.asked)
    mesh.start()
    mesh.run(20)

    assert Opcode.COMPOSITION_GET not in {message.opcode for _, message in mesh.asked[before:]}
    assert mesh.observing.active


def test_a_replay_list_that_cannot_hold_everybody_holds_notifications_back() -> None:
    mesh = ObservedMesh(crpl={3: 3})
    results = mesh.command(Verb.MONITOR, **MONITOR)

    assert (results[-1].status, results[-1].reason) == ("refused", "ReplayListTooSmall")
    assert "0003 (CRPL 3, needs 4)" in str(results[-1].message)
    assert "neighboursAtMost" in str(results[-1].message)
    assert not is_monitoring(mesh)
    assert not mesh.observing.active
    assert "0003 (CRPL 3, needs 4)" in mesh.observing.warnings[0]


def test_who_knows_the_building_may_say_that_fewer_nodes_hear_each_other() -> None:
    mesh = ObservedMesh(crpl={3: 3}, identity=replace(IDENTITY, neighbours_at_most=2))

    assert mesh.command(Verb.MONITOR, **MONITOR)[-1].status == "done"
    assert is_monitoring(mesh)


def test_sources_of_flows_need_room_in_the_replay_lists_of_their_members() -> None:
    mesh = ObservedMesh(size=9, crpl={3: 3}, identity=replace(IDENTITY, neighbours_at_most=2))

    refused = mesh.command(Verb.MONITOR, **MONITOR, flows=[FLOW])[-1]

    assert refused.reason == "ReplayListTooSmall"
    assert "0003 (CRPL 3, needs 4)" in str(refused.message)


def test_nodes_of_other_segments_count_as_possible_neighbours() -> None:
    mesh = ObservedMesh(crpl={3: 10}, identity=replace(IDENTITY, network_nodes=40))

    assert "0003 (CRPL 10, needs 39)" in str(mesh.command(Verb.MONITOR, **MONITOR)[-1].message)


def test_a_node_that_is_off_does_not_hold_the_others_up_and_is_asked_when_it_is_heard() -> None:
    mesh = ObservedMesh(silent={4})
    results = mesh.command(Verb.MONITOR, run_s=120, **MONITOR)

    assert results[-1].status == "done"
    assert mesh.observing.warnings == [
        "composition data not read, so that their replay protection lists are not known: 0004"
    ]
    mesh.silent.clear()
    mesh.crpl[4] = 2
    mesh.run(60)
    mesh.receive(4, Opcode.REPORT, encode_records((RECORD,)))
    mesh.run(10)
    assert mesh.observing.compositions_read == 5
    assert "0004 (CRPL 2, needs 4)" in mesh.observing.warnings[0]
    assert not mesh.observing.active
    told = [message.parameters for _, message in mesh.asked if message.opcode is Opcode.MONITOR]
    assert told[-1][1:5] == bytes(4)  # neither notify nor report any more


def test_a_command_that_comes_while_composition_data_is_read_waits_for_it() -> None:
    mesh = ObservedMesh(size=30)
    mesh.command(Verb.ADOPT, "a0", run_s=0)
    while Opcode.COMPOSITION_GET not in {message.opcode for _, message in mesh.asked}:
        mesh.run(0.1)

    results = mesh.command(Verb.MONITOR, run_s=120, **MONITOR)
    assert [r.status for r in results] == ["accepted", "done"]
    assert sorted(mesh.questions(Opcode.COMPOSITION_GET)) == list(range(1, 31))  # each once


def test_monitoring_of_nodes_that_are_not_named_is_refused_where_something_must_be_checked() -> None:
    mesh = ObservedMesh()

    assert mesh.command(Verb.MONITOR, **(MONITOR | {"nodes": None}))[-1].reason == "NodesMissing"


@pytest.mark.parametrize("budget_percent", [0.2, 1, 5])
@pytest.mark.parametrize("interval_s", [0.2, 2, 30])
def test_what_was_switched_on_keeps_the_budget_and_says_what_was_stretched(
    budget_percent: float, interval_s: float
) -> None:
    mesh = ObservedMesh(size=30)
    wanted = {
        "notification_interval_seconds": interval_s,
        "report_interval_seconds": interval_s,
        "airtime_budget_percent": budget_percent,
    }
    mesh.command(Verb.ADOPT, "a0")
    result = mesh.command(Verb.MONITOR, run_s=60, **wanted)[-1]

    told = mesh.observing
    assert result.status == "done"
    assert told.airtime is not None
    planned = told.airtime.notifications_ratio + told.airtime.reports_ratio + told.airtime.upkeep_ratio
    assert planned <= 1.02 * told.airtime.budget_ratio
    assert told.warnings == []
    is_stretched = (told.notification_interval_seconds or 0) > 1.01 * interval_s
    assert ("notification interval" in str(result.message)) == is_stretched


def test_a_budget_that_stretches_intervals_beyond_what_can_be_told_is_refused() -> None:
    mesh = ObservedMesh(size=200)
    refused = mesh.command(Verb.MONITOR, run_s=600, **(MONITOR | {"airtime_budget_percent": 0.01}))[-1]

    assert refused.reason == "BudgetTooSmall"
    assert not is_monitoring(mesh)


def test_the_bill_counts_what_the_gateway_sent_and_got() -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.MONITOR, run_s=130, **MONITOR)
    for _ in range(60):
        mesh.receive(4, Opcode.REPORT, encode_records((RECORD,)))
        mesh.run(1)
    mesh.run(60)

    bills = [s.observing.airtime for s in mesh.told(GatewayState) if s.observing and s.observing.airtime]
    # about 60 messages a minute, each 376 us x 4 neighbours (the least that is assumed) x 3 copies
    told = [bill.counted_ratio for bill in bills if bill.counted_ratio is not None]
    assert any(0.7 * 376e-6 * 12 <= ratio <= 1.5 * 376e-6 * 12 for ratio in told)


def test_hops_and_the_fill_of_replay_lists_follow_from_reports_and_a_full_list_is_named() -> None:
    mesh = ObservedMesh(crpl={2: 2}, identity=replace(IDENTITY, neighbours_at_most=1))
    mesh.command(Verb.MONITOR, run_s=130, **MONITOR)
    for node, neighbour in ((1, 2), (2, 1), (2, 3), (3, 2)):
        mesh.receive(node, Opcode.REPORT, encode_records((replace(RECORD, neighbour_low=neighbour),)))
    mesh.run(61)

    told = {n.node: (n.heartbeat_hops, n.replay_list_fill) for n in mesh.told(NodeTelemetry)[-1].nodes}
    assert (told["0002"], told["0003"]) == ((1, 1.0), (2, 0.002))
    assert mesh.observing.warnings == ["replay protection lists are full, so that other sources may not be heard: 0002"]


def test_strangers_and_reports_of_the_wrong_size_are_ignored_and_named() -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.MONITOR, run_s=130, **MONITOR)
    before = len(mesh.told(NeighbourTelemetry))
    mesh.receive(0x77, Opcode.REPORT, encode_records((RECORD,)))
    mesh.receive(0x77, Opcode.RELAY_STATUS, b"\x01\x00")
    mesh.receive(3, Opcode.REPORT, b"\x01\x02\x03")
    mesh.receive(3, Opcode.REPORT)
    mesh.run(61)

    assert len(mesh.told(NeighbourTelemetry)) == before
    assert mesh.observing.warnings == [
        "messages from addresses that are not in the inventory: 0077",
        "reports of the wrong size: 0003",
    ]


def test_composition_data_that_is_cut_off_counts_as_not_told() -> None:
    mesh = ObservedMesh()
    whole = mesh._answer
    mesh._answer = lambda node, message: (  # type: ignore[method-assign]  # a node that is not conforming
        b"\x02\x00\x01" if (node, message.opcode) == (2, Opcode.COMPOSITION_GET) else whole(node, message)
    )
    mesh.command(Verb.MONITOR, **MONITOR)

    assert mesh.observing.compositions_read == 4
    assert mesh.observing.warnings[0].endswith(": 0002")
