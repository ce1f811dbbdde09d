"""Counts, freshness and readiness of a segment: cheap figures for the summary, without estimating links."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from meshtwin.twins.exposure import find_told
from meshtwin.twins.silence import rotation_s
from meshtwin.twins.state import TwinState

__all__ = ["Rollup", "roll_up", "why_young"]

FRESH_INTERVALS: Final = 6  # report intervals, on top of the time in which a reporter lists all its neighbours
READY_SHARE: Final = 0.9  # of nodes that reported: the rest may be switched off at the wall
READY_NOTIFICATIONS: Final = 3.0  # per link on average: fewer say nothing about its delivery
# A report names two or three of the neighbours, so links come in over many reports. While some are missing, and not
# merely uncertain, a configuration with few relays seems to reach nobody. That shows in links known one way only: most
# radio links work both ways, and both ends tell. Below 0.75 known both ways the predicted on-time share of good
# configurations was 0.6 too low in the mean, from 0.85 on 0.04 at worst (14 emulated networks, 1 to 6 minutes old; see
# "Young twins" in MODELS.md). Where links do differ by direction, it is enough that half of the nodes told of all.
READY_BOTH_WAYS: Final = 0.85
READY_TOLD_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollup:
    """Figures of one segment; ``age_s`` is None before the first report."""

    nodes: int
    nodes_heard: int  # reported themselves or were heard by another within the time of freshness
    links: int
    links_fresh: int
    border_nodes: tuple[int, ...]  # foreign nodes heard, ascending
    age_s: float | None
    newest_report_s: float | None
    is_ready: bool
    waiting_for: str  # why it is not ready; empty when it is


def roll_up(state: TwinState, addresses: Collection[int], *, now_s: float, report_interval_s: float) -> Rollup:
    """The figures of a segment with the nodes ``addresses`` at ``now_s``."""
    fresh_s = FRESH_INTERVALS * report_interval_s
    known = set(addresses)
    heard: set[int] = set()
    border: set[int] = set()
    reporters = links = links_fresh = 0
    evidence = 0.0
    for target, node in state.nodes.items():
        if node.reported_s is not None:
            reporters += 1
            if now_s - node.reported_s <= fresh_s:
                heard.add(target)
        link_fresh_s = fresh_s + rotation_s(node)
        for source, record in node.links.items():
            links += 1
            evidence += sum(h + m for _, h, m in record.evidence)
            is_fresh = now_s - record.heard_s <= link_fresh_s
            links_fresh += is_fresh
            (heard if source in known else border).update((source,) if is_fresh else ())
    waiting_for = _waiting_for(state, known, reporters, evidence / max(1, links))
    newest_s = state.newest_report_s
    return Rollup(
        nodes=len(known),
        nodes_heard=len(heard & known),
        links=links,
        links_fresh=links_fresh,
        border_nodes=tuple(sorted(border)),
        age_s=None if newest_s is None else max(0.0, now_s - newest_s),
        newest_report_s=newest_s,
        is_ready=not waiting_for,
        waiting_for=waiting_for,
    )


def why_young(state: TwinState, known: Collection[int]) -> str:
    """Why predictions would be too low, because reports have not told of enough links yet; empty if they have.

    ``known``: the nodes of the segment.
    """
    both_ways = _share_both_ways(state, known)
    if both_ways >= READY_BOTH_WAYS or len(find_told(state).intersection(known)) >= READY_TOLD_SHARE * len(known):
        return ""
    return f"the evidence is young: {both_ways:.0%} of links are known both ways, {READY_BOTH_WAYS:.0%} are needed"


def _waiting_for(state: TwinState, known: Collection[int], reporters: int, notifications_per_link: float) -> str:
    if state.reported is None or state.reported.revision is None:
        return "the configuration in force was not reported yet"
    nodes = len(known)
    if reporters < READY_SHARE * nodes:
        return f"{reporters} of {nodes} nodes reported neighbours, {READY_SHARE:.0%} are needed"
    if notifications_per_link < READY_NOTIFICATIONS:
        return f"{notifications_per_link:.1f} notifications per link, {READY_NOTIFICATIONS} are needed"
    return why_young(state, known)


def _share_both_ways(state: TwinState, known: Collection[int]) -> float:
    """Share of the links between reporters of the segment of which the other direction was told, too; 1 if none."""
    reporters = {a for a in known if a in state.nodes and state.nodes[a].reported_s is not None}
    links = [(source, target) for target in reporters for source in state.nodes[target].links if source in reporters]
    told = set(links)
    return sum((target, source) in told for source, target in links) / len(links) if links else 1.0
