"""Faults in local mode, with every part a real process: broker, mesh, gateways, twins, operator.

After each fault the network is on the last confirmed or on the approved configuration, the status tells the
truth, and nothing needed a human. One building for all tests: it is filled once, each test pushes a change.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from meshtwin.errors import InvalidInput
from meshtwin_operator.cli.decisions import condition, decide
from meshtwin_operator.cli.demo_processes import SampleProcesses
from meshtwin_operator.cli.target import LocalAccess
from meshtwin_operator.local import tether
from meshtwin_operator.local.state import StateFolder
from meshtwin_operator.local.users import local_user

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SAMPLE = Path(__file__).parents[2] / "manifests" / "samples" / "office"
SPEED = 30.0  # mesh seconds per second
# Fewer repeats than the sample begins with: better on purpose, so that only the fault can spoil a push.
CALM = {
    "networkTransmit": {"count": 2, "intervalSteps": 1},
    "relayRetransmit": {"count": 1, "intervalSteps": 1},
}
VERDICTS = {"Confirmed", "RolledBack", "TimedOut", "Rejected", "Superseded"}
Manifest = dict[str, Any]


class Building:
    """All processes of the sample, and what their store says."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "manifests"
        shutil.copytree(SAMPLE, self.folder)
        (self.folder / "pipeline.yaml").unlink()
        kustomization = self.folder / "kustomization.yaml"
        kustomization.write_text(kustomization.read_text().replace("  - pipeline.yaml\n", ""))
        self.state = StateFolder(root / "state")
        self.state.prepare()
        self.processes = SampleProcesses.of(SAMPLE, self.state)
        self._root = root
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._names = 0

    def start(self, name: str) -> None:
        commands = {
            "mesh": lambda: self.processes.mesh(speed=SPEED),
            "operator": lambda: self.processes.operator(self.folder),
        }
        command = commands.get(name, lambda: self.processes.gateway(name))()
        with (self._root / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command],
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def kill(self, name: str) -> None:
        """As a power cut would."""
        self._running[name].kill()
        self._running[name].wait()

    def stop(self, name: str) -> int:
        self._running[name].terminate()
        return self._running[name].wait(timeout=60)

    def close(self) -> None:
        for name in ("operator", *self.processes.gateways, "mesh"):
            process = self._running.get(name)
            if process is not None and process.poll() is None:
                process.terminate()
        for process in self._running.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def access(self) -> LocalAccess:
        return LocalAccess(self.state, self.processes.namespace)

    def get(self, kind: str, name: str) -> Manifest:
        return self.access.get(kind, name) or {}

    def children(self) -> dict[str, int]:
        """Process ids of twins and broker, by name."""
        pids = json.loads((self.state.root / "children.json").read_text())
        return {name.partition(".")[2]: pid for name, (pid, _) in pids.items()}

    def propose(self, segment: str, settings: Manifest) -> str:
        """Create an engineer's proposal and wait until it is judged."""
        self._names += 1
        name = f"by-hand-{self._names}"
        ranges = (
            ["0001-000a", "0010-0019", "0028-002b"]
            if segment == "office-north"
            else ["000b-000f", "001a-0027", "002c-0034"]
        )
        self.access.create(
            {
                "apiVersion": "meshtwin.dev/v1alpha1",
                "kind": "ConfigurationProposal",
                "metadata": {"name": name},
                "spec": {"segmentRef": {"name": segment}, "settings": [{"nodes": ranges, **settings}]},
            }
        )
        until(lambda: self.phase(name) == "AwaitingDecision", lambda: self.get("ConfigurationProposal", name))
        return name

    def approve(self, proposal: str) -> str:
        """Approve and return the name of the configuration."""
        decide(self.access, proposal, "Approve", now=datetime.now(UTC))
        until(lambda: bool(self._configuration(proposal)), lambda: self.get("ConfigurationProposal", proposal))
        return self._configuration(proposal)

    def phase(self, proposal: str) -> str | None:
        return (self.get("ConfigurationProposal", proposal).get("status") or {}).get("phase")

    def step(self, configuration: str) -> str | None:
        push = (self.get("MeshConfiguration", configuration).get("status") or {}).get("push") or {}
        return push.get("step")

    def reach(self, configuration: str, *steps: str) -> str:
        """Wait until the push is at one of these steps (or has a verdict)."""
        until(
            lambda: self.step(configuration) in {*steps, *VERDICTS},
            lambda: self.get("MeshConfiguration", configuration).get("status"),
        )
        return str(self.step(configuration))

    def revision(self, segment: str) -> int | None:
        return (self.get("MeshSegment", segment).get("status") or {}).get("revision")

    def _configuration(self, proposal: str) -> str:
        return str((self.get("ConfigurationProposal", proposal).get("status") or {}).get("configuration") or "")


def until(met: Callable[[], bool], explain: Callable[[], object] = lambda: "", limit_s: float = 240.0) -> None:
    deadline_s = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < deadline_s, f"not met within {limit_s} s: {explain()}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Building]:
    made = Building(tmp_path_factory.mktemp("building"))
    try:
        for name in ("mesh", "operator", *made.processes.gateways):
            made.start(name)
        until(made.state.store.is_file, lambda: (made.folder.parent / "operator.log").read_text()[-500:], limit_s=30)
        for segment in ("office-north", "office-south"):
            until(lambda s=segment: made.revision(s) == 0, lambda s=segment: made.get("MeshSegment", s).get("status"))
        yield made
    finally:
        made.close()


