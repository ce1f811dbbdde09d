"""Results and comparisons as files.

JSON holds the document; Parquet holds one row per (message, member), written by DuckDB, and the document as metadata.
"""

from collections.abc import Iterator, Sequence
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.sim.comparison_document import ComparisonDocument
from meshtwin.sim.files import check_no_pipe, check_target, read_bounded, write_whole
from meshtwin.sim.message_table import MessageTable, flow_columns
from meshtwin.sim.parquet import make_copy, open_database
from meshtwin.sim.result_describing import describe_result
from meshtwin.sim.result_document import ResultDocument
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

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
COLUMNS: Final = ("replication", "flow", "message", "started_ns", "member", "latency_ns", "hops", "round_trip_ns")
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
    """One row per (message, member); latencies are null where it did not arrive. The document is metadata.

    Addresses are four hex digits, as in JSON and in traces, which the rows are joined with.
    """
    with open_database() as database:
        database.execute("create table flows (flow bigint, name varchar)")
        database.executemany("insert into flows values (?, ?)", [(p, f.name) for p, f in enumerate(scenario.flows)])
        database.execute(
            "create table told (replication int, flow varchar, message bigint, started_ns bigint, member int, "
            "latency_ns bigint, hops int, round_trip_ns bigint)"
        )
        for run in runs:  # one at a time, in its order: sorting them all takes several times the memory
            database.execute(f"create or replace temp table arrivals ({', '.join(f'{c} bigint' for c in COLUMNS)})")
            for rows in _iter_rows(scenario, run):  # noqa: B007 (read by DuckDB)
                database.execute("insert into arrivals by name select * from rows")
            database.execute(
                "insert into told select replication, name, message, started_ns, member, latency_ns, hops, "
                "round_trip_ns from arrivals join flows using (flow) order by started_ns, name, member"
            )
        shown = database.sql(  # noqa: F841 (read by DuckDB)
            "select replication::bigint as replication, flow, message, started_ns, format('{:04x}', member) as member, "
            "latency_ns >= 0 as arrived, nullif(latency_ns, -1) as latency_ns, nullif(hops::bigint, -1) as hops, "
            "nullif(round_trip_ns, -1) as round_trip_ns from told"
        )
        database.execute(make_copy("shown", path, PARQUET_KEY, document.model_dump_json(by_alias=True)))


def _iter_rows(scenario: Scenario, run: RunResult) -> "Iterator[dict[str, npt.NDArray[np.int64]]]":
    """Columns of each flow that sent anything, a row per message and member; -1: it did not arrive, or no answer."""
    import numpy as np

    table = MessageTable.of(run.messages)
    for place, flow in enumerate(scenario.flows):
        its = flow_columns(table, flow.name)
        members = np.array(sorted(member for member in flow.members if member != flow.source), dtype=np.int64)
        rows, each = len(its.number) * len(members), len(members)
        if not rows:
            continue
        arrived = its.message * each + np.searchsorted(members, its.member)
        columns = {
            "replication": np.full(rows, run.replication, dtype=np.int64),
            "flow": np.full(rows, place, dtype=np.int64),
            "message": np.repeat(its.number, each),
            "started_ns": np.repeat(its.started_ns, each),
            "member": np.tile(members, len(its.number)),
        }
        for name, told in (("latency_ns", its.latency_ns), ("hops", its.hops), ("round_trip_ns", its.round_trip_ns)):
            columns[name] = np.full(rows, -1, dtype=np.int64)
            columns[name][arrived] = told
        yield columns


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
