"""`MeshConfiguration`: carries one approved revision to its gateway, and judges what it did.

Each step is in status before its command is published. A command that is not answered is given again at every
look with the same attempt id, so that an operator killed at any point goes on where it stopped.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from meshtwin.contract.configuration import Command, Verb
from meshtwin.errors import InvalidInput
from meshtwin.mesh.nodes import Inventory
from meshtwin_operator.reconcile.commands import probe_command, push_command
from meshtwin_operator.reconcile.conditions import settle, to_seconds, transition_events
from meshtwin_operator.reconcile.configuration_conditions import conditions_for
from meshtwin_operator.reconcile.guards import Hold, find_hold, find_stop, is_window_open, judge_start
from meshtwin_operator.reconcile.healing import plan_heal
from meshtwin_operator.reconcile.measuring import (
    count_outcomes,
    figures_of,
    judge,
    merge_figures,
    silent_nodes,
)
from meshtwin_operator.reconcile.naming import attempt_id
from meshtwin_operator.reconcile.no_harm import LOOKS_MAX, Judgement
from meshtwin_operator.reconcile.outcome import Action, KubeEvent, Outcome, PublishCommand
from meshtwin_operator.reconcile.push import Signal, Step, next_step
from meshtwin_operator.reconcile.revisions import configuration_of
from meshtwin_operator.reconcile.signals import (
    News,
    is_in_force,
    is_restored,
    is_settled,
    probe_attempt,
    read_answer,
)
from meshtwin_operator.reconcile.tree import TERMINAL, Lineage, configurations_of, find_lineage
from meshtwin_operator.reconcile.world import GatewayView, ObjectKey, World
from meshtwin_operator.resources.records import (
    ConfigurationProposal,
    MeshConfiguration,
    MeshConfigurationStatus,
    PushStatus,
)
from meshtwin_operator.resources.twins import MeshSegment

__all__ = ["Case", "reconcile_configuration"]

STAGE_S: Final = 60  # time limits of the steps
PROBE_S: Final = 60
PROBE_S_PER_PRESS: Final = 3.0  # per flow: about 0.5 s to send, the rest to fetch results through the mesh
COMMIT_S: Final = 120
COMMIT_S_PER_NODE: Final = 10.0  # several acknowledged settings, repeated, over several hops
CONFIRM_S: Final = 120
ABORT_LIFE_S: Final = 60
VERIFY_SLACK_S: Final = 10  # left for the confirm before the gateway's own timer runs out
LOOK_AGAIN_S: Final = 5.0  # a command without an answer is given again
HELD_AGAIN_S: Final = 30.0
BACKOFF_S: Final = 30.0  # after the first failed attempt; doubles

STEPS_AFTER_COMMIT: Final = frozenset({Step.COMMITTING, Step.VERIFYING, Step.CONFIRMING})
IN_FORCE_COUNTS: Final = frozenset(
    {Step.PENDING, Step.STAGING, Step.COMMITTING, Step.VERIFYING, Step.CONFIRMING, Step.ABORTING}
)
HARM_REASONS: Final = frozenset({"Harm", "NotShownHarmless", "CoverageMissed"})
STOP_REASONS: Final = frozenset({"EmergencyStop", "Suspended", "NotInControl", "OutsideWindow"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Everything one push is looked at with."""

    record: MeshConfiguration
    segment: MeshSegment
    lineage: Lineage
    inventory: Inventory
    view: GatewayView
    records: tuple[MeshConfiguration, ...]
    world: World
    now: datetime

    @property
    def status(self) -> MeshConfigurationStatus:
        """Status as read; an empty one before the first."""
        return self.record.status or MeshConfigurationStatus()

    def publish(self, command: Command) -> PublishCommand:
        """The command as an action."""
        return PublishCommand(
            self.lineage.root.metadata.name,
            self.segment.spec.gateway_id or "",
            command,
            self.record.metadata.namespace,
        )


def reconcile_configuration(record: MeshConfiguration, world: World, now: datetime) -> Outcome:
    """Bring the push one step on; heal drift of the revision in force; leave verdicts alone."""
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
    if push.step == "Pending" and error.reason in ("InventoryChanged", "UnknownNode"):
        step = "Rejected"
    else:
        step = push.step
    told = push.model_copy(update={"step": step, "reason": error.reason[:64], "message": str(error)[:1024]})
    return _outcome(record, status.model_copy(update={"push": told}), now, requeue=60.0)


def _settled(case: Case) -> Outcome:
    """A confirmed or adopted revision: heal drift if it is the one in force."""
    heal, actions, requeue = plan_heal(case)
    status = case.status.model_copy(update={"heal": heal})
    touch = (_key(case.record),) if heal != case.status.heal else ()
    return replace(_outcome(case.record, status, case.now, requeue=requeue), after=actions, touch=touch)


