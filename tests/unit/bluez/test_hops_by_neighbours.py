"""Distances of nodes from the gateway, where the stack does not tell a received TTL."""

from hypothesis import given
from hypothesis import strategies as st

from meshtwin.gateway.hops import compute_hops

addresses = st.integers(1, 12)
links = st.dictionaries(
    st.tuples(addresses, addresses).filter(lambda p: p[0] != p[1]), st.floats(0.05, 1.0), max_size=40
)


def test_a_chain_counts_up_from_the_gateway() -> None:
    assert compute_hops(2, {(1, 2): 1.0, (3, 2): 1.0, (4, 3): 1.0}) == {1: 1, 3: 1, 4: 2}


def test_nodes_nobody_hears_have_no_distance() -> None:
    assert compute_hops(1, {(8, 9): 1.0}) == {}


def test_a_link_that_carries_little_is_no_shortcut() -> None:
    assert compute_hops(1, {(1, 2): 0.9, (2, 3): 0.9, (1, 3): 0.2, (3, 1): 0.9}) == {2: 1, 3: 2}


@given(links)
def test_what_is_reached_through_a_node_lies_behind_it(heard: dict[tuple[int, int], float]) -> None:
    hops = compute_hops(1, heard)

    for node, far in hops.items():
        neighbours = {a for a, b in heard if b == node} | {b for a, b in heard if a == node}
        assert far >= 1
        assert 1 in neighbours or any(hops.get(n, far) < far for n in neighbours)


@given(links)
def test_both_ends_of_a_link_are_connected_or_neither(heard: dict[tuple[int, int], float]) -> None:
    known = {1, *compute_hops(1, heard)}

    assert all((a in known) == (b in known) for a, b in heard)
