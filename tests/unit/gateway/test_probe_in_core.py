"""Probes as commands: silent nodes told early, an answer before ``notAfter``, and restoring while one is under way."""

from datetime import timedelta
from typing import Any

from tests.unit.gateway.core_rig import GATEWAY, NAMES, REV1, Rig, adopted_rig, armed_rig, is_base, make_command

from meshtwin.contract.configuration import CommandResult, FlowSpec, GatewayPhase, Outcome, Verb
from meshtwin.gateway.effects import Listen

FLOW = FlowSpec(name="lights", source="0005", destination="c001", members=["0001", "0003"], deadline_ms=150)


def results(rig: Rig, verb: Verb) -> list[CommandResult]:
    return [p.payload for p in rig.said if isinstance(p.payload, CommandResult) and p.payload.verb is verb]


def probe(rig: Rig, limit_s: float, **said: Any) -> None:
    """Send a probe whose answer is of use for ``limit_s``."""
    values = {"nodes": NAMES, "flows": [FLOW], "presses": 40, "not_after": rig.now + timedelta(seconds=limit_s)}
    rig.perform(rig.core.command(make_command(rig.now, Verb.PROBE, "p1", **(values | said)).to_payload(), rig.now))


def test_silent_nodes_are_named_in_accepted_results_while_the_probe_goes_on() -> None:
    rig = armed_rig()
    rig.silent = {3, 4}
    probe(rig, 300)
    rig.run(45)

    last = results(rig, Verb.PROBE)[-1]
    assert last.status == "accepted"
    assert [(one.node, one.outcome) for one in last.outcomes] == [
        ("0003", Outcome.UNKNOWN),
        ("0004", Outcome.UNKNOWN),
    ]
    probe(rig, 300)  # a repeated command is told the same
    assert results(rig, Verb.PROBE)[-1].outcomes == last.outcomes


def test_a_probe_of_silent_nodes_is_done_before_its_command_is_over() -> None:
    rig = adopted_rig()
    rig.silent = set(range(2, 6))
    began = rig.now
    probe(rig, 90)
    rig.run(90)

    answer = results(rig, Verb.PROBE)[-1]
    assert answer.status == "done"
    assert answer.sent_at < began + timedelta(seconds=90)
    assert answer.message == "silent: 0002 0003 0004 0005; not measured: lights, its source 0005 does not answer"


def test_a_gateway_that_reaches_nobody_after_the_commit_restores_by_its_own_timer() -> None:
    rig = armed_rig()
    rig.silent = {3, 4, 5}
    probe(rig, 300)  # still under way when the timer runs out
    rig.run(70)
    assert rig.core.memory.phase is GatewayPhase.RESTORING
    assert rig.reported.restore_reason == "TimedOut"
    rig.run(400)

    assert rig.core.memory.phase is GatewayPhase.IDLE
    assert [one.node for one in rig.reported.exceptions] == ["0003", "0004", "0005"]
    rig.silent = set()
    for node in (3, 4, 5):
        rig.run(40)
        rig.perform(rig.core.mesh(node, b"\xc3\xff\xff", 120, rig.now))  # a report: it is heard again
    rig.run(40)
    assert is_base(rig)


def test_a_gateway_whose_node_is_a_member_of_a_group_listens_to_it_once() -> None:
    rig = adopted_rig()
    elsewhere = FLOW.model_copy(update={"name": "far", "destination": "c002", "members": ["0004"]})
    monitor = {"notification_interval_seconds": 1.0, "report_interval_seconds": 10.0, "flows": [FLOW, elsewhere]}
    effects = rig.core.command(make_command(rig.now, Verb.MONITOR, "m1", **monitor).to_payload(), rig.now)
    again = rig.core.command(make_command(rig.now, Verb.PROBE, "p1", flows=[FLOW]).to_payload(), rig.now)

    assert f"{GATEWAY:04x}" in FLOW.members
    assert [e for e in effects if isinstance(e, Listen)] == [Listen(0xC001)]
    assert not [e for e in again if isinstance(e, Listen)]


def test_an_abort_ends_a_probe_that_is_under_way() -> None:
    rig = armed_rig()
    rig.silent = {5}
    probe(rig, 300)
    rig.run(5)
    rig.silent = set()
    rig.command(Verb.ABORT, **REV1, reason="Harm", run_s=60)

    assert (results(rig, Verb.PROBE)[-1].status, results(rig, Verb.PROBE)[-1].reason) == ("failed", "Superseded")
    assert is_base(rig)
