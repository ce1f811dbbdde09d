"""What a status says where children could not be applied; the decision had taken for granted that they would be."""

from datetime import datetime
from typing import Any, Final

from meshtwin.errors import MeshTwinError
from meshtwin_operator.reconcile.conditions import Said, settle, stalled, transition_events
from meshtwin_operator.reconcile.outcome import Outcome
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment

__all__ = ["say_unapplied"]

# Reasons which time does not mend: somebody must act.
STALLING: Final = frozenset(
    {"BrokerCredentials", "ChildConflict", "ImageNotAllowed", "ModelCredentials", "SecretIncomplete"}
)


def say_unapplied(
    outcome: Outcome, resource: DigitalTwin | MeshSegment, error: MeshTwinError, now: datetime
) -> Outcome | None:
    """The status and events to write instead, and nothing that leaves the cluster; None: there is nothing to say.

    Whether the children run is looked at, not assumed: a fault that may pass changes the words of a twin that is
    not ready, and says nothing of one that is, nor of a segment, which waits for its twin's broker in silence.
    """
    if outcome.status is None:
        return None
    if error.reason in STALLING:
        return _stalled(outcome, outcome.status["conditions"], resource, error, now)
    if not isinstance(resource, DigitalTwin):
        return None
    conditions = [_reworded(condition, error) for condition in outcome.status["conditions"]]
    if not any(condition["reason"] == "ChildrenNotApplied" for condition in conditions):
        return None
    return Outcome(status={**outcome.status, "conditions": conditions})


def _reworded(condition: dict[str, Any], error: MeshTwinError) -> dict[str, Any]:
    if (condition["type"], condition["status"]) not in (("Ready", "False"), ("Reconciling", "True")):
        return condition
    return condition | {"reason": "ChildrenNotApplied", "message": str(error)[:1024]}


def _stalled(
    outcome: Outcome,
    said: list[dict[str, Any]],
    resource: DigitalTwin | MeshSegment,
    error: MeshTwinError,
    now: datetime,
) -> Outcome:
    others = [Said(one["type"], one["status"], one["reason"], one.get("message", "")) for one in said]
    wanted = [*others, *stalled(error.reason, str(error))]  # of a condition said twice the last one counts
    conditions = settle(resource.status, wanted, generation=resource.metadata.generation, now=now)
    shown = [condition.model_dump(mode="json", by_alias=True, exclude_none=True) for condition in conditions]
    return Outcome(
        status={**(outcome.status or {}), "conditions": shown},
        events=transition_events(resource.status, conditions),
    )
