"""Storage without a provisioner: a shelf of hostPath volumes, cleaned and put back when their claim is gone."""

import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.cluster import daemons
from tests.cluster.api import ApiServer, Manifest
from tests.cluster.errors import ClusterError
from tests.cluster.state import REPOSITORY, State

__all__ = ["STORAGE_CLASS", "apply_volumes", "keep_volumes", "start_keeper"]

STORAGE_CLASS: Final = "meshtwin-local"
CAPACITY: Final = "1Gi"  # what a claim may ask for at most; nothing enforces it
KEEPER_POLL_S = 1.0
STORAGE_API: Final = f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}"
VOLUMES_API: Final = "/api/v1/persistentvolumes"


def apply_volumes(state: State, api: ApiServer, count: int) -> None:
    """`STORAGE_CLASS` as the default class, and ``count`` volumes of it that anyone may write to."""
    api.apply(
        STORAGE_API,
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
            },
            "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer",
            "reclaimPolicy": "Retain",
        },
    )
    for number in range(1, count + 1):
        name = f"local-{number:02d}"
        folder = state.volumes / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o777)  # fsGroup does not reach into hostPath volumes
        api.apply(f"{VOLUMES_API}/{name}", _volume(name, folder))


def start_keeper(state: State) -> None:
    """`keep_volumes` as a process of its own."""
    command: list[str | Path] = [sys.executable, "-m", "tests.cluster", "keep-volumes", "--state", state.folder]
    daemons.start(state, "volume-keeper", command, folder=REPOSITORY)


def keep_volumes(state: State, api: ApiServer) -> None:
    """Empty every released volume and make it available again, until ended."""
    while True:
        try:
            for name in _iter_released(api):
                _empty(state.volumes / name)
                api.merge(f"{VOLUMES_API}/{name}", {"spec": {"claimRef": None}})
        except ClusterError as error:
            print(error, file=sys.stderr, flush=True)
        time.sleep(KEEPER_POLL_S)


def _volume(name: str, folder: Path) -> Manifest:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": CAPACITY},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": STORAGE_CLASS,
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def _iter_released(api: ApiServer) -> Iterator[str]:
    volumes: list[dict[str, Any]] = (api.fetch(VOLUMES_API) or {}).get("items", [])
    for volume in volumes:
        is_ours = volume["spec"].get("storageClassName") == STORAGE_CLASS
        if is_ours and volume["status"].get("phase") == "Released":
            yield volume["metadata"]["name"]


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
