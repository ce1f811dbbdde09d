"""Parquet files, written by DuckDB; it is loaded by the first one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb

__all__ = ["make_copy", "open_database"]


@contextmanager
def open_database() -> Iterator["duckdb.DuckDBPyConnection"]:
    """An empty database in memory; what it can't write is an `OSError`, as of every file."""
    import duckdb

    try:
        with duckdb.connect() as database:
            yield database
    except duckdb.IOException as error:
        raise OSError(str(error)) from error


def make_copy(table: str, path: Path, key: str, value: str) -> str:
    """The statement that writes ``table`` to ``path`` with ``value`` as metadata ``key``.

    Neither path nor metadata can be bound parameters of it.
    """
    target, told_key, told_value = (text.replace("'", "''") for text in (str(path), key, value))
    return f"copy {table} to '{target}' (format parquet, kv_metadata {{'{told_key}': '{told_value}'}})"
