"""Received power of links: what a twin believes of it, tells, and gives to the simulator."""

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.twins.twin_builders import counter, fold_all, report

from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.northbound.messages import LinkMessage, to_link_message
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.twins.estimator import LinkQuestion, estimate_links
from meshtwin.twins.load import Load


def estimate(*counters):
    question = LinkQuestion(
        state=fold_all([report("0001", *counters)]),
        now_s=0.0,
        load=Load(busy_ratio=0.0, source="monitoring"),
        report_interval_s=60.0,
    )
    return {link.source: link for link in estimate_links(question)}


def test_power_of_a_weak_link_is_below_its_rssi_by_what_survivors_are_too_strong():
    """Witness: packets drawn with 1.5 dB of fading, of which a receiver 2 dB wide takes one in ten."""
    rng = np.random.default_rng(8)
    power_db = 1.5 * rng.standard_normal(1_000_000)
    noise_db = 2.0 * rng.standard_normal(power_db.size)
    threshold_db = np.quantile(power_db + noise_db, 0.9)
    bias_db = power_db[power_db + noise_db > threshold_db].mean()

    link = estimate(counter("0002", 1000, 100, rssiMeanDbm=-90))[2]

    assert link.delivery_mean == pytest.approx(0.1, abs=0.02)
    assert link.rx_power_dbm == pytest.approx(-90 - bias_db, abs=0.15)
    assert bias_db > 1.4


def test_power_of_a_good_link_is_its_rssi():
    link = estimate(counter("0002", 1000, 990, rssiMeanDbm=-60))[2]
    assert link.rx_power_dbm == pytest.approx(-60, abs=0.2)


def test_power_of_a_link_heard_once_is_known_worse_than_that_of_one_heard_often():
    links = estimate(counter("0002", 1000, 900, rssiMeanDbm=-60), counter("0003", 1, 1, rssiMeanDbm=-60))
    assert links[2].rx_power_deviation_db < links[3].rx_power_deviation_db
    # up to 2 dB of a receiver's accuracy, uniform, 5 dB of rounding, and 1 dB of slow fading
    assert links[2].rx_power_deviation_db > (4 / 3 + 25 / 12 + 1) ** 0.5


def test_without_rssi_no_power_is_told():
    link = estimate(counter("0002", 1000, 900))[2]
    assert (link.rssi_dbm, link.rx_power_dbm, link.rx_power_deviation_db) == (None, None, None)


LINK = LinkEstimate(
    source=1, target=2, delivery_alpha=6.0, delivery_beta=94.0, rssi_dbm=-90.0, rx_power_dbm=-93.5,
    rx_power_deviation_db=2.5,
)  # fmt: skip


def test_power_survives_the_wire_and_older_messages_have_none():
    message = to_link_message(LINK, None)
    assert LinkMessage.model_validate_json(message.model_dump_json(by_alias=True)).to_value() == LINK
    plain = message.model_dump(by_alias=True)
    older = {name: value for name, value in plain.items() if not name.startswith("rxPower")}
    assert len(plain) - len(older) == 2
    read = LinkMessage.model_validate(older).to_value()
    assert (read.rssi_dbm, read.rx_power_dbm) == (-90.0, None)


def received_powers(snapshot, link):
    return [x.rx_power_dbm for x in scenario_from_snapshot(replace(snapshot, links=(link,))).links]


def test_simulator_gets_the_power_that_arrives_and_not_the_rssi_of_survivors(build_grid):
    assert received_powers(build_grid(2, 1), LINK) == [-93.5]


def test_of_a_snapshot_that_tells_only_rssi_the_bias_is_taken_off_when_it_is_simulated(build_grid):
    """Of a normal with 1.5 dB of fading and 2 dB of softness: 0.9 dB times the inverse Mills ratio at 0.06, 1.985."""
    [power_dbm] = received_powers(build_grid(2, 1), replace(LINK, rx_power_dbm=None, rx_power_deviation_db=None))
    assert power_dbm == pytest.approx(-91.79, abs=0.02)


def test_links_without_rssi_leave_power_to_the_simulator(build_grid):
    assert received_powers(
        build_grid(2, 1), LinkEstimate(source=1, target=2, delivery_alpha=6.0, delivery_beta=94.0)
    ) == [None]


def test_fingerprint_knows_power_and_snapshots_without_it_keep_theirs(build_grid):
    snapshot = build_grid(2, 1)
    prints = [
        replace(snapshot, links=(replace(LINK, **changes),)).fingerprint
        for changes in ({}, {"rx_power_dbm": -91.0}, {"rx_power_dbm": None}, {"rx_power_dbm": None, "rssi_dbm": None})
    ]
    assert len(set(prints)) == 3
    assert prints[2] == prints[3]
