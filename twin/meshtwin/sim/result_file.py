"""The result of a simulation as a document for other programs (`meshtwin.dev/result/v1`), and as files.

JSON holds the summary; Parquet holds one row per (message, member), written by DuckDB.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.intervals import compute_mean_interval, compute_quantile
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["RESULT_SUFFIXES", "ResultDocument", "describe_result", "read_result", "write_result"]

RESULT_SUFFIXES: Final = (".json", ".parquet")
FILE_MAX_BYTES: Final = 64 * 1024 * 1024
CURVE_POINTS: Final = 101  # of a flow's latency distribution: every per cent


class Document(BaseModel):
    """Common ground: camelCase, nothing unknown, no NaN."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class IntervalDocument(Document):
    estimate: float
    low: float
    high: float
    level: float = Field(gt=0.0, lt=1.0)


class TimesDocument(Document):
    """Milliseconds over all messages that arrived; the mean with its interval over replications."""

    mean: IntervalDocument
    p50: float
    p95: float
    p99: float
    curve: list[float] = Field(description="quantiles 0, 1 % … 100 %, in milliseconds")


class FlowDocument(Document):
    """One flow over all replications; ratios 0..1. Null: nothing arrived, or not asked for."""

    name: str
    source: str
    members: int
    sent: int
    delivered: int = Field(description="(message, member) pairs that arrived")
    delivery_ratio: IntervalDocument
    on_time_ratio: IntervalDocument
    deadline_milliseconds: int
    latency_milliseconds: TimesDocument | None
    round_trip_milliseconds: TimesDocument | None
    spread_p95_milliseconds: float | None
    mean_hops: float | None


class TotalsDocument(Document):
    """All messages and all replications together."""

    messages: int
    transmissions: int = Field(description="advertising events, each on three channels")
    airtime_ratio: IntervalDocument = Field(description="share of time in use on one channel, mean over nodes")
    losses_by_cause: dict[str, int]


class ResultDocument(Document):
    """What `meshtwin simulate -o json` prints; its JSON schema: `meshtwin schema result`."""

    format: Literal["meshtwin.dev/result/v1"] = "meshtwin.dev/result/v1"
    scenario: str
    profile: str
    engine: str
    seed: int
    is_selective: bool = Field(default=False, description="preset states in place of draws")
    replications: int = Field(description="finished ones, which all figures are made of")
    replications_asked: int
    flows: list[FlowDocument]
    totals: TotalsDocument


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
        delivery_ratio=_interval(kpis.delivery),
        on_time_ratio=_interval(kpis.on_time),
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


def write_result(path: Path, document: ResultDocument, scenario: Scenario, runs: Sequence[RunResult]) -> None:
    """Writes ``path``, JSON or Parquet by its suffix. Raises `InvalidInput` for another, or where it can't write."""
    if path.suffix not in RESULT_SUFFIXES:
        raise InvalidInput(
            f"{path.name} ends neither in {' nor in '.join(RESULT_SUFFIXES)}", reason="UnknownFormat", place=str(path)
        )
    try:
        if path.suffix == ".json":
            path.write_text(document.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
        else:
            _write_parquet(path, scenario, runs)
    except OSError as error:
        raise InvalidInput(f"can't be written: {error}", place=str(path)) from error


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
    with duckdb.connect() as database:
        database.execute("create table flows (flow bigint, name varchar)")
        database.executemany("insert into flows values (?, ?)", [(p, name) for name, p in places.items()])
        database.sql(
            "select replication, name as flow, message, started_ns, member, latency_ns >= 0 as arrived, "
            "nullif(latency_ns, -1) as latency_ns, nullif(hops, -1) as hops, "
            "nullif(round_trip_ns, -1) as round_trip_ns from arrivals join flows using (flow) "
            "order by replication, started_ns, flow, member"
        ).write_parquet(str(path))


def read_result(path: Path) -> ResultDocument:
    """The document in a JSON file. Raises `InvalidInput` naming the first wrong field."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise InvalidInput(f"{path.stat().st_size} bytes are more than {FILE_MAX_BYTES}", place=str(path))
        return ResultDocument.model_validate_json(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"can't be read: {error}", place=str(path)) from error
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"not a result: {first['msg']}", place=f"{path}: {where}") from error
