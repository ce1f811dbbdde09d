"""What probes say about a push: parts that fall silent, and measurements that are no evidence."""

import pytest
from fake_world import ADDRESSES, REVISION_1, FakeDriver, FakeGateway, FakeWorld, make_approved

from meshtwin.contract.configuration import Command, GatewayPhase, NodeOutcome, Outcome, Verb
from meshtwin.mesh.addresses import format_address

NAMES = [format_address(a) for a in ADDRESSES]


def step(world: FakeWorld) -> str:
    return str(world.status(REVISION_1)["push"]["step"])


def drive_to(driver: FakeDriver, wanted: str) -> None:
    for _ in range(30):
        driver.look_at(REVISION_1)
        if step(driver.world) == wanted:
            return
    raise AssertionError(f"stays in {step(driver.world)} instead of {wanted}")


def busy_with(gateway: FakeGateway, silent: set[str]) -> None:
    """Let the probe after the commit stay under way, and tell who is silent."""
    gateway.silent = lambda g: silent if g.phase is GatewayPhase.ARMED else set()
    finished = gateway._probe

    def begun(command: Command) -> None:
        if gateway.phase is not GatewayPhase.ARMED:
            finished(command)
            return
        told = [NodeOutcome(node=node, outcome=Outcome.UNKNOWN) for node in sorted(silent)]
        gateway._answer(command, "accepted", progress=0.2, outcomes=told)

    gateway._probe = begun  # type: ignore[method-assign]  # the probe of this gateway takes long


def test_a_part_that_falls_silent_is_harm_while_its_probe_is_still_under_way() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    busy_with(gateway, set(NAMES[2:]))
    drive_to(driver, "Verifying")
    looks = 0
    while step(world) == "Verifying":
        driver.look_at(REVISION_1)
        looks += 1
    assert (step(world), looks) == ("Aborting", 1)
    driver.settle(REVISION_1)
    assert step(world) == "RolledBack"
    assert world.status(REVISION_1)["push"]["reason"] == "Harm"
    assert world.status(REVISION_1)["noHarm"]["passed"] is False
    assert "0006" in world.status(REVISION_1)["noHarm"]["message"]
    assert gateway.rejected


def test_no_more_silent_nodes_than_coverage_allows_are_waited_for() -> None:
    world, driver = make_approved(push={"coveragePerMille": 800})  # of six nodes one may be missing
    busy_with(world.gateways["gw-north"], {NAMES[5]})
    drive_to(driver, "Verifying")
    for _ in range(3):
        driver.look_at(REVISION_1)
    assert step(world) == "Verifying"


def test_a_flow_of_which_nothing_arrived_before_and_after_confirms_nothing() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway.on_time = lambda g, presses: 0
    driver.settle(REVISION_1)
    assert step(world) == "RolledBack"
    assert world.condition(REVISION_1, "RolledBack") == ("True", "Inconclusive")
    assert "no harm could show" in world.status(REVISION_1)["noHarm"]["message"]
    assert Verb.CONFIRM not in [command.verb for command in gateway.received]
    assert not gateway.rejected  # the settings may be proposed again


def test_a_flow_that_arrived_nowhere_before_and_arrives_now_is_an_improvement() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway.on_time = lambda g, presses: presses if g.phase is GatewayPhase.ARMED else 0
    driver.settle(REVISION_1)
    assert step(world) == "Confirmed"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [(Outcome.UNKNOWN, "no node answered"), (Outcome.PENDING, "no time to ask 0001")],
)
def test_a_baseline_without_answers_ends_the_push_before_anything_is_changed(outcome: Outcome, said: str) -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    gateway._outcomes = lambda: [NodeOutcome(node=node, outcome=outcome) for node in NAMES]  # type: ignore[method-assign]
    drive_to(driver, "Aborting")
    push = world.status(REVISION_1)["push"]
    assert push["reason"] == "NotMeasured"
    assert said in push["message"]
    assert Verb.COMMIT not in [command.verb for command in gateway.received]


def test_a_baseline_whose_source_sent_nothing_ends_the_push_before_anything_is_changed() -> None:
    world, driver = make_approved()
    gateway = world.gateways["gw-north"]
    measure = gateway._probe

    def sourceless(command: Command) -> None:
        measure(command)
        reports = gateway.flows[command.attempt_id]
        gateway.flows[command.attempt_id] = [
            report.model_copy(update={"presses": 0, "on_time_presses": 0, "sent_pairs": 0, "delivered_pairs": 0})
            for report in reports
        ]

    gateway._probe = sourceless  # type: ignore[method-assign]  # nobody presses
    drive_to(driver, "Aborting")
    assert world.status(REVISION_1)["push"]["reason"] == "NotMeasured"
    assert Verb.COMMIT not in [command.verb for command in gateway.received]
