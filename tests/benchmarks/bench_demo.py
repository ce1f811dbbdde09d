"""``make demo APPROVE=auto`` from a fresh clone: virtual environment, packages, and the whole story.

What is committed is measured. Package caches are as the machine has them: run it twice for warm ones.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.figures import Figure

LIMIT_S = 240.0
GIVE_UP_S = 900.0
COMMAND = "python -m tests.benchmarks demo"
INHERITED = ("VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "PYTHONPATH")  # of the make that runs this


def run() -> list[Figure]:
    """One figure; it is kept only if the demo ended with a confirmed configuration."""
    source = Path(__file__).parents[2]
    environment = {key: value for key, value in os.environ.items() if key not in INHERITED}
    python = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    with tempfile.TemporaryDirectory() as text:
        clone = Path(text) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(source), str(clone)], check=True)
        started_s = time.monotonic()
        code = _make(clone, environment, python, Path(text) / "log")
        taken_s = time.monotonic() - started_s
        if code != 0:
            print((Path(text) / "log").read_text(errors="replace")[-3000:], file=sys.stderr)
    is_kept = code == 0 and taken_s <= LIMIT_S
    return [Figure("make demo APPROVE=auto, from a clone", round(taken_s, 1), "s", LIMIT_S, is_kept, COMMAND)]


def _make(clone: Path, environment: dict[str, str], python: Path, log: Path) -> int:
    command = ["make", "demo", "APPROVE=auto", f"PYTHON={python}"]
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=clone, env=environment, stdout=out, stderr=subprocess.STDOUT)
        try:
            return process.wait(GIVE_UP_S)
        except BaseException:
            process.terminate()  # the demo ends its own processes
            process.wait(30)
            raise
