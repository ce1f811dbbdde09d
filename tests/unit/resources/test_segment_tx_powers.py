"""Transmit powers that a `MeshSegment` states, read together with its inventory."""

import json

import pytest

from meshtwin_operator.inventories import view_inventory
from meshtwin_operator.resources.segments import MeshSegment

NODES = [{"UUID": "0" * 31 + str(i), "unicastAddress": f"000{i}"} for i in (1, 2, 3)]
CONFIG_MAP = {
    "metadata": {"labels": {"meshtwin.dev/inventory": "true"}},
    "data": {"network.json": json.dumps({"meshUUID": "a" * 32, "nodes": NODES})},
}


def view(*powers):
    inventory = {"configMapRef": {"name": "hall"}, "txPowers": list(powers)}
    segment = {
        "apiVersion": "meshtwin.dev/v1alpha1",
        "kind": "MeshSegment",
        "metadata": {"name": "hall", "namespace": "buildings"},
        "spec": {"twinRef": {"name": "hall"}, "gatewayId": "gw", "inventory": inventory},
    }
    return view_inventory(MeshSegment.model_validate(segment), CONFIG_MAP)


def test_nodes_have_the_power_of_the_last_entry_that_names_them():
    found = view({"txPowerDbm": 4}, {"nodes": ["0002-0003"], "txPowerDbm": 8, "deviationDb": 2})
    powers = [node.tx_power for node in found.inventory.nodes]
    assert [(power.tx_power_dbm, power.deviation_db) for power in powers] == [(4, 0), (8, 2), (8, 2)]


def test_segment_without_powers_has_nodes_without_powers():
    assert [node.tx_power for node in view().inventory.nodes] == [None, None, None]


@pytest.mark.parametrize(
    ("nodes", "problem"),
    [
        (["0001", "0009"], "'0009' names no node of the inventory (txPowers[1].nodes[1])"),
        (["0010-001f"], "'0010-001f' names no node of the inventory (txPowers[1].nodes[0])"),
    ],
)
def test_power_of_nodes_that_the_inventory_does_not_hold_stalls_the_segment(nodes, problem):
    found = view({"txPowerDbm": 4}, {"nodes": nodes, "txPowerDbm": 8})
    assert found.problem == ("UnknownNode", problem)
