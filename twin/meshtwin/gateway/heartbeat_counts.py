"""What the coarse counts of a Heartbeat Subscription say of the number heard. Pure.

A node tells a range that the count lies in, at worst 8 to 15 of 16. The middle of the range would make every good link
a worse one: 0.72 where 0.9 got through. The last listenings together say more, above all how many of them were full.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

__all__ = ["LISTENINGS_KEPT", "Range", "estimate_counts"]

# Of one pair; by then a steady link is known to +-0.04. More would hide for longer that it changed: a picture of 60
# nodes takes up to hours. Assumed; exact counts are taken as they are whatever came before.
LISTENINGS_KEPT: Final = 8
GRID: Final = tuple((i + 0.5) / 100 for i in range(100))  # delivery of one heartbeat

Range = tuple[int, int]  # least and most that were heard


def estimate_counts(ranges: Sequence[Range], expected: int) -> tuple[tuple[float, ...], float]:
    """Heartbeats heard in each listening, and by how much one that is not certain may be off either way (90 %).

    ``expected``: sent in each. The likeliest delivery is found from all ``ranges``, and a count is its expectation
    within its range. A range of one number is certain.

    >>> estimate_counts([(8, 15)], 16)[0] < estimate_counts([(8, 15), (16, 16), (16, 16)], 16)[0]
    True
    """
    if all(low == high for low, high in ranges):
        return tuple(float(low) for low, _ in ranges), 0.0
    chances = _chances(expected)
    weights = [math.prod(sum(row[low : high + 1]) for low, high in ranges) for row in chances]
    likeliest = chances[max(range(len(GRID)), key=weights.__getitem__)]
    mean = sum(q * w for q, w in zip(GRID, weights, strict=True)) / sum(weights)
    variance = sum((q - mean) ** 2 * w for q, w in zip(GRID, weights, strict=True)) / sum(weights)
    # A uniform distribution over +-w has the variance w^2 / 3; twins take the uncertainty for that.
    return tuple(_expect(likeliest, *one) for one in ranges), math.sqrt(3 * variance) * expected


def _expect(chances: Sequence[float], low: int, high: int) -> float:
    return sum(n * chances[n] for n in range(low, high + 1)) / sum(chances[low : high + 1])


@lru_cache(maxsize=4)
def _chances(expected: int) -> tuple[tuple[float, ...], ...]:
    """Per delivery of `GRID`, the chances that 0 to ``expected`` heartbeats are heard."""
    ways = [math.comb(expected, n) for n in range(expected + 1)]
    return tuple(tuple(c * q**n * (1 - q) ** (expected - n) for n, c in enumerate(ways)) for q in GRID)
