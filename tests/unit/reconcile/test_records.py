"""Proposals, approvals, pipelines, recipes, what-ifs."""

from datetime import timedelta
from typing import Any

import pytest
from fake_world import (
    APPROVAL,
    FEWER,
    NS,
    PROPOSAL,
    REVISION_0,
    REVISION_1,
    START,
    TWIN,
    FakeDriver,
    FakeWorld,
    InventoryView,
    ObjectKey,
    RunView,
    approve,
    make_adopted,
    make_inventory,
    make_office,
    propose,
)

from meshtwin.contract.wire import SettingsEntry
from meshtwin.recipes.messages import RunStatus, WhatIfRequest
from meshtwin.recipes.registry import BUILT_IN
from meshtwin_operator.reconcile.dispatch import reconcile
from meshtwin_operator.reconcile.outcome import CreateRecord
from meshtwin_operator.reconcile.pipeline import forget_findings
from meshtwin_operator.reconcile.recipe import BUILT_IN_RECIPES
from meshtwin_operator.resources.pipelines import PipelineStatus, SegmentRun

FIGURES: dict[str, Any] = {"flows": [], "airtimePerMille": 40}
PREDICTION: dict[str, Any] = {
    "before": FIGURES,
    "after": FIGURES,
    "model": "packets",
    "profile": "zephyr",
    "seed": 1,
    "replications": 8,
    "snapshotFingerprint": "f" * 16,
}
EVIDENCE: dict[str, Any] = {
    "models": ["packets"],
    "seed": 1,
    "candidatesTried": 12,
    "pareto": [
        {
            "role": "Proposed",
            "digest": "sha256:1",
            "reason": "15 relays",
            "onTimePerMille": 990,
            "airtimePerMillion": 9,
        },
        {"role": "InForce", "reason": "in force", "verdict": "late", "onTimePerMille": 480, "airtimePerMillion": 29},
    ],
    "trials": [
        {"recipe": "r", "reason": "15 relays", "digest": "sha256:1", "relays": 15, "verdict": "proposed"},
        {
            "recipe": "r",
            "reason": "16 relays",
            "digest": "sha256:2",
            "relays": 16,
            "verdict": "airtime",
            "stage": "lastRound",
        },
    ],
}
PIPELINE = ObjectKey("Pipeline", NS, "lighting")


def test_table_of_built_in_recipes_is_that_of_the_registry() -> None:
    assert set(BUILT_IN) == BUILT_IN_RECIPES


# Proposals


def test_proposal_shows_digest_changed_nodes_and_expiry_and_waits_for_a_person() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    status = world.status(PROPOSAL)
    assert status["phase"] == "AwaitingDecision"
    assert status["changedNodes"] == 5
    assert status["expiresAt"] == "2026-03-05T08:00:00Z"
    assert world.condition(PROPOSAL, "Ready") == ("True", "AwaitingDecision")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ([{"nodes": ["0070"], "defaultTtl": 5}], "UnknownNode"),
        ([{"nodes": ["0004"], "relay": "Disabled"}], "FrozenNode"),
        ([{"nodes": ["0002"], "defaultTtl": 127}], "NothingChanges"),
    ],
)
def test_proposal_that_cannot_be_is_invalid_with_its_reason(settings: list[dict[str, Any]], reason: str) -> None:
    world, driver = make_adopted()
    world.inventories["north"] = InventoryView(inventory=make_inventory(frozen=(4,)))
    driver.look_at(propose(world, settings))
    assert world.status(PROPOSAL)["phase"] == "Invalid"
    assert world.condition(PROPOSAL, "Stalled") == ("True", reason)


def test_frozen_node_that_stays_as_it_is_may_be_within_a_range() -> None:
    world, driver = make_adopted()
    world.inventories["north"] = InventoryView(inventory=make_inventory(frozen=(4,)))
    same = {"relay": "Enabled", "relayRetransmit": {"count": 4, "intervalSteps": 1}}
    driver.look_at(propose(world, [{"nodes": ["0001-0006"], **same}, {"nodes": ["0002"], "defaultTtl": 9}]))
    assert world.status(PROPOSAL)["phase"] == "AwaitingDecision"


