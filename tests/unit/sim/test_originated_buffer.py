"""A node's own messages wait in a buffer with a bound, as its stack has it; what finds it full fails."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.compiled import run_compiled
from meshtwin.sim.elements.segmentation import segment_retry_ns
from meshtwin.sim.elements.transmit_queue import Job, TransmitQueue
from meshtwin.sim.packets import LossCause, RecordKind
from meshtwin.sim.profiles import PROFILES, SegmentationTiming, StackProfile, get_profile
from meshtwin.sim.reference import run_reference
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import Segmentation

SOURCE, MEMBER = UnicastAddress(1), UnicastAddress(2)
THRICE = Transmit(count=2, interval_steps=1)


def build_pair(profile, **flow):
    """A source with a perfect link to the one member."""
    asked = {"count": 30, "period_s": 0.001} | flow
    return Scenario(
        name="pair",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=4, network_transmit=THRICE, relay_retransmit=THRICE)
            for a in (SOURCE, MEMBER)
        ),
        links=(ScenarioLink(source=SOURCE, target=MEMBER, delivery=1.0),),
        flows=(ScenarioFlow(name="f", source=SOURCE, members=(MEMBER,), **asked),),
        profile=get_profile(profile),
        is_traced=True,
    )


def delivered(run):
    return [m.number for m in run.messages if m.arrivals]


@pytest.mark.parametrize("run", [run_reference, run_compiled])
def test_burst_of_a_zephyr_node_loses_all_but_its_six_buffers(run):
    """All 30 are asked for within 30 ms, in which the first one's three copies (some 50 ms) are not over."""
    result = run(build_pair("zephyr"), 1, 0)
    assert delivered(result) == [0, 1, 2, 3, 4, 5]
    assert result.losses[LossCause.BUFFER] == 24


@pytest.mark.parametrize(("profile", "most"), [("zephyr", 6), ("nrf5-sdk", 4), ("bmsim", 7), ("bluez", 30)])
def test_burst_fills_the_buffer_of_the_stack_and_the_set_that_sends(profile, most):
    result = run_compiled(build_pair(profile), 1, 0)
    assert len({r.message for r in result.records if r.kind is RecordKind.TRANSMITTED}) == most
    assert result.losses[LossCause.BUFFER] == 30 - most


@pytest.mark.parametrize("run", [run_reference, run_compiled])
@pytest.mark.parametrize("interval_ns", [0, 60_000_000])
def test_segments_that_find_no_buffer_are_tried_again(run, interval_ns):
    """A segmented message of nine PDUs through a buffer of one; segments are never lost for want of a place."""
    scenario = build_pair("zephyr", count=1, segmentation=Segmentation(access_bytes=100))
    timing = replace(scenario.profile.segmentation, segment_interval_ns=interval_ns)
    profile = replace(scenario.profile, originated_buffer=1, segmentation=timing)
    result = run(replace(scenario, profile=profile), 1, 0)
    assert delivered(result) == [0]
    assert result.losses[LossCause.BUFFER] == 0


def test_segment_is_tried_again_after_a_segment_interval_or_else_a_transmit_interval():
    assert segment_retry_ns(SegmentationTiming(segment_interval_ns=60_000_000), THRICE) == 60_000_000
    assert segment_retry_ns(SegmentationTiming(segment_interval_ns=0), THRICE) == 20_000_000


@given(asked=st.lists(st.booleans(), max_size=60), bound=st.integers(1, 5), sets=st.integers(0, 2))
def test_own_messages_that_wait_are_never_more_than_the_bound(asked, bound, sets):
    """True: asked to send one; False: the set that sends is done."""
    profile = replace(get_profile("zephyr"), originated_buffer=bound, originated_sets=sets)
    queue, waiting, sending = TransmitQueue(profile), 0, []
    for is_send in asked:
        if is_send:
            job = Job(None, 3, 1, THRICE, True, 0)
            assert queue.refuses_own == (waiting == bound)
            waiting += queue.put(job)
        elif sending:
            queue.release(sending.pop(0))
        while (taken := queue.take()) is not None:
            sending.append(taken)
            waiting -= 1
        assert 0 <= waiting <= bound


def test_own_messages_leave_room_for_relayed_ones_and_the_other_way_round():
    queue = TransmitQueue(replace(get_profile("zephyr"), originated_buffer=1, relay_buffer=1))
    own, relayed = Job(None, 3, 1, THRICE, True, 0), Job(None, 3, 1, THRICE, False, 0)
    assert [queue.put(job) for job in (own, own, relayed, relayed)] == [True, False, True, False]


def test_buffer_without_a_place_is_refused():
    with pytest.raises(InvalidInput, match="originated_buffer 0 is less than 1"):
        StackProfile(name="x", source="", processing_ns=0, jitter_ns=0, originated_buffer=0)


def test_every_profile_but_the_one_with_an_endless_list_bounds_what_a_node_originates():
    unbounded = {n for n, p in PROFILES.items() if not p.one_queue and p.originated_buffer is None}
    assert unbounded == set()
    assert PROFILES["bluez"].one_queue  # bounded by its relay buffer alone, which stands for none
