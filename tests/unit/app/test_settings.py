"""Settings of the twin processes."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshtwin.app.segment_twin import read_facts
from meshtwin.app.settings import ParentTwinSettings, SegmentTwinSettings, read_settings
from meshtwin.errors import InvalidInput
from meshtwin.mesh.tx_power import TxPower


def write(folder: Path, **changes: Any) -> Path:
    (folder / "key").write_text("k" * 40 + "\n")
    whole = {
        "namespace": "buildings",
        "name": "office-north",
        "broker": {"host": "broker", "port": 8883, "username": "u", "passwordFile": str(folder / "key")},
        "dataFolder": str(folder / "data"),
        "restKeyFile": str(folder / "key"),
        "inventoryPath": str(folder / "network.json"),
        **changes,
    }
    path = folder / "config.json"
    path.write_text(json.dumps(whole))
    return path


def test_listen_is_written_as_text_or_as_object(tmp_path: Path) -> None:
    text = read_settings(SegmentTwinSettings, write(tmp_path, listen="0.0.0.0:8080")).listen
    parts = read_settings(SegmentTwinSettings, write(tmp_path, listen={"host": "0.0.0.0", "port": 8080})).listen

    assert text == parts
    assert (text.host, text.port) == ("0.0.0.0", 8080)


def test_password_comes_from_its_file_without_the_line_feed(tmp_path: Path) -> None:
    settings = read_settings(SegmentTwinSettings, write(tmp_path))

    assert settings.broker.read().password == "k" * 40


def test_flows_become_values(tmp_path: Path) -> None:
    flow = {"name": "a", "source": "0001", "destination": "c001"}

    settings = read_settings(SegmentTwinSettings, write(tmp_path, flows=[flow]))

    assert settings.flows[0].to_value().destination == 0xC001


def test_transmit_powers_reach_the_nodes_that_they_name(tmp_path: Path) -> None:
    nodes = [{"UUID": "0" * 31 + str(i), "unicastAddress": f"000{i}"} for i in (1, 2)]
    (tmp_path / "network.json").write_text(json.dumps({"meshUUID": "a" * 32, "nodes": nodes}))
    powers = [{"txPowerDbm": 4, "deviationDb": 1.5}, {"nodes": ["0002"], "txPowerDbm": -8}]

    facts = read_facts(read_settings(SegmentTwinSettings, write(tmp_path, txPowers=powers)))

    assert [node.tx_power for node in facts.inventory.nodes] == [TxPower(4, 1.5), TxPower(-8)]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"unknown": 1}, "unknown"),
        ({"txPowers": [{"txPowerDbm": 4}, {"txPowerDbm": 20.5}]}, "txPowers.1.txPowerDbm"),
        ({"txPowers": [{"txPowerDbm": 4, "nodes": []}]}, "txPowers.0.nodes"),
        ({"listen": "nowhere"}, "listen.host"),
        ({"flows": [{"name": "a", "source": "c001", "destination": "c001"}]}, "flows.0.source"),
        ({"monitoring": {"reportIntervalSeconds": 0}}, "monitoring.reportIntervalSeconds"),
    ],
)
def test_fault_is_refused_with_its_place(tmp_path: Path, changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_settings(SegmentTwinSettings, write(tmp_path, **changes))

    assert caught.value.place is not None
    assert caught.value.place.endswith(place)


def test_short_key_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path)
    (tmp_path / "key").write_text("short")

    with pytest.raises(InvalidInput, match="shorter than 32"):
        read_settings(SegmentTwinSettings, path).read_rest_key()


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not readable"):
        read_settings(ParentTwinSettings, tmp_path / "none.json")
