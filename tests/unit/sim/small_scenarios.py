"""Random small scenarios that use everything there is, and what engines have to agree on."""

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.compiled import run_compiled, unsupported
from meshtwin.sim.profiles import SegmentationTiming, StackProfile
from meshtwin.sim.reference import run_reference
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import ExternalInterference, LowPower, PublishRetransmit, Retries, Segmentation
from meshtwin.sim.states import SLOTS_PER_NODE, PresetStates

__all__ = ["assert_engines_agree", "contests", "preset_tables", "scenarios", "scenarios_with_transport"]

MS = 1_000_000
TRANSMITS = st.builds(Transmit, count=st.integers(0, 3), interval_steps=st.integers(0, 3))
RATIOS = st.sampled_from([0.0, 0.005, 0.3, 0.5, 0.9, 1.0])


def assert_engines_agree(scenario: Scenario, seed: int, states: PresetStates | None = None) -> None:
    """Asserts it, with the first record that differs."""
    assert unsupported(scenario) is None
    scenario = replace(scenario, watched=tuple(node.address for node in scenario.nodes))
    expected = run_reference(scenario, seed, 0, states)
    found = run_compiled(scenario, seed, 0, states)
    for place, (a, b) in enumerate(zip(expected.records, found.records, strict=False)):
        assert a == b, f"record {place}"
    assert len(found.records) == len(expected.records)
    assert found == expected


@st.composite
def profiles(draw: st.DrawFn, base: StackProfile) -> StackProfile:
    """``base`` with some rules changed, so that queues fill, caches forget and ties happen."""
    changes = {
        "jitter_ns": st.just(0),
        "processing_ns": st.sampled_from([0, 5 * MS]),
        "advertising_delay_ns": st.just(0),
        "own_delay_ns": st.sampled_from([None, (0, 0), (MS, MS)]),
        "queue_after_delay": st.booleans(),
        "response_ns": st.sampled_from([(0, 0), (3 * MS, 0), (MS, 4 * MS)]),
        "response_to_group_ns": st.sampled_from([(0, 0), (3 * MS, 0), (2 * MS, 30 * MS)]),
        "scan_window_ns": st.just(base.scan_interval_ns // 2),
        "scan_in_phase": st.booleans(),
        "start_at_scan_window_end": st.booleans(),
        "scan_restarts_after_event": st.booleans(),
        "event_overhead_ns": st.just(0),
        "channel_gap_ns": st.just(0),
        "originated_sets": st.integers(0, 2),
        "relay_sets": st.integers(1, 3),
        "one_queue": st.booleans(),
        "hands_over": st.booleans(),
        "relays_own_echo": st.booleans(),
        "rests_after_last": st.booleans(),
        "delay_when_idle_only": st.booleans(),
        "copies_take_turns": st.booleans(),
        "relay_buffer": st.integers(1, 3),
        "originated_buffer": st.sampled_from([None, 1, 2]),
        "message_cache": st.integers(1, 3),
        "scan_sample_ns": st.sampled_from([0, 70_000]),
        "capture_db": st.sampled_from([None, 8.0]),
    }
    names = draw(st.lists(st.sampled_from(sorted(changes)), unique=True, max_size=5))
    changed = replace(base, **{name: draw(changes[name]) for name in names})
    changed = replace(changed, allows_default_ttl_one=True, allows_flow_ttl_one=True)
    if changed.originated_sets == 0 and changed.relay_sets == 0:
        changed = replace(changed, relay_sets=1)
    return changed


@st.composite
def scenarios(draw: st.DrawFn, base: StackProfile) -> Scenario:
    """Up to seven nodes with most of the links that there can be."""
    count = draw(st.integers(2, 7))
    addresses = [UnicastAddress(i + 1) for i in range(count)]
    nodes = tuple(
        ScenarioNode(
            address=a,
            relay=draw(st.booleans()),
            ttl=draw(st.integers(0, 5)),
            network_transmit=draw(TRANSMITS),
            relay_retransmit=draw(TRANSMITS),
            external_pdus_per_s=draw(st.sampled_from([0.0, 0.0, 200.0])),
            is_on=draw(st.sampled_from([True, True, True, False])),
            replay_list_size=draw(st.sampled_from([None, None, 1, 2])),
        )
        for a in addresses
    )
    return Scenario(
        name="random",
        nodes=nodes,
        links=draw(links_between([(a, b) for a in addresses for b in addresses if a != b])),
        flows=draw(flows_between(addresses)),
        background=draw(st.lists(backgrounds_of(addresses), max_size=1).map(tuple)),
        profile=draw(profiles(base)),
        capture=draw(st.booleans()),
        duration_s=draw(st.sampled_from([None, 0.05, 0.4])),
        interference=draw(st.lists(bursts_at(addresses), max_size=2).map(tuple)),
        start_of_day_s=draw(st.sampled_from([0.0, 86_399.9])),
        changes=draw(st.lists(changes_of(addresses), max_size=3).map(tuple)),
        is_traced=True,
    )


@st.composite
def contests(draw: st.DrawFn, base: StackProfile) -> Scenario:
    """Nodes that send at nearly the same time, again and again, to one that hears them with powers near to each other.

    Their differences lie where capture ratio and bit errors decide, so that an engine which judges them otherwise
    can't have equal records.
    """
    count = draw(st.integers(2, 4))
    receiver, senders = UnicastAddress(1), [UnicastAddress(i + 2) for i in range(count)]
    once = Transmit(count=draw(st.integers(0, 1)), interval_steps=1)
    strongest = draw(st.sampled_from([-50.0, -70.0, -93.0]))
    weaker_db = st.integers(0, 16).map(lambda halves: 4.0 + halves / 2)
    powers = [strongest, *(strongest - draw(weaker_db) for _ in senders[1:])]
    profile = replace(
        base,
        processing_ns=0,
        jitter_ns=0,
        originated_jitter_ns=0,
        advertising_delay_ns=0,
        own_delay_ns=None,
        scan_window_ns=base.scan_interval_ns,
        capture_db=draw(st.sampled_from([None, 8.0])),
    )
    return Scenario(
        name="contest",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=3, network_transmit=once, relay_retransmit=once)
            for a in (receiver, *senders)
        ),
        links=tuple(
            ScenarioLink(source=a, target=receiver, rx_power_dbm=power)
            for a, power in zip(senders, powers, strict=True)
        ),
        flows=tuple(
            ScenarioFlow(
                name=f"from-{a}",
                source=a,
                members=(receiver,),
                count=20,
                period_s=0.25,
                start_s=draw(st.sampled_from([0.0, 0.0001, 0.00025])),
                pdu_bytes=draw(st.sampled_from([11, 20, 29])),
            )
            for a in senders
        ),
        profile=profile,
        is_traced=True,
    )


