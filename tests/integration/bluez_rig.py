"""A virtual Bluetooth Mesh, a broker and gateways as processes, with an operator's view of the broker."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.integration.gateway_rig import GATEWAY, GatewayRig, until

__all__ = ["GATEWAY", "HARD_EDGE", "BluezRig", "make_chain", "make_scenario", "run_air", "until"]

# Heard always up to 5 m, and not at all from 7 m on: who is whose neighbour is beyond doubt.
HARD_EDGE = {"shadowingDb": 0, "directionDb": 0, "channelDb": 0, "softnessDb": 0.3, "sensitivityDbm": -75}


def make_scenario(nodes: int, *, columns: int = 2, gateway_node: str = "0002", **more: Any) -> dict[str, Any]:
    """Nodes in a grid, 4 m apart one way and 3 m the other; members of group c001 are multiples of three."""
    return {
        "seed": 5,
        "meshUuid": "6f666669-6365-4d65-9368-00000000000c",
        "radio": {"shadowingDb": 1.0, "sensitivityDbm": -78},
        "gateways": [{"id": GATEWAY, "node": gateway_node, "reportGroup": "d001"}],
        "nodes": [
            {
                "address": f"{index + 1:04x}",
                "x": 4.0 * (index // columns),
                "y": 3.0 * (index % columns),
                "gateway": GATEWAY,
                "groups": ["c001"] if (index + 1) % 3 == 0 else [],
            }
            for index in range(nodes)
        ],
        **more,
    }


class BluezRig(GatewayRig):
    """`start` boots the air; `start_broker` and `start_gateway` add what a test needs."""

    async def start(self) -> None:
        self.air_process, self.air = await self.start_mesh("virtual_air")

    async def stop(self) -> None:
        """End everything; the folder of an air that was killed is removed here."""
        await super().stop()
        for told in self.air["gateways"].values() if hasattr(self, "air") else ():
            shutil.rmtree(Path(told["keysFile"]).parent, ignore_errors=True)

    async def start_broker(self) -> None:
        await super().start_broker()
        await self.follow()

    def mesh_settings(self) -> dict[str, Any]:
        settings: dict[str, Any] = self.air["gateways"][GATEWAY]
        return settings

    async def true_settings(self) -> dict[str, Any]:
        """What nodes without a gateway have, by their own Configuration Servers."""
        nodes = (await self.mesh.truth())["nodes"]
        return {name: {k: v for k, v in said.items() if k != "on"} for name, said in nodes.items() if "relay" in said}


def make_chain(nodes: int, *, gateway_node: str | None = None, relay: bool = True) -> dict[str, Any]:
    """Nodes in a row, each heard by its neighbours alone, always; relays and network transmit send three times."""
    scenario = make_scenario(nodes, columns=1, gateway_node=gateway_node or f"{nodes:04x}")
    transmit = {"count": 2, "intervalSteps": 1}
    switch = "Enabled" if relay else "Disabled"
    settings = {"relay": switch, "relayRetransmit": transmit, "networkTransmit": transmit, "defaultTtl": 20}
    return scenario | {"radio": HARD_EDGE, "initial": [{"nodes": [f"0001-{nodes:04x}"], **settings}]}


@asynccontextmanager
async def run_air(folder: Path, scenario: dict[str, Any]) -> AsyncIterator[BluezRig]:
    """Air and broker of a scenario; the gateway is not started."""
    rig = BluezRig(folder, scenario)
    try:
        await rig.start()
        await rig.start_broker()
        yield rig
    finally:
        await rig.stop()
