"""The control group that all pods run in: made before the kubelet, and the handle by which pods are ended."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

__all__ = ["CGROUP", "end_members", "make_cgroups", "remove_cgroups"]

CGROUP: Final = "meshtwin-cluster"
ROOT: Final = Path("/sys/fs/cgroup")
END_WITHIN_S = 10.0


def make_cgroups() -> None:
    """`CGROUP` in every hierarchy of version 1, or in the one of version 2 with its controllers on."""
    if _is_version_2():
        for controller in (ROOT / "cgroup.controllers").read_text().split():
            (ROOT / "cgroup.subtree_control").write_text(f"+{controller}")
    for hierarchy in _hierarchies():
        folder = hierarchy / CGROUP
        folder.mkdir(exist_ok=True)
        for setting in ("cpuset.cpus", "cpuset.mems"):  # empty at birth in version 1, and then of no use
            if not _is_version_2() and (folder / setting).exists():
                (folder / setting).write_text((hierarchy / setting).read_text())


def end_members() -> None:
    """Kill every process in `CGROUP`: the containers, whoever their parent is by now."""
    deadline_s = time.monotonic() + END_WITHIN_S
    while members := set(_iter_members()):
        if time.monotonic() > deadline_s:
            raise ClusterError(f"processes {sorted(members)} in control group {CGROUP} do not end")
        for pid in members:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.05)


def remove_cgroups() -> None:
    for hierarchy in _hierarchies():
        for folder, _, _ in os.walk(hierarchy / CGROUP, topdown=False):
            Path(folder).rmdir()


def _iter_members() -> Iterator[int]:
    for hierarchy in _hierarchies():
        for folder, _, files in os.walk(hierarchy / CGROUP):
            if "cgroup.procs" in files:
                yield from map(int, (Path(folder) / "cgroup.procs").read_text().split())


def _hierarchies() -> list[Path]:
    if _is_version_2():
        return [ROOT]
    return [path for path in ROOT.iterdir() if path.is_dir() and (path / "cgroup.procs").exists()]


def _is_version_2() -> bool:
    return (ROOT / "cgroup.controllers").exists()
