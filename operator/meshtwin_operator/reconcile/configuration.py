"""`MeshConfiguration`: carries one approved revision to its gateway, and judges what it did.

Each step is in status before its command is published. A command that is not answered is given again at every
look with the same attempt id, so that an operator killed at any point goes on where it stopped.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.errors import InvalidInput
from meshtwin_operator.reconcile.conditions import settle, to_seconds, transition_events
from meshtwin_operator.reconcile.configuration_conditions import conditions_for
from meshtwin_operator.reconcile.guards import Hold, find_hold, find_stop, is_window_open, judge_start
from meshtwin_operator.reconcile.healing import plan_heal
from meshtwin_operator.reconcile.naming import attempt_id
from meshtwin_operator.reconcile.outcome import Action, KubeEvent, Outcome
from meshtwin_operator.reconcile.push import Signal, Step, next_step
from meshtwin_operator.reconcile.push_case import Case
from meshtwin_operator.reconcile.push_commands import command_of, deadline_of
from meshtwin_operator.reconcile.push_measuring import find_silence, take_over, with_outcomes
from meshtwin_operator.reconcile.revisions import configuration_of
from meshtwin_operator.reconcile.scoring import with_scoring
from meshtwin_operator.reconcile.signals import (
    News,
    is_in_force,
    is_restored,
    is_settled,
    read_answer,
)
from meshtwin_operator.reconcile.tree import TERMINAL, configurations_of, find_lineage, key_of
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.records import (
    ConfigurationProposal,
    MeshConfiguration,
    MeshConfigurationStatus,
    PushStatus,
)
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["reconcile_configuration"]

LOOK_AGAIN_S: Final = 5.0  # a command without an answer is given again
HELD_AGAIN_S: Final = 30.0  # windows and stops are told in minutes; a change of the twin or gateway wakes us sooner
BACKOFF_S: Final = 30.0  # after the first failed attempt; doubles

STEPS_AFTER_COMMIT: Final = frozenset({Step.COMMITTING, Step.VERIFYING, Step.CONFIRMING})
IN_FORCE_COUNTS: Final = frozenset(
    {Step.PENDING, Step.STAGING, Step.COMMITTING, Step.VERIFYING, Step.CONFIRMING, Step.ABORTING}
)
HARM_REASONS: Final = frozenset({"Harm", "NotShownHarmless", "Inconclusive", "CoverageMissed"})
REASON_OF_START: Final = {
    Signal.SUPERSEDE: "Superseded",
    Signal.FORBIDDEN: "PreviouslyHarmful",
    Signal.EXHAUSTED: "TimedOut",
}
STOP_REASONS: Final = frozenset({"EmergencyStop", "Suspended", "NotInControl", "OutsideWindow"})


def reconcile_configuration(record: MeshConfiguration, world: World, now: datetime) -> Outcome:
    """Bring the push one step on; heal drift of the revision in force; leave verdicts alone.

    A verdict that stands in status is handed to the segment's scorecard.
    """
    return with_scoring(_step_on(record, world, now), record, world, now)


def _step_on(record: MeshConfiguration, world: World, now: datetime) -> Outcome:
    status = record.status or MeshConfigurationStatus()
    push = status.push or PushStatus(step="Pending")
    if record.status is None and record.spec.base_revision is None and record.spec.proposal_ref is None:
        adopted = status.model_copy(update={"push": push.model_copy(update={"step": "Adopted"})})
        return _outcome(record, adopted, now)
    if push.step in TERMINAL and push.step not in ("Confirmed", "Adopted"):
        return _outcome(record, status, now) if _is_outdated(record) else Outcome()
    try:
        case = _open_case(record, world, now)
    except InvalidInput as error:
        if push.step in ("Confirmed", "Adopted"):
            return _outcome(record, status, now) if _is_outdated(record) else Outcome()
        return _without_case(record, status, push, error, now)
    if push.step in ("Confirmed", "Adopted"):
        return _settled(case)
    return _advance(case, push)


def _is_outdated(record: MeshConfiguration) -> bool:
    return record.status is None or record.status.observed_generation != record.metadata.generation


def _open_case(record: MeshConfiguration, world: World, now: datetime) -> Case:
    """Raises `InvalidInput`: no segment, no twin, no inventory, or one in which the ranges mean other nodes."""
    namespace, name = record.metadata.namespace, record.spec.segment_ref.name
    segment = world.get(ObjectKey("MeshSegment", namespace, name))
    if not isinstance(segment, MeshSegment) or segment.spec.gateway_id is None:
        message = f"MeshSegment {name!r} does not exist or has no gateway"
        raise InvalidInput(message, reason="SegmentNotFound", place="spec.segmentRef")
    lineage = find_lineage(world, namespace, segment.spec.twin_ref.name)
    inventory = world.inventory(namespace, name).inventory
    if inventory is None:
        raise InvalidInput("the segment's inventory cannot be read", reason="InventoryNotFound")
    step = record.status.push.step if record.status and record.status.push else "Pending"
    if step == "Pending":
        configuration_of(record, inventory.addresses)
    return Case(
        record=record,
        segment=segment,
        lineage=lineage,
        inventory=inventory,
        view=world.gateway(namespace, segment.spec.gateway_id),
        records=configurations_of(world, namespace, name),
        world=world,
        now=now,
    )


def _without_case(
    record: MeshConfiguration,
    status: MeshConfigurationStatus,
    push: PushStatus,
    error: InvalidInput,
    now: datetime,
) -> Outcome:
    """Before anything was sent a changed inventory is a verdict; else all waits, and the gateway's timer acts."""
    is_verdict = push.step == "Pending" and error.reason in ("InventoryChanged", "UnknownNode")
    step = "Rejected" if is_verdict else push.step
    told = push.model_copy(update={"step": step, "reason": error.reason[:64], "message": str(error)[:1024]})
    return _outcome(record, status.model_copy(update={"push": told}), now, requeue=60.0)


