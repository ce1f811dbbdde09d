"""The gateway's side of the connection to an emulated mesh: JSON lines over TCP, coming back by itself.

Protocol: see the documentation of the emulated mesh's server. `meshtwin.gateway.bluez.link` fulfils `MeshLink` too.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import structlog

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.exchanges import OCCUPANCY_SHARE
from meshtwin.gateway.measured import PROBE_SPACING_S

__all__ = [
    "EmulatedMeshLink",
    "MeshEvent",
    "MeshFault",
    "MeshLink",
    "Observability",
    "Received",
    "Sensed",
    "Unsent",
    "Welcome",
]

log = structlog.get_logger(__name__)

RECONNECT_S: Final = 1.0
Observability = Literal["notifications", "heartbeats"]
LINE_LIMIT: Final = 64 * 1024  # bytes; a gateway gets single messages only


@dataclass(frozen=True, slots=True)
class Received:
    """An access message to the gateway's node; ``ttl`` None: the stack does not tell it."""

    source: int
    payload: bytes
    ttl: int | None


@dataclass(frozen=True, slots=True)
class Sensed:
    """Busy time of the gateway's node on one channel, and mesh time, both in seconds since some start."""

    busy_s: float
    mesh_s: float


@dataclass(frozen=True, slots=True)
class MeshFault:
    """The way into the mesh is lost, and why; None: it is there again."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Unsent:
    """A message that the stack did not take, and why: there is no answer to wait for."""

    destination: int
    reason: str


MeshEvent = Received | Sensed | MeshFault | Unsent


@dataclass(frozen=True, slots=True, kw_only=True)
class Welcome:
    """What the mesh says of the gateway's node; ``speed``: mesh seconds per second."""

    address: int
    report_group: int
    mesh_uuid: str
    speed: float
    uncertainty_ms: float
    stack_profile: str = "emulated"
    occupancy_share: float = OCCUPANCY_SHARE
    repeats_notifications: bool = True
    senses_occupancy: bool = True
    probe_spacing_s: float = PROBE_SPACING_S
    reads_composition: bool = False
    observability: Observability = "notifications"
    network_nodes: int | None = None
    neighbours_at_most: int | None = None
    measures_round_trips: bool = False


class MeshLink(Protocol):
    """A way into the mesh through one node."""

    async def connect(self) -> Welcome: ...
    async def run(self, on_event: Callable[[MeshEvent], None]) -> None: ...
    def send(self, destination: int, payload: bytes, ttl: int | None) -> None: ...
    def sense(self) -> None: ...
    def listen(self, group: int) -> None: ...
    async def close(self) -> None: ...


class EmulatedMeshLink:
    """`connect` once, then `run` for ever; ``on_event`` gets what is received.

    Messages sent while the connection is away are lost, as in the air.
    """

    def __init__(self, *, host: str, port: int, token: str, gateway_id: str) -> None:
        self._host, self._port = host, port
        self._hello = {"op": "hello", "token": token, "gateway": gateway_id}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self) -> Welcome:
        """Connect; raises `Unavailable` if nobody answers, `InvalidInput` if we are refused."""
        place = f"{self._host}:{self._port}"
        try:
            self._reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_LIMIT)
            writer.write(json.dumps(self._hello).encode() + b"\n")
            line = json.loads(await self._reader.readline() or b"{}")
        except (OSError, ValueError) as error:
            raise Unavailable(f"mesh not connected: {error}", place=place) from error
        if line.get("op") != "welcome":
            writer.close()
            raise InvalidInput(f"mesh refused the gateway: {line.get('error', 'closed')}", place=place)
        self._writer = writer
        return Welcome(
            address=int(line["address"]),
            report_group=int(line["reportGroup"]),
            mesh_uuid=str(line["meshUuid"]),
            speed=float(line["speed"]),
            uncertainty_ms=float(line["uncertaintyMs"]),
        )

    async def run(self, on_event: Callable[[MeshEvent], None]) -> None:
        """Hand over what is received, and connect again whenever the connection ends."""
        while True:
            reader = self._reader
            with contextlib.suppress(ConnectionError, ValueError):
                while reader is not None and (line := await reader.readline()):
                    event = _parse_event(json.loads(line))
                    if event is not None:
                        on_event(event)
            self._writer = None
            log.warning("Mesh connection lost", host=self._host, port=self._port)
            on_event(MeshFault(f"connection to the mesh at {self._host}:{self._port} is lost"))
            await self._reconnect()
            on_event(MeshFault(None))

    def send(self, destination: int, payload: bytes, ttl: int | None) -> None:
        """Originate an access message."""
        self._say({"op": "send", "destination": destination, "payload": payload.hex(), "ttl": ttl})

    def sense(self) -> None:
        """Ask for a `Sensed`."""
        self._say({"op": "sense"})

    def listen(self, group: int) -> None:
        """Nothing: an emulated node receives the groups of its scenario, also where a gateway stands."""

    async def close(self) -> None:
        """End the connection."""
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(ConnectionError):
                await self._writer.wait_closed()

    def _say(self, message: dict[str, Any]) -> None:
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def _reconnect(self) -> None:
        while True:
            await asyncio.sleep(RECONNECT_S)
            try:
                await self.connect()
                return
            except (Unavailable, InvalidInput) as error:
                log.debug("Mesh still away", error=str(error))


def _parse_event(line: dict[str, Any]) -> Received | Sensed | None:
    match line.get("op"):
        case "received":
            return Received(int(line["source"]), bytes.fromhex(line["payload"]), int(line["ttl"]))
        case "sensed":
            return Sensed(float(line["busyS"]), float(line["meshTimeS"]))
        case _:
            return None
