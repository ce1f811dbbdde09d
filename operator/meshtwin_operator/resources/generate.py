"""Writes ``crds/`` from the models, or with ``--check`` says whether it is up to date (``make crds``)."""

import sys
from collections.abc import Sequence
from pathlib import Path

from meshtwin.contract.generated import run
from meshtwin_operator.resources.crd import crd_files

__all__ = ["main"]

FOLDER = Path("crds")  # from the root of a checkout


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if ``--check`` finds a difference."""
    return run("meshtwin_operator.resources.generate", FOLDER, crd_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
