"""The result of a simulation as a document for other programs (`meshtwin.dev/result/v1`), and as files.

JSON holds the summary; Parquet holds one row per (message, member), written by DuckDB.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.files import check_target, read_bounded, write_whole
from meshtwin.sim.intervals import compute_mean_interval, compute_quantile
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
FILE_MAX_BYTES: Final = 64 * 1024 * 1024


def describe_result(
    scenario: Scenario, runs: Sequence[RunResult], *, seed: int, engine: str, asked: int | None = None
) -> ResultDocument:
    """The document of finished ``runs``; ``asked`` is how many were wanted (None: as many as there are).

    Raises `InvalidInput` without a run.
    """
    if not runs:
        raise InvalidInput("no replication is finished: there is nothing to tell", place=scenario.name)
    kpis = summarise(runs, scenario.flows)
    losses: Counter[str] = Counter()
    for run in runs:
        losses.update({str(cause): count for cause, count in run.losses.items()})
    flows = [_describe_flow(f, k, runs) for f, k in zip(scenario.flows, kpis.flows, strict=True)]
    return ResultDocument(
        scenario=scenario.name,
        profile=scenario.profile.name,
        engine=engine,
        seed=seed,
        is_selective=all(run.is_selective for run in runs),
        replications=len(runs),
        replications_asked=len(runs) if asked is None else asked,
        flows=flows,
        totals=TotalsDocument(
            messages=sum(flow.sent for flow in flows),
            transmissions=sum(run.transmissions for run in runs),
            airtime_ratio=_interval(kpis.airtime_ratio),
            losses_by_cause=dict(sorted(losses.items())),
        ),
    )


def _describe_flow(flow: ScenarioFlow, kpis: FlowKpis, runs: Sequence[RunResult]) -> FlowDocument:
    arrivals = [[a for m in run.messages if m.flow == flow.name for a in m.arrivals] for run in runs]
    hops = [a.hops for run in arrivals for a in run]
    trips = [[a.round_trip_ns / 1e6 for a in run if a.round_trip_ns is not None] for run in arrivals]
    return FlowDocument(
        name=flow.name,
        source=f"{flow.source:04x}",
        members=len(flow.members),
        sent=kpis.sent,
        delivered=len(hops),
        delivery_ratio=_ratio(kpis.delivery),
        on_time_ratio=_ratio(kpis.on_time),
        deadline_milliseconds=flow.deadline_ms,
        latency_milliseconds=_times([[a.latency_ns / 1e6 for a in run] for run in arrivals]),
        round_trip_milliseconds=_times(trips),
        spread_p95_milliseconds=kpis.spread_p95_ms,
        mean_hops=fmean(hops) if hops else None,
    )


def _times(runs: Sequence[Sequence[float]]) -> TimesDocument | None:
    values = sorted(value for run in runs for value in run)
    if not values:
        return None
    curve = [_quantile(values, i / (CURVE_POINTS - 1)) for i in range(CURVE_POINTS)]
    return TimesDocument(
        mean=_interval(compute_mean_interval([fmean(run) for run in runs if run])),
        p50=_quantile(values, 0.50),
        p95=_quantile(values, 0.95),
        p99=_quantile(values, 0.99),
        curve=curve,
    )


def _quantile(values: Sequence[float], probability: float) -> float:
    return compute_quantile(values, probability) or 0.0


def _interval(interval: Interval) -> IntervalDocument:
    return IntervalDocument(
        estimate=interval.estimate, low=interval.low, high=interval.high, level=interval.level
    )  # fmt: skip


def _ratio(interval: Interval) -> RatioDocument:
    return RatioDocument(estimate=interval.estimate, low=interval.low, high=interval.high, level=interval.level)


def write_result(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """Writes ``path``, JSON or Parquet by its suffix, whole or not at all.

    Raises `InvalidInput` for another suffix, or where it can't write.
    """
    check_target(path, RESULT_SUFFIXES)
    if path.suffix == ".json":
        text = document.model_dump_json(by_alias=True, indent=2) + "\n"
        write_whole(path, lambda draft: draft.write_text(text, encoding="utf-8"))
    else:
        write_whole(path, lambda draft: _write_parquet(draft, scenario, runs))


def _write_parquet(path: Path, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """One row per (message, member); latencies are null where it did not arrive."""
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
        database.sql(
            "select replication, name as flow, message, started_ns, member, latency_ns >= 0 as arrived, "
            "nullif(latency_ns, -1) as latency_ns, nullif(hops, -1) as hops, "
            "nullif(round_trip_ns, -1) as round_trip_ns from arrivals join flows using (flow) "
            "order by replication, started_ns, flow, member"
        ).write_parquet(str(path))


@contextmanager
def _as_os_errors() -> Iterator[None]:
    import duckdb

    try:
        yield
    except duckdb.IOException as error:
        raise OSError(str(error)) from error


def read_result(path: Path) -> ResultDocument:
    """The document in a JSON file. Raises `InvalidInput` naming the first wrong field."""
    content = read_bounded(path, FILE_MAX_BYTES)
    try:
        return ResultDocument.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise InvalidInput(f"not a result: {said}", place=f"{path}: {where}" if where else str(path)) from error