def assert_confirmed(building: Building, segment: str, configuration: str) -> None:
    """The approved configuration is in force, and every status says so."""
    assert building.reach(configuration) == "Confirmed"
    wanted = building.get("MeshConfiguration", configuration)["spec"]["revision"]
    until(lambda: building.revision(segment) == wanted, lambda: building.get("MeshSegment", segment).get("status"))
    confirmed = condition(building.get("MeshConfiguration", configuration), "Confirmed")
    assert confirmed is not None
    assert confirmed["status"] == "True"


def test_second_operator_on_the_same_state_is_refused(building: Building) -> None:
    second = subprocess.run(
        building.processes.operator(building.folder), capture_output=True, text=True, timeout=60, check=False
    )
    assert second.returncode == 1
    assert "AlreadyRunning" in second.stderr
    assert building.get("DigitalTwin", "office")


def test_approval_in_somebody_elses_name_is_refused(building: Building) -> None:
    with pytest.raises(InvalidInput, match="is not the requesting user"):
        building.access.create(
            {
                "apiVersion": "meshtwin.dev/v1alpha1",
                "kind": "Approval",
                "metadata": {"name": "forged"},
                "spec": {
                    "proposalRef": {"name": "x"},
                    "decision": "Approve",
                    "digest": "sha256:" + "0" * 64,
                    "approvedBy": local_user() + "-not",
                },
            }
        )


def test_operator_killed_between_commit_and_confirm_goes_on_where_it_stopped(building: Building) -> None:
    configuration = building.approve(building.propose("office-north", {**CALM, "defaultTtl": 20}))
    assert building.reach(configuration, "Verifying") == "Verifying"
    children = building.children()
    building.kill("operator")
    until(lambda: not any(is_alive(pid) for pid in children.values()))
    building.start("operator")
    assert_confirmed(building, "office-north", configuration)


def test_operator_killed_between_writing_status_and_publishing_sends_the_command_again(building: Building) -> None:
    configuration = building.approve(building.propose("office-south", {**CALM, "defaultTtl": 21}))
    assert building.reach(configuration, "Staging", "MeasuringBaseline") in {"Staging", "MeasuringBaseline"}
    building.kill("operator")
    building.start("operator")
    assert_confirmed(building, "office-south", configuration)


def test_gateway_killed_between_commit_and_confirm_remembers_what_is_armed(building: Building) -> None:
    configuration = building.approve(building.propose("office-north", {**CALM, "defaultTtl": 22}))
    assert building.reach(configuration, "Verifying") == "Verifying"
    building.kill("gw-north")
    building.start("gw-north")
    verdict = building.reach(configuration)
    assert verdict in {"Confirmed", "RolledBack", "TimedOut"}
    spec = building.get("MeshConfiguration", configuration)["spec"]
    wanted = spec["revision"] if verdict == "Confirmed" else spec["baseRevision"]
    until(lambda: building.revision("office-north") == wanted)


def test_broker_restarted_during_a_push_does_not_stop_it(building: Building) -> None:
    configuration = building.approve(building.propose("office-south", {**CALM, "defaultTtl": 23}))
    assert building.reach(configuration, "MeasuringBaseline", "Committing") in {"MeasuringBaseline", "Committing"}
    os.kill(building.children()["office-broker"], signal.SIGKILL)
    assert_confirmed(building, "office-south", configuration)


def test_killed_twin_comes_back_with_what_it_knew(building: Building) -> None:
    until(lambda: (building.get("MeshSegment", "office-north").get("status") or {}).get("links", 0) > 100)
    pid = building.children()["office-north-segment"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: building.children().get("office-north-segment", pid) != pid)

    def is_ready() -> bool:
        found = condition(building.get("MeshSegment", "office-north"), "Ready")
        return found is not None and found["status"] == "True"

    until(is_ready)
    assert building.get("MeshSegment", "office-north")["status"]["links"] > 100


def test_harmful_configuration_is_taken_back_once_and_never_pushed_again(building: Building) -> None:
    before = building.revision("office-north")
    harmful = {"relay": "Disabled", "networkTransmit": {"count": 0, "intervalSteps": 1}, "defaultTtl": 2}
    configuration = building.approve(building.propose("office-north", harmful))
    assert building.reach(configuration) == "RolledBack"
    until(lambda: building.revision("office-north") == before)
    generation = building.get("MeshConfiguration", configuration)["metadata"]["generation"]
    building.stop("operator")
    building.start("operator")
    until(lambda: building.access.events("MeshConfiguration", configuration) != [])
    assert building.step(configuration) == "RolledBack"
    assert building.get("MeshConfiguration", configuration)["metadata"]["generation"] == generation
    assert building.revision("office-north") == before


def test_deleting_a_segment_ends_its_twin_and_leaves_the_network_alone(building: Building) -> None:
    segments = building.folder / "segments.yaml"
    kept = segments.read_text()
    building.stop("operator")
    segments.write_text(kept.partition("---\n")[0])
    building.start("operator")
    until(lambda: not building.get("MeshSegment", "office-south"))
    until(lambda: building.children() != {} and "office-south-segment" not in building.children())
    records = [m["metadata"]["name"] for m in building.access.list_objects("MeshConfiguration")]
    assert any(name.startswith("office-south-r") for name in records)


def test_stopping_leaves_no_process_behind(building: Building) -> None:
    until(lambda: building.children() != {})
    children = building.children()
    assert building.stop("operator") == 0
    assert not any(is_alive(pid) for pid in children.values())
