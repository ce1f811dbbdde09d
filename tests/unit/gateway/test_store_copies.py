"""An older copy of the memory that is put back alone is told from the version written last."""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from meshtwin.contract.configuration import GatewayPhase, Outcome
from meshtwin.errors import Unavailable
from meshtwin.gateway.memory import Memory, NodeException, Pending, to_bytes
from meshtwin.gateway.store import FILE_NAME, LATEST_NAME, MemoryStore
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings

NODE = UnicastAddress(3)
BEFORE = Configuration.of({NODE: NodeSettings(relay=True)})
AFTER = Configuration.of({NODE: NodeSettings(relay=False)})
HASH = "sha256:" + "0" * 64
ARMED = Memory(
    phase=GatewayPhase.ARMED,
    epoch=4,
    revision=1,
    hash=HASH,
    configuration=BEFORE,
    known=AFTER,
    nodes=(NODE,),
    pending=Pending(attempt_id="a1", revision=2, hash=HASH, configuration=AFTER),
    rollback_at=datetime(2030, 1, 1, tzinfo=UTC),
    exceptions={NODE: NodeException(Outcome.UNKNOWN, "silent")},
    monitor_epoch=7,
)
CONFIRMED = replace(ARMED, phase=GatewayPhase.IDLE, revision=2, configuration=AFTER, pending=None, rollback_at=None)


def test_the_version_written_last_is_taken_as_it_is(tmp_path: Path) -> None:
    for memory in (ARMED, CONFIRMED, CONFIRMED):
        MemoryStore(tmp_path).write(memory)

    assert MemoryStore(tmp_path).read() == CONFIRMED


def test_nothing_that_an_older_copy_has_under_way_goes_on_and_its_revision_stays(tmp_path: Path) -> None:
    store = MemoryStore(tmp_path)
    store.write(ARMED)
    copy = (tmp_path / FILE_NAME).read_bytes()
    store.write(CONFIRMED)
    (tmp_path / FILE_NAME).write_bytes(copy)

    read = MemoryStore(tmp_path).read()

    assert (read.phase, read.pending, read.rollback_at) == (GatewayPhase.IDLE, None, None)
    assert (read.revision, read.configuration, read.epoch) == (1, BEFORE, 4)
    assert (read.known, read.exceptions) == (Configuration(), {})
    assert read.monitor_epoch % 256 != ARMED.monitor_epoch


def test_a_copy_that_was_taken_over_becomes_the_version_written_last_and_is_told_again_when_put_back(
    tmp_path: Path,
) -> None:
    MemoryStore(tmp_path).write(CONFIRMED)
    (tmp_path / FILE_NAME).write_bytes(to_bytes(ARMED))
    store = MemoryStore(tmp_path)
    taken = store.read()
    store.write(taken)

    assert MemoryStore(tmp_path).read() == taken
    (tmp_path / FILE_NAME).write_bytes(to_bytes(ARMED))
    assert MemoryStore(tmp_path).read().phase is GatewayPhase.IDLE


def test_a_gateway_killed_at_any_step_of_a_write_goes_on_with_a_whole_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for last_step in range(5):
        folder = tmp_path / str(last_step)
        store = MemoryStore(folder)
        store.write(ARMED)
        steps = itertools.count()

        def end_after(replace_to: Path, target: Path, last: int = last_step, steps: Iterator[int] = steps) -> Path:
            if next(steps) >= last:
                raise OSError(0, "killed")
            replace_to.rename(target)
            return target

        with monkeypatch.context() as patched, suppress(Unavailable):
            patched.setattr(Path, "replace", end_after)
            store.write(CONFIRMED)

        assert MemoryStore(folder).read() == (ARMED if last_step < 2 else CONFIRMED)


def test_a_note_that_a_power_cut_spoiled_is_no_reason_to_doubt_the_memory(tmp_path: Path) -> None:
    MemoryStore(tmp_path).write(ARMED)
    for spoiled in (b"", b"\0" * 130, b"\xff\n"):
        (tmp_path / LATEST_NAME).write_bytes(spoiled)

        assert MemoryStore(tmp_path).read() == ARMED


def test_a_folder_of_an_earlier_version_has_no_note_and_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(to_bytes(ARMED))

    assert MemoryStore(tmp_path).read() == ARMED
    assert not (tmp_path / LATEST_NAME).exists()


def test_a_memory_that_was_removed_begins_anew(tmp_path: Path) -> None:
    MemoryStore(tmp_path).write(ARMED)
    (tmp_path / FILE_NAME).unlink()

    assert MemoryStore(tmp_path).read() == Memory()
