"""Nodes of no particular make, in a row, that answer a gateway's core: settings, composition data, heartbeats."""

import struct
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from meshtwin.contract.access import (
    STATUS_OF,
    Access,
    Opcode,
    decode_access,
    decode_status,
    encode_access,
    encode_status,
)
from meshtwin.contract.configuration import Command, CommandResult, Verb
from meshtwin.contract.model_messages import Publication
from meshtwin.contract.telemetry import GatewayState, Observing
from meshtwin.contract.wire import WireModel
from meshtwin.emulation.model_server import MODEL_OPCODES, ModelServer
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Publish, Save, SendMesh
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes
from meshtwin.gateway.outbox import Identity
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings, Transmit

START = datetime(2026, 1, 1, tzinfo=UTC)
GATEWAY = 1
GROUP = 0xD001
SETTINGS = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=2, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=20,
)
IDENTITY = Identity(
    session="s1",
    address=GATEWAY,
    report_group=GROUP,
    stack_profile="bluez",
    senses_occupancy=False,
    repeats_notifications=False,
    reads_composition=True,
    measures_round_trips=True,
    occupancy_share=0.7,
)
NOTIFICATION = Publication(address=0xFFFF, ttl=0, retransmit=Transmit(count=1, interval_steps=0))
MONITOR: dict[str, Any] = {
    "notification_interval_seconds": 10,
    "report_interval_seconds": 60,
    "airtime_budget_percent": 5,
}


def pack_composition(crpl: int, *, features: int = 1, version: int = 1) -> bytes:
    """Page 0 of a node with one element: two SIG models and one vendor model."""
    head = struct.pack("<BHHHHH", 0, 0x05F1, 1, version, crpl, features)
    return head + struct.pack("<HBBHHHH", 0, 2, 1, 0x0000, 0x0001, 0x05F1, 1)


@dataclass
class HeartbeatState:
    """Of one node: what it publishes, to whom it listens, and since when."""

    ttl: int | None = None
    period_s: float = 1.0
    source: int = 0
    listen_s: float = 0.0
    since: datetime = START


