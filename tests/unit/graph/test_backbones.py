"""Backbones against brute force on small graphs."""

from itertools import combinations

import networkx as nx
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.graph.backbone import BackboneQuestion, relay_backbone


@st.composite
def connected_graphs(draw, most=8):
    size = draw(st.integers(2, most))
    graph = nx.Graph()
    graph.add_node(1)
    for node in range(2, size + 1):
        for neighbour in draw(st.sets(st.integers(1, node - 1), min_size=1, max_size=4)):
            graph.add_edge(node, neighbour, delivery=draw(st.integers(50, 100)) / 100)
    return graph


def dominates(graph, relays):
    return all(n in relays or any(v in relays for v in graph[n]) for n in graph)


def smallest_backbone(graph):
    """Size of the minimum connected dominating set, by trying all."""
    for size in range(1, len(graph) + 1):
        for chosen in combinations(sorted(graph), size):
            if dominates(graph, set(chosen)) and nx.is_connected(graph.subgraph(chosen)):
                return size
    raise AssertionError("a connected graph dominates itself")


@given(connected_graphs())
@settings(deadline=None, max_examples=80)
def test_backbone_is_connected_dominating_and_near_the_minimum(graph):
    backbone = relay_backbone(graph, BackboneQuestion(allowed=frozenset(graph)))

    assert backbone.complete
    assert dominates(graph, backbone.relays)
    assert nx.is_connected(graph.subgraph(backbone.relays))
    harmonic = sum(1 / i for i in range(1, 1 + max(d for _, d in graph.degree)))
    assert len(backbone.relays) <= 2 * (1 + harmonic) * smallest_backbone(graph)  # Guha and Khuller's bound


@given(connected_graphs(), st.integers(1, 3))
@settings(deadline=None, max_examples=80)
def test_every_node_hears_as_many_relays_as_asked_and_links_allow(graph, fold):
    backbone = relay_backbone(graph, BackboneQuestion(allowed=frozenset(graph), fold=fold))

    for node in graph:
        heard = sum(v in backbone.relays for v in graph[node]) + (fold == 1 and node in backbone.relays)
        assert heard >= min(fold, graph.degree[node])


@given(connected_graphs(), st.data())
@settings(deadline=None, max_examples=80)
def test_only_allowed_nodes_become_relays_and_forced_ones_stay(graph, data):
    allowed = frozenset(data.draw(st.sets(st.sampled_from(sorted(graph)))))
    forced = frozenset(data.draw(st.sets(st.sampled_from(sorted(graph)), max_size=2)))

    backbone = relay_backbone(graph, BackboneQuestion(allowed=allowed, forced=forced))

    assert forced <= backbone.relays <= allowed | forced
    served = {n for n in graph if n in backbone.relays or any(v in backbone.relays for v in graph[n])}
    assert set(graph) - served == set(backbone.short_of)


def test_current_relays_win_ties():
    graph = nx.cycle_graph([1, 2, 3, 4], create_using=nx.Graph)
    nx.set_edge_attributes(graph, 0.9, "delivery")

    question = BackboneQuestion(allowed=frozenset(graph), current=frozenset({3, 4}))

    assert relay_backbone(graph, question).relays == {3, 4}


def test_lower_address_wins_where_nothing_else_decides():
    graph = nx.complete_graph([5, 6, 7], create_using=nx.Graph)
    nx.set_edge_attributes(graph, 0.9, "delivery")

    assert relay_backbone(graph, BackboneQuestion(allowed=frozenset(graph))).relays == {5}


def test_better_links_win_over_the_lower_address():
    graph = nx.Graph([(1, 3), (1, 4), (2, 3), (2, 4), (1, 2)])
    nx.set_edge_attributes(graph, 0.6, "delivery")
    graph.edges[2, 3]["delivery"] = graph.edges[2, 4]["delivery"] = 0.95

    assert relay_backbone(graph, BackboneQuestion(allowed=frozenset({1, 2}))).relays == {2}


def test_node_without_links_is_named_as_a_gap():
    graph = nx.Graph([(1, 2), (2, 3)])
    nx.set_edge_attributes(graph, 0.9, "delivery")
    graph.add_node(9)

    backbone = relay_backbone(graph, BackboneQuestion(allowed=frozenset(graph)))

    assert not backbone.complete
    assert dict(backbone.short_of) == {9: 0}
