"""Forks leave their base alone; comparisons meet the same states."""

from dataclasses import replace

import pytest

from meshtwin.app.modelling import run_what_if_request
from meshtwin.errors import InvalidInput
from meshtwin.foreign import JudgeRequest
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.ports import JudgePlan, no_progress
from meshtwin.recipes.answers import answer_what_if
from meshtwin.recipes.difference_figures import FlowDifferenceModel
from meshtwin.recipes.figures import PredictionModel
from meshtwin.recipes.messages import WhatIfRequest
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.whatif.asking import check_question, leave_out_unanswerable
from meshtwin.whatif.comparison import compare, predict
from meshtwin.whatif.forks import ApplySettings, FailNodes, flow_members, fork
from meshtwin.whatif.judging import InProcessJudge
from meshtwin_operator.reconcile.judging import to_prediction

PLAN = JudgePlan(seed=3, replications=2, messages_per_flow=5)


def test_fork_changes_a_copy_and_leaves_the_base(build_grid):
    base = build_grid()
    before = base.fingerprint
    changed = fork(base, [ApplySettings(configuration=Configuration.of({1: NodeSettings(default_ttl=5)}))])
    assert changed.configuration.get(1).default_ttl == 5
    assert base.fingerprint == before != changed.fingerprint


def test_failed_node_is_gone_from_links_groups_and_segments(build_grid):
    changed = fork(build_grid(), [FailNodes(addresses=frozenset({2}))])
    assert 2 not in {n.address for n in changed.nodes}
    assert not [k for k in changed.links if 2 in (k.source, k.target)]
    assert 2 not in changed.segments[0].addresses
    assert 2 not in flow_members(changed.nodes, changed.flows[0])


def test_failed_source_takes_its_flow_along(build_grid):
    changed = fork(build_grid(), [FailNodes(addresses=frozenset({1}))])
    assert [f.name for f in changed.flows] == ["east"]
    assert changed.segments[0].gateway_address is None


def test_change_of_an_unknown_node_is_refused_with_its_place(build_grid):
    with pytest.raises(InvalidInput, match=r"node 0063 is not in the snapshot \(changes\[0\]\)"):
        fork(build_grid(), [FailNodes(addresses=frozenset({0x63}))])


def test_comparing_a_configuration_with_itself_shows_no_difference(build_grid):
    snapshot = build_grid()
    (prediction,) = compare(
        snapshot,
        snapshot.configuration,
        [snapshot.configuration],
        judge=InProcessJudge(),
        plan=PLAN,
        progress=no_progress,
    )
    assert prediction.before == prediction.after
    assert prediction.snapshot_fingerprint == snapshot.fingerprint


def test_silencing_all_relays_shows_in_the_prediction(build_grid):
    snapshot = build_grid()
    silent = Configuration.of({n.address: NodeSettings(relay=False) for n in snapshot.nodes})
    prediction = predict(
        snapshot,
        fork(snapshot, [ApplySettings(configuration=silent)]),
        judge=InProcessJudge(),
        plan=PLAN,
        progress=no_progress,
    )
    assert prediction.after.flows[0].delivery.estimate < prediction.before.flows[0].delivery.estimate
    assert prediction.after.airtime_ratio.estimate < prediction.before.airtime_ratio.estimate


def test_prediction_tells_differences_over_paired_replications(build_grid):
    snapshot = build_grid()
    slow = Configuration.of(
        {n.address: NodeSettings(network_transmit=Transmit(count=0, interval_steps=1)) for n in snapshot.nodes}
    )
    plan = JudgePlan(seed=3, replications=4, messages_per_flow=20)
    changed = fork(snapshot, [ApplySettings(configuration=slow)])
    prediction = predict(snapshot, changed, judge=InProcessJudge(), plan=plan, progress=no_progress)
    for before, after, difference in zip(
        prediction.before.flows, prediction.after.flows, prediction.differences, strict=True
    ):
        assert difference.flow == before.flow == after.flow
        gap = after.delivery.estimate - before.delivery.estimate
        assert difference.delivery.estimate == pytest.approx(gap)
        assert difference.delivery.low <= gap <= difference.delivery.high
        assert difference.latency_p95_ms.estimate == pytest.approx(after.latency_p95_ms - before.latency_p95_ms)
        assert difference.latency_p95_ms.low <= difference.latency_p95_ms.estimate <= difference.latency_p95_ms.high
        assert "ask for more (at least 268)" in difference.latency_p99_ms.open_because


