"""A gateway without privileges on a bus with the policy of a Debian system bus, as in a container."""

import asyncio
import json
import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.bluez_rig import GATEWAY, BluezRig, make_chain

from meshtwin.app.running import BAD_INPUT
from meshtwin.contract.configuration import Verb
from meshtwin.virtual_air.programs import why_not_here

MISSING = why_not_here()
SYSTEM_BUS = Path("/usr/share/dbus-1/system.conf")
MESH_POLICY = Path("/etc/dbus-1/system.d/bluetooth-mesh.conf")  # of the package bluez-meshd
IS_HERE = MISSING is None and os.geteuid() == 0 and SYSTEM_BUS.is_file() and MESH_POLICY.is_file()
pytestmark = [
    pytest.mark.bluez,
    pytest.mark.slow,
    pytest.mark.skipif(not IS_HERE, reason="needs root, to become nobody, and the packages dbus and bluez-meshd"),
]

# What twin/README.md tells to add where the package bluez, which has the same, is not installed.
CALL_BACK = """<policy user="root">
  <allow send_interface="org.freedesktop.DBus.ObjectManager"/>
  <allow send_interface="org.freedesktop.DBus.Properties"/>
</policy>"""


def system_policy(*more: str) -> str:
    found = [
        p for path in (SYSTEM_BUS, MESH_POLICY) for p in re.findall(r"<policy.*?</policy>", path.read_text(), re.S)
    ]
    return "\n".join((*found, *more))


class NobodysRig(BluezRig):
    """The gateway runs as nobody; the others as we do."""

    def spawn(self, module: str, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
        if module != "gateway":
            return super().spawn(module, settings)
        nobody = pwd.getpwnam("nobody")
        config, data = self.folder / "gateway.json", self.folder / "gateway"
        config.write_text(json.dumps(settings))
        data.mkdir(exist_ok=True)
        for path in (config, data, Path(settings["mesh"]["keysFile"])):
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        for folder in (self.folder, Path(settings["mesh"]["keysFile"]).parent):
            folder.chmod(0o755)
        become = ["setpriv", "--reuid", "nobody", "--regid", str(nobody.pw_gid), "--clear-groups", "--inh-caps=-all"]
        command = [*become, sys.executable, "-m", "meshtwin.app.gateway", str(config)]
        return self.popen(command, "gateway.log", stdout=subprocess.PIPE)


@pytest_asyncio.fixture
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[NobodysRig]:
    """Three nodes in a row; ``param`` is what the policy has besides."""
    with tempfile.TemporaryDirectory(prefix="nobody") as name:  # pytest's own folders are closed to others
        rig = NobodysRig(Path(name), make_chain(3))
        try:
            policy = Path(name) / "policy.xml"
            policy.write_text(system_policy(*request.param))
            rig.air_process, rig.air = await rig.start_mesh("virtual_air", gatewayPolicyFile=str(policy))
            await rig.start_broker()
            yield rig
        finally:
            await rig.stop()


@pytest.mark.parametrize("rig", [(CALL_BACK,)], indirect=True, ids=["may call back"])
async def test_a_gateway_needs_no_privilege(rig: NobodysRig) -> None:
    await rig.start_gateway()

    adopted = await rig.command(Verb.ADOPT, nodes=rig.nodes)
    assert {o["node"]: o["outcome"] for o in adopted["outcomes"]} == dict.fromkeys(rig.nodes, "applied")


@pytest.mark.parametrize("rig", [()], indirect=True, ids=["may not call back"])
async def test_a_policy_that_does_not_let_the_daemon_call_back_is_suspected(rig: NobodysRig) -> None:
    await rig.start_gateway(wait=False)

    assert await asyncio.to_thread(rig.gateway.wait, 20) == BAD_INPUT
    assert "must allow ObjectManager and Properties from root" in rig.log_text()
    assert GATEWAY in rig.air["gateways"]
