"""Friend and low-power node: windows in which the one listens, and the queue that the other keeps for it."""

from collections import deque

from meshtwin.sim.elements.scanner import CHANNELS, NOT_LISTENING
from meshtwin.sim.packets import Packet
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario_features import LowPower

__all__ = ["FriendQueue", "Friendship", "ReceiveWindow"]

STORED_TTL_MIN = 2  # a friend stores what it could relay; Mesh Protocol 1.1, 3.5.5


class ReceiveWindow:
    """The scanner of a low-power node: deaf, but for one window at a time, whose channels turn as profiles say."""

    __slots__ = ("_from_ns", "_interval_ns", "_until_ns")

    def __init__(self, profile: StackProfile) -> None:
        self._interval_ns = profile.scan_interval_ns
        self._from_ns = self._until_ns = 0

    def open(self, from_ns: int, until_ns: int) -> None:
        """Listens from ``from_ns`` until ``until_ns``, beginning with channel 37."""
        self._from_ns, self._until_ns = from_ns, until_ns

    def close(self, time_ns: int) -> None:
        """Stops listening."""
        self._until_ns = min(self._until_ns, time_ns)

    def channel_at(self, time_ns: int) -> int:
        """Channel 0..2, or `NOT_LISTENING` outside the window."""
        if not self._from_ns <= time_ns < self._until_ns:
            return NOT_LISTENING
        return (time_ns - self._from_ns) // self._interval_ns % CHANNELS

    def window_end(self, time_ns: int) -> int:
        """``time_ns``: nothing it sends waits for a window."""
        return time_ns

    def until_sample(self, time_ns: int, sample_ns: int) -> int:
        """Time to the next sampling instant, counted from the window's beginning."""
        return (self._from_ns - time_ns) % sample_ns

    def restart(self, time_ns: int, pdus: object = ()) -> None:
        """Nothing: own events do not open windows."""

    def preset(self, time_ns: int, number: float) -> None:
        """Nothing: a window begins after a poll, not by chance."""


class FriendQueue:
    """Messages that wait for one low-power node; a full queue discards its oldest.

    The first is kept until the node asks for the next one, so that a lost delivery is repeated.
    Source: Mesh Protocol 1.1, 3.5.5 and 3.6.6.4.2.
    """

    __slots__ = ("_is_first_sent", "_size", "_waiting")

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[tuple[Packet, int]] = deque()
        self._is_first_sent = False

    def store(self, packet: Packet, received_ttl: int, hops: int) -> Packet | None:
        """Stores a message; gives the one that is lost by it, which may be itself, or None."""
        if received_ttl < STORED_TTL_MIN and hops > 0:  # 0 hops: the friend's own message
            return packet
        dropped = None
        if len(self._waiting) >= self._size:
            dropped, _ = self._waiting.popleft()
            self._is_first_sent = False
        self._waiting.append((packet, hops))
        return dropped

    def clear(self) -> list[Packet]:
        """Forgets what waits, as without power, and gives it."""
        lost = [packet for packet, _ in self._waiting]
        self._waiting.clear()
        self._is_first_sent = False
        return lost

    def answer(self, *, is_next: bool) -> tuple[Packet, int] | None:
        """What goes out on a poll, with hops; None: nothing waits. ``is_next``: what was sent before has arrived."""
        if is_next and self._is_first_sent and self._waiting:
            self._waiting.popleft()
        self._is_first_sent = bool(self._waiting)
        return self._waiting[0] if self._waiting else None


class Friendship:
    """What friend and low-power node know of each other during a run.

    The Friend Sequence Number (FSN) toggles with each delivery that arrives, so that the friend can tell a repeated
    poll from a further one.
    """

    __slots__ = (
        "friend_fsn",
        "friend_index",
        "fsn",
        "is_waiting",
        "low_power",
        "low_power_index",
        "polls",
        "queue",
        "window",
    )

    def __init__(
        self, *, low_power: LowPower, low_power_index: int, friend_index: int, queue_size: int, window: ReceiveWindow
    ) -> None:
        self.low_power = low_power
        self.low_power_index = low_power_index
        self.friend_index = friend_index
        self.queue = FriendQueue(queue_size)
        self.window = window
        self.fsn = 0
        self.friend_fsn: int | None = None  # of the last poll that the friend heard
        self.polls = 0  # sent so far; a poll's number
        self.is_waiting = False  # for the answer to a poll

    def begin_poll(self) -> None:
        """The low-power node polls, and waits for the answer."""
        self.polls += 1
        self.is_waiting = True

    def ends_unanswered(self, polls: int) -> bool:
        """Whether the window after poll number ``polls`` passed without an answer; it is not waited for any more."""
        if not self.is_waiting or self.polls != polls:
            return False
        self.is_waiting = False
        return True

    def take_delivery(self, time_ns: int) -> None:
        """The low-power node has what its friend sent: it stops listening, and will ask for the next."""
        self.is_waiting = False
        self.window.close(time_ns)
        self.fsn ^= 1

    def answer(self, fsn: int) -> tuple[Packet, int] | None:
        """What the friend sends on a poll with ``fsn``; None: a Friend Update that says that nothing waits."""
        is_next = self.friend_fsn is not None and fsn != self.friend_fsn
        self.friend_fsn = fsn
        return self.queue.answer(is_next=is_next)
