import math
from random import Random
from statistics import NormalDist

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.sim.intervals import compute_mean_interval, compute_quantile_intervals, compute_ratio_interval


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


@settings(max_examples=60)
@given(st.lists(st.lists(st.floats(0.0, 1e3), max_size=20).map(sorted), max_size=8), st.floats(0.0, 1.0))
def test_interval_of_a_quantile_holds_its_estimate(runs, probability):
    intervals = compute_quantile_intervals(runs, (probability,))
    if not any(runs):
        assert intervals == ()
    else:
        (interval,) = intervals
        assert 0.0 <= interval.low <= interval.estimate <= interval.high
        assert (interval.high == math.inf) <= (interval.open_because is not None)


def test_interval_of_a_quantile_is_as_wide_as_replications_differ():
    alike, apart = [[1.0, 2.0, 3.0] * 5] * 4, [sorted([1.0, 2.0, 3.0] * 5), sorted([2.0, 4.0, 6.0] * 5)] * 2
    assert width(compute_quantile_intervals([sorted(run) for run in alike], (0.5,))[0]) == 0.0
    assert width(compute_quantile_intervals(apart, (0.5,))[0]) > 1.0


def test_single_replication_has_no_interval_and_says_so():
    for interval in (compute_mean_interval([7.0], least=0.0), *compute_quantile_intervals([[1.0, 7.0]], (0.5, 0.95))):
        assert (interval.low, interval.high) == (0.0, math.inf)
        assert "one replication" in interval.open_because


def test_high_quantile_of_few_messages_has_no_upper_bound():
    few, enough = ([[float(i) for i in range(count)] for _ in range(8)] for count in (20, 80))
    assert compute_quantile_intervals(few, (0.99,))[0].high == math.inf
    assert "at least 268" in compute_quantile_intervals(few, (0.99,))[0].open_because
    assert compute_quantile_intervals(enough, (0.99,))[0].high == 79.0


def test_members_of_one_message_do_not_count_as_messages():
    runs = [[float(i) for i in range(80)] for _ in range(8)]
    assert compute_quantile_intervals(runs, (0.99,), messages=64)[0].high == math.inf


def test_lost_messages_have_no_time_and_bound_no_quantile():
    runs = [[float(i) for i in range(10)] for _ in range(8)]
    assert compute_quantile_intervals(runs, (0.95,), messages=4000) == compute_quantile_intervals(runs, (0.95,))


@pytest.mark.parametrize("replications", [2, 3, 4])
def test_a_few_scrambles_that_agree_by_luck_do_not_make_a_point(replications):
    (interval, lone) = (
        compute_mean_interval([7.0] * n, least=0.0, chance=0.04 / n) for n in (replications, 8 * replications)
    )
    assert width(interval) > 2.0 * width(lone) > 0.0


@pytest.mark.parametrize("replications", [2, 3])
def test_means_that_lie_in_two_heaps_are_covered_by_a_few_replications(replications):
    """Witness: half of all scrambles lie one below the mean, half one above; chance would be three times as wide."""
    random, hits = Random(24), 0
    for _ in range(SETS):
        values = [10.0 + random.choice((-1.0, 1.0)) + random.gauss(0.0, 0.1) for _ in range(replications)]
        interval = compute_mean_interval(values, least=0.0, chance=3.0 / replications)
        hits += interval.low <= 10.0 <= interval.high
    assert hits / SETS >= 0.85


def test_reason_of_an_open_bound_names_the_figure_and_says_once_what_helps():
    differing = [[0.0, 1.0, 2.0], [50.0, 51.0, 52.0]]
    (interval,) = compute_quantile_intervals(differing, [0.5])
    assert interval.open_because == (
        "6 messages do not bound p50 from below or above where replications differ that much; ask for more replications"
    )


# Distributions whose quantiles are known; replications differ by a shift in the last, as sampled networks do.
STEP_MS = 20.0
QUANTILES = (0.5, 0.95, 0.99)


def exponential(random, replications, values):
    return [sorted(random.expovariate(1.0) for _ in range(values)) for _ in range(replications)]


