"""Tallies of runs hold all that key figures need, in a fraction of the room."""

import pickle
from pathlib import Path

import pytest

from meshtwin.sim.engine import simulate
from meshtwin.sim.results import summarise
from meshtwin.sim.scenario_file import read_scenario
from meshtwin.sim.tallies import summarise_tallies, tally_run

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples" / "scenarios"


@pytest.mark.parametrize("name", ["corridor", "lamp-off"])
def test_tallies_that_went_through_a_pipe_give_the_same_figures(name):
    scenario = read_scenario(SAMPLES / f"{name}.yaml")
    runs = [simulate(scenario, seed=3, replication=r) for r in range(3)]

    tallies = pickle.loads(pickle.dumps([tally_run(run, scenario.flows) for run in runs]))

    assert summarise_tallies(tallies, scenario.flows) == summarise(runs, scenario.flows)


def test_tally_counts_messages_pairs_and_those_on_time():
    scenario = read_scenario(SAMPLES / "lamp-off.yaml")
    run = simulate(scenario, seed=3)
    flow = scenario.flows[0]

    tally = tally_run(run, scenario.flows).flows[flow.name]

    assert tally.messages == flow.count
    assert tally.expected == flow.count * len(flow.members)
    assert tally.delivered == len(tally.latencies_ms) == sum(len(m.arrivals) for m in run.messages)
    assert tally.on_time == sum(m.is_on_time(flow.deadline_ms) for m in run.messages)


def test_tally_takes_a_fraction_of_the_room_of_its_run():
    scenario = read_scenario(SAMPLES / "corridor.yaml")
    run = simulate(scenario, seed=3)

    assert len(pickle.dumps(tally_run(run, scenario.flows))) < 0.7 * len(pickle.dumps(run))
