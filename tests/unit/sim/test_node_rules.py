"""Rules of one node by values: whom a PDU concerns, what is refused or relayed, and what power means."""

from dataclasses import replace

import pytest
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.air import build_nodes, move_links
from meshtwin.sim.draws import draw_below_ns, extend_key
from meshtwin.sim.elements.access import RESPONSE_PART, response_delay_ns
from meshtwin.sim.elements.bearer import Advertisement
from meshtwin.sim.elements.relay import decide_relay_of
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.packets import Instructions, LossCause
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import LowPower

MS = 1_000_000
ONCE = Transmit(count=0, interval_steps=1)
CENTRE, RELAY, LEAF, SLEEPER = (UnicastAddress(i) for i in (1, 2, 3, 4))


def make_star(**profile):
    """A node that a relay, one without the feature, and its low-power node hear."""
    low_power = LowPower(friend=CENTRE, poll_interval_s=10.0)
    return Scenario(
        name="star",
        nodes=tuple(
            ScenarioNode(
                address=a,
                relay=a in (CENTRE, RELAY),
                ttl=3,
                network_transmit=ONCE,
                relay_retransmit=ONCE,
                low_power=low_power if a == SLEEPER else None,
            )
            for a in (CENTRE, RELAY, LEAF, SLEEPER)
        ),
        links=tuple(ScenarioLink(source=CENTRE, target=a, delivery=1.0) for a in (RELAY, LEAF, SLEEPER)),
        flows=(),
        profile=replace(get_profile("zephyr"), **profile),
    )


def make_centre(**profile):
    return build_nodes(make_star(**profile), root_key=7)[0]


def make_asked(*, flow_index=0, members=frozenset({2}), destination_index=-1, **instructions):
    return make_packet(
        flow_index=flow_index,
        member_indices=members,
        destination_index=destination_index,
        instructions=Instructions(**instructions),
    )


def concerned(packet, ttl=3):
    return [link.target.settings.address for link in make_centre().audience(packet, ttl)]


def test_message_concerns_all_that_hear_it_but_sleepers():
    assert concerned(make_asked()) == [RELAY, LEAF]


def test_background_concerns_those_who_would_relay_it():
    assert concerned(make_asked(flow_index=-1)) == [RELAY]
    assert concerned(make_asked(flow_index=-1), ttl=1) == []


@pytest.mark.parametrize(("index", "address"), [(2, LEAF), (3, SLEEPER)])
def test_what_one_node_can_decrypt_concerns_that_one(index, address):
    assert concerned(make_asked(only_to=index)) == [address]
    assert concerned(make_asked(only_to=index, flow_index=-1), ttl=0) == [address]


def test_own_message_is_dropped_by_its_source_unless_the_stack_relays_its_echo():
    centre = make_centre()
    assert centre.refuse(make_asked(), relays_own_echo=False) is LossCause.CACHE
    assert centre.refuse(make_asked(), relays_own_echo=True) is None


def test_node_without_power_refuses_what_it_hears():
    other = build_nodes(make_star(), root_key=7)[1]
    other.switch(is_on=False)
    assert other.refuse(make_asked(), relays_own_echo=False) is LossCause.SWITCHED_OFF


def test_power_takes_queue_and_cache_with_it_once():
    node = make_centre()
    node.cache.add((1, 0))
    job = Job(make_asked(), 3, 1, ONCE, True, 0)
    node.queue.put(job)
    assert node.switch(is_on=True) == []
    assert node.switch(is_on=False) == [job]
    assert node.switch(is_on=False) == []
    assert not node.cache.known
    assert node.switch(is_on=True) == []
    assert (node.is_on, node.power_cycles) == (True, 1)


def test_event_begins_when_the_radio_is_free_and_where_asked_the_scan_window_is_over():
    for waits, begin_ms in ((False, 12), (True, 30)):
        node = make_centre(start_at_scan_window_end=waits, scan_in_phase=True, scan_interval_ns=30 * MS)
        node.occupy_radio(Advertisement(2 * MS, 12 * MS, ()))
        assert node.free_from_ns(5 * MS) == begin_ms * MS


def test_sequence_numbers_count_what_a_node_originates():
    node = make_centre()
    assert [node.next_sequence() for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (make_asked(members=frozenset({2, 3})), 2),  # a member of a group relays
        (make_asked(members=frozenset({1})), None),  # the unicast destination does not
        (make_asked(members=frozenset(), destination_index=1), None),
        (make_asked(relays=frozenset({1})), 2),
        (make_asked(relays=frozenset({2})), None),  # others are to relay this flow
        (make_asked(only_to=1, members=frozenset({1, 2})), None),
    ],
)
def test_relay_at_node_one_obeys_destination_and_instructions(packet, verdict):
    assert decide_relay_of(packet, 1, has_relay=True, received_ttl=3) == verdict


def test_relaying_ends_with_the_ttl_and_without_the_feature():
    assert decide_relay_of(make_asked(), 1, has_relay=True, received_ttl=1) is LossCause.TTL
    assert decide_relay_of(make_asked(), 1, has_relay=False, received_ttl=1) is None


def test_answer_to_a_group_waits_longer_by_a_number_of_its_own():
    profile = replace(get_profile("zephyr"), response_ns=(MS, 0), response_to_group_ns=(20 * MS, 480 * MS))
    alone, group = make_asked(members=frozenset({2})), make_asked(members=frozenset({2, 3}))
    assert response_delay_ns(profile, 2, alone, alone) == MS
    drawn_ns = draw_below_ns(extend_key(1, 2), RESPONSE_PART, 480 * MS)
    assert response_delay_ns(profile, 2, group, group) == 20 * MS + drawn_ns


def test_node_that_moves_has_its_new_links_alone_and_others_keep_theirs():
    def link(source, target, delivery=1.0):
        return ScenarioLink(source=source, target=target, delivery=delivery)

    before = {(CENTRE, RELAY): link(CENTRE, RELAY), (RELAY, LEAF): link(RELAY, LEAF), (LEAF, RELAY): link(LEAF, RELAY)}
    moved = NodeChange(at_s=1.0, node=LEAF, links=(link(CENTRE, LEAF, 0.5),))
    assert move_links(before, moved) == {(CENTRE, RELAY): link(CENTRE, RELAY), (CENTRE, LEAF): link(CENTRE, LEAF, 0.5)}
    assert move_links(before, NodeChange(at_s=1.0, node=LEAF, is_on=False)) == before
