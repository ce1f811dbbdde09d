"""Writes ``crds/`` from the models, or with ``--check`` says whether it is up to date (``make crds``)."""

import argparse
import sys
from pathlib import Path

from meshtwin_operator.resources.crd import crd_files

__all__ = ["differing_files", "main", "write_files"]

FOLDER = Path("crds")  # from the root of a checkout


def differing_files(folder: Path) -> list[str]:
    """Names of files that are missing in ``folder``, differ, or should not be there, ascending."""
    wanted = crd_files()
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.yaml")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write_files(folder: Path) -> None:
    """Make ``folder`` hold exactly the generated files."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = crd_files()
    for path in folder.glob("*.yaml"):
        if path.name not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 if ``--check`` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m meshtwin_operator.resources.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if files differ")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default: %(default)s")
    chosen = parser.parse_args(arguments)
    if not chosen.check:
        write_files(chosen.folder)
        return 0
    differing = differing_files(chosen.folder)
    for name in differing:
        sys.stderr.write(f"{chosen.folder / name} is not what the models say; run `make crds`\n")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
