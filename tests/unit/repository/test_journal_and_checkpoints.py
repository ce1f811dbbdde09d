"""Journal and checkpoints: what was written is read back, also after a crash."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.twin_builders import counter, fold_all, gateway, report, reported

from meshtwin.contract.telemetry import FlowTelemetry
from meshtwin.errors import Unavailable
from meshtwin.repository.checkpoints import iter_checkpoint, read_checkpoint
from meshtwin.repository.journal import Entry, Journal, Position
from meshtwin.twins.state import TwinState

START = Position(0, 0)


def entry(number: int) -> Entry:
    return Entry(1_700_000_000.0 + number, "telemetry/neighbours", b'{"n":%d}' % number)


def read(journal: Journal, start: Position = START) -> list[Entry]:
    return [found for found, _ in journal.iter_from(start)]


def whole_state() -> TwinState:
    flow = {"flow": "a", "presses": 1, "sentPairs": 1, "deliveredPairs": 1, "howKnown": "roundTrip"}
    head = {"session": "s1", "sequence": 0, "sentAt": "2023-11-14T22:13:20Z"}
    return fold_all(
        [
            gateway(),
            reported("0001-0002"),
            report("0001", counter("0002", 10, 9, rssiMeanDbm=-70), counter("0003", 4, 1)),
            report("0001", counter("0002", 20, 19, transmissions=2), sequence=4, at_s=60),
            report("0002", session="old", at_s=-100),
            FlowTelemetry.model_validate({**head, "flows": [flow], "airtimeRatio": 0.02}),
        ]
    )


def test_entries_are_read_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(1), entry(2)])
    journal.append([entry(3)])

    assert read(journal) == [entry(1), entry(2), entry(3)]


def test_reading_from_a_position_gives_what_came_after_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(1)])
    position = journal.position
    journal.append([entry(2)])

    assert read(journal, position) == [entry(2)]


def test_pretty_printed_payload_stays_one_entry(tmp_path: Path) -> None:
    journal = Journal(tmp_path)

    journal.append([Entry(1.0, "state", b'{\r\n "a": 1\n}')])

    assert read(journal) == [Entry(1.0, "state", b'{"a":1}')]


@given(cut=st.integers(min_value=1, max_value=200))
def test_line_that_a_crash_cut_off_is_removed_and_the_rest_stays(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    journal.append([entry(n) for n in range(5)])
    journal.close()
    path = journal.path(1)
    size = path.stat().st_size
    os.truncate(path, max(0, size - cut))
    whole_lines = path.read_bytes().count(b"\n")

    again = Journal(folder)
    again.append([entry(99)])

    assert read(again) == [*(entry(n) for n in range(whole_lines)), entry(99)]


def test_full_file_is_followed_by_another(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes_max=100)

    for number in range(6):
        journal.append([entry(number)])

    assert len(journal.files()) > 1
    assert read(journal) == [entry(n) for n in range(6)]


def test_dropping_old_files_keeps_the_one_that_is_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path, file_bytes_max=100)
    for number in range(6):
        journal.append([entry(number)])

    journal.drop_before(10_000)

    assert journal.files() == [journal.position.file]


def test_reopened_journal_goes_on_where_it_ended(tmp_path: Path) -> None:
    first = Journal(tmp_path)
    first.append([entry(1)])
    first.close()

    second = Journal(tmp_path)
    second.append([entry(2)])

    assert read(second) == [entry(1), entry(2)]


def test_folder_that_is_a_file_is_refused_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(Unavailable, match="journal not writable"):
        Journal(tmp_path / "file")


def test_failed_write_appends_nothing(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.append([entry(1)])
    before = journal.position
    journal.close()  # the next write fails, as on a disk that went away

    with pytest.raises(Unavailable, match="journal not written"):
        journal.append([entry(2)])

    assert journal.position == before


def test_checkpoint_gives_the_same_state_and_position(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"".join(iter_checkpoint(whole_state(), Position(3, 77))))

    assert read_checkpoint(path) == (whole_state(), Position(3, 77))


def test_cut_off_checkpoint_is_not_used_wherever_it_is_cut(tmp_path: Path) -> None:
    lines = list(iter_checkpoint(whole_state(), Position(3, 77)))
    path = tmp_path / "checkpoint"

    for kept in range(len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        assert read_checkpoint(path) is None


def test_checkpoint_of_another_format_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    content = b"".join(iter_checkpoint(whole_state(), Position(3, 77)))
    path.write_bytes(content.replace(b'"format":1', b'"format":2'))

    assert read_checkpoint(path) is None
