"""Results and comparisons as files.

JSON holds the document; Parquet holds one row per (message, member), written by DuckDB, and the document as metadata.
"""

from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.sim.comparison_document import ComparisonDocument
from meshtwin.sim.files import check_no_pipe, check_target, read_bounded, write_whole
from meshtwin.sim.parquet import make_copy, open_database
from meshtwin.sim.result_describing import describe_result
from meshtwin.sim.result_document import ResultDocument
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario

__all__ = [
    "RESULT_SUFFIXES",
    "ResultDocument",
    "describe_result",
    "read_result",
    "read_results",
    "write_comparison",
    "write_result",
]

RESULT_SUFFIXES: Final = (".json", ".parquet")
PARQUET_KEY: Final = "meshtwin.dev/result"  # of the file's metadata; DuckDB: parquet_kv_metadata('FILE')
COMPARISON: Final = b'"meshtwin.dev/comparison/v1"'
ROWS: Final = (
    "select flow, count(distinct (replication, message)), count(*) filter (arrived) from read_parquet(?) group by flow"
)
FILE_MAX_BYTES: Final = 64 * 1024 * 1024
Read = TypeVar("Read", bound=BaseModel)


def write_result(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """Writes ``path``, JSON or Parquet by its suffix, whole or not at all.

    Raises `InvalidInput` for another suffix, or where it can't write.
    """
    check_target(path, RESULT_SUFFIXES)
    if path.suffix.lower() == ".json":
        text = document.model_dump_json(by_alias=True, indent=2) + "\n"
        write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    else:
        write_whole(path, lambda draft: _write_parquet(draft, document, scenario, runs))


def _write_parquet(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """One row per (message, member); latencies are null where it did not arrive. The document is metadata."""
    import numpy as np

    members = {flow.name: tuple(m for m in flow.members if m != flow.source) for flow in scenario.flows}
    places = {flow.name: place for place, flow in enumerate(scenario.flows)}
    rows: list[tuple[int, int, int, int, int, int, int, int]] = []
    for run in runs:
        for message in run.messages:
            reached = {a.member: a for a in message.arrivals}
            for member in members[message.flow]:
                arrival = reached.get(member)
                latency_ns = -1 if arrival is None else arrival.latency_ns
                trip_ns = -1 if arrival is None or arrival.round_trip_ns is None else arrival.round_trip_ns
                hops = -1 if arrival is None else arrival.hops
                rows.append(
                    (run.replication, places[message.flow], message.number, message.started_ns, member, latency_ns,
                     hops, trip_ns)
                )  # fmt: skip
    columns = ("replication", "flow", "message", "started_ns", "member", "latency_ns", "hops", "round_trip_ns")
    table = np.array(rows, dtype=np.int64).reshape(-1, len(columns))
    arrivals = {name: np.ascontiguousarray(table[:, i]) for i, name in enumerate(columns)}  # noqa: F841 (read by DuckDB)
    with open_database() as database:
        database.execute("create table flows (flow bigint, name varchar)")
        database.executemany("insert into flows values (?, ?)", [(p, name) for name, p in places.items()])
        told = database.sql(  # noqa: F841 (read by DuckDB)
            "select replication, name as flow, message, started_ns, member, latency_ns >= 0 as arrived, "
            "nullif(latency_ns, -1) as latency_ns, nullif(hops, -1) as hops, "
            "nullif(round_trip_ns, -1) as round_trip_ns from arrivals join flows using (flow) "
            "order by replication, started_ns, flow, member"
        )
        database.execute(make_copy("told", path, PARQUET_KEY, document.model_dump_json(by_alias=True)))


def write_comparison(path: Path, document: ComparisonDocument) -> None:
    """Writes a .json ``path``, whole or not at all. Raises `InvalidInput` for another suffix, or where it can't."""
    check_target(path, (".json",))
    text = document.model_dump_json(by_alias=True, indent=2) + "\n"
    write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))


def read_result(path: Path) -> ResultDocument:
    """The document in a JSON or Parquet file. Raises `InvalidInput` naming the first wrong field."""
    return _parse(ResultDocument, _content(path), path)


def read_results(path: Path) -> tuple[ResultDocument, ...]:
    """Likewise; both documents where the file is of a comparison."""
    content = _content(path)
    if COMPARISON in content[:200]:  # the format stands first
        both = _parse(ComparisonDocument, content, path)
        return both.first, both.second
    return (_parse(ResultDocument, content, path),)


def _content(path: Path) -> bytes:
    return _read_parquet(path) if path.suffix.lower() == ".parquet" else read_bounded(path, FILE_MAX_BYTES)


def _parse(kind: type[Read], content: bytes, path: Path) -> Read:
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"not a result: {said}", place=f"{path}: {where}" if where else str(path)) from error


def _read_parquet(path: Path) -> bytes:
    """The document in the metadata, held against the rows that it is about."""
    import duckdb

    check_no_pipe(path)
    name = escape(str(path))  # DuckDB takes r[1].parquet for a pattern, which r1.parquet fits
    try:
        with duckdb.connect() as database:
            told = dict(database.execute("select key, value from parquet_kv_metadata(?)", [name]).fetchall())
            document = told.get(PARQUET_KEY.encode())
            if document is None:
                raise InvalidInput(f"not a result: there is no {PARQUET_KEY} in its metadata", place=str(path))
            rows = database.execute(ROWS, [name]).fetchall()
    except duckdb.Error as error:
        raise InvalidInput(f"not a result: {str(error).splitlines()[0]}", place=str(path)) from error
    _check_rows(_parse(ResultDocument, bytes(document), path), rows, path)
    return bytes(document)


def _check_rows(told: ResultDocument, rows: Sequence[tuple[str, int, int]], path: Path) -> None:
    counted = {flow: (sent, delivered) for flow, sent, delivered in rows}
    if strangers := sorted(counted.keys() - {flow.name for flow in told.flows}):
        raise InvalidInput(f"not a result: its metadata know no flow {strangers[0]!r} of its rows", place=str(path))
    for flow in told.flows:
        sent, delivered = counted.get(flow.name, (0, 0))
        if (sent, delivered) != (flow.sent, flow.delivered):
            raise InvalidInput(
                f"not a result: of flow {flow.name!r} it has rows of {sent} messages and {delivered} arrivals, and its "
                f"metadata tell {flow.sent} and {flow.delivered}",
                place=str(path),
            )
