"""A node of ours inside a bluetooth-meshd: made by Import, used by Attach, then sending and receiving."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from xml.etree.ElementTree import ParseError

from dbus_fast import Variant, introspection
from dbus_fast.errors import InvalidIntrospectionError

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.bluez.application import (
    COMPANY_ID,
    MONITOR_MODEL,
    ApplicationObject,
    Arrival,
    Composition,
    ElementObject,
)
from meshtwin.gateway.bluez.bus import MESH_SERVICE, MeshBus

__all__ = ["APP_KEY_INDEX", "NET_KEY_INDEX", "LocalNode", "NodeKeys", "check_interface"]

NETWORK_PATH: Final = "/org/bluez/mesh"
NETWORK: Final = "org.bluez.mesh.Network1"
NODE: Final = "org.bluez.mesh.Node1"
MANAGEMENT: Final = "org.bluez.mesh.Management1"
INTROSPECTABLE: Final = "org.freedesktop.DBus.Introspectable"
NETWORK_METHODS: Final = {"Import": "oayayayqa{sv}uq", "Attach": "ot"}
PROPERTIES: Final = "org.freedesktop.DBus.Properties"
NET_KEY_INDEX: Final = 0
APP_KEY_INDEX: Final = 0
JOIN_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeKeys:
    """What makes a device a node of a network; secret."""

    address: int
    uuid: bytes = field(repr=False)
    device_key: bytes = field(repr=False)
    net_key: bytes = field(repr=False)
    app_key: bytes = field(repr=False)
    iv_index: int = 0


async def check_interface(bus: MeshBus, service: str) -> None:
    """Whether the daemon has the methods that we use, with the arguments of BlueZ 5.53 and later (doc/mesh-api.txt).

    A daemon does not tell its version. Raises `InvalidInput` (``WrongVersion``) with what is missing or other,
    `Unavailable` (``AdapterMissing``) for one that has its name already, and waits for its adapter to show anything.
    """
    text = str((await bus.call(service, NETWORK_PATH, INTROSPECTABLE, "Introspect"))[0])
    try:
        found = {i.name: i for i in introspection.Node.parse(text).interfaces}
    except (InvalidIntrospectionError, ParseError) as error:
        message = f"what the daemon says of itself is not understood: {error}"
        raise InvalidInput(message, reason="WrongVersion", place=service) from error
    if not found:  # BlueZ 5.66 takes its name first, and exports this object when its adapter is up
        message = (
            "bluetooth-meshd is there and shows no mesh yet: it waits for its adapter; is one plugged in, and no "
            "bluetoothd using it?"
        )
        raise Unavailable(message, reason="AdapterMissing", place=service)
    methods = (
        {m.name: "".join(str(a.signature) for a in m.in_args) for m in found[NETWORK].methods}
        if NETWORK in found
        else {}
    )
    for name, signature in NETWORK_METHODS.items():
        if methods.get(name) != signature:
            is_there = f"takes {methods[name]!r}" if name in methods else "is missing"
            message = (
                f"{NETWORK}.{name} {is_there}, {signature!r} is needed: is this bluetooth-meshd of BlueZ 5.53 or later?"
            )
            raise InvalidInput(message, reason="WrongVersion", place=service)


class LocalNode:
    """One node with one element. ``on_arrival`` is replaced by whoever uses the node.

    ``on_token`` keeps the token; if it raises, the daemon forgets the node again.
    """

    def __init__(
        self,
        bus: MeshBus,
        *,
        root: str,
        address: int,
        composition: Composition,
        service: str = MESH_SERVICE,
        on_token: Callable[[int], None] = lambda _token: None,
    ) -> None:
        self.address = address
        self.service = service
        self.on_arrival: Callable[[Arrival], None] = lambda _arrival: None
        self._bus = bus
        self._root = root
        self._element = f"{root}/element0"
        self._path = ""
        self._application = ApplicationObject(composition, on_token)
        bus.export(f"{root}/application", self._application)
        bus.export(self._element, ElementObject(composition, self._arrived))

    async def make(self, keys: NodeKeys) -> int:
        """Make the node in the daemon (Import) from keys made elsewhere; the token to attach with.

        Raises `InvalidInput` with reason ``AlreadyExists`` if the daemon has a node of that UUID.
        """
        await self._bus.trust(self.service)  # it calls us back before it answers
        try:
            await self._import(keys)
        except InvalidInput as error:
            if error.reason != "Failed":
                raise
            hint = "may it call us back? Its D-Bus policy must allow ObjectManager and Properties from root"
            raise InvalidInput(f"{error.message}; {hint}", reason="Failed", place=error.place) from error
        try:
            async with asyncio.timeout(JOIN_TIMEOUT_S):
                return await self._application.token
        except TimeoutError as error:
            message = f"no token within {JOIN_TIMEOUT_S:g} s"
            raise Unavailable(message, reason="DaemonSilent", place=self._root) from error

    async def _import(self, keys: NodeKeys) -> None:
        await self._bus.call(
            self.service,
            NETWORK_PATH,
            NETWORK,
            "Import",
            "oayayayqa{sv}uq",
            self._root,
            keys.uuid,
            keys.device_key,
            keys.net_key,
            NET_KEY_INDEX,
            {},
            keys.iv_index,
            keys.address,
        )

    async def attach(self, token: int) -> None:
        """Take the node over; raises `InvalidInput` with reason ``NotFound`` if the daemon does not know it."""
        await self._bus.trust(self.service)
        answer = await self._bus.call(self.service, NETWORK_PATH, NETWORK, "Attach", "ot", self._root, token)
        self._path = answer[0]

    async def learn_keys(self, keys: NodeKeys) -> None:
        """Put all keys into the daemon's key ring, and add the application key to the node.

        The key ring of a node that was imported is empty: it lacks the network key, too, and the node's own
        device key, without which it cannot be configured from here. BlueZ 5.66 takes that one by
        ImportRemoteNode, although the document calls it an error.
        """
        await self.know_remote(keys.address, keys.device_key)
        await self._manage("ImportSubnet", "qay", NET_KEY_INDEX, keys.net_key)
        await self._manage("ImportAppKey", "qqay", NET_KEY_INDEX, APP_KEY_INDEX, keys.app_key)
        await self.add_app_key(keys.address)

    async def know_remote(self, address: int, device_key: bytes) -> None:
        """Tell the daemon the device key of another node, so that it can be configured."""
        await self._manage("ImportRemoteNode", "qyay", address, 1, device_key)

    async def forget_remote(self, address: int) -> None:
        """Take the device key of another node out of the key ring."""
        await self._manage("DeleteRemoteNode", "qy", address, 1)

    async def add_app_key(self, address: int) -> None:
        """Send Config AppKey Add (two segments) to a node; its status arrives as a message."""
        await self._act("AddAppKey", "oqqqb", self._element, address, APP_KEY_INDEX, NET_KEY_INDEX, False)

    async def send(self, destination: int, payload: bytes) -> None:
        """Send with the application key and the node's default TTL."""
        await self._act("Send", "oqqa{sv}ay", self._element, destination, APP_KEY_INDEX, {}, payload)

    async def send_configuration(self, destination: int, payload: bytes) -> None:
        """Send with the device key of ``destination``; raises `InvalidInput`, ``NotFound``, if it is not known."""
        await self._act("DevKeySend", "oqbqa{sv}ay", self._element, destination, True, NET_KEY_INDEX, {}, payload)

    async def publish(self, payload: bytes) -> None:
        """Send as the monitoring model's publication says: its address and its TTL."""
        options = {"Vendor": Variant("q", COMPANY_ID)}
        await self._act("Publish", "oqa{sv}ay", self._element, MONITOR_MODEL, options, payload)

    async def read_sequence_number(self) -> int:
        """The node's next sequence number."""
        return int(await self._property("SequenceNumber"))

    async def read_iv_index(self) -> int:
        """The network's IV index, as this node knows it."""
        return int(await self._property("IvIndex"))

    def withdraw(self) -> None:
        """Take the application's objects off the bus; the daemon goes on as a node without application."""
        self._bus.withdraw(self._root)

    def _arrived(self, arrival: Arrival) -> None:
        self.on_arrival(arrival)  # looked up now: users come and go

    async def _property(self, name: str) -> Any:
        answer = await self._bus.call(self.service, self._path, PROPERTIES, "Get", "ss", NODE, name)
        return answer[0].value

    async def _act(self, member: str, signature: str, *body: Any) -> None:
        await self._bus.call(self.service, self._path, NODE, member, signature, *body)

    async def _manage(self, member: str, signature: str, *body: Any) -> None:
        await self._bus.call(self.service, self._path, MANAGEMENT, member, signature, *body)
