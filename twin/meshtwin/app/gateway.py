"""The process of the reference gateway: ``python -m meshtwin.app.gateway CONFIG.json``.

One task turns events into effects, in order: memory first, then mesh and broker. A second task publishes, so
that a slow broker never delays the mesh. Exit codes: 0 stopped, 1 something is not available (the store
included), 2 bad input (a broken memory file included), 3 records that disagree (an older backup, a lost token).
"""

import asyncio
import contextlib
import random
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, Literal

import structlog
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError
from pydantic.alias_generators import to_camel

from meshtwin.app.running import run_device
from meshtwin.connectors.mqtt import BrokerSettings, Message, MqttLink, Will
from meshtwin.contract.telemetry import GatewayState
from meshtwin.contract.topics import gateway_topic
from meshtwin.contract.wire import AddressText, SettingsEntry, UnicastText
from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.gateway.bluez.bus import MESH_SERVICE
from meshtwin.gateway.bluez.commissioning import FIRST_SETTINGS
from meshtwin.gateway.bluez.credentials import read_credentials
from meshtwin.gateway.bluez.link import BluezMeshLink
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Listen, Publish, Save, SendMesh, Sense
from meshtwin.gateway.mesh_client import (
    EmulatedMeshLink,
    MeshEvent,
    MeshFault,
    MeshLink,
    Observability,
    Received,
    Sensed,
    Unsent,
    Welcome,
)
from meshtwin.gateway.outbox import Identity
from meshtwin.gateway.store import MemoryStore
from meshtwin.mesh.configuration import NodeSettings

__all__ = ["GatewaySettings", "run_gateway"]

log = structlog.get_logger(__name__)

MESH_RETRY_S: Final = 0.5
FAULT_TOLD_S: Final = 3.0  # for the broker to take the last word of a gateway that cannot run
IDLE_S: Final = 60.0  # longest wait without looking at the clock
PUBLISH_RETRY_S: Final = 0.5
UNSENT_LIMIT: Final = 1000  # telemetry beyond this is dropped while the broker is away