def test_proposal_before_adoption_waits() -> None:
    world, driver = make_office(mode="Observe")
    driver.look_at(propose(world))
    assert world.status(PROPOSAL)["phase"] == "Pending"
    assert world.condition(PROPOSAL, "Ready") == ("False", "NotAdopted")


def test_inventory_that_changes_makes_an_open_proposal_void() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    world.inventories["north"] = InventoryView(inventory=make_inventory((1, 2, 3, 4, 5, 6, 7)))
    driver.look_at(PROPOSAL)
    assert world.status(PROPOSAL)["phase"] == "Void"
    assert world.condition(PROPOSAL, "Void") == ("True", "InventoryChanged")


def test_new_revision_makes_other_open_proposals_void() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    other = propose(world, [{"nodes": ["0002"], "defaultTtl": 9}], name="other")
    driver.look_at(other)
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    driver.settle(REVISION_1)
    driver.look_at(other)
    assert world.condition(other, "Void") == ("True", "BaseChanged")


def test_proposal_that_nobody_decides_expires() -> None:
    world, driver = make_adopted(approval={"expireAfterHours": 1})
    driver.look_at(propose(world))
    driver.wait(3601)
    driver.look_at(PROPOSAL)
    assert world.status(PROPOSAL)["phase"] == "Expired"


def test_manual_proposal_is_judged_by_the_models_first() -> None:
    world, driver = make_adopted()
    spec = {"segmentRef": {"name": "north"}, "settings": FEWER}
    key = world.put("ConfigurationProposal", "fewer", spec)
    driver.look_at(key)
    assert world.status(key)["phase"] == "Judging"
    run = driver.started[-1]
    assert run.path == "/api/v1/whatifs"
    assert run.workload == "office-parent"
    answer = {
        "runId": run.run_id,
        "state": "Done",
        "whatIfResult": {"segment": "north", "prediction": PREDICTION},
    }
    world.runs[run.run_id] = RunView(status=RunStatus.model_validate(answer))
    driver.look_at(key)
    assert world.status(key)["phase"] == "AwaitingDecision"
    assert world.status(key)["prediction"]["model"] == "packets"


def test_proposal_that_the_models_cannot_judge_is_shown_as_such() -> None:
    world, driver = make_adopted()
    key = world.put("ConfigurationProposal", "fewer", {"segmentRef": {"name": "north"}, "settings": FEWER})
    driver.look_at(key)
    run = driver.started[-1].run_id
    world.runs[run] = RunView(
        status=RunStatus.model_validate({"runId": run, "state": "Failed", "error": {"reason": "X", "message": "y"}})
    )
    driver.look_at(key)
    assert world.status(key)["phase"] == "AwaitingDecision"
    assert world.condition(key, "Judged") == ("False", "ModelsUnavailable")
    world.runs.clear()  # as after a restart of the operator
    driver.look_at(key)
    assert [c["message"] for c in world.status(key)["conditions"] if c["type"] == "Judged"] == ["X: y"]


