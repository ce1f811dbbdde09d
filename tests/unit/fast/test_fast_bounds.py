"""The kernel of the fast model stays within its arrays, whatever the load: run with bounds checks on.

Without the checks a write out of bounds shows nowhere at once; numba reads the switch when it is loaded, hence
processes of their own.
"""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.fast.fast_builders import background, line

from meshtwin.fast import estimate
from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.scenario import Scenario

ROOT = Path(__file__).parents[3]
# Bluez' copies take turns; its queues at these loads are longer than what the kernel looks at, and than the ring of
# turns (8 places a node and 64).
CHECKED = """
from tests.unit.fast.fast_builders import background, line
from meshtwin.fast import prepare
from meshtwin.sim.profiles import PROFILES

for profile in sorted(PROFILES):
    for nodes, transmissions, rate_per_s, ttl in ((5, 1, 420.0, 127), (3, 8, 150.0, 7), (2, 8, 60.0, 0)):
        sources = range(1, nodes + 1)
        scenario = line(
            nodes, profile=profile, transmissions=transmissions, ttl=ttl, background=(background(rate_per_s, *sources),)
        )
        answer = prepare(scenario, states=32, seed=12).estimate()
        print(profile, nodes, answer.declined or "answered")
"""


def test_overloaded_networks_are_declined_without_a_write_out_of_bounds() -> None:
    env = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": str(ROOT)}  # compiled anew once, then from the cache

    told = subprocess.run(
        [sys.executable, "-c", CHECKED], check=False, env=env, cwd=ROOT, capture_output=True, text=True
    )

    assert told.returncode == 0, told.stderr
    assert sum("queues fill up" in row for row in told.stdout.splitlines() if row.startswith("bluez 5")) == 1
    assert len(told.stdout.splitlines()) == 3 * len(PROFILES)


def overloaded(**profile: object) -> Scenario:
    scenario = line(2, background=(background(1.0, 1),))
    return replace(scenario, profile=replace(scenario.profile, **profile))  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize(
    ("profile", "expected"),
    [
        ({"relay_sets": 0}, "0 relay sets"),
        ({"relay_sets": 600}, "600 relay sets"),
        ({"originated_sets": 600}, "600 originated sets"),
        ({"event_window_ns": 1_000}, "no place for three PDUs"),
    ],
)
def test_profile_beyond_the_room_of_the_kernel_is_declined(profile: dict[str, object], expected: str) -> None:
    answer = estimate(overloaded(**profile), states=8)

    assert answer.kpis is None
    assert expected in (answer.declined or "")


def test_more_states_than_times_can_hold_are_declined() -> None:
    answer = estimate(line(2, background=(background(0.01, 1),)), states=1 << 16)

    assert "ask for fewer states" in (answer.declined or "")


def test_steps_longer_than_the_window_have_a_place() -> None:
    late = {"event_window_ns": 20_000_000, "pdu_first_ns": (0, 0), "pdu_next_ns": (400_000_000, 0)}

    answer = estimate(overloaded(**late), states=8)

    assert answer.declined is None
