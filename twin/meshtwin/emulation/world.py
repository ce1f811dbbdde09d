"""The whole emulated mesh: nodes on one medium, faults on request, and its truth for tests."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import simpy

from meshtwin.contract.access import Opcode, encode_access
from meshtwin.contract.wire import SettingsEntry
from meshtwin.emulation.firmware import ALL_NODES, Firmware
from meshtwin.emulation.medium import Medium, Pdu
from meshtwin.emulation.node import NetworkLayer
from meshtwin.emulation.radio import Reach, compute_power_dbm, compute_reaches
from meshtwin.emulation.scenario import FlowModel, InterferenceModel, MeshScenario
from meshtwin.emulation.tally import Tally
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address, parse_unicast
from meshtwin.mesh.configuration import NodeSettings, Transmit

__all__ = ["Attachment", "World"]

FACTORY_SETTINGS = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=0, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=7,
)  # assumed: what nodes do before somebody configures them

Listener = Callable[[int, int, bytes, int, float], None]


@dataclass(frozen=True, slots=True)
class Attachment:
    """The node a gateway is attached to."""

    gateway_id: str
    index: int
    address: int
    report_group: int


@dataclass(slots=True, eq=False)
class World:
    """All nodes, the air between them, and simulated time (`env`, in seconds).

    ``listeners[index]`` gets (source, destination, payload, ttl, power_dbm) of messages to an attached node.
    ``seed`` draws the place, ``dice_seed`` what happens in it: with another one, another day in the same building.
    """

    scenario: MeshScenario
    seed: int
    dice_seed: int | None = None  # None: the same as ``seed``
    env: simpy.Environment = field(default_factory=simpy.Environment)
    listeners: dict[int, Listener] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    networks: list[NetworkLayer] = field(default_factory=list)
    firmwares: list[Firmware] = field(default_factory=list)
    _index: dict[int, int] = field(default_factory=dict)
    _members: dict[int, frozenset[int]] = field(default_factory=dict)
    _fading_db: dict[int, dict[int, float]] = field(default_factory=dict)
    _power_dbm: list[list[tuple[float, float, float]]] = field(default_factory=list)
    _powered: bytearray = field(default_factory=bytearray)
    medium: Medium = field(init=False)

    def __post_init__(self) -> None:
        self._index = {int(node.address, 16): i for i, node in enumerate(self.scenario.nodes)}
        self._powered = bytearray(b"\x01" * len(self._index))
        self._place_on_air()
        self._make_nodes()
        self._subscribe()
        for flow in self.scenario.flows:
            self.env.process(self._press_buttons(flow))
        for interference in self.scenario.interference:
            self.env.process(self._interfere(interference))
        for fault in self.scenario.faults:
            self.env.process(self._fail_later(fault.at_seconds, fault.action))

    def _stream(self, name: str) -> random.Random:
        seed = self.seed if self.dice_seed is None else self.dice_seed
        return random.Random(f"{seed}/{name}")  # noqa: S311  # physics, not secrets

    def _place_on_air(self) -> None:
        nodes, rng = self.scenario.nodes, random.Random(f"{self.seed}/weak")  # noqa: S311  # physics, not secrets
        weak = set(rng.sample(range(len(nodes)), min(self.scenario.weak_nodes, len(nodes))))
        weak_db = [n.weak_db + (self.scenario.weak_by_db if i in weak else 0.0) for i, n in enumerate(nodes)]
        self._power_dbm = compute_power_dbm(nodes, self.scenario.radio, weak_db, self.seed)
        phases = self._stream("scan")
        self.medium = Medium(
            env=self.env,
            radio=self.scenario.radio,
            stack=self.scenario.stack,
            reaches=[compute_reaches(row, self.scenario.radio, {}) for row in self._power_dbm],
            scan_phase_s=[phases.uniform(0, 0.09) for _ in nodes],
            powered=self._powered,
            rng=self._stream("medium"),
            received=self._received,
        )

    def _make_nodes(self) -> None:
        initial = self.scenario.initial_configuration().as_dict()
        gateways = {gateway.id: int(gateway.node, 16) for gateway in self.scenario.gateways}
        clocks = self._stream("clocks")
        for i, model in enumerate(self.scenario.nodes):
            address = int(model.address, 16)
            settings = FACTORY_SETTINGS.overlaid(initial.get(UnicastAddress(address), NodeSettings()))
            network = NetworkLayer(
                i, address, self.env, self.medium, self.scenario.stack, self._stream(f"node/{i}"), settings
            )
            self.networks.append(network)
            self.firmwares.append(
                Firmware(
                    network=network,
                    env=self.env,
                    rng=self._stream(f"firmware/{i}"),
                    send=self._sender(i),
                    gateway_address=gateways[model.gateway],
                    clock_error_s=clocks.gauss(0, self.scenario.clocks.error_ms / 1000),
                    refuses=model.refuses,
                    notification_ttl=self.scenario.stack.notification_ttl,
                )
            )

    def _subscribe(self) -> None:
        members: dict[int, set[int]] = {ALL_NODES: set(self._index.values())}
        report_groups = {gateway.id: int(gateway.report_group, 16) for gateway in self.scenario.gateways}
        for i, node in enumerate(self.scenario.nodes):
            members.setdefault(report_groups[node.gateway], set()).add(i)
            for group in node.groups:
                members.setdefault(int(group, 16), set()).add(i)
        self._members = {group: frozenset(indices) for group, indices in members.items()}
        for i, firmware in enumerate(self.firmwares):
            own = {group for group, indices in members.items() if group != ALL_NODES and i in indices}
            firmware.models.groups, firmware.models.on_subscribed = own, partial(self._join, i)

    def _join(self, index: int, group: int) -> None:
        """A node's model listens to another group from now on."""
        self._members[group] = self._members.get(group, frozenset()) | {index}

    # Messages

    def index(self, address: int) -> int:
        """Index of a node; raises `InvalidInput` for an unknown one."""
        if address not in self._index:
            raise InvalidInput(f"node {format_address(address)} is not in the scenario", reason="UnknownNode")
        return self._index[address]

    def attachment(self, gateway_id: str) -> Attachment:
        """Where a gateway is attached; raises `InvalidInput` for an unknown gateway."""
        for gateway in self.scenario.gateways:
            if gateway.id == gateway_id:
                address = int(gateway.node, 16)
                return Attachment(gateway_id, self._index[address], address, int(gateway.report_group, 16))
        raise InvalidInput(f"gateway {gateway_id!r} is not in the scenario", reason="UnknownGateway")

    def send(self, index: int, destination: int, payload: bytes, ttl: int | None = None) -> None:
        """Originate an access message at a node; a message to itself does not touch the air."""
        network = self.networks[index]
        if not self._powered[index]:
            return
        if ttl is None:
            ttl = network.settings.default_ttl or 0
        size = len(self._index)
        pdu = Pdu(index, network.address, destination, payload, self.env.now, ttl, bytearray(size), bytearray(size))
        members = self._members.get(destination, frozenset())
        if destination in self._members:
            self.tally.sent(pdu, members - {index})
        if destination == network.address or index in members:
            self._loop_back(index, pdu)
        if destination != network.address:
            network.originate(pdu)

    def _sender(self, index: int) -> Any:
        def send(destination: int, payload: bytes, ttl: int | None = None) -> None:
            self.send(index, destination, payload, ttl)

        return send

    def _loop_back(self, index: int, pdu: Pdu) -> None:
        pdu.delivered[index] = 1
        timer = self.env.timeout(0.001)
        timer.callbacks.append(lambda _event: self._deliver(index, pdu, pdu.initial_ttl, 0.0))

    def _received(self, index: int, pdu: Pdu, ttl: int, power_dbm: float) -> None:
        network = self.networks[index]
        network.remember(pdu)
        if pdu.destination != network.address:
            network.relay(pdu, ttl)
            if index not in self._members.get(pdu.destination, frozenset()):
                return
        if not pdu.delivered[index]:
            pdu.delivered[index] = 1
            self._deliver(index, pdu, ttl, power_dbm)

    def _deliver(self, index: int, pdu: Pdu, ttl: int, power_dbm: float) -> None:
        if pdu.destination in self._members:
            self.tally.delivered(pdu, index, self.env.now)
        self.firmwares[index].receive(pdu.source_address, pdu.payload, power_dbm)
        listener = self.listeners.get(index)
        if listener is not None and pdu.destination == self.networks[index].address:
            listener(pdu.source_address, pdu.destination, pdu.payload, ttl, power_dbm)

    # What happens by itself

    def _press_buttons(self, flow: FlowModel) -> Any:
        rng, index = self._stream(f"flow/{flow.name}"), self.index(int(flow.source, 16))
        transaction = 0
        while flow.rate_per_minute > 0:
            yield self.env.timeout(rng.expovariate(flow.rate_per_minute / 60))
            transaction = (transaction + 1) & 0xFF
            self.send(index, int(flow.destination, 16), encode_access(Opcode.SWITCH, bytes((transaction,))))

    def _interfere(self, model: InterferenceModel) -> Any:
        rng, channel = self._stream(f"interference/{model.channel}"), model.channel - 37
        yield self.env.timeout(rng.uniform(0, model.every_seconds))
        while True:
            self.medium.channel_loss[channel] = model.loss_ratio
            yield self.env.timeout(model.lasts_seconds)
            self.medium.channel_loss[channel] = 0.0
            yield self.env.timeout(max(0.1, model.every_seconds - model.lasts_seconds))

    def _fail_later(self, at_s: float, action: Mapping[str, Any]) -> Any:
        yield self.env.timeout(at_s)
        self.act(action)

    # Control connection

    def act(self, action: Mapping[str, Any]) -> None:
        """Do one fault: ``nodeOff``, ``nodeOn``, ``fade`` (source, target, lossDb, both), ``configure``;
        ``publication`` (node, ttl): its monitoring model publishes with another TTL.

        Raises `InvalidInput` for an unknown action or node.
        """
        match action.get("op"):
            case "nodeOff":
                self._power(self._node(action, "node"), False)
            case "nodeOn":
                self._power(self._node(action, "node"), True)
            case "fade":
                source, target = self._node(action, "source"), self._node(action, "target")
                loss_db = float(action.get("lossDb", 0.0))
                self._fade(source, target, loss_db)
                if action.get("both", True):
                    self._fade(target, source, loss_db)
            case "configure":
                entry = SettingsEntry.model_validate({"nodes": [action["node"]], **action["settings"]})
                network = self.networks[self._node(action, "node")]
                network.settings = network.settings.overlaid(entry.to_settings())
            case "publication":
                models = self.firmwares[self._node(action, "node")].models
                models.publication = replace(models.publication, ttl=int(action.get("ttl", 0)))
            case unknown:
                raise InvalidInput(f"unknown action {unknown!r}", reason="UnknownAction")

    def _node(self, action: Mapping[str, Any], name: str) -> int:
        return self.index(parse_unicast(str(action.get(name, "")), name))

    def _power(self, index: int, on: bool) -> None:
        if bool(self._powered[index]) == on:
            return
        self._powered[index] = on
        self.networks[index].restart()
        self.firmwares[index].restart()

    def _fade(self, source: int, target: int, loss_db: float) -> None:
        self.set_fading(source, {**self._fading_db.get(source, {}), target: loss_db})

    @property
    def power_dbm(self) -> list[list[tuple[float, float, float]]]:
        """Received power without fading, [transmitter][receiver][channel - 37]."""
        return self._power_dbm

    def set_fading(self, source: int, loss_db: Mapping[int, float]) -> None:
        """Replace the extra loss of a node's links; receivers that are not named have none."""
        self._fading_db[source] = dict(loss_db)
        row = compute_reaches(self._power_dbm[source], self.scenario.radio, self._fading_db[source])
        self.medium.reaches[source] = row

    def truth(self) -> dict[str, Any]:
        """What only tests may know: settings, links, counters and the fate of group messages."""
        elapsed_s = max(self.env.now, 1e-9)
        return {
            "meshTimeS": self.env.now,
            "nodes": {
                format_address(n.address): n.settings.to_json() | {"on": bool(self._powered[n.index])}
                for n in self.networks
            },
            "links": {
                f"{format_address(self.networks[i].address)}-{format_address(self.networks[r.target].address)}": round(
                    sum(r.probability) / 3, 4
                )
                for i, row in enumerate(self.medium.reaches)
                for r in row
                if isinstance(r, Reach)
            },
            "busyS": {format_address(n.address): self.medium.busy_s(n.index) for n in self.networks},
            "airtimeRatio": sum(self.medium.busy_s(n.index) for n in self.networks) / len(self.networks) / elapsed_s,
            "transmissions": self.medium.transmissions,
            "collisions": self.medium.collisions,
            "queueDropped": sum(n.queue_dropped for n in self.networks),
            "groups": self.tally.summary(self.env.now),
        }
