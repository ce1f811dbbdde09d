"""What can be wrong around a gateway on BlueZ: each says so in its place, and nothing is half-written."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import GATEWAY, BluezRig, make_chain, run_air, until

from meshtwin.app.running import BAD_INPUT, UNAVAILABLE
from meshtwin.contract.configuration import Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
pytestmark = [pytest.mark.bluez, pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]


@pytest_asyncio.fixture
async def rig(tmp_path: Path) -> AsyncIterator[BluezRig]:
    """Three nodes in a row; the gateway, at the end, is not started."""
    async with run_air(tmp_path, make_chain(3)) as rig:
        yield rig


def mesh(rig: BluezRig) -> dict[str, Any]:
    found: dict[str, Any] = rig.air["gateways"][GATEWAY]
    return found


def read_keys(rig: BluezRig) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(mesh(rig)["keysFile"]).read_text())
    return found


def write_keys(rig: BluezRig, text: str) -> None:
    Path(mesh(rig)["keysFile"]).write_text(text)


async def end_of(rig: BluezRig) -> int:
    code: int = await asyncio.to_thread(rig.gateway.wait, 20)
    return code


async def fault(rig: BluezRig, *words: str) -> str:
    """What the state says, once it says ``words``."""

    def told() -> str | None:
        text = rig.last("state").get("fault", "")
        return text if text and all(word in text for word in words) else None

    found: str = await until(told, 20)
    return found


async def test_a_daemon_that_is_missing_is_waited_for_and_the_state_says_so(rig: BluezRig) -> None:
    mesh(rig)["service"] = "org.bluez.nobody"
    await rig.start_gateway(wait=False)

    assert "start it" in await fault(rig, "DaemonMissing")
    assert not rig.last("state")["online"]
    assert rig.gateway.poll() is None


async def test_a_bus_that_is_not_there_is_waited_for_and_the_state_says_so(rig: BluezRig) -> None:
    mesh(rig)["busAddress"] = f"unix:path={rig.folder}/nobody"
    await rig.start_gateway(wait=False)

    assert "is dbus-daemon running" in await fault(rig, "BusUnavailable", f"{rig.folder}/nobody")
    assert rig.gateway.poll() is None


async def test_a_service_that_is_no_mesh_daemon_of_a_known_version_ends_the_gateway(rig: BluezRig) -> None:
    mesh(rig)["service"] = "org.freedesktop.DBus"  # it is there, and has no Network1
    await rig.start_gateway(wait=False)

    assert await end_of(rig) == BAD_INPUT
    assert "Network1.Import is missing" in await fault(rig, "WrongVersion")


async def test_a_daemon_that_goes_away_is_told_and_so_is_its_return(rig: BluezRig) -> None:
    await rig.start_gateway()
    await until(lambda: rig.last("state").get("online"), 20)

    await rig.mesh.act(op="nodeOff", node="0003")
    await fault(rig, "bluetooth-meshd")
    assert not rig.last("state")["online"]

    await rig.mesh.act(op="nodeOn", node="0003")
    await until(lambda: rig.last("state")["online"], 30)
    assert "fault" not in rig.last("state")


@pytest.mark.parametrize("spoiled", ["missing", "no json", "no key"])
async def test_keys_that_are_missing_or_unusable_end_the_gateway_with_their_place(rig: BluezRig, spoiled: str) -> None:
    document = read_keys(rig)
    if spoiled == "missing":
        mesh(rig)["keysFile"] += ".gone"
    else:
        write_keys(rig, "{" if spoiled == "no json" else json.dumps(document | {"appKeys": []}))
    await rig.start_gateway(wait=False)

    assert await end_of(rig) == (UNAVAILABLE if spoiled == "missing" else BAD_INPUT)
    assert mesh(rig)["keysFile"] in rig.log_text()
    assert not any(key["key"] in rig.log_text() for key in document["netKeys"] + document["appKeys"])


async def test_a_node_without_a_device_key_is_unknown_and_its_outcome_says_why_at_once(rig: BluezRig) -> None:
    document = read_keys(rig)
    document["nodes"] = [node for node in document["nodes"] if node["unicastAddress"] != "0001"]
    write_keys(rig, json.dumps(document))
    await rig.start_gateway()

    adopted = await rig.command(Verb.ADOPT, nodes=rig.nodes)

    outcomes = {o["node"]: (o["outcome"], o.get("reason")) for o in adopted["outcomes"]}
    assert outcomes["0001"] == ("unknown", "the keys file has no device key of it")
    assert outcomes["0002"][0] == "applied"


@pytest.mark.parametrize("name", ["gateway.json", "bluez.json"])
async def test_broken_records_are_refused_with_what_to_do_and_left_as_they_are(rig: BluezRig, name: str) -> None:
    await rig.start_gateway()
    rig.gateway.terminate()
    await end_of(rig)
    broken = rig.folder / "gateway" / name
    broken.write_bytes(broken.read_bytes()[:-20])
    before = broken.read_bytes()
    await rig.start_gateway(wait=False)

    assert await end_of(rig) == BAD_INPUT
    assert "MemoryBroken" in rig.log_text()
    assert "backup" in rig.log_text()
    assert broken.read_bytes() == before


async def test_a_folder_that_cannot_be_written_ends_the_gateway(rig: BluezRig) -> None:
    (rig.folder / "gateway").write_text("a file where the folder should be")  # also root cannot write into it
    await rig.start_gateway(wait=False)

    assert await end_of(rig) == UNAVAILABLE
    assert "StoreUnavailable" in rig.log_text()


async def test_a_folder_that_vanishes_while_the_gateway_runs_ends_it(rig: BluezRig) -> None:
    await rig.start_gateway()
    folder = rig.folder / "gateway"
    os.rename(folder, rig.folder / "elsewhere")
    folder.write_text("a file where the folder should be")

    assert await end_of(rig) == UNAVAILABLE  # at the next note of the sequence number
    assert "StoreUnavailable" in rig.log_text()
    kept = json.loads((rig.folder / "elsewhere" / "bluez.json").read_text())
    assert kept["isCommissioned"]