def _settled(case: Case) -> Outcome:
    """A confirmed or adopted revision: heal drift if it is the one in force."""
    heal, actions, requeue = plan_heal(case)
    status = case.status.model_copy(update={"heal": heal})
    touch = (key_of(case.record),) if heal != case.status.heal else ()
    return replace(_outcome(case.record, status, case.now, requeue=requeue), after=actions, touch=touch)


def _advance(case: Case, push: PushStatus) -> Outcome:
    step = Step(push.step)
    if step is Step.PENDING:
        return _start(case, push)
    if step is Step.ABORTING:
        return _finish_abort(case, push)
    status, news = _read(case, push)
    if news.signal is Signal.WAIT:
        again = command_of(case, push)
        return replace(_outcome(case.record, status, case.now, requeue=LOOK_AGAIN_S), after=(again,))
    return _enter(case, status, push, news)


def _read(case: Case, push: PushStatus) -> tuple[MeshConfigurationStatus, News]:
    """The signal of a step in flight, and the status with what it measured."""
    step, status = Step(push.step), with_outcomes(case, push)
    if step in IN_FORCE_COUNTS and is_in_force(case.view, case.record):
        return status, News(signal=Signal.IN_FORCE)
    stop = _find_stop(case, step)
    if stop is not None:
        return status, News(signal=Signal.STOP, reason=stop.reason, message=stop.message)
    if step in STEPS_AFTER_COMMIT and _was_taken_back(case, push):
        return status, _restored_news(case)
    news = read_answer(push, case.record, case.view, case.world.epoch)
    if news.signal is Signal.DONE:
        return take_over(case, status, push, news)
    silence = find_silence(case, status, push, news) if news.signal is Signal.WAIT else None
    if silence is not None:
        return silence
    if news.signal is Signal.WAIT and push.not_after is not None and case.now >= push.not_after:
        text = f"step {step.value} was not done by {push.not_after.isoformat()}"
        return status, News(signal=Signal.LATE, reason="TimedOut", message=text)
    return status, news


