"""Everything one push is looked at with, as one value."""

from dataclasses import dataclass
from datetime import datetime

from meshtwin.contract.configuration import Command
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.outcome import PublishCommand
from meshtwin_operator.reconcile.tree import Lineage
from meshtwin_operator.reconcile.world import GatewayView, World
from meshtwin_operator.resources.records import MeshConfiguration, MeshConfigurationStatus
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["Case"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything one push is looked at with."""

    record: MeshConfiguration
    segment: MeshSegment
    lineage: Lineage
    inventory: Inventory
    view: GatewayView
    records: tuple[MeshConfiguration, ...]
    world: World
    now: datetime

    @property
    def status(self) -> MeshConfigurationStatus:
        """Status as read; an empty one before the first."""
        return self.record.status or MeshConfigurationStatus()

    def publish(self, command: Command) -> PublishCommand:
        """The command as an action."""
        return PublishCommand(
            self.lineage.root.metadata.name,
            self.segment.spec.gateway_id or "",
            command,
            self.record.metadata.namespace,
        )