def _key(record: MeshConfiguration) -> ObjectKey:
    return ObjectKey(record.kind, record.metadata.namespace, record.metadata.name)


def _advance(case: Case, push: PushStatus) -> Outcome:
    step = Step(push.step)
    if step is Step.PENDING:
        return _start(case, push)
    if step is Step.ABORTING:
        return _finish_abort(case, push)
    status, news = _read(case, push)
    if news.signal is Signal.WAIT:
        again = _command(case, push)
        return replace(_outcome(case.record, status, case.now, requeue=LOOK_AGAIN_S), after=(again,))
    return _enter(case, status, push, news)


def _read(case: Case, push: PushStatus) -> tuple[MeshConfigurationStatus, News]:
    """The signal of a step in flight, and the status with what it measured."""
    step, status = Step(push.step), case.status
    if step in IN_FORCE_COUNTS and is_in_force(case.view, case.record):
        return status, News(signal=Signal.IN_FORCE)
    stop = _find_stop(case, step)
    if stop is not None:
        return status, News(signal=Signal.STOP, reason=stop.reason, message=stop.message)
    if step in STEPS_AFTER_COMMIT and _was_taken_back(case, push):
        return status, _restored_news(case)
    news = read_answer(push, case.record, case.view, case.world.epoch)
    if news.signal is Signal.DONE:
        return _take_over(case, push, news)
    if news.signal is Signal.WAIT and push.not_after is not None and case.now >= push.not_after:
        text = f"step {step.value} was not done by {push.not_after.isoformat()}"
        return status, News(signal=Signal.LATE, reason="TimedOut", message=text)
    return status, news


def _find_stop(case: Case, step: Step) -> Hold | None:
    """Stops between any two steps; a closing window ends a push only before the commit."""
    stop = find_stop(case.lineage)
    if stop is None and step in (Step.STAGING, Step.MEASURING_BASELINE):
        if not is_window_open(case.lineage.twin.spec.change_windows, case.now):
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


def _take_over(case: Case, push: PushStatus, news: News) -> tuple[MeshConfigurationStatus, News]:
    """What the finished step measured goes into the status."""
    step, status, policy = Step(push.step), case.status, case.lineage.twin.spec.push
    if step is Step.COMMITTING and news.result is not None:
        return status.model_copy(update={"outcomes": count_outcomes(news.result.outcomes)}), news
    if step not in (Step.MEASURING_BASELINE, Step.VERIFYING) or news.result is None:
        return status, news
    probe = probe_attempt(push, case.world.epoch)
    reports = case.view.flows.get(probe, ())
    missing = {flow.name for flow in case.segment.spec.flows} - {report.flow for report in reports}
    if missing and not _is_over(push, case.now):
        return status, News(signal=Signal.WAIT)  # figures come on another topic than the result
    figures = figures_of(reports, case.view.airtime.get(probe))
    if step is Step.MEASURING_BASELINE:
        silent = silent_nodes(news.result)
        return status.model_copy(update={"measured_before": figures, "silent_before": silent}), news
    after = merge_figures(status.measured_after, figures)
    new_silent = sorted(set(silent_nodes(news.result)) - set(status.silent_before))
    before = status.measured_before or figures.model_copy(update={"flows": []})
    judgement, verdict = judge(
        before,
        after,
        margin_per_mille=policy.harm_margin_per_mille,
        newly_silent=new_silent,
        allowed_silent=len(case.inventory.nodes) * (1000 - policy.coverage_per_mille) // 1000,
    )
    judged = status.model_copy(update={"measured_after": after, "no_harm": verdict})
    return judged, _verdict_news(judgement, push, case.now, verdict.message)


def _is_over(push: PushStatus, now: datetime) -> bool:
    return push.not_after is not None and now >= push.not_after


def _verdict_news(judgement: Judgement, push: PushStatus, now: datetime, message: str) -> News:
    if judgement is Judgement.HARMLESS:
        return News(signal=Signal.DONE)
    if judgement is Judgement.HARMFUL:
        return News(signal=Signal.HARM, reason="Harm", message=message)
    took_s = (now - (push.step_started_at or now)).total_seconds()
    left_s = (push.not_after - now).total_seconds() if push.not_after else 0.0
    if push.looks + 1 >= LOOKS_MAX or left_s < 2.5 * took_s:  # the next probe is twice as long
        return News(signal=Signal.HARM, reason="NotShownHarmless", message=message)
    return News(signal=Signal.LOOK_AGAIN)


