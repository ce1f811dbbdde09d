import math

import numpy as np
import pytest

from meshtwin.errors import InvalidInput
from meshtwin.radio.fitting import ObservedLink, expect_delivery, fit_link_model
from meshtwin.radio.path_loss import LogDistance
from meshtwin.radio.reception import compute_packet_error_ratio, compute_snr_db


def make_links(*, exponent, reference_db, shadowing_db, count, with_rssi, seed=7):
    rng = np.random.default_rng(seed)
    links = []
    for _ in range(count):
        distance_m = float(rng.uniform(2, 40))
        loss_db = reference_db + 10 * exponent * math.log10(distance_m) + shadowing_db * float(rng.normal())
        delivery = 1 - compute_packet_error_ratio(compute_snr_db(-loss_db), 20)
        links.append(ObservedLink(distance_m=distance_m, delivery=delivery, rssi_dbm=-loss_db if with_rssi else None))
    return links


def test_parameters_are_found_again_from_received_power():
    links = make_links(exponent=3.2, reference_db=45, shadowing_db=6, count=400, with_rssi=True)
    params = fit_link_model(links).params
    assert params.exponent == pytest.approx(3.2, abs=0.3)
    assert params.shadowing_db == pytest.approx(6, abs=0.7)


def test_delivery_alone_predicts_delivery_over_distance():
    links = make_links(exponent=3.6, reference_db=46, shadowing_db=5, count=600, with_rssi=False)
    model = fit_link_model(links)
    for low_m, high_m in [(5, 10), (15, 20), (25, 30)]:
        near = [link.delivery for link in links if low_m <= link.distance_m < high_m]
        expected = expect_delivery((low_m + high_m) / 2, model).mean
        assert expected == pytest.approx(float(np.mean(near)), abs=0.12)


def test_parameters_are_found_again_when_most_links_are_only_known_to_be_good():
    links = make_links(exponent=3.5, reference_db=48, shadowing_db=6, count=1000, with_rssi=False)
    params = fit_link_model(links).params
    assert sum(link.delivery > 0.8 for link in links) > 600
    assert params.exponent == pytest.approx(3.5, abs=0.4)
    assert params.shadowing_db == pytest.approx(6, abs=0.8)


def test_two_links_move_the_prior_only_a_little():
    links = [ObservedLink(distance_m=d, delivery=0.4) for d in (20.0, 25.0)]
    params = fit_link_model(links).params
    assert params.exponent == pytest.approx(LogDistance().exponent, abs=0.6)
    assert params.shadowing_db < 3 * LogDistance().shadowing_db


def test_no_links_give_the_prior_back():
    prior = LogDistance(exponent=3.0)
    model = fit_link_model([], prior)
    assert (model.params, model.link_count) == (prior, 0)


def test_expected_delivery_falls_with_distance_and_stays_weak():
    model = fit_link_model([])
    priors = [expect_delivery(d, model) for d in (1, 5, 20, 60, 200)]
    means = [p.mean for p in priors]
    assert means == sorted(means, reverse=True)
    assert all(p.alpha + p.beta <= 2.0 + 1e-9 for p in priors)


def test_delivery_that_is_no_ratio_is_refused():
    with pytest.raises(InvalidInput, match=r"outside 0\.\.1"):
        fit_link_model([ObservedLink(distance_m=3.0, delivery=1.2)])
