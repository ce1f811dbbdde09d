"""Writes ``contract/schemas`` from the wire models, or with ``--check`` says whether it is up to date."""

import sys
from collections.abc import Sequence
from pathlib import Path

from meshtwin.contract.asyncapi import schema_files
from meshtwin.contract.generated import run

__all__ = ["FOLDER", "main"]

FOLDER = Path(__file__).parent / "schemas"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 1 if ``--check`` finds a difference."""
    return run("meshtwin.contract.generate", FOLDER, schema_files(), arguments)


if __name__ == "__main__":
    sys.exit(main())
