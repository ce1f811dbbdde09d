"""`Recipe`: whether what it uses exists, and knows the parameters that are given."""

from datetime import datetime
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, check_built_in
from meshtwin_operator.reconcile.conditions import ready, settle, stalled, transition_events
from meshtwin_operator.reconcile.outcome import Outcome
from meshtwin_operator.resources.pipelines import Recipe, RecipeStatus

__all__ = ["BUILT_IN_RECIPES", "reconcile_recipe"]

# The table loads no model: the registry itself would bring networkx and numpy into the operator. Plug-ins are
# installed in the twins' image only, where an unknown one fails the run.
BUILT_IN_RECIPES: Final = frozenset(BUILT_IN_PARAMETERS)


def reconcile_recipe(recipe: Recipe, now: datetime) -> Outcome:
    """Ready when ``uses`` names a recipe that twins have, and it knows the parameters."""
    if recipe.spec.uses in BUILT_IN_RECIPES:
        try:
            check_built_in(recipe.spec.uses, recipe.spec.parameters, "spec.parameters")
            wanted = ready("Known", "")
        except InvalidInput as error:
            wanted = stalled(error.reason, str(error))
    else:
        known = ", ".join(sorted(BUILT_IN_RECIPES))
        wanted = stalled("UnknownRecipe", f"{recipe.spec.uses!r} is none of {known} (spec.uses)")
    conditions = settle(recipe.status, wanted, generation=recipe.metadata.generation, now=now)
    status = RecipeStatus(observed_generation=recipe.metadata.generation, conditions=conditions)
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(recipe.status, conditions),
    )