def test_proposal_that_no_revision_could_hold_is_invalid_before_anybody_decides() -> None:
    world, driver = make_adopted()
    addresses = list(range(1, 258))
    stored = world.manifests[REVISION_0]
    base = [{"nodes": ["0001-0101"], "defaultTtl": 100}]
    world.replace(REVISION_0, {**stored, "spec": {**stored["spec"], "settings": base}})
    world.inventories["north"] = InventoryView(inventory=make_inventory(addresses), source_hash="large")
    apart = [
        {"nodes": [f"{n:04x}"], "networkTransmit": {"count": n % 8, "intervalSteps": n // 8 % 32}} for n in range(256)
    ]
    settings = [{**entry, "nodes": [f"{n + 1:04x}"]} for n, entry in enumerate(apart)]
    key = world.put("ConfigurationProposal", "apart", {"segmentRef": {"name": "north"}, "settings": settings})
    driver.look_at(key)
    assert world.status(key)["phase"] == "Invalid"
    assert world.condition(key, "Stalled") == ("True", "TooManySettings")


def test_judging_that_a_restarted_twin_interrupted_is_asked_again() -> None:
    world, driver = make_adopted()
    key = world.put("ConfigurationProposal", "fewer", {"segmentRef": {"name": "north"}, "settings": FEWER})
    driver.look_at(key)
    run = driver.started[-1].run_id
    error = {"reason": "Interrupted", "message": "the twin ended"}
    world.runs[run] = RunView(status=RunStatus.model_validate({"runId": run, "state": "Failed", "error": error}))
    driver.look_at(key)
    assert world.status(key)["phase"] == "Judging"
    assert driver.started[-1].run_id != run


def test_approved_digest_is_the_digest_of_the_revision() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    assert world.manifests[REVISION_1]["spec"]["digest"] == world.status(PROPOSAL)["digest"]
    assert world.manifests[REVISION_1]["spec"]["baseRevision"] == 0
    assert world.status(PROPOSAL)["configuration"] == "north-r0001"
    assert world.status(PROPOSAL)["decidedBy"] == ["ada"]


def test_operator_killed_after_creating_the_revision_does_not_create_a_second_one() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    before = world.manifests[PROPOSAL]
    driver.look_at(PROPOSAL)
    world.replace(PROPOSAL, before)  # the status was not written
    outcome = driver.look_at(PROPOSAL)
    assert not [action for action in outcome.before if isinstance(action, CreateRecord)]
    assert world.status(PROPOSAL)["configuration"] == "north-r0001"


# Approvals


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"digest": "sha256:" + "1" * 64}, "DigestMismatch"),
        ({"proposalRef": {"name": "nothing"}}, "ProposalNotFound"),
    ],
)
def test_approval_that_does_not_fit_is_not_accepted(more: dict[str, Any], reason: str) -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world, **more))
    driver.look_at(PROPOSAL)
    assert world.condition(APPROVAL, "Accepted") == ("False", reason)
    assert world.status(PROPOSAL)["phase"] == "AwaitingDecision"


def test_approval_of_an_expired_proposal_is_not_accepted() -> None:
    world, driver = make_adopted(approval={"expireAfterHours": 1})
    driver.look_at(propose(world))
    driver.wait(3601)
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "Expired")


def test_approval_of_a_void_proposal_is_not_accepted() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    world.inventories["north"] = InventoryView(inventory=make_inventory((1, 2, 3, 4, 5, 6, 7)))
    driver.look_at(PROPOSAL)
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "Void")


def test_second_decision_comes_too_late() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    late = approve(world, by="bob", name="late", decision="Reject")
    driver.look_at(late)
    assert world.condition(late, "Accepted") == ("False", "AlreadyDecided")


def test_approval_seen_after_its_own_decision_still_counts() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    approve(world)
    driver.look_at(PROPOSAL)
    driver.look_at(APPROVAL)
    assert world.status(PROPOSAL)["phase"] == "Approved"
    assert world.condition(APPROVAL, "Accepted") == ("True", "Accepted")


def test_rejection_by_one_person_rejects() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world, decision="Reject"))
    driver.look_at(PROPOSAL)
    assert world.status(PROPOSAL)["phase"] == "Rejected"
    assert REVISION_1 not in world.manifests


def test_two_approvals_must_come_from_two_people() -> None:
    world, driver = make_adopted(approval={"requiredApprovals": 2})
    driver.look_at(propose(world))
    driver.look_at(approve(world, name="one"))
    driver.look_at(approve(world, name="two"))
    driver.look_at(PROPOSAL)
    assert world.status(PROPOSAL)["phase"] == "AwaitingDecision"
    driver.look_at(approve(world, by="bob", name="three"))
    driver.look_at(PROPOSAL)
    assert world.status(PROPOSAL)["decidedBy"] == ["ada", "bob"]


def test_git_ops_policy_accepts_its_account_only() -> None:
    account = "system:serviceaccount:flux:kustomize"
    world, driver = make_adopted(approval={"mode": "GitOps", "gitOpsAccount": account})
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "NotAllowed")
    other = approve(world, by=account, name="git")
    driver.look_at(other)
    assert world.condition(other, "Accepted") == ("True", "Accepted")


def test_creator_cannot_approve_where_the_security_level_asks_for_two_people() -> None:
    world, driver = make_adopted(securityLevel="essential")
    key = propose(world)
    metadata = {**world.manifests[key]["metadata"], "annotations": {"meshtwin.dev/created-by": "ada"}}
    world.replace(key, {**world.manifests[key], "metadata": metadata})
    driver.look_at(key)
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "SelfApproval")