@dataclass
class ObservedMesh:
    """Nodes 1 to ``size`` in a row, each hearing the next; ``crpl`` per node, else 1,000. Answers take ``delay_s``."""

    size: int = 5
    identity: Identity = IDENTITY
    crpl: dict[int, int] = field(default_factory=dict)
    versions: dict[int, int] = field(default_factory=dict)  # of firmware, else 1
    silent: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)  # numbers of questions whose answers do not come
    delay_s: float = 0.05
    now: datetime = START
    disk: bytes = field(default_factory=lambda: to_bytes(Memory()))
    said: list[Publish] = field(default_factory=list)
    asked: list[tuple[int, Access]] = field(default_factory=list)
    heartbeats: dict[int, HeartbeatState] = field(default_factory=dict)
    models: dict[int, ModelServer] = field(default_factory=dict)
    _coming: list[tuple[datetime, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.nodes = [UnicastAddress(a) for a in range(1, self.size + 1)]
        self.names = [format_address(a) for a in self.nodes]
        self.heartbeats = {int(node): HeartbeatState() for node in self.nodes}
        self.models = {int(node): ModelServer(node, NOTIFICATION, groups={GROUP}) for node in self.nodes}
        self.start()

    def start(self) -> None:
        """Start the gateway from its disk."""
        self._coming.clear()
        self.core = GatewayCore(parse_memory(self.disk, "disk"), self.identity)
        self._perform(self.core.start(self.now))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + timedelta(seconds=seconds)
        woken = 0
        while True:
            times = [self.core.next_wakeup(), *(at for at, _, _ in self._coming)]
            at = min((t for t in times if t is not None), default=end)
            if at > end:
                break
            woken = woken + 1 if at <= self.now else 0
            assert woken < 1000, f"the gateway is woken again and again at {self.now}, and does nothing"
            self.now = max(self.now, at)
            due = [c for c in self._coming if c[0] <= self.now]
            self._coming = [c for c in self._coming if c[0] > self.now]
            for _, source, payload in due:
                self._perform(self.core.mesh(source, payload, None, self.now))
            self._perform(self.core.on_time(self.now))
        self.now = end

    def receive(self, source: int, opcode: Opcode, parameters: bytes = b"") -> None:
        """A message that the gateway did not ask for."""
        self._perform(self.core.mesh(source, encode_access(opcode, parameters), None, self.now))

    def hear(self, payload: bytes) -> None:
        """A payload of ``configuration/command``, whatever it is."""
        self._perform(self.core.command(payload, self.now))

    def hear_in_mesh(self, source: int, payload: bytes, ttl: int | None) -> list[WireModel]:
        """Anything that came to the gateway's node, and what was published then."""
        before = len(self.said)
        self._perform(self.core.mesh(source, payload, ttl, self.now))
        return [said.payload for said in self.said[before:]]

    def sense(self, busy_s: float, mesh_s: float) -> None:
        """A reading of the busy time of the gateway's node."""
        self._perform(self.core.sensed(busy_s, mesh_s, self.now))

    def command(self, verb: Verb, attempt: str = "a1", run_s: float = 30.0, **said: Any) -> list[CommandResult]:
        """Send a command, let time pass, and give its results."""
        values = {
            "verb": verb,
            "epoch": 1,
            "attempt_id": attempt,
            "sent_at": self.now,
            "not_after": self.now + timedelta(seconds=600),
            "nodes": self.names,
        }
        before = len(self.said)
        self._perform(self.core.command(Command.model_validate(values | said).to_payload(), self.now))
        self.run(run_s)
        results = [p.payload for p in self.said[before:] if isinstance(p.payload, CommandResult)]
        return [r for r in results if r.verb is verb and r.attempt_id == attempt]

    def told(self, kind: type[Any]) -> list[Any]:
        """Everything published of one kind, in order."""
        return [p.payload for p in self.said if isinstance(p.payload, kind)]

    @property
    def observing(self) -> Observing:
        """What the newest state says of observing."""
        observing = self.told(GatewayState)[-1].observing
        assert observing is not None
        return observing

    def questions(self, opcode: Opcode) -> list[int]:
        """Nodes that were asked something, in order."""
        return [node for node, message in self.asked if message.opcode is opcode]

    def _perform(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Save():
                    self.disk = to_bytes(effect.memory)
                case Publish():
                    self.said.append(effect)
                case SendMesh():
                    self._ask(effect)

    def _ask(self, sent: SendMesh) -> None:
        message = decode_access(sent.payload)
        assert message is not None
        self.asked.append((sent.destination, message))
        is_lost = len(self.asked) - 1 in self.lost
        if sent.destination in self.heartbeats and sent.destination not in self.silent and not is_lost:
            answer = self._answer(sent.destination, message)
            if answer is not None:
                self._coming.append((self.now + timedelta(seconds=self.delay_s), sent.destination, answer))

    def _answer(self, node: int, message: Access) -> bytes | None:
        state, p = self.heartbeats[node], message.parameters
        match message.opcode:
            case Opcode.COMPOSITION_GET:
                page = pack_composition(self.crpl.get(node, 1000), version=self.versions.get(node, 1))
                return b"\x02" + page
            case Opcode.HEARTBEAT_PUBLICATION_SET:
                destination, _, period_log, ttl, _, _ = struct.unpack("<HBBBHH", p)
                ttl_now = ttl if destination else None
                self.heartbeats[node] = replace(state, ttl=ttl_now, period_s=2.0 ** (period_log - 1))
                return b"\x06\x00" + p
            case Opcode.HEARTBEAT_SUBSCRIPTION_SET:
                source, _, log = struct.unpack("<HHB", p)
                self.heartbeats[node] = replace(state, source=source, listen_s=2.0 ** (log - 1), since=self.now)
                return self._subscription(node)
            case Opcode.HEARTBEAT_SUBSCRIPTION_GET:
                return self._subscription(node)
            case opcode if opcode in MODEL_OPCODES:
                return self.models[node].answer(message)
            case opcode if opcode in STATUS_OF:
                said = SETTINGS.overlaid(decode_status(message))
                return encode_status(STATUS_OF[opcode], said)
            case _:
                return None

    def _subscription(self, node: int) -> bytes:
        state = self.heartbeats[node]
        publisher = self.heartbeats.get(state.source, HeartbeatState())
        hops = abs(node - state.source)
        is_reached = publisher.ttl is not None and (hops == 1 or publisher.ttl >= hops)
        listened_s = min((self.now - state.since).total_seconds(), state.listen_s)
        count = int(listened_s / publisher.period_s) if is_reached else 0
        counted = struct.pack("<HHBBBB", state.source, GROUP, 0, count.bit_length(), hops, hops)
        return b"\x80\x3c\x00" + counted
