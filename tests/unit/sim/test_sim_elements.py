from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.elements.bearer import Pdu, plan_event
from meshtwin.sim.elements.message_cache import MessageCache
from meshtwin.sim.elements.relay import decide_relay
from meshtwin.sim.elements.scanner import NOT_LISTENING, Scanner, listens_to
from meshtwin.sim.elements.transmit_queue import Job, TransmitQueue
from meshtwin.sim.packets import LossCause
from meshtwin.sim.profiles import PROFILES, get_profile
from meshtwin.sim.profiles.stack_profile import StackProfile

MS = 1_000_000


def make_job(*, is_originated=False):
    packet = make_packet(initial_ttl=5, member_indices=frozenset())
    return Job(packet, 5, 1, Transmit(count=0, interval_steps=1), is_originated, 0)


def test_message_with_ttl_one_is_not_relayed():
    assert decide_relay(is_relay=True, received_ttl=1) is LossCause.TTL


def test_message_with_ttl_two_is_relayed_with_ttl_one():
    assert decide_relay(is_relay=True, received_ttl=2) == 1


def test_node_without_relay_feature_does_not_relay():
    assert decide_relay(is_relay=False, received_ttl=100) is None


def test_full_cache_forgets_the_oldest_message():
    cache = MessageCache(2)
    assert [cache.add((k, 0)) for k in (1, 2, 2, 3, 1)] == [True, True, False, True, True]


def test_scanner_turns_through_the_channels_and_rests_between_window_and_interval():
    profile = StackProfile(
        name="x", source="", processing_ns=0, jitter_ns=0, scan_interval_ns=10 * MS, scan_window_ns=8 * MS
    )
    scanner = Scanner(profile, phase=0.0, first_channel=1)
    assert [scanner.channel_at(t * MS) for t in (0, 7, 8, 10, 20, 30)] == [1, 1, NOT_LISTENING, 2, 0, 1]


def test_scanner_restarts_with_a_fresh_window_on_the_channels_of_the_event_in_its_order():
    scanner = Scanner(get_profile("mathworks"), phase=0.0, first_channel=0)
    scanner.restart(45 * MS, [Pdu(2, 0, 1), Pdu(0, 2, 3), Pdu(1, 4, 5)])
    assert [scanner.channel_at(t * MS) for t in (45, 75, 105, 135)] == [2, 0, 1, 2]
    assert scanner.window_end(46 * MS) == 75 * MS


def test_pdu_that_the_window_cuts_is_heard_where_a_sample_of_it_is_left():
    """Windows of 30 ms, samples every 0.2 ms."""
    scanner = Scanner(get_profile("bmsim"), phase=0.0, first_channel=0)
    begun = Pdu(0, 29_700_000, 30_004_000)  # sampled at 29.8 ms, on its channel, and at 30 ms, on the next one
    assert listens_to(scanner, begun, 200_000)
    assert not listens_to(scanner, begun, 0)
    assert not listens_to(scanner, Pdu(0, 29_900_000, 30_204_000), 200_000)
    assert listens_to(scanner, Pdu(1, 29_900_000, 30_204_000), 200_000)


def test_message_is_not_relayed_by_its_unicast_destination():
    assert decide_relay(is_relay=True, received_ttl=5, is_destination=True) is None


@given(key=st.integers(0, 2**64 - 1))
def test_pdus_of_the_mathworks_event_are_one_to_eight_milliseconds_apart_and_the_event_lasts_whole_ones(key):
    event = plan_event(get_profile("mathworks"), 0, 272_000, key)
    first, second, third = (pdu.start_ns for pdu in event.pdus)
    assert 1 * MS <= first <= 7 * MS
    assert 1 * MS <= second - first <= 8 * MS
    assert 1 * MS <= third - second <= 8 * MS
    assert third <= 20 * MS
    assert event.end_ns % MS == 0
    assert 20 * MS <= event.end_ns <= 30 * MS


@pytest.mark.parametrize("name", sorted(PROFILES))
@given(key=st.integers(0, 2**64 - 1), start_ns=st.integers(0, 10**12))
def test_the_three_pdus_of_an_event_use_each_channel_once_and_never_overlap(name, key, start_ns):
    event = plan_event(get_profile(name), start_ns, 376_000, key)
    assert sorted(p.channel for p in event.pdus) == [0, 1, 2]
    assert event.start_ns <= event.pdus[0].start_ns
    assert event.pdus[-1].end_ns <= event.end_ns
    assert all(a.end_ns <= b.start_ns for a, b in zip(event.pdus, event.pdus[1:], strict=False))


def test_relay_buffer_drops_what_does_not_fit():
    profile = StackProfile(name="x", source="", processing_ns=0, jitter_ns=0, relay_buffer=1, relay_sets=1)
    queue = TransmitQueue(profile)
    assert [queue.put(make_job()) for _ in range(2)] == [True, False]


def test_one_queue_sends_in_the_order_of_arrival_and_bounds_own_messages_too():
    queue = TransmitQueue(replace(get_profile("emulated"), relay_buffer=2))
    own, relayed = make_job(is_originated=True), make_job()
    assert [queue.put(job) for job in (own, relayed, make_job(is_originated=True))] == [True, True, False]
    assert queue.take() is own
    assert queue.take() is None
    queue.release(own)
    assert queue.take() is relayed


def test_place_of_what_is_being_sent_stays_taken_in_one_queue():
    queue = TransmitQueue(replace(get_profile("emulated"), relay_buffer=1))
    job = make_job()
    queue.put(job)
    queue.take()
    assert not queue.put(make_job())
    queue.release(job)
    assert queue.put(make_job())


def test_shared_set_sends_relayed_before_originated():
    queue = TransmitQueue(get_profile("mathworks"))
    queue.put(make_job(is_originated=True))
    queue.put(make_job())
    first = queue.take()
    assert first is not None
    assert not first.is_originated
    assert queue.take() is None
    queue.release(first)
    second = queue.take()
    assert second is not None
    assert second.is_originated
