"""What waits to be sent, and which advertising set takes it."""

from collections import deque
from typing import NamedTuple

from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.packets import Packet
from meshtwin.sim.profiles import StackProfile

__all__ = ["Job", "TransmitQueue"]


class Job(NamedTuple):
    """One network PDU to be sent ``transmit.transmissions`` times."""

    packet: Packet
    ttl: int
    hops: int  # of those who hear it
    transmit: Transmit
    is_originated: bool
    asked_ns: int
    copies_sent: int = 0  # where copies of several PDUs take turns


class TransmitQueue:
    """Two queues and the free advertising sets; what does not fit into its buffer is dropped.

    With no set for originated messages they share the relay sets, and the relay queue goes first. With ``one_queue``
    both wait in the relay queue, and the buffer holds what is being sent, too.
    """

    __slots__ = (
        "_buffer",
        "_free_originated",
        "_free_relay",
        "_one",
        "_originated",
        "_originated_buffer",
        "_relay_sets",
        "_relayed",
        "_shared",
    )

    def __init__(self, profile: StackProfile) -> None:
        self._shared = profile.originated_sets == 0
        self._one = profile.one_queue
        self._relay_sets = profile.relay_sets
        self._free_originated = profile.originated_sets
        self._free_relay = profile.relay_sets
        self._buffer = profile.relay_buffer
        self._originated_buffer = profile.originated_buffer
        self._originated: deque[Job] = deque()
        self._relayed: deque[Job] = deque()

    def put(self, job: Job) -> bool:
        """Whether there was room."""
        if self._one:
            if len(self._relayed) + self._relay_sets - self._free_relay >= self._buffer:
                return False
            self._relayed.append(job)
            return True
        if job.is_originated:
            if self.refuses_own:
                return False
            self._originated.append(job)
            return True
        if len(self._relayed) >= self._buffer:
            return False
        self._relayed.append(job)
        return True

    @property
    def refuses_own(self) -> bool:
        """Whether the buffer of own PDUs is full; never where they wait with relayed ones."""
        most = self._originated_buffer
        return most is not None and not self._one and len(self._originated) >= most

    def put_back(self, job: Job) -> None:
        """Waits for its next copy behind all others; its place is kept whatever the buffer."""
        queue = self._relayed if self._one or not job.is_originated else self._originated
        queue.append(job)

    def take(self) -> Job | None:
        """The next job for which an advertising set is free, which is then taken; None if there is none."""
        if self._relayed and self._free_relay:
            self._free_relay -= 1
            return self._relayed.popleft()
        if self._originated:
            if self._shared and self._free_relay:
                self._free_relay -= 1
                return self._originated.popleft()
            if self._free_originated:
                self._free_originated -= 1
                return self._originated.popleft()
        return None

    def clear(self) -> list[Job]:
        """Empties the queues and gives what waited; sets that are in use stay so."""
        lost = [*self._relayed, *self._originated]
        self._relayed.clear()
        self._originated.clear()
        return lost

    def release(self, job: Job) -> None:
        """Gives back the set that sent ``job``."""
        if job.is_originated and not self._shared:
            self._free_originated += 1
        else:
            self._free_relay += 1
