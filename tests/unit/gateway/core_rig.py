"""A gateway's core against nodes that answer at once; it may be killed after every single effect."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from meshtwin.contract.access import STATUS_OF, decode_access, decode_status, encode_status
from meshtwin.contract.configuration import Command, CommandResult, GatewayPhase, Reported, Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Publish, Save, SendMesh
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes
from meshtwin.gateway.outbox import Identity
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import NodeSettings, Transmit, compute_digest, expand_settings

START = datetime(2026, 1, 1, tzinfo=UTC)
GATEWAY = 1
NODES = [UnicastAddress(a) for a in range(1, 6)]
NAMES = [format_address(a) for a in NODES]
BASE = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=3, interval_steps=1),
    network_transmit=Transmit(count=4, interval_steps=1),
    default_ttl=127,
)
IDENTITY = Identity(session="s1", address=GATEWAY, report_group=0xD001)


class Crash(Exception):
    """The gateway process ends here."""


@dataclass
class Rig:
    """Nodes, a disk, and a gateway that may be killed; ``crash_after`` counts effects."""

    crash_after: int | None = None
    disk: bytes = field(default_factory=lambda: to_bytes(Memory()))
    nodes: dict[int, NodeSettings] = field(default_factory=lambda: dict.fromkeys(NODES, BASE))
    silent: set[int] = field(default_factory=set)
    stubborn: set[int] = field(default_factory=set)
    now: datetime = START
    said: list[Publish] = field(default_factory=list)
    performed: int = 0

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.core = GatewayCore(parse_memory(self.disk, "disk"), IDENTITY)
        self.perform(self.core.start(self.now))

    def perform(self, effects: list[Effect]) -> None:
        answers = []
        for effect in effects:
            if self.crash_after is not None and self.performed >= self.crash_after:
                self.crash_after = None
                raise Crash
            self.performed += 1
            match effect:
                case Save():
                    self.disk = to_bytes(effect.memory)
                case Publish():
                    self.said.append(effect)
                case SendMesh():
                    answers.append(self.answer(effect))
        for node, payload in filter(None, answers):
            self.perform(self.core.mesh(node, payload, 120, self.now))

    def answer(self, sent: SendMesh) -> tuple[int, bytes] | None:
        message = decode_access(sent.payload)
        if message is None or message.opcode not in STATUS_OF or sent.destination in self.silent:
            return None
        if message.parameters and sent.destination not in self.stubborn:
            changed = self.nodes[sent.destination].overlaid(decode_status(message))
            self.nodes[sent.destination] = changed
        return sent.destination, encode_status(STATUS_OF[message.opcode], self.nodes[sent.destination])

    def run(self, seconds: float) -> None:
        """Let time pass, waking the gateway whenever it wants."""
        end = self.now + timedelta(seconds=seconds)
        while (wake_at := self.core.next_wakeup()) is not None and wake_at <= end:
            self.now = max(self.now, wake_at)
            self.perform(self.core.on_time(self.now))
        self.now = end

    def command(self, verb: Verb, attempt: str = "a1", run_s: float = 20.0, **said: object) -> CommandResult:
        """Send a command, wait, and give its last result."""
        before = len(self.said)
        self.perform(self.core.command(make_command(self.now, verb, attempt, **said).to_payload(), self.now))
        self.run(run_s)
        results = [p.payload for p in self.said[before:] if isinstance(p.payload, CommandResult)]
        return [r for r in results if r.verb is verb and r.attempt_id == attempt][-1]

    @property
    def reported(self) -> Reported:
        return [p.payload for p in self.said if isinstance(p.payload, Reported)][-1]


def make_command(now: datetime, verb: Verb, attempt: str = "a1", **said: object) -> Command:
    values: dict[str, object] = {
        "verb": verb,
        "epoch": 1,
        "attempt_id": attempt,
        "sent_at": now,
        "not_after": now + timedelta(seconds=30),
    }
    return Command.model_validate(values | said)


ENTRIES = [
    SettingsEntry(nodes=["0001-0005"], relay="Disabled", default_ttl=6),
    SettingsEntry(nodes=["0002"], relay="Enabled"),
]
TARGET = expand_settings([entry.to_value() for entry in ENTRIES], NODES)
DIGEST = compute_digest(TARGET)
STAGE = {"revision": 1, "hash": DIGEST, "settings": ENTRIES, "nodes": NAMES}
REV1 = {"revision": 1, "hash": DIGEST}


def adopted_rig() -> Rig:
    rig = Rig()
    assert rig.command(Verb.ADOPT, nodes=NAMES).status == "done"
    return rig


def armed_rig() -> Rig:
    rig = adopted_rig()
    assert rig.command(Verb.STAGE, **STAGE).status == "done"
    assert rig.command(Verb.COMMIT, **REV1, confirm_within_seconds=60).status == "done"
    assert rig.core.memory.phase is GatewayPhase.ARMED
    return rig


def is_base(rig: Rig) -> bool:
    return all(settings == BASE for settings in rig.nodes.values())


def is_target(rig: Rig) -> bool:
    return all(not rig.nodes[node].differing(wanted) for node, wanted in TARGET.entries)
