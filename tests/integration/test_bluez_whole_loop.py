"""The whole loop on real Bluetooth Mesh daemons: twins, pipeline, approval, push, proof, and what goes wrong.

22 bluetooth-meshd processes on a virtual air, two gateways, broker, twins and operator, in real time. One network
for all tests, in the order written: it is filled once. The pipeline's first proposal is pushed to its segment; what
goes wrong is tried in the other one, whose proposals by hand are judged while the first is probed. What the air
carries is counted while a probe is under way, before and after the same commit: the same work, at no cost of time.
"""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.integration.sample_building import Building, until

from meshtwin.emulation.control import MeshControl
from meshtwin.virtual_air.programs import why_not_here
from meshtwin_operator.cli.decisions import condition

MISSING = why_not_here()
pytestmark = [
    pytest.mark.bluez,
    pytest.mark.real_time,
    pytest.mark.timeout(900),
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
]

NORTH, SOUTH = "corridor-north", "corridor-south"
NODES = {NORTH: ["0001-000b"], SOUTH: ["000c-0016"]}
GATEWAYS = {NORTH: "gw-north", SOUTH: "gw-south"}
GATEWAY_NODES = {"0005", "0012"}  # their settings are the gateways' own secret, `VirtualNetwork` does not tell them
CUT = {"relay": "Disabled"}
CALM = {"networkTransmit": {"count": 2, "intervalSteps": 1}, "defaultTtl": 11}
SLOW_S = 400.0  # real time, and a pipeline that computes; on a busy machine
Settings = dict[str, Any]


@dataclass(slots=True)
class Course:
    """What a test leaves to the ones after it."""

    other: str = SOUTH  # the segment that the pipeline's proposal was not for
    drafts: dict[str, str] = field(default_factory=dict)  # proposals by hand for it, by what they do

    def draft(self, corridor: Building, what: str, settings: Settings) -> str:
        """The proposal by hand, made now unless it was before."""
        if what not in self.drafts:
            self.drafts[what] = corridor.draft(self.other, settings, NODES[self.other])
        return self.drafts[what]


@pytest.fixture(scope="module")
def course() -> Course:
    """Of all tests of this file."""
    return Course()


@pytest.fixture(scope="module")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    made = Building(tmp_path_factory.mktemp("corridor"), "bluez-building", mesh="bluez", pipeline=True)
    try:
        for name in ("mesh", "operator"):
            made.start(name)
        until(made.processes.is_mesh_ready, limit_s=60)
        for name in made.processes.gateways:
            made.start(name)
        until(made.state.store.is_file, limit_s=60)
        for segment in (NORTH, SOUTH):
            until(lambda s=segment: made.revision(s) == 0, lambda s=segment: made.get("MeshSegment", s).get("status"))
        yield made
    finally:
        made.close()


async def control(corridor: Building) -> MeshControl:
    token = corridor.state.secret("mesh-token").read_text().strip()
    return await MeshControl.connect("127.0.0.1", corridor.state.port("mesh"), token)


def read_mesh(corridor: Building) -> dict[str, Any]:
    """The truth about the whole network."""

    async def ask() -> dict[str, Any]:
        mesh = await control(corridor)
        try:
            return await mesh.truth()
        finally:
            mesh.close()

    return asyncio.run(ask())


def count_pdus_per_s(corridor: Building, configuration: str, step: str) -> float:
    """What the whole network sends while a push is at a step that probes: reports, the probe, and notifications."""
    assert corridor.reach(configuration, step) == step
    sent, started_s = read_mesh(corridor)["transmissions"], time.monotonic()
    until(
        lambda: corridor.step(configuration) != step,
        lambda: corridor.get("MeshConfiguration", configuration).get("status"),
        limit_s=SLOW_S,
    )
    return float(read_mesh(corridor)["transmissions"] - sent) / (time.monotonic() - started_s)


def read_truth(corridor: Building, segment: str) -> dict[str, Settings]:
    """What the nodes' own Configuration Servers say, without the gateways' nodes."""
    first, last = (int(end, 16) for end in NODES[segment][0].split("-"))
    return {
        node: {key: value for key, value in said.items() if key != "on"}
        for node, said in read_mesh(corridor)["nodes"].items()
        if first <= int(node, 16) <= last and node not in GATEWAY_NODES
    }


def wanted_of(corridor: Building, configuration: str) -> dict[str, Settings]:
    """Per node what a MeshConfiguration says."""
    wanted: dict[str, Settings] = {}
    for entry in corridor.get("MeshConfiguration", configuration)["spec"]["settings"]:
        said = {key: value for key, value in entry.items() if key != "nodes"}
        for nodes in entry["nodes"]:
            first, _, last = nodes.partition("-")
            for address in range(int(first, 16), int(last or first, 16) + 1):
                wanted.setdefault(f"{address:04x}", {}).update(said)
    return wanted


