"""What a node's application counts of its neighbours, and what it tells of them. Pure; times come in.

A notification carries a counter of its sender, so that a receiver knows how many it has missed. Counts are
cumulative since the monitoring epoch began; a report tells those that changed, in records of four bytes.
"""

from dataclasses import dataclass, field
from typing import Final

from meshtwin.contract.access import NeighbourRecord

__all__ = ["NeighbourCounts"]

RECORDS_PER_REPORT: Final = 2  # 3 bytes opcode and 2 x 4 bytes fill an unsegmented message
RESTART_JUMP: Final = 1000  # a counter that jumps further belongs to a neighbour that began again
RSSI_READINGS: Final = 16  # the mean forgets older ones
NEWCOMER_HEARD: Final = 3  # notifications before a new neighbour is told of


@dataclass(slots=True)
class Heard:
    """Of one neighbour; ``told``: ``expected`` at the last report, None: never reported."""

    last_counter: int
    transmissions: int
    rssi_dbm: float | None
    expected: int = 0
    received: int = 0
    told: int | None = None


@dataclass(slots=True)
class NeighbourCounts:
    """Counts of one node since the monitoring epoch ``epoch``."""

    epoch: int
    _heard: dict[int, Heard] = field(default_factory=dict)

    def count(self, source: int, counter: int, transmissions: int, rssi_dbm: float | None) -> None:
        """Note a notification of a neighbour; the first one only begins the count. ``rssi_dbm`` None: not known."""
        known = self._heard.get(source)
        if known is None or known.transmissions != transmissions:
            self._heard[source] = Heard(counter, transmissions, rssi_dbm)
            return
        gap = (counter - known.last_counter) & 0xFFFF
        known.last_counter = counter
        known.expected += gap if gap <= RESTART_JUMP else 1
        known.received += 1
        if known.rssi_dbm is None or rssi_dbm is None:
            known.rssi_dbm = known.rssi_dbm if rssi_dbm is None else rssi_dbm
        else:
            known.rssi_dbm += (rssi_dbm - known.rssi_dbm) / min(known.received + 1, RSSI_READINGS)

    def choose(self, messages: int) -> list[tuple[int, ...]]:
        """Neighbours to tell of, for each of at most ``messages`` messages: new ones first, the best heard before."""
        changed = []
        for address, heard in self._heard.items():
            if heard.told is None and heard.expected >= NEWCOMER_HEARD:
                changed.append((1, heard.received, address))
            elif heard.told is not None and heard.expected > heard.told:
                changed.append((0, heard.expected - heard.told, address))
        changed.sort(key=lambda c: (-c[0], -c[1], c[2]))
        chosen = [address for _, _, address in changed[: messages * RECORDS_PER_REPORT]]
        return [tuple(chosen[i : i + RECORDS_PER_REPORT]) for i in range(0, len(chosen), RECORDS_PER_REPORT)]

    def tell(self, addresses: tuple[int, ...]) -> tuple[NeighbourRecord, ...]:
        """Records of neighbours, which count as told from now on."""
        records = []
        for address in addresses:
            heard = self._heard[address]
            heard.told = heard.expected
            records.append(
                NeighbourRecord(
                    neighbour_low=address & 0xFF,
                    expected=heard.expected,
                    received=heard.received,
                    transmissions=heard.transmissions,
                    rssi_dbm=None if heard.rssi_dbm is None else round(heard.rssi_dbm),
                    odd_epoch=bool(self.epoch & 1),
                )
            )
        return tuple(records)
