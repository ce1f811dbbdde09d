"""The history of a twin in DuckDB: filled from closed journal files, exported to readable ones.

Runs as a process of its own (``python -m meshtwin.repository.history ingest|export ...``), since DuckDB takes
more memory than a twin, and a question about last month must not delay today's reports.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import duckdb

from meshtwin.errors import InvalidInput, MeshTwinError, Unavailable
from meshtwin.repository.journal import PREFIX, SUFFIX, Entry, read_entries

__all__ = ["HISTORY_NAME", "TABLES", "export", "ingest", "main"]

HISTORY_NAME: Final = "history.duckdb"
MEMORY_LIMIT: Final = "256MB"

# Columns as DuckDB types; every table has the receiver's and the sender's time, session and sequence.
# Times are UTC without a zone: zones need the icu extension, and extensions are never downloaded here.
HEAD: Final = {
    "received_at": "TIMESTAMP",
    "sent_at": "TIMESTAMP",
    "session": "VARCHAR",
    "sequence": "BIGINT",
}
TABLES: Final[dict[str, dict[str, str]]] = {
    "neighbours": {
        **HEAD,
        "node": "VARCHAR",
        "neighbour": "VARCHAR",
        "epoch": "BIGINT",
        "since_counter": "BIGINT",
        "last_counter": "BIGINT",
        "received": "BIGINT",
        "transmissions": "UTINYINT",
        "rssi_mean_dbm": "FLOAT",
    },
    "flows": {
        **HEAD,
        "flow": "VARCHAR",
        "attempt_id": "VARCHAR",
        "presses": "BIGINT",
        "on_time_presses": "BIGINT",
        "sent_pairs": "BIGINT",
        "delivered_pairs": "BIGINT",
        "deadline_ms": "INTEGER",
        "how_known": "VARCHAR",
        "latency": "JSON",
        "spread": "JSON",
    },
    "nodes": {
        **HEAD,
        "node": "VARCHAR",
        "uptime_s": "BIGINT",
        "buffer_fill": "FLOAT",
        "replay_list_fill": "FLOAT",
        "battery": "FLOAT",
        "heartbeat_hops": "UTINYINT",
    },
    "gateways": {**HEAD, "leaf": "VARCHAR", "payload": "JSON"},  # state, configuration/reported
}
LISTS: Final = {
    "telemetry/neighbours": ("neighbours", "neighbours"),
    "telemetry/flows": ("flows", "flows"),
    "telemetry/nodes": ("nodes", "nodes"),
}
COPY_OPTIONS: Final = {"parquet": "FORMAT parquet", "csv": "FORMAT csv, HEADER", "json": "FORMAT json"}


def ingest(folder: Path, *, before: int, oldest: datetime) -> int:
    """Move journal files numbered below ``before`` into the history and forget rows received before
    ``oldest``; the number of rows added.

    A file is taken once, however often this is called: its number is kept in the same transaction.
    """
    with _open(folder) as connection:
        for table, columns in TABLES.items():
            spelled = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            connection.execute(f"CREATE TABLE IF NOT EXISTS {table} ({spelled})")
        connection.execute("CREATE TABLE IF NOT EXISTS ingested (file BIGINT PRIMARY KEY)")
        rows = connection.execute("SELECT file FROM ingested").fetchall()
        known = {row[0] for row in rows}
        added = 0
        for path in sorted((folder / "journal").glob(f"{PREFIX}*{SUFFIX}")):
            number = int(path.stem.removeprefix(PREFIX))
            if number < before and number not in known:
                added += _ingest_file(connection, path, number)
        for table in TABLES:
            connection.execute(f"DELETE FROM {table} WHERE received_at < ?", [_naive(oldest)])  # noqa: S608  # our names
        connection.execute("CHECKPOINT")
    return added


def export(folder: Path, table: str, form: str, target: Path) -> int:
    """Write a table as ``parquet``, ``csv`` or ``json``, ordered by time; the number of rows."""
    if table not in TABLES:
        raise InvalidInput(f"table {table!r} is none of {', '.join(TABLES)}", place="table")
    if form not in COPY_OPTIONS:
        raise InvalidInput(f"format {form!r} is none of {', '.join(COPY_OPTIONS)}", place="format")
    if not (folder / HISTORY_NAME).exists():
        raise Unavailable("no history yet", place=str(folder))
    with _open(folder, read_only=True) as connection:
        name = str(target).replace("'", "''")
        select = f"SELECT * FROM {table} ORDER BY received_at, session, sequence"  # noqa: S608  # checked above
        row = connection.execute(f"COPY ({select}) TO '{name}' ({COPY_OPTIONS[form]})").fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _open(folder: Path, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    try:
        connection = duckdb.connect(
            str(folder / HISTORY_NAME),
            read_only=read_only,
            config={"memory_limit": MEMORY_LIMIT, "threads": 1, "autoinstall_known_extensions": "false"},
        )
    except duckdb.Error as error:
        raise Unavailable(f"history not opened: {error}", place=str(folder / HISTORY_NAME)) from error
    try:
        yield connection
    finally:
        connection.close()


def _ingest_file(connection: duckdb.DuckDBPyConnection, path: Path, number: int) -> int:
    with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
        files = {table: (Path(scratch) / f"{table}.json").open("w", encoding="utf-8") for table in TABLES}
        counts = dict.fromkeys(TABLES, 0)
        for entry, _ in read_entries(path):
            for table, row in _to_rows(entry):
                files[table].write(json.dumps(row) + "\n")
                counts[table] += 1
        for file in files.values():
            file.close()
        connection.execute("BEGIN")
        for table, columns in TABLES.items():
            if counts[table]:
                spelled = ", ".join(f"'{name}': '{kind}'" for name, kind in columns.items())
                source = f"read_json('{Path(scratch) / table}.json', format='newline_delimited', columns={{{spelled}}})"
                connection.execute(f"INSERT INTO {table} SELECT * FROM {source}")  # noqa: S608  # names of ours
        connection.execute("INSERT INTO ingested VALUES (?)", [number])
        connection.execute("COMMIT")
    return sum(counts.values())


def _to_rows(entry: Entry) -> Iterator[tuple[str, dict[str, Any]]]:
    payload = json.loads(entry.payload)
    head = {
        "received_at": _naive(datetime.fromtimestamp(entry.received_s, UTC)),
        "sent_at": _naive(datetime.fromisoformat(payload["sentAt"])),
        "session": payload["session"],
        "sequence": payload["sequence"],
    }
    found = LISTS.get(entry.leaf)
    if found is None:
        yield "gateways", {**head, "leaf": entry.leaf, "payload": payload}
        return
    table, key = found
    shared = {"node": payload["node"]} if table == "neighbours" else {}
    for item in payload[key]:
        named = {_to_snake(name): value for name, value in item.items()}
        row = {**head, **shared, **named}
        yield table, {name: row.get(name) for name in TABLES[table]}


def _to_snake(name: str) -> str:
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def _naive(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "microseconds")


def main() -> int:
    """Exit code 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m meshtwin.repository.history")
    verbs = parser.add_subparsers(dest="verb", required=True)
    taking = verbs.add_parser("ingest")
    taking.add_argument("folder", type=Path)
    taking.add_argument("--before", type=int, required=True)
    taking.add_argument("--retention-days", type=int, default=30)
    giving = verbs.add_parser("export")
    giving.add_argument("folder", type=Path)
    giving.add_argument("table")
    giving.add_argument("format")
    giving.add_argument("target", type=Path)
    chosen = parser.parse_args()
    try:
        if chosen.verb == "ingest":
            oldest = datetime.now(UTC) - timedelta(days=chosen.retention_days)
            rows = ingest(chosen.folder, before=chosen.before, oldest=oldest)
        else:
            rows = export(chosen.folder, chosen.table, chosen.format, chosen.target)
    except MeshTwinError as error:
        print(error, file=sys.stderr)
        return 1
    print(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
