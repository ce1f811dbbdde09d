"""What becomes of a PDU at each receiver: the order in which a node's radio asks.

A PDU is judged at its end, at one receiver after the other. A receiver listens to one channel at a time, so of the
three PDUs of an advertising event it judges the one on its channel. Copies of a message fade independently (doubt:
real copies 20 ms apart are correlated).
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from meshtwin.sim.air import Interference
from meshtwin.sim.draws import draw, extend_key
from meshtwin.sim.elements.bearer import Advertisement, Pdu
from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.scanner import listens_to
from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.interference import build_schedule
from meshtwin.sim.packets import LossCause, Packet
from meshtwin.sim.scenario import Scenario

__all__ = ["BURST_SALT", "Airing", "Fates"]

BURST_SALT: Final = 1 << 20  # keys of bursts, apart from the copies of a message
AIRTIME_CHANNEL: Final = 0  # the channel on which airtime is counted (37)
LONGEST_PDU_NS: Final = 1_000_000  # longer than any: 29 bytes take 0.4 ms


class Airing:
    """One advertising event on its way to the receivers ``waiting``; ``silent``: those who listened to no PDU yet."""

    __slots__ = ("airtime_ns", "cached_as", "copy", "is_drawn", "job", "key", "node", "silent", "waiting")

    def __init__(self, node: NodeElements, job: Job, copy: int, waiting: Sequence[OutgoingLink]) -> None:
        self.node = node
        self.job = job
        self.copy = copy
        self.waiting = waiting
        self.silent = set(waiting)
        properties = job.packet.properties  # at hand for the innermost loop
        self.key = properties.key
        self.cached_as = properties.cached_as
        self.airtime_ns = properties.airtime_ns
        self.is_drawn = properties.state_index < 0


class Fates:
    """The PDUs on the air of one run, and what befalls them."""

    __slots__ = ("_bursts", "_interference", "_on_air", "_sample_ns")

    def __init__(self, scenario: Scenario) -> None:
        self._interference = Interference(scenario)
        self._bursts = build_schedule(scenario)
        self._sample_ns = scenario.profile.scan_sample_ns
        self._on_air: tuple[deque[tuple[int, int, NodeElements]], ...] = (deque(), deque(), deque())

    def put_on_air(self, node: NodeElements, packet: Packet, event: Advertisement) -> None:
        """Takes in the PDUs of an advertising event of ``node``; the packet is told how much of a channel they take."""
        for channel, start_ns, end_ns in event.pdus:
            on_air = self._on_air[channel]
            while on_air and on_air[0][1] <= event.start_ns - LONGEST_PDU_NS:
                on_air.popleft()
            on_air.append((start_ns, end_ns, node))
            if channel == AIRTIME_CHANNEL:
                packet.monitoring.busy_ns += node.occupy_channel(start_ns, end_ns, packet.monitoring.watched_ns)

    def find_listeners(self, airing: Airing, pdu: Pdu) -> list[OutgoingLink]:
        """Who of those waiting listens to ``pdu``; they are not silent any more."""
        sample_ns = self._sample_ns
        listeners = [link for link in airing.waiting if listens_to(link.target.scanner, pdu, sample_ns)]
        airing.silent.difference_update(listeners)
        return listeners

    def judge(self, airing: Airing, link: OutgoingLink, pdu: Pdu) -> LossCause | None:
        """Why a PDU gets no further at a receiver that listens to it; None: it is received.

        The first cause counts, in this order: the receiver knows the message, sends itself, the signal is too weak,
        a burst of another technology, a collision.
        """
        if airing.cached_as in link.known:
            return LossCause.CACHE
        receiver = link.target
        channel, start_ns, end_ns = pdu
        if receiver.is_sending(start_ns, end_ns):
            return LossCause.RADIO_BUSY
        key, copy = extend_key(link.key, airing.key), airing.copy
        if not (draw(key, copy) < link.delivery_of[airing.airtime_ns] if airing.is_drawn else link.passes):
            return LossCause.BELOW_SENSITIVITY
        if self._bursts is not None:
            calm = self._bursts.compute_survival(receiver.index, channel, start_ns, end_ns)
            if calm < 1.0 and draw(extend_key(key, BURST_SALT + channel), copy) >= calm:
                return LossCause.INTERFERENCE
        on_air = self._on_air[channel]
        survival = self._interference.compute_survival(on_air, airing.node, receiver, link.rx_mw, pdu)
        if survival < 1.0 and draw(key, -1 - copy) >= survival:
            return LossCause.COLLISION
        return None
