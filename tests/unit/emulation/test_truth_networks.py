"""The harness that other figures rest on: equal for equal seeds, and its truth is what the emulated mesh does."""

from dataclasses import replace

import pytest
from tests.truth.hidden import Hidden
from tests.truth.network import make_network
from tests.truth.places import KINDS

from meshtwin.emulation.scenario import InterferenceModel
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow

ONE_COPY = NodeSettings(
    network_transmit=Transmit(count=0, interval_steps=1), relay_retransmit=Transmit(count=0, interval_steps=1)
)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_same_seed_gives_the_same_network_observation_and_measurement(kind):
    first, second = (make_network(kind, 12, 4) for _ in range(2))
    assert first == second
    assert first.observe(3).fingerprint == second.observe(3).fingerprint
    assert first.measure(first.configuration, 5, 1) == second.measure(second.configuration, 5, 1)


def test_another_observation_seed_is_another_day_in_the_same_building():
    network = make_network("office", 12, 4)
    assert network.observe(3, seed=0).links != network.observe(3, seed=1).links


def test_radio_that_reads_too_high_tells_higher_rssi_and_hears_the_same():
    network = make_network("office", 12, 4)
    exact, high = (network.observe(6, rssi_errors_db=errors_db) for errors_db in (None, [0.0, 10.0] + [0.0] * 10))
    assert [(link.source, link.target) for link in exact.links] == [(link.source, link.target) for link in high.links]
    off_db = [
        (link.target, other.rssi_dbm - link.rssi_dbm)
        for link, other in zip(exact.links, high.links, strict=True)
        if link.rssi_dbm is not None
    ]
    assert {each_db for target, each_db in off_db if target == 2} == {10.0}
    assert {each_db for target, each_db in off_db if target != 2} == {0.0}


def test_twin_learns_most_links_that_deliver():
    network = make_network("office", 20, 2, hidden=Hidden())
    known = {(link.source, link.target) for link in network.observe(30).links}
    good = {pair for pair, delivery in network.true_delivery().items() if delivery > 0.5}
    assert len(good & known) >= 0.95 * len(good)


def test_true_delivery_is_what_single_transmissions_show():
    hidden = Hidden(
        interference=(InterferenceModel(channel=37, loss_ratio=0.6, every_seconds=10.0, lasts_seconds=5.0),)
    )
    network = make_network("field", 12, 1, hidden=hidden, configuration=ONE_COPY)
    scenario = network.scenario.model_copy(
        update={"nodes": [node.model_copy(update={"groups": ["c001"]}) for node in network.scenario.nodes]}
    )
    everybody = Flow(name="all", source=3, destination=0xC001, rate_per_minute=0.0, deadline_ms=100)
    network = replace(network, scenario=scenario, flows=(everybody,), groups={0xC001: frozenset(range(12))})
    neighbours_only = Configuration.of(dict.fromkeys(network.configuration.addresses, NodeSettings(default_ttl=0)))
    presses = 4000
    (measured,) = network.measure(neighbours_only, presses, 1, spacing_s=0.25)
    truth = network.true_delivery()
    for index, seen in measured.member_delivery().items():
        expected = truth[(3, index + 1)]
        deviation = (expected * (1 - expected) / presses) ** 0.5
        assert abs(seen - expected) <= 4 * deviation + 0.01, (index, seen, expected)


def test_dead_relays_say_that_they_relay_and_do_not():
    network = make_network("corridor", 16, 5, hidden=Hidden(dead_relays=3))
    assert len(network.dead) > 0
    assert all(settings.relay for _, settings in network.observe(2).configuration.entries)
