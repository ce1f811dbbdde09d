"""The air between nodes: links with their draws, and what interference leaves of a packet."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from meshtwin.radio.reception import (
    NOISE_FLOOR_DBM,
    compute_airtime_ns,
    compute_capture_survival,
    compute_overlap_survival,
    compute_packet_error_ratio,
    compute_rx_power_dbm,
    compute_snr_db,
)
from meshtwin.sim.draws import draw, draw_normal, make_key
from meshtwin.sim.elements.bearer import Pdu
from meshtwin.sim.elements.friendship import Friendship, ReceiveWindow
from meshtwin.sim.elements.message_cache import MessageCache
from meshtwin.sim.elements.node import DeliveryByAirtime, NodeElements, OutgoingLink
from meshtwin.sim.elements.replay_list import ReplayList
from meshtwin.sim.elements.scanner import Scanner
from meshtwin.sim.elements.transmit_queue import TransmitQueue
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioLink
from meshtwin.units import dbm_to_mw

__all__ = [
    "Interference",
    "Links",
    "build_nodes",
    "link_airtime_ns",
    "link_delivery",
    "link_nodes",
    "link_rx_power_dbm",
    "mean_delivery",
    "move_links",
]

NOISE_MW = dbm_to_mw(NOISE_FLOOR_DBM)
AUDIBLE_DELIVERY = 0.01  # a link that delivers less receives nothing; saves time
OCCUPYING_DELIVERY = 0.5  # a node hears the channel in use where it would rather receive than not
REFERENCE_PDU_BYTES = 20  # size by which a link with a received power alone is heard at all, and takes the channel

Links = Mapping[tuple[int, int], ScenarioLink]  # by the addresses of source and target


def build_nodes(scenario: Scenario, root_key: int) -> list[NodeElements]:
    """The nodes in the scenario's order, linked; those switched off neither send nor hear."""
    nodes = [
        NodeElements(
            index=index,
            settings=settings,
            scanner=(
                _build_scanner(scenario, root_key, settings.address)
                if settings.low_power is None
                else ReceiveWindow(scenario.profile)
            ),
            cache=MessageCache(scenario.profile.message_cache),
            queue=TransmitQueue(scenario.profile),
            key=make_key(root_key, "send", settings.address),
            waits_for_window=scenario.profile.start_at_scan_window_end,
        )
        for index, settings in enumerate(scenario.nodes)
    ]
    for node in nodes:
        settings = node.settings
        if settings.replay_list_size is not None:
            node.replay_list = ReplayList(settings.replay_list_size, settings.replay_list_used)
    _befriend(scenario, nodes)
    link_nodes(nodes, scenario.links, root_key, scenario.profile)
    return nodes


def _befriend(scenario: Scenario, nodes: Sequence[NodeElements]) -> None:
    index = {node.settings.address: node.index for node in nodes}
    for node in nodes:
        low_power = node.settings.low_power
        if low_power is None or not isinstance(node.scanner, ReceiveWindow):
            continue
        friend = nodes[index[low_power.friend]]
        node.friendship = Friendship(
            low_power=low_power,
            low_power_index=node.index,
            friend_index=friend.index,
            queue_size=friend.settings.friend_queue_size,
            window=node.scanner,
        )
        friend.friend_of = (*friend.friend_of, node.friendship)


def link_nodes(
    nodes: Sequence[NodeElements], links: Iterable[ScenarioLink], root_key: int, profile: StackProfile
) -> None:
    """Gives the nodes their links; those that are off now have none. May be called again during a run.

    A low-power node hears its friend alone: what others send it can neither time nor decrypt.
    """
    by_address = {node.settings.address: node for node in nodes if node.is_on}
    outgoing: dict[int, list[OutgoingLink]] = {node.index: [] for node in nodes}
    for node in nodes:
        node.rx_mw_of.clear()
        node.friend_links = {}
    for link in links:
        source, target = by_address.get(link.source), by_address.get(link.target)
        if source is None or target is None:
            continue
        rx_mw = dbm_to_mw(link_rx_power_dbm(link))
        target.rx_mw_of[source.index] = rx_mw
        delivery = link_delivery(link, root_key)
        if delivery >= AUDIBLE_DELIVERY:
            key = make_key(root_key, "link", link.source, link.target)
            outgoing[source.index].append(
                OutgoingLink(target, DeliveryByAirtime(delivery, link_airtime_ns(link, profile)), rx_mw, key)
            )
    for node in nodes:
        node.audible = (
            node,
            *(link.target for link in outgoing[node.index] if link.delivery_of.quiet >= OCCUPYING_DELIVERY),
        )
        node.links = tuple(link for link in outgoing[node.index] if link.target.friendship is None)
        node.relay_links = tuple(link for link in node.links if link.target.settings.relay)
        for audible in outgoing[node.index]:
            friendship = audible.target.friendship
            if friendship is not None and friendship.friend_index == node.index:
                node.friend_links[audible.target.index] = audible


def move_links(links: Links, change: NodeChange) -> Links:
    """The links after a change: those of a node that moves are replaced, others stay."""
    if change.links is None:
        return links
    stay: dict[tuple[int, int], ScenarioLink] = {pair: link for pair, link in links.items() if change.node not in pair}
    return stay | {(link.source, link.target): link for link in change.links}


def _build_scanner(scenario: Scenario, root_key: int, address: int) -> Scanner:
    if scenario.profile.scan_in_phase:
        return Scanner(scenario.profile, 0.0, 0)
    key = make_key(root_key, "scan", address)
    return Scanner(scenario.profile, draw(key, 0), int(draw(key, 1) * 3))


