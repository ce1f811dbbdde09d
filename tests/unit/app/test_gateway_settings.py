"""The gateway's own settings file: what it refuses, and where."""

import json
from pathlib import Path
from typing import Any

import pytest

from meshtwin.app.gateway_settings import GatewaySettings
from meshtwin.app.settings_files import read_settings
from meshtwin.errors import InvalidInput


def write(folder: Path, **mesh: Any) -> Path:
    path = folder / "gateway.json"
    on_bluez = {"kind": "bluez", "keysFile": "keys.json", "address": "0002", "reportGroup": "d001"}
    document = {
        "gatewayId": "gw-hall",
        "broker": {"host": "broker", "port": 8883},
        "mesh": on_bluez | mesh,
        "dataFolder": str(folder),
    }
    path.write_text(json.dumps(document))
    return path


def test_gateway_on_bluez_needs_no_more_than_keys_address_and_report_group(tmp_path: Path) -> None:
    assert read_settings(GatewaySettings, write(tmp_path)).mesh.kind == "bluez"


@pytest.mark.parametrize(
    ("field", "value"),
    [("reportGroup", "0001"), ("reportGroup", "8001"), ("address", "c001"), ("neighboursAtMost", 0), ("kind", "blues")],
)
def test_what_cannot_be_on_bluez_is_refused_with_its_place(tmp_path: Path, field: str, value: Any) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_settings(GatewaySettings, write(tmp_path, **{field: value}))
    assert (field if field != "kind" else "mesh") in str(caught.value)


def test_broker_without_a_name_is_refused_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text().replace('"host": "broker"', '"host": ""'))
    with pytest.raises(InvalidInput, match=r"broker\.host"):
        read_settings(GatewaySettings, path)


def test_zero_byte_in_a_path_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="zero byte"):
        read_settings(GatewaySettings, write(tmp_path, keysFile="keys\0.json"))


def test_mesh_of_another_kind_is_told_which_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="kind is neither 'emulated' nor 'bluez'"):
        read_settings(GatewaySettings, write(tmp_path, kind="blues"))
