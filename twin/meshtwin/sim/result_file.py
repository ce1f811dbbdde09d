"""The result of a simulation as a document for other programs (`meshtwin.dev/result/v1`), and as files.

JSON holds the summary; Parquet holds one row per (message, member), written by DuckDB, and the summary as metadata.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.files import check_target, read_bounded, write_whole
from meshtwin.sim.intervals import ONE_REPLICATION, compute_mean_interval, compute_quantile, compute_quantile_intervals
from meshtwin.sim.result_document import (
    CURVE_POINTS,
    FlowDocument,
    IntervalDocument,
    RatioDocument,
    ResultDocument,
    TimesDocument,
    TotalsDocument,
)
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["RESULT_SUFFIXES", "ResultDocument", "describe_result", "read_result", "write_result"]

RESULT_SUFFIXES: Final = (".json", ".parquet")
PARQUET_KEY: Final = "meshtwin.dev/result"  # of the file's metadata; DuckDB: parquet_kv_metadata('FILE')
FILE_MAX_BYTES: Final = 64 * 1024 * 1024


def describe_result(
    scenario: Scenario,
    runs: Sequence[RunResult],
    *,
    seed: int,
    engine: str,
    asked: int | None = None,
    gaps: Sequence[str] = (),
) -> ResultDocument:
    """The document of finished ``runs``; ``asked`` is how many were wanted (None: as many as there are).

    Every estimate has its interval over replications. ``gaps``: what was asked for and is missing.

    Raises `InvalidInput` without a run.
    """
    if not runs:
        raise InvalidInput("no replication is finished: there is nothing to tell", place=scenario.name)
    kpis = summarise(runs, scenario.flows)
    flows = [_describe_flow(f, k, runs) for f, k in zip(scenario.flows, kpis.flows, strict=True)]
    return ResultDocument(
        scenario=scenario.name,
        profile=scenario.profile.name,
        engine=engine,
        seed=seed,
        is_selective=all(run.is_selective for run in runs),
        replications=len(runs),
        replications_asked=len(runs) if asked is None else asked,
        gaps=list(gaps),
        flows=flows,
        totals=_describe_totals(kpis.airtime_ratio, sum(flow.sent for flow in flows), runs),
    )


def _describe_totals(airtime_ratio: Interval, messages: int, runs: Sequence[RunResult]) -> TotalsDocument:
    losses: Counter[str] = Counter()
    for run in runs:
        losses.update({str(cause): count for cause, count in run.losses.items()})
    each = [{str(cause): count for cause, count in run.losses.items()} for run in runs]
    return TotalsDocument(
        messages=messages,
        transmissions=sum(run.transmissions for run in runs),
        airtime_ratio=IntervalDocument.from_value(airtime_ratio, most=1.0),
        losses_by_cause=dict(sorted(losses.items())),
        transmissions_per_replication=_mean([run.transmissions for run in runs]),
        losses_per_replication={cause: _mean([run[cause] for run in each]) for cause in sorted(losses)},
    )


def _describe_flow(flow: ScenarioFlow, kpis: FlowKpis, runs: Sequence[RunResult]) -> FlowDocument:
    arrivals = [[a for m in run.messages if m.flow == flow.name for a in m.arrivals] for run in runs]
    hops = [[a.hops for a in run] for run in arrivals if run]
    trips = [[a.round_trip_ns / 1e6 for a in run if a.round_trip_ns is not None] for run in arrivals]
    spread = kpis.spread_p95
    return FlowDocument(
        name=flow.name,
        source=f"{flow.source:04x}",
        members=len(flow.members),
        sent=kpis.sent,
        delivered=sum(map(len, hops)),
        delivery_ratio=_ratio(kpis.delivery, runs),
        on_time_ratio=_ratio(kpis.on_time, runs),
        deadline_milliseconds=flow.deadline_ms,
        latency_milliseconds=_times([[a.latency_ns / 1e6 for a in run] for run in arrivals], kpis.sent),
        round_trip_milliseconds=_times(trips, kpis.sent),
        spread_p95_milliseconds=kpis.spread_p95_ms,
        mean_hops=fmean(h for run in hops for h in run) if hops else None,
        spread_p95_interval=None if spread is None else IntervalDocument.from_value(spread),
        mean_hops_interval=_mean([fmean(run) for run in hops]) if hops else None,
    )


def _times(runs: Sequence[Sequence[float]], messages: int) -> TimesDocument | None:
    """Of what arrived of ``messages``."""
    ascending = [sorted(run) for run in runs if run]
    if not ascending:
        return None
    intervals = compute_quantile_intervals(ascending, (0.50, 0.95, 0.99), messages=messages)
    p50, p95, p99 = (IntervalDocument.from_value(interval) for interval in intervals)
    values = sorted(value for run in ascending for value in run)
    return TimesDocument(
        mean=_mean([fmean(run) for run in ascending]),
        p50=p50.estimate,
        p95=p95.estimate,
        p99=p99.estimate,
        p50_interval=p50,
        p95_interval=p95,
        p99_interval=p99,
        curve=[compute_quantile(values, i / (CURVE_POINTS - 1)) or 0.0 for i in range(CURVE_POINTS)],
    )


def _mean(values: Sequence[float]) -> IntervalDocument:
    """Of one value per replication, none below 0."""
    return IntervalDocument.from_value(compute_mean_interval(values, least=0.0))


def _ratio(interval: Interval, runs: Sequence[RunResult]) -> RatioDocument:
    """A share of messages; those of one replication met one network, and do not tell how another one does."""
    if len(runs) < 2:
        interval = replace(interval, low=0.0, high=1.0, open_because=interval.open_because or ONE_REPLICATION)
    return RatioDocument.from_value(interval, most=1.0)


def write_result(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """Writes ``path``, JSON or Parquet by its suffix, whole or not at all.

    Raises `InvalidInput` for another suffix, or where it can't write.
    """
    check_target(path, RESULT_SUFFIXES)
    if path.suffix == ".json":
        text = document.model_dump_json(by_alias=True, indent=2) + "\n"
        write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    else:
        write_whole(path, lambda draft: _write_parquet(draft, document, scenario, runs))


def _write_parquet(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """One row per (message, member); latencies are null where it did not arrive. The document is metadata."""
    import duckdb
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
    with _as_os_errors(), duckdb.connect() as database:
        database.execute("create table flows (flow bigint, name varchar)")
        database.executemany("insert into flows values (?, ?)", [(p, name) for name, p in places.items()])
        told = database.sql(  # noqa: F841 (read by DuckDB)
            "select replication, name as flow, message, started_ns, member, latency_ns >= 0 as arrived, "
            "nullif(latency_ns, -1) as latency_ns, nullif(hops, -1) as hops, "
            "nullif(round_trip_ns, -1) as round_trip_ns from arrivals join flows using (flow) "
            "order by replication, started_ns, flow, member"
        )
        # neither path nor metadata can be bound parameters of a copy
        said = document.model_dump_json(by_alias=True)
        target, key, value = (text.replace("'", "''") for text in (str(path), PARQUET_KEY, said))
        database.execute(f"copy told to '{target}' (format parquet, kv_metadata {{'{key}': '{value}'}})")


@contextmanager
def _as_os_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise OSError(str(error)) from error


def read_result(path: Path) -> ResultDocument:
    """The document in a JSON or Parquet file. Raises `InvalidInput` naming the first wrong field."""
    content = _read_metadata(path) if path.suffix == ".parquet" else read_bounded(path, FILE_MAX_BYTES)
    try:
        return ResultDocument.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"not a result: {said}", place=f"{path}: {where}" if where else str(path)) from error


def _read_metadata(path: Path) -> bytes:
    import duckdb

    try:
        with duckdb.connect() as database:
            found = database.execute("select key, value from parquet_kv_metadata(?)", [str(path)]).fetchall()
    except duckdb.Error as error:
        raise InvalidInput(f"not a result: {str(error).splitlines()[0]}", place=str(path)) from error
    for key, value in found:
        if bytes(key) == PARQUET_KEY.encode():
            return bytes(value)
    raise InvalidInput(f"not a result: there is no {PARQUET_KEY} in its metadata", place=str(path))