@st.composite
def links_between(draw: st.DrawFn, pairs: list[tuple[UnicastAddress, UnicastAddress]]) -> tuple[ScenarioLink, ...]:
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=1, max_size=30))
    # quarters of decibels among them, so that powers differ by all that capture ratio and bit errors tell apart
    powers = st.one_of(
        st.sampled_from([None, -60.0, -68.0, -90.0, -97.5]), st.integers(-300, -240).map(lambda q: q / 4)
    )
    links = []
    for source, target in chosen:
        power_dbm = draw(powers)
        delivery = draw(RATIOS) if power_dbm is None else draw(st.one_of(st.none(), RATIOS))
        deviation = 0.0 if delivery is None else draw(st.sampled_from([0.0, 0.2]))
        links.append(
            ScenarioLink(
                source=source,
                target=target,
                rx_power_dbm=power_dbm,
                delivery=delivery,
                delivery_deviation=deviation,
                delivery_pdu_bytes=draw(st.sampled_from([11, 20, 29])),
            )
        )
    return tuple(links)


@st.composite
def flows_between(draw: st.DrawFn, addresses: list[UnicastAddress]) -> tuple[ScenarioFlow, ...]:
    flows = []
    for number in range(draw(st.integers(1, 3))):
        source = draw(st.sampled_from(addresses))
        others = [a for a in addresses if a != source]
        response_bytes = draw(st.sampled_from([None, 21]))
        flows.append(
            ScenarioFlow(
                name=f"flow-{number}",
                source=source,
                members=tuple(draw(st.lists(st.sampled_from(others), unique=True, min_size=1, max_size=4))),
                count=draw(st.integers(0, 5)),
                period_s=draw(st.sampled_from([0.004, 0.03, 0.2])),
                start_s=draw(st.sampled_from([0.0, 0.01])),
                spread_in_period=draw(st.booleans()),
                spread_s=draw(st.sampled_from([0.0, 0.002, 0.05])),
                pdu_bytes=draw(st.integers(1, 29)),
                response_pdu_bytes=response_bytes,
                publish_retransmit=draw(st.sampled_from([None, None, PublishRetransmit(count=2, interval_steps=0)])),
                retries=None
                if response_bytes is None
                else draw(st.sampled_from([None, Retries(count=2, after_s=0.04)])),
                ttl=draw(st.sampled_from([None, 0, 2, 6])),
                relays=draw(st.one_of(st.none(), st.frozensets(st.sampled_from(addresses)))),
            )
        )
    return tuple(flows)


def backgrounds_of(addresses: list[UnicastAddress]) -> st.SearchStrategy[ScenarioBackground]:
    return st.builds(
        ScenarioBackground,
        name=st.just("murmur"),
        sources=st.lists(st.sampled_from(addresses), unique=True, min_size=1).map(tuple),
        rate_per_s=st.sampled_from([5.0, 100.0]),
        ttl=st.sampled_from([None, 0, 3]),
        pdu_bytes=st.sampled_from([20, 24, 29]),
        is_reporting=st.booleans(),
        is_counted=st.booleans(),
        destinations=st.lists(st.sampled_from(addresses), max_size=3, unique=True).map(tuple),
    )


