"""Both engines give equal records where messages come in segments and nodes sleep."""

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st
from tests.unit.sim.small_scenarios import assert_engines_agree, preset_tables, scenarios_with_transport

from meshtwin.sim.profiles import PROFILES


@pytest.mark.parametrize("name", sorted(PROFILES))
@settings(max_examples=30, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**63))
def test_engines_give_equal_records_with_segments_and_sleeping_nodes(name, data, seed):
    scenario = data.draw(scenarios_with_transport(PROFILES[name]))
    note(repr(scenario))
    assert_engines_agree(scenario, seed, data.draw(preset_tables(scenario, seed)))
