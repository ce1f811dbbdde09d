"""When an advertising set sends, by values: times in milliseconds, chance as a number in [0, 1)."""

from dataclasses import replace

import pytest
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.elements.advertiser import (
    compute_first_delay_ns,
    compute_repeat_ns,
    copies_of_turn,
    counts_delay_from_ns,
    left_after,
    set_is_free_ns,
)
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.profiles.stack_profile import StackProfile

MS = 1_000_000
PROFILE = StackProfile(
    name="x",
    source="",
    processing_ns=2 * MS,
    jitter_ns=10 * MS,
    originated_extra_ns=3 * MS,
    originated_jitter_ns=20 * MS,
    advertising_delay_ns=10 * MS,
)
PACKET = make_packet(initial_ttl=5, member_indices=frozenset())


def make_job(*, asked_ns=0, copies_sent=0, sends=3):
    return Job(PACKET, 5, 1, Transmit(count=sends - 1, interval_steps=1), False, asked_ns, copies_sent)


def first_delay_ms(profile, *, is_originated, jitter=0.5, further=0.25):
    delay_ns = compute_first_delay_ns(
        profile, is_originated=is_originated, interval_ns=20 * MS, jitter=jitter, further=further
    )
    return delay_ns / MS


def test_relayed_pdu_waits_processing_and_jitter():
    assert first_delay_ms(PROFILE, is_originated=False) == 2 + 5


def test_own_pdu_waits_a_second_delay_of_its_own():
    assert first_delay_ms(PROFILE, is_originated=True) == 2 + 5 + 3 + 5


def test_first_send_after_an_interval_waits_it_whole():
    assert first_delay_ms(replace(PROFILE, first_send_after_interval=True), is_originated=False) == 2 + 5 + 20


def test_delay_of_own_messages_takes_the_place_of_all_others():
    profile = replace(PROFILE, own_delay_ns=(MS, 4 * MS), first_send_after_interval=True)
    assert first_delay_ms(profile, is_originated=True) == 1 + 2
    assert first_delay_ms(profile, is_originated=False) == 2 + 5 + 20


@pytest.mark.parametrize(
    ("changes", "job", "from_ms"),
    [
        ({}, {}, 3),  # since it was asked for, although it waited until 8
        ({"hands_over": True}, {}, 8),  # since it has its set
        ({"delay_when_idle_only": True}, {}, None),
        ({"delay_when_idle_only": True}, {"asked_ns": 8 * MS}, 8),  # the set was idle
        ({"queue_after_delay": True}, {}, None),  # passed before it was queued
        ({}, {"copies_sent": 1}, None),  # the second turn of a PDU
    ],
)
def test_first_delay_counts_from(changes, job, from_ms):
    asked = make_job(**{"asked_ns": 3 * MS, **job})
    expected_ns = None if from_ms is None else from_ms * MS
    assert counts_delay_from_ns(replace(PROFILE, **changes), asked, 8 * MS) == expected_ns


def test_set_sends_all_copies_that_are_left_and_nothing_waits_for_another_turn():
    job = make_job(copies_sent=1)
    copies = copies_of_turn(PROFILE, job)
    assert list(copies) == [1, 2]
    assert left_after(job, copies) is None


def test_where_copies_take_turns_a_set_sends_one_and_the_rest_waits():
    profile, job = replace(PROFILE, copies_take_turns=True), make_job()
    turns = []
    while job is not None:
        copies = copies_of_turn(profile, job)
        turns.append(list(copies))
        job = left_after(job, copies)
    assert turns == [[0], [1], [2]]


def test_next_copy_follows_an_interval_and_a_share_of_the_advertising_delay():
    assert compute_repeat_ns(PROFILE, 20 * MS, 0.75) == 27.5 * MS


def test_set_is_free_at_the_end_of_its_event_unless_it_rests_until_the_next_copy_would_begin():
    assert set_is_free_ns(PROFILE, 5 * MS, 30 * MS) == 5 * MS
    assert set_is_free_ns(replace(PROFILE, rests_after_last=True), 5 * MS, 30 * MS) == 30 * MS
    assert set_is_free_ns(replace(PROFILE, rests_after_last=True), 35 * MS, 30 * MS) == 35 * MS
