"""What can be wrong with a MeshSegment that no schema sees: it needs other objects to be looked at."""

from collections.abc import Iterator, Sequence

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.indexes import may_share_nodes
from meshtwin_operator.reconcile.stacks import check_stack
from meshtwin_operator.reconcile.tree import age_key, find_lineage
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["check_segment"]


def check_segment(world: World, segment: MeshSegment, inventory: Inventory, root: str) -> None:
    """Raises `InvalidInput` with reason and place; of two segments in conflict the younger one is at fault.

    Only segments of the tree of the twin ``root`` conflict. Ties of age go to the name that sorts first.
    """
    check_stack(segment)
    older = list(_older_rivals(world, segment, inventory, root))
    _check_gateway(segment, older)
    _check_owners(world, segment, inventory, older)
    _check_flows(segment, inventory)


def _older_rivals(world: World, segment: MeshSegment, inventory: Inventory, root: str) -> Iterator[MeshSegment]:
    """Older segments of the tree with the same gateway or perhaps the same nodes: few of many."""
    namespace = segment.metadata.namespace
    names = set(world.sharing_nodes(namespace, inventory))
    if segment.spec.gateway_id is not None:
        names |= {one.metadata.name for one in world.find("MeshSegment", namespace, "gateway", segment.spec.gateway_id)}
    for name in sorted(names - {segment.metadata.name}):
        other = world.get(ObjectKey("MeshSegment", namespace, name))
        if not isinstance(other, MeshSegment) or age_key(other) >= age_key(segment):
            continue
        if _root_of(world, other) == root:
            yield other


def _root_of(world: World, segment: MeshSegment) -> str | None:
    """Name of the root of a segment's tree; None if its twin is not in order."""
    try:
        return find_lineage(world, segment.metadata.namespace, segment.spec.twin_ref.name).root.metadata.name
    except InvalidInput:
        return None


def _check_gateway(segment: MeshSegment, older: Sequence[MeshSegment]) -> None:
    mine = segment.spec.gateway_id
    for other in older:
        if mine is not None and other.spec.gateway_id == mine:
            raise InvalidInput(
                f"gateway {mine!r} belongs to the older segment {other.metadata.name!r}",
                reason="GatewayClaimed",
                place="spec.gatewayId",
            )


def _check_owners(world: World, segment: MeshSegment, inventory: Inventory, older: Sequence[MeshSegment]) -> None:
    addresses = set(inventory.addresses)
    devices = {node.device_uuid.lower() for node in inventory.nodes}
    for other in older:
        theirs = world.inventory(other.metadata.namespace, other.metadata.name).inventory
        if theirs is None or not may_share_nodes(inventory, theirs):
            continue
        for node in theirs.nodes:
            if node.address in addresses or node.device_uuid.lower() in devices:
                raise InvalidInput(
                    f"node {format_address(node.address)} (device {node.device_uuid}) belongs to the older "
                    f"segment {other.metadata.name!r}",
                    reason="NodeOwnedTwice",
                    place="spec.inventory",
                )


def _check_flows(segment: MeshSegment, inventory: Inventory) -> None:
    known = set(inventory.addresses)
    for index, flow in enumerate(segment.spec.flows):
        place = f"spec.flows[{index}]"
        source, destination = int(flow.source, 16), int(flow.destination, 16)
        if source not in known:
            raise InvalidInput(
                f"source {flow.source} is not in the inventory", reason="UnknownNode", place=f"{place}.source"
            )
        if not [member for member in inventory.members(destination) if member != source]:
            raise InvalidInput(
                f"destination {flow.destination} reaches no node of the inventory besides the source",
                reason="FlowReachesNobody",
                place=f"{place}.destination",
            )
