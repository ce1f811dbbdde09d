"""Witness: the published packet error ratios in tests/validation/packet_error_ratio.yaml.

Tolerances are the largest differences found, rounded up; the table is not the exact closed form.
"""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.radio.reception import (
    compute_airtime_ns,
    compute_overlap_survival,
    compute_packet_error_ratio,
    compute_rx_power_dbm,
    compute_snr_db,
)

TABLE = yaml.safe_load(
    (Path(__file__).parents[2] / "validation" / "packet_error_ratio.yaml").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("size", [20, 29])
def test_packet_error_ratio_over_received_power_is_the_published_one(size):
    computed = [compute_packet_error_ratio(compute_snr_db(p), size) for p in TABLE["rssi_dbm"]]
    assert computed == pytest.approx(TABLE[f"packet_error_ratio_{size}_byte"], abs=0.003)


def test_packet_error_ratio_under_full_overlap_is_the_published_one():
    computed = [compute_packet_error_ratio(s, 29) for s in TABLE["sir_db"]]
    assert computed == pytest.approx(TABLE["full_overlap"], abs=0.005)


def test_packet_error_ratio_under_an_overlap_of_50_us_is_the_published_one():
    computed = [1 - compute_overlap_survival(s, 50_000) for s in TABLE["sir_db"]]
    assert computed == pytest.approx(TABLE["overlap_50_us"], abs=0.002)


def test_airtime_is_the_published_one():
    sizes = TABLE["airtime_us_by_network_pdu_bytes"]
    assert {size: compute_airtime_ns(size) // 1000 for size in sizes} == sizes


@pytest.mark.parametrize("size", [0, 30])
def test_pdu_that_does_not_fit_an_advertisement_is_refused(size):
    with pytest.raises(InvalidInput, match=r"1\.\.29"):
        compute_airtime_ns(size)


@given(st.floats(0.001, 0.999))
def test_power_behind_a_delivery_gives_that_delivery_back(delivery):
    power_dbm = compute_rx_power_dbm(delivery)
    assert 1 - compute_packet_error_ratio(compute_snr_db(power_dbm), 20) == pytest.approx(delivery, abs=1e-4)
