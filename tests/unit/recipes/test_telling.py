"""Of a network with more flows than a resource holds, the ones that matter are told, and the others are counted."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.recipes.figure_builders import kpis, sure

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import FlowDifference, NetworkKpis, Prediction
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.telling import FLOWS_TOLD, choose_told

SHARES = st.dictionaries(st.integers(0, 120), st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=100)


def network(shares: dict[str, float], airtime: dict[int, float] | None = None) -> NetworkKpis:
    whole = kpis(0.9, 0.05)
    flows = tuple(replace(whole.flows[0], flow=name, on_time=sure(share)) for name, share in shares.items())
    at = tuple((UnicastAddress(node), sure(ratio)) for node, ratio in (airtime or {}).items())
    return replace(whole, flows=flows, airtime_at=at)


def predict(before: NetworkKpis, after: NetworkKpis, **more: object) -> Prediction:
    return replace(
        Prediction(
            before=before, after=after, model="m", profile="zephyr", seed=1, replications=8, snapshot_fingerprint="f"
        ),
        **more,  # type: ignore[arg-type]  # fields of the prediction
    )


def many(share: float = 1.0) -> dict[str, float]:
    return {f"flow-{n:03d}": share for n in range(100)}


def test_small_network_is_told_whole_in_its_order() -> None:
    both = network({"b": 1.0, "a": 0.2})
    told = PredictionModel.from_value(predict(both, both))
    assert [f.flow for f in told.after.flows] == ["b", "a"]
    assert (told.flows_left_out, told.nodes_left_out) == (None, None)


def test_flow_that_changes_and_flow_that_is_late_are_told_wherever_they_stand() -> None:
    before = network(many() | {"flow-098": 0.4, "flow-099": 1.0})
    after = network(many() | {"flow-098": 1.0, "flow-099": 0.7})
    told = PredictionModel.from_value(predict(before, after))
    names = [f.flow for f in told.after.flows]
    assert names[-2:] == ["flow-098", "flow-099"]
    assert len(names) == FLOWS_TOLD
    assert told.flows_left_out == 36


def test_both_sides_and_their_differences_tell_the_same_flows() -> None:
    before, after = network(many(0.9)), network(many(0.9) | {"flow-090": 0.1})
    nothing = sure(0.0)
    differences = tuple(
        FlowDifference(
            flow=name,
            on_time=nothing,
            delivery=nothing,
            latency_p50_ms=nothing,
            latency_p95_ms=nothing,
            latency_p99_ms=nothing,
        )
        for name in many()
    )
    told = PredictionModel.from_value(predict(before, after, differences=differences))
    names = [f.flow for f in told.after.flows]
    assert "flow-090" in names
    assert [f.flow for f in told.before.flows] == names
    assert told.differences is not None
    assert [d.flow for d in told.differences] == names


def test_flows_of_the_segment_asked_about_come_before_worse_ones_of_others() -> None:
    both = network(many(0.1) | {"flow-099": 1.0})
    assert "flow-099" not in choose_told(both, both).flows
    told = PredictionModel.from_value(predict(both, both, own_flows=frozenset({"flow-099"})))
    assert told.after.flows[-1].flow == "flow-099"


def test_flow_that_is_on_one_side_alone_is_told() -> None:
    told = choose_told(network(many(0.5) | {"gone": 1.0}), network(many(0.5) | {"new": 1.0}))
    assert {"gone", "new"} <= told.flows
    assert told.flows_left_out == 102 - FLOWS_TOLD


def test_gateways_whose_air_changes_most_are_told_and_that_of_the_segment() -> None:
    quiet = dict.fromkeys(range(1, 101), 0.01)
    before, after = network({"a": 1.0}, quiet | {99: 0.3}), network({"a": 1.0}, quiet)
    told = PredictionModel.from_value(predict(before, after, own_nodes=frozenset({UnicastAddress(100)})))
    assert told.after.airtime_at is not None
    assert [a.node for a in told.after.airtime_at][-2:] == ["0063", "0064"]
    assert told.nodes_left_out == 36


@given(SHARES)
def test_nothing_left_out_changes_more_and_lacks_more_than_what_is_told(shares: dict[int, tuple[float, float]]) -> None:
    before = network({str(n): b for n, (b, _) in shares.items()})
    after = network({str(n): a for n, (_, a) in shares.items()})
    told = choose_told(before, after)
    weight = {str(n): max(abs(a - b), 1.0 - a) for n, (b, a) in shares.items()}
    inside = [w for name, w in weight.items() if name in told.flows]
    outside = [w for name, w in weight.items() if name not in told.flows]
    assert len(inside) == min(FLOWS_TOLD, len(shares))
    assert told.flows_left_out == len(outside)
    assert not outside or max(outside) <= min(inside)
