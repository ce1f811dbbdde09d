"""Both engines give equal records and equal results, whatever the scenario."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.unit.sim.small_scenarios import assert_engines_agree, contests, preset_tables, scenarios

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.compiled import unsupported
from meshtwin.sim.packets import RecordKind
from meshtwin.sim.profiles import PROFILES, get_profile
from meshtwin.sim.reference import run_reference
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import Retries
from meshtwin.sim.scenario_file import read_scenario

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples" / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(PROFILES))
@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**63))
def test_engines_give_equal_records_for_any_small_network(name, data, seed):
    scenario = data.draw(scenarios(PROFILES[name]))
    note(repr(scenario))
    assert_engines_agree(scenario, seed, data.draw(preset_tables(scenario, seed)))


@pytest.mark.parametrize("name", sorted(PROFILES))
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**63))
def test_engines_give_equal_records_where_senders_of_like_power_meet(name, data, seed):
    scenario = data.draw(contests(PROFILES[name]))
    note(repr(scenario))
    assert_engines_agree(scenario, seed)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_compiled_engine_runs_every_sample_scenario(path):
    assert unsupported(read_scenario(path)) is None


def test_second_answer_to_one_request_is_another_message_to_caches_in_both_engines():
    """Caches of one message: the answer drives the request out, so its next copy is new and is answered again."""
    scenario = Scenario(
        name="short memory",
        nodes=tuple(
            ScenarioNode(
                address=UnicastAddress(address),
                relay=False,
                ttl=3,
                network_transmit=Transmit(count=2, interval_steps=3),
                relay_retransmit=Transmit(count=0, interval_steps=0),
            )
            for address in (1, 2)
        ),
        links=tuple(
            ScenarioLink(source=UnicastAddress(a), target=UnicastAddress(b), delivery=1.0, rx_power_dbm=-60.0)
            for a, b in ((1, 2), (2, 1))
        ),
        flows=(
            ScenarioFlow(
                name="asked",
                source=UnicastAddress(1),
                members=(UnicastAddress(2),),
                count=1,
                period_s=1.0,
                response_pdu_bytes=20,
                retries=Retries(count=1, after_s=0.001),
            ),
        ),
        profile=replace(get_profile("bmsim"), message_cache=1),
        is_traced=True,
    )
    assert_engines_agree(scenario, 3)
    records = run_reference(scenario, 3, 0).records
    answers = [r.message for r in records if r.kind is RecordKind.ORIGINATED and r.node == 2]
    received = [r.message for r in records if r.kind is RecordKind.RECEIVED and r.node == 1]
    assert len(answers) > len(set(answers))
    assert len(received) > len(set(received))
