"""The history takes each journal file once and gives it away as readable files."""

import json
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from tests.unit.twins.twin_builders import START_S, counter, gateway, report

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.repository.history import HISTORY_NAME, export, ingest
from meshtwin.repository.journal import Entry, Journal

OLDEST = datetime(2020, 1, 1, tzinfo=UTC)


def folder_with_reports(folder: Path) -> Journal:
    journal = Journal(folder / "journal")
    messages = [
        ("telemetry/neighbours", report("0001", counter("0002", 10, 9), counter("0003", 5, 1))),
        ("telemetry/neighbours", report("0002", counter("0001", 10, 8), sequence=1, at_s=60)),
        ("state", gateway()),
    ]
    for leaf, message in messages:
        journal.append([Entry(START_S, leaf, message.to_payload())])
    journal.rotate()
    return journal


def test_every_neighbour_of_a_report_is_a_row(tmp_path: Path) -> None:
    journal = folder_with_reports(tmp_path)

    rows = ingest(tmp_path, before=journal.position.file, oldest=OLDEST)

    assert rows == 4
    with duckdb.connect(str(tmp_path / HISTORY_NAME)) as connection:
        found = connection.execute("SELECT node, neighbour, received FROM neighbours ORDER BY 1, 2").fetchall()
    assert found == [("0001", "0002", 9), ("0001", "0003", 1), ("0002", "0001", 8)]


def test_file_is_taken_once(tmp_path: Path) -> None:
    journal = folder_with_reports(tmp_path)
    ingest(tmp_path, before=journal.position.file, oldest=OLDEST)

    assert ingest(tmp_path, before=journal.position.file, oldest=OLDEST) == 0


def test_file_that_is_still_written_is_left_alone(tmp_path: Path) -> None:
    journal = folder_with_reports(tmp_path)
    journal.append([Entry(START_S, "state", gateway(sequence=1).to_payload())])

    assert ingest(tmp_path, before=journal.position.file, oldest=OLDEST) == 4


def test_rows_older_than_the_retention_are_forgotten(tmp_path: Path) -> None:
    journal = folder_with_reports(tmp_path)
    ingest(tmp_path, before=journal.position.file, oldest=datetime(2024, 1, 1, tzinfo=UTC))

    assert export(tmp_path, "neighbours", "csv", tmp_path / "out.csv") == 0


@pytest.mark.parametrize("form", ["parquet", "csv", "json"])
def test_export_writes_all_rows(tmp_path: Path, form: str) -> None:
    journal = folder_with_reports(tmp_path)
    ingest(tmp_path, before=journal.position.file, oldest=OLDEST)
    target = tmp_path / f"it's.{form}"

    assert export(tmp_path, "neighbours", form, target) == 3
    assert target.stat().st_size > 0
    if form == "json":
        first = json.loads(target.read_text().splitlines()[0])
        assert (first["node"], first["last_counter"]) == ("0001", 10)


def test_unknown_table_and_format_are_refused(tmp_path: Path) -> None:
    folder_with_reports(tmp_path)
    ingest(tmp_path, before=1, oldest=datetime(2024, 1, 1, tzinfo=UTC))

    with pytest.raises(InvalidInput, match="table"):
        export(tmp_path, "secrets", "csv", tmp_path / "out")
    with pytest.raises(InvalidInput, match="format"):
        export(tmp_path, "nodes", "xls", tmp_path / "out")


def test_export_without_a_history_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no history"):
        export(tmp_path, "nodes", "csv", tmp_path / "out")
