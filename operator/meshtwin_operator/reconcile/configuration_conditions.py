"""Conditions of a MeshConfiguration out of its push: a table from step to what is known."""

from collections.abc import Mapping
from typing import Final

from meshtwin_operator.reconcile.conditions import Said, progressing, ready, said, stalled, waiting
from meshtwin_operator.reconcile.push import Step
from meshtwin_operator.resources.records import MeshConfigurationStatus, PushStatus

__all__ = ["conditions_for"]

# Milestones reached when a step is entered, in their order.
MILESTONES: Final = ("Pushed", "Acknowledged", "Verified", "Confirmed")
REACHED: Final[Mapping[Step, int]] = {
    Step.PENDING: 0,
    Step.STAGING: 0,
    Step.MEASURING_BASELINE: 1,
    Step.COMMITTING: 1,
    Step.VERIFYING: 2,
    Step.CONFIRMING: 3,
    Step.CONFIRMED: 4,
    Step.ADOPTED: 4,
}
TAKEN_BACK: Final = frozenset({Step.ROLLED_BACK, Step.TIMED_OUT})


def conditions_for(status: MeshConfigurationStatus) -> tuple[Said, ...]:
    """What kubectl wait, Flux and Argo CD see."""
    push = status.push or PushStatus(step="Pending")
    step = Step(push.step)
    reason = push.reason or step.value
    reached = REACHED.get(step, 0)
    milestones = [
        said(name, index < reached, step.value if index < reached else reason) for index, name in enumerate(MILESTONES)
    ]
    rolled_back = said("RolledBack", step in TAKEN_BACK, reason, push.message if step in TAKEN_BACK else "")
    return (*_readiness(step, push), *milestones, rolled_back)


def _readiness(step: Step, push: PushStatus) -> tuple[Said, ...]:
    if step in (Step.CONFIRMED, Step.ADOPTED, Step.SUPERSEDED):
        return ready(step.value, push.message)
    if step in (Step.ROLLED_BACK, Step.REJECTED, Step.TIMED_OUT):
        return stalled(push.reason or step.value, push.message or step.value)
    if step is Step.PENDING:
        return waiting(push.reason or "Pending", push.message)
    return progressing(step.value, push.message)
