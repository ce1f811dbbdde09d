"""`meshtwin.sim.draws` over whole arrays: the same bits."""

import numpy as np
import numpy.typing as npt

from meshtwin.sim.draws import GOLDEN, MIX_1, MIX_2, TO_UNIT

__all__ = ["Keys", "draw_all", "extend_all", "extend_each"]

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def extend_each(keys: Keys, parts: Keys) -> Keys:
    """`extend_key`, element by element."""
    z = keys + (parts + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    mixed: Keys = z ^ (z >> np.uint64(31))
    return mixed


def extend_all(key: int, parts: Keys) -> Keys:
    """`extend_key` of one key by each part."""
    return extend_each(np.full(len(parts), key, dtype=np.uint64), parts)


def draw_all(keys: Keys, part: int) -> Floats:
    """`draw` of each key."""
    z = extend_each(keys, np.full(len(keys), part, dtype=np.uint64))
    units: Floats = (z >> np.uint64(11)).astype(np.float64) * TO_UNIT
    return units