def test_an_approval_counts_not_where_two_people_are_asked_for_and_the_creator_is_unknown() -> None:
    world, driver = make_adopted(securityLevel="essential")
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "CreatorUnknown")


def test_approval_of_a_proposal_that_never_had_a_digest_says_that_it_is_invalid() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world, [{"nodes": ["0070"], "defaultTtl": 5}]))
    driver.look_at(approve(world))
    assert world.condition(APPROVAL, "Accepted") == ("False", "Invalid")
    assert world.condition(APPROVAL, "Stalled") == ("True", "Invalid")


# Pipelines


def make_pipeline(**more: Any) -> tuple[FakeWorld, FakeDriver]:
    world, driver = make_adopted()
    driver.sweep(2)
    spec = {
        "twinRef": {"name": "office"},
        "objectives": {"groupOnTime": {"withinMilliseconds": 150, "atLeastPerMille": 990}},
        "recipes": [{"name": "fewest-sufficient-relays"}],
        **more,
    }
    world.put("Pipeline", "lighting", spec)
    return world, driver


def test_pipeline_over_more_segments_than_its_status_holds_says_how_to_divide_it() -> None:
    world, driver = make_pipeline()
    for number in range(256):
        segment = {"twinRef": {"name": "office"}, "stage": "Planned", "inventory": {"configMapRef": {"name": "n"}}}
        world.put("MeshSegment", f"planned-{number}", segment)
    driver.look_at(PIPELINE)
    assert world.condition(PIPELINE, "Stalled") == ("True", "TooManySegments")


def answer(world: FakeWorld, driver: FakeDriver, outcome: str = "Proposed", **more: Any) -> str:
    run = driver.started[-1].run_id
    inventory = world.inventories["north"].inventory
    assert inventory is not None
    settings = [SettingsEntry.model_validate(entry).model_dump(by_alias=True, exclude_none=True) for entry in FEWER]
    result = {
        "outcome": outcome,
        "message": "15 relays instead of 26",
        "segment": "north",
        "settings": settings,
        "digest": "sha256:" + "a" * 64,
        "prediction": PREDICTION,
        "baseDigest": "sha256:" + "b" * 64,
        "inventoryHash": inventory.content_hash,
        "evidence": EVIDENCE,
        **more,
    }
    status = {"runId": run, "state": "Done", "pipelineResult": result}
    world.runs[run] = RunView(status=RunStatus.model_validate(status))
    return run


def result_of(world: FakeWorld) -> str:
    return str(world.status(PIPELINE)["runs"][0]["result"])


def proposals(world: FakeWorld) -> list[ObjectKey]:
    return sorted(key for key in world.manifests if key.kind == "ConfigurationProposal")


def test_pipeline_asks_the_parent_twin_and_records_its_proposal() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    assert driver.started[-1].path == "/api/v1/pipelines/lighting/runs"
    assert driver.started[-1].body["objectives"]["onTimeAtLeastPerMille"] == 990
    assert result_of(world) == "Running"
    answer(world, driver)
    driver.look_at(PIPELINE)
    (key,) = proposals(world)
    driver.look_at(key)
    driver.look_at(PIPELINE)
    assert result_of(world) == "AwaitingDecision"
    assert world.status(key)["phase"] == "AwaitingDecision"
    assert world.manifests[key]["spec"]["baseRevision"] == 0
    search = world.manifests[key]["spec"]["search"]
    assert [point["role"] for point in search["pareto"]] == ["Proposed", "InForce"]
    assert [(loser["reason"], loser["verdict"]) for loser in search["losers"]] == [("16 relays", "airtime")]
    assert search["candidates"] == 12


def test_what_a_run_warns_of_and_what_it_did_not_know_stand_in_its_proposal() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    doubt = "onTime of lights: going by earlier predictions, it may be 916 per mille, below 950"
    answer(world, driver, warnings=[doubt], gaps=["north: no report yet"])
    driver.look_at(PIPELINE)
    (key,) = proposals(world)
    assert world.manifests[key]["spec"]["warnings"] == [doubt, "north: no report yet"]
    driver.look_at(key)
    assert world.status(key)["phase"] == "AwaitingDecision"


