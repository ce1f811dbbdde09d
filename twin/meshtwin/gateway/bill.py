"""What observing costs: the airtime of a plan, and words for what the budget made of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from meshtwin.contract.telemetry import AirtimeBill
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.monitor import INTERVAL_MAX_S, REPEAT_LATE_S, ReportPlan, mean_copies
from meshtwin.mesh.configuration import NodeSettings
from meshtwin.mesh.reporting import (
    READ_BACK_MESSAGES,
    READ_BACK_PAUSE_S,
    RECORDS_PER_MESSAGE,
    compute_message_s,
    compute_notifications_ratio,
)

__all__ = ["Costs", "describe_stretching", "is_too_long"]

READ_BACK_SHARE: Final = 0.25  # of the budget, for reading nodes back
STRETCHED_BY: Final = 1.01  # less than that is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """At a node in the middle: airtime ``message_s`` of a flood, ``copies`` of an own message, neighbours ``heard``."""

    budget_ratio: float
    message_s: float
    heard: float
    copies: float

    @classmethod
    def of(cls, monitoring: Monitoring, settings: Sequence[NodeSettings], heard: float, *, repeats: bool) -> "Costs":
        """``repeats``: own messages to neighbours are sent as often as network transmit says."""
        return cls(
            budget_ratio=monitoring.airtime_budget_percent / 100,
            message_s=compute_message_s(settings, heard),
            heard=heard,
            copies=mean_copies(settings) if repeats else 1.0,
        )

    @property
    def read_back_pause_s(self) -> float:
        """Between two nodes that are read back, stretched to `READ_BACK_SHARE` of the budget."""
        return max(READ_BACK_PAUSE_S, READ_BACK_MESSAGES * self.message_s / (READ_BACK_SHARE * self.budget_ratio))

    @property
    def upkeep_ratio(self) -> float:
        """Reading nodes back, and telling them their intervals again."""
        return self.message_s * (READ_BACK_MESSAGES / self.read_back_pause_s + 1 / REPEAT_LATE_S)

    def bill_notifications(self, plan: ReportPlan, nodes: int) -> AirtimeBill:
        """Of nodes that notify and report; a report is never longer than its node has neighbours."""
        messages = min(plan.messages_per_report, max(1, -(-round(self.heard) // RECORDS_PER_MESSAGE)))
        return AirtimeBill(
            budget_ratio=self.budget_ratio,
            notifications_ratio=compute_notifications_ratio(plan.notification_s, self.heard, self.copies),
            reports_ratio=nodes * messages * self.message_s / plan.report_s,
            upkeep_ratio=self.upkeep_ratio,
        )

    def bill_heartbeats(self, heartbeat_s: float, exchange_s: float) -> AirtimeBill:
        """Of nodes that publish heartbeats to their neighbours, and one question with its answer per ``exchange_s``."""
        heartbeats = compute_notifications_ratio(heartbeat_s, self.heard, self.copies)
        return AirtimeBill(
            budget_ratio=self.budget_ratio,
            heartbeats_ratio=heartbeats + 2 * self.message_s / exchange_s,
            upkeep_ratio=self.upkeep_ratio,
        )


def describe_stretching(monitoring: Monitoring, plan: ReportPlan) -> str | None:
    """What the budget made longer; None: nothing."""
    pairs = (
        ("notification", monitoring.notification_interval_seconds, plan.notification_s),
        ("report", monitoring.report_interval_seconds, plan.report_s),
    )
    parts = [f"{name} interval {asked:g} s to {got:.3g} s" for name, asked, got in pairs if got > STRETCHED_BY * asked]
    if not parts:
        return None
    return f"stretched: {', '.join(parts)}; {monitoring.airtime_budget_percent:g} % of airtime allow no more"


def is_too_long(plan: ReportPlan) -> bool:
    """Whether intervals do not fit into the message that tells them."""
    return max(plan.notification_s, plan.report_s) > INTERVAL_MAX_S
