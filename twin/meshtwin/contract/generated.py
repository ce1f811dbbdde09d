"""Folders of generated files: writing them, and saying whether they are what the code says."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["differing_files", "run", "write_files"]


def differing_files(folder: Path, wanted: Mapping[str, str]) -> list[str]:
    """Names that are missing in ``folder``, differ, or have a suffix of ours and should not be there."""
    suffixes = {Path(name).suffix for name in wanted}
    paths = folder.iterdir() if folder.is_dir() else ()
    present = {path.name: path.read_text(encoding="utf-8") for path in paths if path.suffix in suffixes}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write_files(folder: Path, wanted: Mapping[str, str]) -> None:
    """Make ``folder`` hold exactly these files, among those with their suffixes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in differing_files(folder, wanted):
        if name in wanted:
            (folder / name).write_text(wanted[name], encoding="utf-8")
        else:
            (folder / name).unlink()


def run(module: str, folder: Path, wanted: Mapping[str, str], arguments: Sequence[str] | None) -> int:
    """The command line of a generator; the exit code is 1 if ``--check`` finds a difference."""
    command = f"python -m {module}"
    parser = argparse.ArgumentParser(prog=command)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if files differ")
    parser.add_argument("--folder", type=Path, default=folder, help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write_files(chosen.folder, wanted)
        return 0
    differing = differing_files(chosen.folder, wanted)
    for name in differing:
        sys.stderr.write(f"{chosen.folder / name} is not what the code says; run `{command}`\n")
    return 1 if differing else 0
