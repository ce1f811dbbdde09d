"""`Recipe`: whether what it uses exists, and knows the parameters that are given.

Built-in recipes stand in a table that loads no model: the registry itself would bring networkx and numpy into the
operator. Others are brought by packages in the twins' image, and parent twins tell of them in their summaries.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from meshtwin.contract.summaries import RecipeSummary, TwinSummary
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds, check_built_in, check_values
from meshtwin_operator.reconcile.conditions import Said, ready, settle, stalled, transition_events, waiting
from meshtwin_operator.reconcile.naming import parent_workload
from meshtwin_operator.reconcile.outcome import Outcome
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.pipelines import Recipe, RecipeStatus

__all__ = ["BUILT_IN_RECIPES", "check_use", "plugin_names", "reconcile_recipe"]

BUILT_IN_RECIPES: Final = frozenset(BUILT_IN_PARAMETERS)
ADVICE: Final = "name one of them, or put the package that brings it into the twin's image (spec.pod.image)"
LOOK_AGAIN_S: Final = 60.0


def reconcile_recipe(recipe: Recipe, world: World, now: datetime) -> Outcome:
    """Ready when ``uses`` names a recipe that twins have, and it knows the parameters."""
    wanted = _judge(recipe, world)
    conditions = settle(recipe.status, wanted, generation=recipe.metadata.generation, now=now)
    status = RecipeStatus(observed_generation=recipe.metadata.generation, conditions=conditions)
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(recipe.status, conditions),
        requeue_after_s=None if recipe.spec.uses in BUILT_IN_RECIPES else LOOK_AGAIN_S,
    )


def _judge(recipe: Recipe, world: World) -> tuple[Said, ...]:
    """A plug-in has to be known to one twin at least; which twin a pipeline asks is the pipeline's affair."""
    uses, parameters, namespace = recipe.spec.uses, recipe.spec.parameters, recipe.metadata.namespace
    try:
        if uses in BUILT_IN_RECIPES:
            check_built_in(uses, parameters, "spec.parameters")
            return ready("Known", "")
        twins = [twin.metadata.name for twin in world.all("DigitalTwin", namespace)]
        having = [twin for twin in twins if uses in plugin_names(world.summary(namespace, parent_workload(twin)))]
        _check_for_twins(recipe, world, having or twins)
    except InvalidInput as error:
        return stalled(error.reason, str(error))
    except Unavailable as error:
        return waiting(error.reason, str(error))
    return ready("Known", f"a package in the image of {', '.join(having[:16])} brings it")


def _check_for_twins(recipe: Recipe, world: World, twins: Sequence[str]) -> None:
    """Raises as `check_use`; of several twins one that has not told yet may have it."""
    faults = [_unknown(recipe.spec.uses, "there is no twin whose image could bring it", "spec.uses")]
    for twin in twins:
        key = ObjectKey("DigitalTwin", recipe.metadata.namespace, twin)
        try:
            check_use(recipe.spec.uses, recipe.spec.parameters, world, key, ("spec.uses", "spec.parameters"))
        except InvalidInput as error:
            faults.append(error)
    if len(faults) > 1 or not twins:
        raise faults[-1]


def check_use(
    uses: str,
    parameters: Mapping[str, int],
    world: World,
    twin: ObjectKey,
    places: tuple[str, str],
) -> None:
    """Checks name and parameters of a recipe for one `DigitalTwin`; ``places``: where they are said.

    Raises `InvalidInput` (``UnknownRecipe``, ``UnknownParameter``, ``ParameterOutOfBounds``) with what is known, and
    `Unavailable` (``TwinNotReady``) while the twin has not told yet which recipes it has.
    """
    if uses in BUILT_IN_RECIPES:
        check_built_in(uses, parameters, places[1])
        return
    summary = world.summary(twin.namespace, parent_workload(twin.name))
    found = _plugins(summary).get(uses)
    if found is not None:
        check_values(uses, _bounds(found), parameters, places[1])
        return
    if summary is None or not summary.ready:
        message = f"twin {twin.name!r} has not told yet whether its image brings recipe {uses!r}"
        raise Unavailable(message, reason="TwinNotReady", place=places[0])
    raise _unknown(
        uses, f"the image of twin {twin.name!r} brings {_listed(_plugins(summary))}{_broken(summary)}", places[0]
    )


def plugin_names(summary: TwinSummary | None) -> frozenset[str]:
    """Names of the recipes that a twin has besides the built-in ones, as far as it has told."""
    return frozenset(_plugins(summary))


def _plugins(summary: TwinSummary | None) -> Mapping[str, RecipeSummary]:
    if summary is None or summary.plugin_recipes is None:
        return {}
    return {recipe.name: recipe for recipe in summary.plugin_recipes.recipes}


def _bounds(recipe: RecipeSummary) -> Mapping[str, ParameterBounds]:
    return {
        name: ParameterBounds(low=told.low, high=told.high, default=told.default, meaning="")
        for name, told in recipe.parameters.items()
    }


def _unknown(uses: str, why: str, place: str) -> InvalidInput:
    known = ", ".join(sorted(BUILT_IN_RECIPES))
    return InvalidInput(f"{uses!r} is none of {known}; {why}: {ADVICE}", reason="UnknownRecipe", place=place)


def _listed(names: Iterable[str]) -> str:
    told = sorted(names)
    more = f" and {len(told) - 16} more" if len(told) > 16 else ""
    return f"besides {', '.join(told[:16])}{more}" if told else "no others"


def _broken(summary: TwinSummary) -> str:
    """Why packages bring nothing; they may be what was meant."""
    broken = summary.plugin_recipes.broken if summary.plugin_recipes is not None else []
    return f" (broken: {'; '.join(broken[:2])[:300]})" if broken else ""
