"""The emulated mesh as a process: mesh time follows the wall, gateways and tests connect over TCP.

One JSON object per line, at most `LINE_LIMIT` bytes. The first line of a client says who it is:

- ``{"op": "hello", "token": T, "gateway": "gw-north"}``: a gateway. Answer ``{"op": "welcome", "address",
  "reportGroup", "meshUuid", "speed", "uncertaintyMs"}``; it may then say
  ``{"op": "send", "destination", "payload", "ttl"}`` (hex payload; ttl absent: the node's default) and
  ``{"op": "sense"}``, answered by ``{"op": "sensed", "busyS", "meshTimeS"}``: how long its node heard or sent
  something on one channel. It gets ``{"op": "received", "source", "payload", "ttl", "powerDbm"}``.
  Nothing else: whatever a gateway learns of other nodes came through the mesh.
- ``{"op": "hello", "token": T, "control": true}``: a test or the demo. Each line is an action of
  `World.act`, or ``pause`` (``seconds``: the whole process stands still), ``truth``, ``forget``
  (measure from now on); each is answered by ``{"ok": true, ...}`` or ``{"error": ...}``.

A wrong token, an unknown gateway or a broken line closes the connection with ``{"error": ...}``.
A second connection of the same gateway takes over from the first.
"""

import asyncio
import hmac
import json
import time
from collections.abc import Callable
from typing import Any, Final

import structlog

from meshtwin.emulation.world import Attachment, World
from meshtwin.errors import InvalidInput

__all__ = ["LINE_LIMIT", "MeshServer"]

log = structlog.get_logger(__name__)

LINE_LIMIT: Final = 1 << 20  # bytes; a truth of 255 nodes takes about 300 kB
TURN_S: Final = 0.005  # wall time between two turns: resolution of what gateways see
TURN_EVENTS: Final = 2000  # events per turn before other tasks get the loop: about 20 ms
LAG_LIMIT_S: Final = 1.0  # wall time; further behind, mesh time is slowed instead of caught up


class MeshServer:
    """Serves one `World` in real time; ``monotonic`` is the wall clock in seconds."""

    def __init__(self, world: World, *, token: str, speed: float, monotonic: Callable[[], float]) -> None:
        self._world = world
        self._token = token
        self._speed = speed
        self._monotonic = monotonic
        self._origin_s = monotonic()
        self._gateways: dict[int, asyncio.StreamWriter] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self.lag_s = 0.0  # wall time by which mesh time was slowed so far

    async def run_time(self) -> None:
        """Let mesh time follow the wall for ever."""
        env = self._world.env
        while True:
            target_s = (self._monotonic() - self._origin_s) * self._speed
            steps = 0
            while env.peek() <= target_s and steps < TURN_EVENTS:
                env.step()
                steps += 1
            behind_s = (target_s - env.peek()) / self._speed
            if behind_s > LAG_LIMIT_S:
                self._origin_s += behind_s
                self.lag_s += behind_s
                log.warning("Mesh time slowed", behind_s=round(behind_s, 2), speed=self._speed)
            await asyncio.sleep(0 if steps >= TURN_EVENTS else TURN_S)

    async def serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        self._writers.add(writer)
        attachment: Attachment | None = None
        try:
            hello = await self._read(reader)
            if hello is None or hello.get("op") != "hello":
                raise InvalidInput("the first line is not a hello")
            if not hmac.compare_digest(str(hello.get("token", "")), self._token):
                raise InvalidInput("wrong token")
            if hello.get("control") is True:
                await self._serve_control(reader, writer)
            else:
                attachment = self._world.attachment(str(hello.get("gateway")))
                await self._serve_gateway(attachment, reader, writer)
        except (InvalidInput, ValueError) as error:
            self._write(writer, {"error": str(error)})
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            if attachment is not None and self._gateways.get(attachment.index) is writer:
                del self._gateways[attachment.index]
                self._world.listeners.pop(attachment.index, None)
            self._writers.discard(writer)
            writer.close()

    def close(self) -> None:
        """Close all connections."""
        for writer in list(self._writers):
            writer.close()

    async def _serve_gateway(
        self, attachment: Attachment, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        previous = self._gateways.get(attachment.index)
        if previous is not None:
            previous.close()
        self._gateways[attachment.index] = writer
        self._world.listeners[attachment.index] = self._listener(writer)
        scenario = self._world.scenario
        self._write(
            writer,
            {
                "op": "welcome",
                "address": attachment.address,
                "reportGroup": attachment.report_group,
                "meshUuid": scenario.mesh_uuid,
                "speed": self._speed,
                "uncertaintyMs": scenario.clocks.uncertainty_ms,
            },
        )
        while (line := await self._read(reader)) is not None:
            if line.get("op") == "send":
                payload, ttl = bytes.fromhex(str(line["payload"])), line.get("ttl")
                self._world.send(attachment.index, int(line["destination"]), payload, ttl)
            elif line.get("op") == "sense":
                busy_s = self._world.medium.busy_s(attachment.index)
                self._write(writer, {"op": "sensed", "busyS": busy_s, "meshTimeS": self._world.env.now})
            else:
                raise InvalidInput(f"a gateway may not {line.get('op')!r}")

    def _listener(self, writer: asyncio.StreamWriter) -> Callable[[int, int, bytes, int, float], None]:
        def heard(source: int, _destination: int, payload: bytes, ttl: int, power_dbm: float) -> None:
            message = {
                "op": "received",
                "source": source,
                "payload": payload.hex(),
                "ttl": ttl,
                "powerDbm": round(power_dbm, 1),
            }
            self._write(writer, message)

        return heard

    async def _serve_control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while (line := await self._read(reader)) is not None:
            try:
                answer = self._control(line)
            except (InvalidInput, ValueError, KeyError) as error:
                answer = {"error": str(error)}
            self._write(writer, answer)
            await writer.drain()

    def _control(self, line: dict[str, Any]) -> dict[str, Any]:
        match line.get("op"):
            case "truth":
                return {"ok": True, "lagS": self.lag_s, **self._world.truth()}
            case "forget":
                self._world.tally.clear()
            case "pause":
                # The event loop itself stands still, as that of a hung process does.
                seconds = min(60.0, max(0.0, float(line.get("seconds", 1.0))))
                time.sleep(seconds)
                self._origin_s += seconds
            case _:
                self._world.act(line)
        return {"ok": True}

    async def _read(self, reader: asyncio.StreamReader) -> dict[str, Any] | None:
        line = await reader.readline()
        if not line:
            return None
        parsed = json.loads(line)
        if not isinstance(parsed, dict):
            raise InvalidInput("a line is not a JSON object")
        return parsed

    def _write(self, writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
        if not writer.is_closing():
            writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")
