"""The fast model beside closed forms and the reference engine, and where it declines."""

from dataclasses import replace

import pytest
from tests.unit.fast.fast_builders import background, flow, line, links, node

from meshtwin.errors import InvalidInput
from meshtwin.fast import estimate, prepare
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import FlowKpis
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.results import summarise
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.scenario_features import ExternalInterference, Segmentation

AIRTIME_MS = 0.304  # 20 bytes
SCAN_MS = 30.0  # window of the profile zephyr


def answer(scenario: Scenario, states: int = 256) -> FlowKpis:
    kpis = estimate(scenario, states=states).kpis
    assert kpis is not None
    return kpis.flows[0]


@pytest.mark.parametrize("transmissions", [1, 3])
def test_two_nodes_deliver_what_the_closed_form_says(transmissions: int) -> None:
    found = answer(line(2, delivery=0.6, transmissions=transmissions), states=4096)

    once = 0.6 * (1.0 - AIRTIME_MS / SCAN_MS)  # not while the scanner changes its channel
    assert found.delivery.estimate == pytest.approx(1.0 - (1.0 - once) ** transmissions, abs=0.025)


def test_latency_of_one_hop_is_processing_jitter_and_airtime() -> None:
    found = answer(line(2), states=1024)

    # 3 ms + 0..7.1 ms, half the event's overhead, and up to the third channel's PDU
    assert found.latency_p50_ms == pytest.approx(3.0 + 3.55 + 0.3 + 0.454 + AIRTIME_MS, abs=0.3)


def test_latency_grows_by_the_same_amount_with_every_hop() -> None:
    medians = [answer(line(count)).latency_p50_ms or 0.0 for count in (2, 4, 6)]

    assert medians[2] - medians[1] == pytest.approx(medians[1] - medians[0], rel=0.1)


@pytest.mark.parametrize(("ttl", "reached"), [(3, 1.0), (2, 0.0)])
def test_message_goes_as_many_hops_as_its_ttl(ttl: int, reached: float) -> None:
    assert answer(line(4, ttl=ttl)).delivery.estimate == pytest.approx(reached, abs=0.03)


def test_node_that_does_not_relay_ends_the_way() -> None:
    scenario = line(3)
    silent = replace(scenario, nodes=(scenario.nodes[0], node(2, relay=False), scenario.nodes[2]))

    found = answer(silent)

    assert found.delivery.estimate == 0.0
    assert found.latency_p50_ms is None


def test_node_that_is_off_neither_relays_nor_hears() -> None:
    found = answer(line(3, flow(1, 2, 3)).without_node(UnicastAddress(2)))

    assert found.delivery.estimate == 0.0


def test_spread_is_none_where_no_message_reaches_all() -> None:
    found = answer(line(3, flow(1, 2, 3)).without_node(UnicastAddress(3)))

    assert found.delivery.estimate == 0.5
    assert (found.spread_p95, found.spread_p95_ms) == (None, None)


def test_source_that_is_off_sends_nothing() -> None:
    assert answer(line(2).without_node(UnicastAddress(1))).delivery.estimate == 0.0


def test_airtime_is_the_sum_over_all_who_hear() -> None:
    kpis = estimate(line(3, flow(1, 3, rate_per_s=1.0))).kpis

    # the destination does not relay: nodes 1 and 2 send three times, heard by two and three nodes
    assert kpis is not None
    assert kpis.airtime_ratio.estimate == pytest.approx(3 * AIRTIME_MS * 1e-3 * (2 + 3) / 3, rel=0.01)


@pytest.mark.parametrize(("destinations", "events"), [((), 3 * (2 + 3 + 2)), ((2,), 3 * 2), ((3,), 3 * (2 + 3))])
@pytest.mark.parametrize("rate_per_s", [2.0, 0.001])
def test_airtime_of_a_background_is_that_of_who_relays_it(
    rate_per_s: float, destinations: tuple[int, ...], events: int
) -> None:
    """Its destination does not; a stream too rare to be on the air in the stretch that is looked at counts, too."""
    others = replace(background(rate_per_s, 1), destinations=tuple(UnicastAddress(address) for address in destinations))

    kpis = estimate(line(3, flow(1, 3, rate_per_s=1e-9), background=(others,))).kpis

    assert kpis is not None
    assert kpis.airtime_ratio.estimate == pytest.approx(rate_per_s * events * AIRTIME_MS * 1e-3 / 3, rel=0.02)


def test_wait_behind_other_messages_is_that_of_a_single_server() -> None:
    """M/D/1: what comes at a share rho of busy time finds the advertiser free with probability 1 - rho."""
    scenario = line(2, flow(1, 2, deadline_ms=9, period_s=60.0), profile="emulated", background=(background(8.0, 1),))

    found = estimate(scenario, states=2048)

    assert found.kpis is not None
    assert found.busiest_ratio == pytest.approx(0.6, abs=0.03)
    assert found.kpis.flows[0].on_time.estimate == pytest.approx(0.4, abs=0.06)


