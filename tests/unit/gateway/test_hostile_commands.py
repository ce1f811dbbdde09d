"""No payload of ``configuration/command`` ends a gateway, now or at its next start, and each is answered or logged."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tests.unit.gateway.core_rig import DIGEST, ENTRIES, START
from tests.unit.gateway.observed_mesh import IDENTITY, MONITOR, ObservedMesh

from meshtwin.contract.configuration import Command, CommandResult, FlowSpec, Verb
from meshtwin.gateway.memory import Memory, parse_memory, to_bytes

STACKS = {
    "notifications": IDENTITY,
    "heartbeats": replace(IDENTITY, observability="heartbeats"),
    "emulated": replace(IDENTITY, reads_composition=False, repeats_notifications=True, measures_round_trips=False),
}
FLOW = FlowSpec(name="lights", source="0001", destination="c001", members=["0002", "0003"], deadline_ms=150)
PLAUSIBLE: dict[str, Any] = json.loads(
    Command(
        verb=Verb.ADOPT,
        epoch=1,
        attempt_id="a9",
        sent_at=START,
        not_after=START + timedelta(days=1),
        revision=1,
        hash=DIGEST,
        settings=ENTRIES,
        nodes=["0001", "0002", "0003", "0004", "0005"],
        coverage_per_mille=950,
        confirm_within_seconds=60,
        flows=[FLOW],
        presses=3,
        **MONITOR,
    ).to_payload()
)
TIMES = ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z"]
TEXTS = ["", "\ud800", "a\x00\x1b[31m", "0000", "7fff", "c001", "ffff", "1e999", "NaN", "Infinity", "Harm", *TIMES]
NUMBERS = [2**31, 2**53 - 1, 2**53, 2**70, -1, 0, 1e-300, 1e-6, 1e-3, 1e300, float("inf"), float("nan")]
# What has a form, but no sense, finds more than what has none.
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=70) | st.sampled_from(TEXTS + NUMBERS)
)
NAMES = st.sampled_from([*PLAUSIBLE, "name", "members"])
ODD = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=5
)


@st.composite
def payloads(draw: st.DrawFn) -> bytes:
    """A command of which some fields are missing or odd, perhaps cut off; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=80))
    said = {**PLAUSIBLE, "verb": draw(st.sampled_from(list(Verb)))}
    for name in draw(st.lists(st.sampled_from(list(PLAUSIBLE)), max_size=3)):
        said.pop(name, None)
    said |= draw(st.dictionaries(st.sampled_from([*PLAUSIBLE, "unknown"]), ODD, max_size=3))
    text = json.dumps(said).encode()
    return text[: draw(st.integers(0, len(text)))] if draw(st.integers(0, 9)) == 0 else text


def hear(mesh: ObservedMesh, payload: bytes) -> tuple[int, int]:
    """Number of answers that can be sent, and of lines in the log, before anything else happens."""
    before = len(mesh.said)
    with capture_logs() as lines:
        mesh.hear(payload)
    for said in mesh.said[before:]:
        said.payload.to_payload()
    return sum(isinstance(said.payload, CommandResult) for said in mesh.said[before:]), len(lines)


@settings(max_examples=120, suppress_health_check=[HealthCheck.too_slow])  # a busy machine is no failure
@given(st.sampled_from(sorted(STACKS)), st.booleans(), st.lists(payloads(), min_size=1, max_size=3))
def test_no_payload_ends_the_gateway_and_each_is_answered_or_logged(
    stack: str, is_adopted: bool, heard: list[bytes]
) -> None:
    mesh = ObservedMesh(identity=STACKS[stack])
    if is_adopted:
        mesh.command(Verb.ADOPT, "a0", run_s=5)

    for payload in heard:
        assert sum(hear(mesh, payload)) > 0
        mesh.run(20)
    mesh.start()  # with what is on disk now
    mesh.run(60)


def command(**said: object) -> bytes:
    return json.dumps({**PLAUSIBLE, "sentAt": START.isoformat(), **said}).encode()


