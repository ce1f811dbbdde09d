"""Of flows whose members answer, predictions tell the share of answers that came back."""

from dataclasses import replace

import pytest

from meshtwin.app.modelling import run_what_if_request
from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.northbound.messages import SnapshotMessage
from meshtwin.ports import JudgePlan, no_progress
from meshtwin.recipes.messages import WhatIfRequest
from meshtwin.sim.tallies import FlowTally, RunTally, summarise_tallies
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.whatif.judging import InProcessJudge
from meshtwin.whatif.quick import InProcessQuickJudge
from meshtwin_operator.reconcile.judging import to_prediction

PLAN = JudgePlan(seed=3, replications=4, messages_per_flow=20)
ONCE = Transmit(count=0, interval_steps=1)
SPARING = NodeSettings(relay=True, default_ttl=8, network_transmit=ONCE, relay_retransmit=ONCE)


@pytest.fixture
def asking(build_grid):
    """A corridor: one node asks the farthest one, which answers; the other flow is not acknowledged."""
    grid = build_grid(columns=6, rows=1, settings=SPARING)
    west, east = grid.flows
    return replace(grid, flows=(replace(west, destination=6, is_acknowledged=True), east))


def judge(snapshot, configuration=None):
    (kpis,) = InProcessJudge().judge(snapshot, (configuration or snapshot.configuration,), PLAN, no_progress)
    return kpis


def test_share_of_answers_is_told_of_acknowledged_flows_alone(asking):
    west, east = judge(asking).flows
    assert west.answered is not None
    assert west.answered.low <= west.answered.estimate <= west.answered.high
    assert east.answered is None


def test_no_more_answers_come_back_than_messages_arrived(asking):
    for near in (0.95, 0.5):
        links = tuple(replace(k, delivery_alpha=100 * near, delivery_beta=100 * (1 - near)) for k in asking.links)
        west = judge(replace(asking, links=links)).flows[0]
        assert 0.0 < west.answered.estimate < west.delivery.estimate


def test_answers_cost_airtime(asking):
    silent = replace(asking, flows=tuple(replace(f, is_acknowledged=False) for f in asking.flows))
    assert judge(asking).airtime_ratio.estimate > judge(silent).airtime_ratio.estimate


def test_share_of_answers_is_that_of_pairs_counted():
    class Asking:
        name, deadline_ms, is_acknowledged = "west", 150, True

    tallies = [
        RunTally(
            flows={"west": FlowTally(messages=10, expected=20, delivered=18, answered=answered)},
            airtime_ratio=0.1,
            reporting_airtime_ratio=0.0,
            is_selective=False,
        )
        for answered in (16, 12)
    ]
    (flow,) = summarise_tallies(tallies, (Asking(),)).flows
    assert flow.answered.estimate == pytest.approx(28 / 40)
    assert flow.delivery.estimate == pytest.approx(36 / 40)


def test_what_if_tells_the_answers_before_and_after_with_their_difference(asking):
    request = WhatIfRequest(
        run_id="r",
        segment="office-west",
        settings=[SettingsEntry.model_validate({"nodes": ["0003"], "relay": "Disabled"})],
        seed=3,
        messages_per_flow=20,
        replications=4,
    )
    partial = PartialSnapshot(snapshot=asking, gaps=())
    status = run_what_if_request(request, partial, InProcessJudge(), 3, no_progress)
    told = to_prediction(status.what_if_result.prediction)
    west, east = told.before.flows
    assert west.answered.estimate_per_mille > 500
    assert told.after.flows[0].answered.estimate_per_mille < west.answered.estimate_per_mille
    assert told.differences[0].answered.estimate_per_mille < 0
    assert east.answered is None
    assert told.differences[1].answered is None


def test_snapshot_keeps_over_the_wire_that_members_answer(asking):
    partial = PartialSnapshot(snapshot=asking, gaps=())
    again = SnapshotMessage.model_validate_json(SnapshotMessage.from_value(partial).to_payload()).to_value()
    assert [f.is_acknowledged for f in again.snapshot.flows] == [True, False]


def test_fingerprint_of_snapshots_without_acknowledged_flows_is_what_it_was(asking):
    plain = replace(asking, flows=tuple(replace(f, is_acknowledged=False) for f in asking.flows))
    assert plain.fingerprint != asking.fingerprint
    assert (
        "acknowledged" not in SnapshotMessage.from_value(PartialSnapshot(snapshot=plain, gaps=())).to_payload().decode()
    )


def test_silenced_relays_leave_no_answers(asking):
    silent = Configuration.of({n.address: NodeSettings(relay=False) for n in asking.nodes})
    assert judge(asking, asking.configuration.overlaid(silent)).flows[0].answered.estimate == 0.0


def test_fast_model_answers_for_one_answering_member_without_telling_answers(asking):
    (answer,) = InProcessQuickJudge().estimate(asking, (asking.configuration,), seed=1)
    assert answer.declined is None
    west, _ = answer.kpis.flows
    assert west.answered is None
    exact = judge(asking).flows[0]
    assert west.delivery.estimate == pytest.approx(exact.delivery.estimate, abs=0.1)


def test_fast_model_declines_where_several_members_answer_at_once(asking):
    west, east = asking.flows
    group = replace(asking, flows=(west, replace(east, is_acknowledged=True)))
    (answer,) = InProcessQuickJudge().estimate(group, (group.configuration,), seed=1)
    assert answer.kpis is None
    assert "answer at once" in answer.declined
