"""What a gateway tells goes before the facts: intervals in force, composition data, why something is not seen."""

import json
from datetime import UTC, datetime
from typing import Any

from tests.unit.twins.twin_builders import START_S, gateway

from meshtwin.contract.telemetry import (
    CompositionReport,
    FlowReport,
    FlowTelemetry,
    NodeReport,
    NodeTelemetry,
    Observing,
    UpkeepReport,
)
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.nodes import Inventory, Node
from meshtwin.northbound.messages import SnapshotMessage
from meshtwin.twins.folding import fold
from meshtwin.twins.snapshot import SegmentFacts, take_snapshot
from meshtwin.twins.state import EMPTY_STATE, TwinState
from meshtwin.twins.told import intervals_told, summarise_flows

NODES = tuple(Node(address=UnicastAddress(a), device_uuid=f"{a:032x}") for a in (1, 2))
FACTS = SegmentFacts(name="north", inventory=Inventory(mesh_uuid="m", nodes=NODES))
HEAD: dict[str, Any] = {"session": "s1", "sequence": 0, "sent_at": datetime.fromtimestamp(START_S, UTC)}
CRPL_10 = CompositionReport(
    cid=0x05F1, pid=1, vid=1, crpl=10, relay=False, proxy=True, friend=False, low_power=False, elements=1
)


def told_by(observing: Observing) -> TwinState:
    return fold(EMPTY_STATE, gateway().model_copy(update={"observing": observing}), START_S)


def with_composition() -> TwinState:
    reports = NodeTelemetry(**HEAD, nodes=[NodeReport(node="0002", composition=CRPL_10)])
    return fold(told_by(Observing(level="notifications", active=True)), reports, START_S)


def test_intervals_that_the_budget_stretched_are_those_in_force() -> None:
    state = told_by(
        Observing(level="notifications", active=True, notification_interval_seconds=25.0, report_interval_seconds=90.0)
    )

    assert intervals_told(state, 10.0, 60.0) == (25.0, 90.0)
    assert take_snapshot(FACTS, state, START_S).snapshot.notification_interval_s == 25.0


def test_by_heartbeats_a_full_picture_takes_the_place_of_a_report_interval() -> None:
    state = told_by(
        Observing(level="heartbeats", active=True, heartbeat_interval_seconds=8.0, full_picture_seconds=2600)
    )

    assert intervals_told(state, 10.0, 60.0) == (8.0, 2600.0)


def test_a_gateway_that_says_nothing_changes_nothing() -> None:
    assert intervals_told(EMPTY_STATE, 10.0, 60.0) == (10.0, 60.0)
    assert intervals_told(told_by(Observing(level="notifications", active=False)), 10.0, 60.0) == (10.0, 60.0)


READING = UpkeepReport(
    name="settings", per_second=1 / 30, questions=3, question_bytes=20, answers=3, answer_bytes=22, budget_share=0.25
)


def test_upkeep_and_copies_that_a_gateway_tells_are_part_of_the_snapshot() -> None:
    state = told_by(Observing(level="notifications", active=True, upkeep=[READING], notification_transmissions=1))

    partial = take_snapshot(FACTS, state, START_S)

    [segment] = partial.snapshot.segments
    assert segment.upkeep == (READING.to_value(),)
    assert segment.notification_transmissions == 1
    assert not any("upkeep" in gap.reason for gap in partial.gaps)


def test_upkeep_that_nobody_tells_is_a_gap() -> None:
    partial = take_snapshot(FACTS, told_by(Observing(level="notifications", active=True)), START_S)

    assert partial.snapshot.segments[0].upkeep is None
    assert [gap.place for gap in partial.gaps if "airtime of the gateway's upkeep unknown" in gap.reason] == ["north"]


def test_nodes_that_are_asked_for_heartbeats_do_not_report() -> None:
    state = told_by(Observing(level="heartbeats", active=True, heartbeat_interval_seconds=8.0, full_picture_seconds=99))

    assert take_snapshot(FACTS, state, START_S).snapshot.segments[0].report_interval_s == 0.0


def test_a_snapshot_with_upkeep_is_read_back_from_json_and_one_of_before_is_still_read() -> None:
    state = told_by(Observing(level="notifications", active=True, upkeep=[READING], notification_transmissions=1))
    partial = take_snapshot(FACTS, state, START_S)
    message = SnapshotMessage.from_value(partial)

    assert SnapshotMessage.model_validate_json(message.to_payload()).to_value().snapshot == partial.snapshot
    said = json.loads(message.to_payload())
    for name in ("upkeep", "notificationTransmissions"):
        del said["segments"][0][name]
    old = SnapshotMessage.model_validate(said).to_value().snapshot
    assert (old.segments[0].upkeep, old.segments[0].notification_transmissions) == (None, None)
    assert old.fingerprint != partial.snapshot.fingerprint


def test_composition_data_limits_what_a_node_can_and_the_inventory_keeps_its_hash() -> None:
    partial = take_snapshot(FACTS, with_composition(), START_S)

    first, second = partial.snapshot.nodes
    assert first == NODES[0]
    assert (second.capabilities.relay, second.capabilities.replay_list_size) == (False, 10)
    assert partial.snapshot.segments[0].inventory_hash == FACTS.inventory.content_hash
    assert any(gap.place == "north: 0002" and "cannot relay" in gap.reason for gap in partial.gaps)


def test_what_holds_observing_back_is_a_gap_of_every_answer() -> None:
    warning = "replay protection lists are too small: 0003 (CRPL 5, needs 7)"
    state = told_by(Observing(level="notifications", active=False, warnings=[warning]))

    assert [g.reason for g in take_snapshot(FACTS, state, START_S).gaps if warning in g.reason] == [
        f"gateway: {warning}"
    ]


def test_a_summary_says_of_each_flow_how_it_is_known() -> None:
    reports = [
        FlowReport(
            flow=name, presses=10, on_time_presses=9, sent_pairs=20, delivered_pairs=19, how_known=how, latency=None
        )
        for name, how in (("scene", "roundTrip"), ("lights", "receiverCounted"))
    ]
    state = fold(told_by(Observing(level="notifications", active=True)), FlowTelemetry(**HEAD, flows=reports), START_S)

    assert [(flow.flow, flow.how_known, flow.delivered_pairs) for flow in summarise_flows(state)] == [
        ("lights", "receiverCounted", 19),
        ("scene", "roundTrip", 19),
    ]
