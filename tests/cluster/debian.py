"""Programs that Debian packages bring: find them, install the missing ones, or say their package's name."""

import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.cluster.commands import run, say
from tests.cluster.errors import ClusterError
from tests.cluster.state import CACHE, locked

__all__ = ["CNI_FOLDER", "PACKAGES", "find_or_install", "missing_packages"]

CNI_FOLDER: Final = Path("/usr/lib/cni")

PACKAGES: Final[Mapping[str, str]] = {
    "etcd": "etcd-server",
    "openssl": "openssl",
    "containerd": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    f"{CNI_FOLDER}/bridge": "containernetworking-plugins",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "mmdebstrap": "mmdebstrap",
    "buildah": "buildah",
}
SERVICE_POLICY: Final = Path("/usr/sbin/policy-rc.d")  # exit code 101: packages start no service


def find_or_install(programs: Collection[str]) -> None:
    """Have all ``programs`` (keys of `PACKAGES`): as root with apt-get, else by asking for them.

    Raises `ClusterError` that names the packages.
    """
    if not missing_packages(programs):
        return
    with locked(CACHE / "packages.lock"):
        _install(programs)


def missing_packages(programs: Collection[str]) -> list[str]:
    """The packages of those programs that are not here, each once, sorted."""
    return sorted({PACKAGES[program] for program in programs if shutil.which(program) is None})


def _install(programs: Collection[str]) -> None:
    packages = missing_packages(programs)  # again: who held the lock may have installed them
    if not packages:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ClusterError(f"missing programs; install the Debian packages {' '.join(packages)}")
    say(f"Installing the Debian packages {' '.join(packages)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _no_services_started():
        run(["apt-get", "update", "-q"], environment=environment)
        run(["apt-get", "install", "-y", "-q", "--no-install-recommends", *packages], environment=environment)
    if still := missing_packages(programs):
        raise ClusterError(f"installed, but programs of {' '.join(still)} are not on the PATH")


@contextmanager
def _no_services_started() -> Iterator[None]:
    """etcd and containerd are packaged as services of the machine; we want the programs only."""
    if SERVICE_POLICY.exists():
        yield
        return
    SERVICE_POLICY.write_text("#!/bin/sh\nexit 101\n")
    SERVICE_POLICY.chmod(0o755)
    try:
        yield
    finally:
        SERVICE_POLICY.unlink(missing_ok=True)