def test_proposal_of_a_run_without_warnings_is_stored_without_the_field() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver)
    driver.look_at(PIPELINE)
    (key,) = proposals(world)
    assert "warnings" not in world.manifests[key]["spec"]


def test_killed_operator_makes_the_same_proposal_once() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver)
    before = world.manifests[PIPELINE]
    driver.look_at(PIPELINE)
    world.replace(PIPELINE, before)  # the status was not written
    driver.look_at(PIPELINE)
    assert len(proposals(world)) == 1


@pytest.mark.parametrize("outcome", ["NothingBetter", "ObjectivesUnreachable"])
def test_no_proposal_when_there_is_none_to_make_and_a_condition_says_so(outcome: str) -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver, outcome)
    driver.look_at(PIPELINE)
    assert proposals(world) == []
    assert result_of(world) == outcome
    assert world.condition(PIPELINE, "ObjectivesMet")[1] == outcome


def test_run_without_a_proposal_keeps_the_best_it_found_what_lost_and_its_warnings() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver, "ObjectivesUnreachable", warnings=["2 nodes have no known link: 0004, 0005"], gaps=["south"])
    driver.look_at(PIPELINE)
    (run,) = world.status(PIPELINE)["runs"]
    assert run["warnings"] == ["2 nodes have no known link: 0004, 0005", "south"]
    assert run["search"]["candidates"] == 12
    assert [(p["role"], p["onTimePerMille"]) for p in run["search"]["pareto"]] == [("Best", 990), ("InForce", 480)]
    assert [(loser["reason"], loser["verdict"]) for loser in run["search"]["losers"]] == [("16 relays", "airtime")]


def test_run_whose_best_did_harm_before_keeps_what_it_found() -> None:
    world, driver = make_pipeline()
    world.gateways["gw-north"].rejected.append("sha256:" + "a" * 64)
    driver.look_at(PIPELINE)
    answer(world, driver)
    driver.look_at(PIPELINE)
    (run,) = world.status(PIPELINE)["runs"]
    assert "did harm" in run["message"]
    assert run["search"]["pareto"][0]["role"] == "Best"


def test_run_with_a_proposal_leaves_what_it_found_to_the_proposal() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver, warnings=["doubtful"])
    driver.sweep(2)
    (run,) = world.status(PIPELINE)["runs"]
    assert run["result"] == "AwaitingDecision"
    assert "search" not in run
    assert not run["warnings"]


def test_findings_of_many_segments_stay_within_what_a_status_may_be() -> None:
    search = {
        "candidates": 9,
        "seed": 1,
        "pareto": [
            {"role": "Best", "reason": "r" * 240, "verdict": "v" * 240, "onTimePerMille": 900, "airtimePerMillion": 9}
        ]
        * 4,
        "losers": [{"reason": "r" * 240, "verdict": "v" * 240}] * 3,
    }
    runs = [
        SegmentRun.model_validate(
            {
                "segment": f"s{n}",
                "result": "NothingBetter",
                "message": "m" * 1024,
                "finishedAt": START + timedelta(minutes=n),
                "search": search,
                "warnings": ["w" * 240] * 8,
            }
        )
        for n in range(256)
    ]
    kept = forget_findings(runs)
    assert [run.segment for run in kept if run.search] == [f"s{n}" for n in range(224, 256)]
    assert all(run.warnings == [] for run in kept if run.search is None)
    assert [run.message for run in kept] == [run.message for run in runs]
    status = PipelineStatus(runs=kept).model_dump_json(by_alias=True, exclude_none=True)
    assert len(status) < 600_000  # an object may have 1.5 MB in all


def test_undecided_proposal_holds_back_the_next_run() -> None:
    world, driver = make_pipeline(run={"everyMinutes": 60})
    driver.look_at(PIPELINE)
    answer(world, driver)
    driver.sweep(2)
    asked = len(driver.started)
    driver.wait(2 * 3600)
    driver.sweep(3)
    assert len(driver.started) == asked


