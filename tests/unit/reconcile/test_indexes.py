"""The index finds what reading everything would find."""

from fake_world import NS, FakeWorld, ObjectKey
from hypothesis import given
from hypothesis import strategies as st

from meshtwin_operator.reconcile.indexes import INDEXES, ObjectIndex

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "drop", "find"]), NAMES, NAMES, NAMES), max_size=30)


@given(STEPS)
def test_index_agrees_with_reading_everything(steps: list[tuple[str, str, str, str]]) -> None:
    world = FakeWorld()
    index = ObjectIndex(world.get)
    for act, name, twin, gateway in steps:
        key = ObjectKey("MeshSegment", NS, name)
        if act == "put":
            spec = {
                "twinRef": {"name": twin},
                "gatewayId": gateway,
                "inventory": {"configMapRef": {"name": "x"}},
            }
            world.put("MeshSegment", name, spec)
            index.touch(key)
        elif act == "drop":
            world.manifests.pop(key, None)
            world.parsed.pop(key, None)
            index.touch(key)
        for kind, field in INDEXES:
            if kind == "MeshSegment":
                expected = world.find(kind, NS, field, twin)
                assert index.find(kind, NS, field, twin) == list(expected)
