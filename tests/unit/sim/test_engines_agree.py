"""Both engines give equal records and equal results, whatever the scenario."""

from pathlib import Path

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.unit.sim.small_scenarios import assert_engines_agree, preset_tables, scenarios

from meshtwin.sim.compiled import unsupported
from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.scenario_file import read_scenario

SAMPLES = sorted((Path(__file__).parents[3] / "manifests" / "samples" / "scenarios").glob("*.yaml"))


@pytest.mark.parametrize("name", sorted(PROFILES))
@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**63))
def test_engines_give_equal_records_for_any_small_network(name, data, seed):
    scenario = data.draw(scenarios(PROFILES[name]))
    note(repr(scenario))
    assert_engines_agree(scenario, seed, data.draw(preset_tables(scenario, seed)))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_compiled_engine_runs_every_sample_scenario(path):
    assert unsupported(read_scenario(path)) is None
