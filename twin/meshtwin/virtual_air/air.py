"""The medium: takes PDUs from the daemons' sockets, lets them travel, hands them to those who receive them.

One datagram socket for all; a daemon's own socket path tells who sends. Daemon to air: AD type and payload,
without a length. Air to daemon: length, AD type, payload. A datagram ``00`` asks a daemon for its bus name.
"""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Final

from meshtwin.errors import Unavailable
from meshtwin.virtual_air.physics import AirPhysics, Event

__all__ = ["VirtualAir"]

DATAGRAM_MAX: Final = 64
RECEIVE_BUFFER: Final = 1 << 20  # bytes; a flood of 60 nodes comes in bursts
NAME_RETRY_S: Final = 0.01
NETWORK_PDU: Final = 0x2A  # AD type; the others are beacons and provisioning


class VirtualAir:
    """Node ``i`` has the socket ``n<i>`` in ``folder``; the air itself is the socket ``air``."""

    def __init__(self, folder: Path, physics: AirPhysics) -> None:
        self.path = folder / "air"
        self.physics = physics
        self.transmissions = 0  # network PDUs sent, each on three channels
        self.deliveries = 0
        self.undelivered = 0  # the daemon's socket was full or gone
        self._late_s = 0.0
        self._events = 0
        self._folder = folder
        self._rssi_dbm: dict[tuple[int, int], float] = {}
        self._names: dict[int, asyncio.Future[str]] = {}
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._socket.setblocking(False)
        self._socket.bind(str(self.path))
        self._loop.add_reader(self._socket.fileno(), self._read)

    @property
    def mean_late_ms(self) -> float:
        """How much later than their end PDUs were handed over: what the machine adds to the mesh."""
        return 1e3 * self._late_s / max(1, self._events)

    def node_path(self, index: int) -> Path:
        """The socket of one daemon."""
        return self._folder / f"n{index}"

    def rssi_dbm(self, source: int, target: int) -> float | None:
        """Power that ``target`` read of the last PDU it received from its neighbour ``source``; None: never."""
        return self._rssi_dbm.get((source, target))

    async def ask_name(self, index: int, timeout_s: float) -> str:
        """The unique bus name of a daemon that is starting; raises `Unavailable` if it does not say it in time."""
        answer: asyncio.Future[str] = self._loop.create_future()
        self._names[index] = answer
        try:
            async with asyncio.timeout(timeout_s):
                while not answer.done():
                    with contextlib.suppress(OSError):
                        self._socket.sendto(b"\0", str(self.node_path(index)))
                    await asyncio.wait([answer], timeout=NAME_RETRY_S)
                return answer.result()
        except TimeoutError as error:
            message = f"bluetooth-meshd does not answer within {timeout_s:g} s"
            raise Unavailable(message, reason="DaemonSilent", place=f"node {index}") from error
        finally:
            del self._names[index]

    def close(self) -> None:
        """Stop moving PDUs."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _read(self) -> None:
        while True:
            try:
                data, sender = self._socket.recvfrom(DATAGRAM_MAX)
            except BlockingIOError:
                return
            index = _to_index(sender)
            if index is None or not data:
                continue
            if data[0] == 0:
                waiting = self._names.get(index)
                if waiting is not None and not waiting.done():
                    waiting.set_result(data[1:].rstrip(b"\0").decode())
            elif index < len(self.physics.powered) and self.physics.powered[index]:
                self._transmit(index, data)

    def _transmit(self, sender: int, ad: bytes) -> None:
        self.transmissions += ad[0] == NETWORK_PDU
        event = self.physics.begin(sender, ad, self._loop.time())
        for channel, end_s in enumerate(event.ends_s):
            if event.listeners[channel]:
                self._loop.call_at(end_s, self._ended, event, channel)

    def _ended(self, event: Event, channel: int) -> None:
        frame = bytes((len(event.ad),)) + event.ad
        self._late_s += self._loop.time() - event.ends_s[channel]
        self._events += 1
        for reception in self.physics.receptions(event, channel):
            self._rssi_dbm[event.sender, reception.target] = reception.rssi_dbm
            self._deliver(reception.target, frame)

    def _deliver(self, target: int, frame: bytes) -> None:
        try:
            self._socket.sendto(frame, str(self.node_path(target)))
            self.deliveries += 1
        except OSError:
            self.undelivered += 1


def _to_index(sender: object) -> int | None:
    name = Path(sender.decode() if isinstance(sender, bytes) else str(sender)).name
    return int(name[1:]) if name.startswith("n") and name[1:].isdigit() else None