class Model(BaseModel):
    """camelCase in the file, unknown fields refused."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True)


class BrokerModel(Model):
    """The broker; the password comes from a file."""

    host: str
    port: int = Field(ge=1, le=65_535)
    username: str | None = None
    password_file: Path | None = None
    ca_file: Path | None = None


class EmulatedMeshModel(Model):
    """An emulated mesh."""

    kind: Literal["emulated"] = "emulated"
    host: str = "127.0.0.1"
    port: int = Field(ge=1, le=65_535)
    token: str = Field(default="", repr=False)
    token_file: Path | None = None


class BluezMeshModel(Model):
    """A Bluetooth Mesh by bluetooth-meshd; ``busAddress`` null: the system bus."""

    kind: Literal["bluez"]
    keys_file: Path  # Mesh Configuration Database with keys
    address: UnicastText
    report_group: AddressText
    bus_address: str | None = None
    service: str = MESH_SERVICE
    first_settings: SettingsEntry | None = None  # of our node when it is made; unsaid ones as usual
    observability: Observability = "notifications"  # "heartbeats": nodes have no firmware of ours
    neighbours_at_most: int | None = Field(default=None, ge=1, le=0x7FFF)  # heard by one node; null: by everybody


def _kind_of_mesh(value: object) -> str:
    return str(value.get("kind", "emulated") if isinstance(value, dict) else getattr(value, "kind", "emulated"))


MeshModel = Annotated[
    Annotated[EmulatedMeshModel, Tag("emulated")] | Annotated[BluezMeshModel, Tag("bluez")],
    Discriminator(_kind_of_mesh),
]


class GatewaySettings(Model):
    """What the process needs."""

    gateway_id: str = Field(min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._-]+$")
    broker: BrokerModel
    mesh: MeshModel
    data_folder: Path


Event = Message | MeshEvent | Literal["connected"]


class GatewayProcess:
    """Composition of core, store, mesh link and broker link."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._session = uuid.uuid4().hex[:16]
        self._store = MemoryStore(settings.data_folder)
        self._memory = self._store.read()
        self._store.write(self._memory)  # a folder that cannot be written must show now, not at a commit
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._unsent: asyncio.Queue[Publish] = asyncio.Queue()
        self._mesh = _make_link(settings)
        self._broker = self._make_broker()
        self.dropped_total = 0

    async def run(self, on_ready: Callable[[], None] | None) -> None:
        """Run until cancelled."""
        self._broker.subscribe(self._topic("configuration/command"))
        self._broker.start()
        try:
            welcome = await self._connect_mesh()
        except BaseException:
            await self._broker.stop()
            raise
        core = GatewayCore(self._memory, self._identity(welcome), first_probe=random.randrange(256))  # noqa: S311  # a label
        await self._broker.connected.wait()
        tasks = [
            asyncio.ensure_future(self._mesh.run(self._events.put_nowait)),
            asyncio.ensure_future(self._read_broker()),
            asyncio.ensure_future(self._publish()),
            asyncio.ensure_future(self._turn(core)),
        ]
        if on_ready is not None:
            on_ready()
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye()

    async def _turn(self, core: GatewayCore) -> None:
        """Events in, effects out, for ever."""
        self._perform(core.start(_now()))
        while True:
            wake_at = core.next_wakeup()
            wait_s = IDLE_S if wake_at is None else max(0.0, (wake_at - _now()).total_seconds())
            event: Event | None = None
            with contextlib.suppress(TimeoutError):
                # Not wait_for: in Python 3.11 it swallows a cancellation that comes with the event.
                async with asyncio.timeout(min(wait_s, IDLE_S)):
                    event = await self._events.get()
            now = _now()
            match event:
                case Message():
                    self._perform(core.command(event.payload, now))
                    self._broker.acknowledge(event)
                case Received():
                    self._perform(core.mesh(event.source, event.payload, event.ttl, now))
                case Sensed():
                    self._perform(core.sensed(event.busy_s, event.mesh_s, now))
                case MeshFault():
                    self._perform(core.fault(event.text, now))
                case Unsent():
                    self._perform(core.unsent(event.destination, event.reason, now))
                case "connected":
                    self._perform(core.announce(now))
            self._perform(core.on_time(now))

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Save():
                    self._store.write(effect.memory)
                case SendMesh():
                    self._mesh.send(effect.destination, effect.payload, effect.ttl)
                case Sense():
                    self._mesh.sense()
                case Listen():
                    self._mesh.listen(effect.group)
                case Publish():
                    self._unsent.put_nowait(effect)

    async def _read_broker(self) -> None:
        while True:
            self._events.put_nowait(await self._broker.messages.get())

    async def _publish(self) -> None:
        """Publish in order; results wait for the broker, telemetry is dropped when too much has gathered."""
        while True:
            publish = await self._unsent.get()
            while True:
                is_telemetry = publish.leaf.startswith("telemetry/")
                if is_telemetry and self._unsent.qsize() > UNSENT_LIMIT:
                    self.dropped_total += 1
                    break
                try:
                    await self._broker.publish(
                        self._topic(publish.leaf), publish.payload.to_payload(), retain=publish.retain
                    )
                    break
                except Unavailable:
                    await asyncio.sleep(PUBLISH_RETRY_S)

    async def _connect_mesh(self) -> Welcome:
        told = ""
        while True:
            try:
                return await self._mesh.connect()
            except Unavailable as error:
                if str(error) != told and self._broker.connected.is_set():
                    await self._say_fault(error)
                    told = str(error)
                log.info("Waiting for the mesh", error=str(error))
                await asyncio.sleep(MESH_RETRY_S)
            except MeshTwinError as error:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(FAULT_TOLD_S):
                        await self._broker.connected.wait()
                await self._say_fault(error)
                raise

    async def _say_fault(self, error: MeshTwinError) -> None:
        """In the state, for those who do not see our log: why there is no mesh."""
        state = GatewayState(
            session=self._session + "-waiting",  # of its own: sequences of the session itself begin with the mesh
            sequence=0,
            sent_at=_now(),
            online=False,
            fault=f"{error.reason}: {error}"[:512],
        )
        with contextlib.suppress(Unavailable):
            await self._broker.publish(self._topic("state"), state.to_payload(), retain=True, timeout_s=FAULT_TOLD_S)

    def _make_broker(self) -> MqttLink:
        broker = self._settings.broker
        will = GatewayState(session=self._session, sequence=0, sent_at=_now(), online=False)
        return MqttLink(
            BrokerSettings(
                host=broker.host,
                port=broker.port,
                username=broker.username,
                password=_read_secret(broker.password_file),
                password_file=None if broker.password_file is None else str(broker.password_file),
                ca_file=None if broker.ca_file is None else str(broker.ca_file),
            ),
            client_id=f"meshtwin-gateway-{self._settings.gateway_id}",
            will=Will(topic=self._topic("state"), payload=will.to_payload()),
            clean_session=False,  # commands sent while we were away are waiting, and checked by notAfter
            on_connected=lambda: self._events.put_nowait("connected"),
        )

    def _identity(self, welcome: Welcome) -> Identity:
        return Identity(
            session=self._session,
            address=welcome.address,
            report_group=welcome.report_group,
            mesh_uuid=welcome.mesh_uuid,
            time_scale=welcome.speed,
            uncertainty_ms=welcome.uncertainty_ms,
            stack_profile=welcome.stack_profile,
            occupancy_share=welcome.occupancy_share,
            probe_spacing_s=welcome.probe_spacing_s,
            repeats_notifications=welcome.repeats_notifications,
            senses_occupancy=welcome.senses_occupancy,
            reads_composition=welcome.reads_composition,
            observability=welcome.observability,
            network_nodes=welcome.network_nodes,
            neighbours_at_most=welcome.neighbours_at_most,
            measures_round_trips=welcome.measures_round_trips,
        )

    async def _say_goodbye(self) -> None:
        state = GatewayState(session=self._session, sequence=2**31, sent_at=_now(), online=False)
        with contextlib.suppress(Unavailable):
            await self._broker.publish(self._topic("state"), state.to_payload(), retain=True, timeout_s=2.0)
        await self._broker.stop()
        await self._mesh.close()

    def _topic(self, leaf: str) -> str:
        return gateway_topic(self._settings.gateway_id, leaf)


