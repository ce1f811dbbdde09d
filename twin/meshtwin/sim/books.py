"""The books of a run: its packets, why they were lost, and where it is traced a record of every event."""

from collections.abc import Callable

from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.fates import Airing
from meshtwin.sim.packets import LossCause, Packet, Record, RecordKind
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.watching import tell

__all__ = ["Books"]


class Books:
    """What happened so far; ``now_ns`` tells the simulated time."""

    __slots__ = ("_now_ns", "_scenario", "packets", "records")

    def __init__(self, scenario: Scenario, now_ns: Callable[[], int]) -> None:
        self._scenario = scenario
        self._now_ns = now_ns
        self.packets: list[Packet] = []  # in the order in which they were originated
        self.records: list[Record] = []

    def enlist(self, node: NodeElements, packet: Packet) -> None:
        """A message begins at ``node``."""
        tell(self._scenario, self._now_ns())
        self.packets.append(packet)
        self.record(packet, RecordKind.ORIGINATED, node, packet.properties.number)

    def lose(
        self, packet: Packet, cause: LossCause, node: NodeElements, airing: Airing | None = None, times: int = 1
    ) -> None:
        """A copy gets no further at ``node``; ``airing``: the transmission that was lost, if it is about one."""
        packet.monitoring.losses[cause] += times
        if packet.instructions.is_traced:
            self.record(packet, RecordKind.LOST, node, cause.value, airing)

    def record(
        self, packet: Packet, kind: RecordKind, node: NodeElements, detail: int | str, airing: Airing | None = None
    ) -> None:
        """Keeps a `Record` if the packet is traced."""
        if not packet.instructions.is_traced:
            return
        told = packet.properties
        sender, copy = (None, None) if airing is None else (airing.node.settings.address, airing.copy)
        self.records.append(
            Record(
                self._now_ns(), kind, node.settings.address, told.key, detail, told.flow_index, told.number,
                packet.part_name, sender, copy,
            )
        )  # fmt: skip