@lru_cache(maxsize=65536)
def _delivery_from_power(rx_power_dbm: float) -> float:
    return 1.0 - compute_packet_error_ratio(compute_snr_db(rx_power_dbm), REFERENCE_PDU_BYTES)


@lru_cache(maxsize=65536)
def _power_from_delivery(delivery_per_mille: int, pdu_bytes: int) -> float:
    return compute_rx_power_dbm(delivery_per_mille / 1000.0, pdu_bytes)


def link_rx_power_dbm(link: ScenarioLink) -> float:
    """Power for interference: as given, else as the delivery suggests.

    Doubt: where RSSI is not told, all good links get about the same power, so none captures the other.
    """
    if link.rx_power_dbm is not None:
        return link.rx_power_dbm
    return _power_from_delivery(round((link.delivery or 0.0) * 1000), link.delivery_pdu_bytes)


def link_airtime_ns(link: ScenarioLink, profile: StackProfile) -> int:
    """Time on the air of the PDUs whose delivery `link_delivery` gives."""
    if link.delivery is None:
        return compute_airtime_ns(REFERENCE_PDU_BYTES)
    return profile.pdu_airtime_ns or compute_airtime_ns(link.delivery_pdu_bytes)


def mean_delivery(link: ScenarioLink) -> float:
    """Delivery of a single transmission on a quiet channel, 0..1, its posterior left undrawn.

    That of PDUs of the size for which the link tells it, of 20 bytes where it tells its power alone.
    """
    return _delivery_from_power(link.rx_power_dbm or 0.0) if link.delivery is None else link.delivery


def link_delivery(link: ScenarioLink, root_key: int) -> float:
    """Delivery as `mean_delivery` has it, in the replication of ``root_key``, 0..1."""
    if link.delivery is None:
        return mean_delivery(link)
    if link.delivery_deviation == 0.0:
        return link.delivery
    key = make_key(root_key, "posterior", link.source, link.target)
    return min(1.0, max(0.0, link.delivery + link.delivery_deviation * draw_normal(key, 0)))


class Interference:
    """What overlapping PDUs and external traffic leave of a packet at one receiver."""

    __slots__ = ("_capture", "_capture_db", "_sample_ns")

    def __init__(self, scenario: Scenario) -> None:
        self._capture = scenario.capture
        self._capture_db = scenario.profile.capture_db
        self._sample_ns = scenario.profile.scan_sample_ns

    def compute_survival(
        self,
        on_air: Iterable[tuple[int, int, NodeElements]],
        sender: NodeElements,
        receiver: NodeElements,
        rx_mw: float,
        pdu: Pdu,
    ) -> float:
        """Probability 0..1 that ``pdu``, sent by ``sender`` and received with ``rx_mw``, comes through.

        Each interferer is judged over its own overlap (where the profile has a capture ratio: all together, and
        whatever the overlap). Three or more at once are judged one by one (doubt:
        their powers add up, which this leaves out; rare below 10 % airtime).
        External traffic is taken as Poisson and as destroying on any overlap.
        """
        survival = 1.0
        _, start_ns, end_ns = pdu
        external = receiver.settings.external_pdus_per_s
        if external > 0.0:
            survival = math.exp(-external * 2.0 * (end_ns - start_ns) * 1e-9)
        rx_mw_of = receiver.rx_mw_of
        if self._sample_ns and not self._capture:
            return survival if self._is_sampled_clean(on_air, sender, receiver, pdu) else 0.0
        summed_mw = 0.0
        for other_start_ns, other_end_ns, other in on_air:
            if other_start_ns >= end_ns or other_end_ns <= start_ns or other is sender:
                continue
            interference_mw = rx_mw_of.get(other.index)
            if interference_mw is None:
                continue
            if not self._capture:
                return 0.0
            if self._capture_db is not None:
                summed_mw += interference_mw
                continue
            overlap_ns = min(end_ns, other_end_ns) - max(start_ns, other_start_ns)
            sinr_db = 10.0 * math.log10(rx_mw / (interference_mw + NOISE_MW))
            survival *= _overlap_survival(round(sinr_db * 10.0), overlap_ns // 1000)
        if self._capture_db is not None and summed_mw > 0.0:
            survival *= compute_capture_survival(10.0 * math.log10(rx_mw / summed_mw) - self._capture_db)
        return survival

    def _is_sampled_clean(
        self, on_air: Iterable[tuple[int, int, NodeElements]], sender: NodeElements, receiver: NodeElements, pdu: Pdu
    ) -> bool:
        """Whether one of the receiver's samples on ``pdu``'s channel finds nobody else there that it can hear."""
        channel, start_ns, end_ns = pdu
        others = [
            (other_start_ns, other_end_ns)
            for other_start_ns, other_end_ns, other in on_air
            if other_start_ns < end_ns
            and other_end_ns > start_ns
            and other is not sender
            and other.index in receiver.rx_mw_of
        ]
        if not others:
            return True
        first_ns = start_ns + receiver.scanner.until_sample(start_ns, self._sample_ns)
        return any(
            receiver.scanner.channel_at(sample_ns) == channel and not any(a <= sample_ns < b for a, b in others)
            for sample_ns in range(first_ns, end_ns, self._sample_ns)
        )


@lru_cache(maxsize=65536)
def _overlap_survival(sinr_tenths_db: int, overlap_us: int) -> float:
    return compute_overlap_survival(sinr_tenths_db / 10.0, overlap_us * 1000)
