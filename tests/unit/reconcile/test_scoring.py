"""Handing a push's prediction and measurement to the segment's scorecard."""

from typing import Any

import pytest
from fake_world import PROPOSAL, REVISION_1, FakeDriver, FakeWorld, approve, make_adopted, propose

from meshtwin.recipes.messages import RunError, RunStatus
from meshtwin.recipes.score_messages import MeasuredPushModel
from meshtwin_operator.reconcile.outcome import StartRun
from meshtwin_operator.reconcile.world import RunView, WorkloadView


def make_predicted(**more: Any) -> tuple[FakeWorld, FakeDriver]:
    """The office with one approved revision whose effect on the lights was predicted."""
    world, driver = make_adopted(**more)
    said = {"estimatePerMille": 990, "lowPerMille": 950, "highPerMille": 1000}
    flow = {"flow": "lights", "messages": 320, "onTime": said, "delivery": said, "howKnown": "predicted"}
    key = propose(world)
    told = dict(world.manifests[key]["spec"]["prediction"])
    world.edit(key, {"prediction": {**told, "before": {"flows": [flow]}, "after": {"flows": [flow]}}})
    driver.look_at(key)
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    return world, driver


def handed(driver: FakeDriver) -> list[StartRun]:
    return [run for run in driver.started if run.handed]


def answer(world: FakeWorld, run: StartRun, state: str = "Done", error: RunError | None = None) -> None:
    status = RunStatus.model_validate({"runId": run.run_id, "state": state, "error": error})
    world.runs[run.run_id] = RunView(status=status)


def test_confirmed_push_is_handed_to_its_segments_twin_with_what_was_predicted_and_measured() -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    run = handed(driver)[0]
    body = MeasuredPushModel.model_validate(run.body)
    assert run.workload == "north-segment"
    assert run.url == "http://north-segment:8080"
    assert run.path == f"/api/v1/scorecard/pushes/{world.status(REVISION_1)['push']['attemptId']}"
    assert body.prediction.after.flows[0].on_time is not None
    assert body.before is not None
    assert body.after is not None
    assert (body.before.flows[0].messages, body.after.flows[0].how_known) == (60, "receiverCounted")


def test_nothing_is_handed_over_before_the_verdict_is_in_status() -> None:
    world, driver = make_predicted()
    while world.status(REVISION_1).get("push", {}).get("step") != "Confirmed":
        assert handed(driver) == []
        driver.look_at(REVISION_1)
    assert handed(driver) == []
    driver.look_at(REVISION_1)
    assert len(handed(driver)) == 1


def test_handed_over_until_answered_and_then_never_again() -> None:
    world, driver = make_predicted()
    driver.lose = True  # killed after each write of status, before anything leaves
    for _ in range(30):
        driver.look_at(REVISION_1)
    driver.lose = False
    driver.settle(REVISION_1)
    again = handed(driver)
    assert len({run.run_id for run in again}) == 1
    answer(world, again[0])
    driver.settle(REVISION_1)
    count = len(handed(driver))
    driver.settle(REVISION_1)
    assert world.status(REVISION_1)["scored"]["result"] == "Entered"
    assert len(handed(driver)) == count


def test_operator_that_was_killed_before_it_noted_the_answer_hands_the_same_attempt_over() -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    first = handed(driver)[0]
    world.runs.clear()  # what an operator knows of runs is in memory
    driver.look_at(REVISION_1)
    assert handed(driver)[-1] == first


def test_what_the_twin_refuses_is_noted_and_not_tried_for_ever() -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    answer(world, handed(driver)[0], "Failed", RunError(reason="Refused", message="not of this segment"))
    driver.settle(REVISION_1)
    assert world.status(REVISION_1)["scored"]["result"] == "Refused"
    assert world.status(REVISION_1)["scored"]["message"] == "not of this segment"
    assert world.condition(REVISION_1, "Ready") == ("True", "Confirmed")


@pytest.mark.parametrize("reason", ["Unavailable", "InternalError", "TimeLimit"])
def test_push_that_the_twin_failed_to_enter_is_handed_over_again(reason: str) -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    first = handed(driver)[0]
    answer(world, first, "Failed", RunError(reason=reason, message="no space left on device"))
    driver.look_at(REVISION_1)
    assert "scored" not in world.status(REVISION_1)
    assert handed(driver)[-1] == first
    answer(world, first)
    driver.settle(REVISION_1)
    assert world.status(REVISION_1)["scored"]["result"] == "Entered"


def test_push_that_did_harm_is_scored_too() -> None:
    world, driver = make_predicted()
    gateway = world.gateways["gw-north"]
    gateway.on_time = lambda g, presses: presses if g.phase.value != "armed" else presses // 2
    for _ in range(40):
        driver.look_at(REVISION_1)
    assert world.status(REVISION_1)["push"]["step"] == "RolledBack"
    body = MeasuredPushModel.model_validate(handed(driver)[0].body)
    assert body.after is not None
    assert body.after.flows[0].on_time is not None
    assert body.after.flows[0].on_time.estimate_per_mille == 500


def test_measurement_of_a_configuration_that_did_not_reach_its_nodes_is_not_scored() -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    status = world.status(REVISION_1)
    status["push"] = {**status["push"], "step": "RolledBack", "reason": "CoverageMissed"}
    world.replace(REVISION_1, {**world.manifests[REVISION_1], "status": status})
    world.runs.clear()
    driver.look_at(REVISION_1)
    body = MeasuredPushModel.model_validate(handed(driver)[-1].body)
    assert body.after is None
    assert body.before is not None


@pytest.mark.parametrize("missing", ["predicted", "measured"])
def test_push_without_prediction_or_measurement_is_not_handed_over(missing: str) -> None:
    world, driver = make_predicted()
    driver.settle(REVISION_1)
    driver.started.clear()
    names = ("predicted",) if missing == "predicted" else ("measuredBefore", "measuredAfter")
    status = {name: value for name, value in world.status(REVISION_1).items() if name not in names}
    world.replace(REVISION_1, {**world.manifests[REVISION_1], "status": status})
    if missing == "predicted":
        del world.manifests[PROPOSAL]
    driver.look_at(REVISION_1)
    assert handed(driver) == []


def test_twin_that_is_away_is_waited_for() -> None:
    world, driver = make_predicted()
    world.workloads["north-segment"] = WorkloadView(exists=True, ready=False)
    driver.settle(REVISION_1)
    assert handed(driver) == []
    world.workloads["north-segment"] = WorkloadView(exists=True, ready=True, url="http://north-segment:8080")
    driver.look_at(REVISION_1)
    assert len(handed(driver)) == 1
