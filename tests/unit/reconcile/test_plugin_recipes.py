"""Recipes that packages bring: accepted where the twin's image has them, otherwise refused with what is known."""

from typing import Any

import pytest
from fake_world import NS, FakeDriver, FakeWorld, make_adopted, make_office

from meshtwin.contract.summaries import PluginRecipes
from meshtwin_operator.reconcile.relations import related
from meshtwin_operator.reconcile.world import ObjectKey

PIPELINE = ObjectKey("Pipeline", NS, "lighting")
RECIPE = ObjectKey("Recipe", NS, "mine")
TWIN = ObjectKey("DigitalTwin", NS, "office")
THEIRS = {"recipes": [{"name": "theirs", "parameters": {"most": {"low": 1, "high": 9, "default": 3}}}]}


def tell(world: FakeWorld, recipes: dict[str, Any] | None, **more: Any) -> None:
    """The parent twin tells of these recipes."""
    told = None if recipes is None else PluginRecipes.model_validate(recipes)
    summary = world.summaries["office-parent"].model_copy(update={"plugin_recipes": told, **more})
    world.summaries["office-parent"] = summary


def make_pipeline(*recipes: str) -> tuple[FakeWorld, FakeDriver]:
    world, driver = make_adopted()
    driver.sweep(2)
    world.put("Pipeline", "lighting", {"twinRef": {"name": "office"}, "recipes": [{"name": name} for name in recipes]})
    return world, driver


def message(world: FakeWorld, key: ObjectKey) -> str:
    return next(str(c["message"]) for c in world.status(key)["conditions"] if c["type"] == "Ready")


def test_recipe_of_a_package_in_the_twins_image_is_known() -> None:
    world, driver = make_office()
    tell(world, THEIRS)
    driver.look_at(world.put("Recipe", "mine", {"uses": "theirs", "parameters": {"most": 9}}))
    assert world.condition(RECIPE, "Ready") == ("True", "Known")
    assert "office" in message(world, RECIPE)


@pytest.mark.parametrize(
    ("parameters", "reason"), [({"most": 10}, "ParameterOutOfBounds"), ({"least": 1}, "UnknownParameter")]
)
def test_parameters_of_a_packages_recipe_are_checked_by_what_it_tells(parameters: dict[str, int], reason: str) -> None:
    world, driver = make_office()
    tell(world, THEIRS)
    driver.look_at(world.put("Recipe", "mine", {"uses": "theirs", "parameters": parameters}))
    assert world.condition(RECIPE, "Stalled") == ("True", reason)


def test_unknown_recipe_says_which_names_are_known_and_what_to_do() -> None:
    world, driver = make_office()
    tell(world, {**THEIRS, "broken": ["ours:make can't be loaded: ImportError: no module named ours"]})
    driver.look_at(world.put("Recipe", "mine", {"uses": "ours"}))
    assert world.condition(RECIPE, "Stalled") == ("True", "UnknownRecipe")
    for told in ("path-redundancy", "theirs", "spec.pod.image", "no module named ours", "spec.uses"):
        assert told in message(world, RECIPE)


def test_recipe_waits_for_a_twin_that_has_not_told_yet() -> None:
    world, driver = make_office()
    tell(world, None, ready=False)
    driver.look_at(world.put("Recipe", "mine", {"uses": "theirs"}))
    assert world.condition(RECIPE, "Ready") == ("False", "TwinNotReady")
    assert world.condition(RECIPE, "Stalled")[0] == "False"


def test_recipe_that_no_twin_could_bring_stalls() -> None:
    world, driver = make_office()
    del world.manifests[TWIN]
    driver.look_at(world.put("Recipe", "mine", {"uses": "theirs"}))
    assert world.condition(RECIPE, "Stalled") == ("True", "UnknownRecipe")


def test_pipeline_asks_for_a_packages_recipe_by_its_recipe_and_by_its_own_name() -> None:
    world, driver = make_pipeline("mine", "theirs")
    world.put("Recipe", "mine", {"uses": "theirs", "parameters": {"most": 4}})
    tell(world, THEIRS)
    driver.look_at(PIPELINE)
    assert driver.started[-1].body["recipes"] == [
        {"name": "mine", "uses": "theirs", "parameters": {"most": 4}},
        {"name": "theirs", "uses": "theirs", "parameters": {}},
    ]


def test_pipeline_with_a_recipe_that_its_twin_lacks_stalls_and_names_those_it_has() -> None:
    world, driver = make_pipeline("ours")
    tell(world, THEIRS)
    driver.look_at(PIPELINE)
    assert world.condition(PIPELINE, "Stalled") == ("True", "UnknownRecipe")
    assert "besides theirs" in message(world, PIPELINE)
    assert "spec.recipes[0]" in message(world, PIPELINE)


def test_pipeline_goes_on_when_its_twin_comes_back_with_the_recipe() -> None:
    world, driver = make_pipeline("theirs")
    tell(world, None, ready=False, online=False)
    driver.look_at(PIPELINE)
    assert world.condition(PIPELINE, "Ready") == ("False", "TwinNotReady")
    assert not driver.started
    tell(world, THEIRS, ready=True, online=True)
    driver.look_at(PIPELINE)
    assert world.status(PIPELINE)["runs"][0]["result"] == "Running"


def test_news_of_a_twin_is_looked_at_by_recipes_of_packages_alone() -> None:
    world, _ = make_office()
    world.put("Recipe", "mine", {"uses": "theirs"})
    built_in = world.put("Recipe", "plain", {"uses": "path-redundancy"})
    touched = related(ObjectKey("Twin", NS, "office-parent"), world)
    assert RECIPE in touched
    assert built_in not in touched


def test_twin_lists_the_recipes_of_its_packages() -> None:
    world, driver = make_office()
    driver.sweep(2)
    assert "pluginRecipes" not in world.status(TWIN)
    tell(world, THEIRS)
    driver.sweep(2)
    assert world.status(TWIN)["pluginRecipes"] == ["theirs"]
