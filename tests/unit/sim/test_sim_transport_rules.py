"""Rules of transport and friendship: segments, acknowledgments, replay protection, stored messages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sim.packets import make_packet

from meshtwin.errors import InvalidInput
from meshtwin.sim.elements.friendship import FriendQueue, ReceiveWindow
from meshtwin.sim.elements.replay_list import ReplayList
from meshtwin.sim.elements.scanner import NOT_LISTENING
from meshtwin.sim.elements.segmentation import SegmentedReception, SegmentedSending
from meshtwin.sim.profiles import SegmentationTiming, get_profile
from meshtwin.sim.scenario_features import Segmentation

MS = 1_000_000
TIMING = SegmentationTiming()


@given(access_bytes=st.integers(1, 376), mic_bytes=st.sampled_from([4, 8]))
def test_segments_carry_the_whole_message_and_fit_the_advertising_bearer(access_bytes, mic_bytes):
    sizes = Segmentation(access_bytes=access_bytes, mic_bytes=mic_bytes).segment_pdu_bytes
    header = 17 if len(sizes) > 1 or mic_bytes == 8 else 14
    assert sum(size - header for size in sizes) == access_bytes + mic_bytes
    assert all(size <= 29 for size in sizes)
    assert len(sizes) <= 32


def test_message_of_eleven_bytes_is_the_longest_that_needs_no_segments():
    assert len(Segmentation(access_bytes=11).segment_pdu_bytes) == 1
    assert len(Segmentation(access_bytes=12).segment_pdu_bytes) == 2


@pytest.mark.parametrize(("access_bytes", "mic_bytes"), [(381, 4), (377, 8), (0, 4), (20, 5)])
def test_message_that_no_segments_can_carry_is_refused(access_bytes, mic_bytes):
    with pytest.raises(InvalidInput):
        Segmentation(access_bytes=access_bytes, mic_bytes=mic_bytes)


def test_sender_repeats_only_what_is_not_acknowledged():
    sending = SegmentedSending(TIMING, count=4, ttl=3, is_acknowledged=True)
    assert sending.missing() == (0, 1, 2, 3)
    sending.acknowledge(0b0101)
    assert sending.missing() == (1, 3)
    sending.acknowledge(0b1010)
    assert sending.is_complete
    assert sending.retransmission_ns() is None


def test_retransmission_waits_200_ms_and_50_ms_for_each_hop_above_one():
    sending = SegmentedSending(TIMING, count=2, ttl=5, is_acknowledged=True)
    assert sending.retransmission_ns() == 400 * MS


def test_sender_gives_up_after_its_retransmissions():
    sending = SegmentedSending(TIMING, count=2, ttl=0, is_acknowledged=True)
    waits = [sending.retransmission_ns() for _ in range(4)]
    assert waits == [200 * MS, 200 * MS, None, None]


def test_progress_renews_the_count_of_futile_retransmissions_within_the_count_of_all():
    timing = SegmentationTiming(retransmissions=3, retransmissions_without_progress=1)
    sending = SegmentedSending(timing, count=4, ttl=1, is_acknowledged=True)
    assert sending.retransmission_ns() is not None
    assert sending.retransmission_ns() is None
    sending.acknowledge(0b1)
    assert sending.retransmission_ns() is not None


def test_segments_to_a_group_are_repeated_blindly():
    sending = SegmentedSending(TIMING, count=2, ttl=5, is_acknowledged=False)
    assert [sending.retransmission_ns() for _ in range(3)] == [250 * MS, 250 * MS, None]


def test_receiver_acknowledges_at_once_when_it_has_all_and_later_what_it_has():
    reception = SegmentedReception(TIMING, 4)
    assert not reception.take(0, 100)
    assert reception.acknowledges_at_ns == 100 + 150 * MS  # 2.5 segments of 60 ms
    assert not reception.take(2, 200)
    assert not reception.take(1, 300)
    assert reception.take(3, 400)
    assert reception.acknowledges_at_ns == 400


def test_segments_that_come_again_complete_nothing_twice():
    reception = SegmentedReception(TIMING, 2)
    assert [reception.take(number, 0) for number in (0, 0, 1, 0, 1)] == [False, False, True, False, False]


def test_reception_that_waited_too_long_begins_anew():
    reception = SegmentedReception(TIMING, 2)
    reception.take(0, 0)
    assert not reception.take(1, 10_001 * MS)
    assert reception.segments == 0b10


def test_replay_list_takes_newer_messages_of_known_sources_only_once_it_is_full():
    replay = ReplayList(2, used=1)
    assert replay.admit(7, 1, is_segment=False)
    assert not replay.admit(8, 1, is_segment=False)
    assert replay.admit(7, 2, is_segment=False)
    assert not replay.admit(7, 2, is_segment=False)
    assert not replay.admit(7, 1, is_segment=False)


def test_segments_of_one_message_share_a_sequence_number():
    replay = ReplayList(1)
    assert all(replay.admit(7, 5, is_segment=True) for _ in range(3))
    assert not replay.admit(7, 4, is_segment=True)


def test_friend_queue_discards_the_oldest():
    queue = FriendQueue(2)
    first, second, third = (make_packet(key) for key in (1, 2, 3))
    assert [queue.store(packet, 5, 1) for packet in (first, second, third)] == [None, None, first]
    assert queue.answer(is_next=True) == (second, 1)


def test_friend_stores_nothing_whose_ttl_has_run_out():
    queue = FriendQueue(2)
    packet = make_packet()
    assert queue.store(packet, 1, 3) is packet
    assert queue.answer(is_next=True) is None
    assert queue.store(packet, 0, 0) is None  # the friend's own message


def test_friend_repeats_a_delivery_until_the_next_one_is_asked_for():
    queue = FriendQueue(4)
    first, second = make_packet(1), make_packet(2)
    queue.store(first, 5, 1)
    queue.store(second, 5, 1)
    answers = [queue.answer(is_next=is_next) for is_next in (True, False, True, True, True)]
    assert answers == [(first, 1), (first, 1), (second, 1), None, None]


def test_receive_window_listens_to_the_channels_in_turn_and_to_nothing_outside():
    window = ReceiveWindow(get_profile("zephyr"))
    assert window.channel_at(0) == NOT_LISTENING
    window.open(10 * MS, 110 * MS)
    assert [window.channel_at(t * MS) for t in (9, 10, 40, 70, 100, 110)] == [NOT_LISTENING, 0, 1, 2, 0, NOT_LISTENING]
    window.close(50 * MS)
    assert window.channel_at(60 * MS) == NOT_LISTENING
