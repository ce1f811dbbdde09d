"""Repeats of a message, the PDUs it is made of, and what both ends of a friendship remember, by values."""

from dataclasses import replace

import pytest
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.air import build_nodes
from meshtwin.sim.elements.friendship import Friendship, ReceiveWindow
from meshtwin.sim.elements.repeating import Repeat, is_still_wanted, plan_repeats
from meshtwin.sim.elements.scanner import NOT_LISTENING
from meshtwin.sim.elements.segmentation import SegmentedReception
from meshtwin.sim.packets import Instructions, Part, PartKind
from meshtwin.sim.parts import ONCE, make_part, transmit_of
from meshtwin.sim.profiles import SegmentationTiming, get_profile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import LowPower, PublishRetransmit, Retries, Segmentation
from meshtwin.sim.traffic import is_plain_flow, network_pdu_bytes, places_of_senders

MS = 1_000_000
THRICE = Transmit(count=2, interval_steps=1)
ASKER, ANSWERER = UnicastAddress(1), UnicastAddress(2)
FLOW = ScenarioFlow(
    name="asked", source=ASKER, members=(ANSWERER,), count=1, period_s=1.0, pdu_bytes=21, response_pdu_bytes=20
)
TWO_REPETITIONS = PublishRetransmit(count=2, interval_steps=0)
TWO_RETRIES = Retries(count=2, after_s=0.3)


def make_scenario(*, flows=(FLOW,), changes=(), is_on=True):
    return Scenario(
        name="pair",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=7, network_transmit=THRICE, relay_retransmit=THRICE, is_on=is_on)
            for a in (ASKER, ANSWERER)
        ),
        links=(ScenarioLink(source=ASKER, target=ANSWERER, delivery=1.0),),
        flows=flows,
        changes=changes,
    )


def make_message(*, initial_ttl=4, members=frozenset({1})):
    asked = Instructions(is_traced=True, relays=frozenset({5}), response_pdu_bytes=20)
    return make_packet(flow_index=3, number=8, member_indices=members, initial_ttl=initial_ttl, instructions=asked)


def make_pdu(part, *, of=1):
    node = build_nodes(make_scenario(), root_key=1)[of]
    return make_part(node, part, pdu_bytes=24, airtime_ns=320_000, sequence=6, now_ns=9 * MS)


def test_repetitions_follow_each_other_and_retries_count_on_from_them():
    flow = replace(FLOW, publish_retransmit=TWO_REPETITIONS, retries=TWO_RETRIES)
    assert plan_repeats(flow) == (
        Repeat(50 * MS, PartKind.REPETITION, 1),
        Repeat(100 * MS, PartKind.REPETITION, 2),
        Repeat(300 * MS, PartKind.RETRY, 3),
        Repeat(600 * MS, PartKind.RETRY, 4),
    )
    assert plan_repeats(FLOW) == ()


def test_retry_is_not_wanted_when_all_members_have_answered_but_a_repetition_is():
    message = make_message(members=frozenset({1, 2}))
    message.monitoring.answered[1] = MS
    assert is_still_wanted(message, PartKind.RETRY)
    message.monitoring.answered[2] = MS
    assert not is_still_wanted(message, PartKind.RETRY)
    assert is_still_wanted(message, PartKind.REPETITION)


def test_flow_is_plain_if_each_message_is_one_pdu_sent_once():
    assert is_plain_flow(FLOW)
    assert not is_plain_flow(replace(FLOW, publish_retransmit=TWO_REPETITIONS))
    assert not is_plain_flow(replace(FLOW, retries=TWO_RETRIES))
    assert is_plain_flow(replace(FLOW, segmentation=Segmentation(access_bytes=11)))
    assert not is_plain_flow(replace(FLOW, segmentation=Segmentation(access_bytes=12)))
    assert network_pdu_bytes(FLOW) == (21,)


