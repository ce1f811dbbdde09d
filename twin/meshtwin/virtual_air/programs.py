"""What the virtual air needs on the machine: the daemon of one version, a bus, a compiled shim."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from meshtwin.errors import Unavailable

__all__ = ["BLUEZ_VERSION", "Programs", "find_programs", "why_not_here"]

DAEMON: Final = Path("/usr/libexec/bluetooth/bluetooth-meshd")
BLUEZ_VERSION: Final = "5.66-1+deb12u2"  # the shim depends on this version's insides
SHIM_SOURCE: Final = Path(__file__).with_name("shim.c")
COMPILER_FLAGS: Final = ("-O2", "-shared", "-fPIC", "-Wall")
COMPILE_LIMIT_S: Final = 60.0
INSTALL: Final = "apt-get install bluez-meshd dbus gcc libc6-dev (Debian 12)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Paths of what is started; ``set_privileges`` (util-linux) ties a child's life to its parent's."""

    daemon: Path
    bus: Path
    set_privileges: Path
    shim: Path


def find_programs(cache: Path | None = None, daemon: Path | None = None) -> Programs:
    """All programs, the shim compiled if it was not yet.

    ``cache`` None: the user's cache folder; ``daemon`` None: where Debian's package puts it.

    Raises `Unavailable` with the reason ``NotInstalled``, ``WrongVersion`` or ``NotCompiled`` and what to do.
    """
    daemon = DAEMON if daemon is None else daemon
    if not daemon.is_file():
        raise Unavailable(f"bluetooth-meshd is not installed: {INSTALL}", reason="NotInstalled", place=str(daemon))
    _check_version(daemon)
    return Programs(
        daemon=daemon,
        bus=_find("dbus-daemon"),
        set_privileges=_find("setpriv"),
        shim=_compile(cache or _default_cache()),
    )


def why_not_here() -> str | None:
    """Why the virtual air cannot run on this machine; None: it can."""
    try:
        find_programs()
    except Unavailable as error:
        return str(error)
    return None


def _find(name: str) -> Path:
    path = shutil.which(name)
    if path is None:
        raise Unavailable(f"{name} is not installed: {INSTALL}", reason="NotInstalled", place=name)
    return Path(path)


def _check_version(daemon: Path) -> None:
    """The daemon itself does not tell its version; the package manager does."""
    query = ["dpkg-query", "--show", "--showformat=${Version}", "bluez-meshd"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False).stdout  # noqa: S603  # constant
    except OSError as error:
        message = f"version of bluetooth-meshd not known ({error}); {BLUEZ_VERSION} of Debian 12 is needed"
        raise Unavailable(message, reason="WrongVersion", place=str(daemon)) from error
    if found.strip() != BLUEZ_VERSION:
        message = (
            f"bluez-meshd {found.strip() or 'of unknown version'} instead of {BLUEZ_VERSION}: the shim fits no other"
        )
        raise Unavailable(message, reason="WrongVersion", place=str(daemon))


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "meshtwin"


def _compile(cache: Path) -> Path:
    """The shim as a library, under a name of its source: compiled once, whoever comes first."""
    source = SHIM_SOURCE.read_bytes()
    target = cache / f"bluez-shim-{hashlib.sha256(source).hexdigest()[:16]}.so"
    if target.is_file():
        return target
    compiler = _find("gcc")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / target.name
            command = [str(compiler), *COMPILER_FLAGS, "-o", str(made), str(SHIM_SOURCE), "-ldl"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT_S, check=False)  # noqa: S603  # constant
            if done.returncode != 0:
                raise Unavailable(f"shim does not compile: {done.stderr[:500]}; {INSTALL}", reason="NotCompiled")
            made.replace(target)
    except OSError as error:
        message = f"cache folder not usable: {error}; set XDG_CACHE_HOME"
        raise Unavailable(message, reason="NotCompiled", place=str(cache)) from error
    return target
