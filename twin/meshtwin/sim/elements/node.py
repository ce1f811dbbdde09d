"""A node as the composition of its elements."""

from collections import Counter
from collections.abc import Sequence

from meshtwin.radio.reception import resize_delivery
from meshtwin.sim.elements.bearer import Advertisement
from meshtwin.sim.elements.friendship import Friendship, ReceiveWindow
from meshtwin.sim.elements.message_cache import MessageCache
from meshtwin.sim.elements.reception_luck import ReceptionLuck
from meshtwin.sim.elements.replay_list import ReplayList
from meshtwin.sim.elements.scanner import Scanner
from meshtwin.sim.elements.transmit_queue import Job, TransmitQueue
from meshtwin.sim.packets import LossCause, Packet
from meshtwin.sim.scenario import ScenarioNode

__all__ = ["DeliveryByAirtime", "NodeElements", "OutgoingLink"]


class DeliveryByAirtime(dict[int, float]):
    """Delivery of a single transmission on a quiet channel, by a PDU's time on the air in ns; filled as it is asked.

    ``quiet``: that of PDUs of ``airtime_ns``.
    """

    __slots__ = ("airtime_ns", "quiet")

    def __init__(self, quiet: float, airtime_ns: int) -> None:
        self.quiet = quiet
        self.airtime_ns = airtime_ns

    def __missing__(self, airtime_ns: int) -> float:
        """For a PDU that nobody asked for before."""
        delivery = self[airtime_ns] = resize_delivery(self.quiet, self.airtime_ns, airtime_ns)
        return delivery


class OutgoingLink:
    """One directed link as the engine uses it; ``key`` is the link's part of all its draws.

    ``known``: the messages in the target's cache, at hand for the innermost loop.
    """

    __slots__ = ("delivery_of", "key", "known", "passes", "rx_mw", "target")

    def __init__(self, target: "NodeElements", delivery_of: DeliveryByAirtime, rx_mw: float, key: int) -> None:
        self.target = target
        self.delivery_of = delivery_of
        self.rx_mw = rx_mw
        self.key = key
        self.known = target.cache.known
        self.passes = False  # whether the message with a preset state that is now on the air can be received


class NodeElements:
    """Settings, elements and radio state of one node during a run."""

    __slots__ = (
        "audible",
        "busy_until_ns",
        "cache",
        "friend_links",
        "friend_of",
        "friendship",
        "index",
        "is_on",
        "is_watched",
        "key",
        "links",
        "luck",
        "power_cycles",
        "queue",
        "radio_busy_from_ns",
        "radio_busy_until_ns",
        "radio_previous_until_ns",
        "relay_links",
        "replay_list",
        "rx_mw_of",
        "scanner",
        "sequence",
        "settings",
        "waits_for_window",
    )

    def __init__(
        self,
        *,
        index: int,
        settings: ScenarioNode,
        scanner: Scanner | ReceiveWindow,
        cache: MessageCache,
        queue: TransmitQueue,
        key: int,
        waits_for_window: bool,
    ) -> None:
        self.index = index
        self.settings = settings
        self.scanner = scanner
        self.cache = cache
        self.queue = queue
        self.key = key
        self.waits_for_window = waits_for_window  # no event begins before the scan window that runs then is over
        self.is_on = settings.is_on
        self.power_cycles = 0  # times that it was switched off
        self.sequence = 0  # network PDUs originated; segments of one message count once
        self.replay_list: ReplayList | None = None  # None: not modelled
        self.friendship: Friendship | None = None  # of a low-power node
        self.friend_of: tuple[Friendship, ...] = ()
        self.friend_links: dict[int, OutgoingLink] = {}  # low-power node's index: the link to it
        self.luck = ReceptionLuck()
        self.links: tuple[OutgoingLink, ...] = ()
        self.relay_links: tuple[OutgoingLink, ...] = ()  # those to nodes that relay
        self.audible: tuple[NodeElements, ...] = ()  # whose channel this node's sending occupies, itself first
        self.rx_mw_of: dict[int, float] = {}  # interferer's index: power received here
        self.busy_until_ns = 0  # of one channel, as heard here
        self.is_watched = False
        self.radio_busy_from_ns = -1
        self.radio_busy_until_ns = -1
        self.radio_previous_until_ns = -1

    def next_sequence(self) -> int:
        """The sequence number of the next PDU that the node originates; counts it."""
        self.sequence += 1
        return self.sequence

    def switch(self, *, is_on: bool) -> list[Job]:
        """Switches the node; gives what waited in its queue and is lost with the power, as its message cache is."""
        if is_on == self.is_on:
            return []
        self.is_on = is_on
        if is_on:
            return []
        self.power_cycles += 1
        self.cache.clear()
        return self.queue.clear()

    def audience(self, packet: Packet, ttl: int) -> Sequence[OutgoingLink]:
        """Links to those whom a PDU sent with ``ttl`` concerns.

        What one node alone can decrypt concerns that one. Background, which has no members, concerns those who would
        relay it.
        """
        only_to = packet.instructions.only_to
        if only_to is not None:
            link = self.friend_links.get(only_to)
            return (link,) if link is not None else [link for link in self.links if link.target.index == only_to]
        if packet.properties.flow_index < 0:
            return self.relay_links if ttl >= 2 else ()
        return self.links

    def refuse(self, packet: Packet, *, relays_own_echo: bool) -> LossCause | None:
        """Why the network layer drops a PDU that was received, if it does.

        A node's own message, should the cache have forgotten it, is dropped by its source.
        """
        if self.index == packet.properties.source_index and not relays_own_echo:
            return LossCause.CACHE
        return None if self.is_on else LossCause.SWITCHED_OFF

    def free_from_ns(self, time_ns: int) -> int:
        """First time from ``time_ns`` on at which the radio may begin an event."""
        time_ns = max(time_ns, self.radio_busy_until_ns)
        return self.scanner.window_end(time_ns) if self.waits_for_window else time_ns

    def occupy_radio(self, event: Advertisement) -> None:
        """Notes that the node sends, and hears nothing, during ``event``."""
        self.radio_previous_until_ns = self.radio_busy_until_ns
        self.radio_busy_from_ns = event.start_ns
        self.radio_busy_until_ns = event.end_ns

    def is_sending(self, start_ns: int, end_ns: int) -> bool:
        """Whether own sending touches the time from ``start_ns`` to ``end_ns`` (half duplex)."""
        if self.radio_busy_from_ns < end_ns and self.radio_busy_until_ns > start_ns:
            return True
        return self.radio_previous_until_ns > start_ns

    def occupy_channel(self, start_ns: int, end_ns: int, watched_ns: Counter[int]) -> int:
        """Notes that one channel is in use here and where this node is heard.

        Gives the nanoseconds, summed over these nodes, in which it was not in use before; those of watched nodes go
        into ``watched_ns``, too, by index.
        """
        taken = 0
        for node in self.audible:
            until = node.busy_until_ns
            if until < end_ns:
                node.busy_until_ns = end_ns
                here_ns = end_ns - (until if until > start_ns else start_ns)
                taken += here_ns
                if node.is_watched:
                    watched_ns[node.index] += here_ns
        return taken
