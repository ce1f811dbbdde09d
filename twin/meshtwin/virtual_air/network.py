"""The whole network: air, buses, daemons, node applications; its boot, faults and end."""

import asyncio
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Self

import structlog

from meshtwin.emulation.radio import compute_reaches
from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.gateway.bluez.application import Composition
from meshtwin.gateway.bluez.bus import MESH_SERVICE, MeshBus
from meshtwin.gateway.bluez.commissioning import MODEL, NOTIFICATION, commission
from meshtwin.gateway.bluez.config_client import ConfigClient
from meshtwin.gateway.bluez.config_messages import set_publication
from meshtwin.gateway.bluez.local_node import LocalNode
from meshtwin.gateway.bluez.node_application import NodeApplication
from meshtwin.mesh.addresses import UnicastAddress, format_address, parse_unicast
from meshtwin.virtual_air.air import VirtualAir
from meshtwin.virtual_air.folders import read_log_end
from meshtwin.virtual_air.physics import AirPhysics
from meshtwin.virtual_air.plan import AirPlan
from meshtwin.virtual_air.processes import OPEN_POLICY, Child, start_bus, start_daemon
from meshtwin.virtual_air.programs import Programs

__all__ = ["Station", "VirtualNetwork"]

log = structlog.get_logger(__name__)

NAME_LIMIT_S: Final = 10.0  # for a daemon to come up, on a busy machine
FADED_AWAY_DB: Final = 200.0
BUS_OF_NODES: Final = "bus"


@dataclass(slots=True)
class Station:
    """One node: its daemon, and its application unless a gateway stands there."""

    daemon: Child
    bus_address: str
    local: LocalNode | None = None
    client: ConfigClient | None = None
    application: NodeApplication | None = None
    token: int = 0


