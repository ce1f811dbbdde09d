"""Relay backbones: connected dominating sets, weighted by link quality, with redundancy.

Growing is greedy (Guha and Khuller), then relays that are not needed are taken out again.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import networkx as nx

from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["Backbone", "BackboneQuestion", "relay_backbone"]

QUALITY_GRAIN: Final = 1_000  # gains are compared in thousandths of a delivery: float noise makes no ties


@dataclass(frozen=True, slots=True, kw_only=True)
class BackboneQuestion:
    """What a backbone may use and must do.

    ``allowed``: nodes that may be made relays. ``forced``: nodes that relay whatever we choose (frozen).
    ``current``: preferred on ties. ``fold``: relays that every node must hear; with 1, a relay serves itself.
    """

    allowed: frozenset[UnicastAddress]
    forced: frozenset[UnicastAddress] = frozenset()
    current: frozenset[UnicastAddress] = frozenset()
    fold: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Backbone:
    """A relay set; the gaps say what the links did not allow.

    ``short_of``: nodes that hear fewer relays than asked, with the number they hear.
    ``pieces``: connected parts that the relays form; 1 is what one wants, 0 means no relay was needed.
    """

    relays: frozenset[UnicastAddress]
    short_of: Mapping[UnicastAddress, int] = field(default_factory=dict)
    pieces: int = 1

    @property
    def complete(self) -> bool:
        """Whether every node hears as many relays as asked, and the relays hang together."""
        return not self.short_of and self.pieces <= 1


def relay_backbone(graph: nx.Graph, question: BackboneQuestion) -> Backbone:
    """A small connected set of relays that every node hears ``fold`` times.

    Parameters
    ----------
    graph : networkx.Graph
        Mutual links (`meshtwin.graph.links.mutual_graph`), edge attribute ``delivery`` 0..1.
    question : BackboneQuestion

    Returns
    -------
    Backbone
        With gaps where the links do not allow the whole: a node with fewer usable neighbours than ``fold``
        is served by as many as it has, and is named in ``short_of`` only if it hears less than that, or none.

    Notes
    -----
    The minimum connected dominating set is NP-hard. Greedy growing is within 2 (1 + H(D)) of it, D being
    the largest degree [1]_. Each step takes the node that covers the largest sum of link deliveries still
    missing; ties go to current relays, then to the lower address. Pruning tries non-current relays first,
    then higher addresses.

    Examples
    --------
    >>> G = nx.path_graph([1, 2, 3, 4], create_using=nx.Graph)
    >>> nx.set_edge_attributes(G, 1.0, "delivery")
    >>> sorted(relay_backbone(G, BackboneQuestion(allowed=frozenset({1, 2, 3, 4}))).relays)
    [2, 3]

    References
    ----------
    .. [1] Guha, Khuller: Approximation algorithms for connected dominating sets. Algorithmica 20 (1998).
    """
    growth = _Growth(graph, question)
    for component in _components(graph):
        growth.grow(component)
    chosen = growth.pruned()
    return Backbone(
        relays=frozenset(chosen),
        short_of={n: heard for n in sorted(graph) if (heard := growth.heard(n, chosen)) < growth.need[n]},
        pieces=nx.number_connected_components(graph.subgraph(chosen)) if chosen else 0,
    )


def _components(graph: nx.Graph) -> list[set[UnicastAddress]]:
    return sorted(nx.connected_components(graph), key=min)


class _Growth:
    """Working state of one question; nothing of it leaves this module."""

    def __init__(self, graph: nx.Graph, question: BackboneQuestion) -> None:
        self.graph = graph
        self.question = question
        self.usable = (question.allowed | question.forced) & set(graph)
        self.chosen: set[UnicastAddress] = set()
        self.hears = dict.fromkeys(graph, 0)  # chosen relays that a node hears, itself counted where that serves
        self.choose(question.forced & set(graph))
        # What the links allow: a node with fewer usable neighbours than asked needs only those, but one.
        self.need = {n: max(1, min(question.fold, sum(v in self.usable for v in graph[n]))) for n in graph}

    def choose(self, relays: Iterable[UnicastAddress]) -> None:
        """Adds relays; those that were chosen before change nothing."""
        for relay in relays:
            if relay in self.chosen:
                continue
            self.chosen.add(relay)
            for v in self.graph[relay]:
                self.hears[v] += 1
            self.hears[relay] += self.question.fold == 1

    def heard(self, node: UnicastAddress, relays: Collection[UnicastAddress]) -> int:
        itself = self.question.fold == 1 and node in relays
        return sum(v in relays for v in self.graph[node]) + itself

    def gain(self, candidate: UnicastAddress) -> int:
        """Sum of deliveries to nodes that still hear too few relays, in thousandths."""
        neighbours = self.graph[candidate]
        itself = self.question.fold == 1 and self.hears[candidate] < self.need[candidate]
        missing: int = sum(
            round(neighbours[v]["delivery"] * QUALITY_GRAIN) for v in neighbours if self.hears[v] < self.need[v]
        )
        return missing + itself * QUALITY_GRAIN

    def rank(self, candidate: UnicastAddress) -> tuple[int, bool, int]:
        """Larger is better: gain, then current relay, then lower address."""
        return (self.gain(candidate), candidate in self.question.current, -candidate)

    def grow(self, component: set[UnicastAddress]) -> None:
        """Adds relays until every node of the component hears enough, or nothing helps any more."""
        if len(component) == 1:
            return
        while any(self.hears[n] < self.need[n] for n in component):
            inside = self.chosen & component
            free = (self.usable & component) - self.chosen
            near = {v for u in inside for v in self.graph[u] if v in free} if inside else free
            best = max(near, key=self.rank, default=None)
            if best is not None and self.gain(best) > 0:
                self.choose([best])
                continue
            helpful = {c for c in free if self.gain(c) > 0}
            if not helpful:
                break
            self.choose(self._bridge(inside, helpful))
        self._join(component)

    def _join(self, component: set[UnicastAddress]) -> None:
        """Connects the relays of one component by the fewest further relays, pair by pair."""
        while True:
            pieces = sorted(nx.connected_components(self.graph.subgraph(self.chosen & component)), key=min)
            if len(pieces) <= 1:
                return
            bridge = self._bridge(pieces[0], set().union(*pieces[1:]))
            if not bridge - self.chosen:
                return
            self.choose(bridge)

    def _bridge(self, start: Collection[UnicastAddress], goals: Collection[UnicastAddress]) -> set[UnicastAddress]:
        """Nodes of the shortest usable walk from ``start`` to one of ``goals``, that goal included.

        Falls back to the best-ranked goal itself where no usable walk exists.
        """
        previous: dict[UnicastAddress, UnicastAddress | None] = dict.fromkeys(sorted(start))
        queue = sorted(start)
        for u in queue:
            for v in sorted(self.graph[u], key=lambda n: (n not in self.chosen, n)):
                if v in previous or v not in self.usable:
                    continue
                previous[v] = u
                if v in goals:
                    walk: set[UnicastAddress] = set()
                    step: UnicastAddress | None = v
                    while step is not None:
                        walk.add(step)
                        step = previous[step]
                    return walk
                queue.append(v)
        return {max(goals, key=self.rank)}

    def pruned(self) -> set[UnicastAddress]:
        """The chosen relays without those that coverage and connection can spare."""
        kept = set(self.chosen)
        whole = nx.number_connected_components(self.graph.subgraph(kept)) if kept else 0
        current = self.question.current
        for relay in sorted(kept - self.question.forced, key=lambda n: (n in current, -n)):
            rest = kept - {relay}
            touched = {relay, *self.graph[relay]}
            if any(self.heard(n, rest) < min(self.need[n], self.heard(n, kept)) for n in touched):
                continue
            if rest and nx.number_connected_components(self.graph.subgraph(rest)) > whole:
                continue
            kept = rest
        return kept
