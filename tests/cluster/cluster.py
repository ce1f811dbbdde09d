"""Which cluster it will be, and the commands on it: up, down, load an image."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.cluster import kind, own_node
from tests.cluster.commands import answers, say
from tests.cluster.control_plane import start_alone, stop_alone
from tests.cluster.errors import ClusterError
from tests.cluster.network import read_bridge_owner
from tests.cluster.node import import_image
from tests.cluster.programs import find_kubectl
from tests.cluster.state import Record, State, locked

__all__ = ["VOLUMES", "Wish", "bring_down", "bring_up", "load_image"]

VOLUMES: Final = 24
DESCRIPTIONS: Final[Mapping[str, str]] = {
    "existing": "the cluster that --kubeconfig names",
    "kind": "kind, in the Docker engine of this machine",
    "node": "this machine as a node of its own",
    "control-plane": "etcd and an API server only",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the caller of `up` asks for."""

    kubeconfig: Path | None = None  # None: no existing cluster is named
    driver: str | None = None  # None: kind where Docker answers, else a node of our own
    volumes: int = VOLUMES
    replace: bool = False  # take down another cluster of ours on this machine first


def bring_up(state: State, wish: Wish) -> Path:
    """Bring a cluster up unless ``state`` has one that runs; the path of its kubeconfig.

    What an earlier `up` left half-made is taken down first.
    """
    with locked(state.lock):
        record = state.read_record()
        if record is not None:
            if record.is_ready and _is_answering(Path(record.kubeconfig)):
                say(f"Already runs: {DESCRIPTIONS[record.driver]}")
                return Path(record.kubeconfig)
            say("Clearing what an earlier cluster left here")
            _take_down(state, record)
        driver = _choose(wish)
        say(f"Taking {DESCRIPTIONS[driver]}")
        begin_s = time.monotonic()
        _bring_up(driver, state, wish)
        say(f"Up after {time.monotonic() - begin_s:.0f} s")
        return wish.kubeconfig.resolve() if wish.kubeconfig else state.kubeconfig


def bring_down(state: State) -> None:
    """Take down whatever ``state`` has, if anything."""
    with locked(state.lock):
        record = state.read_record()
        if record is None:
            say("Nothing to take down")
            return
        _take_down(state, record)
        say(f"Took down {DESCRIPTIONS[record.driver]}")


def load_image(state: State, archive: Path) -> None:
    """Put the images of ``archive`` (OCI or Docker format) where pods find them."""
    record = state.read_record()
    if record is None:
        raise ClusterError(f"no cluster runs in {state.folder}")
    if not archive.is_file():
        raise ClusterError(f"{archive} is not a file")
    if record.driver == "node":
        import_image(state, archive)
    elif record.driver == "kind":
        kind.load_image(archive)
    else:
        raise ClusterError(f"no image can be loaded into {DESCRIPTIONS[record.driver]}; use its registry")


def _choose(wish: Wish) -> str:
    if wish.driver is not None:
        return wish.driver
    if wish.kubeconfig is not None:
        return "existing"
    return "kind" if kind.is_docker_answering() else "node"


def _bring_up(driver: str, state: State, wish: Wish) -> None:
    ways: Mapping[str, Callable[[], None]] = {
        "existing": lambda: _take_existing(state, wish.kubeconfig),
        "kind": lambda: kind.bring_up(state),
        "node": lambda: _bring_up_node(state, wish),
        "control-plane": lambda: start_alone(state),
    }
    ways[driver]()


def _bring_up_node(state: State, wish: Wish) -> None:
    owner = read_bridge_owner()
    if owner is not None:
        other = State.at(owner)
        is_alive = other.folder != state.folder and _is_answering(other.kubeconfig)
        if is_alive and not wish.replace:
            raise ClusterError(
                f"this machine runs the cluster of {owner}; add --replace, or take it down: "
                f"python -m tests.cluster down --state {owner}"
            )
        say(f"Taking down the {'running' if is_alive else 'dead'} cluster of {owner}")
        own_node.bring_down(other, other.read_record() or Record(driver="node", kubeconfig=""))
    own_node.bring_up(state, volumes=wish.volumes)


def _take_existing(state: State, kubeconfig: Path | None) -> None:
    if kubeconfig is None:
        raise ClusterError("an existing cluster is named by --kubeconfig FILE")
    if not _is_answering(kubeconfig):
        raise ClusterError(f"the cluster of {kubeconfig} is not ready (kubectl get --raw /readyz)")
    state.make()
    state.write_record(Record(driver="existing", kubeconfig=str(kubeconfig.resolve()), is_ready=True))


def _take_down(state: State, record: Record) -> None:
    ways: Mapping[str, Callable[[], None]] = {
        "existing": state.remove,
        "kind": lambda: kind.bring_down(state),
        "node": lambda: own_node.bring_down(state, record),
        "control-plane": lambda: stop_alone(state),
    }
    ways[record.driver]()


def _is_answering(kubeconfig: Path) -> bool:
    return kubeconfig.exists() and answers([find_kubectl(), "--kubeconfig", kubeconfig, "get", "--raw", "/readyz"])
