"""What observing costs: the airtime of a plan, and words for what the budget made of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.contract.telemetry import AirtimeBill
from meshtwin.gateway.memory import Monitoring
from meshtwin.gateway.monitor import INTERVAL_MAX_S, REPEAT_LATE_S, ReportPlan, mean_copies
from meshtwin.gateway.outbox import Identity
from meshtwin.gateway.turns import READ_BACKS_PER_LOOK
from meshtwin.mesh.configuration import NodeSettings
from meshtwin.mesh.reporting import (
    READ_BACK_PAUSE_S,
    RECORDS_PER_MESSAGE,
    compute_message_s,
    compute_notifications_ratio,
)
from meshtwin.mesh.upkeep import FULL_PDU_BYTES, UpkeepPart

__all__ = ["Costs", "describe_stretching", "find_looks", "is_too_long"]

READ_BACK_SHARE: Final = 0.25  # of the budget, for reading nodes back: settings, composition data and models
LEFT_LEAST: Final = 0.1  # of the budget for asking for heartbeats, whatever heartbeats and reading back take
STRETCHED_BY: Final = 1.01  # less than that is rounding

# What the gateway asks by itself: messages and sizes by the jobs that ask (`jobs`, `survey`, `model_states`, `monitor`,
# `heartbeats`). A network PDU has 18 bytes and the access message (header 9, transport header 1, both checks 4), a full
# segment 29, an acknowledgement of segments 24 (Mesh Protocol 1.1, 3.4.4, 3.5.2, 3.5.3); the largest counts for all.
LOOKS_PER_S: Final = 1 / READ_BACK_PAUSE_S / READ_BACKS_PER_LOOK
SETTINGS: Final = UpkeepPart(
    name="settings", per_s=1 / READ_BACK_PAUSE_S, questions=3, question_bytes=20, answers=3, answer_bytes=22
)
COMPOSITIONS: Final = UpkeepPart(  # a question and two acknowledgements; three segments
    name="compositions", per_s=LOOKS_PER_S, questions=3, question_bytes=24, answers=3, answer_bytes=FULL_PDU_BYTES
)
MODELS: Final = UpkeepPart(  # two questions and an acknowledgement; two segments and a short list
    name="models", per_s=LOOKS_PER_S, questions=3, question_bytes=26, answers=3, answer_bytes=FULL_PDU_BYTES
)
INTERVALS: Final = UpkeepPart(name="intervals", per_s=1 / REPEAT_LATE_S, questions=1, question_bytes=27)
HEARTBEATS: Final = UpkeepPart(
    name="heartbeats", per_s=0.0, questions=1, question_bytes=25, answers=1, answer_bytes=FULL_PDU_BYTES
)


def find_looks(identity: Identity) -> tuple[UpkeepPart, ...]:
    """What is read of a node now and then besides its settings."""
    has_models = identity.notification is not None and identity.observability == "notifications"
    return ((COMPOSITIONS,) if identity.reads_composition else ()) + ((MODELS,) if has_models else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """At a node in the middle: airtime ``message_s`` of a flood, ``copies`` of an own message, neighbours ``heard``.

    ``looks``: what is read of one node at every `READ_BACKS_PER_LOOK`-th reading back, besides its settings.
    ``keeps_budget``: all that is stretched to `READ_BACK_SHARE` of the budget.
    """

    budget_ratio: float
    message_s: float
    heard: float
    copies: float
    looks: tuple[UpkeepPart, ...] = ()
    keeps_budget: bool = True

    @classmethod
    def of(
        cls,
        monitoring: Monitoring,
        settings: Sequence[NodeSettings],
        heard: float,
        *,
        repeats: bool,
        looks: Sequence[UpkeepPart] = (),
        keeps_budget: bool = True,
    ) -> "Costs":
        """``repeats``: own messages to neighbours are sent as often as network transmit says."""
        return cls(
            budget_ratio=monitoring.airtime_budget_percent / 100,
            message_s=compute_message_s(settings, heard),
            heard=heard,
            copies=mean_copies(settings) if repeats else 1.0,
            looks=tuple(looks),
            keeps_budget=keeps_budget,
        )

    @property
    def read_back_pause_s(self) -> float:
        """Between two nodes whose settings are read back, in mesh time."""
        return 1 / self._shared(SETTINGS).compute_per_s(self.message_s, self.budget_ratio)

    @property
    def upkeep(self) -> tuple[UpkeepPart, ...]:
        """What the gateway sends by itself in the long run, but for heartbeats: see `heartbeats_part`.

        Left out: what is asked once, after an adoption or when a silent node is heard again, and repetitions.
        """
        return (*(self._shared(part) for part in (SETTINGS, *self.looks)), INTERVALS)

    @property
    def upkeep_ratio(self) -> float:
        """Airtime of `upkeep`."""
        rates = ((part, part.compute_per_s(self.message_s, self.budget_ratio)) for part in self.upkeep)
        return sum(part.messages * self.message_s * per_s for part, per_s in rates)

    def _shared(self, part: UpkeepPart) -> UpkeepPart:
        """With its share of the budget, so that all that is read is stretched alike."""
        if not self.keeps_budget:
            return part
        load = sum(one.messages * one.per_s for one in (SETTINGS, *self.looks))
        return replace(part, budget_share=READ_BACK_SHARE * part.messages * part.per_s / load)

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

    def left_ratio(self, heartbeat_s: float) -> float:
        """Airtime that heartbeats and reading back leave for asking for heartbeats."""
        beats_ratio = compute_notifications_ratio(heartbeat_s, self.heard, self.copies)
        return max(self.budget_ratio - beats_ratio - self.upkeep_ratio, LEFT_LEAST * self.budget_ratio)

    def heartbeats_part(self, heartbeat_s: float, most_per_s: float) -> UpkeepPart:
        """Questions for heartbeats, ``most_per_s`` at most: an upper bound, since listening takes its time, too."""
        return replace(HEARTBEATS, per_s=most_per_s, budget_share=self.left_ratio(heartbeat_s) / self.budget_ratio)


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
