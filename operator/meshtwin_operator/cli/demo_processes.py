"""The processes that make a sample run on one machine: emulated mesh, gateways, operator; as command lines.

Settings are written below the state folder. Ports and passwords come from it, so that gateways can be
started before the operator, and again after a restart of anything.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.brokers import gateway_secret_name
from meshtwin_operator.local.folder import read_folder
from meshtwin_operator.local.state import StateFolder, write_private
from meshtwin_operator.reconcile.naming import broker_workload, gateway_identity

__all__ = ["SCENARIO", "SampleProcesses"]

SCENARIO: Final = "../emulated-building/mesh.yaml"  # as seen from the folder of manifests
PYTHON: Final = (sys.executable, "-m")


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProcesses:
    """Command lines for a sample with one tree of twins; `of` reads the sample."""

    sample: Path
    state: StateFolder
    namespace: str
    root: str  # of the tree
    gateways: tuple[str, ...]

    @classmethod
    def of(cls, sample: Path, state: StateFolder) -> "SampleProcesses":
        """Raises `InvalidInput` unless the sample has exactly one root twin and a scenario beside it."""
        if not (sample / SCENARIO).is_file():
            raise InvalidInput(f"no {SCENARIO} in {sample}: the emulated mesh is described there")
        manifests = read_folder(sample)
        twins = [m for m in manifests if m["kind"] == "DigitalTwin" and not m["spec"].get("parentRef")]
        if len(twins) != 1:
            raise InvalidInput(f"{len(twins)} root twins in {sample}, one is wanted")
        named = [m["spec"].get("gatewayId") for m in manifests if m["kind"] == "MeshSegment"]
        return cls(
            sample=sample,
            state=state,
            namespace=twins[0]["metadata"]["namespace"],
            root=twins[0]["metadata"]["name"],
            gateways=tuple(sorted(gateway for gateway in named if gateway)),
        )

    def mesh(self, *, speed: float, seed: int | None = None) -> tuple[str, ...]:
        """The emulated mesh; ``seed`` replaces the scenario's."""
        settings: dict[str, Any] = {
            "scenario": str(self.sample / SCENARIO),
            "port": self.state.port("mesh"),
            "tokenFile": str(self.state.secret("mesh-token")),
            "speed": speed,
        }
        if seed is not None:
            settings["seed"] = seed
        return (*PYTHON, "meshtwin.app.emulated_mesh", self._write("mesh", settings))

    def gateway(self, gateway_id: str) -> tuple[str, ...]:
        """One reference gateway."""
        password = self.state.secret(gateway_secret_name(self.namespace, self.root, gateway_id))
        settings = {
            "gatewayId": gateway_id,
            "broker": {
                "host": "127.0.0.1",
                "port": self.state.port(f"{self.namespace}.{broker_workload(self.root)}"),
                "username": gateway_identity(gateway_id),
                "passwordFile": str(password),
            },
            "mesh": {
                "port": self.state.port("mesh"),
                "tokenFile": str(self.state.secret("mesh-token")),
            },
            "dataFolder": str(self._folder(gateway_id)),
        }
        return (*PYTHON, "meshtwin.app.gateway", self._write(gateway_id, settings))

    def operator(self, folder: Path | None = None) -> tuple[str, ...]:
        """``meshtwin up`` on the sample, or on a copy of it."""
        command = ("meshtwin_operator.cli.main", "up", str(folder or self.sample))
        return (*PYTHON, *command, "--state", str(self.state.root))

    def _folder(self, name: str) -> Path:
        folder = self.state.root / "demo" / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _write(self, name: str, settings: Mapping[str, Any]) -> str:
        path = self._folder(name) / "config.json"
        write_private(path, json.dumps(settings, indent=1).encode())
        return str(path)
