"""Mean RSSI of survivors against drawn packets, and links of scenarios with the indoor models."""

import numpy as np
import pytest

from meshtwin.errors import InvalidInput
from meshtwin.radio.path_loss import compute_itu_indoor_loss_db
from meshtwin.radio.survivors import compute_survivor_bias_db, estimate_received_power
from meshtwin.sim.scenario_file import parse_scenario

SCENARIO = """
nodes: [{address: "0001", positionM: [0, 0]}, {address: "0002", positionM: [12, 0]}]
radio: {model: ituIndoor, environment: officeOpen, txPowerDbm: 4, shadowingDb: 0, shadowingSeed: 3}
flows: [{name: f, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]
"""


@pytest.mark.parametrize("margin_db", [-4.0, -1.0, 2.0, 6.0])
def test_survivors_look_stronger_by_the_inverse_mills_ratio(margin_db):
    """Witness: 400,000 packets drawn, received where power plus a normal of the softness is above the threshold."""
    rng = np.random.default_rng(5)
    power_db = margin_db + 3.0 * rng.standard_normal(400_000)
    received = power_db + 2.0 * rng.standard_normal(power_db.size) > 0.0
    seen_db = power_db[received].mean() - margin_db
    bias_db = compute_survivor_bias_db(float(received.mean()), fading_db=3.0, softness_db=2.0)
    assert bias_db == pytest.approx(seen_db, abs=0.05)


def test_power_of_a_weak_link_is_below_its_rssi_and_that_of_a_good_one_is_not():
    assert estimate_received_power(-80.0, 0.999).mean_dbm == pytest.approx(-80.0, abs=0.1)
    weak = estimate_received_power(-80.0, 0.06)
    assert -84.0 < weak.mean_dbm < -81.0


def test_power_is_known_no_better_than_reports_round_rssi_and_worse_where_little_is_received():
    many, few = (estimate_received_power(-80.0, 0.9, readings=n).deviation_db for n in (16, 1))
    weak = estimate_received_power(-80.0, 0.05, readings=16).deviation_db
    unsure = estimate_received_power(-80.0, 0.3, delivery_deviation=0.2, readings=16).deviation_db
    sure = estimate_received_power(-80.0, 0.3, readings=16).deviation_db
    assert 5.0 / 12.0**0.5 < many < few
    assert many < weak
    assert sure < unsure


def test_impossible_delivery_is_refused():
    with pytest.raises(InvalidInput, match="delivery"):
        compute_survivor_bias_db(1.2)
    with pytest.raises(InvalidInput, match="delivery"):
        estimate_received_power(-80.0, 1.2)


def test_indoor_model_of_a_scenario_loses_what_the_recommendation_says():
    (first, second) = parse_scenario(SCENARIO).links
    assert first.rx_power_dbm == second.rx_power_dbm
    assert first.rx_power_dbm == pytest.approx(4.0 - compute_itu_indoor_loss_db(12.0, "officeOpen"))


def test_shadowing_of_a_pair_is_the_same_both_ways_and_that_of_a_direction_is_not():
    shared, both = (
        [link.rx_power_dbm for link in parse_scenario(SCENARIO.replace("shadowingDb: 0", said)).links]
        for said in ("pairShadowingDb: 6", "pairShadowingDb: 6, shadowingDb: 2")
    )
    assert shared[0] == shared[1] != 4.0 - compute_itu_indoor_loss_db(12.0, "officeOpen")
    assert both[0] != both[1]
