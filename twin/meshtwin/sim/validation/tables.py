"""The published tables: one copy, in this package, found in a checkout and in an installed package alike."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from meshtwin.errors import InvalidInput

__all__ = ["TABLES", "Table", "read_table"]

Table = Mapping[str, Any]  # parsed YAML of a published table

TABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "chain": "chain_10_nodes.yaml",
        "office": "office_52_nodes.yaml",
        "grid": "grid_49_nodes.yaml",
        "hardware": "measured_per_hop.yaml",
        "reception": "packet_error_ratio.yaml",
    }
)


def read_table(name: str, folder: Path | None = None) -> Table:
    """The table called ``name`` (a key of `TABLES`), from ``folder`` instead of the package's own if given.

    Raises `InvalidInput` if there is none, or if it is not YAML.
    """
    if name not in TABLES:
        raise InvalidInput(f"published table {name!r} is not one of {', '.join(TABLES)}", place="tables")
    file = TABLES[name]
    try:
        place = files(__package__) / "published" if folder is None else folder
        table = yaml.safe_load((place / file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidInput(f"table {file} can't be read: {error}", place=str(folder or "package")) from error
    if not isinstance(table, dict):
        raise InvalidInput(f"table {file} is not a mapping", place=str(folder or "package"))
    return table
