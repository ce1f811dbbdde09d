"""Notifications that a receiver was exposed to, whether it heard them or not.

A node counts what it missed of a neighbour between two notifications it heard. What was sent before the first
and after the last one it heard is missing in its counters, and so are neighbours it never heard at all: weak
links look better than they are. The neighbour's other listeners tell how much it sent, and the reporter's other
neighbours how long it listened; the smaller of both is the pair's exposure.

Reports are short and take turns, the best heard neighbours first. A reporter that has not yet told of all it hears
says little by not naming a neighbour: its unnamed pairs count `UNTOLD` notifications.

All numbers are notifications, decayed to ``now_s`` like the evidence of links.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median
from typing import Final

from meshtwin.twins.folding import EVIDENCE_HALF_LIFE_S, NOTHING_UNTOLD
from meshtwin.twins.silence import SILENT_INTERVALS, rotation_s
from meshtwin.twins.state import LinkRecord, NodeRecord, TwinState

__all__ = ["Exposure", "find_told", "measure_exposure"]

MEMORY_S: Final = EVIDENCE_HALF_LIFE_S / math.log(2)
CERTAIN_SHARE: Final = 0.9  # of the exposure counts as sent for certain: clocks and jitter of the others
CERTAIN_LESS: Final = 2.0  # notifications less: the ones under way, and those before a node is told to listen
UNTOLD: Final = 2.0  # notifications: those named before were heard better, no more is known
TOLD_SHARE: Final = 0.5  # of links listed more than once: the reporter has told of all it hears
USUAL_QUANTILE: Final = 0.75  # see `_usual`; from 0.5 to 0.9 no log-loss changes by more than 1.3 % (seeds 300,000)
PACE_SOURCES: Final = 5  # fewer do not tell how fast notifications follow each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """``sent`` by each source and ``listened`` by each target; ``accounted`` by each listed link.

    ``transmissions``: copies of each notification, by source. ``told``: reporters that have told of all they hear.
    """

    sent: Mapping[int, float]
    listened: Mapping[int, float]
    accounted: Mapping[tuple[int, int], float]
    transmissions: Mapping[int, int]
    told: frozenset[int]

    def missing(self, source: int, target: int) -> float:
        """Notifications of ``source`` that ``target`` did not hear and no counter tells of, never negative."""
        both = min(self.sent.get(source, 0.0), self.listened.get(target, 0.0))
        accounted = self.accounted.get((source, target))
        unheard = max(0.0, CERTAIN_SHARE * both - CERTAIN_LESS - (accounted or 0.0))
        return unheard if accounted is not None or target in self.told else min(unheard, UNTOLD)


def measure_exposure(
    state: TwinState, *, now_s: float, report_interval_s: float, notification_interval_s: float
) -> Exposure:
    """Exposure of all nodes that were heard or reported; a notification interval of 0 gives none."""
    rate_per_s = _measure_pace(state, 1 / notification_interval_s) if notification_interval_s > 0 else 0.0
    accounted: dict[tuple[int, int], float] = {}
    transmissions: dict[int, int] = {}
    newest: dict[int, float] = {}
    by_source: dict[int, list[float]] = {}
    by_target: dict[int, list[float]] = {}
    for target, node in state.nodes.items():
        limit_s = max(SILENT_INTERVALS * report_interval_s, 2 * rotation_s(node)) if node.links else 0.0
        for source, record in node.links.items():
            value = _accounted(node, record, now_s, limit_s, rate_per_s)
            accounted[source, target] = value
            if rate_per_s > 0:
                by_source.setdefault(source, []).append(value)
                by_target.setdefault(target, []).append(value)
            if record.evidence and record.listed_s >= newest.get(source, -math.inf):
                newest[source] = record.listed_s
                transmissions[source] = record.newest_transmissions
    return Exposure(
        sent={source: _usual(values) for source, values in by_source.items()},
        listened={target: _usual(values) for target, values in by_target.items()},
        accounted=accounted,
        transmissions=transmissions,
        told=find_told(state),
    )


def find_told(state: TwinState) -> frozenset[int]:
    """Reporters that have told of all they hear; reports are short and list new neighbours before known ones."""
    return frozenset(target for target, node in state.nodes.items() if _has_told_all(node))


def _measure_pace(state: TwinState, nominal_per_s: float) -> float:
    """Notifications per second of the receiver's clock, from counters that were listed at different times.

    The nominal rate where too few sources tell: a gateway may have stretched the interval, and an emulated mesh may
    run faster than the clock. Counters of one source are compared between the listeners that were listed first and
    last; those that began to count late or anew move single sources, not the median.
    """
    by_source: dict[int, list[LinkRecord]] = {}
    for node in state.nodes.values():
        for source, record in node.links.items():
            by_source.setdefault(source, []).append(record)
    paces: list[float] = []
    for records in by_source.values():
        newest = max(records, key=_listed_s)
        oldest = min((r for r in records if r.epoch == newest.epoch), key=_listed_s)
        if newest.listed_s - oldest.listed_s >= 1 / nominal_per_s and newest.last > oldest.last:
            paces.append((newest.last - oldest.last) / (newest.listed_s - oldest.listed_s))
    return median(paces) if len(paces) >= PACE_SOURCES else nominal_per_s


def _listed_s(record: LinkRecord) -> float:
    return record.listed_s


def _usual(values: list[float]) -> float:
    """The upper quartile: weak links account for less than was sent, and counters that restarted for more."""
    return sorted(values)[int(USUAL_QUANTILE * (len(values) - 1))]


def _has_told_all(node: NodeRecord) -> bool:
    """Whether most links were listed again after the first time."""
    again = sum(record.listings > 1 for record in node.links.values())
    return again > TOLD_SHARE * len(node.links)


def _accounted(node: NodeRecord, record: LinkRecord, now_s: float, limit_s: float, rate_per_s: float) -> float:
    """Counted notifications, and those since the link was listed last as far as reports are slow to list it.

    What was counted and not yet told when a count began anew (a node counts anew when its neighbour repeats
    otherwise, as after a push) was neither heard nor missed as far as anybody knows; it is accounted for as well.
    ``limit_s``: how long a link that is alive may go without being listed.
    """
    decay: float = 0.5 ** (max(0.0, now_s - record.evidence_s) / EVIDENCE_HALF_LIFE_S)
    counted = decay * record.notifications
    if record.untold != NOTHING_UNTOLD:
        seconds, since = record.untold
        counted += decay * max(0.0, rate_per_s * seconds - since)
    reported_s = record.listed_s if node.reported_s is None else node.reported_s
    silent_s = max(0.0, reported_s - record.listed_s - limit_s)
    waiting_s = max(0.0, now_s - record.listed_s - silent_s)
    return counted + rate_per_s * MEMORY_S * (1 - math.exp(-waiting_s / MEMORY_S))
