"""Transmit power of nodes as a person states it: from the product's data sheet, or the setting of its stack."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, expand_ranges

__all__ = [
    "TX_POWER_DEVIATION_MOST_DB",
    "TX_POWER_LEAST_DBM",
    "TX_POWER_MOST_DBM",
    "TxPower",
    "TxPowerRange",
    "expand_tx_powers",
]

# What LE devices may send with at most (Bluetooth Core 5.4, Vol 6, Part A, section 3: 100 mW). Their highest setting is
# at least -20 dBm there, but a lower one may be in use: down to -40 dBm on nRF52 (RADIO register TXPOWER).
TX_POWER_MOST_DBM: Final = 20.0
TX_POWER_LEAST_DBM: Final = -40.0
TX_POWER_DEVIATION_MOST_DB: Final = 10.0  # who knows it worse than that does not know it


@dataclass(frozen=True, slots=True)
class TxPower:
    """Power at which a node sends, in dBm, and the standard deviation of what it is in truth around it, in dB.

    Raises `InvalidInput` outside -40..+20 dBm, and for a deviation outside 0..10 dB.
    """

    tx_power_dbm: float
    deviation_db: float = 0.0

    def __post_init__(self) -> None:
        _check(self.tx_power_dbm, TX_POWER_LEAST_DBM, TX_POWER_MOST_DBM, "dBm", "txPowerDbm")
        _check(self.deviation_db, 0.0, TX_POWER_DEVIATION_MOST_DB, "dB", "deviationDb")


@dataclass(frozen=True, slots=True, kw_only=True)
class TxPowerRange:
    """A power, and ranges of nodes that send with it."""

    tx_power: TxPower
    nodes: tuple[str, ...] | None = None  # None: all of the inventory


def expand_tx_powers(
    ranges: Sequence[TxPowerRange], inventory: Iterable[UnicastAddress], place: str = "txPowers"
) -> Mapping[UnicastAddress, TxPower]:
    """The power of each node that ``ranges`` name, later entries instead of earlier ones.

    Raises `InvalidInput` with the entry's place for a range that names no node of ``inventory``.
    """
    known = tuple(inventory)
    stated: dict[UnicastAddress, TxPower] = {}
    for index, entry in enumerate(ranges):
        named = known if entry.nodes is None else expand_ranges(entry.nodes, known, f"{place}[{index}].nodes")
        stated.update(dict.fromkeys(named, entry.tx_power))
    return stated


def _check(value: float, least: float, most: float, unit: str, place: str) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise InvalidInput(f"{value:g} {unit} is outside {least:g}..{most:g} {unit}", place=place)
