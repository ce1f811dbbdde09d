"""The links of a picture: one line for each pair that hears each other, no more than can be seen."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.sim.air import mean_delivery
from meshtwin.sim.scenario import Scenario, ScenarioLink

__all__ = ["LEAST_DRAWN", "Pairs", "find_pairs"]

LEAST_DRAWN: Final = 0.05  # links of less delivery would only blacken the picture
PAIRS_MOST: Final = 8000  # of a picture; of more, those that are strongest at either end
STRONGEST_LEAST: Final = 3  # of each node, in networks however large
QUIETEST_DBM, LOUDEST_DBM = -130.0, -80.0  # below and above, delivery is 0 and 1 to a millionth
STEPS_PER_DB: Final = 100  # powers are alike to a hundredth of a dB count as one, which no picture shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of nodes with a link in at least one direction, by their numbers in the scenario; arrays of one length.

    ``first`` < ``second``; ``worse`` and ``better`` are deliveries 0..1 of both directions, 0 where there is no link.
    ``strongest`` not None: only so many pairs of each node were taken, and what holds parts together.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    worse: NDArray[np.float64]
    better: NDArray[np.float64]
    strongest: int | None = None

    def take(self, kept: NDArray[np.bool_]) -> "Pairs":
        """The pairs that ``kept`` marks."""
        return replace(
            self, first=self.first[kept], second=self.second[kept], worse=self.worse[kept], better=self.better[kept]
        )


def find_pairs(scenario: Scenario) -> Pairs:
    """The pairs of a scenario's nodes, in their order; also of nodes that are switched off."""
    numbers = {node.address: number for number, node in enumerate(scenario.nodes)}
    count = len(scenario.links)
    source, target = _ends(scenario.links, numbers)
    delivery, strength = _deliveries(scenario.links)
    is_known = (source >= 0) & (target >= 0)
    if not count or not is_known.any():
        nothing = np.zeros(0)
        return Pairs(first=nothing.astype(np.int64), second=nothing.astype(np.int64), worse=nothing, better=nothing)
    source, target = source[is_known], target[is_known]
    delivery, strength = delivery[is_known], strength[is_known]
    low, high = np.minimum(source, target), np.maximum(source, target)
    key, inverse, directions = np.unique(low * len(numbers) + high, return_inverse=True, return_counts=True)
    inverse = inverse.reshape(-1)
    worse, better = np.full(len(key), 1.0), np.zeros(len(key))
    weakest = np.full(len(key), np.inf)
    np.minimum.at(worse, inverse, delivery)
    np.maximum.at(better, inverse, delivery)
    np.minimum.at(weakest, inverse, strength)
    worse[directions < 2] = 0.0
    found = Pairs(first=key // len(numbers), second=key % len(numbers), worse=worse, better=better)
    return found if len(key) <= PAIRS_MOST else _thin(found, weakest, len(numbers))


def _ends(
    links: tuple[ScenarioLink, ...], numbers: dict[UnicastAddress, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of source and target of each link; -1: no node."""
    source = np.fromiter((numbers.get(link.source, -1) for link in links), dtype=np.int64, count=len(links))
    target = np.fromiter((numbers.get(link.target, -1) for link in links), dtype=np.int64, count=len(links))
    return source, target


def _deliveries(links: tuple[ScenarioLink, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Delivery 0..1 of each link, and by what links of equal delivery are told apart: their power, if known."""
    power = np.fromiter(
        (np.nan if link.rx_power_dbm is None else link.rx_power_dbm for link in links), dtype=np.float64,
        count=len(links),
    )  # fmt: skip
    told = np.fromiter(
        (np.nan if link.delivery is None else link.delivery for link in links), dtype=np.float64, count=len(links)
    )
    delivery = told.copy()
    silent = np.isnan(told)
    alike = np.flatnonzero(silent)
    steps = np.round(np.clip(power[silent], QUIETEST_DBM, LOUDEST_DBM) * STEPS_PER_DB).astype(np.int64)
    _, which, place = np.unique(steps, return_index=True, return_inverse=True)
    curve = np.array([mean_delivery(links[link]) for link in alike[which].tolist()], dtype=np.float64)
    delivery[silent] = curve[place.reshape(-1)]
    return delivery, np.where(np.isnan(power), delivery, power)


def _thin(pairs: Pairs, strength: NDArray[np.float64], nodes: int) -> Pairs:
    """The strongest of each node, and those without which parts would fall apart."""
    strongest = max(STRONGEST_LEAST, PAIRS_MOST // nodes)
    order = np.lexsort((-strength, -pairs.better, -pairs.worse))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))  # 0: the strongest of all
    kept = np.zeros(len(order), dtype=bool)
    ends = np.concatenate((pairs.first, pairs.second))
    index = np.tile(np.arange(len(order)), 2)
    by_node = np.lexsort((place[index], ends))
    starts = np.searchsorted(ends[by_node], np.arange(nodes))
    rank = np.arange(len(by_node)) - starts[ends[by_node]]
    kept[index[by_node][rank < strongest]] = True
    kept[_bridges(pairs, kept, order, nodes)] = True
    return replace(pairs.take(kept), strongest=strongest)


def _bridges(pairs: Pairs, kept: NDArray[np.bool_], order: NDArray[np.int64], nodes: int) -> list[int]:
    """Of the pairs that are not kept, the strongest that join parts which those kept leave apart."""
    from networkx.utils import UnionFind

    parts = UnionFind(range(nodes))
    for one, other in zip(pairs.first[kept].tolist(), pairs.second[kept].tolist(), strict=True):
        parts.union(one, other)
    part_of = np.array([parts[node] for node in range(nodes)])
    found = []
    for pair in order[part_of[pairs.first[order]] != part_of[pairs.second[order]]].tolist():
        one, other = int(pairs.first[pair]), int(pairs.second[pair])
        if parts[one] != parts[other]:
            parts.union(one, other)
            found.append(pair)
    return found
