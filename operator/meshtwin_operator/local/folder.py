"""Manifests of a folder, brought into the store: what `kubectl apply` does, with prune, for local mode.

Reads the folder and writes the store. Only objects that came from the folder are deleted when their manifest
is gone, and records (proposals, approvals, configurations) never.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from meshtwin.errors import InvalidInput, MeshTwinError
from meshtwin_operator.local.kustomization import FILE_NAMES, build, read_documents
from meshtwin_operator.local.objects import key_of
from meshtwin_operator.local.store import Store
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

__all__ = ["FolderReport", "fingerprint", "read_folder", "sync_folder"]

RECORD_KINDS: Final = frozenset({"ConfigurationProposal", "Approval", "MeshConfiguration"})
SKIPPED_KINDS: Final = frozenset({"Namespace"})  # exists by itself in local mode
ORDER: Final = {"ConfigMap": 0, "DigitalTwin": 1, "MeshSegment": 2}  # the rest after them


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderReport:
    """What one look at the folder did; ``problems`` are messages for the user."""

    applied: tuple[ObjectKey, ...] = ()
    deleted: tuple[ObjectKey, ...] = ()
    problems: tuple[str, ...] = field(default=())


def fingerprint(folder: Path) -> str:
    """Changes when a file below the folder is added, removed or edited (name, size, modification time)."""
    state = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue  # .meshtwin, .git, editors' swap files
        try:
            seen = path.stat()
        except OSError:
            continue  # removed while we look
        if path.is_file():
            state.update(f"{path}\0{seen.st_size}\0{seen.st_mtime_ns}\n".encode())
    return state.hexdigest()


def read_folder(folder: Path) -> list[dict[str, Any]]:
    """Manifests of our kinds and ConfigMaps: of the kustomization, or else of every YAML file.

    Raises `InvalidInput` for anything else, with its file, and for an object that is there twice.
    """
    if not folder.is_dir():
        raise InvalidInput(f"{folder} is not a folder")
    if any((folder / name).is_file() for name in FILE_NAMES):
        manifests = build(folder)
    else:
        files = sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml"))
        manifests = [document for path in files for document in read_documents(path)]
    seen: set[ObjectKey] = set()
    for manifest in manifests:
        _check(manifest, folder)
        key = key_of(manifest)
        if key in seen:
            raise InvalidInput(f"{key.kind} {key.namespace}/{key.name} is there twice", place=str(folder))
        seen.add(key)
    wanted = [m for m in manifests if m["kind"] not in SKIPPED_KINDS]
    return sorted(wanted, key=lambda m: ORDER.get(m["kind"], 9))


def sync_folder(folder: Path, store: Store, *, user: str) -> FolderReport:
    """Apply what is in the folder and delete what came from it and is gone; refusals are reported."""
    try:
        manifests = read_folder(folder)
    except MeshTwinError as error:
        return FolderReport(problems=(str(error),))  # a half-saved file must not delete anything
    applied: list[ObjectKey] = []
    problems = list(_list_passed_over(folder))
    for manifest in manifests:
        try:
            _, changed = store.apply(manifest, user=user, origin="folder")
        except MeshTwinError as error:
            problems.append(str(error))
            continue
        if changed:
            applied.append(key_of(manifest))
    gone = store.from_folder() - {key_of(manifest) for manifest in manifests}
    deleted = tuple(key for key in sorted(gone) if key.kind not in RECORD_KINDS and store.delete(key))
    return FolderReport(applied=tuple(applied), deleted=deleted, problems=tuple(problems))


def _list_passed_over(folder: Path) -> Iterator[str]:
    """Says of each file beside a kustomization that holds objects of ours and is not in it."""
    plan = next((folder / name for name in FILE_NAMES if (folder / name).is_file()), None)
    if plan is None:
        return
    named = {(folder / str(entry)).resolve() for told in read_documents(plan) for entry in told.get("resources") or ()}
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".yaml", ".yml") and p.name not in FILE_NAMES):
        if path.resolve() in named:
            continue
        try:
            kinds = {str(document.get("kind")) for document in read_documents(path)} & set(KINDS_BY_NAME)
        except InvalidInput:
            continue  # not a manifest, such as a file that a ConfigMap is made of
        if kinds:
            yield f"{path.name} ({', '.join(sorted(kinds))}) is not read: add it to resources in {plan.name} ({path})"


def _check(manifest: Mapping[str, Any], folder: Path) -> None:
    kind = str(manifest.get("kind"))
    if kind not in KINDS_BY_NAME and kind != "ConfigMap" and kind not in SKIPPED_KINDS:
        known = ", ".join(sorted(KINDS_BY_NAME))
        raise InvalidInput(f"kind {kind!r} is not known to local mode ({known}, ConfigMap)", place=str(folder))
