"""The core against nodes that answer at once: commands, restoring, and a crash after every single effect."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.contract.access import (
    STATUS_OF,
    NeighbourRecord,
    Opcode,
    decode_access,
    decode_status,
    encode_access,
    encode_records,
    encode_status,
)
from meshtwin.contract.configuration import Command, CommandResult, GatewayPhase, Reported, Verb
from meshtwin.contract.telemetry import NeighbourTelemetry
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Publish, Save, SendMesh
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes
from meshtwin.gateway.outbox import Identity
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import (
    Configuration,
    NodeSettings,
    Transmit,
    compute_digest,
    expand_settings,
)

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


def test_adopting_makes_what_was_read_revision_zero() -> None:
    rig = adopted_rig()

    assert rig.reported.revision == 0
    assert rig.reported.hash == compute_digest(Configuration.of(dict.fromkeys(NODES, BASE)))
    assert rig.reported.unheard == []


def test_nodes_that_do_not_answer_are_named_by_adoption() -> None:
    rig = Rig(silent={3})

    result = rig.command(Verb.ADOPT, nodes=NAMES, run_s=200)

    assert {o.node for o in result.outcomes if o.outcome == "unknown"} == {"0003"}
    assert rig.reported.unheard == ["0003"]


def test_a_confirmed_commit_is_in_force() -> None:
    rig = armed_rig()

    result = rig.command(Verb.CONFIRM, **REV1)
    rig.run(600)

    assert result.status == "done"
    assert is_target(rig)
    assert (rig.reported.revision, rig.reported.hash, rig.reported.phase) == (1, DIGEST, GatewayPhase.IDLE)


def test_an_unconfirmed_commit_is_taken_back_at_its_deadline() -> None:
    rig = armed_rig()

    rig.run(120)

    assert is_base(rig)
    assert rig.reported.restore_reason == "TimedOut"
    assert rig.reported.timed_out_hashes == [DIGEST]
    assert rig.command(Verb.STAGE, **STAGE).status == "done"  # it may be tried again


def test_a_harmful_configuration_is_taken_back_and_never_accepted_again() -> None:
    rig = armed_rig()

    rig.command(Verb.ABORT, **REV1, reason="Harm", run_s=60)
    again = rig.command(Verb.STAGE, "a2", **{**STAGE, "revision": 9})

    assert is_base(rig)
    assert rig.reported.rejected_hashes == [DIGEST]
    assert (again.status, again.reason) == ("refused", "PreviouslyHarmful")


def test_too_little_coverage_restores() -> None:
    rig = adopted_rig()
    rig.command(Verb.STAGE, **STAGE)
    rig.silent = {4, 5}

    result = rig.command(Verb.COMMIT, **REV1, coverage_per_mille=900, run_s=600)

    assert (result.status, result.reason) == ("failed", "CoverageMissed")
    assert rig.reported.restore_reason == "CoverageMissed"
    assert {o.node for o in rig.reported.exceptions} == {"0004", "0005"}
    assert is_base(rig)


def test_a_silent_node_is_repaired_when_it_is_heard_again() -> None:
    rig = adopted_rig()
    rig.command(Verb.STAGE, **STAGE)
    rig.silent = {5}
    rig.command(Verb.COMMIT, **REV1, coverage_per_mille=700, confirm_within_seconds=600, run_s=100)
    rig.command(Verb.CONFIRM, **REV1)
    assert [o.node for o in rig.reported.exceptions] == ["0005"]

    rig.silent = set()
    rig.run(60)
    rig.perform(rig.core.mesh(5, encode_access(Opcode.REPORT), 120, rig.now))
    rig.run(30)

    assert is_target(rig)
    assert rig.reported.exceptions == []


def test_a_node_that_keeps_its_value_is_reported_as_refused() -> None:
    rig = adopted_rig()
    rig.command(Verb.STAGE, **STAGE)
    rig.stubborn = {3}

    result = rig.command(Verb.COMMIT, **REV1, coverage_per_mille=800, run_s=100)

    assert result.status == "done"
    assert {o.node: o.outcome.value for o in result.outcomes}["0003"] == "refused"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"not_after": START - timedelta(days=1)}, "Late"),
        ({"sent_at": START + timedelta(days=1), "not_after": START + timedelta(days=2)}, "FromFuture"),
        ({"epoch": 0}, "StaleEpoch"),
        ({"hash": "sha256:" + "0" * 64}, "HashMismatch"),
        ({"revision": 0}, "StaleRevision"),
        ({"settings": None}, "Incomplete"),
        ({"nodes": ["0007"]}, "UnknownNode"),
    ],
)
def test_stage_is_refused_with_the_reason(change: dict[str, object], reason: str) -> None:
    rig = adopted_rig()

    result = rig.command(Verb.STAGE, **{**STAGE, **change})

    assert (result.status, result.reason) == ("refused", reason)
    assert is_base(rig)


def test_stage_without_adoption_is_refused() -> None:
    assert Rig().command(Verb.STAGE, **STAGE).reason == "NotAdopted"


def test_commit_and_confirm_without_stage_are_refused() -> None:
    rig = adopted_rig()

    assert rig.command(Verb.COMMIT, **REV1).reason == "NothingStaged"
    assert rig.command(Verb.CONFIRM, **REV1).reason == "NothingArmed"
    assert rig.command(Verb.ABORT, **REV1).status == "done"


def test_repeated_commands_change_nothing_and_are_answered() -> None:
    rig = armed_rig()

    assert rig.command(Verb.COMMIT, **REV1).status == "done"
    assert rig.command(Verb.STAGE, "a2", **{**STAGE, "revision": 2}).reason == "Busy"
    rig.command(Verb.CONFIRM, **REV1)
    memory = rig.core.memory
    for verb, said in ((Verb.STAGE, STAGE), (Verb.COMMIT, REV1), (Verb.CONFIRM, REV1)):
        assert rig.command(verb, "a3", **said).status == "done"
    assert rig.core.memory == memory


@pytest.mark.parametrize(
    "payload", [b"", b"\xff\x00", b"[]", b"null", b"{}", b'{"verb":"fly"}', b"[" * 20_000, b"x" * 600_000]
)
def test_foreign_payloads_are_counted_and_change_nothing(payload: bytes) -> None:
    rig = adopted_rig()
    memory = rig.core.memory

    rig.perform(rig.core.command(payload, rig.now))

    assert rig.core.memory == memory
    assert sum(rig.core.rejected.values()) == 1


def test_another_contract_version_is_refused_by_name() -> None:
    rig = adopted_rig()
    command = json.loads(make_command(rig.now, Verb.ADOPT).to_payload()) | {"contract": 2}

    rig.perform(rig.core.command(json.dumps(command).encode(), rig.now))

    result = rig.said[-1].payload
    assert isinstance(result, CommandResult)
    assert (result.status, result.reason) == ("refused", "UnknownContract")


def test_a_node_changed_by_hand_is_reported_as_drifted_and_may_be_healed() -> None:
    rig = armed_rig()
    rig.command(Verb.CONFIRM, **REV1)
    rig.nodes[3] = rig.nodes[3].overlaid(NodeSettings(relay=True))

    rig.run(200)
    assert rig.reported.drifted == ["0003"]
    assert rig.command(Verb.STAGE, "a2", **STAGE).status == "done"
    rig.command(Verb.COMMIT, "a2", **REV1)
    rig.command(Verb.CONFIRM, "a2", **REV1)

    assert is_target(rig)
    assert rig.reported.drifted == []


def test_reports_become_cumulative_counters() -> None:
    rig = adopted_rig()
    rig.command(Verb.MONITOR, notification_interval_seconds=1.0, report_interval_seconds=10.0, nodes=NAMES)
    parity = bool(rig.core.memory.monitor_epoch & 1)
    for expected, received in ((250, 200), (4, 208)):  # 8 bits: 250, then 260
        record = NeighbourRecord(
            neighbour_low=3, expected=expected, received=received, transmissions=5, rssi_dbm=-70, odd_epoch=parity
        )
        payload = encode_access(Opcode.REPORT, encode_records((record,)))
        rig.perform(rig.core.mesh(2, payload, 120, rig.now))
        rig.run(10)

    seen = [p.payload for p in rig.said if isinstance(p.payload, NeighbourTelemetry)]
    assert [(n.node, n.neighbours[0].last_counter, n.neighbours[0].received) for n in seen] == [
        ("0002", 250, 200),
        ("0002", 260, 208),
    ]
    assert seen[0].neighbours[0].epoch == seen[1].neighbours[0].epoch


STORY = ((Verb.ADOPT, {"nodes": NAMES}), (Verb.STAGE, STAGE), (Verb.COMMIT, REV1), (Verb.CONFIRM, REV1))


def play(crash_after: int, operator_returns: bool) -> tuple[Rig, bool]:
    """The story with one crash; whether it crashed at all."""
    rig = Rig()
    rig.crash_after = crash_after
    crashed = False
    for verb, said in STORY:
        try:
            rig.command(verb, run_s=25.0, **said)
        except (Crash, IndexError):
            crashed = True
            rig.start()
            rig.run(5)
            if not operator_returns:
                break
            rig.command(verb, run_s=25.0, **said)
    rig.crash_after = None
    rig.run(2000)
    return rig, crashed


@pytest.mark.parametrize("operator_returns", [True, False])
def test_a_gateway_killed_after_any_effect_ends_on_the_confirmed_or_the_base_configuration(
    operator_returns: bool,
) -> None:
    crash_after, crashed = 0, True
    while crashed:
        rig, crashed = play(crash_after, operator_returns)
        memory = rig.core.memory
        # Staged is as safe as idle: nothing was sent to any node.
        assert memory.phase in (GatewayPhase.IDLE, GatewayPhase.STAGED), crash_after
        assert is_target(rig) if memory.revision == 1 else is_base(rig), crash_after
        if operator_returns:
            assert memory.revision == 1, crash_after
        crash_after += 1
    assert crash_after > 50  # the story has that many effects, or it was not told


COMMANDS = st.tuples(
    st.sampled_from(list(Verb)),
    st.sampled_from(["a1", "a2"]),
    st.sampled_from([0, 1, 2, 3]),
    st.sampled_from([0.0, 1.0, 30.0, 400.0]),
    st.sampled_from([None, "Harm", "Stopped"]),
    st.booleans(),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(COMMANDS, max_size=12))
def test_any_sequence_of_commands_ends_with_the_nodes_as_the_memory_says(
    sequence: list[tuple[Verb, str, int, float, str | None, bool]],
) -> None:
    rig = adopted_rig()
    for verb, attempt, revision, pause_s, reason, killed in sequence:
        said = {**STAGE, "revision": revision, "reason": reason, "confirm_within_seconds": 60}
        command = make_command(rig.now, verb, attempt, **said)
        rig.perform(rig.core.command(command.to_payload(), rig.now))
        rig.run(pause_s)
        if killed:
            rig.start()
    rig.run(3000)

    assert rig.core.memory.phase in (GatewayPhase.IDLE, GatewayPhase.STAGED)
    for node, wanted in rig.core.memory.configuration.entries:
        assert not rig.nodes[node].differing(wanted)
