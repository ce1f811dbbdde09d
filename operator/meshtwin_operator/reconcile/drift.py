"""Drift: nodes that somebody else changed. Seen in what the gateway reads back; healed, or accepted by policy."""

from typing import Final

from meshtwin.contract.configuration import GatewayPhase
from meshtwin.errors import InvalidInput
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.conditions import Said, condition_of, said
from meshtwin_operator.reconcile.outcome import CreateRecord
from meshtwin_operator.reconcile.revisions import (
    configuration_manifest,
    expand_known,
    find_base,
    find_wanted,
    next_revision,
)
from meshtwin_operator.reconcile.tree import Lineage
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["accept_drift", "diverged"]

NAMED_MAX: Final = 16  # nodes named in a message


def diverged(segment: MeshSegment, view: GatewayView, records: tuple[MeshConfiguration, ...]) -> Said:
    """Condition ``Diverged``: the network differs from the newest confirmed or adopted revision."""
    reported, base = view.reported, find_base(records)
    if reported is None:
        before = condition_of(segment.status, "Diverged")
        if before is not None:
            return Said("Diverged", before.status, before.reason, before.message)
        return said("Diverged", None, "NotReported", "the gateway has not reported what is in force")
    if base is None or reported.revision is None:
        return said("Diverged", None, "NotAdopted", "there is no revision to compare with")
    if reported.drifted:
        names = ", ".join(reported.drifted[:NAMED_MAX])
        return said("Diverged", True, "NodesChanged", f"changed by someone else: {names}")
    is_settled = find_wanted(records) is None and reported.phase is GatewayPhase.IDLE
    if is_settled and reported.revision != base.spec.revision:
        text = f"the gateway holds revision {reported.revision}, on record is {base.spec.revision}"
        return said("Diverged", True, "RevisionDiffers", text)
    return said("Diverged", False, "AsRecorded")


def accept_drift(
    segment: MeshSegment,
    lineage: Lineage,
    inventory: Inventory,
    view: GatewayView,
    records: tuple[MeshConfiguration, ...],
) -> list[CreateRecord]:
    """A new revision with what was read back, when the policy of the twin accepts drift; else nothing.

    The revision goes through the usual push, so that the gateway takes it as what is in force.
    """
    reported, base = view.reported, find_base(records)
    if lineage.twin.spec.push.drift != "Accept" or lineage.mode != "Control":
        return []
    if reported is None or base is None or not reported.drifted or find_wanted(records) is not None:
        return []
    if reported.phase is not GatewayPhase.IDLE:
        return []
    told = expand_known([entry.to_value() for entry in reported.settings], inventory.addresses)
    recorded = expand_known([entry.to_value() for entry in base.spec.settings], inventory.addresses)
    wanted = recorded.overlaid(told)
    if wanted == recorded:
        return []
    try:
        manifest = configuration_manifest(
            segment,
            wanted,
            inventory.addresses,
            revision=next_revision(records, reported),
            base_revision=base.spec.revision,
            proposal=None,
        )
    except InvalidInput:
        return []  # more different settings than a record holds: it stays diverged, and is said so
    return [CreateRecord(manifest)]
