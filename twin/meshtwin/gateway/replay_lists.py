"""Replay protection lists: how many sources a node must remember, and which nodes cannot. Pure.

A node accepts messages of a source alone if the source is, or still fits, in its list (Mesh Protocol 1.1, 3.9.8;
CRPL, 4.2.1.1). A list that neighbours' notifications have filled drops the button that comes later, so that this is
checked before anything is switched on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshtwin.contract.configuration import FlowSpec
from meshtwin.gateway.foundation import NodeComposition
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["Senders", "Shortage", "compute_needed", "find_full", "find_shortages"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A node whose list is too small: ``needed`` sources, room for ``replay_list_size``."""

    node: UnicastAddress
    replay_list_size: int
    needed: int

    def __str__(self) -> str:
        return f"{format_address(self.node)} (CRPL {self.replay_list_size}, needs {self.needed})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """Who may be heard: the segment's ``nodes``, its ``gateway``'s node, and ``neighbours_at_most`` by one node.

    ``network``: number of nodes of the whole network, other segments included.
    """

    nodes: Sequence[int]
    gateway: int
    neighbours_at_most: int
    network: int


def compute_needed(node: int, senders: Senders, flows: Sequence[FlowSpec]) -> int:
    """Sources that ``node`` may have to remember once all nodes notify their neighbours.

    The gateway, which configures it; the sources of flows to it; and its neighbours, which may be none of those;
    never more than the network has others. The gateway's own node gets reports of all nodes of its segment.

    >>> compute_needed(3, Senders(nodes=range(1, 30), gateway=1, neighbours_at_most=9, network=60), flows=())
    10
    """
    to_node = {senders.gateway} | {int(f.source, 16) for f in flows if node in _receivers(f)}
    far = set(senders.nodes) if node == senders.gateway else to_node
    return min(senders.network - 1, len(far - {node}) + senders.neighbours_at_most)


def find_shortages(
    compositions: Mapping[UnicastAddress, NodeComposition], senders: Senders, flows: Sequence[FlowSpec]
) -> tuple[Shortage, ...]:
    """Nodes whose composition data says that they cannot remember all sources, ascending by address."""
    out = []
    for node in sorted(UnicastAddress(n) for n in senders.nodes):
        composition = compositions.get(node)
        if composition is None:
            continue
        needed = compute_needed(node, senders, flows)
        if composition.replay_list_size < needed:
            out.append(Shortage(node=node, replay_list_size=composition.replay_list_size, needed=needed))
    return tuple(out)


def find_full(
    sources: Mapping[int, int], compositions: Mapping[UnicastAddress, NodeComposition]
) -> tuple[UnicastAddress, ...]:
    """Nodes that are known to hear as many ``sources`` as their list holds, ascending by address."""
    known = ((UnicastAddress(node), count) for node, count in sorted(sources.items()))
    return tuple(n for n, count in known if n in compositions and count >= compositions[n].replay_list_size)


def _receivers(flow: FlowSpec) -> set[int]:
    return {int(member, 16) for member in flow.members} | {int(flow.destination, 16)}
