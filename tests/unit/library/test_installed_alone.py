"""The library and the command line with no more than what `pip install` brings: nothing of the dev group."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SAMPLES = ROOT / "manifests" / "samples" / "scenarios"

BLOCK = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}, which is blocked", name=name)
sys.meta_path.insert(0, Blocker())
"""


def closure(wanted: Iterable[str]) -> set[str]:
    """Distributions that come along with ``wanted``, by their names as pip compares them."""
    found, left = set(), [Requirement(text) for text in wanted]
    while left:
        requirement = left.pop()
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        try:
            needed = requires(name) or []
        except PackageNotFoundError:  # of another system
            continue
        found.add(name)
        extras = requirement.extras or {""}
        for text in needed:
            inner = Requirement(text)
            if inner.marker is None or any(inner.marker.evaluate({"extra": extra}) for extra in extras):
                left.append(inner)
    return found


def blocked_without(*extras: str) -> set[str]:
    """Top-level modules that are installed here, and are not where the project is installed with ``extras``."""
    project = PROJECT["project"]
    wanted = [*project["dependencies"], *(text for e in extras for text in project["optional-dependencies"][e])]
    brought = closure(wanted) | {"meshtwin", "coverage"}  # coverage may be measuring the process
    homes = packages_distributions()
    return {
        module
        for module, distributions in homes.items()
        if not brought & {canonicalize_name(name) for name in distributions} and not module.startswith("_")
    }


def run_blocked(code: str, blocked: set[str], folder: Path) -> str:
    program = f"BLOCKED = {sorted(blocked)!r}\n{BLOCK}\n{code}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def command(*words: object) -> str:
    return f"""
from typer.testing import CliRunner
from meshtwin_operator.cli.commands import app
done = CliRunner().invoke(app, {[str(word) for word in words]!r})
print(done.output)
if done.exception is not None and not isinstance(done.exception, SystemExit):
    raise done.exception
"""


@pytest.fixture(scope="module")
def blocked() -> set[str]:
    names = blocked_without("plot")
    dev = {canonicalize_name(Requirement(text).name) for text in PROJECT["dependency-groups"]["dev"]}
    assert {"scipy", "hypothesis", "pytest", "jsonschema"} <= names & {name.replace("-", "_") for name in dev}
    assert not names & {"numpy", "matplotlib", "networkx", "duckdb"}
    return names


def test_every_sample_is_drawn(blocked, tmp_path):
    code = f"""
import meshtwin, pathlib
for path in sorted(pathlib.Path({str(SAMPLES)!r}).glob("*.yaml")):
    assert meshtwin.plot(path)._repr_png_().startswith(b"\\x89PNG"), path
print("drawn")
"""
    assert run_blocked(code, blocked, tmp_path) == "drawn\n"


def test_library_reads_simulates_compares_judges_and_saves(blocked, tmp_path):
    code = f"""
import meshtwin
scenario = meshtwin.read_scenario({str(SAMPLES / "corridor.yaml")!r})
options = dict(replications=2, engine="reference")
result = meshtwin.simulate(scenario, is_selective=True, **options)
result.save("r.parquet")
comparison = meshtwin.compare(scenario, scenario.without_node(0x14), **options)
comparison.save("c.json")
meshtwin.plot(comparison)
judge = meshtwin.find_judge("packet-simulator")
plan = meshtwin.JudgePlan(seed=1, replications=2, messages_per_flow=5)
kpis = judge.judge(meshtwin.to_snapshot(scenario), [meshtwin.Configuration()], plan, meshtwin.no_progress)
print(len(str(result)) < 2000, len(kpis))
"""
    assert run_blocked(code, blocked, tmp_path) == "True 1\n"


def test_command_line_simulates_draws_and_prints_schemas(blocked, tmp_path):
    wifi = SAMPLES / "wifi.yaml"
    words = ["simulate", wifi, "--engine", "reference", "--replications", 2, "--output-file", tmp_path / "r.json"]
    run_blocked(command(*words), blocked, tmp_path)
    run_blocked(command("plot", wifi, "--to", tmp_path / "n.png"), blocked, tmp_path)
    run_blocked(command("plot", tmp_path / "r.json", "--to", tmp_path / "r.svg"), blocked, tmp_path)
    assert json.loads(run_blocked(command("schema", "scenario"), blocked, tmp_path))["type"] == "object"
    assert "chain.yaml" in run_blocked(
        command("validate", "--table", "chain", "--export", tmp_path / "new", "-o", "json"), blocked, tmp_path
    )


def test_without_matplotlib_a_picture_is_refused_and_says_what_to_install(tmp_path):
    code = f"""
import meshtwin
from meshtwin.errors import InvalidInput
file = {str(SAMPLES / "wifi.yaml")!r}
for what in (file, meshtwin.simulate(file, replications=1, engine="reference")):
    try:
        meshtwin.plot(what)
    except InvalidInput as error:
        print(error.reason, error)
"""
    told = run_blocked(code, blocked_without(), tmp_path).splitlines()
    assert len(told) == 2
    assert all(line.startswith("NoMatplotlib") and "pip install '.[plot]'" in line for line in told)
