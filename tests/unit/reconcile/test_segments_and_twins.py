"""`MeshSegment` and `DigitalTwin`: children, what is wrong with them, freshness, roll-up."""

from datetime import timedelta
from typing import Any

import pytest
from fake_world import (
    NS,
    SEGMENT,
    START,
    TWIN,
    FakeDriver,
    FakeWorld,
    InventoryView,
    ObjectKey,
    WorkloadView,
    make_adopted,
    make_inventory,
    make_office,
    make_summary,
)

from meshtwin.contract.configuration import Verb
from meshtwin.contract.summaries import ScorecardSummary
from meshtwin.contract.telemetry import Observing
from meshtwin_operator.reconcile.dispatch import reconcile, related
from meshtwin_operator.resources.twins import MeshSegment

SOUTH = ObjectKey("MeshSegment", NS, "south")


def put_south(world: FakeWorld, **more: Any) -> ObjectKey:
    spec = {
        "twinRef": {"name": "office"},
        "gatewayId": "gw-south",
        "inventory": {"configMapRef": {"name": "south"}},
        **more,
    }
    world.inventories["south"] = InventoryView(inventory=make_inventory((0x21, 0x22, 0x23), mesh_uuid="o" * 36))
    return world.put("MeshSegment", "south", spec, created=START + timedelta(hours=1))


def test_segment_gets_a_twin_with_its_gateway_flows_and_inventory() -> None:
    _, driver = make_office()
    driver.look_at(SEGMENT)
    twin = driver.workloads["north-segment"]
    assert twin.config["gatewayId"] == "gw-north"
    assert twin.config["segment"] == "north"
    assert twin.config["flows"][0]["destination"] == "c001"
    assert twin.inventory == ("north", "network.json", None)
    assert twin.identity == "twin.buildings.north-segment"


def test_config_of_the_segment_twin_is_what_its_process_reads() -> None:
    from meshtwin.app.settings import ParentTwinSettings, SegmentTwinSettings

    _, driver = make_office()
    driver.sweep()
    filled = {"broker": {"host": "b", "port": 1}, "dataFolder": "/d", "restKeyFile": "/k"}
    segment = SegmentTwinSettings.model_validate(
        {**driver.workloads["north-segment"].config, **filled, "inventoryPath": "/i"}
    )
    parent = ParentTwinSettings.model_validate({**driver.workloads["office-parent"].config, **filled})
    assert segment.name == "north-segment"
    assert [child.name for child in parent.children] == ["north-segment"]


def south_config(**inventory: Any) -> dict[str, Any]:
    world, driver = make_office()
    driver.look_at(put_south(world, inventory={"configMapRef": {"name": "south"}, **inventory}))
    return dict(driver.workloads["south-segment"].config)


def test_stated_transmit_powers_reach_the_twin_and_start_it_again() -> None:
    stated = south_config(txPowers=[{"txPowerDbm": 4}, {"nodes": ["0021"], "txPowerDbm": 8, "deviationDb": 2}])
    assert stated["txPowers"] == [
        {"txPowerDbm": 4, "deviationDb": 0},
        {"nodes": ["0021"], "txPowerDbm": 8, "deviationDb": 2},
    ]
    assert stated["configHash"] != south_config()["configHash"]


def test_twin_of_a_segment_without_stated_powers_is_configured_as_ever() -> None:
    assert "txPowers" not in south_config()


def test_broker_at_the_root_has_accounts_for_all_gateways_and_twins_of_the_tree() -> None:
    world, driver = make_office()
    put_south(world)
    driver.look_at(TWIN)
    broker = driver.workloads["office-broker"]
    assert broker.gateways == ("gw-north", "gw-south")
    assert broker.twins == (
        "twin.buildings.north-segment",
        "twin.buildings.office-parent",
        "twin.buildings.south-segment",
    )


