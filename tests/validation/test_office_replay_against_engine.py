"""Two implementations of the toolbox's rules, which share nothing but the table: the same means on random seeds."""

from statistics import fmean, variance

import pytest

from meshtwin.sim.draws import draw, make_key
from meshtwin.sim.engine import simulate
from meshtwin.sim.validation import build_office_scenario, read_table
from meshtwin.sim.validation.office_replay import SCRIPT_STOP_S, count_arrivals

TTL = 6
REPLAYS, RUNS = 30, 100


@pytest.mark.parametrize("relay_set", ["all", "20"])
def test_replay_with_other_seeds_delivers_in_the_mean_what_the_engine_delivers(relay_set):
    table = read_table("office")
    scenario = build_office_scenario(table, relay_set, TTL, duration_s=SCRIPT_STOP_S)
    simulated = [
        sum(message.reached_all for message in simulate(scenario, seed=41_001, replication=run, engine="auto").messages)
        for run in range(RUNS)
    ]
    replayed = [
        count_arrivals(table, relay_set, TTL, seeds={n: seed_of(run, n) for n in table["positions_m"]})
        for run in range(REPLAYS)
    ]
    error = (variance(simulated) / RUNS + variance(replayed) / REPLAYS) ** 0.5
    assert abs(fmean(simulated) - fmean(replayed)) <= 4.0 * error


def seed_of(run, node):
    return 1 + int(draw(make_key(41_002, "replay", run), node) * (2**31 - 2))
