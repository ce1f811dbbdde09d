"""Which recipes a request may name, decided without loading any package."""

import pytest

from meshtwin.app.plugin_recipes import check_names
from meshtwin.app.threads import in_own_thread
from meshtwin.contract.summaries import ParameterSummary, PluginRecipes, RecipeSummary
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.recipes.messages import ObjectivesModel, PipelineRequest, RecipeUseModel


def ask_for(uses):
    return PipelineRequest(
        run_id="r1",
        pipeline="lighting",
        segment="north",
        objectives=ObjectivesModel(),
        recipes=[RecipeUseModel(name="one", uses=uses)],
    )


def test_built_in_recipes_need_no_package():
    check_names(ask_for("fewest-sufficient-relays"), None)


def test_recipe_that_a_package_told_may_be_named():
    check_names(ask_for("ours"), PluginRecipes(recipes=[RecipeSummary(name="ours")]))


def test_misspelt_recipe_is_refused_with_the_known_names():
    with pytest.raises(InvalidInput, match=r"'our' is not known; known are: .*ours") as caught:
        check_names(ask_for("our"), PluginRecipes(recipes=[RecipeSummary(name="ours")]))
    assert caught.value.reason == "UnknownRecipe"


def test_recipe_that_a_broken_package_may_bring_is_refused_with_what_is_broken():
    with pytest.raises(InvalidInput, match="broken plug-ins: theirs:recipe can't be loaded") as caught:
        check_names(ask_for("theirs"), PluginRecipes(broken=["theirs:recipe can't be loaded"]))
    assert caught.value.reason == "BrokenPlugin"


def test_recipe_of_a_package_waits_until_packages_were_asked():
    with pytest.raises(Unavailable, match="not known yet"):
        check_names(ask_for("ours"), None)


@pytest.mark.parametrize(("low", "default", "high"), [(9, 50, 1), (0, 0, 10**400)])
def test_bounds_that_no_value_could_keep_are_refused(low, default, high):
    with pytest.raises(ValueError, match=r"outside its bounds|less than or equal"):
        ParameterSummary(low=low, high=high, default=default)


async def test_work_that_ends_its_process_is_told_to_who_waits():
    def work():
        raise SystemExit(1)

    with pytest.raises(RuntimeError, match="ended by SystemExit"):
        await in_own_thread("work", work)