def in_steps(random, replications, values):
    """Latency as repeats make it: the step at which a copy gets through, a third each, and a little jitter."""
    return [
        sorted(STEP_MS * random.choice((1, 2, 3)) + random.random() for _ in range(values)) for _ in range(replications)
    ]


def shifted(random, replications, values):
    shifts = [random.gauss(0.0, 1.0) for _ in range(replications)]
    return [sorted(random.gauss(shift, 1.0) for _ in range(values)) for shift in shifts]


KNOWN = [
    (exponential, [-math.log(1.0 - p) for p in QUANTILES]),
    (in_steps, [2 * STEP_MS + 0.5, 3 * STEP_MS + 0.85, 3 * STEP_MS + 0.97]),
    (shifted, [math.sqrt(2.0) * NormalDist().inv_cdf(p) for p in QUANTILES]),
]
SETS = 400  # of replications; the deviation of a coverage of 0.9 is 0.015


@pytest.mark.parametrize(("replications", "values"), [(8, 40), (4, 100), (16, 25)])
@pytest.mark.parametrize(("make", "truths"), KNOWN, ids=["exponential", "in steps", "shifted"])
def test_intervals_of_quantiles_cover_about_as_promised(make, truths, replications, values):
    """Witness: quantiles in closed form. An interval without an upper bound holds what is above its lower one."""
    random, hits = Random(20), [0] * len(QUANTILES)
    for _ in range(SETS):
        intervals = compute_quantile_intervals(make(random, replications, values), QUANTILES)
        for place, (interval, truth) in enumerate(zip(intervals, truths, strict=True)):
            hits[place] += interval.low <= truth <= interval.high
    assert all(hit / SETS >= 0.85 for hit in hits), hits
    assert hits[0] / SETS <= 0.95, hits  # the median's has both bounds: it is not wide either


@pytest.mark.parametrize("probability", [0.05, 0.25, 0.75])
def test_intervals_of_the_other_points_of_a_curve_cover_about_as_promised(probability):
    random, hits, truth = Random(23), 0, -math.log(1.0 - probability)
    for _ in range(SETS):
        (interval,) = compute_quantile_intervals(exponential(random, 8, 40), (probability,))
        hits += interval.low <= truth <= interval.high
    assert 0.85 <= hits / SETS <= 0.96


def test_low_quantile_of_few_messages_has_no_lower_bound():
    few, enough = ([[float(i + 1) for i in range(count)] for _ in range(8)] for count in (20, 80))
    (open_below,) = compute_quantile_intervals(few, (0.01,))
    assert open_below.low == 0.0
    assert open_below.open_because == "160 messages do not bound p1 from below; ask for more (at least 268)"
    assert compute_quantile_intervals(enough, (0.01,))[0].low == 1.0


@pytest.mark.parametrize("replications", [2, 4, 8, 32])
def test_intervals_of_means_cover_about_as_promised(replications):
    random, hits = Random(21), 0
    for _ in range(1000):
        values = [sum(random.expovariate(0.1) for _ in range(40)) / 40 for _ in range(replications)]
        interval = compute_mean_interval(values, least=0.0)
        hits += interval.low <= 10.0 <= interval.high
    assert 0.87 <= hits / 1000 <= 0.93


@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_intervals_of_shares_cover_about_as_promised(share):
    random, hits = Random(22), 0
    for _ in range(600):
        runs = [(float(sum(random.random() < share for _ in range(40))), 40.0) for _ in range(8)]
        interval = compute_ratio_interval(runs)
        hits += interval.low <= share <= interval.high
    assert 0.86 <= hits / 600 <= 0.97  # a share near 1 takes steps, and the interval errs to the wide side


def test_reason_of_an_open_bound_never_asks_for_fewer_messages_than_there_were():
    differing = [[float(30 * k + i) for i in range(30)] for k in range(3)]
    (interval,) = compute_quantile_intervals(differing, [0.95])
    assert interval.open_because == (
        "90 messages do not bound p95 from above where replications differ that much; ask for more replications"
    )
    (few,) = compute_quantile_intervals(differing, [0.99])
    assert few.open_because == "90 messages do not bound p99 from above; ask for more (at least 268)"
