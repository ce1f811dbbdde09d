"""Messages of the gateway with session and sequence, from the values of the core."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from meshtwin.contract.configuration import Command, CommandResult, NodeOutcome, Reported
from meshtwin.contract.telemetry import (
    FlowReport,
    FlowTelemetry,
    GatewayState,
    NeighbourCounter,
    NeighbourTelemetry,
    NodeReport,
    NodeTelemetry,
)
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.effects import Publish
from meshtwin.gateway.exchanges import OCCUPANCY_SHARE
from meshtwin.gateway.memory import Memory
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.configuration import compress_settings

__all__ = ["CAPABILITIES", "Identity", "Outbox"]

CAPABILITIES: Final = ("adopt", "commitConfirm", "probe", "neighbours", "drift")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who this gateway is in this run; ``session`` is new at each start."""

    session: str
    address: int
    report_group: int
    mesh_uuid: str | None = None
    firmware: str = "meshtwin reference gateway"
    time_scale: float = 1.0  # mesh seconds per second; 1 on real hardware
    stack_profile: str = "emulated"
    senses_occupancy: bool = True  # of the air; else a probe does not listen in quiet first
    repeats_notifications: bool = True  # as often as network transmit says, so that they betray it
    occupancy_share: float = OCCUPANCY_SHARE  # of a relay's advertiser for exchanges, 0..1
    uncertainty_ms: float = 10.0  # of the nodes' synchronised clocks, as the Time model states it


@dataclass(slots=True)
class Outbox:
    """Counts a sequence per topic."""

    identity: Identity
    _sequences: dict[str, int] = field(default_factory=dict)

    def _envelope(self, leaf: str, now: datetime) -> dict[str, Any]:
        sequence = self._sequences.get(leaf, 0)
        self._sequences[leaf] = sequence + 1
        return {"session": self.identity.session, "sequence": sequence, "sent_at": now}

    def state(self, now: datetime, *, online: bool = True) -> Publish:
        """``state``, retained."""
        payload = GatewayState(
            **self._envelope("state", now),
            online=online,
            firmware=self.identity.firmware,
            gateway_address=format_address(self.identity.address),
            mesh_uuid=self.identity.mesh_uuid,
            stack_profile=self.identity.stack_profile,
            capabilities=list(CAPABILITIES),
        )
        return Publish("state", payload, retain=True)

    def result(
        self,
        command: Command,
        now: datetime,
        status: str,
        *,
        reason: str | None = None,
        message: str | None = None,
        outcomes: Sequence[NodeOutcome] = (),
        progress: float | None = None,
    ) -> Publish:
        """``configuration/result`` to one command."""
        payload = CommandResult.model_validate(
            self._envelope("configuration/result", now)
            | {
                "attempt_id": command.attempt_id,
                "verb": command.verb,
                "status": status,
                "reason": reason,
                "message": message and message[:1024],
                "revision": command.revision,
                "hash": command.hash,
                "outcomes": list(outcomes)[:2000],
                "progress": progress,
            }
        )
        return Publish("configuration/result", payload)

    def reported(self, memory: Memory, book: NodeBook, now: datetime) -> Publish:
        """``configuration/reported``, retained: what is in force, as last read back."""
        known = book.configuration(memory.nodes)
        pending = memory.pending
        payload = Reported(
            **self._envelope("configuration/reported", now),
            phase=memory.phase,
            epoch=memory.epoch,
            revision=memory.revision,
            hash=memory.hash,
            settings=[SettingsEntry.from_value(r) for r in compress_settings(known, memory.nodes)][:512],
            exceptions=[
                NodeOutcome(node=format_address(a), outcome=e.outcome, reason=e.reason)
                for a, e in sorted(memory.exceptions.items())
            ],
            drifted=[format_address(a) for a in memory.drifted],
            unheard=[format_address(a) for a in memory.nodes if a not in book.known],
            attempt_id=memory.attempt_id,
            pending_revision=pending.revision if pending else None,
            pending_hash=pending.hash if pending else None,
            rollback_at=memory.rollback_at,
            restore_reason=memory.restore_reason,
            rejected_hashes=list(memory.rejected_hashes),
            timed_out_hashes=list(memory.timed_out_hashes),
            last_adopted_at=memory.adopted_at,
        )
        return Publish("configuration/reported", payload, retain=True)

    def neighbours(self, node: int, counters: Sequence[NeighbourCounter], now: datetime) -> Publish:
        """``telemetry/neighbours`` of one report."""
        leaf = "telemetry/neighbours"
        payload = NeighbourTelemetry(**self._envelope(leaf, now), node=format_address(node), neighbours=list(counters))
        return Publish(leaf, payload)

    def flows(self, flows: Sequence[FlowReport], airtime_ratio: float | None, now: datetime) -> Publish:
        """``telemetry/flows``."""
        leaf = "telemetry/flows"
        payload = FlowTelemetry(**self._envelope(leaf, now), flows=list(flows), airtime_ratio=airtime_ratio)
        return Publish(leaf, payload)

    def nodes(self, book: NodeBook, now: datetime) -> Publish:
        """``telemetry/nodes``: distances in hops, as learned from received TTLs."""
        reports = [
            NodeReport(node=format_address(node), heartbeat_hops=min(127, max(1, hops)))
            for node, hops in sorted(book.hops.items())
        ]
        leaf = "telemetry/nodes"
        return Publish(leaf, NodeTelemetry(**self._envelope(leaf, now), nodes=reports[:512]))
