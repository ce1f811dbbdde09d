"""A cluster in Docker containers, by kind, where a Docker engine answers."""

import os
import shutil
import time
from pathlib import Path
from typing import Final

from tests.cluster.commands import answers, run, say
from tests.cluster.errors import ClusterError
from tests.cluster.state import CACHE, Record, State, locked

__all__ = ["bring_down", "bring_up", "is_docker_answering", "load_image"]

NAME: Final = "meshtwin"
KIND_VERSION: Final = "v0.30.0"
DNS_WITHIN: Final = "120s"


def is_docker_answering() -> bool:
    return answers(["docker", "info"])


def bring_up(state: State) -> None:
    state.make()
    record = Record(driver="kind", kubeconfig=str(state.kubeconfig))
    state.write_record(record)
    kind = _find_kind()
    run(
        [
            *(kind, "create", "cluster", "--name", NAME, "--wait", DNS_WITHIN),
            *("--kubeconfig", state.kubeconfig),
        ],
        show=True,
    )
    record.is_ready = True
    state.write_record(record)


def bring_down(state: State) -> None:
    run([_find_kind(), "delete", "cluster", "--name", NAME, "--kubeconfig", state.kubeconfig], show=True)
    state.remove()


def load_image(archive: Path) -> None:
    run([_find_kind(), "load", "image-archive", archive, "--name", NAME], show=True)


def _find_kind() -> Path:
    """The machine's kind, else one built from its Go module into the cache."""
    found = shutil.which("kind")
    if found:
        return Path(found)
    if shutil.which("go") is None:
        raise ClusterError("Docker answers, but neither kind nor Go is on the PATH")
    folder = CACHE / f"kind-{KIND_VERSION}"
    with locked(CACHE / "lock"):
        if not (folder / "kind").exists():
            say(f"Building kind {KIND_VERSION} from its Go module, once")
            begin_s = time.monotonic()
            run(
                ["go", "install", f"sigs.k8s.io/kind@{KIND_VERSION}"],
                environment={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOBIN": str(folder)},
            )
            say(f"Built in {time.monotonic() - begin_s:.0f} s")
    return folder / "kind"
