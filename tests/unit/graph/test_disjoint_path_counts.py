"""The smallest number of disjoint paths, counted quickly, beside maximum flows to every target."""

import networkx as nx
import pytest

from meshtwin.graph.redundancy import disjoint_paths, network_redundancy
from meshtwin.sim.draws import draw, make_key


def random_graph(seed: int, size: int, degree: float) -> nx.DiGraph:
    """Nodes in a square, linked where they are near; one link in eight goes one way only."""
    key = make_key(seed, "graph")
    places = {n: (draw(key, 2 * n), draw(key, 2 * n + 1)) for n in range(1, size + 1)}
    reach = (degree / (size * 3.14)) ** 0.5
    graph = nx.DiGraph()
    graph.add_nodes_from(places)
    for u, (x, y) in places.items():
        for v, (p, q) in places.items():
            if u != v and (x - p) ** 2 + (y - q) ** 2 < reach**2 and draw(make_key(key, "links", u), v) > 0.125:
                graph.add_edge(u, v, delivery=0.9)
    return graph


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("degree", [8.0, 12.0, 16.0])
def test_smallest_number_of_disjoint_paths_is_that_of_maximum_flows(seed: int, degree: float) -> None:
    graph = random_graph(seed, 22, degree)
    relays = {n for n in graph if draw(make_key(seed, "relays"), n) < 0.8}
    targets = [n for n in graph if n != 1 and nx.has_path(graph, 1, n)]
    targets = [n for n in targets if disjoint_paths(graph, relays, 1, n) > 0]
    distant = [n for n in targets if not graph.has_edge(1, n)]

    found = network_redundancy(graph, relays, 1, targets)

    assert found == min([8, *(disjoint_paths(graph, relays, 1, n) for n in distant)])
