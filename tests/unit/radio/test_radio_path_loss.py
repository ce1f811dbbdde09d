import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.radio.path_loss import (
    LogDistance,
    compute_free_space_loss_db,
    compute_itu_indoor_loss_db,
    compute_log_distance_loss_db,
)


def test_free_space_loss_at_one_metre_is_40_db():
    assert compute_free_space_loss_db(1.0) == pytest.approx(40.1, abs=0.1)


@given(st.floats(0.1, 1000.0))
def test_doubling_the_distance_in_free_space_costs_6_db(distance_m):
    step_db = compute_free_space_loss_db(2 * distance_m) - compute_free_space_loss_db(distance_m)
    assert step_db == pytest.approx(20 * math.log10(2))


@given(st.floats(0, 1e4), st.floats(0, 1e4))
def test_log_distance_loss_never_falls_with_distance(a, b):
    near, far = sorted((a, b))
    assert compute_log_distance_loss_db(near, LogDistance()) <= compute_log_distance_loss_db(far, LogDistance())


def test_shadowing_adds_to_the_loss():
    params = LogDistance(exponent=2.0, reference_db=40.0)
    assert compute_log_distance_loss_db(10.0, params, 5.0) == pytest.approx(65.0)


@pytest.mark.parametrize("distance_m", [-1.0, math.nan, math.inf])
def test_impossible_distance_is_refused_with_its_value(distance_m):
    with pytest.raises(InvalidInput, match="distance"):
        compute_log_distance_loss_db(distance_m, LogDistance())


def test_negative_exponent_is_refused():
    with pytest.raises(InvalidInput, match="exponent"):
        LogDistance(exponent=-1.0)


def test_itu_loss_in_an_office_is_the_formula_of_the_recommendation():
    """Witness: 10 alpha log d + beta + 10 gamma log f with the coefficients of an obstructed office."""
    expected_db = 24.6 * math.log10(20.0) + 29.53 + 23.8 * math.log10(2.426)
    assert compute_itu_indoor_loss_db(20.0, "officeObstructed") == pytest.approx(expected_db)


@pytest.mark.parametrize("building", ["office", "corridor", "industrial"])
def test_obstructed_places_lose_more_than_open_ones(building):
    open_db, obstructed_db = (compute_itu_indoor_loss_db(10.0, building + sight) for sight in ("Open", "Obstructed"))
    assert obstructed_db > open_db
    assert open_db == pytest.approx(compute_free_space_loss_db(10.0), abs=8.0)


def test_each_floor_costs():
    losses_db = [compute_itu_indoor_loss_db(10.0, "officeOpen", floors=n) for n in range(3)]
    assert losses_db[1] - losses_db[0] == pytest.approx(15.0)
    assert losses_db[2] - losses_db[1] == pytest.approx(4.0)


def test_unknown_environment_is_refused_with_the_known_ones():
    with pytest.raises(InvalidInput, match="officeOpen"):
        compute_itu_indoor_loss_db(10.0, "cave")
    with pytest.raises(InvalidInput, match="floors"):
        compute_itu_indoor_loss_db(10.0, "officeOpen", floors=-1)
