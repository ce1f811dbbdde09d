"""The processes that make a sample run on one machine: mesh, gateways, operator; as command lines.

Settings are written below the state folder. Ports and passwords come from it, so that gateways can be
started before the operator, and again after a restart of anything. Gateways on BlueZ have to wait until the
virtual air told what it gave them (`SampleProcesses.is_mesh_ready`).
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from meshtwin.errors import InvalidInput
from meshtwin_operator.local.brokers import gateway_secret_name
from meshtwin_operator.local.folder import read_folder
from meshtwin_operator.local.state import StateFolder, write_private
from meshtwin_operator.reconcile.naming import broker_workload, gateway_identity

__all__ = ["SCENARIOS", "MeshKind", "SampleProcesses"]

MeshKind = Literal["emulated", "bluez"]
# as seen from the folder of manifests
SCENARIOS: Final[Mapping[MeshKind, str]] = {"emulated": "../emulated-building/mesh.yaml", "bluez": "mesh.yaml"}
PYTHON: Final = (sys.executable, "-m")


def _tell_missing(sample: Path, kind: MeshKind) -> str:
    """That the mesh is not described where it should be, and which folder may have been meant."""
    if not sample.is_dir():
        return f"{sample} is no folder; name that of the manifests, such as manifests/samples/office"
    meant = [inner.name for inner in sorted(sample.iterdir()) if _is_sample(inner, kind)]
    if meant and not _is_sample(sample, kind):
        return f"{sample} holds no manifests itself; name the folder in it: {' or '.join(meant)}"
    return f"no {SCENARIOS[kind]}, as seen from {sample}: the mesh is described there"


def _is_sample(folder: Path, kind: MeshKind) -> bool:
    has_own_mesh = (folder / "mesh.yaml").is_file()
    is_described = (folder / SCENARIOS[kind]).is_file() and has_own_mesh == (kind == "bluez")
    return is_described and (folder / "kustomization.yaml").is_file()


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleProcesses:
    """Command lines for a sample with one tree of twins; `of` reads the sample."""

    sample: Path
    state: StateFolder
    namespace: str
    root: str  # of the tree
    gateways: tuple[str, ...]
    kind: MeshKind = "emulated"

    @classmethod
    def of(cls, sample: Path, state: StateFolder, kind: MeshKind = "emulated") -> "SampleProcesses":
        """Raises `InvalidInput` unless the sample has exactly one root twin and a scenario at its place."""
        if not (sample / SCENARIOS[kind]).is_file():
            raise InvalidInput(_tell_missing(sample, kind), reason="NotFound", place="--sample")
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
            kind=kind,
        )

    def mesh(self, *, speed: float, seed: int | None = None) -> tuple[str, ...]:
        """The emulated mesh, or the virtual air; ``seed`` replaces the scenario's, ``speed`` is of the emulated one."""
        settings: dict[str, Any] = {
            "scenario": str(self.sample / SCENARIOS[self.kind]),
            "port": self.state.port("mesh"),
            "tokenFile": str(self.state.secret("mesh-token")),
        }
        if seed is not None:
            settings["seed"] = seed
        if self.kind == "emulated":
            return (*PYTHON, "meshtwin.app.emulated_mesh", self._write("mesh", settings | {"speed": speed}))
        settings["readyFile"] = str(self._ready_file)
        return (*PYTHON, "meshtwin.app.virtual_air", self._write("mesh", settings))

    def is_mesh_ready(self) -> bool:
        """Whether gateways can be started: at once on the emulated mesh, for which they wait themselves."""
        return self.kind == "emulated" or self._ready_file.is_file()

    def gateway(self, gateway_id: str) -> tuple[str, ...]:
        """One reference gateway; on BlueZ not before `is_mesh_ready`."""
        password = self.state.secret(gateway_secret_name(self.namespace, self.root, gateway_id))
        settings = {
            "gatewayId": gateway_id,
            "broker": {
                "host": "127.0.0.1",
                "port": self.state.port(f"{self.namespace}.{broker_workload(self.root)}"),
                "username": gateway_identity(gateway_id),
                "passwordFile": str(password),
            },
            "mesh": self._mesh_of(gateway_id),
            "dataFolder": str(self._folder(gateway_id)),
        }
        return (*PYTHON, "meshtwin.app.gateway", self._write(gateway_id, settings))

    def operator(self, folder: Path | None = None) -> tuple[str, ...]:
        """``meshtwin up`` on the sample, or on a copy of it."""
        command = ("meshtwin_operator.cli.main", "up", str(folder or self.sample))
        return (*PYTHON, *command, "--state", str(self.state.root))

    @property
    def _ready_file(self) -> Path:
        return self._folder("mesh") / "ready.json"

    def _mesh_of(self, gateway_id: str) -> Mapping[str, Any]:
        if self.kind == "emulated":
            return {"port": self.state.port("mesh"), "tokenFile": str(self.state.secret("mesh-token"))}
        return dict(json.loads(self._ready_file.read_bytes())["gateways"][gateway_id])

    def _folder(self, name: str) -> Path:
        folder = self.state.root / "demo" / name
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def _write(self, name: str, settings: Mapping[str, Any]) -> str:
        path = self._folder(name) / "config.json"
        write_private(path, json.dumps(settings, indent=1).encode())
        return str(path)
