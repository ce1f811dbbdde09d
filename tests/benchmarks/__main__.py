"""``python -m tests.benchmarks [--full] [NAME ...]``: measure, print a table, write ``bench.json``.

Standard error tells how far a long one is, and how long each took.

NAME is that of a module ``bench_NAME.py`` beside this one; without names all are run, in order of name.
``--full``: more networks where a benchmark has them, for longer than 20 minutes on two cores.
Exit code 1 if a bound is not kept.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.benchmarks.figures import FULL, Figure, to_json
from tests.benchmarks.following import tell_time


def main() -> int:
    """Run what is asked for."""
    folder = Path(__file__).parent
    known = sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
    said = sys.argv[1:]
    if "--full" in said:
        os.environ[FULL] = "1"
    names = [name for name in said if name != "--full"] or known
    if unknown := sorted(set(names) - set(known)):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names:
        began_s = time.monotonic()
        figures += importlib.import_module(f"tests.benchmarks.bench_{name}").run()
        tell_time(name, began_s)
    Path("bench.json").write_text(json.dumps(to_json(figures), indent=2) + "\n")
    Console(width=140).print(_to_table(figures))
    return 0 if all(figure.ok for figure in figures) else 1


def _to_table(figures: list[Figure]) -> Table:
    table = Table("figure", "value", "unit", "bound", "kept")
    for figure in figures:
        bound = "" if figure.bound is None else f"{figure.bound:g}"
        table.add_row(figure.name, f"{figure.value:g}", figure.unit, bound, "yes" if figure.ok else "NO")
    return table


if __name__ == "__main__":
    sys.exit(main())