def test_hourly_pipeline_keeps_a_bounded_number_of_closed_proposals() -> None:
    world, driver = make_pipeline(run={"everyMinutes": 60}, keepProposals=3)
    for _ in range(10):
        driver.look_at(PIPELINE)
        answer(world, driver)
        driver.look_at(PIPELINE)
        newest = ObjectKey("ConfigurationProposal", NS, world.status(PIPELINE)["runs"][0]["proposal"])
        driver.look_at(newest)
        rejection = approve(world, newest, name=f"no-{newest.name}", decision="Reject")
        driver.look_at(rejection)
        driver.look_at(newest)
        driver.wait(3700)
    driver.look_at(PIPELINE)
    assert len(proposals(world)) <= 4
    assert len([key for key in world.manifests if key.kind == "Approval"]) <= 4


def test_candidate_that_did_harm_before_is_not_proposed_again() -> None:
    world, driver = make_pipeline()
    world.gateways["gw-north"].rejected.append("sha256:" + "a" * 64)
    driver.look_at(PIPELINE)
    answer(world, driver)
    driver.look_at(PIPELINE)
    assert proposals(world) == []
    assert result_of(world) == "NothingBetter"


def test_pipeline_waits_for_twin_and_adoption() -> None:
    world, driver = make_pipeline()
    world.summaries.pop("office-parent")
    driver.look_at(PIPELINE)
    assert driver.started == []
    assert world.condition(PIPELINE, "Reconciling") == ("True", "TwinNotReady")


def test_a_twin_that_does_not_answer_is_told_where_it_was_asked() -> None:
    world, driver = make_pipeline()
    what_if = world.put("WhatIf", "dark", {"segmentRef": {"name": "north"}, "failedNodes": ["0003"]})
    for key in (PIPELINE, what_if):
        driver.look_at(key)
        world.runs[driver.started[-1].run_id] = RunView(status=None, problem="ConnectError: refused")
        driver.look_at(key)
        assert world.condition(key, "Reconciling") == ("True", "TwinUnreachable")
        (message,) = {c["message"] for c in world.status(key)["conditions"] if c["type"] == "Ready"}
        assert message.endswith("the parent twin does not answer: ConnectError: refused")
        world.runs[driver.started[-1].run_id] = RunView(
            status=RunStatus(run_id=driver.started[-1].run_id, state="Running")
        )
        driver.look_at(key)
        assert world.condition(key, "Reconciling") == ("True", "Running")


def test_failed_run_is_tried_again_after_a_pause() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    run = driver.started[-1].run_id
    failed = {"runId": run, "state": "Failed", "error": {"reason": "Interrupted", "message": "restarted"}}
    world.runs[run] = RunView(status=RunStatus.model_validate(failed))
    driver.look_at(PIPELINE)
    assert result_of(world) == "Failed"
    driver.look_at(PIPELINE)
    assert driver.started[-1].run_id == run
    driver.wait(301)
    driver.look_at(PIPELINE)
    assert driver.started[-1].run_id != run


def test_edited_pipeline_runs_again() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver, "NothingBetter")
    driver.sweep(2)
    asked = len(driver.started)
    world.edit(PIPELINE, {"objectives": {"spread": {"atMostMilliseconds": 50}}})
    driver.look_at(PIPELINE)
    assert len(driver.started) == asked + 1


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"recipes": [{"name": "no-such"}]}, "UnknownRecipe"),
        ({"twinRef": {"name": "no-such"}}, "TwinNotFound"),
        ({"segments": [{"name": "no-such"}]}, "SegmentNotFound"),
        (
            {"objectives": {"redundancy": {"atLeastPaths": 3}, "airtime": {"atMostPerMille": 2}}},
            "ContradictingObjectives",
        ),
    ],
)
def test_pipeline_that_cannot_work_stalls_with_its_reason(spec: dict[str, Any], reason: str) -> None:
    world, driver = make_pipeline(**spec)
    driver.look_at(PIPELINE)
    assert world.condition(PIPELINE, "Stalled") == ("True", reason)


def test_only_one_run_of_a_twin_is_under_way() -> None:
    world, driver = make_pipeline()
    other = world.put("Pipeline", "other", {"twinRef": {"name": "office"}, "recipes": [{"name": "path-redundancy"}]})
    driver.look_at(PIPELINE)
    driver.look_at(other)
    assert len({run.run_id for run in driver.started}) == 1
    assert world.condition(other, "Reconciling") == ("True", "AnotherRun")


