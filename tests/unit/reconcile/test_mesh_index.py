"""The index of inventories finds what comparing with every inventory would find."""

from fake_world import NS, ObjectKey, make_inventory
from hypothesis import given
from hypothesis import strategies as st

from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.indexes import MeshIndex, may_share_nodes

ADDRESSES = st.sets(st.integers(1, 30), min_size=1, max_size=4).map(sorted).map(tuple)
MESHES = st.sampled_from(["a" * 36, "A" * 36, "b" * 36])
STEPS = st.lists(st.tuples(st.sampled_from(["n", "o", "p"]), MESHES, st.none() | ADDRESSES), max_size=20)


@given(STEPS, MESHES, ADDRESSES)
def test_index_agrees_with_comparing_all(
    steps: list[tuple[str, str, tuple[int, ...] | None]], mesh: str, addresses: tuple[int, ...]
) -> None:
    known: dict[str, Inventory | None] = {}
    index = MeshIndex(lambda key: known.get(key.name))
    wanted = make_inventory(addresses, mesh_uuid=mesh)
    for name, other_mesh, others in steps:
        known[name] = None if others is None else make_inventory(others, mesh_uuid=other_mesh)
        index.touch(ObjectKey("MeshSegment", NS, name))
        expected = sorted(n for n, inventory in known.items() if inventory and may_share_nodes(wanted, inventory))
        assert index.find(NS, wanted) == expected
