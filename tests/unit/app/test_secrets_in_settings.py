"""A password at a wrong place of a settings file, or a secret that is no text, is not shown by the refusal."""

import json
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from meshtwin.app.emulated_mesh import EmulatedMeshSettings
from meshtwin.app.gateway import GatewaySettings
from meshtwin.app.settings import ParentTwinSettings, SegmentTwinSettings
from meshtwin.app.settings_files import read_secret, read_settings
from meshtwin.app.virtual_air import VirtualAirSettings
from meshtwin.errors import InvalidInput, MeshTwinError

SECRET = "correct-horse-battery-staple"
GATEWAY = {"gatewayId": "gw", "mesh": {"port": 1}, "dataFolder": "/nowhere"}
TWIN = {"namespace": "n", "name": "t", "dataFolder": "d", "restKeyFile": "k", "inventoryPath": "i"}
WRONG: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (GatewaySettings, GATEWAY | {"broker": {"host": "b", "port": 1883, "password": SECRET}}),
    (GatewaySettings, GATEWAY | {"broker": {"host": "b", "port": SECRET}}),
    (GatewaySettings, GATEWAY | {"broker": {"host": "b", "port": 1883}, "mesh": {"port": 0, "token": SECRET}}),
    (GatewaySettings, GATEWAY | {"broker": SECRET}),
    (GatewaySettings, {"mesh": {"kind": "bluez", "keysFile": "f", "address": SECRET}}),
    (EmulatedMeshSettings, {"scenario": "s", "port": SECRET}),
    (EmulatedMeshSettings, {"token": [SECRET]}),
    (VirtualAirSettings, {"scenario": "s", "tokenFile": 3, "seed": SECRET}),
    (SegmentTwinSettings, TWIN | {"broker": {"host": "b", "port": 1883, "password": SECRET}}),
    (SegmentTwinSettings, TWIN | {"broker": {"host": "b", "port": 1}, "listen": SECRET}),
    (ParentTwinSettings, TWIN | {"restKeyFile": {"key": SECRET}}),
]


def shown(error: MeshTwinError) -> str:
    """What a log would have of it, its causes included."""
    return "".join(traceback.format_exception(error))


@pytest.mark.parametrize(("model", "document"), WRONG)
def test_a_refusal_shows_the_place_and_no_value(
    model: type[BaseModel], document: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(document))

    with pytest.raises(InvalidInput) as caught:
        read_settings(model, path)

    assert SECRET not in shown(caught.value)
    assert str(caught.value.place).startswith(f"{path}: ")


@pytest.mark.parametrize(("model", "document"), WRONG)
def test_the_models_themselves_show_no_value(model: type[BaseModel], document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        model.model_validate(document)

    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("text", [f"{SECRET} is no JSON", f'{{"token": "{SECRET}'])
def test_what_is_no_json_is_not_shown(text: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(text)

    with pytest.raises(InvalidInput) as caught:
        read_settings(GatewaySettings, path)

    assert SECRET not in shown(caught.value)


def test_a_secret_without_end_is_refused_and_not_read_into_memory() -> None:
    with pytest.raises(InvalidInput, match="more bytes than 65536"):
        read_secret(Path("/dev/zero"), "token")


def test_settings_without_end_are_refused() -> None:
    with pytest.raises(InvalidInput, match="more bytes than"):
        read_settings(GatewaySettings, Path("/dev/zero"))


def test_a_secret_that_is_no_text_is_refused_without_showing_it(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(b"\xff" + SECRET.encode())

    with pytest.raises(InvalidInput, match="no text") as caught:
        read_secret(path, "token")

    assert SECRET not in shown(caught.value)
