from itertools import combinations
from statistics import fmean, pvariance

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.sim.draws import extend_key
from meshtwin.sim.point_sets import extend_keys, scrambled_points


def make_points(points, columns, *, first=0, seed=1):
    """(points, columns) of columns ``first`` onwards."""
    dimension = np.arange(first, first + columns)
    return scrambled_points(
        points, dimension, extend_keys(np.array([seed], dtype=np.uint64), dimension.astype(np.uint64))
    )


def count_cells(points, one, other, levels):
    """How many points lie in each cell of the square of two columns, ``2**levels`` on a side."""
    cells = np.floor(points[:, [one, other]] * 2**levels).astype(int)
    return np.bincount(cells[:, 0] * 2**levels + cells[:, 1], minlength=4**levels)


@pytest.mark.parametrize("levels", range(11))
def test_every_column_has_one_point_in_each_of_its_equal_cells(levels):
    count = 1 << levels
    parts = np.sort(np.floor(make_points(count, 40) * count), axis=0)
    assert (parts == np.arange(count)[:, None]).all()


@pytest.mark.parametrize("levels", [2, 3, 4, 5])
def test_any_two_columns_fill_the_quarters_of_their_square_equally(levels):
    columns = 2**levels - 1
    points = make_points(2**levels, columns)
    for one, other in combinations(range(columns), 2):
        assert set(count_cells(points, one, other, 1)) == {2**levels // 4}


def test_twenty_one_neighbouring_columns_of_64_points_fill_all_sixteenths_equally():
    points = make_points(64, 21, first=17)
    for one, other in combinations(range(21), 2):
        assert set(count_cells(points, one, other, 2)) == {4}


@given(count=st.integers(1, 200), columns=st.integers(1, 80), seed=st.integers(0, 2**32))
def test_every_number_of_points_and_columns_lies_in_the_unit_cube(count, columns, seed):
    points = make_points(count, columns, seed=seed)
    assert points.shape == (count, columns)
    assert ((points >= 0.0) & (points < 1.0)).all()


def test_forty_points_are_32_and_8_that_are_even_each_by_themselves():
    points = make_points(40, 20)
    for part in (points[:32], points[32:]):
        assert (np.sort(np.floor(part * len(part)), axis=0) == np.arange(len(part))[:, None]).all()


def test_more_points_than_one_set_has_are_two_sets_of_other_scrambles():
    points = make_points(2048, 3)
    assert not np.isclose(points[:1024], points[1024:]).all(axis=0).any()


def test_two_columns_of_one_point_are_uniform_and_independent_over_scrambles():
    """Witness: mean 1/2, variance 1/12, and for the product 1/4: with the error of 2000 scrambles, four times over."""
    pairs = np.array([make_points(8, 2, seed=seed)[5] for seed in range(2000)])
    for column in pairs.T.tolist():
        assert abs(fmean(column) - 1 / 2) < 4 * (1 / 12 / 2000) ** 0.5
        assert abs(pvariance(column) - 1 / 12) < 4 * (1 / 180 / 2000) ** 0.5
    assert abs(fmean((pairs[:, 0] * pairs[:, 1]).tolist()) - 1 / 4) < 4 * (7 / 144 / 2000) ** 0.5


def test_column_depends_on_its_own_dimension_and_key_alone():
    keys = np.array([7, 8, 9], dtype=np.uint64)
    whole = scrambled_points(16, np.array([4, 2, 6]), keys)
    assert (scrambled_points(16, np.array([6]), keys[2:])[:, 0] == whole[:, 2]).all()


@given(key=st.integers(0, 2**64 - 1), part=st.integers(0, 2**63))
def test_keys_are_extended_as_single_keys_are(key, part):
    assert int(extend_keys(np.array([key], dtype=np.uint64), np.array([part], dtype=np.uint64))[0]) == extend_key(
        key, part
    )
