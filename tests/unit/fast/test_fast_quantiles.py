"""Quantiles of the fast model's times: where chance leaves their bounds."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meshtwin.fast.figures import find_errors
from meshtwin.fast.quantiles import (
    REACHED_LEAST,
    compute_bounds,
    compute_clustered_half_share,
    compute_half_share,
    compute_quantiles,
    make_intervals,
    rank,
)

TIMES = arrays(np.int64, st.tuples(st.integers(1, 40), st.integers(1, 4)), elements=st.integers(-1, 10**9))
SHARES = st.sampled_from([0.5, 0.95, 0.99])


def bounds_of(values: list[int], share: float, half_share: float | None = None):
    ranked = rank(np.asarray(values, np.int64)[:, np.newaxis])
    half = compute_half_share(ranked.counts, share) if half_share is None else np.asarray([half_share])
    return compute_bounds(ranked, share, half, ranked.counts)


@settings(deadline=None)
@given(TIMES, SHARES)
def test_quantiles_of_every_column_are_those_of_what_reached_it(values_ns: np.ndarray, share: float) -> None:
    found = compute_quantiles(rank(values_ns), share)

    for column, told in zip(values_ns.T, found, strict=True):
        reached = column[column >= 0]
        if len(reached):
            assert told == pytest.approx(np.quantile(reached, share) / 1e6, rel=1e-9, abs=1e-12)
        else:
            assert math.isnan(told)


@settings(deadline=None)
@given(TIMES, SHARES, st.floats(0.0, 0.5))
def test_interval_holds_its_estimate_or_says_why_a_bound_is_open(
    values_ns: np.ndarray, share: float, error: float
) -> None:
    ranked = rank(values_ns)

    told = make_intervals(compute_bounds(ranked, share, compute_half_share(ranked.counts, share), ranked.counts), error)

    for interval, count in zip(told, ranked.counts, strict=True):
        assert (interval is None) == (count == 0)
        if interval is not None:
            assert 0.0 <= interval.low <= interval.estimate * (1 + 1e-12)
            assert interval.high >= interval.estimate * (1 - 1e-12)
            assert math.isinf(interval.high) == (interval.open_because is not None)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("states", [32, 128, 256])
def test_nine_in_ten_intervals_hold_the_quantile_of_an_exponential(share: float, states: int) -> None:
    dice = np.random.default_rng(5)
    values_ns = (dice.exponential(1e6, (states, 2000))).astype(np.int64)
    ranked = rank(values_ns)

    bounds = compute_bounds(ranked, share, compute_half_share(ranked.counts, share), ranked.counts)

    true_ms = -math.log(1.0 - share)
    held = np.mean((bounds.low <= true_ms) & (true_ms <= bounds.high))
    assert 0.85 <= held <= 0.97  # least with 32 states and the 99th percentile, of which they tell little


def test_gap_between_few_who_waited_and_the_rest_is_within_the_bounds() -> None:
    """One in twenty waited: the 95th percentile may be that of either."""
    bounds = bounds_of([10_000_000] * 57 + [90_000_000] * 3, 0.95)

    assert bounds.low[0] <= 10.0
    assert bounds.high[0] >= 90.0


def test_values_that_depend_on_their_neighbours_tell_less() -> None:
    alike = [np.full(8, 1 + (place % 2)) for place in range(8)]
    mixed = [np.asarray([1, 2] * 4) for _ in range(8)]

    depending, independent = (compute_clustered_half_share(blocks, 1.0, 0.5) for blocks in (alike, mixed))

    assert independent == pytest.approx(compute_half_share(np.asarray([64]), 0.5)[0])
    assert depending > 3.0 * independent


def test_one_block_alone_does_not_tell_how_blocks_differ() -> None:
    half = compute_clustered_half_share([np.arange(20), np.empty(0, np.int64)], 10.0, 0.5)
    (told,) = make_intervals(bounds_of(list(range(1, 21)), 0.5, half), 0.0)

    assert told is not None
    assert (told.low, told.high) == (0.0, math.inf)
    assert told.open_because == "states differ too much to bound it"


def test_too_few_that_were_reached_leave_the_bounds_open() -> None:
    (told,) = make_intervals(bounds_of([5_000_000] * (REACHED_LEAST - 1) + [-1] * 20, 0.95), 0.1)

    assert told is not None
    assert told.estimate == 5.0
    assert told.open_because == "fewer than 8 states reached it"


def test_error_falls_with_more_states_and_grows_with_load() -> None:
    by_states = [find_errors(states, 0.6) for states in (32, 128, 4096)]
    by_load = [find_errors(128, load) for load in (0.0, 0.3, 0.9)]

    for more, fewer in pairwise(by_states):
        assert all(a >= b for a, b in zip(more, fewer, strict=True))
    for lighter, heavier in pairwise(by_load):
        assert all(a < b for a, b in zip(lighter, heavier, strict=True))