def test_pipeline_does_not_ask_again_right_after_its_own_proposal_was_confirmed() -> None:
    world, driver = make_pipeline()
    driver.look_at(PIPELINE)
    answer(world, driver)
    driver.look_at(PIPELINE)
    (key,) = proposals(world)
    driver.look_at(key)
    driver.look_at(approve(world, key))
    driver.sweep(20)
    assert world.status(REVISION_1)["push"]["step"] == "Confirmed"
    asked = len({run.run_id for run in driver.started if not run.handed})
    driver.sweep(3)
    assert len({run.run_id for run in driver.started if not run.handed}) == asked == 1
    assert result_of(world) == "Proposed"


# Recipes and what-ifs


def test_recipe_that_uses_nothing_known_stalls() -> None:
    world, driver = make_office()
    key = world.put("Recipe", "mine", {"uses": "no-such"})
    driver.look_at(key)
    assert world.condition(key, "Stalled") == ("True", "UnknownRecipe")


def test_recipe_with_a_parameter_that_nobody_knows_stalls_with_the_known_ones() -> None:
    world, driver = make_office()
    key = world.put("Recipe", "mine", {"uses": "path-redundancy", "parameters": {"path": 3}})
    driver.look_at(key)
    assert world.condition(key, "Stalled") == ("True", "UnknownParameter")


def test_what_if_is_asked_once_and_answered() -> None:
    world, driver = make_adopted()
    key = world.put("WhatIf", "dark", {"segmentRef": {"name": "north"}, "failedNodes": ["0003"]})
    driver.look_at(key)
    run = driver.started[-1]
    assert run.body["failedNodes"] == ["0003"]
    done = {"runId": run.run_id, "state": "Done", "whatIfResult": {"segment": "north", "prediction": PREDICTION}}
    world.runs[run.run_id] = RunView(status=RunStatus.model_validate(done))
    driver.look_at(key)
    assert world.condition(key, "Answered") == ("True", "Answered")
    asked = len(driver.started)
    driver.wait(1000)
    driver.sweep(2)
    assert len(driver.started) == asked


def test_first_answer_to_a_what_if_stands_in_its_status_as_provisional_until_the_refined_one_is_there() -> None:
    world, driver = make_adopted()
    key = world.put("WhatIf", "dark", {"segmentRef": {"name": "north"}, "failedNodes": ["0003"]})
    driver.look_at(key)
    run = driver.started[-1].run_id
    first = {**PREDICTION, "model": "fast", "provisional": True}
    running: dict[str, Any] = {"runId": run, "state": "Running", "provisional": {"prediction": first}}
    world.runs[run] = RunView(status=RunStatus.model_validate(running))
    driver.look_at(key)
    told = world.status(key)
    assert (told["prediction"]["model"], told["prediction"]["provisional"]) == ("fast", True)
    assert "answeredAt" not in told
    assert world.condition(key, "Answered") == ("False", "Running")

    later = {**running, "progressPerMille": 700, "stage": "simulating"}
    world.runs[run] = RunView(status=RunStatus.model_validate(later))
    driver.look_at(key)
    assert world.status(key) == told  # progress writes nothing
    world.runs[run] = RunView(status=None, problem="ConnectError: refused")
    driver.look_at(key)
    assert world.status(key)["prediction"] == told["prediction"]

    done = {**running, "state": "Done", "whatIfResult": {"segment": "north", "prediction": PREDICTION}}
    world.runs[run] = RunView(status=RunStatus.model_validate(done))
    driver.look_at(key)
    status = world.status(key)
    assert status["prediction"]["model"] == "packets"
    assert "provisional" not in status["prediction"]
    assert "answeredAt" in status
    assert world.condition(key, "Answered") == ("True", "Answered")


def test_first_answer_to_a_what_if_that_then_fails_stays_and_is_no_answer() -> None:
    world, driver = make_adopted()
    key = world.put("WhatIf", "dark", {"segmentRef": {"name": "north"}, "failedNodes": ["0003"]})
    driver.look_at(key)
    run = driver.started[-1].run_id
    failed = {
        "runId": run,
        "state": "Failed",
        "provisional": {"prediction": {**PREDICTION, "provisional": True}},
        "error": {"reason": "TimeLimit", "message": "not done within 3600 s"},
    }
    world.runs[run] = RunView(status=RunStatus.model_validate(failed))
    driver.look_at(key)
    assert world.status(key)["prediction"]["provisional"] is True
    assert world.condition(key, "Answered") == ("False", "TimeLimit")
    assert world.condition(key, "Stalled") == ("True", "TimeLimit")


