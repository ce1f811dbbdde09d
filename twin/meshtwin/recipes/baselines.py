"""Plain ways to choose relays, to see what the search is worth.

They are what one would do without a model of time and load (all relays, a connected dominating set, the nodes most
paths go through), or with one and no thought (a genetic algorithm). As recipes: `meshtwin.recipes.baseline_recipes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

import networkx as nx

from meshtwin.graph.backbone import BackboneQuestion, relay_backbone
from meshtwin.graph.links import link_graph
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.recipes.building import Design, kept_relays, relay_capable, segment_graph, sufficient_ttl
from meshtwin.recipes.local_search import TTL_MARGIN_HOPS, USUAL_NETWORK, USUAL_RELAY, all_relays_design
from meshtwin.recipes.values import Question
from meshtwin.sim.draws import draw, make_key

__all__ = ["Evolution", "Fitness", "all_relays_design", "betweenness_design", "dominating_set_design", "evolve"]

LINK_QUALITY: Final = 0.85  # delivery within two sends from which a link counts, as the relay recipe's second try
TRANSMISSIONS: Final = 2
Fitness = Callable[[Sequence[Design]], Sequence[tuple[float, ...]]]  # smaller is better


def dominating_set_design(question: Question) -> Design:
    """A small connected dominating set relays, with usual repeats."""
    graph = segment_graph(question, transmissions=TRANSMISSIONS, threshold=LINK_QUALITY)
    backbone = relay_backbone(graph, BackboneQuestion(allowed=relay_capable(question), forced=kept_relays(question)))
    return _design(question, backbone.relays)


def betweenness_design(question: Question, *, share: float) -> Design:
    """The ``share`` (0..1) of nodes that most shortest paths go through relay, with usual repeats.

    Betweenness over links weighted by their expected number of sends; ties by address.
    """
    graph = link_graph(question.snapshot, transmissions=1, threshold=0.05)
    for _, _, edge in graph.edges(data=True):
        edge["sends"] = 1.0 / edge["delivery"]
    central = nx.betweenness_centrality(graph, weight="sends")
    capable = sorted(relay_capable(question), key=lambda a: (-central.get(a, 0.0), a))
    return _design(question, frozenset(capable[: round(share * len(capable))]))


def _design(question: Question, relays: frozenset[UnicastAddress]) -> Design:
    ttl = sufficient_ttl(question, relays, transmissions=TRANSMISSIONS, margin_hops=TTL_MARGIN_HOPS)
    return Design(relays=relays, network_transmit=USUAL_NETWORK, relay_retransmit=USUAL_RELAY, ttl=ttl)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evolution:
    """Size of a genetic algorithm: ``population`` times ``generations`` designs are asked about."""

    population: int = 24
    generations: int = 16
    mutation: float = 1.5  # relay bits that flip per child, on average
    elite: int = 4  # that go on unchanged


def evolve(
    start: Design, capable: frozenset[UnicastAddress], fitness: Fitness, *, seed: int, size: Evolution
) -> tuple[Design, tuple[float, ...]]:
    """The best relay set that a plain genetic algorithm finds, and its fitness; other settings are ``start``'s.

    Binary tournaments, uniform crossover, bit flips, an elite. The first population is ``start``, nobody, and sets
    of every density.
    """
    addresses = sorted(capable)
    key = make_key(seed, "evolution")
    population = [start, replace(start, relays=frozenset[UnicastAddress]())]
    for member in range(len(population), size.population):
        density = member / size.population
        chosen = frozenset(a for a in addresses if draw(make_key(key, "first", member), a) < density)
        population.append(replace(start, relays=chosen))
    ranked = _ranked(population, fitness)
    for generation in range(1, size.generations):
        parents = [design for design, _ in ranked]
        children = [
            _child(parents, addresses, make_key(key, "child", generation, number), size)
            for number in range(size.population - size.elite)
        ]
        ranked = sorted([*ranked[: size.elite], *_ranked(children, fitness)], key=lambda one: one[1])
    return ranked[0]


def _ranked(designs: Sequence[Design], fitness: Fitness) -> list[tuple[Design, tuple[float, ...]]]:
    return sorted(zip(designs, fitness(designs), strict=True), key=lambda one: one[1])


def _child(parents: Sequence[Design], addresses: Sequence[UnicastAddress], key: int, size: Evolution) -> Design:
    """``parents`` are best first, so the smaller of two drawn positions wins a tournament."""
    picks = [int(draw(make_key(key, "parents"), i) * len(parents)) for i in range(4)]
    mother, father = (parents[min(pair)] for pair in list(pairwise(picks))[::2])
    mixing, flipping = make_key(key, "mixing"), make_key(key, "flipping")
    rate = size.mutation / max(1, len(addresses))
    relays = set[UnicastAddress]()
    for address in addresses:
        inherits = (mother if draw(mixing, address) < 0.5 else father).relays  # a fair coin
        if (address in inherits) != (draw(flipping, address) < rate):
            relays.add(address)
    return replace(mother, relays=frozenset(relays))
