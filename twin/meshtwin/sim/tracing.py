"""What befell every message of one replication: records as rows with names, and as files.

JSON (`meshtwin.dev/trace/v1`) holds an object per record, Parquet a row.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from meshtwin.errors import InvalidInput
from meshtwin.sim.arguments import check_seed, take_scenario
from meshtwin.sim.cost import estimate_receptions
from meshtwin.sim.engine import resolve_engine, simulate, simulate_selective
from meshtwin.sim.files import check_target, write_whole
from meshtwin.sim.packets import Record, RecordKind
from meshtwin.sim.parquet import make_copy, open_database
from meshtwin.sim.result_document import Count, Document, Name
from meshtwin.sim.scenario import Scenario

__all__ = ["TRACE_SUFFIXES", "Trace", "TraceDocument", "check_traceable", "trace"]

TRACE_SUFFIXES: Final = (".json", ".parquet")
FORMAT: Final = "meshtwin.dev/trace/v1"
PARQUET_KEY: Final = "meshtwin.dev/trace"  # of the file's metadata
RECEPTIONS_MOST: Final = 1e6  # by estimate; 0.2 to 1.5 records for each (samples), of some 250 bytes: 400 MB
RECORDS_MOST: Final = 1_000_000  # in a file: 200 MB of JSON
COLUMNS: Final = (
    ("time_ns", "bigint"), ("kind", "varchar"), ("node", "varchar"), ("flow", "varchar"), ("number", "bigint"),
    ("part", "varchar"), ("message", "varchar"), ("sender", "varchar"), ("copy", "bigint"), ("hops", "bigint"),
    ("ttl", "bigint"), ("cause", "varchar"),
)  # fmt: skip


class RecordDocument(Document):
    """One event. Null: it has none."""

    time_ns: Count = Field(description="simulated")
    kind: RecordKind = Field(description="what happened")
    node: Name = Field(description="address at which it happened; of notListening the sender's")
    flow: Name = Field(description="name of the flow or background; poll: of a low-power node")
    number: int = Field(description="of the message in its flow, from 0 on")
    part: Name = Field(description="message, answer, segment, acknowledgment, repetition, retry, poll or delivery")
    message: Name = Field(description="the PDU's 64-bit key in hexadecimal: equal for all copies and relays of one PDU")
    sender: Name | None = Field(description="address that sent what was received or lost here")
    copy_number: int | None = Field(alias="copy", description="which of its transmissions, from 0 on")
    hops: int | None = Field(description="of what was received")
    ttl: int | None = Field(description="of what is relayed")
    cause: Name | None = Field(description="of a loss")


class TraceDocument(Document):
    """What `meshtwin simulate FILE --trace FILE.json` writes; its JSON schema: `meshtwin schema trace`."""

    format: Literal["meshtwin.dev/trace/v1"] = Field(default=FORMAT, description="version of this format")
    scenario: Name = Field(description="name of the scenario")
    profile: Name = Field(description="stack whose timing rules the nodes had")
    engine: Name = Field(description="engine that ran it: reference or compiled; both give the same records")
    seed: int = Field(description="equal scenario, seed, replication and version give equal records")
    replication: Count = Field(description="which one it is, from 0 on")
    is_selective: bool = Field(description="preset states in place of draws")
    left_out: Count = Field(description="records after the first million")
    records: list[RecordDocument] = Field(description="in the order in which they happened")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """All records of one replication, in the order in which they happened."""

    scenario: Scenario
    seed: int
    replication: int
    engine: str
    is_selective: bool
    records: tuple[Record, ...] = field(repr=False)

    def rows(self) -> Iterator[dict[str, Any]]:
        """Records with the names of `RecordDocument`; the first million."""
        names = _flow_names(self.scenario)
        for record in self.records[:RECORDS_MOST]:
            yield _row(record, names)

    def save(self, path: str | Path) -> None:
        """Writes a .json or .parquet file, whole or not at all; raises `InvalidInput` where it can't."""
        target = Path(path)
        check_target(target, TRACE_SUFFIXES)
        write_whole(target, self._write_json if target.suffix.lower() == ".json" else self._write_parquet)

    @property
    def left_out(self) -> int:
        """Records after the first million, which files do not hold."""
        return max(0, len(self.records) - RECORDS_MOST)

    def _head(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "scenario": self.scenario.name,
            "profile": self.scenario.profile.name,
            "engine": self.engine,
            "seed": self.seed,
            "replication": self.replication,
            "isSelective": self.is_selective,
            "leftOut": self.left_out,
        }

    def _write_json(self, path: Path) -> None:
        """A record per line, written as it is made: a million of them need not be in memory twice."""
        with path.open("w", encoding="utf-8") as file:
            file.write(json.dumps(self._head(), ensure_ascii=False)[:-1] + ', "records": [')
            for place, row in enumerate(self.rows()):
                told = {"timeNs": row.pop("time_ns"), **row}
                file.write(("," if place else "") + "\n" + json.dumps(told, ensure_ascii=False))
            file.write("\n]}\n")

    def _write_parquet(self, path: Path) -> None:
        """A row per record; the head is metadata."""
        columns = ", ".join(f"{name} {kind}" for name, kind in COLUMNS)
        draft = path.with_name(path.name + ".rows")
        try:
            with draft.open("w", encoding="utf-8") as file:
                file.writelines(json.dumps(row) + "\n" for row in self.rows())
            kinds = ", ".join(f"'{name}': '{kind}'" for name, kind in COLUMNS)
            with open_database() as database:
                database.execute(f"create table told ({columns})")
                database.execute(
                    f"insert into told select * from read_json(?, format='newline_delimited', columns={{{kinds}}})",  # noqa: S608 (constants)
                    [str(draft)],
                )
                database.execute(make_copy("told", path, PARQUET_KEY, json.dumps(self._head())))
        finally:
            draft.unlink(missing_ok=True)


