"""Files are read no further than a limit, and written whole or not at all."""

import errno
import os
from pathlib import Path

import pytest

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.sim.files import check_target, make_write_error, read_bounded, write_whole


def fail(path: Path) -> None:
    path.write_text("half")
    raise OSError(28, "No space left on device")


def test_device_without_end_is_read_up_to_the_limit():
    with pytest.raises(InvalidInput, match="more bytes than 1000") as caught:
        read_bounded(Path("/dev/zero"), 1000)
    assert caught.value.reason == "FileTooLarge"


def test_large_file_is_refused_with_its_size(tmp_path):
    (tmp_path / "f").write_bytes(b"x" * 1001)
    with pytest.raises(InvalidInput, match="1001 bytes are more than 1000"):
        read_bounded(tmp_path / "f", 1000)


@pytest.mark.parametrize("name", ["missing", ".", "a\0b"])
def test_what_is_no_file_can_not_be_read(tmp_path, name):
    with pytest.raises(InvalidInput, match="can't be read"):
        read_bounded(tmp_path / name, 1000)


def test_failed_writing_leaves_what_was_there_and_nothing_else(tmp_path):
    target = tmp_path / "r.json"
    target.write_text("before")
    with pytest.raises(Unavailable, match="can't be written: No space left"):
        write_whole(target, fail)
    assert target.read_text() == "before"
    assert os.listdir(tmp_path) == ["r.json"]


def test_link_is_followed(tmp_path):
    target, link = tmp_path / "r.json", tmp_path / "link.json"
    link.symlink_to(target)
    write_whole(link, lambda draft: draft.write_text("new"))
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize(
    ("name", "said"),
    [("r.txt", "ends in none of .json"), ("none/r.json", "there is no folder"), ("dir.json", "it is a folder")],
)
def test_target_that_can_not_be_written_is_refused_beforehand(tmp_path, name, said):
    (tmp_path / "dir.json").mkdir()
    with pytest.raises(InvalidInput, match=said):
        check_target(tmp_path / name, (".json",))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.EDQUOT, "Disk quota exceeded"), Unavailable),
        (OSError(errno.EIO, "Input/output error"), Unavailable),
        (OSError('IO Error: Could not write all bytes to file "t.parquet": No space left on device'), Unavailable),
        (PermissionError(errno.EACCES, "Permission denied"), InvalidInput),
    ],
)
def test_disk_that_is_full_or_broken_is_no_fault_of_what_was_given(error, kind):
    assert type(make_write_error(error, Path("t.json"))) is kind
