"""Keyed draws: a number in [0, 1) that depends only on what it decides.

No stream, no state: drawing less or in another order changes nothing else. 64-bit arithmetic throughout
(splitmix64, Steele, Lea and Flood 2014), so that a compiled engine gets the same bits.
"""

import hashlib
from functools import lru_cache
from statistics import NormalDist
from typing import Final

__all__ = ["draw", "draw_below_ns", "draw_normal", "extend_key", "make_key"]

MASK: Final = 0xFFFFFFFFFFFFFFFF
GOLDEN: Final = 0x9E3779B97F4A7C15  # splitmix64 increment, 2**64 over the golden ratio
MIX_1: Final = 0xBF58476D1CE4E5B9
MIX_2: Final = 0x94D049BB133111EB
TO_UNIT: Final = 2.0**-53
NORMAL: Final = NormalDist()


@lru_cache(maxsize=4096)
def hash_text(text: str) -> int:
    """64 bits of a purpose or a flow's name."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def extend_key(key: int, part: int) -> int:
    """The key for (what ``key`` stands for, ``part``); a bijection in either argument modulo 2**64."""
    z = (key + (part + 1) * GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * MIX_1) & MASK
    z = ((z ^ (z >> 27)) * MIX_2) & MASK
    return z ^ (z >> 31)


def make_key(seed: int, purpose: str, *parts: int | str) -> int:
    """The 64-bit key of (seed, purpose, parts)."""
    key = extend_key(seed & MASK, hash_text(purpose))
    for part in parts:
        key = extend_key(key, hash_text(part) if isinstance(part, str) else part)
    return key


def draw(key: int, part: int) -> float:
    """The uniform number in [0, 1) that belongs to (``key``, ``part``)."""
    z = (key + (part + 1) * GOLDEN) & MASK
    z = ((z ^ (z >> 30)) * MIX_1) & MASK
    z = ((z ^ (z >> 27)) * MIX_2) & MASK
    return ((z ^ (z >> 31)) >> 11) * TO_UNIT


def draw_below_ns(key: int, part: int, bound_ns: int) -> int:
    """A uniform integer in 0..bound_ns-1; 0 if ``bound_ns`` is not positive."""
    return int(draw(key, part) * bound_ns) if bound_ns > 0 else 0


def draw_normal(key: int, part: int) -> float:
    """A standard normal number by the inverse of the distribution function."""
    return NORMAL.inv_cdf(min(max(draw(key, part), 1e-12), 1.0 - 1e-12))
