"""The whole loop on real Bluetooth Mesh daemons: twins, pipeline, approval, push, proof, and what goes wrong.

22 bluetooth-meshd processes on a virtual air, two gateways, broker, twins and operator, in real time. One network
for all tests, in the order written: it is filled once, and each test begins with what the one before left in force.
Whatever waits for a model goes on while the network is being counted.
"""

import asyncio
from collections.abc import Iterator
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
GATEWAY_NODES = {"0005", "0012"}  # their settings are the gateways' own secret, `VirtualNetwork` does not tell them
COUNTING_S = 20.0  # more than one report of each node
CALM = {"networkTransmit": {"count": 2, "intervalSteps": 1}, "defaultTtl": 11}
SLOW_S = 400.0  # real time, and a pipeline that computes; on a busy machine
Settings = dict[str, Any]


@pytest.fixture(scope="module")
def drafts() -> dict[str, str]:
    """Proposals by hand that a test leaves to the ones after it, by what they do."""
    return {}


@pytest.fixture(scope="module")
def corridor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    made = Building(tmp_path_factory.mktemp("corridor"), "bluez-building", mesh="bluez", pipeline=True)
    try:
        made.start("mesh")
        until(made.processes.is_mesh_ready, limit_s=60)
        for name in ("operator", *made.processes.gateways):
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


def count_pdus_per_s(corridor: Building) -> float:
    """What the whole network sends, of which most is reports: they come at a fixed interval."""

    async def count() -> float:
        mesh = await control(corridor)
        try:
            before = (await mesh.truth())["transmissions"]
            await asyncio.sleep(COUNTING_S)
            return float((await mesh.truth())["transmissions"] - before) / COUNTING_S
        finally:
            mesh.close()

    return asyncio.run(count())


def read_truth(corridor: Building, segment: str) -> dict[str, Settings]:
    """What the nodes' own Configuration Servers say, without the gateways' nodes."""

    async def ask() -> dict[str, Any]:
        mesh = await control(corridor)
        try:
            return dict((await mesh.truth())["nodes"])
        finally:
            mesh.close()

    first, last = (int(end, 16) for end in NODES[segment][0].split("-"))
    return {
        node: {key: value for key, value in said.items() if key != "on"}
        for node, said in asyncio.run(ask()).items()
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


def offered(corridor: Building, segment: str) -> str | None:
    """A proposal of the pipeline that waits for a decision."""
    for proposal in corridor.access.list_objects("ConfigurationProposal"):
        is_waiting = (proposal.get("status") or {}).get("phase") == "AwaitingDecision"
        if proposal["spec"]["segmentRef"]["name"] == segment and is_waiting:
            return str(proposal["metadata"]["name"])
    return None


def is_heard(corridor: Building, segment: str) -> bool:
    heard = corridor.get("MeshSegment", segment).get("status") or {}
    return heard.get("nodesHeard") == heard.get("nodes") == 11


def test_what_the_pipeline_proposes_is_pushed_read_back_measured_and_confirmed(
    corridor: Building, drafts: dict[str, str]
) -> None:
    for segment in (NORTH, SOUTH):
        until(lambda s=segment: is_heard(corridor, s), lambda s=segment: corridor.get("MeshSegment", s).get("status"))
    pdus_before_per_s = count_pdus_per_s(corridor)
    until(
        lambda: offered(corridor, NORTH),
        lambda: corridor.get("Pipeline", "lighting").get("status"),
        limit_s=SLOW_S,
    )
    before = read_truth(corridor, NORTH)
    assert all(settings["relay"] == "Enabled" for settings in before.values())

    configuration = corridor.approve(str(offered(corridor, NORTH)))
    assert corridor.reach(configuration) == "Confirmed"

    assert_in_force(corridor, NORTH, configuration)
    assert read_truth(corridor, NORTH) != before  # fewer relays or fewer repeats, as the search found it
    status = corridor.get("MeshConfiguration", configuration)["status"]
    assert status["outcomes"]["applied"] == 11
    confirmed = condition({"status": status}, "Confirmed")
    assert confirmed is not None
    assert confirmed["status"] == "True"
    wanted = corridor.get("MeshConfiguration", configuration)["spec"]["revision"]
    until(lambda: corridor.revision(NORTH) == wanted)
    assert status["noHarm"]["passed"]
    # What is at stake from here on is coming back, not evidence of no harm: fewer messages, and a wider margin.
    corridor.edit("twin.yaml", "probeMessages: 30", "probeMessages: 12")
    corridor.edit("twin.yaml", "harmMarginPerMille: 200", "harmMarginPerMille: 400")
    drafts["cut"] = corridor.draft(NORTH, {"relay": "Disabled"}, NODES[NORTH])
    drafts["calm"] = corridor.draft(NORTH, CALM, NODES[NORTH])
    assert count_pdus_per_s(corridor) < pdus_before_per_s


def test_configuration_that_cuts_a_part_away_is_taken_back_by_itself(
    corridor: Building, drafts: dict[str, str]
) -> None:
    base, before = corridor.revision(NORTH), read_truth(corridor, NORTH)
    proposal = drafts.get("cut") or corridor.draft(NORTH, {"relay": "Disabled"}, NODES[NORTH])
    cut = corridor.approve(corridor.judged(proposal))

    assert corridor.reach(cut, limit_s=SLOW_S) == "RolledBack"

    until(lambda: corridor.revision(NORTH) == base)
    assert read_truth(corridor, NORTH) == before
    status = corridor.get("MeshConfiguration", cut)["status"]
    assert status["push"]["attempts"] == 1  # harm, not a time limit
    assert status["push"]["reason"] in {"Harm", "CoverageMissed"}


def test_gateway_killed_between_commit_and_confirm_ends_on_one_of_both_configurations(
    corridor: Building, drafts: dict[str, str]
) -> None:
    configuration = corridor.approve(corridor.judged(drafts.get("calm") or corridor.draft(NORTH, CALM, NODES[NORTH])))
    before = read_truth(corridor, NORTH)
    assert corridor.reach(configuration, "Verifying") == "Verifying"
    corridor.kill("gw-north")
    corridor.start("gw-north")
    verdict = corridor.reach(configuration, limit_s=SLOW_S)
    assert verdict in {"Confirmed", "RolledBack", "TimedOut"}
    spec = corridor.get("MeshConfiguration", configuration)["spec"]
    wanted = spec["revision"] if verdict == "Confirmed" else spec["baseRevision"]
    until(lambda: corridor.revision(NORTH) == wanted)
    if verdict == "Confirmed":
        assert_in_force(corridor, NORTH, configuration)
    else:
        assert read_truth(corridor, NORTH) == before
