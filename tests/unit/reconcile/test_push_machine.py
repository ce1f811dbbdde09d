"""The push of a revision, with a gateway that obeys, one that is deaf, and one whose network suffers."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from fake_world import (
    APPROVAL,
    NS,
    PROPOSAL,
    REVISION_0,
    REVISION_1,
    SEGMENT,
    TWIN,
    FakeDriver,
    FakeWorld,
    make_adopted,
    make_approved,
    make_office,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from meshtwin.contract.configuration import GatewayPhase, Verb
from meshtwin.errors import Inconsistent
from meshtwin_operator.reconcile.guards import is_window_open
from meshtwin_operator.reconcile.push import NEXT, Signal, Step, next_step
from meshtwin_operator.resources.twins import ChangeWindow


def step(world: FakeWorld) -> str:
    return str(world.status(REVISION_1)["push"]["step"])


def verbs(driver: FakeDriver) -> list[str]:
    return [action.command.verb.value for action in driver.published if action.command.verb is not Verb.MONITOR]


def drive_to(driver: FakeDriver, wanted: str) -> None:
    for _ in range(30):
        driver.look_at(REVISION_1)
        if step(driver.world) == wanted:
            return
    raise AssertionError(f"stays in {step(driver.world)} instead of {wanted}")


def test_what_the_network_has_becomes_revision_0() -> None:
    world, _ = make_adopted()
    assert world.status(REVISION_0)["push"]["step"] == "Adopted"
    assert world.condition(REVISION_0, "Ready") == ("True", "Adopted")
    assert world.manifests[REVISION_0]["spec"]["digest"] == world.gateways["gw-north"].digest


def test_approved_revision_is_staged_measured_committed_measured_and_confirmed() -> None:
    world, driver = make_approved()
    driver.published.clear()
    driver.settle(REVISION_1)
    assert verbs(driver) == ["stage", "probe", "commit", "probe", "probe", "confirm"]
    assert step(world) == "Confirmed"
    assert world.condition(REVISION_1, "Confirmed") == ("True", "Confirmed")
    assert world.gateways["gw-north"].revision == 1
    assert world.status(REVISION_1)["noHarm"]["passed"] is True
    assert world.status(REVISION_1)["outcomes"]["applied"] == 6


def test_outcomes_of_the_commit_are_taken_also_when_the_report_came_first() -> None:
    world, driver = make_approved()
    drive_to(driver, "Committing")
    gateway = world.gateways["gw-north"]
    attempt = world.status(REVISION_1)["push"]["attemptId"]
    answer = gateway.results.pop(attempt)
    driver.look_at(REVISION_1)
    assert step(world) == "Verifying"
    gateway.results[attempt] = answer
    driver.settle(REVISION_1)
    assert world.status(REVISION_1)["outcomes"]["applied"] == 6


def test_confirm_that_was_answered_waits_for_the_report_that_says_it_is_in_force() -> None:
    world, driver = make_approved()
    drive_to(driver, "Confirming")
    gateway = world.gateways["gw-north"]
    late = dict(vars(gateway))
    gateway.phase, gateway.revision, gateway.digest = GatewayPhase.ARMED, 0, None
    driver.look_at(REVISION_1)
    assert step(world) == "Confirming"
    vars(gateway).update(late)
    driver.look_at(REVISION_1)
    assert step(world) == "Confirmed"


def test_reason_of_a_gateway_that_is_no_word_is_made_one() -> None:
    world, driver = make_approved()
    world.gateways["gw-north"].commit_answer = ("failed", "3 nodes: no answer!")
    drive_to(driver, "Aborting")
    driver.look_at(REVISION_1)
    assert world.condition(REVISION_1, "Acknowledged") == ("False", "nodesnoanswer")


def test_command_is_published_only_after_its_step_is_in_status() -> None:
    world, driver = make_approved()
    driver.lose = True  # killed between writing status and publishing
    driver.look_at(REVISION_1)
    assert step(world) == "Staging"
    attempt = world.status(REVISION_1)["push"]["attemptId"]
    driver.lose = False
    driver.look_at(REVISION_1)
    assert driver.published[-1].command.verb is Verb.STAGE
    assert driver.published[-1].command.attempt_id == attempt


def test_operator_killed_between_commit_and_confirm_goes_on_with_a_new_probe() -> None:
    world, driver = make_approved()
    drive_to(driver, "Verifying")
    world.epoch += 1
    world.gateways["gw-north"].results.clear()  # results are not retained at the broker
    world.gateways["gw-north"].flows.clear()
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"


@pytest.mark.parametrize("lost_at", ["Staging", "MeasuringBaseline", "Committing", "Verifying", "Confirming"])
def test_operator_killed_before_publishing_any_step_ends_confirmed(lost_at: str) -> None:
    world, driver = make_approved()
    drive_to_lossy(driver, lost_at)
    world.epoch += 1
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"
    assert world.gateways["gw-north"].revision == 1


def drive_to_lossy(driver: FakeDriver, wanted: str) -> None:
    """Reach a step whose command is never published."""
    for _ in range(30):
        driver.lose = next_is(driver, wanted)
        driver.look_at(REVISION_1)
        driver.lose = False
        if step(driver.world) == wanted:
            return
    raise AssertionError(wanted)


def next_is(driver: FakeDriver, wanted: str) -> bool:
    from meshtwin_operator.reconcile.dispatch import reconcile

    status: Any = reconcile(REVISION_1, driver.world, driver.now).status or {}
    return bool(status.get("push", {}).get("step") == wanted)


def test_harmful_configuration_is_taken_back_and_never_pushed_again() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway.on_time = lambda g, presses: presses // 2 if g.phase is GatewayPhase.ARMED else presses
    driver.settle(REVISION_1)
    assert step(world) == "RolledBack"
    assert world.condition(REVISION_1, "RolledBack")[0] == "True"
    assert world.condition(REVISION_1, "Stalled")[0] == "True"
    assert gateway.phase is GatewayPhase.IDLE
    assert gateway.revision == 0
    driver.published.clear()
    driver.wait(86_400)
    driver.sweep(3)
    assert "stage" not in verbs(driver)


def test_nodes_that_fall_silent_after_the_commit_are_harm() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway.silent = lambda g: {"0006"} if g.phase is GatewayPhase.ARMED else set()
    driver.settle(REVISION_1)
    assert step(world) == "RolledBack"
    assert "0006" in world.status(REVISION_1)["noHarm"]["message"]


def test_node_that_was_silent_before_is_not_held_against_the_change() -> None:
    world, driver = make_approved()
    world.gateways["gw-north"].silent = lambda g: {"0006"}
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"


def test_hash_that_the_gateway_rejected_before_is_not_pushed() -> None:
    world, driver = make_approved()
    world.gateways["gw-north"].rejected.append(world.manifests[REVISION_1]["spec"]["digest"])
    driver.published.clear()
    driver.settle(REVISION_1)
    assert step(world) == "Rejected"
    assert verbs(driver) == []


def test_commit_that_misses_its_coverage_is_rolled_back() -> None:
    world, driver = make_approved()
    world.gateways["gw-north"].commit_answer = ("failed", "CoverageMissed")
    driver.settle(REVISION_1)
    assert step(world) == "RolledBack"
    assert world.condition(REVISION_1, "RolledBack") == ("True", "CoverageMissed")


def test_missed_coverage_is_harm_where_the_gateway_found_nodes_cut_off() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway.commit_answer = ("failed", "CoverageMissed")
    drive_to(driver, "Aborting")
    gateway.rejected.append(world.manifests[REVISION_1]["spec"]["digest"])
    driver.settle(REVISION_1)
    assert world.condition(REVISION_1, "RolledBack") == ("True", "Harm")


def test_gateway_that_restored_by_its_own_timer_is_tried_again_later() -> None:
    world, driver = make_approved()
    drive_to(driver, "Verifying")
    world.gateways["gw-north"].restart()
    driver.settle(REVISION_1)
    assert step(world) == "Pending"
    assert world.status(REVISION_1)["push"]["failures"] == 1
    driver.wait(40)
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"


def test_deaf_gateway_is_given_up_after_five_attempts() -> None:
    world, driver = make_approved()
    world.gateways["gw-north"].deaf = True
    for _ in range(200):
        driver.settle(REVISION_1)
        if step(world) == "TimedOut":
            break
        driver.wait(120)
    assert step(world) == "TimedOut"
    assert world.status(REVISION_1)["push"]["failures"] == 5
    assert world.condition(REVISION_1, "Stalled")[0] == "True"


@pytest.mark.parametrize("field", ["suspend", "emergencyStop"])
@pytest.mark.parametrize("at", ["Staging", "MeasuringBaseline", "Committing", "Verifying"])
def test_stop_between_any_two_steps_takes_the_push_back(field: str, at: str) -> None:
    world, driver = make_approved()
    drive_to(driver, at)
    world.edit(TWIN, {field: True})
    driver.settle(REVISION_1)
    assert step(world) == "Pending"
    assert world.gateways["gw-north"].phase is GatewayPhase.IDLE
    assert world.gateways["gw-north"].revision == 0
    world.edit(TWIN, {field: False})
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"


def test_stop_of_a_grandparent_holds_the_push() -> None:
    world, driver = make_approved()
    campus = world.put("DigitalTwin", "campus", {"mode": "Control", "emergencyStop": True})
    world.edit(TWIN, {"parentRef": {"name": campus.name}})
    driver.look_at(REVISION_1)
    assert world.condition(REVISION_1, "Ready") == ("False", "EmergencyStop")


def test_only_one_push_is_in_flight_in_a_tree() -> None:
    world, driver = make_approved()
    drive_to(driver, "Committing")
    other = world.manifests[REVISION_1]
    world.put(
        "MeshSegment",
        "south",
        {
            "twinRef": {"name": "office"},
            "gatewayId": "gw-south",
            "inventory": {"configMapRef": {"name": "south"}},
        },
    )
    from fake_world import EVERYTHING_RELAYS, Configuration, FakeGateway, InventoryView, make_inventory

    addresses = tuple(range(0x11, 0x14))
    world.inventories["south"] = InventoryView(inventory=make_inventory(addresses))
    network = Configuration.of(dict.fromkeys(addresses, EVERYTHING_RELAYS))
    world.gateways["gw-south"] = FakeGateway(network=network, addresses=addresses)
    south = type(SEGMENT)("MeshSegment", NS, "south")
    for _ in range(3):
        driver.look_at(south)
    base = type(SEGMENT)("MeshConfiguration", NS, "south-r0000")
    driver.look_at(base)
    from meshtwin.mesh.configuration import compute_digest
    from meshtwin_operator.reconcile.revisions import configuration_manifest

    wanted = Configuration.of(dict.fromkeys(addresses, EVERYTHING_RELAYS.overlaid(EVERYTHING_RELAYS)))
    wanted = wanted.overlaid(Configuration.of({addresses[0]: type(EVERYTHING_RELAYS)(default_ttl=9)}))
    segment = world.get(south)
    manifest = configuration_manifest(
        segment,
        wanted,
        addresses,
        revision=1,
        base_revision=0,
        proposal="p",  # type: ignore[arg-type]
    )
    assert manifest["spec"]["digest"] == compute_digest(wanted)
    driver._create(manifest)
    second = type(SEGMENT)("MeshConfiguration", NS, "south-r0001")
    driver.look_at(second)
    assert world.status(second)["push"] | {"message": ""} == {
        "step": "Pending",
        "attempts": 0,
        "failures": 0,
        "looks": 0,
        "reason": "AnotherPush",
        "message": "",
    }
    driver.settle(REVISION_1)
    driver.settle(second)
    assert world.status(second)["push"]["step"] == "Confirmed"
    assert other["spec"]["revision"] == 1


@pytest.mark.parametrize("mode", ["Observe", "Recommend"])
def test_nothing_is_pushed_without_control(mode: str) -> None:
    world, driver = make_approved()
    world.edit(TWIN, {"mode": mode})
    driver.published.clear()
    driver.sweep(3)
    assert verbs(driver) == []
    assert world.condition(REVISION_1, "Ready") == ("False", "NotInControl")


def test_nothing_at_all_is_sent_in_observe_mode() -> None:
    _, driver = make_office(mode="Observe")
    driver.sweep(5)
    assert driver.published == []


def test_older_revision_without_verdict_is_superseded_by_a_newer_one() -> None:
    world, driver = make_approved(changeWindows=[{"start": "01:00", "end": "02:00"}])
    driver.look_at(REVISION_1)
    assert world.condition(REVISION_1, "Ready") == ("False", "OutsideWindow")
    newer = {**world.manifests[REVISION_1]}
    metadata = {**newer["metadata"], "name": "north-r0002", "uid": "other"}
    spec = {**newer["spec"], "revision": 2}
    world.replace(
        type(REVISION_1)("MeshConfiguration", NS, "north-r0002"), {**newer, "metadata": metadata, "spec": spec}
    )
    driver.look_at(REVISION_1)
    assert step(world) == "Superseded"
    assert world.condition(REVISION_1, "Pushed") == ("False", "Superseded")


def test_drift_is_healed_by_sending_the_revision_in_force_again() -> None:
    world, driver = make_approved()
    driver.settle(REVISION_1)
    gateway = world.gateways["gw-north"]
    gateway.drifted = ["0003"]
    driver.published.clear()
    driver.settle(REVISION_1)
    assert verbs(driver) == ["stage", "commit", "confirm"]
    assert {a.command.revision for a in driver.published} == {1}
    assert gateway.drifted == []
    assert step(world) == "Confirmed"


def test_drift_that_never_heals_is_tried_once_an_hour_for_ever() -> None:
    world, driver = make_approved()
    driver.settle(REVISION_1)
    world.gateways["gw-north"].drifted = ["0003"]
    driver.look_at(REVISION_1)
    stored = world.manifests[REVISION_1]
    heal = {**stored["status"]["heal"], "step": "Aborting", "failures": 5000}
    world.replace(REVISION_1, {**stored, "status": {**stored["status"], "heal": heal}})
    world.gateways["gw-north"].phase = GatewayPhase.IDLE
    driver.look_at(REVISION_1)
    later = datetime.fromisoformat(world.status(REVISION_1)["heal"]["nextTryAt"])
    assert later - driver.now == timedelta(hours=1)


def test_a_gateway_that_lost_its_record_reads_the_nodes_and_gets_the_revision_in_force_again() -> None:
    world, driver = make_approved()
    driver.settle(REVISION_1)
    gateway = world.gateways["gw-north"]
    confirmed = gateway.digest
    gateway.revision = gateway.digest = None  # a new device
    driver.wait(121)  # nodes are read at most every two minutes
    driver.sweep(10)
    assert (gateway.revision, gateway.digest) == (1, confirmed)
    assert world.status(REVISION_1)["heal"]["step"] == "Confirmed"


def test_a_gateway_with_an_older_copy_of_its_record_gets_the_revision_in_force_again() -> None:
    world, driver = make_adopted(push={"drift": "Accept"})
    from fake_world import ADDRESSES, Configuration, NodeSettings

    gateway = world.gateways["gw-north"]
    for node in ADDRESSES[1:3]:  # two revisions, by accepting what somebody changed
        gateway.network = gateway.network.overlaid(Configuration.of({node: NodeSettings(relay=False)}))
        gateway.drifted = [f"{node:04x}"]
        driver.sweep(12)
    assert gateway.revision == 2
    latest = gateway.digest
    twin = world.manifests[TWIN]
    push = {**twin["spec"].get("push", {}), "drift": "Heal"}
    world.replace(TWIN, {**twin, "spec": {**twin["spec"], "push": push}})

    gateway.revision, gateway.digest = 1, "sha256:" + "0" * 64
    driver.sweep(12)

    assert (gateway.revision, gateway.digest) == (2, latest)


def test_drift_is_accepted_as_a_new_revision_where_the_policy_says_so() -> None:
    world, driver = make_adopted(push={"drift": "Accept"})
    gateway = world.gateways["gw-north"]
    from fake_world import ADDRESSES, Configuration, NodeSettings

    gateway.network = gateway.network.overlaid(Configuration.of({ADDRESSES[2]: NodeSettings(relay=False)}))
    gateway.drifted = ["0003"]
    driver.sweep(12)
    assert step(world) == "Confirmed"
    assert gateway.revision == 1
    assert gateway.network.get(ADDRESSES[2]).relay is False


def test_records_left_over_of_a_lost_cluster_start_from_what_the_gateway_holds() -> None:
    world, driver = make_approved()
    driver.settle(REVISION_1)
    for key in [k for k in world.manifests if k.kind in ("MeshConfiguration", "ConfigurationProposal", "Approval")]:
        world.manifests.pop(key)
        world.parsed.pop(key, None)
    driver.sweep(3)
    assert world.status(REVISION_1)["push"]["step"] == "Adopted"


def test_revision_whose_ranges_mean_other_nodes_now_is_rejected() -> None:
    world, driver = make_approved()
    from fake_world import ADDRESSES, InventoryView, make_inventory

    world.inventories["north"] = InventoryView(inventory=make_inventory((*ADDRESSES[:-1], 7)))
    driver.look_at(REVISION_1)
    assert step(world) == "Rejected"


def test_window_over_midnight_belongs_to_the_day_it_starts() -> None:
    from datetime import UTC, datetime

    window = ChangeWindow(days=["Mon"], start="22:00", end="02:00")
    monday_night = datetime(2026, 3, 2, 23, 0, tzinfo=UTC)
    tuesday_early = datetime(2026, 3, 3, 1, 0, tzinfo=UTC)
    tuesday_night = datetime(2026, 3, 3, 23, 0, tzinfo=UTC)
    assert [is_window_open([window], t) for t in (monday_night, tuesday_early, tuesday_night)] == [True, True, False]


def test_abort_is_possible_from_every_step_in_flight() -> None:
    steps = (Step.STAGING, Step.MEASURING_BASELINE, Step.COMMITTING, Step.VERIFYING, Step.CONFIRMING)
    assert {next_step(one, Signal.STOP) for one in steps} == {Step.ABORTING}


def test_verdicts_are_terminal() -> None:
    verdicts = {Step.CONFIRMED, Step.ROLLED_BACK, Step.REJECTED, Step.TIMED_OUT, Step.SUPERSEDED, Step.ADOPTED}
    assert not [key for key in NEXT if key[0] in verdicts]


def test_confirming_is_reached_from_a_passed_test_only() -> None:
    ways = [key for key, after in NEXT.items() if after is Step.CONFIRMING]
    assert ways == [(Step.VERIFYING, Signal.DONE)]


def test_unknown_transition_names_step_and_signal() -> None:
    with pytest.raises(Inconsistent, match=r"Confirmed.*harm"):
        next_step(Step.CONFIRMED, Signal.HARM)


ACTS = st.lists(
    st.sampled_from(
        ["look", "sweep", "wait", "lose", "kill", "suspend", "resume", "restore", "off", "on", "harm", "deaf"]
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(acts=ACTS)
def test_whatever_happens_the_network_ends_on_a_confirmed_or_adopted_configuration(acts: list[str]) -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    for act in acts:
        match act:
            case "look":
                driver.look_at(REVISION_1)
            case "sweep":
                driver.sweep()
            case "wait":
                driver.wait(45)
            case "lose":
                driver.lose = not driver.lose
            case "kill":
                world.epoch += 1
                gateway.results.clear()
                gateway.flows.clear()
            case "suspend" | "resume":
                world.edit(TWIN, {"suspend": act == "suspend"})
            case "restore":
                if gateway.phase is GatewayPhase.ARMED:
                    gateway.restart()
            case "off" | "on":
                gateway.online = act == "on"
            case "deaf":
                gateway.deaf = not gateway.deaf
            case "harm":
                gateway.on_time = lambda g, presses: presses // 3 if g.phase is GatewayPhase.ARMED else presses
        check_laws(driver)
    driver.lose, gateway.deaf, gateway.online = False, False, True
    world.edit(TWIN, {"suspend": False})
    for _ in range(60):
        driver.sweep(2)
        driver.wait(60)
        check_laws(driver)
        if world.status(REVISION_1)["push"]["step"] in ("Confirmed", "RolledBack", "TimedOut"):
            break
    assert step(world) in ("Confirmed", "RolledBack", "TimedOut")
    assert gateway.phase is GatewayPhase.IDLE
    assert (gateway.revision == 1) == (step(world) == "Confirmed")


def check_laws(driver: FakeDriver) -> None:
    """Confirm only after a passed no-harm test; nothing rejected is staged."""
    world = driver.world
    for action in driver.published:
        if action.command.verb is Verb.CONFIRM:
            assert world.status(REVISION_1)["noHarm"]["passed"] is True
    stages = [c for c in world.gateways["gw-north"].received if c.verb is Verb.STAGE]
    rejected_from = [i for i, c in enumerate(world.gateways["gw-north"].received) if c.reason == "Harm"]
    if rejected_from:
        later = world.gateways["gw-north"].received[rejected_from[0] :]
        assert not [c for c in later if c.verb is Verb.STAGE]
    assert len({c.attempt_id for c in stages}) <= 20


def test_approval_and_proposal_are_left_as_they_were_decided() -> None:
    world, driver = make_approved()
    driver.sweep(8)
    assert world.status(PROPOSAL)["phase"] == "Approved"
    assert world.condition(APPROVAL, "Accepted") == ("True", "Accepted")
