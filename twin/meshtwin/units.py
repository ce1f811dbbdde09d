"""Conversions between units, and the integer time of the simulators.

Pure arithmetic. Names carry units; anything else belongs to the floor that needs it.
"""

import math
from typing import Final

__all__ = [
    "NANOSECONDS_PER_MILLISECOND",
    "NANOSECONDS_PER_SECOND",
    "dbm_to_mw",
    "milliseconds_to_ns",
    "mw_to_dbm",
    "ns_to_s",
    "s_to_ns",
]

NANOSECONDS_PER_SECOND: Final = 1_000_000_000
NANOSECONDS_PER_MILLISECOND: Final = 1_000_000


def s_to_ns(seconds: float) -> int:
    """Nanoseconds, rounded to the nearest integer."""
    return round(seconds * NANOSECONDS_PER_SECOND)


def ns_to_s(nanoseconds: int) -> float:
    """Seconds as a float."""
    return nanoseconds / NANOSECONDS_PER_SECOND


def milliseconds_to_ns(milliseconds: float) -> int:
    """Nanoseconds, rounded to the nearest integer."""
    return round(milliseconds * NANOSECONDS_PER_MILLISECOND)


def dbm_to_mw(power_dbm: float) -> float:
    """Power in milliwatts.

    >>> dbm_to_mw(0.0)
    1.0
    """
    return float(10.0 ** (power_dbm / 10.0))


def mw_to_dbm(power_mw: float) -> float:
    """Power in dBm; minus infinity for zero.

    >>> mw_to_dbm(1.0)
    0.0
    """
    return 10.0 * math.log10(power_mw) if power_mw > 0 else -math.inf
