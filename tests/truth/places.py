"""Where nodes stand: rows of an office, a corridor, two halls with a passage, a random field."""

import math
import random
from collections.abc import Callable, Sequence
from typing import Final

__all__ = ["KINDS", "Place", "place_nodes"]

Place = tuple[float, float]  # x and y in metres

NEAREST_SHARE: Final = 0.35  # of the spacing: nodes of a random field are not closer
TRIES_MAX: Final = 2000  # per node of a random field, then the nearest bound gives way


def place_nodes(kind: str, nodes: int, spacing_m: float, rng: random.Random) -> list[Place]:
    """``nodes`` places of one of `KINDS`, about ``spacing_m`` from each to the next, with a little disorder."""
    return KINDS[kind](nodes, spacing_m, rng)


def _shaken(places: Sequence[Place], spacing_m: float, rng: random.Random) -> list[Place]:
    return [(x + rng.gauss(0, 0.12 * spacing_m), y + rng.gauss(0, 0.12 * spacing_m)) for x, y in places]


def _rows(nodes: int, columns: int, spacing_m: float) -> list[Place]:
    return [(i % columns * spacing_m, i // columns * spacing_m) for i in range(nodes)]


def _office(nodes: int, spacing_m: float, rng: random.Random) -> list[Place]:
    """Rows of lamps, two to three times as long as deep."""
    columns = math.ceil(math.sqrt(nodes * rng.uniform(1.8, 3.2)))
    return _shaken(_rows(nodes, columns, spacing_m), spacing_m, rng)


def _corridor(nodes: int, spacing_m: float, rng: random.Random) -> list[Place]:
    """Two lines along a corridor."""
    return _shaken(_rows(nodes, math.ceil(nodes / 2), spacing_m), spacing_m, rng)


def _clusters(nodes: int, spacing_m: float, rng: random.Random) -> list[Place]:
    """Two halls, joined by a passage of two to four nodes, each 1.2 spacings from the next."""
    passage = min(rng.randint(2, 4), nodes // 4)
    first = (nodes - passage) // 2
    side = math.ceil(math.sqrt(first))
    hall = _rows(first, side, spacing_m)
    middle_y = (side - 1) * spacing_m / 2
    begin_x = (side - 1) * spacing_m
    between = [(begin_x + 1.2 * (k + 1) * spacing_m, middle_y) for k in range(passage)]
    second_x = begin_x + 1.2 * (passage + 1) * spacing_m
    other = [(second_x + x, y) for x, y in _rows(nodes - passage - first, side, spacing_m)]
    return _shaken([*hall, *between, *other], spacing_m, rng)


def _field(nodes: int, spacing_m: float, rng: random.Random) -> list[Place]:
    """Anywhere in a rectangle of ``nodes`` times the square of the spacing, not too close to each other."""
    ratio = rng.uniform(1.0, 2.0)
    width_m = math.sqrt(nodes * ratio) * spacing_m
    depth_m = nodes * spacing_m**2 / width_m
    places: list[Place] = []
    tries = 0
    while len(places) < nodes:
        place = (rng.uniform(0, width_m), rng.uniform(0, depth_m))
        tries += 1
        nearest_m = NEAREST_SHARE * spacing_m if tries < TRIES_MAX * nodes else 0.0
        if all(math.dist(place, other) >= nearest_m for other in places):
            places.append(place)
    return places


KINDS: Final[dict[str, Callable[[int, float, random.Random], list[Place]]]] = {
    "office": _office,
    "corridor": _corridor,
    "clusters": _clusters,
    "field": _field,
}
