"""One connection to a D-Bus bus: calls with a time limit, and errors in the words of this project."""

import asyncio
from typing import Any, Final, Self

import structlog
from dbus_fast import BusType, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.constants import ErrorType
from dbus_fast.errors import AuthError, InvalidAddressError
from dbus_fast.service import ServiceInterface

from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable

__all__ = ["MESH_SERVICE", "MeshBus"]

log = structlog.get_logger(__name__)

MESH_SERVICE: Final = "org.bluez.mesh"
CALL_TIMEOUT_S: Final = 10.0  # the daemon itself gives up questions to applications after 30 s
FOR_EVERYBODY: Final = frozenset({"org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable"})
AWAY: Final = frozenset(
    {
        "org.freedesktop.DBus.Error.ServiceUnknown",
        "org.freedesktop.DBus.Error.NameHasNoOwner",
        "org.freedesktop.DBus.Error.NoReply",
        "org.freedesktop.DBus.Error.Disconnected",
        "org.freedesktop.DBus.Error.Spawn.ServiceNotFound",
    }
)


class QuietBus(MessageBus):
    """A bus whose end shows where somebody waits for an answer, and nowhere else.

    dbus-fast answers calls by futures that nobody waits for, and keeps one of how the connection ended: when the bus
    goes away asyncio would complain of each of them ("Future exception was never retrieved").
    """

    async def connect(self) -> MessageBus:
        """Connect, and look at how it ends."""
        await super().connect()
        ended = asyncio.ensure_future(self.wait_for_disconnect())  # type: ignore[no-untyped-call]  # says no types of it
        ended.add_done_callback(_retrieve)
        return self

    def send(self, msg: Message) -> "asyncio.Future[None]":  # type: ignore[override]  # as MessageBus, which says no type
        """Send; whatever goes wrong is in the future.

        That of `MessageBus` raises when the connection is gone while it writes, and loses the future that says so.
        """
        if not msg.serial:
            msg.serial = self.next_serial()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        future.add_done_callback(_retrieve)
        try:
            if self._writer is None:
                raise ConnectionError("not connected")
            self._writer.schedule_write(msg, future)
        except OSError as error:
            if not future.done():
                future.set_exception(error)
        return future


class MeshBus:
    """A connection with the objects that it exports; use `connect`.

    Only services that `trust` was called for may call these objects: whoever else is on the bus could say that a
    message came through the mesh, or that the daemon made our node.
    """

    def __init__(self, bus: MessageBus, place: str) -> None:
        self._bus = bus
        self._place = place
        self._exported: dict[str, list[ServiceInterface]] = {}
        self._trusted: dict[str, str] = {}  # unique name by service; the bus itself vouches for a message's sender
        self.denied_total = 0
        bus.add_message_handler(self._guard)

    @classmethod
    async def connect(cls, address: str | None = None) -> Self:
        """Connect to the bus at ``address``; None: the system bus. Raises `Unavailable` if nobody is there."""
        place = address or "system bus"
        try:
            bus = QuietBus(bus_address=address) if address else QuietBus(bus_type=BusType.SYSTEM)
            await bus.connect()
        except (OSError, AuthError, EOFError) as error:
            raise Unavailable(
                f"D-Bus not reachable: {error}; is dbus-daemon running, and may this user connect?",
                reason="BusUnavailable",
                place=place,
            ) from error
        except InvalidAddressError as error:
            raise InvalidInput(f"not a bus address: {error}", reason="BusAddress", place=place) from error
        return cls(bus, place)

    def export(self, path: str, interface: ServiceInterface) -> None:
        """Make an object of ours visible."""
        self._bus.export(path, interface)
        self._exported.setdefault(path, []).append(interface)

    def withdraw(self, root: str) -> None:
        """Take back everything exported at or below ``root``."""
        for path in [p for p in self._exported if p == root or p.startswith(root + "/")]:
            for interface in self._exported.pop(path):
                self._bus.unexport(path, interface)

    async def call(
        self,
        service: str,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        *body: Any,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> list[Any]:
        """Call a method; its answer.

        Raises `Unavailable` if nobody answers in time, `InvalidInput` with the error's last word as reason if
        the daemon refuses.
        """
        message = Message(
            destination=service, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        place = f"{service} {path} {member}"
        if not self._bus.connected:
            raise Unavailable("bus went away", reason="BusUnavailable", place=place)
        try:
            async with asyncio.timeout(timeout_s):  # a cancellation is not lost, as with wait_for of Python 3.11
                reply = await self._bus.call(message)
        except TimeoutError as error:
            raise Unavailable(f"no answer within {timeout_s:g} s", reason="DaemonSilent", place=place) from error
        except (OSError, EOFError) as error:
            raise Unavailable(f"bus went away: {error}", reason="BusUnavailable", place=place) from error
        if reply is None:
            raise Unavailable("bus went away", reason="BusUnavailable", place=place)
        if reply.message_type is MessageType.ERROR:
            raise _to_error(reply, place)
        answer: list[Any] = reply.body
        return answer

    async def read_owner(self, service: str) -> str:
        """The unique name behind ``service``; raises `Unavailable` (``DaemonMissing``) if nobody has it."""
        bus = "org.freedesktop.DBus"
        answer = await self.call(bus, "/org/freedesktop/DBus", bus, "GetNameOwner", "s", service)
        return str(answer[0])

    async def trust(self, service: str) -> str:
        """Let the process that is ``service`` now call our objects; its unique name.

        Another process that takes the service's name later is a stranger until this is called again. Raises
        `Unavailable` (``DaemonMissing``) if nobody is the service.
        """
        self._trusted[service] = await self.read_owner(service)
        return self._trusted[service]

    def close(self) -> None:
        """End the connection."""
        self._bus.disconnect()

    def _guard(self, message: Message) -> Message | None:
        """Refuse a call that is not the daemon's."""
        if message.message_type is not MessageType.METHOD_CALL or message.interface in FOR_EVERYBODY:
            return None
        if message.sender in self._trusted.values():
            return None
        self.denied_total += 1
        if self.denied_total == 1:  # whoever calls once can call a thousand times a second
            log.warning("Call of a stranger refused", sender=message.sender, member=message.member)
        return Message.new_error(message, ErrorType.ACCESS_DENIED, "only the mesh daemon may call this")


def _retrieve(future: "asyncio.Future[Any]") -> None:
    if not future.cancelled():
        future.exception()


def _to_error(reply: Message, place: str) -> MeshTwinError:
    name = reply.error_name or "unnamed error"
    text = f"{name}: {reply.body[0]}" if reply.body else name
    if name in AWAY:
        message = f"bluetooth-meshd is not there ({text}); start it, or say its bus and service name"
        return Unavailable(message, reason="DaemonMissing", place=place)
    return InvalidInput(f"bluetooth-meshd refused: {text}", reason=name.rpartition(".")[2], place=place)
