"""Proposals as the commands read them: find one, and what it changes against its base."""

from collections.abc import Mapping
from typing import Any

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin_operator.cli.differences import SettingChange, setting_changes
from meshtwin_operator.cli.target import Manifest, ObjectAccess

__all__ = ["changes_of", "find_proposal", "prediction_of", "warning_lines"]


def find_proposal(access: ObjectAccess, name: str) -> Manifest:
    """A proposal by name; raises `InvalidInput` that lists those there are."""
    found = access.get("ConfigurationProposal", name)
    if found is None:
        known = ", ".join(p["metadata"]["name"] for p in access.list_objects("ConfigurationProposal"))
        raise InvalidInput(
            f"no ConfigurationProposal {name} in {access.namespace} (there are: {known or 'none'})", reason="NotFound"
        )
    return found


def changes_of(access: ObjectAccess, proposal: Mapping[str, Any]) -> tuple[SettingChange, ...]:
    """What the proposal changes against the revision it is based on; raises `InvalidInput` without a base."""
    segment = proposal["spec"]["segmentRef"]["name"]
    status = proposal.get("status") or {}
    revision = status.get("baseRevision", proposal["spec"].get("baseRevision"))
    bases = [
        m
        for m in access.list_objects("MeshConfiguration")
        if m["spec"]["segmentRef"]["name"] == segment and m["spec"]["revision"] == revision
    ]
    if not bases:
        raise InvalidInput(f"segment {segment} has no MeshConfiguration of revision {revision}: not adopted yet?")
    nodes = _inventory_addresses(access, segment)
    return setting_changes(bases[0]["spec"]["settings"], proposal["spec"]["settings"], nodes)


def prediction_of(proposal: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was predicted of it, by its pipeline or since; empty: nothing was."""
    status, spec = proposal.get("status") or {}, proposal.get("spec") or {}
    return status.get("prediction") or spec.get("prediction") or {}


def warning_lines(proposal: Mapping[str, Any]) -> list[str]:
    """What the one who decides should know of a pipeline's proposal, a line each; empty: there is nothing."""
    return [f"warning: {text}" for text in (proposal.get("spec") or {}).get("warnings") or []]


def _inventory_addresses(access: ObjectAccess, segment_name: str) -> tuple[UnicastAddress, ...] | None:
    """Nodes of a segment; None where the inventory cannot be read (the user may lack the right)."""
    from meshtwin.mesh.inventory import parse_inventory
    from meshtwin_operator.inventories import config_map_bytes

    segment = access.get("MeshSegment", segment_name)
    if segment is None:
        return None
    reference = segment["spec"]["inventory"]["configMapRef"]
    try:
        config_map = access.get("ConfigMap", reference["name"])
        content = config_map and config_map_bytes(config_map, reference.get("key", "network.json"))
        return tuple(node.address for node in parse_inventory(content).nodes) if content else None
    except InvalidInput:
        return None