def _find_stop(case: Case, step: Step) -> Hold | None:
    """Stops between any two steps; a closing window ends a push only before the commit."""
    stop = find_stop(case.lineage)
    before_commit = step in (Step.STAGING, Step.MEASURING_BASELINE)
    if stop is None and before_commit and not is_window_open(case.lineage.twin.spec.change_windows, case.now):
        return Hold("OutsideWindow", "the change window closed before the commit")
    return stop


def _was_taken_back(case: Case, push: PushStatus) -> bool:
    """Whether the gateway restored by itself. Right after ``commit`` its report may still be an older one."""
    reported = case.view.reported
    if reported is None or not is_restored(case.view, case.record):
        return False
    if Step(push.step) is Step.COMMITTING:
        return reported.attempt_id == push.attempt_id and reported.restore_reason is not None
    return True


def _restored_news(case: Case) -> News:
    reason = (case.view.reported.restore_reason if case.view.reported else None) or "TimedOut"
    return News(signal=Signal.RESTORED, reason=reason, message="the gateway restored what it had before")


def _start(case: Case, push: PushStatus) -> Outcome:
    status = _with_prediction(case)
    if is_in_force(case.view, case.record):
        return _enter(case, status, push, News(signal=Signal.IN_FORCE))
    verdict = judge_start(case.record, case.records, case.view, push.failures)
    if verdict is not None:
        signal, message = verdict
        reason = push.reason if signal is Signal.EXHAUSTED and push.reason else REASON_OF_START[signal]
        return _enter(case, status, push, News(signal=signal, reason=reason, message=message))
    hold = find_hold(case.lineage, case.view, case.record, case.world, case.now)
    if hold is None and push.next_try_at is not None and case.now < push.next_try_at:
        hold = Hold(push.reason or "Retrying", push.message)
    if hold is not None:
        told = push.model_copy(update={"step": "Pending", "reason": hold.reason, "message": hold.message[:1024]})
        return _outcome(case.record, status.model_copy(update={"push": told}), case.now, requeue=HELD_AGAIN_S)
    attempts = push.attempts + 1
    fresh = push.model_copy(
        update={
            "attempts": attempts,
            "attempt_id": attempt_id(case.record.metadata.uid, "push", attempts),
            "looks": 0,
            "confirm_by": None,
            "next_try_at": None,
        }
    )
    cleared = status.model_copy(
        update={"measured_before": None, "measured_after": None, "no_harm": None, "outcomes": None}
    )
    return _enter(case, cleared, fresh, News(signal=Signal.GO))


def _with_prediction(case: Case) -> MeshConfigurationStatus:
    reference = case.record.spec.proposal_ref
    if case.status.predicted is not None or reference is None:
        return case.status
    found = case.world.get(ObjectKey("ConfigurationProposal", case.record.metadata.namespace, reference.name))
    if not isinstance(found, ConfigurationProposal):
        return case.status
    prediction = found.spec.prediction or (found.status.prediction if found.status else None)
    return case.status.model_copy(update={"predicted": prediction})


