"""Commands to gateways as values. Not here: when to send which, and sending.

A driver may hand the same command to the fleet at every look; the fleet repeats it only after a pause.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.configuration import Command, CommandResult, FlowSpec, Verb
from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.naming import short_hash
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import MeshSegment

__all__ = [
    "COMMAND_LIFE_S",
    "adopt_command",
    "flow_specs",
    "monitor_command",
    "probe_command",
    "push_command",
    "result_of",
]

COMMAND_LIFE_S: Final = 60  # a command found in a queue later is refused by the gateway


def flow_specs(segment: MeshSegment, inventory: Inventory) -> list[FlowSpec]:
    """The segment's flows with the nodes that should receive them; the source never counts as a member."""
    specs = []
    for flow in segment.spec.flows:
        members = [m for m in inventory.members(int(flow.destination, 16)) if m != int(flow.source, 16)]
        specs.append(
            FlowSpec(
                name=flow.name,
                source=flow.source.lower(),
                destination=flow.destination.lower(),
                members=[format_address(member) for member in members],
                deadline_ms=flow.deadline_milliseconds,
            )
        )
    return specs


def _nodes(inventory: Inventory) -> list[str]:
    return [format_address(address) for address in inventory.addresses]


def result_of(view: GatewayView, attempt: str, verb: Verb) -> CommandResult | None:
    """The newest answer to a command; None: not answered yet."""
    answers = [result for result in view.results.get(attempt, ()) if result.verb is verb]
    return answers[-1] if answers else None


def monitor_command(segment: MeshSegment, inventory: Inventory, *, epoch: int, session: str, now: datetime) -> Command:
    """Sets intervals and flows; the attempt id changes with their content and with the gateway's session."""
    monitoring = segment.spec.monitoring
    flows = flow_specs(segment, inventory)
    content = short_hash(
        monitoring.model_dump_json(), inventory.content_hash, *[flow.model_dump_json() for flow in flows]
    )
    return Command(
        verb=Verb.MONITOR,
        epoch=epoch,
        attempt_id="monitor-" + short_hash(segment.metadata.uid, content, session)[:24],
        sent_at=now,
        not_after=now + timedelta(seconds=COMMAND_LIFE_S),
        nodes=_nodes(inventory),
        notification_interval_seconds=monitoring.notification_interval_seconds,
        report_interval_seconds=monitoring.report_interval_seconds,
        airtime_budget_percent=monitoring.airtime_budget_percent,
        flows=flows,
    )


def adopt_command(inventory: Inventory, *, attempt: str, epoch: int, now: datetime) -> Command:
    """Asks the gateway to read what all nodes hold."""
    return Command(
        verb=Verb.ADOPT,
        epoch=epoch,
        attempt_id=attempt,
        sent_at=now,
        not_after=now + timedelta(seconds=COMMAND_LIFE_S),
        nodes=_nodes(inventory),
    )


def probe_command(
    segment: MeshSegment,
    inventory: Inventory,
    *,
    attempt: str,
    epoch: int,
    presses: int,
    now: datetime,
    not_after: datetime,
) -> Command:
    """Measures the segment's flows and asks every node for an answer."""
    return Command(
        verb=Verb.PROBE,
        epoch=epoch,
        attempt_id=attempt,
        sent_at=now,
        not_after=not_after,
        nodes=_nodes(inventory),
        flows=flow_specs(segment, inventory),
        presses=presses,
    )


def push_command(
    verb: Verb,
    record: MeshConfiguration,
    *,
    attempt: str,
    epoch: int,
    now: datetime,
    not_after: datetime,
    nodes: Sequence[int] = (),
    coverage_per_mille: int | None = None,
    confirm_within_seconds: int | None = None,
    reason: str | None = None,
) -> Command:
    """``stage`` carries settings and nodes, ``commit`` coverage and timer, ``abort`` its reason."""
    settings = None
    if verb is Verb.STAGE:
        settings = [SettingsEntry.from_value(entry.to_value()) for entry in record.spec.settings]
    said: dict[str, object] = {} if reason is None else {"reason": reason}
    return Command.model_validate(
        {
            "verb": verb,
            "epoch": epoch,
            "attempt_id": attempt,
            "sent_at": now,
            "not_after": not_after,
            "revision": record.spec.revision,
            "hash": record.spec.digest,
            "settings": settings,
            "nodes": [format_address(node) for node in nodes] or None,
            "coverage_per_mille": coverage_per_mille,
            "confirm_within_seconds": confirm_within_seconds,
            **said,
        }
    )