def check_traceable(scenario: Scenario) -> None:
    """Raises `InvalidInput` for a scenario whose records would not fit."""
    receptions = estimate_receptions(scenario)
    if receptions > RECEPTIONS_MOST:
        raise InvalidInput(
            f"up to {receptions:.1e} receptions in a replication, more than the {RECEPTIONS_MOST:.0e} that can be "
            "traced; send fewer messages, give durationSeconds, or cut a region out",
            reason="TooLarge",
            place=scenario.name,
        )


def trace(
    scenario: Scenario | str | Path,
    *,
    seed: int = 1,
    replication: int = 0,
    engine: str = "auto",
    is_selective: bool = False,
) -> Trace:
    """Runs one replication, the same as `meshtwin.simulate` runs with these arguments, and keeps every record.

    ``scenario``: the file or YAML text that says it as well. Raises `InvalidInput` for a scenario whose records would
    not fit, and for a seed or replication that is no whole number from 0 on.
    """
    seed, replication = check_seed("seed", seed), check_seed("replication", replication)
    scenario = take_scenario(scenario)
    check_traceable(scenario)
    run = simulate_selective if is_selective else simulate
    told = run(replace(scenario, is_traced=True), seed=seed, replication=replication, engine=engine)
    return Trace(
        scenario=scenario,
        seed=seed,
        replication=replication,
        engine=resolve_engine(engine, scenario),
        is_selective=is_selective,
        records=told.records,
    )


def _flow_names(scenario: Scenario) -> Sequence[str]:
    """By place; what is below 0 counts from the end: low-power nodes' polls, before them backgrounds backwards."""
    polls = ["poll"] * sum(node.low_power is not None for node in scenario.nodes)
    return [
        *(flow.name for flow in scenario.flows),
        *polls,
        *(background.name for background in reversed(scenario.background)),
    ]


def _row(record: Record, names: Sequence[str]) -> dict[str, Any]:
    kind = record.kind
    return {
        "time_ns": record.time_ns,
        "kind": kind.value,
        "node": f"{record.node:04x}",
        "flow": names[record.flow],
        "number": record.number,
        "part": record.part,
        "message": f"{record.message:016x}",
        "sender": None if record.sender is None else f"{record.sender:04x}",
        "copy": record.detail if kind is RecordKind.TRANSMITTED else record.copy,
        "hops": record.detail if kind is RecordKind.RECEIVED else None,
        "ttl": record.detail if kind is RecordKind.RELAYED else None,
        "cause": record.detail if kind is RecordKind.LOST else None,
    }
