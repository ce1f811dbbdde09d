"""Packages with recipes are looked at by a process of its own, whatever they do while they are loaded."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.integration.test_twin_parent import database, fill
from tests.integration.test_twin_segment import retained_summary
from tests.integration.twin_processes import running_broker, running_twin, wait_until

from meshtwin.app.plugin_recipes import find_plugin_recipes, has_plugin_recipes
from meshtwin.contract.summaries import ParameterSummary, PluginRecipes

GOOD = """
from meshtwin.recipes.parameters import ParameterBounds

class Theirs:
    name = "theirs"
    parameters = {"most": ParameterBounds(low=1, high=9, default=3, meaning="candidates")}
    def propose(self, trial):
        return []

recipe = Theirs()
"""
ALL_RELAY = """
from meshtwin.recipes.registry import BUILT_IN

class Theirs:
    name = "theirs"
    parameters = {}
    def propose(self, trial):
        return BUILT_IN["all-relays"].propose(trial)

recipe = Theirs()
"""
STRANGE = """
class Strange:
    name = "strange"
    parameters = {"most": "many"}
    def propose(self, trial):
        return []

recipe = Strange()
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Installs a package for each of the modules given."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])  # what is spawned inherits it
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # as if installed where twins are

    def make(**modules: str) -> None:
        for module, code in modules.items():
            (tmp_path / f"{module}.py").write_text(code)
            info = tmp_path / f"{module}-1.0.dist-info"
            info.mkdir()
            (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
            (info / "entry_points.txt").write_text(f"[meshtwin.recipes]\n{module} = {module}:recipe\n")

    return make


def find(limit_s: float = 30.0) -> PluginRecipes:
    return asyncio.run(find_plugin_recipes(limit_s))


def test_without_packages_nothing_has_to_be_loaded() -> None:
    assert not has_plugin_recipes()


def test_recipe_of_a_package_is_found_with_its_parameters_and_not_loaded_here(install: Callable[..., None]) -> None:
    install(theirs_for_recipes=GOOD)
    assert has_plugin_recipes()
    (recipe,) = find().recipes
    assert recipe.name == "theirs"
    assert recipe.parameters == {"most": ParameterSummary(low=1, high=9, default=3)}
    assert "theirs_for_recipes" not in sys.modules


def test_broken_packages_are_told_and_spoil_no_other(install: Callable[..., None]) -> None:
    install(
        theirs_for_recipes=GOOD,
        broken_for_recipes="raise ImportError('no_such_module\\n\\x1b[2J')",
        strange_for_recipes=STRANGE,
    )
    found = find()
    assert [recipe.name for recipe in found.recipes] == ["theirs"]
    assert sorted("no_such_module" in text for text in found.broken) == [False, True]
    assert sorted("recipe strange" in text for text in found.broken) == [False, True]


def test_package_that_ends_its_process_is_told_as_broken(install: Callable[..., None]) -> None:
    install(ending_for_recipes="import os; os._exit(3)")
    found = find()
    assert not found.recipes
    assert "died" in found.broken[0]


def test_built_in_recipe_is_found_beside_a_package_that_ends_its_process(install: Callable[..., None]) -> None:
    install(ending_for_recipes="import os; os._exit(3)")
    code = "from meshtwin.recipes.registry import find_recipe; print(find_recipe('path-redundancy').name)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.strip() == "path-redundancy"


def test_package_that_takes_too_long_is_given_up(install: Callable[..., None]) -> None:
    install(slow_for_recipes="import time; time.sleep(600)")
    found = find(limit_s=3.0)
    assert "not loaded within 3 s" in found.broken[0]


def test_parent_twin_tells_of_a_packages_recipe_and_runs_it(install: Callable[..., None], tmp_path: Path) -> None:
    install(theirs_for_recipes=ALL_RELAY)
    addresses = range(1, 7)
    inventory = tmp_path / "north.json"
    inventory.write_text(json.dumps(database(addresses)))
    flow = {"name": "lamps", "source": "0001", "destination": "0006"}
    north = {"name": "north", "gatewayId": "gw-north", "inventoryPath": str(inventory), "flows": [flow]}
    request = {
        "runId": "run-1",
        "pipeline": "lighting",
        "segment": "north",
        "recipes": [{"name": "theirs", "uses": "theirs"}],
        "objectives": {"onTimeWithinMilliseconds": 150, "onTimeAtLeastPerMille": 900},
        "seed": 1,
        "messagesPerFlow": 5,
        "replications": 2,
    }
    with (
        running_broker(tmp_path / "broker") as broker,
        running_twin("segment_twin", tmp_path / "north", broker, north) as segment,
    ):
        office = {"name": "office", "children": [{"name": "north", "url": segment.url}]}
        with running_twin("parent_twin", tmp_path / "office", broker, office) as parent:
            fill(broker, "north", addresses)
            told = wait_until(lambda: (s := retained_summary(broker, "office")) and s["ready"] and s, 60)
            assert told["pluginRecipes"] == {"recipes": [{"name": "theirs", "parameters": {}}], "broken": []}
            place = parent.post("/api/v1/pipelines/lighting/runs", request).headers["location"]
            done = wait_until(lambda: (r := parent.get(place).json())["state"] != "Running" and r, 90)
    assert done["state"] == "Done", done
    assert "theirs" in done["pipelineResult"]["evidence"]["counts"]