def test_child_twin_has_no_broker_of_its_own() -> None:
    world, driver = make_office()
    campus = world.put("DigitalTwin", "campus", {})
    world.edit(TWIN, {"parentRef": {"name": campus.name}})
    driver.look_at(TWIN)
    assert "office-broker" not in driver.workloads
    driver.look_at(campus)
    assert "twin.buildings.north-segment" in driver.workloads["campus-broker"].twins


@pytest.mark.parametrize(
    ("parents", "reason"),
    [({"office": "nowhere"}, "ParentNotFound"), ({"office": "campus", "campus": "office"}, "ParentCircle")],
)
def test_parent_to_nothing_or_in_a_circle_stalls_twin_and_segment(parents: dict[str, str], reason: str) -> None:
    world, driver = make_office()
    world.put("DigitalTwin", "campus", {})
    for child, parent in parents.items():
        world.edit(ObjectKey("DigitalTwin", NS, child), {"parentRef": {"name": parent}})
    driver.sweep()
    assert world.condition(TWIN, "Stalled") == ("True", reason)
    assert world.condition(SEGMENT, "Stalled") == ("True", reason)


def test_segment_of_a_deleted_twin_stalls_and_keeps_its_figures() -> None:
    world, driver = make_adopted()
    nodes = world.status(SEGMENT)["nodesHeard"]
    world.manifests.pop(TWIN)
    world.parsed.pop(TWIN, None)
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Stalled") == ("True", "TwinNotFound")
    assert world.status(SEGMENT)["nodesHeard"] == nodes


def test_younger_of_two_segments_with_one_gateway_stalls_and_names_the_other() -> None:
    world, driver = make_office()
    put_south(world, gatewayId="gw-north")
    driver.sweep()
    assert world.condition(SOUTH, "Stalled") == ("True", "GatewayClaimed")
    assert world.condition(SEGMENT, "Stalled")[0] == "False"
    message = next(c["message"] for c in world.status(SOUTH)["conditions"] if c["type"] == "Stalled")
    assert "'gw-north'" in message
    assert "'north'" in message


def test_node_of_two_segments_of_one_mesh_stalls_the_younger_one() -> None:
    world, driver = make_office()
    put_south(world)
    world.inventories["south"] = InventoryView(inventory=make_inventory((6, 7)))
    driver.sweep()
    assert world.condition(SOUTH, "Stalled") == ("True", "NodeOwnedTwice")
    assert world.condition(SEGMENT, "Stalled")[0] == "False"


def test_same_address_in_another_mesh_is_no_conflict() -> None:
    world, driver = make_office()
    put_south(world)
    other = make_inventory((6, 7), mesh_uuid="x" * 36)
    nodes = tuple(type(n)(address=n.address, device_uuid="z" + n.device_uuid, groups=n.groups) for n in other.nodes)
    world.inventories["south"] = InventoryView(inventory=type(other)(mesh_uuid=other.mesh_uuid, nodes=nodes))
    driver.sweep()
    assert world.condition(SOUTH, "Stalled")[0] == "False"


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        ({"name": "x", "source": "0070", "destination": "c001"}, "UnknownNode"),
        ({"name": "x", "source": "0001", "destination": "c0ff"}, "FlowReachesNobody"),
    ],
)
def test_flow_that_leads_from_or_to_nowhere_stalls(flow: dict[str, str], reason: str) -> None:
    world, driver = make_office()
    world.edit(SEGMENT, {"flows": [flow]})
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Stalled") == ("True", reason)


def test_broken_inventory_stalls_with_its_reason_and_others_go_on() -> None:
    world, driver = make_office()
    put_south(world)
    world.inventories["north"] = InventoryView(inventory=None, problem=("KeysInInventory", "netKeys[0].key"))
    driver.sweep()
    assert world.condition(SEGMENT, "Stalled") == ("True", "KeysInInventory")
    assert world.condition(SOUTH, "Stalled")[0] == "False"


