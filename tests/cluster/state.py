"""The state folder: where one cluster keeps its files, and the record by which it is taken down."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError

__all__ = ["CACHE", "DEFAULT_STATE", "REPOSITORY", "Record", "State", "locked"]

REPOSITORY: Final = Path(__file__).resolve().parents[2]
DEFAULT_STATE: Final = REPOSITORY / ".cluster"
CACHE: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "meshtwin" / "cluster"


@dataclass(slots=True)
class Record:
    """What `down` has to know. Written before the thing it speaks of is made."""

    driver: str  # "existing", "kind", "node" or "control-plane"
    kubeconfig: str
    is_ready: bool = False  # False: `up` has not ended, or ended badly
    sysctls: dict[str, str] = field(default_factory=dict)  # name -> value before `up`
    chains: list[str] = field(default_factory=list)  # "iptables nat KUBE-X": there before `up`, so not ours


@dataclass(frozen=True, slots=True)
class State:
    """The folder of one cluster, and a short one in ``/run`` for sockets and process ids.

    The second exists because a socket's path has at most 107 characters, and because the record must
    outlive a ``git clean`` of the first.
    """

    folder: Path

    @classmethod
    def at(cls, folder: Path) -> "State":
        return cls(folder.resolve())

    @property
    def run_folder(self) -> Path:
        if os.geteuid() != 0:
            return self.folder / "run"
        return Path("/run/meshtwin-cluster") / hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]

    @property
    def _mark(self) -> Path:
        return self.folder / ".meshtwin-cluster"

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "kubeconfig"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def processes(self) -> Path:
        return self.run_folder / "processes"

    @property
    def volumes(self) -> Path:
        return self.folder / "volumes"

    @property
    def containerd_socket(self) -> Path:
        return self.run_folder / "containerd.sock"

    @property
    def lock(self) -> Path:
        return CACHE / "locks" / hashlib.sha256(str(self.folder).encode()).hexdigest()[:8]

    def make(self) -> None:
        """The folders. Raises `ClusterError` rather than mix with files that are not ours."""
        is_foreign = self.folder.exists() and any(self.folder.iterdir()) and not self._mark.exists()
        if is_foreign:
            raise ClusterError(f"{self.folder} has other files in it; give an empty or a new folder")
        for folder in (self.folder, self.run_folder, self.logs, self.processes):
            folder.mkdir(parents=True, exist_ok=True)
        self._mark.touch()

    def remove(self) -> None:
        """Both folders with all they hold, if they are ours."""
        if self.folder.exists() and (self._mark.exists() or self.read_record() is not None):
            shutil.rmtree(self.folder)
        if self.run_folder.exists():
            shutil.rmtree(self.run_folder)

    def read_record(self) -> Record | None:
        """The record, or None where nothing was brought up (or all was taken down)."""
        try:
            return Record(**json.loads((self.run_folder / "record.json").read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ClusterError(f"{self.run_folder / 'record.json'} is not a record of ours: {error}") from error

    def write_record(self, record: Record) -> None:
        whole = self.run_folder / "record.json.new"
        whole.write_text(json.dumps(asdict(record), indent=2))
        whole.replace(self.run_folder / "record.json")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold ``path`` for this process; a second one waits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
