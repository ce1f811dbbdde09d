"""Nodes that are silent, deaf or odd, and a gateway that is held up: what is not certain is never told as applied."""

from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.gateway.core_rig import BASE, NAMES, NODES, REV1, STAGE, Rig, is_base, make_command

from meshtwin.contract.access import Opcode, decode_access, encode_access
from meshtwin.contract.configuration import CommandResult, GatewayPhase, Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.effects import SendMesh
from meshtwin.mesh.configuration import compute_digest, expand_settings

HELD_UP_S = 3600.0


def held_up(rig: Rig, verb: Verb, after_s: float, **said: object) -> CommandResult:
    """The last result of a command in whose work the gateway is not woken for an hour."""
    before = len(rig.said)
    rig.perform(rig.core.command(make_command(rig.now, verb, **said).to_payload(), rig.now))
    rig.run(after_s)
    rig.now += timedelta(seconds=HELD_UP_S)
    rig.run(600)
    return [p.payload for p in rig.said[before:] if isinstance(p.payload, CommandResult)][-1]


@pytest.mark.parametrize("after_s", range(0, 60, 5))
def test_no_silent_node_counts_as_read_however_the_gateway_is_held_up(after_s: int) -> None:
    rig = Rig(silent={2, 3, 4})

    result = held_up(rig, Verb.ADOPT, after_s, nodes=NAMES)

    assert {o.node for o in result.outcomes if o.outcome == "unknown"} == {"0002", "0003", "0004"}


@dataclass
class MuteRig(Rig):
    """``mute`` nodes take what they are told, and their answers are lost."""

    mute: set[int] = field(default_factory=set)

    def answer(self, sent: SendMesh) -> tuple[int, bytes] | None:
        said = super().answer(sent)
        return None if sent.destination in self.mute else said


def staged(rig: Rig) -> Rig:
    assert rig.command(Verb.ADOPT, nodes=NAMES).status == "done"
    assert rig.command(Verb.STAGE, **STAGE).status == "done"
    return rig


@settings(max_examples=40)
@given(st.floats(0.0, 60.0), st.sets(st.sampled_from(NODES)))
def test_a_node_whose_answer_was_lost_is_restored_though_the_commit_was_aborted_before_that_showed(
    after_s: float, mute: set[int]
) -> None:
    rig = staged(MuteRig())
    assert isinstance(rig, MuteRig)
    rig.mute = mute
    rig.command(Verb.COMMIT, run_s=after_s, **REV1, confirm_within_seconds=600)
    rig.mute = set()

    rig.command(Verb.ABORT, run_s=600, **REV1, reason="Harm")

    assert rig.core.memory.phase is GatewayPhase.IDLE
    assert is_base(rig)


ENTRIES = [SettingsEntry(nodes=["0002-0005"], default_ttl=6)]  # one Set per node, and one stage
TTL_TARGET = expand_settings([entry.to_value() for entry in ENTRIES], NODES)
TTL_STAGE = {"revision": 1, "hash": compute_digest(TTL_TARGET), "settings": ENTRIES}


@pytest.mark.parametrize("after_s", range(10, 40, 2))
def test_nodes_given_up_at_once_after_a_stall_are_all_restored(after_s: int) -> None:
    rig = MuteRig()
    rig.command(Verb.ADOPT, nodes=NAMES)
    rig.command(Verb.STAGE, **TTL_STAGE)
    rig.mute = {2, 3, 4}
    held_up(rig, Verb.COMMIT, after_s, coverage_per_mille=0, confirm_within_seconds=36_000, **TTL_STAGE)
    assert {o.node for o in rig.reported.exceptions} == {"0002", "0003", "0004"}
    rig.mute = set()

    rig.command(Verb.ABORT, run_s=600, **REV1 | {"hash": TTL_STAGE["hash"]}, reason="Harm")

    assert is_base(rig)


def test_what_a_configuration_does_not_say_stays_though_the_gateway_was_killed_on_the_way() -> None:
    rig = staged(Rig())
    rig.command(Verb.COMMIT, run_s=0.0, **REV1, confirm_within_seconds=600)

    rig.start()  # whatever was told to nodes is in doubt now
    rig.run(60)
    assert rig.command(Verb.CONFIRM, run_s=600, **REV1).status == "done"

    assert {settings.relay_retransmit for settings in rig.nodes.values()} == {BASE.relay_retransmit}


class ProhibitedRig(Rig):
    """Node 3 answers every Set of its TTL with 1, which is no default TTL; Mesh Protocol 1.1, 4.2.8."""

    def answer(self, sent: SendMesh) -> tuple[int, bytes] | None:
        message = decode_access(sent.payload)
        if message is not None and message.opcode is Opcode.DEFAULT_TTL_SET and sent.destination == 3:
            return 3, encode_access(Opcode.DEFAULT_TTL_STATUS, b"\x01")
        return super().answer(sent)


def test_a_node_in_doubt_that_answers_with_a_prohibited_value_is_refused_and_ends_nothing() -> None:
    rig = ProhibitedRig()
    rig.command(Verb.ADOPT, nodes=NAMES)
    rig.command(Verb.STAGE, **TTL_STAGE)
    rig.command(Verb.COMMIT, run_s=0.0, coverage_per_mille=500, confirm_within_seconds=600, **TTL_STAGE)

    rig.start()  # whatever was told to nodes is in doubt now
    rig.run(60)

    assert rig.core.memory.phase is GatewayPhase.ARMED
    assert {o.node: o.outcome for o in rig.reported.exceptions} == {"0003": "refused"}
