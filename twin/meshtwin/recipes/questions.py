"""What a what-if asks for, as changes of a snapshot."""

from collections.abc import Sequence
from dataclasses import replace

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress, expand_ranges
from meshtwin.mesh.configuration import NodeSettings, expand_settings
from meshtwin.mesh.nodes import Flow, Node, Position
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.recipes.messages import AddedNodeModel, FlowChangeModel, WhatIfRequest
from meshtwin.recipes.values import find_segment
from meshtwin.whatif.forks import AddNode, ApplySettings, Change, ChangeTraffic, FailNodes, MoveNode

__all__ = ["changes_of"]


def changes_of(request: WhatIfRequest, snapshot: Snapshot) -> tuple[Change, ...]:
    """The changes that a what-if asks for, in the order settings, failures, moves, new nodes, traffic.

    Raises `InvalidInput` with the place of what is unknown or incomplete.
    """
    inventory = find_segment(snapshot, request.segment).addresses
    changes: list[Change] = []
    if request.settings:
        ranges = [entry.to_value() for entry in request.settings]
        changes.append(ApplySettings(configuration=expand_settings(ranges, inventory, "settings")))
    if request.failed_nodes:
        failed = expand_ranges(request.failed_nodes, inventory, "failedNodes")
        changes.append(FailNodes(addresses=frozenset(failed)))
    for index, moved in enumerate(request.moved_nodes):
        (address,) = expand_ranges([moved.node], inventory, f"movedNodes[{index}].node")
        changes.append(MoveNode(address=address, position=_position(moved.position_metres)))
    for index, added in enumerate(request.added_nodes):
        changes.append(_added(added, request.segment, f"addedNodes[{index}]"))
    if request.traffic:
        changes.append(_traffic(request.traffic, snapshot))
    return tuple(changes)


def _position(metres: Sequence[float]) -> Position:
    return Position(*metres)


def _added(asked: AddedNodeModel, segment: str, place: str) -> AddNode:
    said = asked.settings
    if said is not None and [n.lower() for n in said.nodes] != [asked.node]:
        raise InvalidInput(
            f"settings of new node {asked.node} are for {', '.join(said.nodes)}", place=f"{place}.settings.nodes"
        )
    node = Node(
        address=UnicastAddress(int(asked.node, 16)),
        device_uuid=f"planned-{asked.node}",
        groups=frozenset(GroupAddress(int(g, 16)) for g in asked.groups),
        position=_position(asked.position_metres),
    )
    return AddNode(node=node, segment=segment, settings=NodeSettings() if said is None else said.to_settings())


def _traffic(asked: Sequence[FlowChangeModel], snapshot: Snapshot) -> ChangeTraffic:
    known = {f.name: f for f in snapshot.flows}
    flows = tuple(
        _flow(change, known.get(change.name), f"traffic[{index}]")
        for index, change in enumerate(asked)
        if not change.removed
    )
    return ChangeTraffic(flows=flows, removed=frozenset(change.name for change in asked if change.removed))


def _flow(change: FlowChangeModel, there: Flow | None, place: str) -> Flow:
    source = None if change.source is None else UnicastAddress(int(change.source, 16))
    destination = None if change.destination is None else int(change.destination, 16)
    rate_per_minute, deadline_ms = change.rate_per_minute, change.deadline_milliseconds
    if there is not None:
        return replace(
            there,
            source=there.source if source is None else source,
            destination=there.destination if destination is None else destination,
            rate_per_minute=there.rate_per_minute if rate_per_minute is None else rate_per_minute,
            deadline_ms=there.deadline_ms if deadline_ms is None else deadline_ms,
        )
    if source is None or destination is None or rate_per_minute is None or deadline_ms is None:
        raise InvalidInput(
            f"flow {change.name!r} is new: it needs source, destination, ratePerMinute and deadlineMilliseconds",
            reason="IncompleteFlow",
            place=place,
        )
    return Flow(
        name=change.name,
        source=source,
        destination=destination,
        rate_per_minute=rate_per_minute,
        deadline_ms=deadline_ms,
    )
