"""Places for nodes of which only the links are known; always the same for the same links.

Distances are hops, longer where delivery is bad. All between all, where they are few: classical multidimensional
scaling (Torgerson 1952), then stress majorisation (Gansner, Koren and North 2004). Of larger networks those to chosen
nodes: pivot multidimensional scaling (Brandes and Pich 2006), in which leaves of one node may crowd.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["lay_out"]

Floats = NDArray[np.float64]
Wholes = NDArray[np.int64]

EXACT_MOST: Final = 300  # nodes of which all distances are taken: cubic in time, half a second
PIVOTS: Final = 50  # of larger networks; more change no picture
SWEEPS: Final = 150  # of stress majorisation at most
ENOUGH: Final = 1e-4  # a sweep that lowers stress by a smaller share is the last
GAP: Final = 1.0  # between parts that do not hear each other, in hops
ONE_ROW: Final = 6  # so many parts stand side by side, whatever their sizes
ROW: Final = 1.6  # width of the whole over its height, where many parts are in rows
CROWDED: Final = 0.3  # hops from the common place of nodes that all distances have alike


def lay_out(count: int, first: Wholes, second: Wholes, lengths: Floats) -> Floats:
    """(count, 2) float64: places of nodes 0 .. count - 1 that have links of ``lengths`` between them, in hops.

    Parts that hear nothing of each other stand side by side, the largest first, many in rows; nodes without links make
    a block of their own.
    """
    blocks: list[tuple[Wholes, Floats]] = []
    alone: list[int] = []
    for part in _parts(count, first, second):
        if len(part) == 1:
            alone.append(int(part[0]))
            continue
        inside = np.isin(first, part) if len(part) < count else np.ones(len(first), dtype=bool)
        own = _lay_out_part(
            len(part), np.searchsorted(part, first[inside]), np.searchsorted(part, second[inside]), lengths[inside]
        )
        blocks.append((part, own - own.min(axis=0)))
    if alone:
        number, columns = np.arange(len(alone)), max(1, round(len(alone) ** 0.5))
        blocks.append((np.array(alone), np.column_stack((number % columns, number // columns)).astype(np.float64)))
    places = np.zeros((count, 2))
    for part, own in _shelve(blocks):
        places[part] = own
    return places


def _shelve(blocks: Sequence[tuple[Wholes, Floats]]) -> Iterator[tuple[Wholes, Floats]]:
    """Blocks from left to right, and in rows where one row would be much wider than high."""
    sizes = [own.max(axis=0) + GAP for _, own in blocks]
    area = float(sum(wide * high for wide, high in sizes))
    widest = np.inf if len(blocks) <= ONE_ROW else max(ROW * area**0.5, float(sizes[0][0]))
    left = below = highest = 0.0
    for (part, own), (wide, high) in zip(blocks, sizes, strict=True):
        if left > 0.0 and left + wide > widest:
            left, below, highest = 0.0, below - highest, 0.0
        yield part, own + np.array((left, below - (high - GAP)))
        left, highest = left + float(wide), max(highest, float(high))


def _parts(count: int, first: Wholes, second: Wholes) -> list[Wholes]:
    """Connected parts as ascending node numbers, the largest first, ties by the lowest number."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(count))
    graph.add_edges_from(zip(first.tolist(), second.tolist(), strict=True))
    parts = [np.array(sorted(part), dtype=np.int64) for part in nx.connected_components(graph)]
    return sorted(parts, key=lambda part: (-len(part), part[0]))


def _lay_out_part(count: int, first: Wholes, second: Wholes, lengths: Floats) -> Floats:
    if count == 2:
        return np.array([[0.0, 0.0], [float(lengths.min()), 0.0]])
    if count > EXACT_MOST:
        return _spread(_scale(np.stack(list(_pivot_hops(count, first, second)), axis=1)))
    distances = _all_distances(count, first, second, lengths)
    return _majorise(_spread(_scale(distances)), distances)


