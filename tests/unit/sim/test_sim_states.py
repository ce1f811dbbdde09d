from dataclasses import replace
from itertools import combinations
from statistics import fmean, pvariance

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.elements.reception_luck import ReceptionLuck
from meshtwin.sim.engine import simulate, simulate_selective
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.states import SLOTS_PER_NODE, PresetStates, Slot, advertising_slot, count_hops, preset_states

THRICE = Transmit(count=2, interval_steps=1)


def make_line(*, length=4, delivery=0.8, count=16, **changes):
    """Nodes 1..length in a line; node 1 sends to all others."""
    flow = ScenarioFlow(name="f", source=1, members=tuple(range(2, length + 1)), count=count, period_s=2.0)
    scenario = Scenario(
        name="line",
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=length, network_transmit=THRICE, relay_retransmit=THRICE)
            for a in range(1, length + 1)
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, delivery=delivery, rx_power_dbm=-70.0)
            for a in range(1, length + 1)
            for b in (a - 1, a + 1)
            if 1 <= b <= length
        ),
        flows=(flow,),
    )
    return replace(scenario, **changes)


@pytest.mark.parametrize("count", [1, 8, 64])
def test_every_column_has_one_point_in_each_of_its_equal_parts(count):
    table = preset_states(make_line(count=count), seed=3).table
    parts = np.sort(np.floor(table * count), axis=0)
    assert (parts == np.arange(count)[:, None]).all()


def test_more_columns_than_points_have_scrambles_of_their_own():
    table = preset_states(make_line(length=12, count=32), seed=3).table
    assert len({tuple(column) for column in table.T}) == table.shape[1] > 32


def test_deciding_columns_of_neighbours_fill_the_quarters_of_their_square_equally():
    table = preset_states(make_line(length=12, count=64), seed=3).table
    decisive = [node * SLOTS_PER_NODE + slot for node in range(12) for slot in (Slot.FIRST_DELAY, Slot.RECEPTION)]
    for one, other in combinations(decisive, 2):
        quarters = np.bincount((table[:, one] >= 0.5) * 2 + (table[:, other] >= 0.5))
        assert quarters.tolist() == [16, 16, 16, 16]


def test_pairs_of_decisive_columns_fill_the_square_more_evenly_than_chance():
    """Witness: the count of empty cells of an 8 x 8 grid; 64 random points leave 23 of 64 empty."""
    table = preset_states(make_line(count=64), seed=3).table
    first, second = table[:, Slot.FIRST_DELAY], table[:, SLOTS_PER_NODE + Slot.FIRST_DELAY]
    empty = 64 - len({(int(a * 8), int(b * 8)) for a, b in zip(first, second, strict=True)})
    assert empty <= 10


def test_equal_arguments_give_equal_states_and_replications_differ():
    one, again = (preset_states(make_line(), seed=3, replication=2) for _ in range(2))
    other = preset_states(make_line(), seed=3, replication=3)
    assert (one.table == again.table).all()
    assert not np.isclose(one.table, other.table).any()


def test_one_point_is_uniform_over_scrambles():
    values = [preset_states(make_line(length=2, count=8), seed=3, replication=r).table[0, 0] for r in range(600)]
    assert abs(fmean(values) - 0.5) < 0.04
    assert abs(pvariance(values) - 1 / 12) < 0.01


def test_settings_do_not_change_states():
    scenario = make_line()
    silent = replace(scenario, nodes=tuple(replace(n, relay=False, ttl=2) for n in scenario.nodes))
    assert (preset_states(scenario, seed=1).table == preset_states(silent, seed=1).table).all()


def test_node_that_is_taken_away_changes_no_other_nodes_states_when_ranked_alike():
    whole = make_line(length=5)
    flow = replace(whole.flows[0], members=(2, 3, 4))
    part = replace(whole, nodes=whole.nodes[:4], links=whole.links[:-2], flows=(flow,))
    kept = preset_states(part, seed=1, ranked_as=whole).table
    assert (kept == preset_states(whole, seed=1).table[:, : 4 * SLOTS_PER_NODE]).all()


def test_flows_meet_states_of_their_own():
    scenario = make_line(count=4)
    twice = replace(scenario, flows=(*scenario.flows, replace(scenario.flows[0], name="g", count=2)))
    states = preset_states(twice, seed=1)
    assert states.table.shape == (8, 4 * SLOTS_PER_NODE)
    assert [states.state_index(1, number) for number in (0, 1, 3, 4)] == [4, 5, 7, -1]
    assert not np.isclose(states.table[:4], states.table[4:]).any()


