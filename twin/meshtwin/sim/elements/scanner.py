"""Which advertising channel a node listens to."""

from collections.abc import Sequence
from typing import Protocol

from meshtwin.sim.elements.bearer import Pdu
from meshtwin.sim.profiles import StackProfile

__all__ = ["NOT_LISTENING", "Listener", "Scanner", "listens_to"]

NOT_LISTENING = -1
CHANNELS = 3


class Listener(Protocol):
    """Whatever listens to one channel at a time."""

    def channel_at(self, time_ns: int) -> int:
        """Channel 0..2, or `NOT_LISTENING`."""
        ...

    def until_sample(self, time_ns: int, sample_ns: int) -> int:
        """Time to the next sampling instant."""
        ...


def listens_to(listener: Listener, pdu: Pdu, sample_ns: int) -> bool:
    """Whether the listener is on the PDU's channel from its start to its end.

    ``sample_ns`` not 0: the channel is sampled, and one sample of the PDU is enough.
    """
    channel, start_ns, end_ns = pdu
    if sample_ns == 0:
        return listener.channel_at(start_ns) == channel and listener.channel_at(end_ns) == channel
    first_ns = start_ns + listener.until_sample(start_ns, sample_ns)
    for time_ns in range(first_ns, end_ns, sample_ns):  # noqa: SIM110  # innermost; any() takes twice as long
        if listener.channel_at(time_ns) == channel:
            return True
    return False


class Scanner:
    """Windows on channels 0, 1, 2 (37, 38, 39) in turn, one per scan interval."""

    __slots__ = ("_first_channel", "_interval_ns", "_order", "_origin_ns", "_window_ns")

    def __init__(self, profile: StackProfile, phase: float, first_channel: int) -> None:
        """``phase`` in [0, 1) is how far into its first interval the scanner is at time 0."""
        self._interval_ns = profile.scan_interval_ns
        self._window_ns = profile.scan_window_ns
        self._origin_ns = -int(phase * profile.scan_interval_ns)
        self._first_channel = first_channel
        self._order: tuple[int, ...] = (0, 1, 2)

    def preset(self, time_ns: int, share: float) -> None:
        """Puts the scanner ``share``, 0..1, into its turn over the three channels at ``time_ns``."""
        place = share * CHANNELS
        self._first_channel = int(place)
        self._origin_ns = time_ns - int((place - self._first_channel) * self._interval_ns)

    def channel_at(self, time_ns: int) -> int:
        """Channel 0..2, or `NOT_LISTENING` between window and interval."""
        turns, rest = divmod(time_ns - self._origin_ns, self._interval_ns)
        return self._order[(self._first_channel + turns) % CHANNELS] if rest < self._window_ns else NOT_LISTENING

    def window_end(self, time_ns: int) -> int:
        """End of the interval that runs at ``time_ns``; ``time_ns`` itself on a boundary."""
        return time_ns + (self._origin_ns - time_ns) % self._interval_ns

    def until_sample(self, time_ns: int, sample_ns: int) -> int:
        """Time from ``time_ns`` to the next of the instants, ``sample_ns`` apart, at which the channel is sampled."""
        return (self._origin_ns - time_ns) % sample_ns

    def restart(self, time_ns: int, pdus: Sequence[Pdu]) -> None:
        """Begins a fresh window at ``time_ns``, from now on in the order in which ``pdus`` were sent."""
        self._first_channel = 0
        self._order = tuple(pdu.channel for pdu in pdus)
        self._origin_ns = time_ns
