"""Revisions of a segment: which one is in force, which one is wanted, what a record says node by node."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from meshtwin.contract.configuration import Reported
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, parse_range
from meshtwin.mesh.configuration import (
    Configuration,
    SettingsRange,
    compress_settings,
    compute_digest,
    expand_settings,
)
from meshtwin_operator.reconcile.naming import SEGMENT_LABEL, TWIN_LABEL, configuration_name
from meshtwin_operator.reconcile.tree import TERMINAL, step_of
from meshtwin_operator.resources.base import API_GROUP, API_VERSION
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.settings import SettingsSpec
from meshtwin_operator.resources.twins import MeshSegment

__all__ = [
    "configuration_manifest",
    "configuration_of",
    "expand_known",
    "find_base",
    "find_wanted",
    "next_revision",
    "settings_json",
]

ENTRIES_MAX: Final = 256  # of spec.settings, as the schema says


def find_base(records: Sequence[MeshConfiguration]) -> MeshConfiguration | None:
    """The newest revision that was confirmed or adopted; None before adoption."""
    settled = [record for record in records if step_of(record) in ("Confirmed", "Adopted")]
    return settled[-1] if settled else None


def find_wanted(records: Sequence[MeshConfiguration]) -> MeshConfiguration | None:
    """The newest revision without a terminal verdict; None: nothing waits to be pushed."""
    waiting = [record for record in records if step_of(record) not in TERMINAL]
    return waiting[-1] if waiting else None


def next_revision(records: Sequence[MeshConfiguration], reported: Reported | None) -> int:
    """One above everything that the records or the gateway know."""
    known = [record.spec.revision for record in records]
    if reported is not None:
        known += [n for n in (reported.revision, reported.pending_revision) if n is not None]
    return max(known, default=-1) + 1


def configuration_of(record: MeshConfiguration, inventory: Iterable[UnicastAddress]) -> Configuration:
    """What the record says, node by node.

    Raises `InvalidInput` with reason ``UnknownNode`` or ``InventoryChanged`` when the ranges no longer mean
    the nodes that were approved.
    """
    ranges = [entry.to_value() for entry in record.spec.settings]
    configuration = expand_settings(ranges, tuple(inventory))
    digest = compute_digest(configuration)
    if digest != record.spec.digest:
        raise InvalidInput(
            f"the settings now mean {digest}, approved was {record.spec.digest}",
            reason="InventoryChanged",
            place="spec.settings",
        )
    return configuration


def expand_known(ranges: Sequence[SettingsRange], inventory: Iterable[UnicastAddress]) -> Configuration:
    """Like `expand_settings`, but ranges that name no node (any more) are passed over."""
    known = tuple(inventory)
    kept = []
    for entry in ranges:
        bounds = [(text, *parse_range(text)) for text in entry.nodes]
        nodes = tuple(text for text, low, high in bounds if any(low <= node <= high for node in known))
        if nodes:
            kept.append(SettingsRange(nodes=nodes, settings=entry.settings))
    return expand_settings(kept, known) if kept else Configuration()


def settings_json(configuration: Configuration, inventory: Iterable[UnicastAddress]) -> list[dict[str, Any]]:
    """``spec.settings`` that mean exactly ``configuration``; raises `InvalidInput` above 256 entries."""
    ranges = compress_settings(configuration, tuple(inventory))
    if len(ranges) > ENTRIES_MAX:
        raise InvalidInput(
            f"{len(ranges)} different settings are above the limit of {ENTRIES_MAX}",
            reason="TooManySettings",
            place="spec.settings",
        )
    specs = [SettingsSpec.from_value(entry) for entry in ranges]
    return [spec.model_dump(mode="json", by_alias=True, exclude_none=True) for spec in specs]


def configuration_manifest(
    segment: MeshSegment,
    configuration: Configuration,
    inventory: Iterable[UnicastAddress],
    *,
    revision: int,
    base_revision: int | None,
    proposal: str | None,
) -> Mapping[str, Any]:
    """The MeshConfiguration that makes ``configuration`` a revision of ``segment``."""
    name = segment.metadata.name
    spec: dict[str, Any] = {
        "segmentRef": {"name": name},
        "revision": revision,
        "digest": compute_digest(configuration),
        "settings": settings_json(configuration, inventory),
    }
    if base_revision is not None:
        spec["baseRevision"] = base_revision
    if proposal is not None:
        spec["proposalRef"] = {"name": proposal}
    return {
        "apiVersion": f"{API_GROUP}/{API_VERSION}",
        "kind": "MeshConfiguration",
        "metadata": {
            "name": configuration_name(name, revision),
            "namespace": segment.metadata.namespace,
            "labels": {TWIN_LABEL: segment.spec.twin_ref.name, SEGMENT_LABEL: name},
        },
        "spec": spec,
    }