def _all_distances(count: int, first: Wholes, second: Wholes, lengths: Floats) -> Floats:
    """(count, count) float64: shortest ways (Floyd and Warshall)."""
    found = np.full((count, count), np.inf)
    np.minimum.at(found, (first, second), lengths)
    np.minimum.at(found, (second, first), lengths)
    np.fill_diagonal(found, 0.0)
    for via in range(count):
        np.minimum(found, found[:, via, None] + found[None, via, :], out=found)
    return found


def _pivot_hops(count: int, first: Wholes, second: Wholes) -> Iterator[Floats]:
    """(count,) float64 each: hops to a pivot; each pivot is as far as possible from those before."""
    import networkx as nx

    graph: Any = nx.Graph(zip(first.tolist(), second.tolist(), strict=True))
    nearest, pivot = np.full(count, np.inf), 0
    for _ in range(PIVOTS):
        told = nx.single_source_shortest_path_length(graph, pivot)
        hops = np.array([told[node] for node in range(count)], dtype=np.float64)
        yield hops
        nearest = np.minimum(nearest, hops)
        pivot = int(nearest.argmax())


def _scale(distances: Floats) -> Floats:
    """(n, 2) places whose distances resemble ``distances`` (n, pivots)."""
    squares = distances**2
    centred = -0.5 * (squares - squares.mean(axis=0) - squares.mean(axis=1, keepdims=True) + squares.mean())
    _, vectors = np.linalg.eigh(centred.T @ centred)
    places = centred @ vectors[:, [-1, -2]]
    largest = places[np.abs(places).argmax(axis=0), [0, 1]]
    signs = np.where(np.abs(places[0]) > 1e-6 * np.abs(largest), places[0], -largest)
    places *= np.where(signs > 0.0, -1.0, 1.0)  # an axis has no sign of its own: the first node is on the left
    across = np.sqrt(((places[:, None, :1] - places[None, :1, :1]) ** 2).sum(axis=2)).max()
    farthest = distances.max()
    return np.asarray(places * (farthest / across if across > 0.0 else 1.0), dtype=np.float64)


def _spread(places: Floats) -> Floats:
    """Nodes at one and the same place put around it."""
    size = max(float(np.abs(places).max()), 1e-9)
    _, group, counts = np.unique(np.round(places / size, 6), axis=0, return_inverse=True, return_counts=True)
    group = group.reshape(-1)
    rank = np.array(list(_ranks(group.tolist())), dtype=np.float64)
    angle = 2.0 * np.pi * rank / counts[group]
    around = CROWDED * np.column_stack((np.cos(angle), np.sin(angle)))
    return places + np.where((counts[group] > 1)[:, None], around, 0.0)


def _ranks(groups: Sequence[int]) -> Iterator[int]:
    """How many of the same group came before each."""
    seen: dict[int, int] = {}
    for group in groups:
        yield seen.get(group, 0)
        seen[group] = seen.get(group, 0) + 1


def _majorise(places: Floats, distances: Floats) -> Floats:
    """``places`` moved until their distances are as near to ``distances`` as a plane allows, near ones first."""
    count = len(places)
    weights = 1.0 / np.where(distances > 0.0, distances, 1.0) ** 2
    np.fill_diagonal(weights, 0.0)
    inverse = np.linalg.pinv(np.diag(weights.sum(axis=1)) - weights)
    before = np.inf
    for _ in range(SWEEPS):
        apart = np.sqrt(((places[:, None, :] - places[None, :, :]) ** 2).sum(axis=2))
        stress = float((weights * (apart - distances) ** 2).sum())
        if stress >= before * (1.0 - ENOUGH):
            break
        before = stress
        ratio = weights * np.divide(distances, apart, out=np.zeros_like(apart), where=apart > 1e-9)
        pull = -ratio
        pull[np.arange(count), np.arange(count)] = ratio.sum(axis=1)
        places = inverse @ (pull @ places)
    return places