def test_gateway_that_is_off_makes_synced_false_and_leaves_ready_true() -> None:
    world, driver = make_adopted()
    world.gateways["gw-north"].online = False
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Synced") == ("False", "GatewayOffline")
    assert world.condition(SEGMENT, "Ready")[0] == "True"


def test_a_gateway_that_says_why_it_is_off_or_holds_back_is_quoted() -> None:
    world, driver = make_adopted()
    gateway = world.gateways["gw-north"]
    gateway.online, gateway.said = False, {"fault": "DaemonMissing: bluetooth-meshd is not there"}
    driver.look_at(SEGMENT)
    assert "bluetooth-meshd is not there" in message_of(world, "Synced")

    held_back = Observing(level="notifications", active=False, warnings=["0003 (CRPL 5, needs 7)"])
    gateway.online, gateway.said = True, {"observing": held_back}
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Synced") == ("False", "ObservingHeldBack")
    assert message_of(world, "Synced") == "0003 (CRPL 5, needs 7)"


def test_a_gateway_whose_nodes_run_another_stack_than_the_spec_says_is_told_of() -> None:
    world, driver = make_adopted()
    gateway = world.gateways["gw-north"]
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "StackAgreed") == ("Unknown", "NotTold")

    gateway.said = {"stackProfile": "bluez"}
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "StackAgreed") == ("False", "GatewaySaysOtherwise")
    text = message_of(world, "StackAgreed")
    assert text == "the gateway says bluez, and the models go by that; spec.stackProfile says zephyr"

    gateway.said = {"stackProfile": "acme-os"}
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "StackAgreed") == ("False", "UnknownProfile")
    assert message_of(world, "StackAgreed").endswith("the models go by zephyr")

    gateway.said = {"stackProfile": "zephyr"}
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "StackAgreed") == ("True", "AsDeclared")
    assert world.condition(SEGMENT, "Ready")[0] == "True"


def test_stored_segment_with_a_profile_that_nobody_knows_is_read_and_says_so() -> None:
    world, driver = make_adopted()
    stored = world.get(SEGMENT)
    assert isinstance(stored, MeshSegment)
    world.edit(SEGMENT, {**stored.spec.model_dump(mode="json", by_alias=True), "stackProfile": "zephir"})
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Stalled") == ("True", "UnknownProfile")
    assert "'zephir' is not one of bluez, bmsim" in message_of(world, "Stalled")


def test_a_gateway_that_two_processes_claim_is_named_until_one_alone_is_left() -> None:
    world, driver = make_adopted()
    gateway = world.gateways["gw-north"]
    gateway.contested_at = driver.now
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Synced") == ("False", "GatewayContested")
    assert "gw-north" in message_of(world, "Synced")

    driver.wait(61)
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Synced")[1] != "GatewayContested"


def message_of(world: FakeWorld, kind: str) -> str:
    return str(next(c["message"] for c in world.status(SEGMENT)["conditions"] if c["type"] == kind))


def test_reports_that_stop_make_the_segment_stale() -> None:
    world, driver = make_adopted()
    assert world.condition(SEGMENT, "Synced") == ("True", "ReportsArrive")
    driver.wait(3 * 60 + 31)
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Synced") == ("False", "Stale")


def test_new_reports_move_the_status_at_most_once_in_30_seconds() -> None:
    world, driver = make_adopted()
    driver.writes = 0
    for second in range(0, 60, 2):
        driver.wait(2)
        world.summaries["north-segment"] = make_summary("s", "Segment", driver.now, nodes=6 - second % 3)
        driver.look_at(SEGMENT)
    assert driver.writes <= 2


def test_restarted_operator_that_has_heard_nothing_yet_writes_nothing() -> None:
    world, driver = make_adopted()
    driver.sweep(5)
    driver.writes = 0
    world.gateways.clear()
    world.summaries.clear()
    driver.wait(5)
    driver.sweep()
    assert driver.writes == 0


def test_looking_again_at_an_unchanged_world_writes_and_creates_nothing() -> None:
    _, driver = make_adopted()
    driver.sweep(5)
    driver.writes = 0
    driver.sweep(3)
    assert driver.writes == 0


