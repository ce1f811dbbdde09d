"""What a twin tells of recipes that installed packages bring, so that a `Pipeline` can name them."""

from typing import Final

from meshtwin.contract.summaries import ParameterSummary, PluginRecipes, RecipeSummary
from meshtwin.recipes.registry import BUILT_IN, KnownRecipes
from meshtwin.recipes.values import Recipe

__all__ = ["BROKEN_MAX", "PLUGINS_MAX", "TEXT_MAX", "describe_plugins"]

PLUGINS_MAX: Final = 64  # recipes of packages; as `PluginRecipes` holds them
BROKEN_MAX: Final = 16
TEXT_MAX: Final = 300  # characters, of why one is broken


def describe_plugins(known: KnownRecipes) -> PluginRecipes:
    """Names and parameters of all recipes that are not built in; one whose parameters can't be told is broken."""
    told: list[RecipeSummary] = []
    broken = [f"{value} {why}" for value, why in known.broken.items()]
    for name in sorted(known.recipes.keys() - BUILT_IN.keys()):
        try:
            told.append(_describe(known.recipes[name]))
        except (Exception, SystemExit) as error:  # whatever a plug-in has for parameters
            broken.append(f"recipe {name}: its parameters can't be told: {type(error).__name__}: {error}")
    if len(told) > PLUGINS_MAX:
        broken.insert(0, f"{len(told)} recipes, above the {PLUGINS_MAX} that are told: {told[PLUGINS_MAX].name} and on")
    return PluginRecipes(recipes=told[:PLUGINS_MAX], broken=[_plain(text) for text in broken[:BROKEN_MAX]])


def _plain(text: str) -> str:
    """On one line and bounded: what a package says of itself may be anything."""
    return "".join(c if c.isprintable() else " " for c in text)[:TEXT_MAX]


def _describe(recipe: Recipe) -> RecipeSummary:
    parameters = {
        str(parameter): ParameterSummary(low=bounds.low, high=bounds.high, default=bounds.default)
        for parameter, bounds in recipe.parameters.items()
    }
    return RecipeSummary(name=recipe.name, parameters=parameters)
