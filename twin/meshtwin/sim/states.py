"""Preset states: the numbers that decide a message's fate, chosen evenly instead of drawn.

A state is one point of a low-discrepancy set: a column for each (node, slot), a row for each message of a
flow. Every column is scrambled by itself with a key of (seed, replication, flow, node, slot): one replication
is one scramble, replications are independent, and a node that comes or goes changes no other node's column.
What a slot decides is in `Slot`; all other chance stays keyed (`meshtwin.sim.draws`).
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.errors import InvalidInput
from meshtwin.sim.air import mean_delivery
from meshtwin.sim.draws import make_key
from meshtwin.sim.identity import Identity
from meshtwin.sim.point_sets import extend_keys, scrambled_points
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["SLOTS_PER_NODE", "PresetStates", "Slot", "advertising_slot", "count_hops", "preset_states", "rank_nodes"]

SLOTS_PER_NODE: Final = 6
COPIES_WITH_SLOT: Final = 3  # later copies hardly ever decide when a node is reached first
TABLE_MAX_BYTES: Final = 256 * 1024**2  # messages beyond it keep their keyed draws
HEARD_DELIVERY: Final = 0.3  # a link that counts as one hop when nodes are ranked


class Slot(IntEnum):
    """What the numbers of one node decide about one message; each in [0, 1).

    ``RECEPTION`` decides all receptions of the message at the node up to the first: it fails as long as the
    number is not below 1 - (1 - p1)(1 - p2) ... over the transmissions that reached it. ``SCAN`` is the phase of the
    node's scanner, over its three channels, at the first transmission that it would receive if it listened.
    The source receives nothing, so its ``RECEPTION`` is the further delay of own messages.
    """

    FIRST_DELAY = 0
    ADVERTISING_DELAY = 1  # after copy 0; 2 and 3 after copies 1 and 2
    RECEPTION = 4
    SCAN = 5


DECISIVE: Final = (Slot.FIRST_DELAY, Slot.RECEPTION)  # what others explain by themselves is 2 % of the variance


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetStates:
    """``table``: (flows * points, nodes * `SLOTS_PER_NODE`) float64 in [0, 1), rows by flow, then by message.

    Columns are those of node index * `SLOTS_PER_NODE` + slot. Raises `InvalidInput` for another shape.
    """

    table: NDArray[np.float64]
    points: int  # per flow

    def __post_init__(self) -> None:
        shape = self.table.shape
        if len(shape) != 2 or shape[1] % SLOTS_PER_NODE or self.points < 1 or shape[0] % self.points:
            raise InvalidInput(
                f"a table of shape {shape} is not (flows * {self.points}, nodes * {SLOTS_PER_NODE})", place="states"
            )
        if not bool(np.all((self.table >= 0.0) & (self.table < 1.0))):
            raise InvalidInput("a state is outside [0, 1)", place="states")

    def state_index(self, flow_index: int, number: int) -> int:
        """Row of a flow's message; -1 where there is none, and its draws are keyed."""
        row = flow_index * self.points + number
        return row if 0 <= number < self.points and 0 <= row < self.table.shape[0] else -1

    def check_fits(self, scenario: Scenario) -> None:
        """Raises `InvalidInput` unless there is a column for each slot of each node."""
        wanted = len(scenario.nodes) * SLOTS_PER_NODE
        if self.table.shape[1] != wanted:
            raise InvalidInput(
                f"{self.table.shape[1]} columns do not fit {len(scenario.nodes)} nodes of {SLOTS_PER_NODE} slots",
                place="states",
            )


def advertising_slot(copy: int) -> int:
    """Slot of the delay that follows ``copy`` (0: the first); -1: none, its draw is keyed."""
    return Slot.ADVERTISING_DELAY + copy if copy < COPIES_WITH_SLOT else -1


