"""Draws of the fast model: keyed as the simulator's, and spread evenly over the states.

The same splitmix64 as `meshtwin.sim.draws`, compiled. A state is one of 2**bits points; a draw that matters
(scanner phase, first delay, advertising delay) takes each of the 2**bits equal parts of [0, 1) in exactly one
state: a Latin hypercube, whose permutation belongs to the draw's key.
Source: McKay, Beckman and Conover (1979); the permutation is of the multiply-and-fold kind, unproved but bijective.
"""

from typing import Any

import numpy as np

from meshtwin.fast.jit import part

__all__ = ["extend", "normal", "spread_unit", "unit"]


@part
def extend(key: Any, part: Any) -> Any:
    """The key for (what ``key`` stands for, ``part``)."""
    z = key + (np.uint64(part) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@part
def unit(key: Any, part: Any) -> Any:
    """The uniform number in [0, 1) that belongs to (``key``, ``part``)."""
    return float(extend(key, part) >> np.uint64(11)) * 1.1102230246251565e-16


@part
def spread_unit(key: Any, state: Any, bits: Any) -> Any:
    """The number in [0, 1) of ``state`` in a dimension ``key`` whose 2**bits states are spread evenly."""
    if bits == 0:
        return unit(key, state)
    mask = (np.uint64(1) << np.uint64(bits)) - np.uint64(1)
    a = key  # hashed already: keys come out of `extend`
    b = extend(key, 1)
    x = (np.uint64(state) ^ a) & mask
    x = (x * (b | np.uint64(1))) & mask
    x ^= x >> np.uint64((bits + 1) // 2)
    x = (x * ((a >> np.uint64(20)) | np.uint64(1)) + (b >> np.uint64(20))) & mask
    x ^= x >> np.uint64((bits + 1) // 2)
    x = (x * ((a >> np.uint64(40)) | np.uint64(1)) + (b >> np.uint64(40))) & mask
    inner = float(extend(b, state) >> np.uint64(11)) * 1.1102230246251565e-16
    return (float(x) + inner) * (1.0 / float(mask + np.uint64(1)))  # of a power of two: exact, and the same for all


@part
def normal(key: Any, part: Any) -> Any:
    """A standard normal number by Box and Muller (1958)."""
    first = 1.0 - unit(key, 2 * part)
    return np.sqrt(-2.0 * np.log(first)) * np.cos(2.0 * np.pi * unit(key, 2 * part + 1))
