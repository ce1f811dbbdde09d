"""Snapshots of a segment, and overlays of several."""

import uuid
from dataclasses import replace

from tests.unit.twins.twin_builders import START_S, counter, fold_all, gateway, report, reported

from meshtwin.mesh.addresses import GroupAddress, UnicastAddress
from meshtwin.mesh.nodes import Flow, Inventory, Node
from meshtwin.twins.freshness import roll_up
from meshtwin.twins.hierarchy import find_border_links, overlay
from meshtwin.twins.partial import Gap, PartialSnapshot
from meshtwin.twins.snapshot import SegmentFacts, take_snapshot
from meshtwin.twins.state import EMPTY_STATE, TwinState


def facts(name: str, *addresses: int, flow: str = "lamps") -> SegmentFacts:
    nodes = tuple(
        Node(
            address=UnicastAddress(a),
            device_uuid=str(uuid.UUID(int=a)),
            groups=frozenset({GroupAddress(0xC001)}),
        )
        for a in addresses
    )
    inventory = Inventory(mesh_uuid=str(uuid.UUID(int=1)), nodes=nodes)
    source = UnicastAddress(addresses[0])
    flows = (Flow(name=flow, source=source, destination=0xC001, rate_per_minute=6, deadline_ms=150),)
    return SegmentFacts(name=name, inventory=inventory, flows=flows)


def north_state() -> TwinState:
    return fold_all(
        [
            gateway(),
            reported("0001-0002"),
            report("0001", counter("0002", 10, 9)),
            report("0002", counter("0001", 10, 8), counter("0003", 10, 5), sequence=1),
        ]
    )


def north(name: str = "north") -> PartialSnapshot:
    return take_snapshot(facts(name, 1, 2), north_state(), START_S)


def south() -> PartialSnapshot:
    state = fold_all([gateway(), reported("0003-0004", relay="Disabled"), report("0003", counter("0002", 10, 6))])
    return take_snapshot(facts("south", 3, 4, flow="south-lamps"), state, START_S + 5)


def test_snapshot_holds_links_configuration_and_gateway() -> None:
    snapshot = north().snapshot

    assert [(link.source, link.target) for link in snapshot.links] == [(1, 2), (2, 1), (3, 2)]
    assert snapshot.configuration.get(UnicastAddress(2)).default_ttl == 7
    assert snapshot.segments[0].gateway_address == 1
    assert snapshot.segments[0].revision == 0


def test_equal_states_give_equal_fingerprints() -> None:
    assert north().snapshot.fingerprint == north().snapshot.fingerprint


def test_settings_of_nodes_outside_the_inventory_are_left_out() -> None:
    state = fold_all([reported("0001-0009")])

    snapshot = take_snapshot(facts("north", 1, 2), state, START_S).snapshot

    assert snapshot.configuration.addresses == (1, 2)


def test_read_back_of_an_exception_is_what_holds() -> None:
    entry = {"node": "0002", "outcome": "unknown", "readBack": {"nodes": ["0002"], "defaultTtl": 5}}
    whole = reported("0001-0002")
    changed = type(whole).model_validate({**whole.model_dump(by_alias=True), "exceptions": [entry]})

    snapshot = take_snapshot(facts("north", 1, 2), fold_all([changed]), START_S).snapshot

    assert snapshot.configuration.get(UnicastAddress(1)).default_ttl == 7
    assert snapshot.configuration.get(UnicastAddress(2)).default_ttl == 5


def test_empty_state_gives_a_snapshot_that_names_its_gaps() -> None:
    partial = take_snapshot(facts("north", 1, 2), EMPTY_STATE, START_S)

    assert partial.snapshot.links == ()
    assert [gap.reason for gap in partial.gaps] == [
        "never reported neighbours",
        "no configuration reported by the gateway",
        "gateway never heard",
    ]


def test_offline_gateway_is_a_gap() -> None:
    state = fold_all([gateway(sequence=1, online=False)], north_state())

    gaps = take_snapshot(facts("north", 1, 2), state, START_S).gaps

    assert Gap("north", "gateway offline") in gaps


def test_overlay_resolves_links_from_foreign_nodes() -> None:
    whole = overlay([north(), south()])

    assert [node.address for node in whole.snapshot.nodes] == [1, 2, 3, 4]
    assert find_border_links(north().snapshot)
    assert find_border_links(whole.snapshot) == ()
    assert whole.snapshot.configuration.get(UnicastAddress(3)).relay is False
    assert [flow.name for flow in whole.snapshot.flows] == ["lamps", "south-lamps"]