def test_monitor_is_sent_once_per_session_of_the_gateway_and_again_when_intervals_change() -> None:
    world, driver = make_adopted()

    def monitors() -> int:
        return sum(1 for action in driver.published if action.command.verb is Verb.MONITOR)

    driver.sweep(3)
    assert monitors() == 1
    world.gateways["gw-north"].session = "s2"
    driver.sweep(2)
    assert monitors() == 2
    world.edit(SEGMENT, {"monitoring": {"notificationIntervalSeconds": 5, "reportIntervalSeconds": 30}})
    driver.sweep(2)
    assert monitors() == 3


def test_adoption_waits_while_many_nodes_are_not_heard() -> None:
    world, driver = make_office()
    world.gateways["gw-north"].unheard = ["0002", "0003"]
    driver.sweep(3)
    assert world.condition(SEGMENT, "Adopted") == ("False", "NodesNotHeard")
    world.gateways["gw-north"].unheard = []
    driver.sweep(3)
    assert world.condition(SEGMENT, "Adopted") == ("True", "Adopted")


def test_twin_that_cannot_start_stalls_with_the_reason_of_its_pod() -> None:
    world, driver = make_office()
    world.workloads["north-segment"] = WorkloadView(exists=True, problem=("ImagePullBackOff", "no such image"))
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Stalled") == ("True", "ImagePullBackOff")
    world.workloads["north-segment"] = WorkloadView(exists=True, ready=True)
    driver.look_at(SEGMENT)
    assert world.condition(SEGMENT, "Ready")[0] == "True"


def test_roll_up_names_segments_that_are_behind() -> None:
    world, driver = make_adopted()
    driver.sweep(2)
    assert world.condition(TWIN, "Synced") == ("True", "SegmentsSynced")
    world.gateways["gw-north"].online = False
    driver.sweep(2)
    assert world.condition(TWIN, "Synced") == ("False", "SegmentsNotSynced")
    assert world.status(TWIN)["nodes"] == 6


def test_drifted_nodes_make_segment_and_twin_diverged() -> None:
    world, driver = make_adopted(mode="Recommend")
    world.gateways["gw-north"].drifted = ["0003"]
    driver.sweep(2)
    assert world.condition(SEGMENT, "Diverged") == ("True", "NodesChanged")
    assert world.condition(TWIN, "Diverged") == ("True", "SegmentsDiverged")


def test_planned_segment_has_a_twin_and_waits_for_no_gateway() -> None:
    world, driver = make_office()
    world.put(
        "MeshSegment",
        "south",
        {"twinRef": {"name": "office"}, "stage": "Planned", "inventory": {"configMapRef": {"name": "south"}}},
    )
    world.inventories["south"] = InventoryView(inventory=make_inventory((0x21, 0x22), mesh_uuid="o" * 36))
    driver.sweep(2)
    assert world.condition(SOUTH, "Synced") == ("Unknown", "Planned")
    assert "south-segment" in driver.workloads


def test_emergency_stop_is_shown() -> None:
    world, driver = make_office(emergencyStop=True)
    driver.look_at(TWIN)
    assert world.condition(TWIN, "Suspended") == ("True", "EmergencyStop")


def test_transition_time_moves_only_when_the_status_of_a_condition_moves() -> None:
    world, driver = make_adopted()

    def moment() -> str:
        conditions = world.status(SEGMENT)["conditions"]
        return str(next(c["lastTransitionTime"] for c in conditions if c["type"] == "Synced"))

    first = moment()
    driver.wait(10)
    world.gateways["gw-north"].online = False
    driver.look_at(SEGMENT)
    second = moment()
    driver.wait(10)
    driver.look_at(SEGMENT)
    assert first != second == moment()


def test_deleted_object_touches_those_it_concerned() -> None:
    world, driver = make_adopted()
    world.manifests.pop(SEGMENT)
    world.parsed.pop(SEGMENT, None)
    assert TWIN in reconcile(SEGMENT, world, driver.now).touch