def test_flow_whose_source_is_off_sends_only_if_it_is_switched_on_meanwhile():
    on, off = (NodeChange(at_s=1.0, node=ASKER, is_on=is_on) for is_on in (True, False))
    silent = replace(FLOW, name="none", count=0)
    assert places_of_senders(make_scenario(flows=(silent, FLOW))) == [1]
    assert places_of_senders(make_scenario(is_on=False)) == []
    assert places_of_senders(make_scenario(is_on=False, changes=(off,))) == []
    assert places_of_senders(make_scenario(is_on=False, changes=(off, on))) == [0]


def test_part_shares_its_message_s_books_and_instructions_but_has_a_key_of_its_own():
    message = make_message()
    first, second = (make_pdu(Part(PartKind.SEGMENT, message, number), of=0) for number in (0, 1))
    assert first.monitoring is message.monitoring
    assert (first.properties.flow_index, first.properties.number, first.properties.sequence) == (3, 8, 6)
    assert (first.instructions.is_traced, first.instructions.relays) == (True, frozenset({5}))
    assert first.instructions.response_pdu_bytes is None  # the message is answered, not its parts
    assert len({first.properties.key, second.properties.key, message.properties.key}) == 3


@pytest.mark.parametrize(
    ("kind", "members", "only_to"),
    [
        (PartKind.SEGMENT, {1}, None),
        (PartKind.REPETITION, {1}, None),
        (PartKind.RETRY, {1}, None),
        (PartKind.ACKNOWLEDGMENT, {0}, None),
        (PartKind.POLL, {1}, 1),
        (PartKind.DELIVERY, {0}, 0),
    ],
)
def test_parts_go_to_members_or_back_to_the_source_and_those_of_a_friendship_to_one_alone(kind, members, only_to):
    pdu = make_pdu(Part(kind, make_message()))
    assert pdu.properties.member_indices == members
    assert pdu.instructions.only_to == only_to


@pytest.mark.parametrize(
    ("kind", "message_ttl", "ttl"),
    [
        (PartKind.SEGMENT, 4, 4),
        (PartKind.ACKNOWLEDGMENT, 4, 7),  # the default of who acknowledges
        (PartKind.ACKNOWLEDGMENT, 0, 0),
        (PartKind.DELIVERY, 0, 0),
    ],
)
def test_part_is_sent_with_the_ttl_of(kind, message_ttl, ttl):
    assert make_pdu(Part(kind, make_message(initial_ttl=message_ttl))).properties.initial_ttl == ttl


def test_poll_is_sent_once_and_other_parts_as_often_as_the_node_s_own_messages():
    node = build_nodes(make_scenario(), root_key=1)[0]
    assert transmit_of(node, Part(PartKind.POLL, make_message())) == ONCE
    assert transmit_of(node, Part(PartKind.DELIVERY, make_message())) == THRICE


def test_acknowledgment_goes_out_at_the_end_of_the_timer_that_runs_and_no_other():
    reception = SegmentedReception(SegmentationTiming(), 3)
    reception.take(0, 0)
    due_ns = reception.acknowledges_at_ns
    assert due_ns is not None
    assert not reception.end_timer(due_ns + 1)
    assert reception.end_timer(due_ns)
    assert not reception.end_timer(due_ns)
    assert reception.acknowledged_times == 1


def make_friendship():
    low_power = LowPower(friend=ASKER, poll_interval_s=10.0)
    window = ReceiveWindow(get_profile("zephyr"))
    return Friendship(low_power=low_power, low_power_index=1, friend_index=0, queue_size=2, window=window)


def test_window_of_an_unanswered_poll_ends_once_and_those_of_earlier_polls_do_not_count():
    friendship = make_friendship()
    friendship.begin_poll()
    friendship.begin_poll()
    assert not friendship.ends_unanswered(1)
    assert friendship.ends_unanswered(2)
    assert not friendship.ends_unanswered(2)


def test_delivery_ends_the_window_and_asks_for_the_next_message():
    friendship = make_friendship()
    friendship.begin_poll()
    friendship.window.open(0, 100 * MS)
    friendship.take_delivery(40 * MS)
    assert friendship.window.channel_at(39 * MS) != NOT_LISTENING
    assert friendship.window.channel_at(40 * MS) == NOT_LISTENING
    assert friendship.fsn == 1
    assert not friendship.ends_unanswered(1)
