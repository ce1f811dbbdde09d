"""Closed forms and conservation laws as witnesses of the reference engine."""

from dataclasses import replace

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.profiles import PROFILES, StackProfile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import ExternalInterference

MS = 1_000_000
FOREVER_NS = 10**15  # a scan window that no run outlives: every receiver stays on its channel
FATES = (
    LossCause.BELOW_SENSITIVITY,
    LossCause.COLLISION,
    LossCause.RADIO_BUSY,
    LossCause.NOT_LISTENING,
    LossCause.CACHE,
    LossCause.INTERFERENCE,
    LossCause.SWITCHED_OFF,
)
# No contention: PDUs of a microsecond, always heard, and every hop takes the same time.
IDEAL = StackProfile(
    name="ideal",
    source="made for tests",
    processing_ns=5 * MS,
    jitter_ns=0,
    advertising_delay_ns=0,
    pdu_airtime_ns=1000,
    channel_gap_ns=0,
    scan_interval_ns=FOREVER_NS,
    scan_window_ns=FOREVER_NS,
    relay_sets=64,
    originated_sets=64,
    message_cache=4096,
    capture_db=-300.0,
)


def make_scenario(pairs, *, nodes, flow, profile=IDEAL, ttl=10, transmissions=1, delivery=1.0, relays=None, **more):
    transmit = Transmit(count=transmissions - 1, interval_steps=1)
    return Scenario(
        name="law",
        nodes=tuple(
            ScenarioNode(
                address=a,
                relay=relays is None or a in relays,
                ttl=ttl,
                network_transmit=transmit,
                relay_retransmit=transmit,
            )
            for a in nodes
        ),
        links=tuple(ScenarioLink(source=a, target=b, delivery=delivery, rx_power_dbm=-70.0) for a, b in sorted(pairs)),
        flows=(flow,),
        profile=profile,
        **more,
    )


def run(scenario, seed=1):
    return simulate(scenario, seed=seed, engine="reference")


def reached(result):
    return {(m.number, a.member) for m in result.messages for a in m.arrivals}


@pytest.mark.parametrize(("delivery", "transmissions"), [(0.3, 1), (0.3, 3), (0.6, 2), (0.9, 1)])
def test_two_nodes_deliver_as_often_as_one_of_n_independent_sends_gets_through(delivery, transmissions):
    count = 3000
    flow = ScenarioFlow(name="f", source=1, members=(2,), count=count, period_s=1.0)
    scenario = make_scenario(
        [(1, 2)], nodes=(1, 2), flow=flow, delivery=delivery, transmissions=transmissions, relays=()
    )
    expected = 1.0 - (1.0 - delivery) ** transmissions
    deviation = (expected * (1.0 - expected) / count) ** 0.5
    assert len(reached(run(scenario))) / count == pytest.approx(expected, abs=4.0 * deviation)


def test_latency_of_a_chain_without_contention_is_the_sum_of_its_hops():
    nodes = range(1, 8)
    pairs = [(a, b) for a in nodes for b in nodes if abs(a - b) == 1]
    flow = ScenarioFlow(name="f", source=1, members=(7,), count=5, period_s=1.0)
    result = run(make_scenario(pairs, nodes=nodes, flow=flow))
    for message in result.messages:
        (arrival,) = message.arrivals
        # each hop: 5 ms, and the PDU on the receiver's channel, the first, second or third of 1 us
        assert 6 * (5 * MS + 1000) <= arrival.latency_ns <= 6 * (5 * MS + 3000)
        assert arrival.hops == 6


def test_airtime_of_a_lone_sender_is_its_transmissions_times_their_length():
    flow = ScenarioFlow(name="f", source=1, members=(2,), count=10, period_s=1.0)
    profile = replace(PROFILES["zephyr"], scan_interval_ns=FOREVER_NS, scan_window_ns=FOREVER_NS)
    scenario = make_scenario([(1, 2)], nodes=(1, 2), flow=flow, profile=profile, transmissions=3, relays=())
    # both nodes hear three PDUs of 304 us per second on each channel
    assert run(scenario).airtime_ratio == pytest.approx(3 * 304e-6, rel=1e-9)


@st.composite
def networks(draw):
    size = draw(st.integers(2, 9))
    nodes = tuple(range(1, size + 1))
    every = [(a, b) for a in nodes for b in nodes if a != b]
    pairs = draw(st.sets(st.sampled_from(every), min_size=1))
    relays = draw(st.sets(st.sampled_from(nodes)))
    return nodes, pairs, relays


@given(network=networks(), ttl=st.integers(2, 9))
@settings(max_examples=60, deadline=None)
def test_flood_without_contention_reaches_what_a_graph_search_over_the_relays_finds(network, ttl):
    nodes, pairs, relays = network
    flow = ScenarioFlow(name="f", source=1, members=nodes[1:], count=1, period_s=1.0)
    graph = nx.DiGraph([(a, b) for a, b in pairs if a == 1 or a in relays])
    graph.add_nodes_from(nodes)
    distances = nx.single_source_shortest_path_length(graph, 1, cutoff=ttl)
    result = run(make_scenario(pairs, nodes=nodes, flow=flow, ttl=ttl, relays=relays))
    assert {a.member: a.hops for m in result.messages for a in m.arrivals} == {
        node: distance for node, distance in distances.items() if node != 1
    }


