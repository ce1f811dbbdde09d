"""`Recipe`: whether what it uses exists. Also the table of names that the operator knows without loading models."""

from datetime import datetime
from typing import Final

from meshtwin_operator.reconcile.conditions import ready, settle, stalled, transition_events
from meshtwin_operator.reconcile.outcome import Outcome
from meshtwin_operator.resources.pipelines import Recipe, RecipeStatus

__all__ = ["BUILT_IN_RECIPES", "reconcile_recipe"]

# Kept equal to `meshtwin.recipes.registry.BUILT_IN` by a test: importing the registry would load networkx and
# numpy into the operator. Plug-ins are installed in the twins' image only, where an unknown one fails the run.
BUILT_IN_RECIPES: Final = frozenset({"end-to-end-latency", "fewest-sufficient-relays", "path-redundancy"})


def reconcile_recipe(recipe: Recipe, now: datetime) -> Outcome:
    """Ready when ``uses`` names a recipe that twins have."""
    if recipe.spec.uses in BUILT_IN_RECIPES:
        wanted = ready("Known", "")
    else:
        known = ", ".join(sorted(BUILT_IN_RECIPES))
        wanted = stalled("UnknownRecipe", f"{recipe.spec.uses!r} is none of {known} (spec.uses)")
    conditions = settle(recipe.status, wanted, generation=recipe.metadata.generation, now=now)
    status = RecipeStatus(observed_generation=recipe.metadata.generation, conditions=conditions)
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(recipe.status, conditions),
    )
