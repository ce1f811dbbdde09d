"""Messages of the gateway with session and sequence, from the values of the core."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

from meshtwin.contract.configuration import Command, CommandResult, NodeOutcome, Reported
from meshtwin.contract.model_messages import Publication
from meshtwin.contract.telemetry import (
    CompositionReport,
    FlowReport,
    FlowTelemetry,
    GatewayState,
    NeighbourCounter,
    NeighbourTelemetry,
    NodeReport,
    NodeTelemetry,
    Observing,
)
from meshtwin.contract.wire import SettingsEntry
from meshtwin.gateway.book import NodeBook
from meshtwin.gateway.effects import Publish
from meshtwin.gateway.exchanges import OCCUPANCY_SHARE
from meshtwin.gateway.foundation import NodeComposition
from meshtwin.gateway.measured import PROBE_SPACING_S
from meshtwin.gateway.memory import Memory
from meshtwin.mesh.addresses import UnicastAddress, format_address
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
    probe_spacing_s: float = PROBE_SPACING_S
    uncertainty_ms: float = 10.0  # of the nodes' synchronised clocks, as the Time model states it
    reads_composition: bool = False  # nodes are real: they tell their composition data, which bounds what is asked
    observability: Literal["notifications", "heartbeats"] = "notifications"
    network_nodes: int | None = None  # of the whole network, other segments included; None: only ours are known
    neighbours_at_most: int | None = None  # that one node hears, as somebody who knows the building says
    measures_round_trips: bool = False  # for flows from the gateway's own node: nodes share no clock
    notification: Publication | None = None  # that monitoring models must have; None: nodes are not asked for it


@dataclass(slots=True)
class Outbox:
    """Counts a sequence per topic."""

    identity: Identity
    _sequences: dict[str, int] = field(default_factory=dict)

    def _envelope(self, leaf: str, now: datetime) -> dict[str, Any]:
        sequence = self._sequences.get(leaf, 0)
        self._sequences[leaf] = sequence + 1
        return {"session": self.identity.session, "sequence": sequence, "sent_at": now}

    def state(self, now: datetime, *, observing: Observing | None = None, fault: str | None = None) -> Publish:
        """``state``, retained; online unless there is a fault."""
        payload = GatewayState(
            **self._envelope("state", now),
            online=fault is None,
            fault=None if fault is None else fault[:512],
            firmware=self.identity.firmware,
            gateway_address=format_address(self.identity.address),
            mesh_uuid=self.identity.mesh_uuid,
            stack_profile=self.identity.stack_profile,
            capabilities=list(CAPABILITIES),
            observing=observing,
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

    def nodes(self, book: NodeBook, now: datetime, sources: Mapping[int, int] | None = None) -> Publish:
        """``telemetry/nodes``: distances in hops as far as known, and what nodes say they are.

        ``sources``: how many each node has to remember in its replay protection list, as far as known.
        """
        known = {} if sources is None else sources
        reports = [self._node(book, node, known.get(node)) for node in sorted({*book.hops, *book.compositions})]
        leaf = "telemetry/nodes"
        return Publish(leaf, NodeTelemetry(**self._envelope(leaf, now), nodes=reports[:512]))

    def _node(self, book: NodeBook, node: int, sources: int | None) -> NodeReport:
        composition, hops = book.compositions.get(UnicastAddress(node)), book.hops.get(node)
        room = composition.replay_list_size if composition is not None else 0
        return NodeReport(
            node=format_address(UnicastAddress(node)),
            heartbeat_hops=None if hops is None else min(127, max(1, hops)),
            replay_list_fill=None if sources is None or room == 0 else min(1.0, sources / room),
            composition=None if composition is None else to_report(composition),
        )


def to_report(composition: NodeComposition) -> CompositionReport:
    """The wire form of composition data."""
    return CompositionReport(
        cid=composition.company,
        pid=composition.product,
        vid=composition.version,
        crpl=composition.replay_list_size,
        relay=composition.relay,
        proxy=composition.proxy,
        friend=composition.friend,
        low_power=composition.low_power,
        elements=composition.elements,
        sig_models=list(composition.sig_models)[:256],
        vendor_models=list(composition.vendor_models)[:256],
    )
