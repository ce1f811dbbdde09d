"""Links that fell silent: a node goes on reporting, its neighbour goes on sending, and it is not listed.

Reports list only what changed, so a link that died is never reported again. It shows only against others:
the neighbour's notification counter, as somebody else heard it, moved on.
"""

from dataclasses import dataclass
from statistics import median
from typing import Final

from meshtwin.twins.state import LinkRecord, NodeRecord, TwinState

__all__ = ["SilentLink", "find_silent_links", "rotation_s"]

SILENT_INTERVALS: Final = 6  # report intervals, or twice a reporter's rotation where that is longer
ROTATING_NEIGHBOURS: Final = 4  # an unsegmented report holds two or three
MISSED_MAX: Final = 60.0  # notifications: as much as a first report counts; a provisional figure


@dataclass(frozen=True, slots=True)
class SilentLink:
    """``missed`` notifications since the link was listed last."""

    missed: float


def find_silent_links(state: TwinState, *, report_interval_s: float) -> dict[tuple[int, int], SilentLink]:
    """Silent links by (source, target).

    Provisional: as soon as the reporter lists the neighbour again, its counters say what really was missed.
    A neighbour whose counter was reset counts nothing.
    """
    newest = _newest_by_source(state)
    silent: dict[tuple[int, int], SilentLink] = {}
    for target, node in state.nodes.items():
        if node.reported_s is None:
            continue
        limit_s = max(SILENT_INTERVALS * report_interval_s, 2 * rotation_s(node))
        for source, record in node.links.items():
            elsewhere = newest[source]
            quiet_s = min(node.reported_s, elsewhere.listed_s) - record.listed_s
            missed = elsewhere.last - record.last
            if quiet_s > limit_s and missed > 0:
                silent[(source, target)] = SilentLink(min(float(missed), MISSED_MAX))
    return silent


def rotation_s(node: NodeRecord) -> float:
    """Seconds in which a reporter lists all its neighbours once: reports are short and take turns.

    Twice the median age of what it listed, as of its last report, since ages within one rotation are spread
    evenly. Below four neighbours nothing needs turns, and a silent one would pass for a slow turn: 0.
    """
    if node.reported_s is None or len(node.links) < ROTATING_NEIGHBOURS:
        return 0.0
    return 2 * median(max(0.0, node.reported_s - record.listed_s) for record in node.links.values())


def _newest_by_source(state: TwinState) -> dict[int, LinkRecord]:
    newest: dict[int, LinkRecord] = {}
    for node in state.nodes.values():
        for source, record in node.links.items():
            if source not in newest or record.listed_s > newest[source].listed_s:
                newest[source] = record
    return newest