@given(network=networks(), more=st.sets(st.integers(1, 9)), delivery=st.floats(0.2, 1.0), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_without_contention_more_relays_never_shorten_reach(network, more, delivery, seed):
    nodes, pairs, relays = network
    flow = ScenarioFlow(name="f", source=1, members=nodes[1:], count=5, period_s=1.0)
    few = make_scenario(pairs, nodes=nodes, flow=flow, ttl=100, relays=relays, delivery=delivery)
    many = make_scenario(pairs, nodes=nodes, flow=flow, ttl=100, relays=relays | more, delivery=delivery)
    assert reached(run(few, seed)) <= reached(run(many, seed))


@given(network=networks(), ttl=st.integers(2, 8), delivery=st.floats(0.2, 1.0), seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_without_contention_a_larger_ttl_never_loses(network, ttl, delivery, seed):
    """With one transmission and equal delays; else a long way can win the race and use up the TTL."""
    nodes, pairs, relays = network
    flow = ScenarioFlow(name="f", source=1, members=nodes[1:], count=5, period_s=1.0)
    low = make_scenario(pairs, nodes=nodes, flow=flow, ttl=ttl, relays=relays, delivery=delivery)
    high = make_scenario(pairs, nodes=nodes, flow=flow, ttl=ttl + 1, relays=relays, delivery=delivery)
    assert reached(run(low, seed)) <= reached(run(high, seed))


# events of "mathworks" begin at the end of a scan window, and here there is none
@pytest.mark.parametrize("profile", sorted(PROFILES.keys() - {"mathworks"}))
@given(network=networks(), delivery=st.floats(0.1, 1.0), seed=st.integers(0, 999), busy=st.sampled_from([0.0, 0.3]))
@settings(max_examples=10, deadline=None)
def test_every_reception_has_one_fate(profile, network, delivery, seed, busy):
    """A receiver has one fate for each PDU that it listens to, and one if it listens to none of an event's three.

    With scanners that stay on a channel it listens to exactly one, so fates are as many as event and receiver pairs.
    """
    nodes, pairs, relays = network
    still = replace(PROFILES[profile], scan_interval_ns=FOREVER_NS, scan_window_ns=FOREVER_NS)
    flow = ScenarioFlow(name="f", source=1, members=nodes[1:], count=6, period_s=0.02, response_pdu_bytes=20)
    scenario = make_scenario(
        pairs,
        nodes=nodes,
        flow=flow,
        profile=still,
        transmissions=2,
        delivery=delivery,
        relays=relays,
        is_traced=True,
        interference=(ExternalInterference(busy_ratio=busy),) if busy else (),
        changes=(NodeChange(at_s=0.05, node=nodes[-1], is_on=False), NodeChange(at_s=0.08, node=nodes[-1], is_on=True)),
    )
    result = run(scenario, seed)
    received = sum(r.kind is RecordKind.RECEIVED for r in result.records)
    off = (50 * MS, 80 * MS)
    outgoing = {a: sum(source == a for source, _ in pairs) for a in nodes}
    to_last = {a for a, b in pairs if b == nodes[-1]}
    pairs_heard = 0
    for record in result.records:
        if record.kind is RecordKind.TRANSMITTED:
            is_off = off[0] < record.time_ns <= off[1]
            pairs_heard += outgoing[record.node] - (is_off and record.node in to_last)
    jobs_lost_by_power = sum(
        r.kind is RecordKind.LOST and r.detail == "switchedOff" and r.node == nodes[-1] for r in result.records
    )
    fates = received + sum(result.losses[cause] for cause in FATES)
    assert 0 <= fates - pairs_heard <= jobs_lost_by_power


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), delivery=st.sampled_from([0.3, 0.9, 1.0]))
def test_airtime_is_the_mean_of_what_it_is_at_every_node(seed, delivery):
    pairs = {(a, b) for a in range(1, 7) for b in range(1, 7) if 0 < abs(a - b) <= 2}
    scenario = make_scenario(
        pairs, nodes=range(1, 7), flow=ScenarioFlow(name="f", source=1, members=(6,), count=5, period_s=1.0),
        delivery=delivery,
    )  # fmt: skip

    run = simulate(replace(scenario, watched=tuple(range(1, 7))), seed=seed, engine="reference")

    assert sum(run.airtime_at.values()) / 6 == pytest.approx(run.airtime_ratio)
    assert max(run.airtime_at.values()) > run.airtime_ratio


def test_a_watched_node_changes_nothing_else():
    pairs = {(1, 2), (2, 1), (2, 3), (3, 2)}
    scenario = make_scenario(
        pairs, nodes=(1, 2, 3), flow=ScenarioFlow(name="f", source=1, members=(3,), count=5, period_s=1.0)
    )

    plain = simulate(scenario, seed=3, engine="reference")
    watched = simulate(replace(scenario, watched=(2,)), seed=3, engine="reference")

    assert set(watched.airtime_at) == {2}
    assert replace(watched, airtime_at={}) == plain
