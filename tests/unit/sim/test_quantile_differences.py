import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshtwin.sim.quantile_differences import compute_quantile_differences

QUANTILES = (0.5, 0.95, 0.99)
STEP_MS = 20.0


def slower(random, replications, values):
    """The second side waits once more, for half as long in the mean."""
    first = random.exponential(1.0, (replications, values))
    return first, first + random.exponential(0.5, (replications, values))


def in_steps(random, replications, values):
    """Latency as repeats make it; three of ten messages meet other luck, and a tenth takes a step more."""
    luck, jitter = (random.random((replications, values)) for _ in range(2))
    other = np.where(random.random(luck.shape) < 0.7, luck, random.random(luck.shape))
    first = STEP_MS * (1 + np.digitize(luck, [1 / 3, 2 / 3])) + jitter
    return first, STEP_MS * (1 + np.digitize(other, [0.3, 0.6, 0.9])) + jitter


def alike(random, replications, values):
    """The same distribution on both sides; three of ten messages meet other luck."""
    first = random.exponential(1.0, (replications, values))
    return first, np.where(random.random(first.shape) < 0.7, first, random.exponential(1.0, first.shape))


def shifted(random, replications, values):
    """Replications differ as much as their values do, and the second side feels it more."""
    shift, own = random.normal(0.0, 1.0, (replications, 1)), random.normal(0.0, 1.0, (replications, values))
    other = 0.3 * random.normal(0.0, 1.0, shift.shape) + 0.6 * random.normal(0.0, 1.0, own.shape)
    return shift + own, 0.5 + 1.2 * shift + 0.8 * own + other


def normal_quantile(probability):
    return NormalDist().inv_cdf(probability)


KNOWN = [
    (slower, [math.log(1.0 - p) - math.log(1.0 - math.sqrt(p)) for p in QUANTILES]),
    (in_steps, [0.2 / 0.3 - 0.5, STEP_MS + 0.5 - 0.85, STEP_MS + 0.9 - 0.97]),
    (alike, [0.0, 0.0, 0.0]),
    (shifted, [0.5 + normal_quantile(p) * (math.sqrt(1.44 + 0.09 + 0.64 + 0.36) - math.sqrt(2)) for p in QUANTILES]),
]


def differ(pairs, probabilities=QUANTILES, **options):
    first, second = pairs
    options.setdefault("messages", first.size)
    return compute_quantile_differences(list(zip(first, second, strict=True)), probabilities, **options)


def covered(make, truths, *, replications, values, sets, seed):
    """How many of ``sets`` intervals hold the true difference, per quantile, and how many were open."""
    random, hits, opened = np.random.default_rng(seed), [0] * len(truths), [0] * len(truths)
    for _ in range(sets):
        for place, (interval, truth) in enumerate(zip(differ(make(random, replications, values)), truths, strict=True)):
            hits[place] += interval.low <= truth <= interval.high
            opened[place] += interval.open_because is not None
    return hits, opened


SETS = 120  # the deviation of a coverage of 0.9 is 0.027; tests/benchmarks/bench_intervals.py has more


@pytest.mark.parametrize(("make", "truths"), KNOWN, ids=[make.__name__ for make, _ in KNOWN])
def test_intervals_of_differences_of_quantiles_cover_about_as_promised(make, truths):
    """Witness: quantiles in closed form."""
    hits, opened = covered(make, truths, replications=8, values=40, sets=SETS, seed=31)
    assert opened == [0, 0, 0]
    assert all(hit / SETS >= 0.8 for hit in hits), hits


def test_common_luck_makes_the_interval_narrower():
    random, widths = np.random.default_rng(5), [0.0, 0.0]
    for _ in range(10):
        luck, other = (random.exponential(10.0, (8, 100)) for _ in range(2))
        for side, second in enumerate((luck + random.random(luck.shape), other)):
            p95 = differ((luck, second))[1]
            widths[side] += p95.high - p95.low
    assert widths[0] < 0.3 * widths[1]


@settings(max_examples=30)
@given(
    arrays(np.float64, (4, 70), elements=st.floats(0.0, 1e4)), arrays(np.float64, (4, 70), elements=st.floats(0, 1e4))
)
def test_interval_of_a_difference_holds_its_estimate_and_turns_with_its_sides(first, second):
    there, back = differ((first, second)), differ((second, first))
    for one, other in zip(there, back, strict=True):
        assert one.low <= one.estimate <= one.high
        assert one.estimate == pytest.approx(-other.estimate)


def test_sides_that_are_equal_to_the_last_value_do_not_differ_for_certain():
    values = np.random.default_rng(1).random((4, 10))
    assert {(i.estimate, i.low, i.high) for i in differ((values, values))} == {(0.0, 0.0, 0.0)}


def test_equal_quantiles_of_sides_that_are_not_equal_claim_no_certainty():
    """One message in two hundred differs, none near the median: that does not show in any half of the replications."""
    first = np.tile(np.arange(50.0), (4, 1))
    second = first.copy()
    second[:, 0] = 0.5
    (median,) = differ((first, second), (0.5,))
    assert median.estimate == 0.0
    assert median.low < 0.0 < median.high


def test_single_replication_and_few_messages_have_no_interval_and_say_why():
    values = np.random.default_rng(1).random((1, 400))
    assert all("one replication" in i.open_because for i in differ((values, values + 1.0)))
    assert [i.estimate for i in differ((values, values + 1.0))] == pytest.approx([1.0, 1.0, 1.0])
    few = values.reshape(4, 100)[:, :20]
    median, p95, p99 = differ((few, few + few**2))
    assert median.open_because is None
    assert p95.open_because is None  # 80 messages
    assert p99.open_because == "80 messages do not bound a difference of p99; ask for more (at least 268)"
    assert (p99.low, p99.high) == (-math.inf, math.inf)


def test_nothing_that_both_sides_reached_is_not_estimated():
    (interval,) = compute_quantile_differences([(np.empty(0), np.empty(0))] * 3, (0.5,), messages=0)
    assert interval.told is None
    assert interval.open_because == "no message reached a member on both sides"


def test_more_replications_than_have_all_their_halves_taken_give_equal_answers():
    random = np.random.default_rng(2)
    first = random.exponential(1.0, (25, 30))
    pairs = (first, first + random.exponential(0.5, first.shape))
    assert differ(pairs) == differ(pairs)
    assert 0.0 < differ(pairs)[0].low < differ(pairs)[0].high
