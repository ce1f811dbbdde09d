"""The gateway's side of the connection to an emulated mesh: JSON lines over TCP, coming back by itself."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any, Final

import structlog

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.mesh_lines import parse_event, parse_welcome
from meshtwin.gateway.mesh_link import MeshEvent, MeshFault, Welcome

__all__ = ["EmulatedMeshLink"]

log = structlog.get_logger(__name__)

RECONNECT_S: Final = 1.0
WELCOME_LIMIT_S: Final = 10.0  # for an answer to our hello; a busy emulation answers within its turn, some 10 ms
LINE_LIMIT: Final = 64 * 1024  # bytes; a gateway gets single messages only


class EmulatedMeshLink:
    """`connect` once, then `run` for ever; ``on_event`` gets what is received.

    Messages sent while the connection is away are lost, as in the air. A line that is none of the protocol's is
    left out, counted in ``bad_lines``, and told once per connection.
    """

    def __init__(
        self, *, host: str, port: int, token: str, gateway_id: str, welcome_within_s: float = WELCOME_LIMIT_S
    ) -> None:
        self._host, self._port = host, port
        self._hello = {"op": "hello", "token": token, "gateway": gateway_id}
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._welcome_within_s = welcome_within_s
        self.bad_lines = 0

    async def connect(self) -> Welcome:
        """Connect.

        Raises `Unavailable` if nobody answers in time, `InvalidInput` if we are refused, or if what answers is no
        emulated mesh.
        """
        place = f"{self._host}:{self._port}"
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(self._welcome_within_s):
                reader, writer = await asyncio.open_connection(self._host, self._port, limit=LINE_LIMIT)
                writer.write(json.dumps(self._hello).encode() + b"\n")
                welcome = parse_welcome(await reader.readline(), place)
        except TimeoutError as error:
            _drop(writer)
            raise Unavailable(
                f"mesh not connected: no answer within {self._welcome_within_s:g} s", place=place
            ) from error
        except (OSError, ValueError) as error:  # ValueError: a line without end
            _drop(writer)
            raise Unavailable(f"mesh not connected: {error}", place=place) from error
        except BaseException:
            _drop(writer)
            raise
        self._reader, self._writer = reader, writer
        return welcome

    async def run(self, on_event: Callable[[MeshEvent], None]) -> None:
        """Hand over what is received, and connect again whenever the connection ends."""
        while True:
            reader = self._reader
            with contextlib.suppress(ConnectionError, ValueError):  # ValueError: a line without end
                bad_before = self.bad_lines
                while reader is not None and (line := await reader.readline()):
                    self._take(line, on_event, is_first=self.bad_lines == bad_before)
            _drop(self._writer)
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

    def _take(self, line: bytes, on_event: Callable[[MeshEvent], None], *, is_first: bool) -> None:
        try:
            event = parse_event(line)
        except InvalidInput as error:
            self.bad_lines += 1
            if is_first:
                log.warning("Line of the mesh left out", error=str(error))
            return
        if event is not None:
            on_event(event)

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


def _drop(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.close()
