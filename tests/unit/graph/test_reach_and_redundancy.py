"""Reach, TTL, articulation and disjoint paths against brute force."""

import math
from itertools import combinations, pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.errors import InvalidInput
from meshtwin.graph.augmentation import augmented_relays, relays_for_paths
from meshtwin.graph.links import delivery_with_transmissions
from meshtwin.graph.reach import best_paths, hops_from, hops_to, minimal_ttl, reach
from meshtwin.graph.redundancy import (
    articulation_relays,
    cut_links,
    disjoint_paths,
    gateway_redundancy,
    network_redundancy,
)
from meshtwin.mesh.snapshots import LinkEstimate


@st.composite
def directed_graphs(draw, most=7):
    size = draw(st.integers(2, most))
    nodes = range(1, size + 1)
    pairs = [(u, v) for u in nodes for v in nodes if u != v]
    graph = nx.DiGraph()
    graph.add_nodes_from(nodes)
    for u, v in draw(st.sets(st.sampled_from(pairs))):
        graph.add_edge(u, v, delivery=0.9)
    return graph, frozenset(draw(st.sets(st.sampled_from(list(nodes)))))


def flooded(graph, relays, source, ttl):
    """Plain managed flooding: relay if a relay, ttl at least 2, not seen with as high a TTL."""
    best = {source: ttl}
    waiting = [(source, ttl)]
    while waiting:
        node, sent_ttl = waiting.pop()
        for v in graph.successors(node):
            if v == source or best.get(v, -1) >= sent_ttl:
                continue
            best[v] = sent_ttl
            if v in relays and sent_ttl >= 2:
                waiting.append((v, sent_ttl - 1))
    return set(best) - {source}


@given(directed_graphs(), st.sampled_from([0, 2, 3, 4, 127]))
def test_reach_is_what_flooding_reaches(world, ttl):
    graph, relays = world
    assert reach(graph, relays, 1, ttl) == flooded(graph, relays, 1, ttl)


@given(directed_graphs())
def test_hops_to_a_target_are_the_hops_from_every_source(world):
    graph, relays = world
    backwards = hops_to(graph, relays, 1)
    for source in graph:
        assert backwards.get(source) == hops_from(graph, relays, source).get(1)


@given(directed_graphs())
def test_minimal_ttl_reaches_and_one_less_does_not(world):
    graph, relays = world
    members = flooded(graph, relays, 1, 127)
    ttl = minimal_ttl(graph, relays, 1, members)
    assert members <= flooded(graph, relays, 1, ttl)
    if ttl > 2:
        assert not members <= flooded(graph, relays, 1, ttl - 1)


def test_minimal_ttl_of_an_unreachable_member_is_none():
    assert minimal_ttl(nx.DiGraph([(1, 2), (2, 3)]), set(), 1, [3]) is None


@given(directed_graphs(most=6), st.randoms(use_true_random=False))
def test_best_path_delivers_as_much_as_the_best_of_all_paths_over_relays(world, rng):
    graph, relays = world
    for _, _, edge in graph.edges(data=True):
        edge["delivery"] = rng.uniform(0.05, 1.0)
    found = best_paths(graph, relays, 1, graph)
    for target in set(graph) - {1}:
        paths = [p for p in nx.all_simple_paths(graph, 1, target) if relays.issuperset(p[1:-1])]
        assert (target in found) == bool(paths)
        if paths:
            assert relays.issuperset(found[target][1:-1])
            assert delivered(graph, found[target]) == pytest.approx(max(delivered(graph, p) for p in paths))


def delivered(graph, path):
    return math.prod(graph.edges[edge]["delivery"] for edge in pairwise(path))


@given(directed_graphs())
def test_articulation_relays_are_those_whose_silence_loses_a_node(world):
    graph, relays = world
    before = flooded(graph, relays, 1, 127)
    expected = {r for r in relays - {1} if flooded(graph, relays - {r}, 1, 127) < before}
    assert articulation_relays(graph, relays, 1) == expected


