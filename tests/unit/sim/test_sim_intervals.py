import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.sim.intervals import compute_quantile_interval, compute_ratio_interval


def width(interval):
    return interval.high - interval.low


def test_scrambles_that_agree_better_than_chance_narrow_the_interval():
    runs = [(20.0 + (i % 2), 30.0) for i in range(8)]
    assert width(compute_ratio_interval(runs, is_selective=True)) < 0.7 * width(compute_ratio_interval(runs))


def test_random_replications_never_count_for_more_than_their_messages():
    alike = [(20.0, 30.0)] * 8
    assert compute_ratio_interval(alike) == compute_ratio_interval([(160.0, 240.0)])


def test_scrambles_that_differ_more_than_chance_widen_the_interval():
    runs = [(5.0, 30.0), (28.0, 30.0)] * 4
    assert width(compute_ratio_interval(runs, is_selective=True)) > 2.0 * width(compute_ratio_interval(runs[:1] * 8))


def test_nothing_lost_leaves_room_below_one():
    interval = compute_ratio_interval([(32.0, 32.0)] * 8, is_selective=True)
    assert interval.high == 1.0
    assert 0.95 < interval.low < 0.995


def test_believed_savings_have_a_limit():
    """Equal shares in all scrambles have no variance of their own; the interval does not shrink to a point."""
    assert width(compute_ratio_interval([(16.0, 32.0)] * 8, is_selective=True)) > 0.02


@given(st.lists(st.lists(st.floats(0.0, 1e3), max_size=20).map(sorted), max_size=8), st.floats(0.0, 1.0))
def test_interval_of_a_quantile_holds_its_estimate(runs, probability):
    interval = compute_quantile_interval(runs, probability)
    if not any(runs):
        assert interval is None
    else:
        assert 0.0 <= interval.low <= interval.estimate <= interval.high


def test_interval_of_a_quantile_is_as_wide_as_replications_differ():
    alike, apart = [[1.0, 2.0, 3.0]] * 4, [[1.0, 2.0, 3.0], [2.0, 4.0, 6.0]] * 2
    assert width(compute_quantile_interval(alike, 0.5)) == pytest.approx(0.0, abs=1e-12)
    assert width(compute_quantile_interval(apart, 0.5)) > 1.0
