"""Low-discrepancy points whose columns are even each by itself and two by two, scrambled column by column.

A column of 2**m points is a matrix over the field of two elements that takes the bits of a point's number to the
bits of its place, so it has one point in each of 2**m equal cells. The first row of column j is the j-th power of a
primitive element of GF(2**m), and the second row a power further on. So any two of 2**m - 1 columns fill the four
quarters of their square equally, and those less than `SECOND_ROW` apart its sixteenths.
Sobol's columns have 2**(m - 1) different first rows; two with the same one are wholly dependent at first sight, which
costs more than good pairs gain where hundreds of columns matter a little.
Source: Rao (1947), orthogonal arrays of strength 2; Owen (1995), nested uniform scrambling.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.sim.draws import GOLDEN, MIX_1, MIX_2, TO_UNIT

__all__ = ["extend_keys", "scrambled_points"]

U64 = NDArray[np.uint64]

PRIMITIVE: Final = (
    0b1, 0b11, 0b111, 0b1011, 0b10011, 0b100101, 0b1000011, 0b10000011, 0b100011101, 0b1000010001, 0b10000001001,
)  # fmt: skip  # polynomial of GF(2**m) for m from 0; source: Lidl and Niederreiter (1994), table D
SECOND_ROW: Final = (0, 0, 1, 1, 5, 8, 21, 34, 85, 156, 341)
# further powers in the second row; for even m that of GF(4), else the one with the widest window, found by trying all
MOST_LEVELS: Final = len(PRIMITIVE) - 1  # more points are several sets with scrambles of their own


def scrambled_points(points: int, dimension: NDArray[np.int64], keys: U64) -> NDArray[np.float64]:
    """(points, columns) float64 in [0, 1): the ``dimension``-th column of the point set, scrambled by its key.

    Each point is uniform over scrambles, its columns independent. A number of points that is not a power of 2 is a
    sum of sets that are, the largest first, each with scrambles of its own.
    """
    sets: list[NDArray[np.float64]] = []
    left = points
    while left > 0:
        levels = min(left.bit_length() - 1, MOST_LEVELS)
        sets.append(_scramble(levels, dimension, extend_keys(keys, np.array([len(sets)], dtype=np.uint64))))
        left -= 1 << levels
    return np.concatenate(sets) if sets else np.zeros((0, len(keys)))


def extend_keys(keys: U64, part: U64) -> U64:
    """`meshtwin.sim.draws.extend_key` over arrays."""
    z: U64 = keys + (part + np.uint64(1)) * np.uint64(GOLDEN)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(MIX_1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(MIX_2)
    return z ^ (z >> np.uint64(31))


def _scramble(levels: int, dimension: NDArray[np.int64], keys: U64) -> NDArray[np.float64]:
    """(2**levels, columns): the columns, each scrambled by its key: nested, bit by bit."""
    cells = _cells(levels)[:, dimension % max(1, (1 << levels) - 1)]
    scrambled = np.zeros_like(cells)
    for level in range(levels):
        prefix = cells >> np.uint64(levels - level)
        flips = extend_keys(keys[None, :], prefix + np.uint64(1 << level)) & np.uint64(1)
        bit = (cells >> np.uint64(levels - 1 - level)) & np.uint64(1)
        scrambled = (scrambled << np.uint64(1)) | (bit ^ flips)
    within = extend_keys(keys[None, :], cells + np.uint64(1 << levels)) >> np.uint64(11)
    return (scrambled + within * TO_UNIT) / float(1 << levels)


@lru_cache(maxsize=MOST_LEVELS + 1)
def _cells(levels: int) -> U64:
    """(2**levels, 2**levels - 1, at least one column): in which of 2**levels cells each point lies."""
    points = np.arange(1 << levels, dtype=np.uint64)
    powers = np.array(_powers(levels), dtype=np.uint64)
    cells = np.zeros((len(points), len(powers)), dtype=np.uint64)
    for shift in _rows(levels):
        is_odd = np.bitwise_count(points[:, None] & np.roll(powers, -shift)[None, :]) & 1
        cells = (cells << np.uint64(1)) | is_odd
    return cells


def _rows(levels: int) -> list[int]:
    """Which power further on each row is: the first, `SECOND_ROW`, then the least that make the matrix invertible."""
    powers, rows, span = _powers(levels), list[int](), {0}
    for shift in (0, SECOND_ROW[levels], *range(len(powers))):
        if len(rows) < levels and powers[shift] not in span:
            rows.append(shift)
            span |= {vector ^ powers[shift] for vector in span}
    return rows


def _powers(levels: int) -> list[int]:
    """The 2**levels - 1 powers of a primitive element of GF(2**levels), as bits."""
    powers = [1]
    for _ in range((1 << levels) - 2):
        following = powers[-1] << 1
        powers.append(following ^ PRIMITIVE[levels] if following >> levels else following)
    return powers
