"""Networks without positions, and networks with more links than can be seen."""

from itertools import pairwise

import numpy as np
import pytest

from meshtwin.library import read_scenario
from meshtwin.plotting import draw_network, save_picture
from meshtwin.plotting.layout import lay_out
from meshtwin.plotting.links import PAIRS_MOST, find_pairs

RING = [(i, (i + 1) % 20) for i in range(20)]


def laid_out(count, pairs, length=1.0):
    first, second = (np.array([pair[i] for pair in pairs], dtype=np.int64) for i in (0, 1))
    return lay_out(count, first, second, np.full(len(pairs), length))


def distance(places, one, other):
    return float(np.hypot(*(places[one] - places[other])))


def network(links, nodes, radio=""):
    rows = "".join(f'  - {{source: "{a:04x}", target: "{b:04x}", delivery: {d}}}\n' for a, b, d in links)
    return read_scenario(
        "format: meshtwin.dev/scenario/v1\nname: drawn\nnodes:\n"
        + "".join(f'  - {{address: "{a:04x}"{place}}}\n' for a, place in nodes)
        + (f"links:\n{rows}" if rows else radio)
        + 'flows: [{name: a, source: "0001", destination: "0002", count: 1, periodSeconds: 1}]\n'
    )


@pytest.mark.parametrize("count", [10, 600])
def test_chain_is_a_line_from_its_first_node_to_its_last(count):
    places = laid_out(count, list(pairwise(range(count))))
    assert np.ptp(places[:, 1]) < 1e-6 * count
    assert list(np.argsort(places[:, 0])) == list(range(count))


def test_ring_is_round():
    places = laid_out(20, RING)
    radii = np.hypot(*(places - places.mean(axis=0)).T)
    assert np.ptp(radii) < 0.1 * radii.mean()


def test_leaves_of_a_star_stand_apart():
    places = laid_out(12, [(0, i) for i in range(1, 12)])
    assert min(distance(places, i, j) for i in range(12) for j in range(i)) > 0.3


def test_nearer_nodes_are_those_with_better_links():
    first, second = np.array([0, 1]), np.array([1, 2])
    places = lay_out(3, first, second, np.array([0.5, 1.4]))
    assert distance(places, 0, 1) < distance(places, 1, 2)


def test_parts_and_lonely_nodes_stand_side_by_side():
    places = laid_out(9, [(0, 1), (1, 2), (3, 4)])
    assert places[:3, 0].max() < places[3:5, 0].min()
    assert places[3:5, 0].max() < places[5:, 0].min()
    assert len({tuple(place) for place in places.round(6).tolist()}) == 9


def test_many_parts_stand_in_rows_and_none_on_another():
    places = laid_out(400, [(2 * i, 2 * i + 1) for i in range(200)])
    assert len({tuple(place) for place in places.round(6).tolist()}) == 400
    wide, high = np.ptp(places, axis=0)
    assert 0.5 < wide / high < 4.0


def test_same_links_give_the_same_places():
    assert (laid_out(20, RING) == laid_out(20, RING)).all()


def test_links_of_equal_power_count_alike_and_the_worse_direction_is_told():
    scenario = network([(1, 2, 0.9), (2, 1, 0.4), (2, 3, 0.7)], [(1, ""), (2, ""), (3, "")])
    pairs = find_pairs(scenario)
    assert pairs.strongest is None
    assert list(zip(pairs.first, pairs.second, pairs.worse, pairs.better, strict=True)) == [
        (0, 1, 0.4, 0.9),
        (1, 2, 0.0, 0.7),
    ]


@pytest.fixture(scope="module")
def crowd():
    """150 nodes that all hear each other: 11,175 pairs; and 10 far away that hear only each other and one of these."""
    near = [(i + 1, f", positionM: [{i % 15}, {i // 15}]") for i in range(150)]
    far = [(i + 151, f", positionM: [{110 + i}, 5]") for i in range(10)]
    return network([], near + far, "radio: {model: logDistance, exponent: 2.2}\n")


def test_of_more_links_than_can_be_seen_the_strongest_of_each_node_are_drawn(crowd):
    pairs = find_pairs(crowd)
    assert len(pairs.first) <= PAIRS_MOST < len(crowd.links) // 2
    ends = np.bincount(np.concatenate((pairs.first, pairs.second)), minlength=len(crowd.nodes))
    assert ends.min() >= pairs.strongest
    told = [text.get_text() for legend in draw_network(crowd).legends for text in legend.get_texts()]
    assert f"the {pairs.strongest} strongest of each node" in told


def test_parts_of_a_large_network_are_held_together_by_a_link_that_is_none_of_the_strongest():
    both = [(a, b, 0.99) for n in (1, 101) for a in range(n, n + 100) for b in range(n, n + 100) if a != b]
    scenario = network([*both, (1, 101, 0.2), (101, 1, 0.2)], [(a, "") for a in range(1, 201)])
    pairs = find_pairs(scenario)
    assert pairs.strongest is not None
    assert (0, 100) in set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def test_vector_picture_of_many_links_stays_small(crowd, tmp_path):
    save_picture(draw_network(crowd), tmp_path / "crowd.svg")
    assert (tmp_path / "crowd.svg").stat().st_size < 2_000_000


def test_suffix_may_be_in_capitals(tmp_path):
    scenario = network([(1, 2, 0.9)], [(1, ""), (2, "")])
    for name in ("a.SVG", "b.SVG"):
        save_picture(draw_network(scenario), tmp_path / name)
    assert (tmp_path / "a.SVG").read_bytes() == (tmp_path / "b.SVG").read_bytes()
