"""Handing to a segment's twin what was predicted of a push and what was measured of it, for its scorecard.

A push whose verdict is in status is handed over until the twin has entered or refused it; only then status says so.
A failure that may pass (no connection, no answer in time, a fault of the twin) is no refusal. The twin knows an
attempt by its id, so that an operator killed in between hands it over again and nothing counts twice.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, TypeVar

from meshtwin.contract.wire import WireModel
from meshtwin.errors import InvalidInput
from meshtwin.recipes.figures import KpiFiguresModel, PredictionModel
from meshtwin.recipes.score_messages import MeasuredPushModel
from meshtwin_operator.reconcile.conditions import to_seconds
from meshtwin_operator.reconcile.naming import segment_workload
from meshtwin_operator.reconcile.outcome import REFUSED, Outcome, StartRun
from meshtwin_operator.reconcile.tree import TERMINAL, find_lineage
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.base import ResourceModel
from meshtwin_operator.resources.records import MeshConfiguration, MeshConfigurationStatus, ScoredStatus
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["is_unscored", "with_scoring"]

# An answer is news and brings us here by itself; this is for one that came while the operator was busy or down.
# A twin enters a push within a second, so five tell a lost answer from a slow one without a storm of looks.
ANSWER_AGAIN_S: Final = 5.0
# A twin that becomes ready is no news of a configuration: it is looked for. Its verdict is out and nobody waits
# for the scorecard, so once a minute is enough; a pod is there 10 to 30 s after it was scheduled.
TWIN_AGAIN_S: Final = 60.0
Wire = TypeVar("Wire", bound=WireModel)
# Verdicts under which not all nodes had the configuration: what was measured then is not what was predicted.
NOT_IN_FORCE: Final = frozenset({"CoverageMissed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scoring:
    """What to do now: ``scored`` goes into status, ``action`` follows it."""

    scored: ScoredStatus | None = None
    action: StartRun | None = None
    requeue_after_s: float | None = None


def is_unscored(status: MeshConfigurationStatus) -> bool:
    """Whether a push has its verdict, was predicted and measured, and is not in the scorecard yet."""
    push = status.push
    if push is None or push.step not in TERMINAL or push.attempt_id is None or status.scored is not None:
        return False
    return status.predicted is not None and (status.measured_before is not None or _after(status) is not None)


def with_scoring(outcome: Outcome, record: MeshConfiguration, world: World, now: datetime) -> Outcome:
    """``outcome``, and besides the push handed over, or what came of that.

    It goes by the status as it was read: what stands there is durable. A segment that is gone has no scorecard.
    """
    status = record.status
    if status is None or not is_unscored(status):
        return outcome
    scoring = _score(record, status, world, now)
    written = outcome.status
    if scoring.scored is not None:
        known = status.model_dump(mode="json", by_alias=True, exclude_none=True) if written is None else written
        written = {**known, "scored": scoring.scored.model_dump(mode="json", by_alias=True)}
    waits = [pause for pause in (outcome.requeue_after_s, scoring.requeue_after_s) if pause is not None]
    return replace(
        outcome,
        status=written,
        after=(*outcome.after, *([scoring.action] if scoring.action else [])),
        requeue_after_s=min(waits, default=None),
    )


def _score(record: MeshConfiguration, status: MeshConfigurationStatus, world: World, now: datetime) -> _Scoring:
    namespace, name = record.metadata.namespace, record.spec.segment_ref.name
    segment = world.get(ObjectKey("MeshSegment", namespace, name))
    if not isinstance(segment, MeshSegment) or status.push is None or status.push.attempt_id is None:
        return _Scoring()
    run = f"score-{status.push.attempt_id}"
    view = world.run(namespace, run)
    answer = view.status if view else None
    if answer is not None and answer.error is not None and answer.error.reason == REFUSED:
        message = answer.error.message[:1024]
        return _Scoring(scored=ScoredStatus(result="Refused", at=to_seconds(now), message=message))
    if answer is not None and answer.state == "Done":
        return _Scoring(scored=ScoredStatus(result="Entered", at=to_seconds(now)))
    workload = segment_workload(name)
    child = world.workload(namespace, workload)
    if not child.ready or child.url is None:
        return _Scoring(requeue_after_s=TWIN_AGAIN_S)
    try:
        root = find_lineage(world, namespace, segment.spec.twin_ref.name).root
    except InvalidInput:  # the twin above is gone or in a circle; its own status says so
        return _Scoring(requeue_after_s=TWIN_AGAIN_S)
    action = StartRun(
        workload=workload,
        path=f"/api/v1/scorecard/pushes/{status.push.attempt_id}",
        run_id=run,
        body=_body(record, status, name, now),
        namespace=namespace,
        root_twin=root.metadata.name,
        url=child.url,
        handed=True,
    )
    return _Scoring(action=action, requeue_after_s=ANSWER_AGAIN_S)


def _after(status: MeshConfigurationStatus) -> Any:
    reason = status.push.reason if status.push else ""
    return None if reason in NOT_IN_FORCE else status.measured_after


def _body(record: MeshConfiguration, status: MeshConfigurationStatus, segment: str, now: datetime) -> dict[str, Any]:
    assert status.predicted is not None and status.push is not None  # noqa: S101, PT018  # `is_unscored`
    told = MeasuredPushModel(
        segment=segment,
        configuration=record.metadata.name,
        predicted_at=record.metadata.creation_timestamp or now,
        measured_at=status.push.step_started_at or now,
        prediction=_to_wire(status.predicted, PredictionModel),
        before=status.measured_before and _to_wire(status.measured_before, KpiFiguresModel),
        after=_after(status) and _to_wire(_after(status), KpiFiguresModel),
    )
    return told.model_dump(mode="json", by_alias=True, exclude_none=True)


def _to_wire(figures: ResourceModel, model: type[Wire]) -> Wire:
    """The same figures: names and units of resource and wire are equal."""
    return model.model_validate(figures.model_dump(mode="json", by_alias=True, exclude_none=True))