def test_overlay_is_as_old_as_its_oldest_child() -> None:
    assert overlay([south(), north()]).snapshot.taken_at == north().snapshot.taken_at


def test_overlay_of_overlays_is_the_overlay_of_all() -> None:
    assert overlay([overlay([north()]), south()]).snapshot == overlay([north(), south()]).snapshot


def test_node_owned_by_two_children_stays_with_the_first_and_is_named() -> None:
    whole = overlay([north(), north("twice")])

    assert len(whole.snapshot.nodes) == 2
    assert Gap("0001", "owned by north and twice; north counts") in whole.gaps


def test_flows_of_equal_name_and_other_meaning_are_both_kept() -> None:
    other = replace(south().snapshot, flows=(replace(south().snapshot.flows[0], name="lamps"),))

    whole = overlay([north(), replace(south(), snapshot=other)])

    assert [flow.name for flow in whole.snapshot.flows] == ["lamps", "south.lamps"]


def test_gaps_of_children_and_of_missing_ones_are_listed() -> None:
    whole = overlay([north()], [Gap("south", "not reachable")])

    assert Gap("south", "not reachable") in whole.gaps


def test_rollup_counts_what_was_heard_and_names_border_nodes() -> None:
    rollup = roll_up(north_state(), (1, 2), now_s=START_S + 30, report_interval_s=60)

    assert (rollup.nodes_heard, rollup.links, rollup.links_fresh) == (2, 3, 3)
    assert rollup.border_nodes == (3,)
    assert rollup.age_s == 30
    assert rollup.is_ready


def test_twin_is_not_ready_while_most_links_are_known_one_way_only() -> None:
    one_way = fold_all(
        [
            gateway(),
            reported("0001-0003"),
            report("0001", counter("0002", 10, 9)),
            report("0002", counter("0003", 10, 9), sequence=1),
            report("0003", counter("0001", 10, 9), sequence=2),
        ]
    )
    rest = [
        report("0001", counter("0003", 20, 18), sequence=3, at_s=20),
        report("0002", counter("0001", 20, 18), sequence=4, at_s=20),
        report("0003", counter("0002", 20, 18), sequence=5, at_s=20),
    ]

    young = roll_up(one_way, (1, 2, 3), now_s=START_S + 30, report_interval_s=60)
    grown = roll_up(fold_all(rest, one_way), (1, 2, 3), now_s=START_S + 30, report_interval_s=60)

    assert young.waiting_for == "the evidence is young: 0% of links are known both ways, 85% are needed"
    assert grown.is_ready


def test_twin_of_one_way_links_is_ready_when_half_of_the_nodes_told_of_all_they_hear() -> None:
    ring = [("0001", "0002"), ("0002", "0003"), ("0003", "0001")]
    first = [report(a, counter(b, 10, 9), sequence=i) for i, (a, b) in enumerate(ring)]
    again = [report(a, counter(b, 20, 18), sequence=3 + i, at_s=20) for i, (a, b) in enumerate(ring[:2])]
    state = fold_all([gateway(), reported("0001-0003"), *first, *again])

    assert roll_up(state, (1, 2, 3), now_s=START_S + 30, report_interval_s=60).is_ready


def test_rollup_of_old_knowledge_is_not_fresh_and_says_its_age() -> None:
    rollup = roll_up(north_state(), (1, 2), now_s=START_S + 3600, report_interval_s=60)

    assert (rollup.nodes_heard, rollup.links_fresh, rollup.age_s) == (0, 0, 3600)


def test_twin_is_not_ready_before_the_configuration_is_known() -> None:
    state = fold_all([report("0001", counter("0002", 10, 9)), report("0002", counter("0001", 10, 9), sequence=1)])

    rollup = roll_up(state, (1, 2), now_s=START_S, report_interval_s=60)

    assert not rollup.is_ready
    assert "configuration" in rollup.waiting_for


def test_twin_is_not_ready_before_most_nodes_reported() -> None:
    rollup = roll_up(north_state(), range(1, 11), now_s=START_S, report_interval_s=60)

    assert rollup.waiting_for == "2 of 10 nodes reported neighbours, 90% are needed"
