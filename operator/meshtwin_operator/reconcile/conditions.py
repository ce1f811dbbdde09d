"""Conditions as kstatus reads them, and events on their transitions.

``Ready`` is always there. ``Reconciling`` and ``Stalled`` are True only while work goes on or a user must act,
so that ``kubectl wait``, Flux and Argo CD agree. Messages hold no numbers that change with every report.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final, Literal, NamedTuple

from meshtwin_operator.reconcile.outcome import KubeEvent
from meshtwin_operator.resources.base import Condition, StatusBase

__all__ = [
    "Said",
    "condition_of",
    "is_true",
    "progressing",
    "ready",
    "said",
    "settle",
    "stalled",
    "to_seconds",
    "transition_events",
    "waiting",
]

MESSAGE_LIMIT: Final = 1024
NOT_IN_REASON: Final = re.compile(r"[^A-Za-z0-9_]+")  # of what the schema allows, what reasons use
WARNING_WHEN_TRUE: Final = frozenset({"Stalled", "Diverged", "Void", "RolledBack"})
WARNING_WHEN_FALSE: Final = frozenset({"Accepted", "StackAgreed"})
SILENT: Final = frozenset({"Reconciling"})  # its counterpart Ready tells the same story

Truth = Literal["True", "False", "Unknown"]


class Said(NamedTuple):
    """One condition as a decision says it, before its transition time is settled."""

    type: str
    status: Truth
    reason: str
    message: str = ""


def said(kind: str, value: bool | None, reason: str, message: str = "") -> Said:
    """A condition from a truth value; None is Unknown."""
    status: Truth = "Unknown" if value is None else ("True" if value else "False")
    return Said(kind, status, reason, message)


def ready(reason: str, message: str = "") -> tuple[Said, ...]:
    """Done; also said of what waits for a person: nothing is left for the machine."""
    return (
        Said("Ready", "True", reason, message),
        Said("Reconciling", "False", reason),
        Said("Stalled", "False", reason),
    )


def progressing(reason: str, message: str = "") -> tuple[Said, ...]:
    """Under way; time alone brings it to an end."""
    return (
        Said("Ready", "False", reason, message),
        Said("Reconciling", "True", reason, message),
        Said("Stalled", "False", reason),
    )


def waiting(reason: str, message: str = "") -> tuple[Said, ...]:
    """Not ready, and nothing is under way: something outside must change, but nobody made a mistake."""
    return (
        Said("Ready", "False", reason, message),
        Said("Reconciling", "False", reason),
        Said("Stalled", "False", reason),
    )


def stalled(reason: str, message: str) -> tuple[Said, ...]:
    """A user must act; the message carries value, limit and place."""
    return (
        Said("Ready", "False", reason, message),
        Said("Reconciling", "False", reason),
        Said("Stalled", "True", reason, message),
    )


def to_seconds(moment: datetime) -> datetime:
    """The moment without fractions of a second, as Kubernetes stores times."""
    return moment.replace(microsecond=0)


def condition_of(status: StatusBase | None, kind: str) -> Condition | None:
    """A condition of a status; None if it is not there."""
    if status is None:
        return None
    return next((c for c in status.conditions if c.type == kind), None)


def is_true(status: StatusBase | None, kind: str) -> bool:
    """Whether a status holds a condition with status True."""
    found = condition_of(status, kind)
    return found is not None and found.status == "True"


def settle(previous: StatusBase | None, wanted: Iterable[Said], *, generation: int, now: datetime) -> list[Condition]:
    """Conditions with their transition times: a time moves only when ``status`` moves.

    A condition said twice keeps the last. Ordered by type, so that equal input gives an equal list.
    """
    last = {one.type: one for one in wanted}
    settled = []
    for kind in sorted(last):
        one = last[kind]
        before = condition_of(previous, kind)
        same = before is not None and before.status == one.status
        moment = before.last_transition_time if same and before is not None else to_seconds(now)
        settled.append(
            Condition(
                type=kind,
                status=one.status,
                reason=_plain(one.reason),
                message=one.message[:MESSAGE_LIMIT],
                last_transition_time=moment,
                observed_generation=generation,
            )
        )
    return settled


def _plain(reason: str) -> str:
    """The reason as a condition may hold it: those of gateways and twins are theirs, and may be any text."""
    return NOT_IN_REASON.sub("", reason).lstrip("0123456789_") or "Unknown"


def transition_events(previous: StatusBase | None, conditions: Sequence[Condition]) -> tuple[KubeEvent, ...]:
    """One event per condition that turned True, or turned False after having been something else."""
    events = []
    for condition in conditions:
        before = condition_of(previous, condition.type)
        old = "Unknown" if before is None else before.status
        if condition.type in SILENT or condition.status in (old, "Unknown"):
            continue
        if condition.status == "False" and (before is None and condition.type not in WARNING_WHEN_FALSE):
            continue
        if condition.status == "False" and condition.type in WARNING_WHEN_TRUE | {"Ready"}:
            continue  # the end of a trouble shows as Ready; a loss of Ready shows as its cause
        warning = condition.type in (WARNING_WHEN_TRUE if condition.status == "True" else WARNING_WHEN_FALSE)
        text = condition.message or f"{condition.type} is {condition.status}"
        events.append(KubeEvent(reason=condition.reason, message=text, type="Warning" if warning else "Normal"))
    return tuple(dict.fromkeys(events))