@given(directed_graphs())
def test_cut_links_are_those_without_which_a_node_is_lost(world):
    graph, relays = world
    before = flooded(graph, relays, 1, 127)
    expected = set()
    for u, v in graph.edges:
        less = graph.copy()
        less.remove_edge(u, v)
        if flooded(less, relays, 1, 127) < before:
            expected.add((u, v))
    assert cut_links(graph, relays, 1) == expected


@given(directed_graphs(most=6))
@settings(deadline=None)
def test_redundancy_to_the_gateway_is_that_of_every_node_as_a_source(world):
    graph, relays = world
    found = gateway_redundancy(graph, relays, 1)
    assert set(found) == set(graph) - {1}
    for node, paths in found.items():
        expected = 8 if graph.has_edge(node, 1) else disjoint_paths(graph, relays, node, 1)
        assert paths == expected


def cut_size(graph, relays, source, target):
    """Fewest relays whose silence keeps the flood from a target that does not hear the source directly."""
    for size in range(len(relays) + 1):
        for silent in combinations(sorted(relays - {source}), size):
            if target not in flooded(graph, relays - set(silent), source, 127):
                return size
    raise AssertionError("silencing all relays silences the flood")


@given(directed_graphs(most=6))
@settings(deadline=None)
def test_disjoint_paths_equal_the_smallest_cut(world):
    graph, relays = world
    for target in set(graph) - {1} - set(graph.successors(1)):
        assert disjoint_paths(graph, relays, 1, target) == cut_size(graph, relays - {target}, 1, target)


@given(directed_graphs(most=6))
@settings(deadline=None)
def test_network_redundancy_is_the_smallest_of_all_targets(world):
    graph, relays = world
    targets = set(graph) - {1}
    distant = targets - set(graph.successors(1))
    expected = min((disjoint_paths(graph, relays, 1, t) for t in distant), default=8)
    assert network_redundancy(graph, relays, 1, targets) == min(expected, 8)


@given(directed_graphs(most=6), st.integers(1, 2))
@settings(deadline=None)
def test_fewest_added_relays_match_trying_all(world, paths):
    graph, relays = world
    target = max(graph)
    if graph.has_edge(1, target):
        graph.remove_edge(1, target)
    allowed = frozenset(graph) - {1, target}
    expected = next(
        (
            size
            for size in range(len(allowed) + 1)
            for added in combinations(sorted(allowed - relays), size)
            if disjoint_paths(graph, relays | set(added), 1, target) >= paths
        ),
        None,
    )
    added = relays_for_paths(graph, relays, allowed, 1, target, paths=paths)
    assert (None if added is None else len(added)) == expected


@given(directed_graphs())
@settings(deadline=None)
def test_augmented_relays_give_every_servable_target_its_paths(world):
    graph, relays = world
    targets = set(graph) - {1}
    richer, beyond = augmented_relays(graph, relays, frozenset(graph), 1, targets, paths=2)
    assert relays <= richer
    for target in targets - beyond - set(graph.successors(1)):
        assert disjoint_paths(graph, richer, 1, target) >= 2


@given(st.floats(0.5, 50), st.floats(0.5, 50), st.integers(1, 8))
def test_more_transmissions_deliver_more_but_less_than_independent_tries(alpha, beta, transmissions):
    link = LinkEstimate(source=1, target=2, delivery_alpha=alpha, delivery_beta=beta)
    once = delivery_with_transmissions(link, 1)
    delivered = delivery_with_transmissions(link, transmissions)
    assert once == pytest.approx(link.delivery_mean)
    assert once - 1e-12 <= delivered <= 1 - (1 - once) ** transmissions + 1e-9


def test_zero_transmissions_are_refused():
    link = LinkEstimate(source=1, target=2, delivery_alpha=1.0, delivery_beta=1.0)
    with pytest.raises(InvalidInput, match="0 transmissions is below 1"):
        delivery_with_transmissions(link, 0)