def test_equal_arguments_give_equal_answers_and_another_seed_another() -> None:
    scenario = line(5, flow(1, 3, 5), background=(background(3.0, 1, 4),))

    assert estimate(scenario, seed=3) == estimate(scenario, seed=3)
    assert estimate(scenario, seed=3) != estimate(scenario, seed=4)


def test_all_destinations_of_one_source_come_out_of_the_same_floods() -> None:
    found = prepare(line(5, delivery=0.9, transmissions=1), states=512).reach_from(UnicastAddress(3)).destinations

    assert [figures.destination for figures in found] == [1, 2, 4, 5]
    assert found[1].delivery_ratio == pytest.approx(0.9 * (1.0 - AIRTIME_MS / SCAN_MS), abs=0.05)
    assert found[0].delivery_ratio < found[1].delivery_ratio
    assert (found[0].latency_p50_ms or 0.0) > (found[1].latency_p50_ms or 0.0)


def test_every_destination_has_intervals_that_hold_the_closed_form() -> None:
    scenario = line(4, delivery=0.9, transmissions=1)
    cut = replace(scenario, nodes=(*scenario.nodes[:2], node(3, relay=False), scenario.nodes[3]))

    near, hardly, never = prepare(cut, states=128).reach_from(UnicastAddress(1)).destinations

    assert near.delivery.low <= 0.9 * (1.0 - AIRTIME_MS / SCAN_MS) <= near.delivery.high
    assert hardly.delivery.high < near.delivery.low + 0.05
    for interval in (near.latency_p50, near.latency_p95, hardly.latency_p50, hardly.latency_p95):
        assert interval is not None
        assert 0.0 < interval.low < interval.estimate < interval.high < 1000.0
    assert never.delivery.estimate == 0.0
    assert (never.latency_p50, never.latency_p95_ms) == (None, None)


def test_reach_from_a_source_is_declined_where_an_estimate_is() -> None:
    full = line(5, flow(1, 5), background=(background(60.0, 2),), profile="nrf5-sdk")

    found = prepare(full).reach_from(UnicastAddress(3))

    assert found.destinations == ()
    assert found.declined == estimate(full).declined
    assert found.declined


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_agrees_with_the_reference_engine(profile: str) -> None:
    ring = [(a, a % 9 + 1) for a in range(1, 10)] + [(1, 5), (3, 8), (2, 6)]
    scenario = replace(line(9, flow(1, 4, 6, 8), profile=profile), links=links(ring, 0.8), capture=profile != "bmsim")

    results = [simulate(scenario, seed=5, replication=r, engine="reference") for r in range(5)]
    truth, found = summarise(results, scenario.flows).flows[0], answer(scenario, states=512)

    assert found.latency_p50_ms == pytest.approx(truth.latency_p50_ms, rel=0.12)
    assert found.latency_p95_ms == pytest.approx(truth.latency_p95_ms, rel=0.2)
    assert found.delivery.estimate == pytest.approx(truth.delivery.estimate, abs=0.03)


def test_interval_holds_the_estimate_and_more_states_make_it_narrower() -> None:
    few, many = (answer(line(4, delivery=0.5), states=s).on_time for s in (32, 1024))

    assert few.low <= few.estimate <= few.high
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (line(2, interference=(ExternalInterference(busy_ratio=0.1),)), "interference of the scenario"),
        (line(2, flow(1, 2, relays=frozenset({UnicastAddress(2)}))), "relays of the flows"),
        (line(2, flow(1, 2, segmentation=Segmentation(access_bytes=30))), "segmentation of the flows"),
        (line(3, flow(1, 2, 3, response_pdu_bytes=20)), "2 members answer"),
        (line(2, flow(1, 2, name="a", spread_s=0.0), flow(2, 1, name="b", spread_s=0.0)), "flows a and b"),
        (line(2, flow(1, 2), duration_s=1.02), "of its messages are there"),
        (line(2, flow(1, 2), duration_s=0.5), "no message of it begins before the run ends"),
        (line(2, background=(background(60.0, 1, 2),)), "advertising sets"),
        (line(3, background=(background(60.0, 1, 3),), profile="bluez"), "advertising sets"),
        (line(3, background=(background(20.0, 1, 3),), profile="nrf5-sdk"), "full queues refuse"),
    ],
)
def test_what_is_out_of_range_is_declined_with_the_reason(scenario: Scenario, said: str) -> None:
    found = estimate(scenario, states=32)

    assert found.kpis is None
    assert said in (found.declined or "")


@pytest.mark.parametrize("states", [0, 4, 100, 1 << 17])
def test_number_of_states_that_is_no_power_of_two_in_range_is_refused(states: int) -> None:
    with pytest.raises(InvalidInput, match=str(states)):
        estimate(line(2), states=states)