def _enter(case: Case, status: MeshConfigurationStatus, push: PushStatus, news: News) -> Outcome:
    """Take the transition: the new step into status, its command behind it."""
    old = Step(push.step)
    step = next_step(old, news.signal)
    reason, message = news.reason, news.message
    if step is Step.ABORTING and news.signal in (Signal.FAILED, Signal.REFUSED) and not reason:
        reason = "Failed"
    update: dict[str, Any] = {
        "step": step.value,
        "epoch": case.world.epoch,
        "step_started_at": to_seconds(case.now),
        "reason": reason[:64],
        "message": message[:1024],
        "looks": push.looks + 1 if news.signal is Signal.LOOK_AGAIN else push.looks,
    }
    if step is Step.COMMITTING:
        within = case.lineage.twin.spec.push.confirm_within_seconds
        update["confirm_by"] = to_seconds(case.now + timedelta(seconds=within))
    elif step is Step.VERIFYING and old is Step.COMMITTING:
        rollback_at = case.view.reported.rollback_at if case.view.reported else None
        update["confirm_by"] = to_seconds(rollback_at) if rollback_at else push.confirm_by
    entered = push.model_copy(update=update)
    entered = entered.model_copy(update={"not_after": deadline_of(case, entered)})
    changed = status.model_copy(
        update={
            "push": entered,
            "confirmed_at": to_seconds(case.now) if step is Step.CONFIRMED else status.confirmed_at,
        }
    )
    actions: tuple[Action, ...] = ()
    if step.value not in TERMINAL and step is not Step.PENDING:
        actions = (command_of(case, entered),)
    outcome = _outcome(case.record, changed, case.now, requeue=LOOK_AGAIN_S)
    event = KubeEvent(
        reason=step.value,
        message=(message or f"revision {case.record.spec.revision} is {step.value}")[:1024],
        type="Warning" if step in (Step.ABORTING, Step.ROLLED_BACK, Step.REJECTED, Step.TIMED_OUT) else "Normal",
    )
    return replace(outcome, after=actions, events=(event,), touch=(key_of(case.record),))


def _finish_abort(case: Case, push: PushStatus) -> Outcome:
    """Wait until the gateway holds nothing of ours, then say what became of the push."""
    status = case.status
    if is_in_force(case.view, case.record):
        return _enter(case, status, push, News(signal=Signal.IN_FORCE))
    remembered = push.reason != "Harm" or _is_remembered(case)
    if not is_settled(case.view) or not remembered:
        again = command_of(case, push)
        return replace(_outcome(case.record, status, case.now, requeue=LOOK_AGAIN_S), after=(again,))
    if push.reason in HARM_REASONS:
        return _enter(case, status, push, _harm_news(case, push))
    if push.reason in STOP_REASONS:
        news = News(signal=Signal.RESTORED, reason=push.reason, message=push.message)
        return _enter(case, status, push, news)
    failures = push.failures + 1
    pause_s = BACKOFF_S * 2 ** (failures - 1)
    later = push.model_copy(
        update={"failures": failures, "next_try_at": to_seconds(case.now + timedelta(seconds=pause_s))}
    )
    return _enter(case, status, later, News(signal=Signal.RESTORED, reason=push.reason, message=push.message))


def _harm_news(case: Case, push: PushStatus) -> News:
    """The verdict; a missed coverage is harm if the gateway found that the configuration itself cut nodes off."""
    if push.reason == "CoverageMissed" and _is_remembered(case):
        message = f"{push.message}; nodes that were silent answered again once it was taken back"
        return News(signal=Signal.HARM, reason="Harm", message=message[:1024])
    return News(signal=Signal.HARM, reason=push.reason, message=push.message)


def _is_remembered(case: Case) -> bool:
    """Whether the gateway has noted that this configuration did harm: only then can status be lost safely."""
    reported = case.view.reported
    return reported is not None and case.record.spec.digest in reported.rejected_hashes


def _outcome(
    record: MeshConfiguration,
    status: MeshConfigurationStatus,
    now: datetime,
    *,
    requeue: float | None = None,
) -> Outcome:
    generation = record.metadata.generation
    conditions = settle(record.status, conditions_for(status), generation=generation, now=now)
    settled = status.model_copy(update={"conditions": conditions, "observed_generation": generation})
    return Outcome(
        status=settled.model_dump(mode="json", by_alias=True, exclude_none=True),
        events=transition_events(record.status, conditions),
        requeue_after_s=requeue,
    )
