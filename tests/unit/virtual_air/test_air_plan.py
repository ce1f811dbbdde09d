"""From a scenario to the network that is built."""

import yaml

from meshtwin.emulation.inventories import to_databases
from meshtwin.emulation.scenario import MeshScenario, parse_scenario
from meshtwin.gateway.bluez.commissioning import FIRST_SETTINGS
from meshtwin.virtual_air.plan import plan_network


def make_scenario() -> dict[str, object]:
    return {
        "seed": 3,
        "meshUuid": "6f666669-6365-4d65-9368-00000000000c",
        "gateways": [{"id": "gw", "node": "0002", "reportGroup": "d001"}],
        "initial": [{"nodes": ["0001"], "relay": "Disabled"}],
        "nodes": [
            {"address": "0001", "x": 0, "y": 0, "gateway": "gw", "groups": ["c001"]},
            {"address": "0002", "x": 3, "y": 0, "gateway": "gw"},
            {"address": "0003", "x": 300, "y": 0, "gateway": "gw"},
        ],
    }


def parse(document: dict[str, object]) -> MeshScenario:
    return parse_scenario(yaml.safe_dump(document))


def test_every_node_listens_to_its_report_group_and_its_own_groups() -> None:
    nodes = plan_network(parse(make_scenario())).nodes

    assert [n.groups for n in nodes] == [(0xD001, 0xC001), (0xD001,), (0xD001,)]
    assert [n.report_to for n in nodes] == [2, 2, 2]
    assert [n.gateway_id for n in nodes] == [None, "gw", None]


def test_what_the_scenario_does_not_say_is_set_all_the_same() -> None:
    nodes = plan_network(parse(make_scenario())).nodes

    assert nodes[0].settings.relay is False
    assert nodes[0].settings.default_ttl == FIRST_SETTINGS.default_ttl
    assert nodes[1].settings == FIRST_SETTINGS


def test_nodes_out_of_reach_hear_nothing_and_neighbours_do() -> None:
    reaches = plan_network(parse(make_scenario())).reaches()

    assert [[r.target for r in row] for row in reaches] == [[1], [0], []]


def test_uuids_are_those_of_the_inventory_and_every_device_key_differs() -> None:
    document = make_scenario()

    nodes = plan_network(parse(document)).nodes

    inventory = to_databases(document)["gw"]["nodes"]
    assert [n.keys.uuid.hex() for n in nodes] == [entry["UUID"].replace("-", "") for entry in inventory]
    assert len({n.keys.device_key for n in nodes}) == 3
    assert len({n.keys.net_key for n in nodes}) == 1


def test_keys_are_not_in_the_text_of_a_plan() -> None:
    plan = plan_network(parse(make_scenario()))

    assert plan.nodes[0].keys.device_key.hex() not in repr(plan)
    assert str(plan.nodes[0].keys.device_key) not in repr(plan)
