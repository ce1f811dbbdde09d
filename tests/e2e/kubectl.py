"""kubectl as a user runs it, and waiting for conditions."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["MANIFESTS", "NAMESPACE", "Refused", "get", "items", "kubectl", "until"]

MANIFESTS = Path(__file__).parents[2] / "manifests"
NAMESPACE = "buildings"
T = TypeVar("T")


class Refused(Exception):
    """kubectl failed; the text is what it printed."""


def kubectl(*arguments: str, stdin: str | None = None, user: str | None = None, group: str | None = None) -> str:
    """Standard output; raises `Refused` with the error. ``user`` and ``group`` are impersonated."""
    command = ["kubectl", *arguments]
    if user is not None:
        command += ["--as", user]
    if group is not None:
        command += ["--as-group", group, "--as-group", "system:authenticated"]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise Refused(done.stderr or done.stdout)
    return done.stdout


def get(kind: str, name: str) -> dict[str, Any]:
    """One object of the sample's namespace; empty if absent."""
    text = kubectl("get", kind, name, "-n", NAMESPACE, "-o", "json", "--ignore-not-found")
    return json.loads(text) if text else {}


def items(kind: str) -> list[dict[str, Any]]:
    """All objects of a kind in the sample's namespace."""
    return list(json.loads(kubectl("get", kind, "-n", NAMESPACE, "-o", "json"))["items"])


def until(what: str, look: Callable[[], T | None], within_s: float = 240) -> T:
    """Wait for a condition; the error says what was waited for and what was there."""
    deadline = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s} s: {what}\n{kubectl('get', 'meshtwin', '-n', NAMESPACE)}")
        time.sleep(0.5)