def test_nothing_changed_differs_by_nothing_for_certain(build_grid):
    snapshot = build_grid()
    prediction = predict(snapshot, snapshot, judge=InProcessJudge(), plan=PLAN, progress=no_progress)
    told = FlowDifferenceModel.from_value(prediction.differences[0])
    assert (told.on_time.low_per_mille, told.on_time.high_per_mille) == (0, 0)
    assert (told.latency_p99.low_milliseconds, told.latency_p99.high_milliseconds) == (0, 0)


def test_judge_that_does_not_tell_replications_apart_leaves_differences_out(build_grid):
    class Plain:
        model = "plain"
        judge = InProcessJudge().judge

    snapshot = build_grid()
    prediction = predict(snapshot, snapshot, judge=Plain(), plan=PLAN, progress=no_progress)
    assert prediction.differences is None
    assert PredictionModel.from_value(prediction).differences is None
    request = WhatIfRequest.model_validate(
        {"runId": "w1", "segment": "office-west", "failedNodes": ["0006"], "messagesPerFlow": 5, "replications": 2}
    )
    answer = answer_what_if(request, snapshot, Plain(), seed=3, progress=no_progress)
    assert answer.warnings[-1] == "no differences with intervals: plain does not tell its replications apart"


def test_differences_of_a_prediction_stand_in_the_resource_as_they_are_told(build_grid):
    snapshot = build_grid()
    plan = JudgePlan(seed=3, replications=1, messages_per_flow=5)
    prediction = predict(snapshot, snapshot, judge=InProcessJudge(), plan=plan, progress=no_progress)
    record = to_prediction(PredictionModel.from_value(prediction))
    assert "one replication" in record.differences[0].open_because
    assert record.differences[0].latency_p50.low_milliseconds is None
    assert record.differences[0].latency_p50.estimate_milliseconds == 0


def test_flows_that_no_judge_could_answer_are_left_out_and_named(build_grid):
    snapshot = build_grid()
    first = snapshot.flows[0]
    strange = (replace(first, name="gone", source=0x77), replace(first, name="nobody", destination=0xC0FF))
    kept, left_out = leave_out_unanswerable(replace(snapshot, flows=(*snapshot.flows, *strange)))
    assert kept == snapshot
    assert left_out == (
        ("gone", "comes from node 0077, which is not in the snapshot: left out"),
        ("nobody", "goes to c0ff, where no node of the snapshot listens: left out"),
    )


def test_what_if_of_a_network_with_a_removed_node_is_answered_without_its_flow(build_grid):
    snapshot = build_grid()
    gone = replace(snapshot, flows=(*snapshot.flows, replace(snapshot.flows[0], name="gone", source=0x77)))
    request = WhatIfRequest.model_validate(
        {"runId": "w1", "segment": "office-west", "failedNodes": ["0002"], "messagesPerFlow": 5, "replications": 2}
    )
    partial = PartialSnapshot(snapshot=gone, gaps=(), load_source="monitoring")
    answer = run_what_if_request(request, partial, InProcessJudge(), 3, no_progress).what_if_result
    assert [f.flow for f in answer.prediction.before.flows] == [f.name for f in snapshot.flows]
    assert "flow gone: comes from node 0077, which is not in the snapshot: left out" in answer.warnings
    assert [d.flow for d in answer.prediction.differences] == [f.flow for f in answer.prediction.after.flows]


def test_every_fork_that_takes_nodes_away_can_be_asked_about(build_grid):
    snapshot = build_grid()
    for node in snapshot.nodes:
        changed = fork(snapshot, [FailNodes(addresses=frozenset({node.address}))])
        check_question(changed, (changed.configuration,))
        JudgeRequest.of(changed, (changed.configuration,), PLAN)


def test_what_if_names_nodes_that_the_gateway_would_lose(build_grid):
    request = WhatIfRequest.model_validate(
        {
            "runId": "w1",
            "segment": "office-west",
            "settings": [{"nodes": ["0001-0006"], "relay": "Disabled"}],
            "failedNodes": ["0002"],
            "messagesPerFlow": 5,
            "replications": 2,
        }
    )
    answer = answer_what_if(request, build_grid(), InProcessJudge(), seed=3, progress=no_progress)
    assert answer.warnings == ["2 nodes would be cut off from the gateway: 0005, 0006"]
    assert answer.prediction.seed == 3


def test_what_if_about_an_unknown_node_is_refused(build_grid):
    request = WhatIfRequest(run_id="w2", segment="office-west", failed_nodes=["0063"])
    with pytest.raises(InvalidInput, match="names no node of the inventory"):
        answer_what_if(request, build_grid(), InProcessJudge(), seed=3, progress=no_progress)
