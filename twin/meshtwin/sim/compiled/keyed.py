"""`meshtwin.sim.draws` for the kernel: the same bits."""

from typing import Final

import numpy as np

from meshtwin.sim.compiled.jit import inlined
from meshtwin.sim.draws import GOLDEN, MIX_1, MIX_2

__all__ = ["draw", "draw_below_ns", "extend", "join", "wide"]

STEP: Final = np.uint64(GOLDEN)
FIRST: Final = np.uint64(MIX_1)
SECOND: Final = np.uint64(MIX_2)
ONE: Final = np.uint64(1)
S30, S27, S31, S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
TO_UNIT: Final = 2.0**-53


@inlined
def mix(key: np.uint64, part: np.uint64) -> np.uint64:
    z = key + (part + ONE) * STEP
    z = (z ^ (z >> S30)) * FIRST
    z = (z ^ (z >> S27)) * SECOND
    return z ^ (z >> S31)


@inlined
def wide(value: int) -> int:
    """64 bits of an index that an array keeps in 32: one type for what comes from several places."""
    return np.int64(value)  # type: ignore[return-value]  # an int for all that is done with it


@inlined
def join(key: np.uint64, part: np.uint64) -> np.uint64:
    """`extend_key` by another key."""
    return mix(key, part)


@inlined
def extend(key: np.uint64, part: int) -> np.uint64:
    """`extend_key` by a number, which may be negative."""
    return mix(key, np.uint64(np.int64(part)))


@inlined
def draw(key: np.uint64, part: int) -> float:
    """A number in [0, 1)."""
    return float(np.int64(mix(key, np.uint64(np.int64(part))) >> S11)) * TO_UNIT


@inlined
def draw_below_ns(key: np.uint64, part: int, bound_ns: int) -> int:
    """A whole number in 0..bound_ns-1; 0 if there is none."""
    if bound_ns <= 0:
        return 0
    return int(draw(key, part) * float(bound_ns))
