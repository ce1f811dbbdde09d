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
SURPRISE: Final = 0.05  # at either end, as in an interval of 90 %
# From the mean to the nearer end of 90 %, of a Beta distribution: twins take the link for one. 1.645 would be that of a
# normal one; with a mean of 0.7 to 0.9 and as wide as eight listenings leave it, it is skewed, and ends at 1.3 to 1.5.
DEVIATIONS: Final = 1.4

Range = tuple[int, int]  # least and most that were heard


def estimate_counts(ranges: Sequence[Range], expected: int) -> tuple[tuple[float, ...], float]:
    """Heartbeats heard in each listening, and by how much one that is not certain may be off either way.

    ``expected``: sent in each. The likeliest delivery is found from all ``ranges``, and a count is its expectation
    within its range. How far off: to the farther end of the deliveries that `_bound` leaves, as the half-width of a
    uniform distribution with the deviation of one whose 90 % reach as far. A range of one number is certain.

    >>> estimate_counts([(8, 15)], 16)[0] < estimate_counts([(8, 15), (16, 16), (16, 16)], 16)[0]
    True
    """
    if all(low == high for low, high in ranges):
        return tuple(float(low) for low, _ in ranges), 0.0
    chances = _chances(expected)
    weights = [math.prod(sum(row[low : high + 1]) for low, high in ranges) for row in chances]
    best = max(range(len(GRID)), key=weights.__getitem__)
    off = max(abs(end - GRID[best]) for end in _bound(ranges, expected))
    return tuple(_expect(chances[best], *one) for one in ranges), math.sqrt(3) / DEVIATIONS * off * expected


def _bound(ranges: Sequence[Range], expected: int) -> tuple[float, float]:
    """Least and largest delivery under which what was heard is no surprise (Clopper and Pearson 1934).

    For each bound of a range: how many listenings heard as many or more is binomial, too; a delivery is left out where
    so few, or so many, of them have a chance below 5 %.
    """
    least, most = GRID[0], GRID[-1]
    for bound in {low for low, _ in ranges if low > 0} | {high + 1 for _, high in ranges if high < expected}:
        reached = sum(low >= bound for low, _ in ranges)
        possible = [
            q
            for q, row in zip(GRID, _chances(expected), strict=True)
            if _is_usual(reached, len(ranges), sum(row[bound:]))
        ]
        if possible:
            least, most = max(least, possible[0]), min(most, possible[-1])
    return least, most


def _is_usual(successes: int, trials: int, chance: float) -> bool:
    chances = [math.comb(trials, k) * chance**k * max(0.0, 1 - chance) ** (trials - k) for k in range(trials + 1)]
    return sum(chances[successes:]) >= SURPRISE and sum(chances[: successes + 1]) >= SURPRISE


def _expect(chances: Sequence[float], low: int, high: int) -> float:
    return sum(n * chances[n] for n in range(low, high + 1)) / sum(chances[low : high + 1])


@lru_cache(maxsize=4)
def _chances(expected: int) -> tuple[tuple[float, ...], ...]:
    """Per delivery of `GRID`, the chances that 0 to ``expected`` heartbeats are heard."""
    ways = [math.comb(expected, n) for n in range(expected + 1)]
    return tuple(tuple(c * q**n * (1 - q) ** (expected - n) for n, c in enumerate(ways)) for q in GRID)