def test_what_if_that_a_restarted_twin_interrupted_is_asked_again() -> None:
    world, driver = make_adopted()
    key = world.put("WhatIf", "dark", {"segmentRef": {"name": "north"}, "failedNodes": ["0003"]})
    driver.look_at(key)
    run = driver.started[-1].run_id
    error = {"reason": "Interrupted", "message": "the twin ended"}
    world.runs[run] = RunView(status=RunStatus.model_validate({"runId": run, "state": "Failed", "error": error}))
    driver.look_at(key)
    assert world.condition(key, "Stalled") == ("False", "Running")
    assert driver.started[-1].run_id != run


def test_what_if_about_places_and_traffic_is_asked_in_metres_and_its_warnings_are_kept() -> None:
    world, driver = make_adopted()
    spec = {
        "segmentRef": {"name": "north"},
        "movedNodes": [{"node": "000A", "position": {"xCentimetres": 1250, "yCentimetres": -300}}],
        "addedNodes": [
            {
                "node": "00FF",
                "position": {"xCentimetres": 0, "yCentimetres": 5, "zCentimetres": 280},
                "groups": ["C001"],
                "relay": "Enabled",
            },
            {"node": "0100", "position": {"xCentimetres": 0, "yCentimetres": 0}},
        ],
        "traffic": [
            {"name": "lights", "ratePerMinute": 60},
            {"name": "old", "removed": True},
            {"name": "new", "source": "000A", "destination": "C001", "ratePerMinute": 6, "deadlineMilliseconds": 150},
        ],
    }
    key = world.put("WhatIf", "corner", spec)
    driver.look_at(key)
    asked = WhatIfRequest.model_validate(driver.started[-1].body)
    assert [(m.node, m.position_metres) for m in asked.moved_nodes] == [("000a", [12.5, -3.0, 0.0])]
    first, second = asked.added_nodes
    assert (first.node, first.position_metres, first.groups) == ("00ff", [0.0, 0.05, 2.8], ["c001"])
    assert first.settings is not None
    assert (first.settings.nodes, first.settings.relay, first.settings.default_ttl) == (["00ff"], "Enabled", None)
    assert second.settings is None
    assert [(f.name, f.source, f.rate_per_minute, f.removed) for f in asked.traffic] == [
        ("lights", None, 60.0, False),
        ("old", None, None, True),
        ("new", "000a", 6.0, False),
    ]
    warnings = ["links of 00ff are expected from placement, not measured: walls are not known"]
    result = {"segment": "north", "prediction": PREDICTION, "warnings": warnings}
    run_id = driver.started[-1].run_id
    done = {"runId": run_id, "state": "Done", "whatIfResult": result}
    world.runs[run_id] = RunView(status=RunStatus.model_validate(done))
    driver.look_at(key)
    assert world.status(key)["warnings"] == warnings


def test_what_if_about_no_segment_stalls() -> None:
    world, driver = make_adopted()
    key = world.put("WhatIf", "dark", {"segmentRef": {"name": "no-such"}})
    driver.look_at(key)
    assert world.condition(key, "Stalled") == ("True", "SegmentNotFound")


def test_equal_worlds_give_equal_outcomes() -> None:
    world, driver = make_pipeline()
    driver.sweep(3)
    for key in sorted(world.manifests):
        assert reconcile(key, world, driver.now) == reconcile(key, world, driver.now)


def test_old_closed_records_go_and_the_revision_in_force_stays() -> None:
    world, driver = make_adopted()
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    driver.settle(REVISION_1)
    other = propose(world, [{"nodes": ["0002"], "defaultTtl": 9}], name="other")
    driver.look_at(other)
    driver.look_at(approve(world, other, name="no", decision="Reject"))
    driver.look_at(other)
    driver.wait(31 * 86_400)
    driver.sweep(2)
    assert other not in world.manifests
    assert ObjectKey("Approval", NS, "no") not in world.manifests
    assert {PROPOSAL, REVISION_1, TWIN} <= set(world.manifests)