class VirtualNetwork:
    """Use `boot`; then ``stations[index]``, `act` for faults, `truth`, and `stop` in the end."""

    def __init__(self, plan: AirPlan, programs: Programs, folder: Path, gateway_policy: str = OPEN_POLICY) -> None:
        rng = random.Random(f"{plan.seed}/air")  # noqa: S311  # physics, not secrets
        self.plan = plan
        self.stations: dict[int, Station] = {}
        self.air = VirtualAir(folder, AirPhysics(radio=plan.radio, reaches=plan.reaches(), rng=rng))
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # a daemon died by itself
        self._programs = programs
        self._folder = folder
        self._gateway_policy = gateway_policy
        self._buses: dict[str, tuple[Child, str]] = {}
        self._connection: MeshBus | None = None
        self._fading_db: dict[tuple[int, int], float] = {}

    @classmethod
    async def boot(cls, plan: AirPlan, programs: Programs, folder: Path, *, gateway_policy: str = OPEN_POLICY) -> Self:
        """A running network in an empty folder; raises `Unavailable` or `InvalidInput` if something fails.

        ``gateway_policy``: of the buses on which gateways find their daemons, as `start_bus` takes it.
        """
        network = cls(plan, programs, folder, gateway_policy)
        try:
            await network._boot()
        except BaseException:
            await network.stop()
            raise
        return network

    def gateway_bus(self, gateway_id: str) -> str:
        """Address of the bus on which a gateway's daemon is ``org.bluez.mesh``."""
        return self._buses[gateway_id][1]

    async def stop(self) -> None:
        """End everything; the storage of the daemons stays."""
        for station in self.stations.values():
            if station.application is not None:
                station.application.stop()
        if self._connection is not None:
            self._connection.close()
        await asyncio.gather(*(station.daemon.kill() for station in self.stations.values()))
        await asyncio.gather(*(bus.stop() for bus, _ in self._buses.values()))
        self.air.close()

    # Boot

    async def _boot(self) -> None:
        gateways = [node.gateway_id for node in self.plan.nodes if node.gateway_id is not None]
        names = [BUS_OF_NODES, *gateways]
        policies = [OPEN_POLICY, *(self._gateway_policy for _ in gateways)]
        buses = await asyncio.gather(
            *(
                start_bus(self._programs, self._folder, f"{name}.socket", policy=policy)
                for name, policy in zip(names, policies, strict=True)
            )
        )
        self._buses = dict(zip(names, buses, strict=True))
        self._connection = await MeshBus.connect(self._buses[BUS_OF_NODES][1])
        for index, node in enumerate(self.plan.nodes):
            self.stations[index] = self._start(index, self._buses[node.gateway_id or BUS_OF_NODES][1])
        await _gather(self._commission(index) for index in self.stations)

    def _start(self, index: int, bus: str) -> Station:
        def note_end(code: int) -> None:
            if not self.ended.done():
                node = format_address(UnicastAddress(self.plan.nodes[index].address))
                log_end = read_log_end(self._log_of(index))
                self.ended.set_result(f"the daemon of node {node} ended with code {code}{log_end}")

        daemon = start_daemon(
            self._programs,
            self._folder,
            index,
            bus=bus,
            air=self.air.path,
            socket=self.air.node_path(index),
            on_end=note_end,
        )
        return Station(daemon, bus)

    async def _commission(self, index: int) -> None:
        station, planned = self.stations[index], self.plan.nodes[index]
        service = await self.air.ask_name(index, NAME_LIMIT_S)
        if planned.gateway_id is not None:
            return
        station.local = self._make_local(index, service)
        try:
            station.token, station.client = await commission(
                station.local, planned.keys, groups=planned.groups, settings=planned.settings
            )
        except (MeshTwinError, TimeoutError) as error:
            place = f"node {format_address(UnicastAddress(planned.address))}"
            message = f"node not commissioned: {error}{read_log_end(self._log_of(index))}"
            raise Unavailable(message, reason="BootFailed", place=place) from error
        self._use(index)

    def _log_of(self, index: int) -> Path:
        return self._folder / f"node{index}.log"

    def _make_local(self, index: int, service: str) -> LocalNode:
        if self._connection is None:
            raise Unavailable("the bus is not connected", reason="BusUnavailable")
        planned = self.plan.nodes[index]
        size = planned.replay_list_size
        return LocalNode(
            self._connection,
            root=f"/meshtwin/node{index}",
            address=planned.address,
            composition=Composition() if size is None else Composition(replay_list_size=size),
            service=service or MESH_SERVICE,
        )

    def _use(self, index: int) -> None:
        """Let the node's application run on its attached node."""
        station, planned = self.stations[index], self.plan.nodes[index]
        if station.local is None or station.client is None:
            return

        def rssi_dbm(source: int) -> float | None:
            sender = self.plan.index_of(source)
            return None if sender is None else self.air.rssi_dbm(sender, index)

        rng = random.Random(f"{self.plan.seed}/application/{index}")  # noqa: S311  # phases, not secrets
        application = NodeApplication(station.local, report_to=planned.report_to, rng=rng, rssi_dbm=rssi_dbm)
        station.application = application
        station.client.on_other = application.take

    # Faults

    async def act(self, action: Mapping[str, Any]) -> None:
        """Do one fault; raises `InvalidInput` for an unknown action or node.

        ``nodeOff`` / ``nodeOn`` (node): power; ``nodeRestart`` (node): off and on at once; ``fade`` (source, target,
        lossDb, both); ``linkDown`` / ``linkUp`` (source, target); ``partition`` (nodes: they hear each other alone);
        ``heal``: no fading any more; ``publication`` (node, ttl): its monitoring model publishes with another TTL.
        """
        match action.get("op"):
            case "nodeOff":
                await self._power_off(self._index(action, "node"))
            case "nodeOn":
                await self._power_on(self._index(action, "node"))
            case "nodeRestart":
                await self._power_off(self._index(action, "node"))
                await self._power_on(self._index(action, "node"))
            case "fade" | "linkDown" | "linkUp" as op:
                loss_db = {"linkDown": FADED_AWAY_DB, "linkUp": 0.0}.get(op, float(action.get("lossDb", 0.0)))
                if not math.isfinite(loss_db):
                    raise InvalidInput(f"a loss of {loss_db} dB is no number", place="lossDb")
                source, target = self._index(action, "source"), self._index(action, "target")
                self._fade(
                    {(source, target), (target, source)} if action.get("both", True) else {(source, target)}, loss_db
                )
            case "partition":
                inside = {self._index({"node": node}, "node") for node in action.get("nodes", ())}
                outside = set(self.stations) - inside
                self._fade(
                    {(a, b) for x, y in ((inside, outside), (outside, inside)) for a in x for b in y}, FADED_AWAY_DB
                )
            case "heal":
                self._fade(set(self._fading_db), 0.0)
            case "publication":
                await self._publish_otherwise(self._index(action, "node"), int(action.get("ttl", 0)))
            case unknown:
                raise InvalidInput(f"unknown action {unknown!r}", reason="UnknownAction")

    async def _power_off(self, index: int) -> None:
        station = self.stations[index]
        if not station.daemon.is_running:
            return
        self.air.physics.powered[index] = 0
        if station.application is not None:
            station.application.stop()
        if station.local is not None:
            station.local.withdraw()
        await station.daemon.kill()

    async def _power_on(self, index: int) -> None:
        """Start the daemon again from its storage, and attach the node's application to it."""
        old = self.stations[index]
        if old.daemon.is_running:
            return
        station = self._start(index, old.bus_address)
        station.token = old.token
        self.stations[index] = station
        service = await self.air.ask_name(index, NAME_LIMIT_S)
        self.air.physics.powered[index] = 1
        if self.plan.nodes[index].gateway_id is not None:
            return
        station.local = self._make_local(index, service)
        await station.local.attach(station.token)
        station.client = ConfigClient(station.local)
        self._use(index)

    async def _publish_otherwise(self, index: int, ttl: int) -> None:
        """As a commissioning tool that was told wrong; nothing for a node where a gateway stands."""
        station, address = self.stations[index], self.plan.nodes[index].address
        if station.client is not None:
            await station.client.ask(address, set_publication(address, replace(NOTIFICATION, ttl=ttl), MODEL))

    def _fade(self, pairs: Iterable[tuple[int, int]], loss_db: float) -> None:
        for source, target in pairs:
            self._fading_db[source, target] = loss_db
        for source in {source for source, _ in pairs}:
            fading = {b: db for (a, b), db in self._fading_db.items() if a == source}
            self.air.physics.reaches[source] = compute_reaches(self.plan.power_dbm[source], self.plan.radio, fading)

    def _index(self, action: Mapping[str, Any], name: str) -> int:
        address = parse_unicast(str(action.get(name, "")), name)
        index = self.plan.index_of(address)
        if index is None:
            raise InvalidInput(
                f"node {format_address(address)} is not in the scenario", reason="UnknownNode", place=name
            )
        return index


async def _gather(work: Iterable[Any]) -> None:
    """Wait for all; the first fault cancels the others and is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            for one in work:
                group.create_task(one)
    except BaseExceptionGroup as faults:
        raise faults.exceptions[0] from faults
