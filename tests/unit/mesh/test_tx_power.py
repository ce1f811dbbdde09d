"""Transmit power of nodes: what may be stated, and for which nodes it holds."""

import json

import pytest

from meshtwin.app.settings import TxPowerConfig
from meshtwin.errors import InvalidInput
from meshtwin.mesh.inventory import parse_inventory
from meshtwin.mesh.tx_power import TxPower, TxPowerRange, expand_tx_powers
from meshtwin_operator.resources.segments import TxPowerSpec

NODES = (1, 2, 3, 10)


def powers(*ranges):
    return {address: power.tx_power_dbm for address, power in expand_tx_powers(ranges, NODES).items()}


def entry(tx_power_dbm, *nodes):
    return TxPowerRange(tx_power=TxPower(tx_power_dbm), nodes=nodes or None)


def test_entry_without_nodes_holds_for_all_of_the_inventory():
    assert powers(entry(4)) == {1: 4, 2: 4, 3: 4, 10: 4}


def test_later_entry_holds_instead_of_an_earlier_one():
    assert powers(entry(4), entry(8, "0002-0003")) == {1: 4, 2: 8, 3: 8, 10: 4}
    assert powers(entry(8, "0002-0003"), entry(4)) == {1: 4, 2: 4, 3: 4, 10: 4}


def test_later_entry_does_not_inherit_the_deviation_of_an_earlier_one():
    ranges = (TxPowerRange(tx_power=TxPower(4, 2)), TxPowerRange(tx_power=TxPower(8), nodes=("000a",)))
    stated = expand_tx_powers(ranges, NODES)
    assert (stated[1], stated[10]) == (TxPower(4, 2), TxPower(8, 0))


def test_nodes_that_no_entry_names_have_no_power():
    assert powers(entry(8, "0002")) == {2: 8}


@pytest.mark.parametrize(
    ("power_dbm", "deviation_db", "message", "place"),
    [
        (20.5, 0, "20.5 dBm is outside -40..20 dBm", "txPowerDbm"),
        (-41, 0, "-41 dBm is outside -40..20 dBm", "txPowerDbm"),
        (float("nan"), 0, "nan dBm is outside -40..20 dBm", "txPowerDbm"),
        (0, -1, "-1 dB is outside 0..10 dB", "deviationDb"),
        (0, 10.1, "10.1 dB is outside 0..10 dB", "deviationDb"),
        (0, float("inf"), "inf dB is outside 0..10 dB", "deviationDb"),
    ],
)
def test_power_that_no_device_sends_with_is_refused(power_dbm, deviation_db, message, place):
    with pytest.raises(InvalidInput) as refused:
        TxPower(power_dbm, deviation_db)
    assert (refused.value.message, refused.value.place) == (message, place)


@pytest.mark.parametrize("power_dbm", [-40.0, 20.0])
def test_the_limits_themselves_are_welcome(power_dbm):
    assert TxPower(power_dbm, 10.0).tx_power_dbm == power_dbm


@pytest.mark.parametrize(
    ("nodes", "place"), [(("0001", "0005"), "txPowers[1].nodes[1]"), (("0003-0001",), "txPowers[1].nodes[0]")]
)
def test_ranges_that_name_no_node_or_are_reversed_are_refused_with_their_place(nodes, place):
    with pytest.raises(InvalidInput) as refused:
        powers(entry(4), entry(8, *nodes))
    assert refused.value.place == place


def test_inventory_carries_what_was_stated_and_keeps_its_hash():
    nodes = [{"UUID": "0" * 31 + str(i), "unicastAddress": f"000{i}"} for i in (1, 2)]
    content = json.dumps({"meshUUID": "a" * 32, "nodes": nodes}).encode()

    inventory = parse_inventory(content, tx_powers=(entry(-4, "0002"),))

    assert [node.tx_power for node in inventory.nodes] == [None, TxPower(-4)]
    assert inventory.content_hash == parse_inventory(content).content_hash


@pytest.mark.parametrize("said", [{"txPowerDbm": 8}, {"nodes": ["0001-0003"], "txPowerDbm": -20, "deviationDb": 2}])
def test_resource_and_settings_of_a_twin_mean_the_same(said):
    spec = TxPowerSpec.model_validate(said)
    plain = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert TxPowerConfig.model_validate(plain).to_value() == spec.to_value()
