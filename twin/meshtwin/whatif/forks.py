"""Forks: a snapshot with something changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import assert_never

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Flow, Node, Position, sort_nodes
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.whatif.placement import expect_links

__all__ = [
    "AddNode",
    "ApplySettings",
    "Change",
    "ChangeTraffic",
    "FailNodes",
    "MoveNode",
    "flow_members",
    "fork",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySettings:
    """Puts ``configuration`` on top of what is in force."""

    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class FailNodes:
    """Takes nodes away: they neither send nor hear, and are no members of their groups any more."""

    addresses: frozenset[UnicastAddress]


@dataclass(frozen=True, slots=True, kw_only=True)
class MoveNode:
    """Puts a node somewhere else: its links are those that its new place lets expect."""

    address: UnicastAddress
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class AddNode:
    """Puts a new node into ``segment``; its links are those that its place lets expect.

    ``node`` needs a position. ``settings``: what is set on it; what is unsaid has the stack's defaults.
    """

    node: Node
    segment: str
    settings: NodeSettings = field(default_factory=NodeSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeTraffic:
    """Puts ``flows`` in the place of those of the same names, and adds the others; takes ``removed`` out."""

    flows: tuple[Flow, ...] = ()
    removed: frozenset[str] = frozenset()


Change = ApplySettings | FailNodes | MoveNode | AddNode | ChangeTraffic


def fork(snapshot: Snapshot, changes: Sequence[Change]) -> Snapshot:
    """A new snapshot with ``changes`` applied in order; ``snapshot`` stays as it is.

    Raises `InvalidInput` for a change of a node or flow that the snapshot does not hold (``UnknownNode``,
    ``UnknownFlow``), a node or flow to nowhere, an address that is taken, or a place from which nothing can
    be expected (``NoPlacement``).
    """
    for index, change in enumerate(changes):
        place = f"changes[{index}]"
        match change:
            case ApplySettings():
                _check_known(snapshot, change.configuration.addresses, place)
                snapshot = replace(snapshot, configuration=snapshot.configuration.overlaid(change.configuration))
            case FailNodes():
                _check_known(snapshot, change.addresses, place)
                snapshot = _without(snapshot, change.addresses)
            case MoveNode():
                _check_known(snapshot, [change.address], place)
                snapshot = _moved(snapshot, change, place)
            case AddNode():
                snapshot = _with_node(snapshot, change, place)
            case ChangeTraffic():
                snapshot = _with_traffic(snapshot, change, place)
            case _:
                assert_never(change)
    return snapshot


def flow_members(nodes: Iterable[Node], flow: Flow) -> tuple[UnicastAddress, ...]:
    """Nodes that ``flow`` is meant for, ascending, its source left out; empty: nobody listens."""
    return tuple(
        n.address
        for n in nodes
        if n.address != flow.source
        and (n.address <= flow.destination < n.address + n.element_count or flow.destination in n.groups)
    )


def _check_known(snapshot: Snapshot, addresses: Iterable[UnicastAddress], place: str) -> None:
    known = {n.address for n in snapshot.nodes}
    for address in addresses:
        if address not in known:
            raise InvalidInput(
                f"node {format_address(address)} is not in the snapshot", reason="UnknownNode", place=place
            )


def _without(snapshot: Snapshot, failed: frozenset[UnicastAddress]) -> Snapshot:
    """Flows that lose their source or their last member go too: there is nothing to ask of them."""
    nodes = tuple(n for n in snapshot.nodes if n.address not in failed)
    staying = [n.address for n in nodes]
    return replace(
        snapshot,
        nodes=nodes,
        links=tuple(k for k in snapshot.links if k.source not in failed and k.target not in failed),
        configuration=snapshot.configuration.restricted(staying),
        flows=tuple(f for f in snapshot.flows if f.source not in failed and flow_members(nodes, f)),
        segments=tuple(
            replace(
                s,
                addresses=tuple(a for a in s.addresses if a not in failed),
                gateway_address=None if s.gateway_address in failed else s.gateway_address,
            )
            for s in snapshot.segments
        ),
    )


def _moved(snapshot: Snapshot, change: MoveNode, place: str) -> Snapshot:
    """Links to neighbours outside the snapshot go, too: where those stand is not known."""
    links = expect_links(snapshot, change.address, change.position, place)
    staying = tuple(k for k in snapshot.links if change.address not in (k.source, k.target))
    return replace(
        snapshot,
        nodes=tuple(replace(n, position=change.position) if n.address == change.address else n for n in snapshot.nodes),
        links=_sorted(staying + links),
    )


def _with_node(snapshot: Snapshot, change: AddNode, place: str) -> Snapshot:
    node = change.node
    if change.segment not in {s.name for s in snapshot.segments}:
        raise InvalidInput(
            f"segment {change.segment!r} is not in the snapshot", reason="UnknownSegment", place=f"{place}.segment"
        )
    last = node.address + node.element_count - 1
    for other in snapshot.nodes:
        if node.address < other.address + other.element_count and other.address <= last:
            raise InvalidInput(
                f"address {format_address(node.address)} is taken by node {format_address(other.address)}",
                reason="DuplicateAddress",
                place=f"{place}.address",
            )
    if node.position is None:
        raise InvalidInput(
            f"new node {format_address(node.address)} has no position: its links can't be expected",
            reason="NoPlacement",
            place=f"{place}.position",
        )
    links = expect_links(snapshot, node.address, node.position, f"{place}.position")
    return replace(
        snapshot,
        nodes=sort_nodes((*snapshot.nodes, node)),
        links=_sorted(snapshot.links + links),
        configuration=snapshot.configuration.overlaid(Configuration.of({node.address: change.settings})),
        segments=tuple(_extended(s, node.address) if s.name == change.segment else s for s in snapshot.segments),
    )


def _extended(segment: SegmentView, address: UnicastAddress) -> SegmentView:
    return replace(segment, addresses=tuple(sorted((*segment.addresses, address))))


def _sorted(links: Iterable[LinkEstimate]) -> tuple[LinkEstimate, ...]:
    return tuple(sorted(links, key=lambda k: (k.source, k.target)))


def _with_traffic(snapshot: Snapshot, change: ChangeTraffic, place: str) -> Snapshot:
    named = {f.name: f for f in change.flows}
    known = [f.name for f in snapshot.flows]
    if strange := sorted(change.removed - set(known)):
        raise InvalidInput(
            f"flow {strange[0]!r} is not in the snapshot; known: {', '.join(known) or 'none'}",
            reason="UnknownFlow",
            place=f"{place}.removed",
        )
    _check_known(snapshot, [f.source for f in change.flows], f"{place}.flows")
    for flow in change.flows:
        if not flow_members(snapshot.nodes, flow):
            raise InvalidInput(
                f"flow {flow.name!r} goes to {format_address(flow.destination)}, where nobody listens",
                reason="NoMember",
                place=f"{place}.flows",
            )
    kept = tuple(named.pop(f.name, f) for f in snapshot.flows if f.name not in change.removed)
    return replace(snapshot, flows=(*kept, *named.values()))
