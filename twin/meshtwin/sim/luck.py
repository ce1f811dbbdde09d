"""The numbers that decide a message's fate during a run: those of its preset state, or keyed draws."""

from collections.abc import Sequence

from meshtwin.sim.draws import draw, extend_key
from meshtwin.sim.elements.node import NodeElements, OutgoingLink
from meshtwin.sim.elements.scanner import Scanner
from meshtwin.sim.packets import Packet
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.states import SLOTS_PER_NODE, PresetStates, Slot

__all__ = ["Luck"]


class Luck:
    """Chance of one run; ``states`` None: all of it is drawn."""

    __slots__ = ("_presets_scan", "_rows", "_states")

    def __init__(self, profile: StackProfile, states: PresetStates | None) -> None:
        self._states = states
        self._rows: list[list[float]] = [] if states is None else states.table.tolist()
        # where scanners keep step with each other or with their own sending, their phase is no number of its own
        self._presets_scan = not (profile.scan_in_phase or profile.scan_restarts_after_event)

    def state_index(self, flow_index: int, number: int) -> int:
        """Row of a flow's message; -1: it has none."""
        return -1 if self._states is None else self._states.state_index(flow_index, number)

    def number(self, packet: Packet, node: NodeElements, slot: int, key: int, part: int) -> float:
        """The number in [0, 1) of a node's slot for a message: preset, or drawn by (``key``, ``part``)."""
        row = packet.properties.state_index
        return draw(key, part) if row < 0 or slot < 0 else self._rows[row][node.index * SLOTS_PER_NODE + slot]

    def preset(self, packet: Packet, waiting: Sequence[OutgoingLink], copy: int, time_ns: int) -> None:
        """Decides who of ``waiting`` receives the transmission if it listens; the first success sets its scanner.

        For messages with a preset state; those of whom a node follows a newer one are drawn there.
        """
        properties = packet.properties
        row, airtime_ns = self._rows[properties.state_index], properties.airtime_ns
        for link in waiting:
            node, luck = link.target, link.target.luck
            first = node.index * SLOTS_PER_NODE
            if not luck.follow(properties.key, properties.started_ns, row[first + Slot.RECEPTION]):
                link.passes = draw(extend_key(link.key, properties.key), copy) < link.delivery_of[airtime_ns]
                continue
            link.passes = luck.decide(link.delivery_of[airtime_ns])
            if link.passes and not luck.is_phased:
                luck.is_phased = True
                if self._presets_scan and isinstance(node.scanner, Scanner):
                    node.scanner.preset(time_ns, row[first + Slot.SCAN])
