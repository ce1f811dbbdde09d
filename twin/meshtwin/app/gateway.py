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
from typing import Final, Literal

import structlog

from meshtwin.app.gateway_settings import GatewaySettings, make_link
from meshtwin.app.publications import Publications
from meshtwin.app.running import BAD_INPUT, run_device
from meshtwin.app.settings_files import read_settings
from meshtwin.connectors.mqtt import Message, MqttLink, Will
from meshtwin.contract.telemetry import GatewayState
from meshtwin.contract.topics import gateway_topic
from meshtwin.errors import MeshTwinError, Unavailable
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Listen, Publish, Save, SendMesh, Sense
from meshtwin.gateway.mesh_link import (
    MeshEvent,
    MeshFault,
    Received,
    Sensed,
    Unsent,
    Welcome,
)
from meshtwin.gateway.outbox import Identity
from meshtwin.gateway.store import MemoryStore, hold_folder

__all__ = ["GatewaySettings", "run_gateway"]

log = structlog.get_logger(__name__)

MESH_RETRY_S: Final = 0.5
FAULT_TOLD_S: Final = 3.0  # for the broker to take the last word of a gateway that cannot run
IDLE_S: Final = 60.0  # longest wait without looking at the clock
PUBLISH_RETRY_S: Final = 0.5


Event = Message | MeshEvent | Literal["announce"]


class GatewayProcess:
    """Composition of core, store, mesh link and broker link."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._session = uuid.uuid4().hex[:16]
        self._store = MemoryStore(settings.data_folder)
        self._memory = self._store.read()
        self._store.write(self._memory)  # a folder that cannot be written must show now, not at a commit
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._unsent = Publications()
        self._mesh = make_link(settings)
        self._broker = self._make_broker()

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
        tasks = [
            asyncio.ensure_future(self._mesh.run(self._events.put_nowait)),
            asyncio.ensure_future(self._read_broker()),
            asyncio.ensure_future(self._publish()),
            asyncio.ensure_future(self._turn(core)),  # not later than now: a rollback timer waits for no broker
            asyncio.ensure_future(self._tell_ready(on_ready)),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._say_goodbye()

    async def _tell_ready(self, on_ready: Callable[[], None] | None) -> None:
        await self._broker.connected.wait()
        if on_ready is not None:
            on_ready()

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
                case "announce":
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
                    self._unsent.put(effect)

    async def _read_broker(self) -> None:
        while True:
            self._events.put_nowait(await self._broker.messages.get())

    async def _publish(self) -> None:
        """Publish in order, waiting for the broker; what was dropped meanwhile is told as soon as it is heard."""
        while True:
            publish = await self._unsent.take()
            topic, payload = self._topic(publish.leaf), publish.payload.to_payload()
            while True:
                try:
                    await self._broker.publish(topic, payload, retain=publish.retain)
                    break
                except Unavailable:
                    await asyncio.sleep(PUBLISH_RETRY_S)
            if not self._unsent and self._unsent.owes_count:
                log.warning("Telemetry dropped, the broker was away", messages=self._unsent.dropped_total)
                self._events.put_nowait("announce")

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
        will = GatewayState(session=self._session, sequence=0, sent_at=_now(), online=False)
        return MqttLink(
            self._settings.broker.read(),
            client_id=f"meshtwin-gateway-{self._settings.gateway_id}",
            will=Will(topic=self._topic("state"), payload=will.to_payload()),
            clean_session=False,  # commands sent while we were away are waiting, and checked by notAfter
            on_connected=lambda: self._events.put_nowait("announce"),
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
            notification=welcome.notification,
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

    Raises `InvalidInput` for a broken memory or a refused gateway id, `Unavailable` if the store fails or another
    gateway works in the data folder.
    """
    with hold_folder(settings.data_folder):
        await GatewayProcess(settings).run(on_ready)


def _now() -> datetime:
    return datetime.now(UTC)


def main(arguments: list[str]) -> int:
    """Exit code as of `run_device`."""

    if len(arguments) != 1:
        print("usage: python -m meshtwin.app.gateway CONFIG.json", file=sys.stderr)
        return BAD_INPUT

    async def run() -> None:
        await run_gateway(
            read_settings(GatewaySettings, Path(arguments[0])), on_ready=lambda: print('{"ready": true}', flush=True)
        )

    return run_device(run)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
