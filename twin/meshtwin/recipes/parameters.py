"""The built-in recipes' names and parameters, as a table that loads no model.

The operator reads it, too: a `Recipe` resource with a parameter that its recipe does not know is refused
before a run is asked for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput

__all__ = [
    "BUILT_IN_PARAMETERS",
    "ENTRY_POINT_GROUP",
    "ParameterBounds",
    "check_built_in",
    "check_values",
    "unknown_recipe",
]

# Packages name an object with the methods of `meshtwin.recipes.values.Recipe` under this group; the entry point's
# name is ignored in favour of the recipe's own, so that both can't disagree.
ENTRY_POINT_GROUP: Final = "meshtwin.recipes"


@dataclass(frozen=True, slots=True, kw_only=True)
class ParameterBounds:
    """A parameter of a recipe: its range and what holds where nothing is said."""

    low: int
    high: int
    default: int
    meaning: str


def _table(**bounds: tuple[int, int, int, str]) -> Mapping[str, ParameterBounds]:
    return MappingProxyType(
        {
            name: ParameterBounds(low=low, high=high, default=default, meaning=meaning)
            for name, (low, high, default, meaning) in bounds.items()
        }
    )


BUILT_IN_PARAMETERS: Final[Mapping[str, Mapping[str, ParameterBounds]]] = MappingProxyType(
    {
        "fewest-sufficient-relays": _table(
            mostRelaysHeard=(1, 5, 3, "relays that every node hears, at most"),
            connected=(1, 4, 1, "the relays hang together when any of them fail, as many as this less one"),
            ttlMargin=(0, 20, 1, "hops above the smallest TTL"),
        ),
        "end-to-end-latency": _table(
            aroundBest=(1, 8, 3, "candidates to start from"),
            most=(1, 200, 24, "candidates to propose"),
        ),
        "path-redundancy": _table(
            paths=(1, 8, 2, "disjoint paths, if no objective says"),
            aroundBest=(1, 8, 3, "candidates to start from"),
        ),
        "local-search": _table(
            evaluations=(
                0,
                20_000,
                0,
                "configurations that the fast model may be asked about; 0: by the network's size",
            ),
            starts=(1, 8, 3, "candidates to climb from"),
            most=(1, 64, 10, "candidates to propose"),
            varySettings=(0, 1, 1, "1: counts, intervals and TTL as well as relays"),
        ),
        "all-relays": _table(),
        "connected-dominating-set": _table(),
        "betweenness-share": _table(sharePercent=(1, 100, 40, "nodes that relay, of those that can")),
        "genetic-algorithm": _table(
            evaluations=(
                0,
                20_000,
                0,
                "configurations that the fast model may be asked about; 0: by the network's size",
            ),
            population=(8, 200, 24, "relay sets of one generation"),
        ),
    }
)


def unknown_recipe(name: str, known: Iterable[str], broken: Iterable[str], place: str) -> InvalidInput:
    """The error for a recipe that is none of ``known``.

    ``broken``: plug-ins that can't be used, and why; of these nobody knows how they are called, so one may be it.
    """
    message = f"recipe {name!r} is not known; known are: {', '.join(sorted(known))}"
    if told := "; ".join(broken):
        return InvalidInput(f"{message}; broken plug-ins: {told}", reason="BrokenPlugin", place=place)
    return InvalidInput(message, reason="UnknownRecipe", place=place)


def check_built_in(name: str, said: Mapping[str, int], place: str) -> dict[str, int]:
    """Like `check_values` for the built-in recipe ``name``, which must be one."""
    return check_values(name, BUILT_IN_PARAMETERS[name], said, place)


def check_values(
    name: str, known: Mapping[str, ParameterBounds], said: Mapping[str, int], place: str
) -> dict[str, int]:
    """``said`` with defaults for the rest.

    Raises `InvalidInput` (reason ``UnknownParameter`` or ``ParameterOutOfBounds``) for an unknown name or a
    value out of bounds, with the names or the bounds.
    """
    for parameter, value in said.items():
        bounds = known.get(parameter)
        if bounds is None:
            names = ", ".join(sorted(known)) or "none"
            raise InvalidInput(
                f"recipe {name} has no parameter {parameter!r}; it knows: {names}",
                reason="UnknownParameter",
                place=f"{place}.{parameter}",
            )
        if not bounds.low <= value <= bounds.high:
            raise InvalidInput(
                f"{parameter} {value} is outside {bounds.low}..{bounds.high}",
                reason="ParameterOutOfBounds",
                place=f"{place}.{parameter}",
            )
    return {parameter: said.get(parameter, bounds.default) for parameter, bounds in known.items()}
