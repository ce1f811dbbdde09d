import pytest
from numpy.random import RandomState

from meshtwin.sim.validation import read_table
from meshtwin.sim.validation.office_noise import (
    list_column_rankings,
    list_redrawn_rankings,
    list_single_run_rankings,
    tell_spread,
)
from meshtwin.sim.validation.office_replay import count_arrivals, draw_int, has_survived

FOUR_RELAYS_PUBLISHED = 38  # of 120, in every column from TTL 6 on


def never(interferers):
    return False


def test_draws_are_those_of_matlab():
    # rng(1); rand(1, 3) gives 0.4170 0.7203 0.0001 (documentation of rng and of numpy agree)
    luck = RandomState(1)
    assert [draw_int(luck, 1, 10_000) for _ in range(3)] == [4171, 7204, 2]


@pytest.mark.parametrize("survives", [has_survived, never], ids=["capture", "no capture"])
def test_published_random_numbers_give_the_published_count_where_hardly_anything_collides(survives):
    assert count_arrivals(read_table("office"), "4", 6, survives=survives) == FOUR_RELAYS_PUBLISHED


def test_other_random_numbers_give_other_counts():
    table = read_table("office")
    counts = {
        count_arrivals(table, "4", 6, seeds={number: number + 100 * k for number in table["positions_m"]})
        for k in range(1, 5)
    }
    assert len(counts | {FOUR_RELAYS_PUBLISHED}) > 2


def test_run_that_stops_as_the_table_says_has_one_message_less_than_published():
    assert count_arrivals(read_table("office"), "4", 6, stop_s=10.2) == FOUR_RELAYS_PUBLISHED - 1


def test_message_needs_as_many_hops_as_relays_and_one():
    table = read_table("office")
    assert count_arrivals(table, "4", 4) == 0
    assert count_arrivals(table, "4", 5) == count_arrivals(table, "4", 127)


def test_pdu_that_is_hardly_overlapped_survives_an_equal_one_and_a_covered_one_does_not():
    assert has_survived([(0.0, 1)])
    assert not has_survived([(0.0, 273)])
    assert has_survived([(20.0, 273)])


def test_runs_that_agree_rank_alike_and_a_reversed_one_does_not():
    assert list_single_run_rankings({"a": [1, 1, 1], "b": [2, 2, 2]}) == [1.0, 1.0, 1.0]
    assert list_single_run_rankings({"a": [1, 1, 2.5], "b": [2, 2, 2]})[0] == -1.0


def test_published_columns_that_should_agree_differ_by_more_than_the_bound_allows():
    rankings = list_column_rankings(read_table("office"), 6)
    assert len(rankings) == 8
    assert min(rankings) < 0.7 < max(rankings)


def test_table_that_is_sure_of_everything_is_drawn_again_as_it_is():
    sure = {"ttl": [6], "delivery_ratio": {"a": [0.0], "b": [1.0]}}
    assert set(list_redrawn_rankings(sure, 6, seed=5)) == {1.0}


def test_redrawn_rankings_depend_on_the_seed_alone():
    table = read_table("office")
    assert list_redrawn_rankings(table, 6, seed=5) == list_redrawn_rankings(table, 6, seed=5)


def test_spread_tells_its_ends_and_how_many_miss_the_bound():
    assert tell_spread([0.2, 0.4, 0.8, 1.0], 0.7) == "0.20 to 0.80 (5 to 95 %), below 0.7 in 50%"
