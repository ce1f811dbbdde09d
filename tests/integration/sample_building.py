"""A sample as processes in local mode: mesh, gateways, operator with its twins and broker; and what the store says."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from meshtwin_operator.cli.decisions import decide
from meshtwin_operator.cli.demo_processes import MeshKind, SampleProcesses
from meshtwin_operator.cli.target import LocalAccess
from meshtwin_operator.local import tether
from meshtwin_operator.local.state import StateFolder

SAMPLES = Path(__file__).parents[2] / "manifests" / "samples"
VERDICTS = {"Confirmed", "RolledBack", "TimedOut", "Rejected", "Superseded"}
LIMIT_S = 240.0  # of a wait
JUDGING_S = 480.0  # the models may have to be compiled first, on a busy machine
Manifest = dict[str, Any]


class Building:
    """All processes of a sample, and what their store says; ``speed``: mesh seconds per second, where it can be set."""

    def __init__(
        self, root: Path, sample: str, *, mesh: MeshKind = "emulated", speed: float = 1.0, pipeline: bool = False
    ) -> None:
        self.folder = root / "manifests"
        shutil.copytree(SAMPLES / sample, self.folder)
        if not pipeline:
            (self.folder / "pipeline.yaml").unlink()
            kustomization = self.folder / "kustomization.yaml"
            kustomization.write_text(kustomization.read_text().replace("  - pipeline.yaml\n", ""))
        self.state = StateFolder(root / "state")
        self.state.prepare()
        self.processes = SampleProcesses.of(SAMPLES / sample, self.state, mesh)
        self._root = root
        self._speed = speed
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._names = 0

    def start(self, name: str) -> None:
        commands = {
            "mesh": lambda: self.processes.mesh(speed=self._speed),
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

    def propose(self, segment: str, settings: Manifest, ranges: list[str]) -> str:
        """Create an engineer's proposal for some nodes and wait until it is judged."""
        return self.judged(self.draft(segment, settings, ranges))

    def draft(self, segment: str, settings: Manifest, ranges: list[str]) -> str:
        """Create an engineer's proposal for some nodes; it is judged while the caller does something else."""
        self._names += 1
        name = f"by-hand-{self._names}"
        self.access.create(
            {
                "apiVersion": "meshtwin.dev/v1alpha1",
                "kind": "ConfigurationProposal",
                "metadata": {"name": name},
                "spec": {"segmentRef": {"name": segment}, "settings": [{"nodes": ranges, **settings}]},
            }
        )
        return name

    def judged(self, proposal: str) -> str:
        """Wait until a proposal is judged."""
        until(
            lambda: self.phase(proposal) == "AwaitingDecision",
            lambda: self.get("ConfigurationProposal", proposal),
            limit_s=JUDGING_S,
        )
        return proposal

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a manifest in the folder, as an engineer with an editor."""
        text = (self.folder / file).read_text()
        assert text.count(old) == 1, (file, old)
        (self.folder / file).write_text(text.replace(old, new))

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

    def reach(self, configuration: str, *steps: str, limit_s: float = LIMIT_S) -> str:
        """Wait until the push is at one of these steps (or has a verdict)."""
        until(
            lambda: self.step(configuration) in {*steps, *VERDICTS},
            lambda: self.get("MeshConfiguration", configuration).get("status"),
            limit_s=limit_s,
        )
        return str(self.step(configuration))

    def revision(self, segment: str) -> int | None:
        return (self.get("MeshSegment", segment).get("status") or {}).get("revision")

    def _configuration(self, proposal: str) -> str:
        return str((self.get("ConfigurationProposal", proposal).get("status") or {}).get("configuration") or "")


def until(met: Callable[[], bool], explain: Callable[[], object] = lambda: "", limit_s: float = LIMIT_S) -> None:
    deadline_s = time.monotonic() + limit_s
    while not met():
        assert time.monotonic() < deadline_s, f"not met within {limit_s} s: {explain()}"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
