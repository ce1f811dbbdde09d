"""Forks: a snapshot with something changed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import Snapshot

__all__ = ["ApplySettings", "Change", "FailNodes", "flow_members", "fork"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplySettings:
    """Puts ``configuration`` on top of what is in force."""

    configuration: Configuration


@dataclass(frozen=True, slots=True, kw_only=True)
class FailNodes:
    """Takes nodes away: they neither send nor hear, and are no members of their groups any more."""

    addresses: frozenset[UnicastAddress]


Change = ApplySettings | FailNodes


def fork(snapshot: Snapshot, changes: Sequence[Change]) -> Snapshot:
    """A new snapshot with ``changes`` applied in order; ``snapshot`` stays as it is.

    Raises `InvalidInput` (reason ``UnknownNode``) for a change of a node that the snapshot does not hold.
    """
    for index, change in enumerate(changes):
        match change:
            case ApplySettings():
                _check_known(snapshot, change.configuration.addresses, f"changes[{index}]")
                snapshot = replace(snapshot, configuration=snapshot.configuration.overlaid(change.configuration))
            case FailNodes():
                _check_known(snapshot, change.addresses, f"changes[{index}]")
                snapshot = _without(snapshot, change.addresses)
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