@pytest.mark.parametrize(
    "said",
    [
        {"notificationIntervalSeconds": float("inf")},
        {"reportIntervalSeconds": float("inf")},
        {"reportIntervalSeconds": float("nan")},
        {"notificationIntervalSeconds": 1e300},
        {"notificationIntervalSeconds": 1e-300},
        {"airtimeBudgetPercent": 1e-6},
        {"epoch": 2**70},
        {"epoch": True},
        {"revision": "7"},
        {"presses": False},
        {"settings": [{"nodes": ["0001"], "defaultTtl": True}]},
        {"revision": 2**70},
        {"sentAt": "0001-01-01T00:00:00+14:00"},
        {"notAfter": "9999-12-31T23:59:59-14:00"},
        {"flows": [{**PLAUSIBLE["flows"][0], "source": "0000"}]},
        {"flows": [{**PLAUSIBLE["flows"][0], "members": ["0002", "0000"]}]},
    ],
)
@pytest.mark.parametrize("verb", [Verb.MONITOR, Verb.PROBE])
def test_what_is_out_of_bounds_is_refused_by_name_and_not_kept(verb: Verb, said: dict[str, object]) -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.ADOPT, "a0")
    memory = mesh.core.memory

    mesh.hear(command(verb=verb, **said))

    [result] = [r for r in mesh.told(CommandResult) if r.attempt_id == "a9"]
    assert (result.status, result.reason) == ("refused", "Malformed")
    assert next(iter(said)) in result.message
    assert mesh.core.memory == memory


@pytest.mark.parametrize("attempt", ["\ud800", "", "a" * 65, None, 7, ["a9"], "a\n9", "a\x1b[2J", "a\x7f", "a 9"])
def test_a_command_whose_sender_cannot_be_answered_is_logged(attempt: object) -> None:
    mesh = ObservedMesh()

    assert hear(mesh, command(attemptId=attempt)) == (0, 1)
    assert mesh.core.rejected == {"Malformed": 1}


@pytest.mark.parametrize(
    "change",
    [
        {"notificationIntervalSeconds": None},  # so infinity is written
        {"notificationIntervalSeconds": 1e300},
        {"airtimeBudgetPercent": 1e-6},
        {"flows": [{**PLAUSIBLE["flows"][0], "source": "0000"}]},
        {"flows": 1},
    ],
)
def test_a_memory_that_took_such_values_once_starts_without_observing_and_says_so(change: dict[str, object]) -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.ADOPT, "a0")
    mesh.command(Verb.MONITOR, "a1", run_s=60, **MONITOR)
    stored = json.loads(mesh.disk)
    stored["monitoring"] |= change
    mesh.disk = json.dumps(stored).encode()

    with capture_logs() as lines:
        mesh.start()
    mesh.run(60)

    assert [line["place"].split(".")[:2] for line in lines if "place" in line] == [["monitoring", next(iter(change))]]
    assert mesh.core.memory.monitoring is None
    assert mesh.core.memory.revision == 0
    assert mesh.command(Verb.MONITOR, "a2", run_s=60, **MONITOR)[-1].status == "done"


def test_a_commit_under_way_ends_though_its_revision_would_be_refused_now() -> None:
    mesh = ObservedMesh()
    mesh.command(Verb.ADOPT, "a0")
    stage = {"revision": 1, "hash": DIGEST, "settings": ENTRIES}
    assert mesh.command(Verb.STAGE, "a1", **stage)[-1].status == "done"
    mesh.command(Verb.COMMIT, "a1", run_s=0.0, revision=1, hash=DIGEST, confirm_within_seconds=60)
    stored = json.loads(mesh.disk)
    stored["pending"]["revision"] = stored["epoch"] = 2**70
    mesh.disk = json.dumps(stored).encode()

    mesh.start()
    mesh.run(600)

    assert mesh.core.memory.pending is None
    assert mesh.core.memory.timed_out_hashes == (DIGEST,)


def test_memory_without_observing_survives_the_disk() -> None:
    assert parse_memory(to_bytes(Memory()), "disk") == Memory()