def test_without_flows_there_are_no_states():
    assert preset_states(make_line(flows=()), seed=1) is None


@pytest.mark.parametrize("shape", [(4, 5), (3, SLOTS_PER_NODE), (6,)])
def test_table_of_a_wrong_shape_is_refused(shape):
    with pytest.raises(InvalidInput, match="shape"):
        PresetStates(table=np.zeros(shape), points=2)


def test_states_outside_the_unit_interval_are_refused():
    with pytest.raises(InvalidInput, match="outside"):
        PresetStates(table=np.full((1, SLOTS_PER_NODE), np.nan), points=1)


def test_states_of_another_network_are_refused():
    states = preset_states(make_line(length=3), seed=1)
    with pytest.raises(InvalidInput, match="4 nodes"):
        simulate(make_line(), seed=1, states=states)


@given(
    share=st.floats(0.0, 1.0, exclude_max=True),
    deliveries=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=12),
)
def test_reception_fails_as_long_as_the_number_is_not_below_the_joint_success(share, deliveries):
    luck = ReceptionLuck()
    luck.follow(1, 0, share)
    missed = 1.0
    for delivery in deliveries:
        missed *= 1.0 - delivery
        if abs(share - (1.0 - missed)) < 1e-6:  # too near the edge to be told in floating point
            return
        received = luck.decide(delivery)
        assert received == (share < 1.0 - missed)
        if received:
            return


def test_node_follows_the_newest_message_and_not_an_older_one_again():
    luck = ReceptionLuck()
    assert [luck.follow(key, ns, 0.5) for key, ns in ((1, 10), (1, 10), (2, 20), (1, 10), (3, 20))] == [
        True, True, True, False, False,
    ]  # fmt: skip


def test_copies_beyond_the_third_have_no_slot():
    assert [advertising_slot(copy) for copy in range(5)] == [1, 2, 3, -1, -1]


def test_first_send_leaves_after_the_preset_share_of_the_jitter():
    """Witness: two nodes, all shares 0 or 0.5; the difference is half the jitter of the profile."""
    scenario = make_line(length=2, delivery=1.0, count=1)
    latencies = []
    for share in (0.0, 0.5):
        table = np.zeros((1, 2 * SLOTS_PER_NODE))
        table[0, Slot.FIRST_DELAY] = share
        result = simulate(scenario, seed=1, states=PresetStates(table=table, points=1))
        latencies.append(result.messages[0].arrivals[0].latency_ns)
    assert latencies[1] - latencies[0] == scenario.profile.jitter_ns // 2


def test_preset_states_agree_with_random_draws_on_the_average():
    """Witness: random replications, which share nothing with preset states."""
    scenario = make_line(delivery=0.6, count=64)
    figures = []
    for run in (simulate, simulate_selective):
        messages = [m for r in range(30) for m in run(scenario, seed=4, replication=r).messages]
        latencies = [a.latency_ns / 1e6 for m in messages for a in m.arrivals if a.member == 4]
        figures.append((len(latencies) / len(messages), fmean(latencies)))
    assert abs(figures[0][0] - figures[1][0]) < 0.03
    assert abs(figures[0][1] / figures[1][1] - 1.0) < 0.04


def test_preset_states_vary_less_than_random_draws():
    scenario = make_line(delivery=0.7, count=64)

    def delivered(run, replication):
        return sum(len(m.arrivals) for m in run(scenario, seed=4, replication=replication).messages)

    assert pvariance([delivered(simulate, r) for r in range(40)]) > 2.0 * pvariance(
        [delivered(simulate_selective, r) for r in range(40)]
    )


@given(seed=st.integers(0, 50))
@settings(max_examples=10, deadline=None)
def test_same_states_and_seed_give_equal_results(seed):
    scenario = make_line(count=4, is_traced=True)
    assert simulate_selective(scenario, seed=seed) == simulate_selective(scenario, seed=seed)


def test_hops_are_counted_over_relays_alone_where_asked():
    scenario = make_line(length=5)
    silent = replace(scenario, nodes=tuple(replace(n, relay=n.address != 3) for n in scenario.nodes))
    assert count_hops(silent, silent.flows[0]) == {1: 0, 2: 1, 3: 2, 4: 3, 5: 4}
    assert count_hops(silent, silent.flows[0], only_relays=True) == {1: 0, 2: 1, 3: 2}
