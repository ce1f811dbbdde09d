"""Recipes by name: the built-in ones, and those that installed packages bring."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.recipes.fewest_relays import FewestSufficientRelays
from meshtwin.recipes.latency import EndToEndLatency
from meshtwin.recipes.local_search import LocalSearch
from meshtwin.recipes.redundancy import PathRedundancy
from meshtwin.recipes.values import Recipe

__all__ = ["BUILT_IN", "ENTRY_POINT_GROUP", "find_recipe", "known_recipes"]

# Packages name an object with the methods of `Recipe` under this group; the entry point's name is ignored
# in favour of the recipe's own, so that both can't disagree.
ENTRY_POINT_GROUP: Final = "meshtwin.recipes"

BUILT_IN: Final[Mapping[str, Recipe]] = MappingProxyType(
    {r.name: r for r in (FewestSufficientRelays(), EndToEndLatency(), PathRedundancy(), LocalSearch())}
)


def find_recipe(name: str, place: str = "uses") -> Recipe:
    """The recipe called ``name``; raises `InvalidInput` (reason ``UnknownRecipe``) with the known names."""
    known = known_recipes()
    if name not in known:
        raise InvalidInput(
            f"recipe {name!r} is not known; known are: {', '.join(sorted(known))}",
            reason="UnknownRecipe",
            place=place,
        )
    return known[name]


@cache
def known_recipes() -> Mapping[str, Recipe]:
    """All recipes by name. Installed packages are looked at once per process."""
    return MappingProxyType(collect_recipes(entry_points(group=ENTRY_POINT_GROUP)))


def collect_recipes(points: Iterable[EntryPoint]) -> dict[str, Recipe]:
    """The built-in recipes and those of ``points``; a plug-in can't take a built-in's name.

    Raises `InvalidInput` (reason ``BrokenPlugin``) for one that can't be loaded or is no recipe.
    """
    found: dict[str, Recipe] = dict(BUILT_IN)
    for point in sorted(points, key=lambda p: (p.name, p.value)):
        try:
            recipe = point.load()
        except (ImportError, AttributeError) as e:
            raise InvalidInput(f"recipe plug-in {point.value!r} can't be loaded: {e}", reason="BrokenPlugin") from e
        if not (hasattr(recipe, "name") and hasattr(recipe, "parameters") and hasattr(recipe, "propose")):
            raise InvalidInput(f"recipe plug-in {point.value!r} is no recipe", reason="BrokenPlugin")
        if recipe.name in found:
            raise InvalidInput(
                f"recipe plug-in {point.value!r} takes the name {recipe.name!r}, which is taken",
                reason="BrokenPlugin",
            )
        found[recipe.name] = recipe
    return found
