"""Inventories from Mesh Configuration Database documents."""

import gzip
import json
import uuid
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshtwin.emulation.inventories import to_databases, to_placements
from meshtwin.errors import InvalidInput
from meshtwin.mesh import inventory as module
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.inventory import parse_inventory

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples" / "office"


def document(*addresses: str, **changes: Any) -> dict[str, Any]:
    nodes = [
        {
            "UUID": str(uuid.UUID(int=index + 1)),
            "unicastAddress": address,
            "name": f"lamp {index}",
            "crpl": "0028",
            "features": {"relay": 1, "proxy": 0, "friend": 2, "lowPower": 2},
            "elements": [{"models": [{"modelId": "1000", "subscribe": ["C001"]}]}],
        }
        for index, address in enumerate(addresses)
    ]
    return {"meshUUID": str(uuid.UUID(int=99)), "nodes": nodes, **changes}


def parse(content: dict[str, Any], **arguments: Any) -> Any:
    return parse_inventory(json.dumps(content).encode(), **arguments)


def refusal(content: bytes, **arguments: Any) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        parse_inventory(content, **arguments)
    return caught.value


def test_nodes_have_addresses_groups_and_capabilities() -> None:
    inventory = parse(document("0002", "0001"))

    assert inventory.addresses == (1, 2)
    assert inventory.nodes[0].groups == {0xC001}
    assert inventory.nodes[0].capabilities.replay_list_size == 40
    assert inventory.members(0xC001) == (1, 2)


def test_gzip_gives_the_same_inventory() -> None:
    content = json.dumps(document("0001")).encode()

    assert parse_inventory(gzip.compress(content)) == parse_inventory(content)


def test_relay_feature_that_is_unsupported_cannot_be_set() -> None:
    content = document("0001", "0002")
    content["nodes"][0]["features"]["relay"] = 2

    inventory = parse(content)

    assert [node.capabilities.relay for node in inventory.nodes] == [False, True]


def test_excluded_nodes_are_left_out() -> None:
    content = document("0001", "0002")
    content["nodes"][1]["excluded"] = True

    assert parse(content).addresses == (1,)


def test_label_uuid_in_a_subscription_is_no_group() -> None:
    content = document("0001")
    content["nodes"][0]["elements"][0]["models"][0]["subscribe"] = ["C002", "0073e7e4d8b9440faf8415df4c56c0e1"]

    assert parse(content).nodes[0].groups == {0xC002}


def test_placement_gives_positions_and_frozen_ranges_freeze() -> None:
    placement = json.dumps({"nodes": {"0001": {"xMetres": 1.5, "yMetres": 2}}}).encode()

    inventory = parse(document("0001", "0002", "0003"), placement=placement, frozen_ranges=("0002-0003",))

    assert inventory.nodes[0].position.x_m == 1.5
    assert inventory.nodes[1].position is None
    assert [node.frozen for node in inventory.nodes] == [False, True, True]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"netKeys": [{"name": "k", "index": 0, "key": "00" * 16}]}, "inventory.netKeys[0].key"),
        ({"appKeys": [{"index": 0}, {"index": 1, "key": "00"}]}, "inventory.appKeys[1].key"),
        ({"netKeys": [{"index": 0, "oldKey": "00"}]}, "inventory.netKeys[0].oldKey"),
    ],
)
def test_network_and_application_keys_are_refused_with_their_place(change: dict[str, Any], place: str) -> None:
    error = refusal(json.dumps(document("0001", **change)).encode())

    assert (error.reason, error.place) == ("KeysInInventory", place)


def test_device_keys_are_refused_and_never_shown() -> None:
    content = document("0001", "0002")
    content["nodes"][1]["deviceKey"] = "5ec4e7"

    error = refusal(json.dumps(content).encode())

    assert error.place == "inventory.nodes[1].deviceKey"
    assert "5ec4e7" not in str(error)


def test_key_lists_without_keys_are_welcome() -> None:
    assert parse(document("0001", netKeys=[{"index": 0, "name": "lights"}])).addresses == (1,)


def test_address_used_twice_is_refused() -> None:
    assert refusal(json.dumps(document("0001", "0001")).encode()).reason == "DuplicateAddress"


def test_element_address_of_another_node_is_refused() -> None:
    content = document("0001", "0002")
    content["nodes"][0]["elements"].append({"models": []})

    assert refusal(json.dumps(content).encode()).reason == "DuplicateAddress"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "NotJson"),
        (b"[" * 200_000, "NotJson"),
        (b"\xff\xfe", "NotJson"),
        (b"[]", "WrongSchema"),
        (b"{}", "WrongSchema"),
        (b"\x1f\x8bbroken", "BrokenGzip"),
        (gzip.compress(b"{}", mtime=0)[:-4], "BrokenGzip"),
    ],
)
def test_broken_documents_are_refused_with_a_reason(content: bytes, reason: str) -> None:
    assert refusal(content).reason == reason


def test_gzip_bomb_is_refused_without_unpacking_all_of_it() -> None:
    bomb = gzip.compress(b" " * (module.INVENTORY_BYTES_MAX * 2))

    assert refusal(bomb).reason == "Oversized"


def test_more_nodes_than_allowed_are_refused_with_both_numbers() -> None:
    content = document(*(f"{n:04x}" for n in range(1, module.NODES_MAX + 2)))

    error = refusal(json.dumps(content).encode())

    assert error.reason == "TooManyNodes"
    assert "2001" in error.message
    assert "2000" in error.message


def test_group_address_as_node_address_is_refused_with_its_place() -> None:
    error = refusal(json.dumps(document("0001", "C001")).encode())

    assert error.place == "inventory.nodes[1].unicastAddress"


def test_placement_of_an_unknown_node_is_refused() -> None:
    placement = json.dumps({"nodes": {"0009": {"xMetres": 1, "yMetres": 2}}}).encode()

    error = refusal(json.dumps(document("0001")).encode(), placement=placement)

    assert (error.reason, error.place) == ("UnknownNode", "inventory.placement.nodes")


def test_office_sample_is_what_its_scenario_says() -> None:
    scenario = yaml.safe_load((SAMPLES.parent / "emulated-building" / "mesh.yaml").read_text())

    for gateway_id, database in to_databases(scenario).items():
        half = gateway_id.removeprefix("gw-")
        placement = to_placements(scenario)[gateway_id]
        assert json.loads((SAMPLES / f"{half}-network.json").read_text()) == database
        assert json.loads((SAMPLES / f"{half}-placement.json").read_text()) == placement


def test_office_segments_share_no_node_and_hold_all_52() -> None:
    halves = [
        parse_inventory(
            (SAMPLES / f"{half}-network.json").read_bytes(), (SAMPLES / f"{half}-placement.json").read_bytes()
        )
        for half in ("north", "south")
    ]

    addresses = [address for half in halves for address in half.addresses]

    assert sorted(addresses) == [UnicastAddress(n) for n in range(1, 53)]
    assert halves[0].mesh_uuid == halves[1].mesh_uuid
    assert halves[0].members(0xC001)
    assert halves[1].members(0xC002)
