"""Where a message's numbers come from: its preset state where it has one, else keys."""

from dataclasses import replace

import numpy as np
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.air import build_nodes
from meshtwin.sim.draws import draw
from meshtwin.sim.luck import Luck
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioLink, ScenarioNode
from meshtwin.sim.states import SLOTS_PER_NODE, PresetStates, Slot, advertising_slot

ONCE = Transmit(count=0, interval_steps=1)
PROFILE = get_profile("zephyr")


def make_nodes(delivery=0.5):
    scenario = Scenario(
        name="pair",
        nodes=tuple(
            ScenarioNode(address=UnicastAddress(a), relay=False, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE)
            for a in (1, 2)
        ),
        links=(ScenarioLink(source=UnicastAddress(1), target=UnicastAddress(2), delivery=delivery),),
        flows=(),
    )
    return build_nodes(scenario, root_key=1)


def make_states(**numbers):
    """One row for two nodes; ``numbers``: those of the second node by slot."""
    table = np.full((1, 2 * SLOTS_PER_NODE), 0.125)
    for slot, number in numbers.items():
        table[0, SLOTS_PER_NODE + Slot[slot]] = number
    return PresetStates(table=table, points=1)


def test_number_is_preset_where_message_and_slot_have_one_and_keyed_elsewhere():
    luck, node = Luck(PROFILE, make_states(FIRST_DELAY=0.75)), make_nodes()[1]
    preset, drawn = make_packet(state_index=0), make_packet(state_index=-1)
    assert luck.number(preset, node, Slot.FIRST_DELAY, 99, 3) == 0.75
    assert luck.number(drawn, node, Slot.FIRST_DELAY, 99, 3) == draw(99, 3)
    assert luck.number(preset, node, advertising_slot(7), 99, 3) == draw(99, 3)  # so late a copy has no slot


def test_messages_beyond_the_states_and_runs_without_them_have_no_state():
    assert [Luck(PROFILE, make_states()).state_index(0, number) for number in (0, 1)] == [0, -1]
    assert Luck(PROFILE, None).state_index(0, 0) == -1


def test_one_number_decides_all_transmissions_up_to_the_first_that_is_received():
    """0.6 fails at 0.5; what is left of it, 0.2, passes the second time."""
    luck, nodes = Luck(PROFILE, make_states(RECEPTION=0.6)), make_nodes(delivery=0.5)
    waiting = nodes[0].links
    passed = []
    for copy in range(2):
        luck.preset(make_packet(state_index=0), waiting, copy, 0)
        passed.append(waiting[0].passes)
    assert passed == [False, True]


def test_first_success_sets_the_phase_of_the_scanner_unless_scanners_keep_step():
    for changes, channel in (({}, 2), ({"scan_in_phase": True}, 0), ({"scan_restarts_after_event": True}, 0)):
        nodes = make_nodes(delivery=1.0)
        nodes[1].scanner.preset(0, 0.0)
        luck = Luck(replace(PROFILE, **changes), make_states(RECEPTION=0.0, SCAN=0.7))
        luck.preset(make_packet(state_index=0), nodes[0].links, 0, 0)
        assert nodes[1].scanner.channel_at(0) == channel


def test_message_older_than_the_one_a_node_follows_is_drawn_there():
    luck, nodes = Luck(PROFILE, make_states(RECEPTION=0.0)), make_nodes(delivery=0.5)
    link = nodes[0].links[0]
    luck.preset(make_packet(state_index=0, key=1, started_ns=10), nodes[0].links, 0, 10)
    passes = []
    for key in range(2, 22):
        luck.preset(make_packet(state_index=0, key=key, started_ns=5), nodes[0].links, 0, 10)
        passes.append(link.passes)
    assert {*passes} == {True, False}  # the number 0 would let all of them pass
