"""How much a gateway lets its nodes report: a rule of the mesh, followed by gateways and foreseen by models."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from meshtwin.mesh.configuration import NodeSettings

__all__ = [
    "HEARD_LEAST",
    "READ_BACK_MESSAGES",
    "READ_BACK_PAUSE_S",
    "RECORDS_PER_MESSAGE",
    "REPORTS_MAX",
    "ReportRate",
    "compute_flood_s",
    "compute_message_s",
    "compute_notifications_ratio",
    "compute_report_rate",
    "stretch_notifications_s",
]

AIRTIME_S: Final = 376e-6  # of one PDU on one channel: 47 bytes at 1 Mbit/s (Bluetooth Core 5.4, vol 6, B)
HEARD_LEAST: Final = 4.0  # neighbours: with fewer told, too little is known to go by them
REPORTS_MAX: Final = 8  # messages of one report: 16 neighbours
RECORDS_PER_MESSAGE: Final = 2  # neighbours in an unsegmented message
LEFT_LEAST: Final = 0.1  # of the budget for reports, whatever else is spent
FOREIGN_FLOOD_S: Final = 0.175  # assumed of relays of other segments: five transmissions, 35 ms apart
# Of a relay's advertiser for reports of one segment. No gateway knows how many segments share its relays: with three of
# them reports take less than half, and six would fill a relay. Assumed. It seldom slows a young twin down: in a mesh
# that floods much the airtime budget is the tighter bound (26 nodes, all relaying thrice, 1 %: 0.74 messages per second
# against 0.86); in one made lean it is this bound, by a factor of 4 and more, but its links are known by then.
OCCUPANCY_SHARE: Final = 0.15
MEAN_JITTER_S: Final = 0.005  # advDelay, 0 to 10 ms; Bluetooth Core 5.4, vol 6, B, 4.4.2.2.1
READ_BACK_PAUSE_S: Final = 30.0  # between two nodes that a gateway reads back, looking for drift
READ_BACK_MESSAGES: Final = 6  # three questions and their answers
NOTIFICATIONS_SHARE: Final = 0.5  # of the airtime budget, which notifications may take; the rest is for reports
PER_NODE_ASSUMED: Final = 3.0  # transmissions per node and flood, before settings are known


@dataclass(frozen=True, slots=True)
class ReportRate:
    """Each node sends ``messages`` report messages every ``interval_s`` seconds."""

    interval_s: float
    messages: int


def compute_flood_s(settings: Iterable[NodeSettings]) -> float | None:
    """How long one flood occupies the advertiser of the busiest relay, in seconds; None without a relay."""
    transmits = [s.relay_retransmit for s in settings if s.relay and s.relay_retransmit]
    return max((t.transmissions * (t.interval_s + MEAN_JITTER_S) for t in transmits), default=None)


def compute_message_s(settings: Iterable[NodeSettings], heard: float) -> float:
    """Airtime that one flooded message takes of a channel at a node, in seconds.

    About ``heard`` x (share of relays x relayed copies) transmissions are heard, ``heard`` being the mean number of
    neighbours.
    """
    known = list(settings)
    relayed = [s.relay_retransmit.transmissions if s.relay_retransmit else 1 for s in known if s.relay]
    per_node = sum(relayed) / len(known) if known else PER_NODE_ASSUMED
    return AIRTIME_S * max(heard * per_node, 1.0)


def compute_notifications_ratio(interval_s: float, heard: float, transmissions: float = 1.0) -> float:
    """Share of a channel that notifications take at a node: one per neighbour and interval, never relayed."""
    return AIRTIME_S * heard * transmissions / interval_s


def stretch_notifications_s(interval_s: float, *, budget_ratio: float, heard: float, transmissions: float) -> float:
    """The interval, or a longer one if notifications would take more than `NOTIFICATIONS_SHARE` of the budget."""
    return max(interval_s, AIRTIME_S * heard * transmissions / (NOTIFICATIONS_SHARE * budget_ratio))


def compute_report_rate(
    settings: Iterable[NodeSettings],
    *,
    interval_s: float,
    budget_ratio: float,
    nodes: int,
    heard: float,
    flood_s: float,
    spent_ratio: float = 0.0,
) -> ReportRate:
    """As many report messages as the airtime budget allows, fewer reports where it allows not even one.

    Every report message is flooded and takes `compute_message_s`. An estimate, on purpose a simple one: it decides
    how much is told, not what. ``spent_ratio`` of the budget is gone for other things. A second bound is the time
    ``flood_s`` that each flood occupies the advertiser of a relay: reports may take `OCCUPANCY_SHARE` of it. A flood
    does not end at the border of its segment, and the gateway knows nothing of the relays beyond: they are taken to
    need `FOREIGN_FLOOD_S` at least, so that a segment made lean does not drown its neighbour in reports.
    ``budget_ratio`` and ``spent_ratio`` are 0..1.
    """
    left_ratio = max(budget_ratio - spent_ratio, LEFT_LEAST * budget_ratio)
    affordable_per_s = left_ratio / compute_message_s(settings, heard)
    messages_per_s = min(affordable_per_s, OCCUPANCY_SHARE / max(flood_s, FOREIGN_FLOOD_S))
    affordable = messages_per_s * interval_s / max(1, nodes)
    if affordable < 1:
        return ReportRate(interval_s / affordable, 1)
    return ReportRate(interval_s, min(REPORTS_MAX, math.floor(affordable)))