def test_object_that_cannot_be_parsed_gets_an_event_and_nothing_else() -> None:
    world, driver = make_office()
    key = ObjectKey("MeshSegment", NS, "broken")
    world.broken[key] = "spec.twinRef: Field required"
    outcome = reconcile(key, world, driver.now)
    assert [event.reason for event in outcome.events] == ["Invalid"]
    assert outcome.status is None


def test_news_of_a_gateway_concern_its_segment_and_the_revision_in_force() -> None:
    world, _ = make_adopted()
    keys = related(ObjectKey("Gateway", NS, "gw-north"), world)
    assert keys == (SEGMENT, ObjectKey("MeshConfiguration", NS, "north-r0000"))


def test_news_of_a_parent_twin_concern_those_who_wait_for_its_answers() -> None:
    world, _ = make_adopted()
    pipeline = world.put(
        "Pipeline", "lighting", {"twinRef": {"name": "office"}, "recipes": [{"name": "path-redundancy"}]}
    )
    assert pipeline in related(ObjectKey("Twin", NS, "office-parent"), world)


def test_inventory_change_concerns_the_segments_that_name_it() -> None:
    world, _ = make_office()
    assert related(ObjectKey("ConfigMap", NS, "north"), world) == (SEGMENT,)


def test_driver_fixture_keeps_no_hidden_state() -> None:
    world, driver = make_adopted()
    other = FakeDriver(world, now=driver.now)
    assert reconcile(SEGMENT, world, driver.now) == reconcile(SEGMENT, other.world, other.now)


def test_model_of_somebody_else_goes_to_the_parent_twin_without_its_secret() -> None:
    from meshtwin.app.settings import ParentTwinSettings

    http = {"url": "https://models.example.org/mesh", "secretRef": {"name": "planner"}}
    world, driver = make_office(model={"http": http, "onFailure": "UseOwn"})
    driver.look_at(TWIN)
    parent = driver.workloads["office-parent"]
    assert parent.model_secret == "planner"
    assert "planner" not in str(parent.config)
    filled = {"broker": {"host": "b", "port": 1}, "dataFolder": "/d", "restKeyFile": "/k"}
    told = ParentTwinSettings.model_validate({**parent.config, **filled}).model
    assert told is not None
    assert told.http is not None
    assert (told.http.url, told.http.time_limit_seconds, told.on_failure) == (http["url"], 60, "UseOwn")
    assert "planner" not in str(world.status(TWIN))


def test_another_model_is_another_configuration_of_the_parent_twin() -> None:
    world, driver = make_office()
    driver.look_at(TWIN)
    before = driver.workloads["office-parent"].config["configHash"]
    world.edit(TWIN, {"model": {"plugin": "theirs"}})
    driver.look_at(TWIN)
    assert driver.workloads["office-parent"].config["configHash"] != before


def test_segment_shows_what_predictions_were_worth_there_and_keeps_it_while_the_twin_is_away() -> None:
    world, driver = make_office()
    when = START - timedelta(days=3)
    card = ScorecardSummary(
        pushes=2, entries=8, since=when, until=START, model="packet-simulator", on_time_width_percent=91
    )
    told = world.summaries["north-segment"]
    shown = told.segments[0].model_copy(update={"scorecard": card})
    world.summaries["north-segment"] = told.model_copy(update={"segments": [shown]})
    driver.look_at(SEGMENT)
    assert world.status(SEGMENT)["scorecard"] == {
        "pushes": 2,
        "entries": 8,
        "since": "2026-02-27T08:00:00Z",
        "until": "2026-03-02T08:00:00Z",
        "model": "packet-simulator",
        "onTimeWidthPercent": 91,
    }
    del world.summaries["north-segment"]
    driver.look_at(SEGMENT)
    assert world.status(SEGMENT)["scorecard"]["pushes"] == 2