def assert_in_force(corridor: Building, segment: str, configuration: str) -> None:
    """Every node has by its own word what the configuration says."""
    wanted, truth = wanted_of(corridor, configuration), read_truth(corridor, segment)
    for node, settings in truth.items():
        said = wanted.get(node, {})
        assert {key: settings.get(key) for key in said} == said, node


def offered(corridor: Building) -> tuple[str, str] | None:
    """Segment and name of a proposal of the pipeline that waits for a decision."""
    for proposal in corridor.access.list_objects("ConfigurationProposal"):
        if (proposal.get("status") or {}).get("phase") == "AwaitingDecision":
            return str(proposal["spec"]["segmentRef"]["name"]), str(proposal["metadata"]["name"])
    return None


def is_heard(corridor: Building, segment: str) -> bool:
    heard = corridor.get("MeshSegment", segment).get("status") or {}
    return heard.get("nodesHeard") == heard.get("nodes") == 11


def test_what_the_pipeline_proposes_is_pushed_read_back_measured_and_confirmed(
    corridor: Building, course: Course
) -> None:
    for name in (NORTH, SOUTH):
        until(lambda s=name: is_heard(corridor, s), lambda s=name: corridor.get("MeshSegment", s).get("status"))
    until(
        lambda: offered(corridor) is not None,
        lambda: corridor.get("Pipeline", "lighting").get("status"),
        limit_s=SLOW_S,
    )
    segment, proposal = offered(corridor) or ("", "")
    before = read_truth(corridor, segment)
    assert all(settings["relay"] == "Enabled" for settings in before.values())

    configuration = corridor.approve(proposal)
    course.other = SOUTH if segment == NORTH else NORTH
    course.draft(corridor, "cut", CUT)
    course.draft(corridor, "calm", CALM)
    pdus_before_per_s = count_pdus_per_s(corridor, configuration, "MeasuringBaseline")
    pdus_after_per_s = count_pdus_per_s(corridor, configuration, "Verifying")
    assert corridor.reach(configuration) == "Confirmed"

    assert_in_force(corridor, segment, configuration)
    assert read_truth(corridor, segment) != before  # fewer relays or fewer repeats, as the search found it
    status = corridor.get("MeshConfiguration", configuration)["status"]
    assert status["outcomes"]["applied"] == 11
    confirmed = condition({"status": status}, "Confirmed")
    assert confirmed is not None
    assert confirmed["status"] == "True"
    wanted = corridor.get("MeshConfiguration", configuration)["spec"]["revision"]
    until(lambda: corridor.revision(segment) == wanted)
    assert status["noHarm"]["passed"]
    print(f"PDUs/s while probing: {pdus_before_per_s:.0f} before, {pdus_after_per_s:.0f} after")
    assert pdus_after_per_s < pdus_before_per_s


def ask_less_of_probes(corridor: Building) -> None:
    """For what is about coming back, not about evidence of no harm: fewer messages, and a wider margin."""
    corridor.edit("twin.yaml", "probeMessages: 30", "probeMessages: 12")
    corridor.edit("twin.yaml", "harmMarginPerMille: 200", "harmMarginPerMille: 400")
    wanted = {"probeMessages": 12, "harmMarginPerMille": 400}
    until(lambda: wanted.items() <= corridor.get("DigitalTwin", "corridor")["spec"]["push"].items())


def test_configuration_that_cuts_a_part_away_is_taken_back_by_itself(corridor: Building, course: Course) -> None:
    ask_less_of_probes(corridor)
    base, before = corridor.revision(course.other), read_truth(corridor, course.other)
    cut = corridor.approve(corridor.judged(course.draft(corridor, "cut", CUT)))

    assert corridor.reach(cut, limit_s=SLOW_S) == "RolledBack"

    until(lambda: corridor.revision(course.other) == base)
    assert read_truth(corridor, course.other) == before
    status = corridor.get("MeshConfiguration", cut)["status"]
    assert status["push"]["attempts"] == 1  # harm, not a time limit
    assert status["push"]["reason"] in {"Harm", "CoverageMissed"}


def test_gateway_killed_between_commit_and_confirm_ends_on_one_of_both_configurations(
    corridor: Building, course: Course
) -> None:
    configuration = corridor.approve(corridor.judged(course.draft(corridor, "calm", CALM)))
    before = read_truth(corridor, course.other)
    assert corridor.reach(configuration, "Verifying") == "Verifying"
    corridor.kill(GATEWAYS[course.other])
    corridor.start(GATEWAYS[course.other])
    verdict = corridor.reach(configuration, limit_s=SLOW_S)
    assert verdict in {"Confirmed", "RolledBack", "TimedOut"}
    spec = corridor.get("MeshConfiguration", configuration)["spec"]
    wanted = spec["revision"] if verdict == "Confirmed" else spec["baseRevision"]
    until(lambda: corridor.revision(course.other) == wanted)
    if verdict == "Confirmed":
        assert_in_force(corridor, course.other, configuration)
    else:
        assert read_truth(corridor, course.other) == before
