"""What containers leave on a machine when nobody stopped them properly: shims, mounts, stray files."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.cluster.commands import run
from tests.cluster.daemons import read_start
from tests.cluster.errors import ClusterError
from tests.cluster.network import NETWORK
from tests.cluster.state import State

__all__ = ["end_shims", "mounts_below", "remove_strays", "unmount_below"]

SHIM: Final = "containerd-shim"
SHIM_SOCKETS: Final = Path("/run/containerd/s")  # not configurable in containerd 1.6
NETWORK_RESULTS: Final = Path("/var/lib/cni/results")  # nor is this
CONTAINER_LOGS: Final = Path("/var/log/containers")  # nor this and the next, in the kubelet
DEVICE_PLUGINS: Final = Path("/var/lib/kubelet/device-plugins")
END_WITHIN_S = 5.0


def end_shims(containerd_socket: Path) -> None:
    """End the shim processes of the containerd that listened on that socket, and wait for it."""
    deadline_s = time.monotonic() + END_WITHIN_S
    while shims := list(_iter_shims(str(containerd_socket))):
        if time.monotonic() > deadline_s:
            raise ClusterError(f"shims {shims} do not end")
        for pid in shims:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def unmount_below(folder: Path) -> None:
    """Unmount everything in ``folder``, innermost first."""
    for point in mounts_below(folder, Path("/proc/self/mountinfo").read_text()):
        run(["umount", "--lazy", point])


def mounts_below(folder: Path, mountinfo: str) -> list[Path]:
    """Mount points in ``folder`` in the text of proc(5)'s mountinfo, last mounted first.

    >>> mounts_below(Path("/a"), "1 0 8:1 / /a/b rw\\n2 1 8:1 / /a/b/c\\\\040d rw\\n3 0 8:1 / /ab rw\\n")
    [PosixPath('/a/b/c d'), PosixPath('/a/b')]
    """
    points = [Path(_unescape(line.split(" ")[4])) for line in mountinfo.splitlines()]
    return [point for point in reversed(points) if point != folder and point.is_relative_to(folder)]


def remove_strays(state: State) -> None:
    """Files outside our folders: results of CNI plugins, links to logs, sockets nobody listens on."""
    for result in NETWORK_RESULTS.glob(f"{NETWORK}-*-eth0"):
        sandbox = result.name.removeprefix(f"{NETWORK}-").removesuffix("-eth0")
        _unlink(NETWORK_RESULTS.glob(f"*-{sandbox}-*"))  # the loopback interface's, too
    _unlink(path for path in CONTAINER_LOGS.glob("*.log") if _leads_into(path, state.folder))
    sockets = [*SHIM_SOCKETS.glob("*"), *DEVICE_PLUGINS.glob("kubelet.sock")]
    _unlink(path for path in sockets if not _is_listening(path))
    for folder in (NETWORK_RESULTS, CONTAINER_LOGS, SHIM_SOCKETS, DEVICE_PLUGINS):
        _remove_if_empty(folder)
        if folder is not CONTAINER_LOGS:
            _remove_if_empty(folder.parent)


def _iter_shims(containerd_socket: str) -> Iterator[int]:
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_text(errors="replace").split("\0")
        except OSError:  # it has ended meanwhile
            continue
        is_ours = SHIM in words[0] and containerd_socket in words
        if is_ours and read_start(int(entry.name)) is not None:
            yield int(entry.name)


def _is_listening(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _leads_into(link: Path, folder: Path) -> bool:
    return link.is_symlink() and link.readlink().is_relative_to(folder)


def _unlink(paths: Iterable[Path]) -> None:
    for path in list(paths):
        path.unlink(missing_ok=True)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not empty, or not there
        folder.rmdir()


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
