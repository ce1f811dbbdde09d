"""``python -m tests.benchmarks [NAME ...]``: measure, print a table, write ``bench.json``.

NAME is that of a module ``bench_NAME.py`` beside this one; without names all are run, in order of name.
Exit code 1 if a bound is not kept.
"""

import importlib
import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from tests.benchmarks.figures import Figure, to_json


def main() -> int:
    """Run what is asked for."""
    folder = Path(__file__).parent
    known = sorted(path.stem.removeprefix("bench_") for path in folder.glob("bench_*.py"))
    names = sys.argv[1:] or known
    if unknown := sorted(set(names) - set(known)):
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in names:
        figures += importlib.import_module(f"tests.benchmarks.bench_{name}").run()
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
