"""`WhatIf`: asks the parent twin once, shows its first answer, and keeps the refined one."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.recipes.messages import RunStatus
from meshtwin_operator.reconcile.conditions import (
    Said,
    is_true,
    progressing,
    ready,
    said,
    settle,
    stalled,
    to_seconds,
    transition_events,
)
from meshtwin_operator.reconcile.judging import find_run, is_twin_ready, start_what_if, to_prediction, why_unanswered
from meshtwin_operator.reconcile.outcome import Outcome, StartRun
from meshtwin_operator.reconcile.searches import bound_warnings
from meshtwin_operator.reconcile.tree import Lineage, find_lineage
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.settings import PredictionRecord
from meshtwin_operator.resources.twins import MeshSegment
from meshtwin_operator.resources.whatifs import (
    AddedNodeSpec,
    FlowChangeSpec,
    PositionSpec,
    WhatIf,
    WhatIfSpec,
    WhatIfStatus,
)

__all__ = ["reconcile_what_if"]

ASK_AGAIN_S = 5.0


def reconcile_what_if(question: WhatIf, world: World, now: datetime) -> Outcome:
    """Start the run when the twin is ready, follow it, write the answer down once."""
    ended = is_true(question.status, "Answered") or is_true(question.status, "Stalled")
    if ended and question.status is not None and question.status.run_id is not None:
        return Outcome()  # the spec never changes, so the answer is final
    try:
        lineage = _lineage(question, world)
        if not is_twin_ready(world, lineage):
            wanted = (*progressing("TwinNotReady", "waits for the parent twin"), said("Answered", False, "Waiting"))
            return _outcome(question, wanted, now, requeue=30.0)
        return _follow(question, world, lineage, now)
    except InvalidInput as error:
        wanted = (*stalled(error.reason, str(error)), said("Answered", False, error.reason))
        return _outcome(question, wanted, now, requeue=60.0)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wanted = (*stalled("InvalidQuestion", str(first["msg"])), said("Answered", False, "InvalidQuestion"))
        return _outcome(question, wanted, now)


def _lineage(question: WhatIf, world: World) -> Lineage:
    name = question.spec.segment_ref.name
    segment = world.get(ObjectKey("MeshSegment", question.metadata.namespace, name))
    if not isinstance(segment, MeshSegment):
        raise InvalidInput(f"MeshSegment {name!r} does not exist", reason="SegmentNotFound", place="spec.segmentRef")
    return find_lineage(world, question.metadata.namespace, segment.spec.twin_ref.name)


def _follow(question: WhatIf, world: World, lineage: Lineage, now: datetime) -> Outcome:
    run, answer = find_run(world, question.metadata, "what-if")
    first = _first_answer(question, answer)
    if answer is not None and answer.state == "Failed":
        reason = answer.error.reason if answer.error else "RunFailed"
        message = answer.error.message if answer.error else "the run failed"
        wanted = (*stalled(reason, message), said("Answered", False, reason, message))
        return _outcome(question, wanted, now, run=run, prediction=first)
    if answer is not None and answer.state == "Done" and answer.what_if_result is not None:
        prediction = to_prediction(answer.what_if_result.prediction)
        wanted = (*ready("Answered"), said("Answered", True, "Answered"))
        warnings = bound_warnings(answer.what_if_result.warnings)
        return _outcome(question, wanted, now, run=run, prediction=prediction, warnings=warnings)
    start = start_what_if(
        world,
        lineage,
        run_id=run,
        segment=question.spec.segment_ref.name,
        settings=question.spec.settings,
        failed_nodes=question.spec.failed_nodes,
        changes=_changes(question.spec),
        seed=question.spec.seed,
        replications=question.spec.replications,
    )
    silence = why_unanswered(world, question.metadata.namespace, run)
    reason, message = ("TwinUnreachable", silence) if silence else ("Running", "the parent twin computes")
    wanted = (*progressing(reason, message), said("Answered", False, reason))
    return _outcome(question, wanted, now, run=run, prediction=first, after=(start,), requeue=ASK_AGAIN_S)


def _first_answer(question: WhatIf, answer: RunStatus | None) -> PredictionRecord | None:
    """The fast model's, marked as provisional: what the run tells now, or else what the status has of it."""
    if answer is not None and answer.provisional is not None:
        return to_prediction(answer.provisional.prediction)
    return question.status.prediction if question.status else None


def _changes(spec: WhatIfSpec) -> dict[str, Any]:
    """Moves, new nodes and traffic as the twin's request has them: metres, lower-case addresses."""
    return {
        "movedNodes": [{"node": m.node.lower(), "positionMetres": _metres(m.position)} for m in spec.moved_nodes],
        "addedNodes": [_added(node) for node in spec.added_nodes],
        "traffic": [
            {
                **flow.model_dump(mode="json", by_alias=True, exclude_none=True),
                **{end: text.lower() for end, text in _ends(flow)},
            }
            for flow in spec.traffic
        ],
    }


def _added(node: AddedNodeSpec) -> dict[str, Any]:
    address = node.node.lower()
    said = node.model_dump(
        mode="json", by_alias=True, exclude_none=True, exclude={"node", "position", "groups"}
    )  # the settings alone
    return {
        "node": address,
        "positionMetres": _metres(node.position),
        "groups": [group.lower() for group in node.groups],
        "settings": {"nodes": [address], **said} if said else None,
    }


def _ends(flow: FlowChangeSpec) -> list[tuple[str, str]]:
    return [(name, text) for name, text in (("source", flow.source), ("destination", flow.destination)) if text]


def _metres(position: PositionSpec) -> list[float]:
    return [position.x_centimetres / 100, position.y_centimetres / 100, position.z_centimetres / 100]


def _outcome(
    question: WhatIf,
    wanted: tuple[Said, ...],
    now: datetime,
    *,
    run: str | None = None,
    prediction: PredictionRecord | None = None,
    warnings: Sequence[str] = (),
    after: tuple[StartRun, ...] = (),
    requeue: float | None = None,
) -> Outcome:
    conditions = settle(question.status, wanted, generation=question.metadata.generation, now=now)
    status = WhatIfStatus(
        observed_generation=question.metadata.generation,
        conditions=conditions,
        prediction=prediction,
        warnings=list(warnings),
        run_id=run,
        answered_at=to_seconds(now) if prediction is not None and not prediction.provisional else None,
    )
    return Outcome(
        status=status.model_dump(mode="json", by_alias=True, exclude_none=True),
        after=after,
        events=transition_events(question.status, conditions),
        requeue_after_s=requeue,
    )