async def run_gateway(settings: GatewaySettings, *, on_ready: Callable[[], None] | None = None) -> None:
    """Run one gateway until cancelled; ``on_ready`` is called once mesh and broker are connected.

    Raises `InvalidInput` for a broken memory or a refused gateway id, `Unavailable` if the store fails.
    """
    await GatewayProcess(settings).run(on_ready)


def load_settings(path: Path) -> GatewaySettings:
    """Settings in a JSON file; raises `InvalidInput` with the field's place."""
    try:
        return GatewaySettings.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InvalidInput(f"settings not usable: {error}", place=str(path)) from error


def _make_link(settings: GatewaySettings) -> MeshLink:
    mesh = settings.mesh
    if isinstance(mesh, EmulatedMeshModel):
        return EmulatedMeshLink(
            host=mesh.host,
            port=mesh.port,
            token=_read_secret(mesh.token_file) or mesh.token,
            gateway_id=settings.gateway_id,
        )
    return BluezMeshLink(
        credentials=read_credentials(mesh.keys_file),
        address=int(mesh.address, 16),
        report_group=int(mesh.report_group, 16),
        folder=settings.data_folder,
        bus_address=mesh.bus_address,
        service=mesh.service,
        rng=random.Random(),  # noqa: S311  # phases, not secrets
        first_settings=FIRST_SETTINGS.overlaid(
            NodeSettings() if mesh.first_settings is None else mesh.first_settings.to_settings()
        ),
        observability=mesh.observability,
        neighbours_at_most=mesh.neighbours_at_most,
    )


def _read_secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unavailable(f"secret not readable: {error.strerror}", place=str(path)) from error


def _now() -> datetime:
    return datetime.now(UTC)


def main(arguments: list[str]) -> int:
    """Exit code as of `run_device`."""

    async def run() -> None:
        await run_gateway(load_settings(Path(arguments[0])), on_ready=lambda: print('{"ready": true}', flush=True))

    return run_device(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