def bursts_at(addresses: list[UnicastAddress]) -> st.SearchStrategy[ExternalInterference]:
    return st.builds(
        ExternalInterference,
        busy_ratio=st.sampled_from([0.1, 0.6]),
        channel=st.sampled_from([None, 0, 2]),
        nodes=st.one_of(st.none(), st.lists(st.sampled_from(addresses), unique=True, min_size=1).map(tuple)),
        from_s=st.sampled_from([0.0, 86_399.0]),
        until_s=st.sampled_from([0.05, 86_400.0]),
    )


@st.composite
def changes_of(draw: st.DrawFn, addresses: list[UnicastAddress]) -> NodeChange:
    node = draw(st.sampled_from(addresses))
    others = [a for a in addresses if a != node]
    pairs = [pair for other in others for pair in ((node, other), (other, node))]
    is_on = draw(st.sampled_from([None, True, False]))
    moves = is_on is None or draw(st.booleans())
    return NodeChange(
        at_s=draw(st.sampled_from([0.0, 0.011, 0.025, 0.07])),
        node=node,
        is_on=is_on,
        links=draw(links_between(pairs)) if moves else None,
    )


SEGMENTATIONS = st.sampled_from([None, *(Segmentation(access_bytes=size) for size in (11, 12, 30, 70))])


def timings(base: SegmentationTiming) -> st.SearchStrategy[SegmentationTiming]:
    """``base``, or timers so short and so few resends that all of them end within a run."""
    short = st.builds(
        SegmentationTiming,
        segment_interval_ns=st.sampled_from([0, 5 * MS, 20 * MS]),
        retransmissions=st.integers(0, 3),
        retransmissions_without_progress=st.integers(1, 2),
        retransmission_ns=st.sampled_from([10 * MS, 40 * MS]),
        per_ttl_ns=st.sampled_from([0, 5 * MS]),
        multicast_retransmissions=st.integers(0, 2),
        multicast_interval_ns=st.just(30 * MS),
        ack_delay_segments=st.sampled_from([0.0, 0.5, 2.5]),
        receiver_interval_ns=st.sampled_from([0, 10 * MS]),
        acks_last_segment=st.booleans(),
        discard_ns=st.sampled_from([20 * MS, 10_000 * MS]),
    )
    return st.one_of(st.just(base), short)


def sleepers(friends: list[UnicastAddress]) -> st.SearchStrategy[LowPower]:
    """Low-power nodes that poll as often as their retries allow, or a little less often."""

    def build(friend: UnicastAddress, retries: int, window: tuple[float, float], rest_s: float) -> LowPower:
        shortest_s = (retries + 1) * (sum(window) + 0.1)
        return LowPower(
            friend=friend, poll_interval_s=shortest_s + rest_s, receive_delay_s=window[0], receive_window_s=window[1],
            poll_retries=retries,
        )  # fmt: skip

    windows = st.sampled_from([(0.010, 0.020), (0.030, 0.050)])
    return st.builds(build, st.sampled_from(friends), st.integers(0, 2), windows, st.sampled_from([0.01, 0.2]))


@st.composite
def scenarios_with_transport(draw: st.DrawFn, base: StackProfile) -> Scenario:
    """`scenarios` with segmented messages, friends and low-power nodes."""
    scenario = draw(scenarios(base))
    addresses = [node.address for node in scenario.nodes]
    low = draw(st.lists(st.sampled_from(addresses), unique=True, max_size=min(2, len(addresses) - 1)))
    friends = [address for address in addresses if address not in low]
    nodes = []
    for node in scenario.nodes:
        changed = replace(node, friend_queue_size=draw(st.sampled_from([1, 2, 16])))
        if node.address in low:
            changed = replace(changed, relay=False, low_power=draw(sleepers(friends)))
        nodes.append(changed)
    flows = tuple(
        flow if {flow.source, *flow.members} & {*low} else replace(flow, segmentation=draw(SEGMENTATIONS))
        for flow in scenario.flows
    )
    timing = draw(timings(scenario.profile.segmentation))
    return replace(
        scenario,
        nodes=tuple(nodes),
        flows=flows,
        profile=replace(scenario.profile, segmentation=timing),
        duration_s=draw(st.sampled_from([None, 0.3, 1.0])),
    )


def preset_tables(scenario: Scenario, seed: int) -> st.SearchStrategy[PresetStates | None]:
    """No preset states, or independent numbers for a few messages of each flow."""

    def build(points: int) -> PresetStates | None:
        if points == 0:
            return None
        shape = (len(scenario.flows) * points, len(scenario.nodes) * SLOTS_PER_NODE)
        return PresetStates(table=np.random.default_rng(seed % 2**32).random(shape), points=points)

    return st.integers(0, 3).map(build)