def preset_states(
    scenario: Scenario, *, seed: int, replication: int = 0, ranked_as: Scenario | None = None
) -> PresetStates | None:
    """The states of one replication, as many per flow as its largest count; None where no flow sends.

    Scrambled points of `meshtwin.sim.point_sets`; nodes that are near to each other, in hops from the flow's source,
    have columns that are even two by two.
    A count that is a power of 2 is balanced in every column.
    ``ranked_as``: the other side of a comparison whose links differ, so that both meet equal states.
    """
    columns = len(scenario.nodes) * SLOTS_PER_NODE
    most = max((flow.count for flow in scenario.flows), default=0)
    points = min(most, TABLE_MAX_BYTES // (8 * max(1, columns * len(scenario.flows))))
    if points < 1:
        return None
    return PresetStates(
        table=np.concatenate(
            [_flow_table(scenario, ranked_as or scenario, flow, points, (seed, replication)) for flow in scenario.flows]
        ),
        points=points,
    )


def rank_nodes(scenario: Scenario, flow: ScenarioFlow) -> dict[int, int]:
    """Rank of each node's address: by hops from the flow's source, ties by address.

    Settings are left out, so that configurations of one network have one ranking.
    """
    hops = count_hops(scenario, flow)
    addresses = sorted((n.address for n in scenario.nodes), key=lambda a: (hops.get(a, len(scenario.nodes)), a))
    return {address: rank for rank, address in enumerate(addresses)}


def count_hops(scenario: Scenario, flow: ScenarioFlow, *, only_relays: bool = False) -> dict[int, int]:
    """Least hops from the flow's source to each node that it reaches over links of `HEARD_DELIVERY` or better.

    ``only_relays``: nodes that do not relay end the way.
    """
    silent = {n.address for n in scenario.nodes if only_relays and not n.relay} - {flow.source}
    heard = _hearers(Identity(scenario.links))
    hops, layer = {int(flow.source): 0}, [int(flow.source)]
    while layer:
        found = {t for a in layer if a not in silent for t in heard.get(a, ()) if t not in hops}
        hops.update(dict.fromkeys(found, hops[layer[0]] + 1))
        layer = sorted(found)
    return hops


@lru_cache(maxsize=8)
def _hearers(links: Identity) -> dict[int, list[int]]:
    """Who hears each node; configurations and replications of one network share it."""
    heard: dict[int, list[int]] = {}
    for link in links.value:
        if mean_delivery(link) >= HEARD_DELIVERY:
            heard.setdefault(link.source, []).append(link.target)
    return heard


def _flow_table(
    scenario: Scenario, ranked: Scenario, flow: ScenarioFlow, points: int, luck: tuple[int, int]
) -> NDArray[np.float64]:
    """(points, nodes * slots) of one flow."""
    ranks = rank_nodes(ranked, flow)
    addresses = np.array([n.address for n in scenario.nodes], dtype=np.uint64)
    rank = np.array([ranks.get(n.address, len(ranks) + i) for i, n in enumerate(scenario.nodes)])
    dimension = _dimensions(rank, max(len(ranks), int(rank.max()) + 1)).ravel()
    flow_key = np.array([make_key(luck[0], "states", luck[1], flow.name)], dtype=np.uint64)
    slots = np.arange(SLOTS_PER_NODE, dtype=np.uint64)
    keys = extend_keys(extend_keys(flow_key, addresses)[:, None], slots[None, :]).ravel()
    return scrambled_points(points, dimension, keys)


def _dimensions(rank: NDArray[np.int64], ranks: int) -> NDArray[np.int64]:
    """(nodes, slots): the decisive slots of the nodes in order of their ``rank`` below ``ranks``, then all others."""
    minor = [slot for slot in range(SLOTS_PER_NODE) if slot not in DECISIVE]
    dimension = np.empty((len(rank), SLOTS_PER_NODE), dtype=np.int64)
    for place, slot in enumerate(map(int, DECISIVE)):
        dimension[:, slot] = rank * len(DECISIVE) + place
    for place, slot in enumerate(minor):
        dimension[:, slot] = len(DECISIVE) * ranks + rank * len(minor) + place
    return dimension
