"""Overlaying segments at their border nodes: one snapshot of several, and what could not be joined.

A link from a foreign node, heard in one segment, becomes an inner link once the snapshot that holds the
node is overlaid. Works on snapshots of segments and of parents alike, so a parent may have a parent.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.nodes import Flow, Node, sort_nodes
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.twins.partial import Gap, PartialSnapshot

__all__ = ["find_border_links", "overlay"]


def overlay(children: Sequence[PartialSnapshot], gaps: Iterable[Gap] = ()) -> PartialSnapshot:
    """The children as one network, as old as the oldest of them; ``children`` must not be empty.

    A node named by two children stays with the first (by order of ``children``) and is listed as a gap; of
    a link told twice the estimate with more evidence stays. Flows of equal name and different meaning are
    renamed to ``<segment>.<name>``.
    """
    owners: dict[UnicastAddress, tuple[str, Node]] = {}
    found = [*gaps, *(gap for child in children for gap in child.gaps)]
    for child in children:
        label = _label(child.snapshot)
        for node in child.snapshot.nodes:
            if node.address in owners:
                first = owners[node.address][0]
                found.append(Gap(format_address(node.address), f"owned by {first} and {label}; {first} counts"))
                continue
            owners[node.address] = (label, node)
    snapshots = [child.snapshot for child in children]
    configuration = Configuration()
    for snapshot in reversed(snapshots):
        configuration = configuration.overlaid(snapshot.configuration)
    combined = Snapshot(
        taken_at=min(snapshot.taken_at for snapshot in snapshots),
        nodes=sort_nodes(node for _, node in owners.values()),
        links=_join_links(snapshots),
        configuration=configuration,
        flows=_join_flows(snapshots),
        segments=_join_segments(snapshots),
        profile=snapshots[0].profile,
        notification_interval_s=max(snapshot.notification_interval_s for snapshot in snapshots),
    )
    if len({snapshot.profile for snapshot in snapshots}) > 1:
        found.append(Gap("profile", f"stack profiles differ; {combined.profile} is used for all"))
    sources = {child.load_source for child in children}
    load_source = sources.pop() if len(sources) == 1 else "mixed"
    standings = {segment: card for child in reversed(children) for segment, card in child.standings.items()}
    return PartialSnapshot(snapshot=combined, gaps=tuple(found), load_source=load_source, standings=standings)


def find_border_links(snapshot: Snapshot) -> tuple[LinkEstimate, ...]:
    """Links with an end that the snapshot does not hold, ascending by (source, target)."""
    known = {node.address for node in snapshot.nodes}
    return tuple(link for link in snapshot.links if link.source not in known or link.target not in known)


def _label(snapshot: Snapshot) -> str:
    return "+".join(segment.name for segment in snapshot.segments) or "?"


def _join_links(snapshots: Sequence[Snapshot]) -> tuple[LinkEstimate, ...]:
    joined: dict[tuple[UnicastAddress, UnicastAddress], LinkEstimate] = {}
    for snapshot in snapshots:
        for link in snapshot.links:
            known = joined.get((link.source, link.target))
            if known is None or _evidence(link) > _evidence(known):
                joined[(link.source, link.target)] = link
    return tuple(joined[key] for key in sorted(joined))


def _evidence(link: LinkEstimate) -> float:
    return link.delivery_alpha + link.delivery_beta


def _join_flows(snapshots: Sequence[Snapshot]) -> tuple[Flow, ...]:
    joined: dict[str, Flow] = {}
    for snapshot in snapshots:
        for flow in snapshot.flows:
            known = joined.setdefault(flow.name, flow)
            if known != flow:
                renamed = replace(flow, name=f"{_label(snapshot)}.{flow.name}")
                joined.setdefault(renamed.name, renamed)
    return tuple(joined[name] for name in sorted(joined))


def _join_segments(snapshots: Sequence[Snapshot]) -> tuple[SegmentView, ...]:
    joined: dict[str, SegmentView] = {}
    for snapshot in snapshots:
        for segment in snapshot.segments:
            joined.setdefault(segment.name, segment)
    return tuple(joined[name] for name in sorted(joined))
