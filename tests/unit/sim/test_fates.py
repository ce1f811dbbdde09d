"""What becomes of one PDU at one receiver: the first cause in the order of the radio's questions."""

from dataclasses import replace

import pytest
from tests.unit.sim.packets import make_packet

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.air import build_nodes
from meshtwin.sim.draws import draw, extend_key
from meshtwin.sim.elements.bearer import Advertisement, Pdu
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.fates import BURST_SALT, Airing, Fates
from meshtwin.sim.interference import build_schedule
from meshtwin.sim.packets import LossCause
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioLink, ScenarioNode
from meshtwin.sim.scenario_features import ExternalInterference

MS = 1_000_000
ONCE = Transmit(count=0, interval_steps=1)
SENDER, RECEIVER, OTHER = (UnicastAddress(i) for i in (1, 2, 3))
AIRTIME_NS = 304_000
PDUS = tuple(Pdu(channel, start_ns, start_ns + AIRTIME_NS) for channel, start_ns in enumerate((0, 500_000, MS)))
EVENT = Advertisement(0, 2 * MS, PDUS)
STEADY = replace(  # listens to channel 37 at first, in every node
    get_profile("zephyr"), scan_in_phase=True, scan_interval_ns=30 * MS, scan_window_ns=30 * MS, scan_sample_ns=0
)


def make_network(*, delivery=1.0, busy_ratio=0.0, capture=False):
    """Two nodes with a link, and a third that the receiver hears."""
    links = [
        ScenarioLink(source=SENDER, target=RECEIVER, delivery=delivery, rx_power_dbm=-60.0),
        ScenarioLink(source=OTHER, target=RECEIVER, delivery=1.0, rx_power_dbm=-60.0),
    ]
    bursts = (ExternalInterference(busy_ratio=busy_ratio),) if busy_ratio else ()
    return Scenario(
        name="three",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=3, network_transmit=ONCE, relay_retransmit=ONCE)
            for a in (SENDER, RECEIVER, OTHER)
        ),
        links=tuple(links),
        flows=(),
        profile=STEADY,
        interference=bursts,
        capture=capture,
    )


class Room:
    """One advertising event on the air of a small network, ready to be judged at the receiver."""

    def __init__(self, *, key=1, state_index=-1, **network):
        self.scenario = scenario = make_network(**network)
        self.fates = Fates(scenario)
        self.sender, self.receiver, self.other = build_nodes(scenario, root_key=5)
        packet = make_packet(key, state_index=state_index)
        self.fates.put_on_air(self.sender, packet, EVENT)
        self.link = self.sender.links[0]
        self.airing = Airing(self.sender, Job(packet, 3, 1, ONCE, True, 0), 0, self.sender.links)

    def know(self):
        self.receiver.cache.add(self.airing.cached_as)

    def send_itself(self):
        self.receiver.occupy_radio(EVENT)

    def disturb(self):
        self.fates.put_on_air(self.other, make_packet(2), EVENT)

    def judge(self):
        return self.fates.judge(self.airing, self.link, PDUS[0])


def test_pdu_is_received_where_nothing_is_against_it():
    assert Room().judge() is None


def test_receiver_listens_to_one_of_the_three_pdus_and_is_silent_no_more():
    room = Room()
    heard = [room.fates.find_listeners(room.airing, pdu) for pdu in PDUS]
    assert heard == [[room.link], [], []]
    assert not room.airing.silent


def test_receiver_on_another_channel_stays_silent():
    room = Room()
    room.receiver.scanner.preset(0, 0.4)  # a fifth into its window on channel 38
    assert room.fates.find_listeners(room.airing, PDUS[0]) == []
    assert room.airing.silent == {room.link}


def test_first_cause_counts_in_the_order_of_the_questions():
    """All causes at once; each is taken away in turn, and shows the next one."""
    told = []
    for left in range(5, -1, -1):
        room = Room(delivery=1.0 if left < 3 else 0.011, busy_ratio=0.999 if left >= 2 else 0.0)
        if left >= 5:
            room.know()
        if left >= 4:
            room.send_itself()
        if left >= 1:
            room.disturb()
        told.append(room.judge())
    assert told == [
        LossCause.CACHE,
        LossCause.RADIO_BUSY,
        LossCause.BELOW_SENSITIVITY,
        LossCause.INTERFERENCE,
        LossCause.COLLISION,
        None,
    ]


@pytest.mark.parametrize("key", range(6))
def test_weak_signal_is_drawn_by_link_message_and_copy(key):
    room = Room(delivery=0.5, key=key)
    is_received = draw(extend_key(room.link.key, key), 0) < 0.5
    assert room.judge() is (None if is_received else LossCause.BELOW_SENSITIVITY)


@pytest.mark.parametrize("passes", [True, False])
def test_message_with_a_preset_state_passes_as_was_decided_when_it_was_sent(passes):
    room = Room(delivery=0.5, state_index=0)
    room.link.passes = passes
    assert room.judge() is (None if passes else LossCause.BELOW_SENSITIVITY)


@pytest.mark.parametrize("key", range(6))
def test_burst_is_drawn_for_each_channel(key):
    room = Room(key=key, busy_ratio=0.4)
    calm = build_schedule(room.scenario).compute_survival(1, 0, PDUS[0].start_ns, PDUS[0].end_ns)
    is_hit = draw(extend_key(extend_key(room.link.key, key), BURST_SALT), 0) >= calm
    assert room.judge() is (LossCause.INTERFERENCE if is_hit else None)


def test_pdus_that_are_over_disturb_nobody():
    room = Room()
    early = Advertisement(-3 * MS, -MS, tuple(Pdu(c, -3 * MS + i, -2 * MS + i) for i, (c, _, _) in enumerate(PDUS)))
    room.fates.put_on_air(room.other, make_packet(2), early)
    assert room.judge() is None


def test_air_is_billed_to_the_message_on_one_channel_at_every_node_that_hears_it():
    scenario = make_network()
    fates, packet = Fates(scenario), make_packet()
    fates.put_on_air(build_nodes(scenario, root_key=5)[0], packet, EVENT)
    assert packet.monitoring.busy_ns == 2 * AIRTIME_NS  # the sender and its one hearer
