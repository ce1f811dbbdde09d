"""`MeshLink` of a gateway on bluetooth-meshd: configuration by device keys, monitoring by the application key.

The gateway's node is a node like the others: it notifies its neighbours, counts theirs, and reports to itself.
The daemon tells neither received TTL nor signal strength, so that both stay unknown.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from meshtwin.contract.access import Opcode, decode_access
from meshtwin.errors import Inconsistent, InvalidInput, MeshTwinError, Unavailable
from meshtwin.gateway.bluez.application import Arrival, Composition
from meshtwin.gateway.bluez.bus import MESH_SERVICE, MeshBus
from meshtwin.gateway.bluez.commissioning import FIRST_SETTINGS, MODEL, NOTIFICATION, equip
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import set_settings, subscribe_group
from meshtwin.gateway.bluez.continuity import Continuity, ContinuityFile, check_continuity
from meshtwin.gateway.bluez.credentials import Credentials
from meshtwin.gateway.bluez.local_node import LocalNode, check_interface
from meshtwin.gateway.bluez.node_application import NodeApplication
from meshtwin.gateway.mesh_link import MeshEvent, MeshFault, Observability, Received, Unsent, Welcome
from meshtwin.mesh.configuration import NodeSettings

__all__ = ["BluezMeshLink"]

log = structlog.get_logger(__name__)

ROOT: Final = "/meshtwin/gateway"
NO_DEVICE_KEY: Final = "the keys file has no device key of it"
WATCH_S: Final = 1.0  # between two looks at who the daemon is
LOOKS_PER_NOTE: Final = 10  # of these looks, between two notes of the sequence number
RECONNECT_S: Final = 1.0
# Of a relay's advertiser, for our exchanges, as long as answers come in good time: BlueZ's queue has no bound, so that
# haste loses nothing. Answers that come late must slow us down: its message cache has 70 entries, what waits longer
# than 70 messages is relayed again by those who had it, and a mesh that was overloaded once stays so.
OCCUPANCY_SHARE: Final = 0.7
# Between messages of a probe: a relay sends each at most 25 ms after it came, and again 20 ms later; so a flood is
# over six hops away after 0.3 s, and its last copies have left.
PROBE_SPACING_S: Final = 0.6
CLOCKS_UNKNOWN_MS: Final = 0.0  # no node tells a time of day, so nothing is uncertain about it


@dataclass(frozen=True, slots=True)
class _ToSend:
    destination: int
    payload: bytes
    ttl: int | None


@dataclass(frozen=True, slots=True)
class _ToHear:
    group: int


class BluezMeshLink:
    """`connect` once, then `run` for ever; ``folder`` keeps `Continuity`. Messages are sent in order.

    ``first_settings`` are those of our node when it is made, and never again.
    """

    def __init__(
        self,
        *,
        credentials: Credentials,
        address: int,
        report_group: int,
        folder: Path,
        rng: random.Random,
        bus_address: str | None = None,
        service: str = MESH_SERVICE,
        first_settings: NodeSettings = FIRST_SETTINGS,
        observability: Observability = "notifications",
        neighbours_at_most: int | None = None,
    ) -> None:
        self._credentials = credentials
        self._keys = credentials.of(address)
        self._report_group = report_group
        self._first_settings = first_settings
        self._observability = observability
        self._neighbours_at_most = neighbours_at_most
        self._file = ContinuityFile(folder)
        self._kept: Continuity | None = None  # what we wrote last
        self._rng = rng
        self._bus_address, self._service = bus_address, service
        self._bus: MeshBus | None = None
        self._owner = ""  # unique name of the daemon that has our node
        self._node: LocalNode | None = None
        self._client: ConfigClient | None = None
        self._application: NodeApplication | None = None
        self._outbox: asyncio.Queue[_ToSend | _ToHear] = asyncio.Queue()
        self._on_event: Callable[[MeshEvent], None] = lambda _event: None
        self._default_ttl = self._ttl = 0  # as configured, and as it is for the moment
        self.unsent_total = 0

    async def connect(self) -> Welcome:
        """Make or take over our node in the daemon.

        Raises `Unavailable` where time may help, `InvalidInput` and `Inconsistent` where somebody must act: the
        daemon's storage is lost or an older backup, our notes are broken, the node belongs to another process.
        """
        await self._leave_bus()
        bus = self._bus = await MeshBus.connect(self._bus_address)
        self._owner = await bus.read_owner(self._service)
        await check_interface(bus, self._service)
        seen = self._file.read() or self._kept
        if seen is not None and (seen.address, seen.uuid) != (self._keys.address, self._keys.uuid.hex()):
            message = f"kept for node {seen.address:04x} and another UUID; remove it if the gateway is a new node"
            raise Inconsistent(message, reason="OtherNode", place=str(self._file.path))
        self._node = LocalNode(
            bus,
            root=ROOT,
            address=self._keys.address,
            composition=Composition(),
            service=self._service,
            on_token=self._keep_token,
        )
        await self._attach(self._node, seen)
        await self._equip(self._node)
        return Welcome(
            address=self._keys.address,
            report_group=self._report_group,
            mesh_uuid=self._credentials.mesh_uuid,
            speed=1.0,
            uncertainty_ms=CLOCKS_UNKNOWN_MS,
            stack_profile="bluez",
            occupancy_share=OCCUPANCY_SHARE,
            probe_spacing_s=PROBE_SPACING_S,
            senses_occupancy=False,
            repeats_notifications=False,  # they go out once, by publication
            reads_composition=True,
            observability=self._observability,
            network_nodes=len(self._credentials.nodes),
            neighbours_at_most=self._neighbours_at_most,
            measures_round_trips=True,
            notification=NOTIFICATION,
        )

    async def run(self, on_event: Callable[[MeshEvent], None]) -> None:
        """Hand over what is received, send what is to be sent, and come back when the daemon does."""
        self._on_event = on_event
        while True:
            sending = asyncio.ensure_future(self._send_all())
            try:
                while True:
                    await self._watch_daemon()
                    await self._note_sequence_number()
            except Unavailable as error:
                if error.reason == "StoreUnavailable":
                    raise  # sequence numbers that cannot be kept must not be spent
                log.warning("Mesh daemon lost", error=str(error))
                on_event(MeshFault(str(error)))
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
            await self._reconnect()
            on_event(MeshFault(None))

    def send(self, destination: int, payload: bytes, ttl: int | None) -> None:
        """Send an access message; configuration messages go with the device key of their node."""
        self._outbox.put_nowait(_ToSend(destination, payload, ttl))

    def listen(self, group: int) -> None:
        """Subscribe our node's monitoring model to a group; the daemon keeps the subscription."""
        self._outbox.put_nowait(_ToHear(group))

    def sense(self) -> None:
        """Nothing: no interface of the daemon tells how busy the channel is."""

    async def close(self) -> None:
        """Keep the sequence number and leave; the daemon goes on relaying."""
        with contextlib.suppress(MeshTwinError):
            await self._note_sequence_number()
        await self._leave_bus()

    # Taking over the node

    def _keep_token(self, token: int) -> None:
        """On disk before the daemon hears that we have it."""
        self._keep(Continuity(address=self._keys.address, uuid=self._keys.uuid.hex(), token=token))

    def _keep(self, continuity: Continuity) -> None:
        self._file.write(continuity)
        self._kept = continuity

    async def _attach(self, node: LocalNode, seen: Continuity | None) -> None:
        if seen is not None:
            try:
                await node.attach(seen.token)
                return
            except InvalidInput as error:
                if error.reason != "NotFound":
                    raise
                if seen.is_commissioned:
                    raise Inconsistent(
                        "bluetooth-meshd does not know our node: its storage is lost. Put it back; without it, "
                        "sequence numbers would be used again, and no node would listen. Or give the gateway a "
                        "new address and UUID in the keys file, and remove the file named here",
                        reason="StorageLost",
                        place=str(self._file.path),
                    ) from error
        try:
            await node.attach(await node.make(self._keys))
        except InvalidInput as error:
            if error.reason != "AlreadyExists":
                raise
            raise Inconsistent(
                "bluetooth-meshd has a node of our UUID, but the token to it is lost: put the file named here back "
                "from a backup, or give the gateway a new address and UUID in the keys file",
                reason="TokenLost",
                place=str(self._file.path),
            ) from error

    async def _equip(self, node: LocalNode) -> None:
        seen = self._file.read() or self._kept
        if seen is None:
            raise Unavailable("notes vanished", reason="StoreUnavailable", place=str(self._file.path))
        now = check_continuity(seen, await node.read_iv_index(), await node.read_sequence_number())
        if seen.is_commissioned:
            client = ConfigClient(node)
        else:
            client = await equip(node, self._keys, groups=(self._report_group,), settings=self._first_settings)
        for address, keys in self._credentials.nodes.items():
            if address != self._keys.address:
                await node.know_remote(address, keys.device_key)
        self._keep(replace(now, is_commissioned=True))
        known = await client.read(self._keys.address)
        self._default_ttl = self._ttl = known.default_ttl or 0
        application = NodeApplication(node, report_to=self._keys.address, rng=self._rng)
        client.on_other = self._arrived
        self._client, self._application = client, application

    async def _watch_daemon(self) -> None:
        """Return after a while; raises `Unavailable` if the daemon went away, or another one came."""
        for _ in range(LOOKS_PER_NOTE):
            await asyncio.sleep(WATCH_S)
            if self._bus is None or await self._bus.read_owner(self._service) != self._owner:
                raise Unavailable("another daemon took over", reason="DaemonMissing", place=self._service)

    async def _note_sequence_number(self) -> None:
        node, seen = self._node, self._file.read() or self._kept  # somebody may have removed the file
        if node is not None and seen is not None and seen.is_commissioned:
            self._keep(check_continuity(seen, await node.read_iv_index(), await node.read_sequence_number()))

    async def _reconnect(self) -> None:
        while True:
            await asyncio.sleep(RECONNECT_S)
            try:
                await self.connect()
                self._forget_unsent()
                log.info("Mesh daemon is back")
                return
            except Unavailable as error:
                if error.reason == "StoreUnavailable":
                    raise
                log.debug("Mesh daemon still away", error=str(error))

    def _forget_unsent(self) -> None:
        """Messages that were to go out while the daemon was away are lost, as in the air.

        Whoever waits for an answer has asked again or given up since; a setting that came late could undo a newer one.
        """
        waiting = [self._outbox.get_nowait() for _ in range(self._outbox.qsize())]
        for one in waiting:
            if isinstance(one, _ToHear):
                self._outbox.put_nowait(one)
        self.unsent_total += sum(isinstance(one, _ToSend) for one in waiting)

    async def _leave_bus(self) -> None:
        if self._application is not None:
            self._application.stop()
        if self._bus is not None:
            self._bus.close()
        self._bus = self._node = self._client = self._application = None

    # Messages

    def _arrived(self, arrival: Arrival) -> None:
        if self._application is not None:
            self._application.take(arrival)
        message = decode_access(arrival.payload)
        if message is not None and arrival.is_device_key == (message.opcode > 0xFFFF):
            # A Status that came with the application key is nobody's word but that of another holder of that key.
            log.warning("Message with the wrong key", source=f"{arrival.source:04x}", opcode=message.opcode.name)
            return
        self._on_event(Received(arrival.source, arrival.payload, None))

    async def _send_all(self) -> None:
        while True:
            match await self._outbox.get():
                case _ToSend(destination, payload, ttl):
                    try:
                        await self._send(destination, payload, ttl)
                    except MeshTwinError as error:
                        self.unsent_total += 1
                        log.warning("Message not sent", destination=f"{destination:04x}", error=str(error))
                        if error.reason == "NotFound":
                            self._on_event(Unsent(destination, NO_DEVICE_KEY))
                case _ToHear(group):
                    try:
                        await self._subscribe(group)
                    except MeshTwinError as error:
                        log.warning("Group not heard: our node counts as lost", group=f"{group:04x}", error=str(error))

    async def _subscribe(self, group: int) -> None:
        if self._client is None:
            raise Unavailable("not attached", reason="DaemonMissing")
        await self._client.ask(self._keys.address, subscribe_group(self._keys.address, group, MODEL))

    async def _send(self, destination: int, payload: bytes, ttl: int | None) -> None:
        node, client = self._node, self._client
        if node is None or client is None:
            raise Unavailable("not attached", reason="DaemonMissing")
        wanted = self._default_ttl if ttl is None else ttl
        if wanted != self._ttl and destination != self._keys.address:
            await client.ask(self._keys.address, set_settings(NodeSettings(default_ttl=wanted))[0])
            self._ttl = wanted
        message = decode_access(payload)
        if message is not None and message.opcode > 0xFFFF:
            await node.send(destination, payload)
            return
        if message is not None and message.opcode is Opcode.DEFAULT_TTL_SET and destination == self._keys.address:
            self._default_ttl = self._ttl = message.parameters[0]
        await node.send_configuration(destination, payload)
