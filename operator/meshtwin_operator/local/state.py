"""The state folder of local mode: store, secrets, ports, logs and data of the children, its lock.

Everything is below one folder (``.meshtwin`` beside the manifests, mode 0700); secrets have mode 0600.
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from meshtwin.errors import Unavailable

__all__ = ["STATE_NAME", "Lock", "StateFolder", "default_state", "find_state"]

STATE_NAME: Final = ".meshtwin"
SECRET_BYTES: Final = 32  # 256 bits; also what HS256 asks for (RFC 7518, 3.2)


def find_state(start: Path) -> Path | None:
    """``start`` or ``.meshtwin`` in it, whichever holds a store; None if neither does."""
    for candidate in (start, start / STATE_NAME):
        try:
            if (candidate / "store.sqlite").is_file():
                return candidate
        except OSError as error:
            raise Unavailable(f"{candidate} cannot be read: {error.strerror}") from error
    return None


def default_state(start: Path) -> Path | None:
    """The state folder that MESHTWIN_STATE names, else the one found at ``start``; None if there is none."""
    named = os.environ.get("MESHTWIN_STATE")
    return Path(named) if named else find_state(start)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """Paths below the state folder. `prepare` makes it; reading needs no preparation."""

    root: Path

    def prepare(self) -> None:
        """Make the folders; raises `Unavailable` when the place cannot be written or is somebody else's."""
        try:
            if self.root.exists() and self.root.stat().st_uid != os.getuid():
                # Also as root: who owns the folder could put secrets of his own there, and read ours.
                raise Unavailable(f"state folder {self.root} belongs to another user: choose another --state")
            for folder in (self.root, self.secrets, self.logs, self.children):
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(0o700)
        except OSError as error:
            raise Unavailable(f"state folder {self.root} cannot be made: {error}") from error

    @property
    def store(self) -> Path:
        return self.root / "store.sqlite"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def children(self) -> Path:
        return self.root / "children"

    def child(self, namespace: str, name: str) -> Path:
        """Folder of one child; made on the first call."""
        folder = self.children / f"{namespace}.{name}"
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def secret(self, name: str) -> Path:
        """File with a secret of that name; generated on the first call (URL-safe, 256 bits)."""
        path = self.secrets / name
        if not path.exists():
            fresh = path.with_name(f"{name}.{os.getpid()}.new")
            write_private(fresh, secrets.token_urlsafe(SECRET_BYTES).encode())
            with contextlib.suppress(FileExistsError):  # another process was first: its value holds
                path.hardlink_to(fresh)
            fresh.unlink()
        return path

    def rotate_secret(self, name: str) -> Path:
        """The same with a new value."""
        write_private(self.secrets / name, secrets.token_urlsafe(SECRET_BYTES).encode())
        return self.secrets / name

    def port(self, name: str) -> int:
        """A TCP port on loopback for ``name``: free when first chosen, the same ever after."""
        with self._ports() as ports:
            if name not in ports:
                ports[name] = _free_port(set(ports.values()))
            return ports[name]

    @contextmanager
    def _ports(self) -> Iterator[dict[str, int]]:
        """The ports to read and change; one process at a time, and written when they changed."""
        path = self.root / "ports.json"
        with (self.root / "ports.lock").open("a") as guard:
            fcntl.flock(guard, fcntl.LOCK_EX)
            ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
            yield ports
            write_private(path, json.dumps(ports, indent=1, sort_keys=True).encode())


class Lock:
    """One operator per state folder: held until the process ends, however it ends."""

    def __init__(self, state: StateFolder) -> None:
        self._path = state.root / "lock"
        self._file: IO[str] | None = None

    def acquire(self) -> None:
        """Take it; raises `Unavailable` (reason ``AlreadyRunning``) with the holder's process id."""
        file = self._path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise Unavailable(f"lock {self._path} cannot be taken: {error}") from error
            message = f"{self._path.parent} is in use by process {holder}: stop it, or choose another --state"
            raise Unavailable(message, reason="AlreadyRunning") from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        self._file = file

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def write_private(path: Path, content: bytes) -> bool:
    """Write a file of mode 0600 in one step (a reader sees the old or the new); False if it is so already."""
    if path.exists() and path.read_bytes() == content:
        return False
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in taken:
            return port
