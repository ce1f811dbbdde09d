"""Foreign programs: run one, get its output, or an error that shows what it said."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.cluster.errors import ClusterError

__all__ = ["answers", "run", "say"]

SHOWN_LINES = 20  # of a failed program's output: enough for the cause, short enough to read


def run(
    command: Sequence[str | Path],
    *,
    environment: Mapping[str, str] | None = None,  # None: ours
    folder: Path | None = None,  # None: where we are
    text_in: str = "",
    show: bool = False,
) -> str:
    """Standard output of ``command``; with ``show`` it goes to the terminal instead.

    Raises `ClusterError` with the last lines of its output if it cannot start or exits with an error.
    """
    words = [str(word) for word in command]
    try:
        done = subprocess.run(
            words,
            check=False,
            env=environment,
            cwd=folder,
            input=text_in,
            text=True,
            stdout=None if show else subprocess.PIPE,
            stderr=None if show else subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise ClusterError(f"{words[0]} is not installed") from error
    if done.returncode != 0:
        said = "\n".join(f"{done.stdout or ''}{done.stderr or ''}".strip().splitlines()[-SHOWN_LINES:])
        raise ClusterError(f"{' '.join(words[:6])} … ended with {done.returncode}\n{said}")
    return done.stdout or ""


def answers(command: Sequence[str | Path], *, within_s: float = 20.0) -> bool:
    """Whether ``command`` exists and ends well in that time."""
    try:
        done = subprocess.run([str(word) for word in command], check=False, capture_output=True, timeout=within_s)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def say(line: str) -> None:
    """Tell the person at the terminal what happens now."""
    print(line, flush=True)