def _start(case: Case, push: PushStatus) -> Outcome:
    status = _with_prediction(case)
    if is_in_force(case.view, case.record):
        return _enter(case, status, push, News(signal=Signal.IN_FORCE))
    verdict = judge_start(case.record, case.records, case.view, push.failures)
    if verdict is not None:
        signal, message = verdict
        reason = (
            push.reason if signal is Signal.EXHAUSTED and push.reason else signal.value[:1].upper() + signal.value[1:]
        )
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
    entered = entered.model_copy(update={"not_after": _deadline(case, entered)})
    changed = status.model_copy(
        update={
            "push": entered,
            "confirmed_at": to_seconds(case.now) if step is Step.CONFIRMED else status.confirmed_at,
        }
    )
    actions: tuple[Action, ...] = ()
    if step.value not in TERMINAL and step is not Step.PENDING:
        actions = (_command(case, entered),)
    outcome = _outcome(case.record, changed, case.now, requeue=LOOK_AGAIN_S)
    event = KubeEvent(
        reason=step.value,
        message=(message or f"revision {case.record.spec.revision} is {step.value}")[:1024],
        type="Warning" if step in (Step.ABORTING, Step.ROLLED_BACK, Step.REJECTED, Step.TIMED_OUT) else "Normal",
    )
    return replace(outcome, after=actions, events=(event,), touch=(_key(case.record),))


def _presses(case: Case, push: PushStatus) -> int:
    """Messages per flow of this probe: the batch, doubled at each further look."""
    return case.lineage.twin.spec.push.probe_messages << push.looks


def _deadline(case: Case, push: PushStatus) -> datetime | None:
    """Time limit of a step that was just entered."""
    step, nodes = Step(push.step), len(case.inventory.nodes)
    flows = max(1, len(case.segment.spec.flows))
    if step is Step.STAGING:
        limit_s: float = STAGE_S
    elif step is Step.MEASURING_BASELINE:
        limit_s = PROBE_S + PROBE_S_PER_PRESS * _presses(case, push) * flows + nodes
    elif step is Step.COMMITTING:
        limit_s = max(COMMIT_S + COMMIT_S_PER_NODE * nodes, case.lineage.twin.spec.push.confirm_within_seconds)
    elif step is Step.VERIFYING:
        by = push.confirm_by or case.now + timedelta(seconds=PROBE_S)
        return to_seconds(by - timedelta(seconds=VERIFY_SLACK_S))
    elif step is Step.CONFIRMING:
        limit_s = CONFIRM_S
    else:
        return None
    return to_seconds(case.now + timedelta(seconds=limit_s))


def _command(case: Case, push: PushStatus) -> PublishCommand:
    """The command of a step; equal for every look at the same step, but for the time it is sent at."""
    step, policy = Step(push.step), case.lineage.twin.spec.push
    not_after = push.not_after or case.now + timedelta(seconds=ABORT_LIFE_S)
    if step in (Step.MEASURING_BASELINE, Step.VERIFYING):
        probe = probe_command(
            case.segment,
            case.inventory,
            attempt=probe_attempt(push, case.world.epoch),
            epoch=case.world.epoch,
            presses=_presses(case, push),
            now=case.now,
            not_after=not_after,
        )
        return case.publish(probe)
    verb = {
        Step.STAGING: Verb.STAGE,
        Step.COMMITTING: Verb.COMMIT,
        Step.CONFIRMING: Verb.CONFIRM,
        Step.ABORTING: Verb.ABORT,
    }[step]
    committing = step is Step.COMMITTING
    command = push_command(
        verb,
        case.record,
        attempt=push.attempt_id or "",
        epoch=case.world.epoch,
        now=case.now,
        not_after=not_after,
        nodes=case.inventory.addresses if step is Step.STAGING else (),
        coverage_per_mille=policy.coverage_per_mille if committing else None,
        confirm_within_seconds=policy.confirm_within_seconds if committing else None,
        reason=push.reason or None if step is Step.ABORTING else None,
    )
    return case.publish(command)


def _finish_abort(case: Case, push: PushStatus) -> Outcome:
    """Wait until the gateway holds nothing of ours, then say what became of the push."""
    status = case.status
    if is_in_force(case.view, case.record):
        return _enter(case, status, push, News(signal=Signal.IN_FORCE))
    remembered = push.reason != "Harm" or _is_remembered(case)
    if not is_settled(case.view) or not remembered:
        again = _command(case, push)
        return replace(_outcome(case.record, status, case.now, requeue=LOOK_AGAIN_S), after=(again,))
    if push.reason in HARM_REASONS:
        return _enter(case, status, push, News(signal=Signal.HARM, reason=push.reason, message=push.message))
    if push.reason in STOP_REASONS:
        news = News(signal=Signal.RESTORED, reason=push.reason, message=push.message)
        return _enter(case, status, push, news)
    failures = push.failures + 1
    pause_s = BACKOFF_S * 2 ** (failures - 1)
    later = push.model_copy(
        update={"failures": failures, "next_try_at": to_seconds(case.now + timedelta(seconds=pause_s))}
    )
    return _enter(case, status, later, News(signal=Signal.RESTORED, reason=push.reason, message=push.message))


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
