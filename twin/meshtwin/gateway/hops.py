"""Distances from the gateway by who hears whom, for stacks that do not tell a received TTL. Pure."""

import heapq
from collections.abc import Mapping

__all__ = ["compute_hops"]


def compute_hops(gateway: int, heard: Mapping[tuple[int, int], float]) -> dict[int, int]:
    """Hops of every node that is connected to ``gateway``, its neighbours 1; the gateway itself is left out.

    ``heard``: (node, neighbour) to the share of the neighbour's notifications that it got, above 0 and up to 1.
    A link is as long as the transmissions that it takes in its worse direction, so that a node heard only now and
    then is not taken for a neighbour. Each hop counts at least 1, and fractions are cut off at the end: whatever
    lies behind a node is farther than the node.

    >>> compute_hops(1, {(1, 2): 1.0, (3, 2): 0.9, (1, 3): 0.2, (8, 9): 1.0})
    {2: 1, 3: 2}
    """
    lengths: dict[int, dict[int, float]] = {}
    for (node, neighbour), share in heard.items():
        length = 1 / min(share, heard.get((neighbour, node), share), 1.0)
        lengths.setdefault(node, {})[neighbour] = length
        lengths.setdefault(neighbour, {})[node] = length
    distance = {gateway: 0.0}
    queue = [(0.0, gateway)]
    while queue:
        so_far, node = heapq.heappop(queue)
        if so_far > distance[node]:
            continue
        for neighbour, length in lengths.get(node, {}).items():
            if so_far + length < distance.get(neighbour, float("inf")):
                distance[neighbour] = so_far + length
                heapq.heappush(queue, (so_far + length, neighbour))
    return {node: int(far) for node, far in sorted(distance.items(), key=lambda d: (d[1], d[0])) if node != gateway}
