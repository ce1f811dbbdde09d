from dataclasses import replace
from statistics import median

import pytest

from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.stacks import STACKS
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import PROFILES, get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

THRICE = Transmit(count=2, interval_steps=1)
FOREVER_NS = 10**15
# Measured: bluetooth-meshd 5.66 on a virtual air without channels, airtime and collisions; Config Relay Get, medians
# in ms. For eleven hops the range that was seen.
BLUEZ_ROUND_TRIPS_MS = {2: 31.5, 3: 48.4}
BLUEZ_ELEVEN_HOPS_MS = (189.0, 289.0)


def make_chain(profile, *, hops, count):
    nodes = range(1, hops + 2)
    return Scenario(
        name="chain",
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=127, network_transmit=THRICE, relay_retransmit=THRICE)
            for a in nodes
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, rx_power_dbm=-60.0) for a in nodes for b in nodes if abs(a - b) == 1
        ),
        flows=(
            ScenarioFlow(
                name="f",
                source=1,
                members=(hops + 1,),
                count=count,
                period_s=5.0,
                pdu_bytes=20,
                response_pdu_bytes=21,
                spread_in_period=True,
            ),
        ),
        profile=profile,
    )


def median_round_trip_ms(profile, hops):
    messages = simulate(make_chain(profile, hops=hops, count=100), seed=7, engine="reference").messages
    return median(a.round_trip_ns / 1e6 for m in messages for a in m.arrivals if a.round_trip_ns is not None)


def test_bluez_is_near_the_round_trips_measured_on_a_virtual_air():
    air = replace(
        get_profile("bluez"),
        scan_interval_ns=FOREVER_NS,
        scan_window_ns=FOREVER_NS,
        pdu_airtime_ns=1000,
        channel_gap_ns=0,
        event_overhead_ns=0,
        capture_db=-300.0,
    )
    for hops, measured_ms in BLUEZ_ROUND_TRIPS_MS.items():
        assert median_round_trip_ms(air, hops) == pytest.approx(measured_ms, rel=0.2)
    low, high = BLUEZ_ELEVEN_HOPS_MS
    assert low < median_round_trip_ms(air, 11) < high


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_profile_delivers_over_three_good_hops(name):
    profile = get_profile(name)
    assert profile.name == name
    result = simulate(make_chain(profile, hops=3, count=30), seed=3, engine="reference")
    assert sum(m.reached_all for m in result.messages) >= 28


def test_names_that_segments_may_say_are_those_of_the_profiles():
    assert tuple(sorted(PROFILES)) == STACKS


def test_relays_of_nrf5_take_longer_than_those_of_zephyr():
    """Every hop waits 20 to 30 ms for the advertiser; Zephyr's 3 to 10 ms."""
    assert median_round_trip_ms(get_profile("nrf5-sdk"), 3) > 2.0 * median_round_trip_ms(get_profile("zephyr"), 3)
