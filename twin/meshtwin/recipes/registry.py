"""Recipes by name: the built-in ones, and those that installed packages bring."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final

from meshtwin.recipes.baseline_recipes import AllRelays, BetweennessShare, ConnectedDominatingSet, GeneticAlgorithm
from meshtwin.recipes.fewest_relays import FewestSufficientRelays
from meshtwin.recipes.latency import EndToEndLatency
from meshtwin.recipes.local_search import LocalSearch
from meshtwin.recipes.parameters import ENTRY_POINT_GROUP, unknown_recipe
from meshtwin.recipes.redundancy import PathRedundancy
from meshtwin.recipes.values import Recipe

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "KnownRecipes", "collect_recipes", "find_recipe", "known_recipes"]

BUILT_IN: Final[Mapping[str, Recipe]] = MappingProxyType(
    {
        r.name: r
        for r in (
            FewestSufficientRelays(),
            EndToEndLatency(),
            PathRedundancy(),
            LocalSearch(),
            AllRelays(),
            ConnectedDominatingSet(),
            BetweennessShare(),
            GeneticAlgorithm(),
        )
    }
)
NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")  # as in ``Recipe.spec.uses``; it reaches terminals
NAME_MAX: Final = 63


@dataclass(frozen=True, slots=True)
class KnownRecipes:
    """Recipes by name, and why plug-ins are broken, by what their entry points say of them."""

    recipes: Mapping[str, Recipe]
    broken: Mapping[str, str]


def find_recipe(name: str, place: str = "uses") -> Recipe:
    """The recipe called ``name``; raises `InvalidInput` (reason ``UnknownRecipe``) with the known names.

    If plug-ins are broken, of which nobody knows how they are called, it says so (reason ``BrokenPlugin``).
    """
    if name in BUILT_IN:  # loads no package: one that ends or holds up its process spoils only runs that name it
        return BUILT_IN[name]
    known = known_recipes()
    if name in known.recipes:
        return known.recipes[name]
    broken = [f"{value!r} {why}" for value, why in known.broken.items()]
    raise unknown_recipe(name, known.recipes, broken, place)


@cache
def known_recipes() -> KnownRecipes:
    """All recipes. Installed packages are looked at once per process."""
    return collect_recipes(entry_points(group=ENTRY_POINT_GROUP))


def collect_recipes(points: Iterable[EntryPoint]) -> KnownRecipes:
    """The built-in recipes and those of ``points``; a plug-in that fails in any way is broken, and it alone.

    It can't take a name that is taken.
    """
    found: dict[str, Recipe] = dict(BUILT_IN)
    broken: dict[str, str] = {}
    for point in sorted(points, key=lambda p: (p.name, p.value)):
        try:
            recipe = _load(point)
        except (Exception, SystemExit) as error:  # whatever a plug-in raises
            broken[point.value] = f"can't be loaded: {type(error).__name__}: {error}"
            continue
        if recipe.name in found:
            broken[point.value] = f"takes the name {recipe.name!r}, which is taken"
        else:
            found[recipe.name] = recipe
    return KnownRecipes(MappingProxyType(found), MappingProxyType(broken))


def _load(point: EntryPoint) -> Recipe:
    recipe = point.load()
    if not isinstance(recipe.parameters, Mapping) or not callable(recipe.propose):
        raise TypeError("a recipe has a mapping of parameters and a method propose")
    if not isinstance(recipe.name, str) or len(recipe.name) > NAME_MAX or NAME.fullmatch(recipe.name) is None:
        raise ValueError(f"name {recipe.name!r} is not up to {NAME_MAX} of a-z, 0-9 and - within")
    return recipe  # type: ignore[no-any-return]  # as checked
