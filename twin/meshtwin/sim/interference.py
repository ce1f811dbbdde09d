"""Bursts of other technologies at each node and channel, by time of day."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.scenario import Scenario
from meshtwin.units import NANOSECONDS_PER_SECOND, s_to_ns

__all__ = ["BurstSchedule", "build_schedule"]

CHANNELS: Final = 3
DAY_NS: Final = 86_400 * NANOSECONDS_PER_SECOND


class BurstSchedule:
    """What share of PDUs survives the bursts of `ExternalInterference`."""

    __slots__ = ("_start_ns", "slots")

    def __init__(self, start_ns: int, slots: Mapping[tuple[int, int], Sequence[tuple[int, int, float, float]]]) -> None:
        """``slots`` by (node index, channel): from and until in ns of the day, log of the quiet share, bursts/s."""
        self._start_ns = start_ns
        self.slots = slots

    def compute_survival(self, node_index: int, channel: int, start_ns: int, end_ns: int) -> float:
        """Probability 0..1 that no burst touches ``start_ns``..``end_ns`` of simulated time at the node.

        Bursts are a Poisson stream: none runs at the start (the quiet share), none begins until the end.
        The time of day is that of the start.
        """
        slots = self.slots.get((node_index, channel))
        if slots is None:
            return 1.0
        time_ns = (self._start_ns + start_ns) % DAY_NS
        exponent = 0.0
        for from_ns, until_ns, quiet_log, bursts_per_s in slots:
            inside = from_ns <= time_ns < until_ns if from_ns <= until_ns else not until_ns <= time_ns < from_ns
            if inside:
                exponent += quiet_log - bursts_per_s * (end_ns - start_ns) * 1e-9
        return math.exp(exponent)


def build_schedule(scenario: Scenario) -> BurstSchedule | None:
    """The schedule of ``scenario``; None if it has no interference."""
    if not scenario.interference:
        return None
    index: Mapping[UnicastAddress, int] = {node.address: i for i, node in enumerate(scenario.nodes)}
    slots: dict[tuple[int, int], list[tuple[int, int, float, float]]] = {}
    for source in scenario.interference:
        entry = (
            s_to_ns(source.from_s),
            s_to_ns(source.until_s),
            math.log1p(-source.busy_ratio),
            source.bursts_per_s,
        )
        for address in index if source.nodes is None else source.nodes:
            for channel in range(CHANNELS) if source.channel is None else (source.channel,):
                slots.setdefault((index[address], channel), []).append(entry)
    return BurstSchedule(s_to_ns(scenario.start_of_day_s), slots)
