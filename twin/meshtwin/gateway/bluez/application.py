"""The D-Bus objects that a mesh application shows to bluetooth-meshd (doc/mesh-api.txt, application hierarchy).

Methods and properties have the names of the D-Bus interface.

``GetManagedObjects`` leaves out the root path, so that every object lies one level below it.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final

from dbus_fast import PropertyAccess
from dbus_fast.annotations import DBusBool, DBusByte, DBusBytes, DBusSignature, DBusStr, DBusUInt16, DBusUInt64
from dbus_fast.annotations import DBusVariant as DBusAny
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from meshtwin.contract.model_messages import MONITORING_MODEL
from meshtwin.errors import InvalidInput

__all__ = ["COMPANY_ID", "MONITOR_MODEL", "ApplicationObject", "Arrival", "Composition", "ElementObject"]

COMPANY_ID: Final = MONITORING_MODEL[0]
MONITOR_MODEL: Final = MONITORING_MODEL[1]  # vendor model of the monitoring messages, under `COMPANY_ID`

DBusSubscriptions = Annotated[dict[str, Any], DBusSignature("a{sv}")]
SigModels = Annotated[list[Any], DBusSignature("a(qa{sv})")]
VendorModels = Annotated[list[Any], DBusSignature("a(qqa{sv})")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """What one node with one element says it is; ``replay_list_size`` is its CRPL."""

    sig_models: tuple[int, ...] = ()
    vendor_models: tuple[tuple[int, int], ...] = ((COMPANY_ID, MONITOR_MODEL),)
    replay_list_size: int = 1000  # a flood of 255 nodes, and nodes that were replaced
    product_id: int = 1
    version_id: int = 1


@dataclass(frozen=True, slots=True)
class Arrival:
    """An access message as the daemon hands it over; ``is_device_key``: it came with a device key.

    ``destination`` is an address, or None for a message with a device key (always to the node itself).
    """

    source: int
    destination: int | None
    payload: bytes
    is_device_key: bool


class ApplicationObject(ServiceInterface):
    """``org.bluez.mesh.Application1``; ``token`` resolves when the daemon has made the node.

    ``on_token`` is called before: if it raises, the daemon is told so and forgets the node.
    """

    def __init__(self, composition: Composition, on_token: Callable[[int], None]) -> None:
        super().__init__("org.bluez.mesh.Application1")
        self._on_token = on_token
        self._composition = composition
        self.token: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    @dbus_method()
    def JoinComplete(self, token: DBusUInt64) -> None:
        """The daemon made the node; without this answer it forgets it again."""
        self._on_token(token)
        if not self.token.done():
            self.token.set_result(token)

    @dbus_method()
    def JoinFailed(self, reason: DBusStr) -> None:
        """The daemon did not make the node."""
        if not self.token.done():
            self.token.set_exception(InvalidInput(f"node not made: {reason}", reason="JoinFailed"))

    @dbus_property(access=PropertyAccess.READ)
    def CompanyID(self) -> DBusUInt16:
        """CID of the composition data."""
        return COMPANY_ID

    @dbus_property(access=PropertyAccess.READ)
    def ProductID(self) -> DBusUInt16:
        """PID."""
        return self._composition.product_id

    @dbus_property(access=PropertyAccess.READ)
    def VersionID(self) -> DBusUInt16:
        """VID."""
        return self._composition.version_id

    @dbus_property(access=PropertyAccess.READ)
    def CRPL(self) -> DBusUInt16:
        """Size of the replay protection list."""
        return self._composition.replay_list_size


class ElementObject(ServiceInterface):
    """``org.bluez.mesh.Element1`` of the primary element; ``on_arrival`` gets every message to it."""

    def __init__(self, composition: Composition, on_arrival: Callable[[Arrival], None]) -> None:
        super().__init__("org.bluez.mesh.Element1")
        self._composition = composition
        self._on_arrival = on_arrival

    @dbus_method()
    def MessageReceived(self, source: DBusUInt16, key_index: DBusUInt16, destination: DBusAny, data: DBusBytes) -> None:
        """A message with an application key; virtual addresses are not used here."""
        value = destination.value
        if isinstance(value, int):
            self._on_arrival(Arrival(source, value, bytes(data), False))

    @dbus_method()
    def DevKeyMessageReceived(
        self, source: DBusUInt16, remote: DBusBool, net_index: DBusUInt16, data: DBusBytes
    ) -> None:
        """A message with a device key; one with our own key that is not ours alone came from a stranger."""
        self._on_arrival(Arrival(source, None, bytes(data), True))

    @dbus_method()
    def UpdateModelConfiguration(self, model_id: DBusUInt16, config: DBusSubscriptions) -> None:
        """Bindings, publication period or subscriptions changed; the daemon keeps them."""

    @dbus_property(access=PropertyAccess.READ)
    def Index(self) -> DBusByte:
        """The primary element."""
        return 0

    @dbus_property(access=PropertyAccess.READ)
    def Models(self) -> SigModels:
        """Models of the standard, besides those of the daemon itself."""
        return [[model, {}] for model in self._composition.sig_models]

    @dbus_property(access=PropertyAccess.READ)
    def VendorModels(self) -> VendorModels:
        """Models of companies."""
        return [[company, model, {}] for company, model in self._composition.vendor_models]

    @dbus_property(access=PropertyAccess.READ)
    def Location(self) -> DBusUInt16:
        """Not said."""
        return 0
