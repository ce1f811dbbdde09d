"""Forks leave their base alone; comparisons meet the same states."""

import pytest

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.ports import JudgePlan, no_progress
from meshtwin.recipes.answers import answer_what_if
from meshtwin.recipes.messages import WhatIfRequest
from meshtwin.whatif.comparison import compare, predict
from meshtwin.whatif.forks import ApplySettings, FailNodes, flow_members, fork
from meshtwin.whatif.judging import InProcessJudge

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
