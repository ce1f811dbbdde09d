"""The core against nodes that answer at once: commands, restoring, and a crash after every single effect."""

import json
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.core_rig import (
    BASE,
    DIGEST,
    NAMES,
    NODES,
    REV1,
    STAGE,
    START,
    Crash,
    Rig,
    adopted_rig,
    armed_rig,
    is_base,
    is_target,
    make_command,
)

from meshtwin.contract.access import (
    NeighbourRecord,
    Opcode,
    encode_access,
    encode_records,
)
from meshtwin.contract.configuration import CommandResult, GatewayPhase, Verb
from meshtwin.contract.telemetry import NeighbourTelemetry
from meshtwin.mesh.configuration import (
    Configuration,
    NodeSettings,
    compute_digest,
)


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


def test_adopting_again_while_nobody_answers_fails_and_keeps_what_was_read() -> None:
    rig = adopted_rig()
    before = rig.reported.hash
    rig.silent = set(NODES)

    result = rig.command(Verb.ADOPT, "again", nodes=NAMES, run_s=600)

    assert (result.status, result.reason) == ("failed", "Unreachable")
    assert rig.reported.hash == before


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


def missed_rig() -> Rig:
    """Coverage was missed by nodes 4 and 5, and the restore has begun."""
    rig = adopted_rig()
    rig.command(Verb.STAGE, **STAGE)
    rig.silent = {4, 5}
    rig.command(Verb.COMMIT, **REV1, coverage_per_mille=900, run_s=0)
    while rig.reported.phase is not GatewayPhase.RESTORING:
        rig.run(1)
    return rig


def test_a_configuration_that_cut_nodes_off_is_never_accepted_again() -> None:
    rig = missed_rig()

    rig.silent = set()
    rig.run(600)

    assert rig.reported.restore_reason == "CoverageMissed"
    assert rig.reported.rejected_hashes == [DIGEST]
    assert is_base(rig)


def test_nodes_that_stay_silent_are_not_held_against_the_configuration() -> None:
    rig = missed_rig()

    rig.run(600)

    assert rig.reported.rejected_hashes == []
    assert rig.command(Verb.STAGE, "a2", **STAGE).status == "done"


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
