"""Whose turn it is to be read: what a node said once holds until its firmware or somebody changes it.

So it is read again when the network is adopted again, and one node at a time all the while.
"""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from meshtwin.gateway.bench import Bench
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["Turns"]

ASK_AGAIN_S: Final = 60.0  # mesh time between two tries to read a node that is heard
FRESH_S: Final = 300.0  # mesh time in which an adoption does not ask again: both come when a segment is begun
# Of 20 times that a node's settings are read back, one node is asked, the one asked longest ago: a firmware update of
# 60 nodes shows within 10 h, of 200 within 33 h, for a tenth more messages than reading back takes (see `bill`).
# Assumed to be soon enough; adopting again shows it at once.
READ_BACKS_PER_LOOK: Final = 20
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class Turns:
    """Which nodes are silent, which are read once more, and when somebody is to be asked."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self.silent: dict[UnicastAddress, datetime] = {}  # did not answer, and when they were asked
        self.again: set[UnicastAddress] = set()  # known, and to be read again
        self.asked_at: dict[UnicastAddress, datetime] = {}  # in this run
        self.wanted_at: datetime | None = None  # when something is to be asked
        self._read_backs = 0

    def hear(self, node: UnicastAddress, now: datetime) -> None:
        """A message of a node: if it was silent it is asked again."""
        asked_at = self.silent.get(node)
        if asked_at is not None and now - asked_at >= self._bench.mesh_time(ASK_AGAIN_S):
            del self.silent[node]
            self.wanted_at = now

    def read_again(self, known: Collection[UnicastAddress], now: datetime) -> None:
        """Ask nodes once more, but for those that were asked just now; what is known holds until they answer."""
        fresh_from = now - self._bench.mesh_time(FRESH_S)
        again = {n for n in known if self.asked_at.get(n, NEVER) < fresh_from}
        if again:
            self.again |= again
            self.wanted_at = now

    def note_read_back(self, known: Collection[UnicastAddress], now: datetime) -> None:
        """Another node's settings were read back: now and then it is the turn of one of the ``known``."""
        self._read_backs += 1
        if known and self._read_backs % READ_BACKS_PER_LOOK == 0:
            self.read_again([min(known, key=lambda n: (self.asked_at.get(n, NEVER), n))], now)
