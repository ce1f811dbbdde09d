"""The demo on bluetooth-meshd: what it refuses, and the sample it shows."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from meshtwin.emulation.inventories import to_databases, to_placements
from meshtwin.emulation.scenario import read_scenario
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.virtual_air import programs
from meshtwin_operator.cli import demo
from meshtwin_operator.cli.demo import DemoOptions, run_demo
from meshtwin_operator.cli.demo_processes import SampleProcesses
from meshtwin_operator.local.state import StateFolder

SAMPLE = Path(__file__).parents[3] / "manifests" / "samples" / "bluez-building"


def make_options(**said: object) -> DemoOptions:
    values = {
        "approve_itself": True,
        "once": True,
        "as_json": False,
        "seed": None,
        "speed": None,
        "mesh": "bluez",
        "state": None,
        "sample": SAMPLE,
        "timeout_s": 1.0,
    }
    return DemoOptions(**(values | said))


def test_missing_daemon_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "DAEMON", tmp_path / "bluetooth-meshd")
    with pytest.raises(Unavailable, match="apt-get install bluez-meshd"):
        asyncio.run(run_demo(make_options()))


def test_real_daemons_cannot_be_sped_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_programs", lambda: None)
    with pytest.raises(InvalidInput, match="real time alone"):
        asyncio.run(run_demo(make_options(speed=16.0)))


def test_gateway_on_bluez_gets_what_the_air_told(tmp_path: Path) -> None:
    state = StateFolder(tmp_path / "state")
    state.prepare()
    processes = SampleProcesses.of(SAMPLE, state, "bluez")
    air = json.loads(Path(processes.mesh(speed=1.0, seed=3)[-1]).read_text())
    assert air["seed"] == 3
    assert not processes.is_mesh_ready()
    told = {"kind": "bluez", "address": "0005"}
    Path(air["readyFile"]).write_text(json.dumps({"port": 1, "gateways": {"gw-north": told}}))
    assert processes.is_mesh_ready()
    assert json.loads(Path(processes.gateway("gw-north")[-1]).read_text())["mesh"] == told


def test_inventories_of_the_sample_are_those_of_its_mesh() -> None:
    scenario = yaml.safe_load((SAMPLE / "mesh.yaml").read_text())
    assert len(read_scenario(SAMPLE / "mesh.yaml").nodes) == 22
    for suffix, documents in (("network", to_databases(scenario)), ("placement", to_placements(scenario))):
        for gateway, document in documents.items():
            path = SAMPLE / f"{gateway.removeprefix('gw-')}-{suffix}.json"
            assert json.loads(path.read_text()) == document
