"""Delivery of a single transmission on a grid, and what counted notifications say of each point of it.

The grid is even in the angle whose squared sine is the delivery: dense at both ends, where links are decided.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.twins.bursts import log_likelihoods
from meshtwin.twins.load import Load

__all__ = [
    "CHUNK",
    "DELIVERY",
    "LOGIT",
    "LOG_WEIGHT",
    "Array",
    "Counts",
    "Tables",
    "log_likelihood",
    "scale_tables",
    "to_beta",
    "to_tables",
]

Array = NDArray[np.float64]
Counts = Sequence[tuple[int, float, float]]  # (transmissions, heard, missed)
Tables = Mapping[int, Array]  # by transmissions: (links, 2), heard and missed

GRID_SIZE: Final = 256  # error of mean and deviation below 0.001 up to 500 counts
CHUNK: Final = 1000  # links at a time: 2 MB per array instead of 60 MB for 30,000 links
_ANGLE: Final = (np.arange(GRID_SIZE) + 0.5) * (np.pi / 2 / GRID_SIZE)
DELIVERY: Final = np.sin(_ANGLE) ** 2  # (GRID_SIZE,), ascending in (0, 1)
LOGIT: Final = np.log(DELIVERY) - np.log1p(-DELIVERY)
LOG_WEIGHT: Final = np.log(np.sin(2 * _ANGLE))  # of d(delivery), up to a constant


def to_tables(counts: Sequence[Counts]) -> Tables:
    """The counts of all links as one table per number of transmissions."""
    tables: dict[int, Array] = {}
    for row, link in enumerate(counts):
        for k, heard, missed in link:
            if k not in tables:
                tables[k] = np.zeros((len(counts), 2))
            tables[k][row, 0] += heard
            tables[k][row, 1] += missed
    return tables


def scale_tables(tables: Tables, most: float) -> Tables:
    """The tables with at most ``most`` notifications per link, shares kept."""
    total = np.maximum(sum(table.sum(axis=1) for table in tables.values()), 1e-9)
    factor = np.minimum(1.0, most / total)
    return {k: table * factor[:, None] for k, table in tables.items()}


def to_beta(log_mass: Array) -> list[tuple[float, float]]:
    """Alpha and beta of equal mean and variance for each row of logarithms of mass, (links, GRID_SIZE)."""
    mass = log_mass - log_mass.max(axis=1, keepdims=True)
    np.exp(mass, out=mass)
    # `einsum` and not a product of matrices: a link's figures depend on no other link, to the last digit
    whole = mass.sum(axis=1)
    mean = np.einsum("lp,p->l", mass, DELIVERY) / whole
    variance = np.einsum("lp,p->l", mass, DELIVERY**2) / whole - mean**2
    total = np.maximum(mean * (1 - mean) / np.maximum(variance, 1e-9) - 1, 1e-3)
    return [(float(a), float(b)) for a, b in zip(mean * total, (1 - mean) * total, strict=True)]


def log_likelihood(tables: Tables, rows: slice | NDArray[np.intp], load: Load) -> Array:
    """(rows, GRID_SIZE): logarithm of the chance of the counts, up to a constant per row."""
    if not tables:
        return np.zeros((1, GRID_SIZE))
    parts = []
    for k in sorted(tables):
        table = tables[k][rows]
        for column, log_chance in enumerate(log_likelihoods(DELIVERY, k, load)):
            parts.append(
                table[:, column, None] * log_chance
            )  # by elements: no link depends on how many others there are
    total = parts[0]
    for part in parts[1:]:
        total += part
    return total
