"""Control of a virtual network over TCP: faults and truth, for tests and demonstrations.

The protocol is that of an emulated mesh's control connection (`meshtwin.emulation.server`), so that
`meshtwin.emulation.control.MeshControl` is the client of both: one JSON object per line, first a hello with token.
"""

import asyncio
import hmac
import json
from typing import Any, Final

from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.virtual_air.network import VirtualNetwork

__all__ = ["ControlServer"]

LINE_LIMIT: Final = 1 << 20  # bytes, as of an emulated mesh


class ControlServer:
    """Serves control connections of one network."""

    def __init__(self, network: VirtualNetwork, token: str) -> None:
        self._network = network
        self._token = token
        self._writers: set[asyncio.StreamWriter] = set()

    async def serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        self._writers.add(writer)
        try:
            hello = json.loads(await reader.readline() or b"{}")
            if hello.get("op") != "hello" or not hmac.compare_digest(str(hello.get("token", "")), self._token):
                raise InvalidInput("the first line is not a hello with the right token")
            while line := await reader.readline():
                _write(writer, await self._answer(json.loads(line)))
                await writer.drain()
        except (InvalidInput, ValueError, AttributeError) as error:
            _write(writer, {"error": str(error)})
        except ConnectionError:
            pass
        finally:
            self._writers.discard(writer)
            writer.close()

    def close(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.close()

    async def _answer(self, action: dict[str, Any]) -> dict[str, Any]:
        try:
            if action.get("op") == "truth":
                return {"ok": True, **await self._truth()}
            await self._network.act(action)
        except (MeshTwinError, TypeError, ValueError) as error:
            return {"error": str(error)}
        return {"ok": True}

    async def _truth(self) -> dict[str, Any]:
        """What only tests may know; the settings of nodes where a gateway stands are its own secret."""
        network = self._network
        names = [format_address(UnicastAddress(node.address)) for node in network.plan.nodes]
        nodes: dict[str, Any] = {}
        for index, station in network.stations.items():
            is_on = station.daemon.is_running
            settings: dict[str, object] = {}
            if is_on and station.client is not None:
                settings = (await station.client.read(network.plan.nodes[index].address)).to_json()
            nodes[names[index]] = settings | {"on": is_on}
        air = network.air
        return {
            "nodes": nodes,
            "links": {
                f"{names[i]}-{names[reach.target]}": round(sum(reach.probability) / len(reach.probability), 4)
                for i, row in enumerate(air.physics.reaches)
                for reach in row
            },
            "transmissions": air.transmissions,
            "deliveries": air.deliveries,
            "collisions": air.physics.collisions,
            "undelivered": air.undelivered,
            "meanLateMs": round(air.mean_late_ms, 3),
        }


def _write(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    if not writer.is_closing():
        writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
