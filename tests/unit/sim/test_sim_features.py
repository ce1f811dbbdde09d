"""What scenarios can do beyond flooding short messages, one behaviour each."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.profiles import PROFILES, get_profile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import ExternalInterference, LowPower, PublishRetransmit, Retries, Segmentation

THRICE = Transmit(count=2, interval_steps=1)
ONCE = Transmit(count=0, interval_steps=1)


def make_node(address, **settings):
    return ScenarioNode(
        **({"relay": True, "ttl": 6, "network_transmit": THRICE, "relay_retransmit": THRICE} | settings),
        address=address,
    )


def make_chain(*, length=4, delivery=1.0, flow=None, node=None, **more):
    """Nodes 1..length in a line; node 1 sends to the last."""
    base = ScenarioFlow(name="f", source=1, members=(length,), count=10, period_s=4.0, spread_in_period=True)
    return Scenario(
        name="chain",
        nodes=tuple(make_node(a, **(node or {})) for a in range(1, length + 1)),
        links=tuple(
            ScenarioLink(source=a, target=b, delivery=delivery, rx_power_dbm=-70.0)
            for a in range(1, length + 1)
            for b in (a - 1, a + 1)
            if 1 <= b <= length
        ),
        flows=(replace(base, **(flow or {})),),
        **more,
    )


def add_low_power(scenario, *, friend, delivery=1.0, **changes):
    """With node 99 added, which sleeps; the flow goes to it."""
    low = LowPower(**({"friend": friend, "poll_interval_s": 2.0} | changes))
    return replace(
        scenario,
        nodes=(*scenario.nodes, make_node(99, relay=False, low_power=low)),
        links=(
            *scenario.links,
            *(ScenarioLink(source=a, target=b, delivery=delivery) for a, b in ((friend, 99), (99, friend))),
        ),
        flows=(replace(scenario.flows[0], members=(99,), spread_in_period=True),),
    )


def run(scenario, seed=1):
    return simulate(scenario, seed=seed, engine="reference")


def reached(result, flow="f"):
    return [m.number for m in result.messages if m.flow == flow and m.reached_all]


def mean_latency_ms(result):
    latencies = [a.latency_ns / 1e6 for m in result.messages for a in m.arrivals]
    return sum(latencies) / len(latencies)


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_segmented_message_arrives_when_its_last_segment_does(profile):
    short = make_chain(profile=get_profile(profile), flow={"segmentation": Segmentation(access_bytes=11)})
    long = make_chain(profile=get_profile(profile), flow={"segmentation": Segmentation(access_bytes=40)})
    one, four = run(short), run(long)
    assert len(reached(one)) == 10
    assert len(reached(four)) >= 4  # single-queue stacks lose relayed segments under their own load
    assert mean_latency_ms(four) > mean_latency_ms(one)


def test_lost_segments_are_repeated_after_an_acknowledgment_told_of_the_others():
    flow = {"segmentation": Segmentation(access_bytes=60), "count": 40}
    bad = make_chain(length=2, delivery=0.6, node={"network_transmit": ONCE, "relay": False}, flow=flow)
    deaf = replace(bad, links=tuple(link for link in bad.links if link.source == 1))  # acknowledgments never arrive
    # six segments by one send each: 0.6 ** 6, two messages of forty; by three sends: (1 - 0.4 ** 3) ** 6, 27 of them
    assert 20 <= len(reached(run(bad))) <= 34
    assert sum(m.transmissions for m in run(deaf).messages) > sum(m.transmissions for m in run(bad).messages)


def test_segments_to_a_group_are_not_acknowledged():
    flow = {"members": (2, 3, 4), "segmentation": Segmentation(access_bytes=30)}
    scenario = make_chain(flow=flow, is_traced=True)
    result = run(scenario)
    last = [r for r in result.records if r.kind is RecordKind.TRANSMITTED and r.node == 4]
    relays_only = make_chain(flow=flow, is_traced=True, node={"relay": False})
    assert reached(result) == list(range(10))
    assert last  # it relays
    assert {r.node for r in run(relays_only).records if r.kind is RecordKind.TRANSMITTED} == {1}


def test_acknowledged_message_is_sent_again_until_the_answer_comes():
    flow = {"response_pdu_bytes": 21, "count": 40, "period_s": 6.0}
    plain = make_chain(length=3, delivery=0.35, flow=flow)
    stubborn = make_chain(length=3, delivery=0.35, flow=flow | {"retries": Retries(count=5, after_s=0.5)})
    answered = [
        sum(a.round_trip_ns is not None for m in run(s).messages for a in m.arrivals) for s in (plain, stubborn)
    ]
    assert answered[1] > answered[0] + 10


def test_retries_end_with_the_answer():
    flow = {"response_pdu_bytes": 21}
    plain = make_chain(flow=flow)
    with_retries = make_chain(flow=flow | {"retries": Retries(count=5, after_s=1.0)})
    assert run(with_retries).transmissions == run(plain).transmissions


def test_publication_is_repeated_as_often_as_it_says():
    plain, repeated = (
        make_chain(),
        make_chain(flow={"publish_retransmit": PublishRetransmit(count=2, interval_steps=1)}),
    )
    assert run(repeated).transmissions == 3 * run(plain).transmissions


def test_repetition_of_a_publication_saves_messages():
    bad = make_chain(length=3, delivery=0.3, flow={"count": 100})
    repeated = make_chain(
        length=3,
        delivery=0.3,
        flow={"count": 100, "publish_retransmit": PublishRetransmit(count=3, interval_steps=3)},
    )
    assert set(reached(run(bad))) < set(reached(run(repeated)))


def test_flow_with_relays_of_its_own_is_relayed_by_no_other():
    assert reached(run(make_chain(flow={"relays": frozenset({2, 3})}))) == list(range(10))
    result = run(make_chain(flow={"relays": frozenset({2}), "members": (2, 3, 4)}))
    assert {a.member for m in result.messages for a in m.arrivals} == {2, 3}


def test_full_replay_list_makes_a_node_deaf_to_new_sources_only():
    scenario = make_chain(length=2, flow={"members": (2,)})
    third = make_node(3, relay=False)
    scenario = replace(
        scenario,
        nodes=(scenario.nodes[0], make_node(2, replay_list_size=1), third),
        links=(*scenario.links, ScenarioLink(source=3, target=2, delivery=1.0)),
        flows=(scenario.flows[0], replace(scenario.flows[0], name="g", source=3, start_s=100.0)),
    )
    result = run(scenario)
    assert reached(result) == list(range(10))
    assert reached(result, "g") == []
    assert result.losses[LossCause.REPLAY_LIST] == 10


def test_node_with_a_full_replay_list_still_relays():
    scenario = make_chain(length=3, flow={"members": (2, 3)})
    nodes = tuple(replace(n, replay_list_size=2, replay_list_used=1) if n.address == 2 else n for n in scenario.nodes)
    flows = (scenario.flows[0], replace(scenario.flows[0], name="g", source=3, members=(1, 2), start_s=100.0))
    result = run(replace(scenario, nodes=nodes, flows=flows))
    arrived = {a.member for m in result.messages if m.flow == "g" for a in m.arrivals}
    assert arrived == {1}


def test_bursts_of_another_technology_cost_what_their_share_says():
    quiet = make_chain(length=2, node={"network_transmit": ONCE}, flow={"count": 1500, "period_s": 1.0})
    bursts = ExternalInterference(busy_ratio=0.4, burst_s=0.001)
    loud = replace(quiet, interference=(bursts,))
    result = run(loud)
    lost = result.losses[LossCause.INTERFERENCE]
    judged = lost + len(reached(result))
    # quiet at the start, and no burst begins during 304 us
    survival = 0.6 ** (1.0 + 0.304)
    assert lost / judged == pytest.approx(1.0 - survival, abs=0.05)


def test_bursts_on_one_channel_spare_the_others():
    scenario = make_chain(length=2, node={"network_transmit": ONCE}, flow={"count": 600, "period_s": 1.0})
    one = replace(scenario, interference=(ExternalInterference(busy_ratio=0.999, channel=0),))
    share = len(reached(run(one))) / 600
    assert 0.6 < share < 0.72  # the receiver is on that channel a third of the time


def test_interference_keeps_its_hours():
    hours = ExternalInterference(busy_ratio=0.999, from_s=8 * 3600.0, until_s=9 * 3600.0)
    scenario = make_chain(interference=(hours,))
    assert reached(run(scenario)) == list(range(10))
    assert reached(run(replace(scenario, start_of_day_s=8 * 3600.0))) == []
    night = replace(hours, from_s=22 * 3600.0, until_s=6 * 3600.0)
    assert reached(run(replace(scenario, interference=(night,), start_of_day_s=23 * 3600.0))) == []
    assert reached(run(replace(scenario, interference=(night,), start_of_day_s=12 * 3600.0))) == list(range(10))


def test_interference_at_one_node_spares_the_others():
    there = ExternalInterference(busy_ratio=0.999, nodes=(3,))
    result = run(make_chain(flow={"members": (2, 3, 4)}, interference=(there,)))
    assert {a.member for m in result.messages for a in m.arrivals} == {2}


def test_relay_that_loses_power_ends_floods_until_it_is_back():
    off, on = NodeChange(at_s=12.0, node=2, is_on=False), NodeChange(at_s=24.0, node=2, is_on=True)
    scenario = make_chain(flow={"spread_in_period": False}, changes=(off, on))
    assert reached(run(scenario)) == [0, 1, 2, 6, 7, 8, 9]


def test_source_without_power_sends_nothing_and_is_not_counted():
    scenario = make_chain(changes=(NodeChange(at_s=20.0, node=1, is_on=False),))
    assert len(run(scenario).messages) == 5


def test_node_that_is_off_at_first_can_be_switched_on():
    scenario = make_chain(changes=(NodeChange(at_s=20.0, node=2, is_on=True),)).without_node(2)
    assert reached(run(scenario)) == [5, 6, 7, 8, 9]


def test_power_lost_while_sending_loses_the_remaining_copies():
    scenario = make_chain(
        flow={"count": 1, "spread_in_period": False}, changes=(NodeChange(at_s=0.03, node=1, is_on=False),)
    )
    result = run(scenario)
    assert result.losses[LossCause.SWITCHED_OFF] >= 1


def test_moved_node_has_the_links_of_its_new_place():
    moved = NodeChange(at_s=20.0, node=4, links=(ScenarioLink(source=1, target=4, delivery=1.0),))
    arrivals = [m.arrivals[0].hops for m in run(make_chain(changes=(moved,))).messages]
    assert arrivals == [3] * 5 + [1] * 5


def test_low_power_node_gets_its_messages_when_it_asks_for_them():
    result = run(add_low_power(make_chain(length=3), friend=3))
    assert len(reached(result)) == 10
    assert 300.0 < mean_latency_ms(result) < 2200.0  # half a poll interval of 2 s in the mean
    assert all(a.hops == 3 for m in result.messages for a in m.arrivals)


def test_low_power_node_hears_its_friend_alone():
    scenario = add_low_power(make_chain(length=3), friend=3)
    others = tuple(ScenarioLink(source=a, target=99, delivery=1.0) for a in (1, 2))
    no_friend = tuple(link for link in scenario.links if (link.source, link.target) != (3, 99))
    assert reached(run(replace(scenario, links=(*no_friend, *others)))) == []


def test_poll_that_is_not_answered_is_repeated():
    sure = add_low_power(make_chain(length=2), friend=2, delivery=0.5, poll_retries=3)
    hasty = add_low_power(make_chain(length=2), friend=2, delivery=0.5, poll_retries=0)
    late = [m.number for m in run(hasty).messages if not m.arrivals or m.arrivals[0].latency_ns > 2.2e9]
    late_in_spite = [m.number for m in run(sure).messages if not m.arrivals or m.arrivals[0].latency_ns > 2.2e9]
    assert len(late_in_spite) <= len(late)


def test_friend_with_a_short_queue_loses_the_oldest_messages():
    scenario = add_low_power(make_chain(length=2), friend=2, poll_interval_s=30.0)
    nodes = tuple(replace(n, friend_queue_size=2) if n.address == 2 else n for n in scenario.nodes)
    result = run(replace(scenario, nodes=nodes))
    assert result.losses[LossCause.FRIEND_QUEUE] > 0
    assert len(reached(result)) + result.losses[LossCause.FRIEND_QUEUE] == 10


def test_friend_that_loses_power_loses_what_it_stored():
    scenario = add_low_power(make_chain(length=2), friend=2, poll_interval_s=40.0)
    off, on = NodeChange(at_s=30.0, node=2, is_on=False), NodeChange(at_s=30.5, node=2, is_on=True)
    result = run(replace(scenario, changes=(off, on)))
    lost = result.losses[LossCause.SWITCHED_OFF]
    assert lost > 0
    assert len(reached(result)) == 10 - lost


def test_low_power_node_sends_at_once_and_gets_its_answer_later():
    scenario = add_low_power(make_chain(length=3), friend=3)
    flow = replace(scenario.flows[0], source=99, members=(1,), response_pdu_bytes=21)
    (arrivals,) = zip(*(m.arrivals for m in run(replace(scenario, flows=(flow,))).messages), strict=True)
    assert all(a.latency_ns < 200e6 for a in arrivals)
    assert all(a.round_trip_ns is not None for a in arrivals)
    assert max(a.round_trip_ns for a in arrivals) > 300e6


def test_polling_has_a_price_in_airtime():
    scenario = make_chain(length=2)
    sleepy = add_low_power(scenario, friend=2)
    idle = replace(sleepy, flows=(replace(scenario.flows[0], count=1, period_s=40.0),))
    assert run(idle).airtime_ratio > run(replace(scenario, flows=idle.flows)).airtime_ratio


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_a_feature_that_does_nothing_changes_no_figure(profile):
    """Long replay lists, a burst share of 0, a relay set of all nodes: the very same messages."""
    plain = make_chain(delivery=0.7, profile=get_profile(profile), flow={"response_pdu_bytes": 21})
    idle = make_chain(
        delivery=0.7,
        profile=get_profile(profile),
        node={"replay_list_size": 100},
        flow={"response_pdu_bytes": 21, "relays": frozenset({1, 2, 3, 4})},
        interference=(ExternalInterference(busy_ratio=0.0),),
        changes=(NodeChange(at_s=1.0, node=2, is_on=True),),
    )
    assert run(idle).messages == run(plain).messages


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"flow": {"relays": frozenset({2, 77})}}, "unknown node 004d"),
        ({"flow": {"retries": Retries(count=1, after_s=1.0)}}, "without a response"),
        ({"flow": {"ttl": 200}}, "outside 0..127"),
        ({"flow": {"period_s": float("nan")}}, "not a finite number"),
        ({"flow": {"start_s": float("inf")}}, "not a finite number"),
        ({"flow": {"pdu_bytes": 30}}, "segment the message"),
        ({"node": {"ttl": 1}}, "initial ttl 1 is not sent by stack zephyr"),
        ({"changes": (NodeChange(at_s=1.0, node=50, is_on=False),)}, "unknown node 0032"),
        ({"interference": (ExternalInterference(busy_ratio=0.1, nodes=(9,)),)}, "unknown node 0009"),
        ({"duration_s": -1.0}, "not positive"),
        ({"start_of_day_s": 90_000.0}, "outside 0..86400"),
        ({"background": (ScenarioBackground(name="b", sources=(5,), rate_per_s=1.0),)}, "unknown node 0005"),
    ],
)
def test_impossible_scenario_is_refused_before_it_runs(changes, told):
    with pytest.raises(InvalidInput, match=told):
        make_chain(**changes)


def test_initial_ttl_of_one_is_refused_where_the_stack_never_sends_it():
    scenario = replace(make_chain(), profile=get_profile("nrf5-sdk"))
    scenario = replace(scenario, flows=(replace(scenario.flows[0], ttl=1),))
    assert reached(run(scenario)) == []  # it is sent, and nobody may relay it
    for name in ("bluez", "zephyr", "zephyr-delayable"):
        with pytest.raises(InvalidInput, match="0 reaches the neighbours") as caught:
            replace(scenario, profile=get_profile(name))
        assert (caught.value.reason, caught.value.place) == ("ForbiddenTtl", "chain.flows.f")


@pytest.mark.parametrize("name", ["zephyr", "nrf5-sdk", "bluez", "emulated"])
def test_default_ttl_of_one_is_refused_by_every_stack_that_was_looked_at(name):
    scenario = replace(make_chain(), profile=get_profile(name))
    with pytest.raises(InvalidInput, match="initial ttl 1 is not sent"):
        replace(scenario, nodes=(replace(scenario.nodes[0], ttl=1), *scenario.nodes[1:]))


def test_list_that_is_full_before_the_run_is_refused():
    with pytest.raises(InvalidInput, match="full before the run") as caught:
        make_node(1, replay_list_size=4, replay_list_used=4)
    assert caught.value.reason == "FullReplayList"


def test_low_power_nodes_that_cannot_be_are_refused():
    scenario = add_low_power(make_chain(length=3), friend=3)
    sleeper = scenario.nodes[-1]
    for changes, told in (
        ({"relay": True}, "does not relay"),
        ({"low_power": LowPower(friend=99, poll_interval_s=2.0)}, "low-power node, too"),
        ({"low_power": LowPower(friend=50, poll_interval_s=2.0)}, "unknown node"),
    ):
        with pytest.raises(InvalidInput, match=told):
            replace(scenario, nodes=(*scenario.nodes[:-1], replace(sleeper, **changes)))
    with pytest.raises(InvalidInput, match="not modelled"):
        replace(scenario, flows=(replace(scenario.flows[0], segmentation=Segmentation(access_bytes=50)),))
    with pytest.raises(InvalidInput, match="retries must fit in"):
        LowPower(friend=3, poll_interval_s=0.5)


def test_where_copies_take_turns_two_messages_share_the_advertiser_fairly():
    profile = replace(get_profile("bluez"), jitter_ns=0)
    first = replace(make_chain(length=2).flows[0], spread_in_period=False, count=1)
    scenario = make_chain(length=2, profile=profile, is_traced=True, node={"relay": False})
    result = run(replace(scenario, flows=(first, replace(first, name="g"))))
    sent = [r for r in result.records if r.kind is RecordKind.TRANSMITTED]
    assert [r.detail for r in sent] == [0, 0, 1, 1, 2, 2]
    assert all(b.time_ns - a.time_ns == 20_000_000 for a, b in pairwise(sent))


def test_what_waited_for_the_advertiser_is_not_delayed_once_more():
    first = replace(make_chain(length=2).flows[0], spread_in_period=False, count=1)
    scenario = make_chain(
        length=2, profile=get_profile("nrf5-sdk"), is_traced=True, node={"relay": False, "network_transmit": ONCE}
    )
    result = run(replace(scenario, flows=(first, replace(first, name="g"))))
    one, two = (r.time_ns for r in result.records if r.kind is RecordKind.TRANSMITTED)
    assert 20_000_000 <= one < 30_000_000
    assert 20_000_000 <= two - one < 30_000_000


@st.composite
def mixtures(draw):
    """Small networks that use many features at once."""
    length = draw(st.integers(2, 5))
    scenario = make_chain(
        length=length,
        delivery=draw(st.sampled_from([0.3, 0.7, 1.0])),
        profile=get_profile(draw(st.sampled_from(sorted(PROFILES)))),
        capture=draw(st.booleans()),
        node={"replay_list_size": draw(st.sampled_from([None, 1, 5])), "friend_queue_size": draw(st.integers(1, 3))},
        flow={
            "count": 4,
            "period_s": draw(st.sampled_from([0.05, 1.0])),
            "members": tuple(range(2, length + 1)) if draw(st.booleans()) else (length,),
            "segmentation": draw(st.sampled_from([None, Segmentation(access_bytes=11), Segmentation(access_bytes=30)])),
            "response_pdu_bytes": 21,
            "publish_retransmit": draw(st.sampled_from([None, PublishRetransmit(count=2, interval_steps=0)])),
            "retries": draw(st.sampled_from([None, Retries(count=2, after_s=0.3)])),
            "relays": draw(st.sampled_from([None, frozenset({2})])),
        },
        interference=draw(st.sampled_from([(), (ExternalInterference(busy_ratio=0.3, channel=1),)])),
        duration_s=draw(st.sampled_from([None, 2.0])),
        is_traced=True,
    )
    sizes = scenario.flows[0].segmentation
    if draw(st.booleans()) and (sizes is None or len(sizes.segment_pdu_bytes) == 1):
        scenario = add_low_power(scenario, friend=length, poll_interval_s=2.0)
    switched = draw(st.integers(1, length))
    off, on = NodeChange(at_s=0.1, node=switched, is_on=False), NodeChange(at_s=1.1, node=switched, is_on=True)
    return replace(scenario, changes=draw(st.sampled_from([(), (off,), (off, on)])))


@given(scenario=mixtures(), seed=st.integers(0, 1000))
@settings(max_examples=60, deadline=None)
def test_whatever_is_mixed_a_run_ends_and_repeats_itself(scenario, seed):
    result = run(scenario, seed)
    assert result == run(scenario, seed)
    for message in result.messages:
        assert len({a.member for a in message.arrivals}) == len(message.arrivals) <= message.member_count
        assert all(a.latency_ns > 0 and (a.round_trip_ns or a.latency_ns) >= a.latency_ns for a in message.arrivals)
