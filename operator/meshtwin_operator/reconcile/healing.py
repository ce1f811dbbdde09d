"""Healing drift: the revision in force is sent once more, because nodes no longer are as it says.

A machine of its own in ``status.heal``: the verdict on the revision stands, and what is restored had passed
its no-harm test. Not measured again. Retried with growing pauses, for ever: lamps come back when they do.
"""

from datetime import timedelta
from typing import Final

from meshtwin.contract.configuration import GatewayPhase, Verb
from meshtwin_operator.reconcile.commands import push_command, result_of
from meshtwin_operator.reconcile.conditions import to_seconds
from meshtwin_operator.reconcile.guards import find_hold, find_stop
from meshtwin_operator.reconcile.naming import attempt_id
from meshtwin_operator.reconcile.outcome import PublishCommand
from meshtwin_operator.reconcile.push import Step
from meshtwin_operator.reconcile.push_case import Case
from meshtwin_operator.reconcile.revisions import find_base, find_wanted
from meshtwin_operator.resources.records import PushStatus

__all__ = ["plan_heal"]

PAUSE_S: Final = 120.0  # between two tries, doubled with each that failed
PAUSE_MAX_S: Final = 3600.0
STEP_S: Final = 300  # time limit of a step
LOOK_AGAIN_S: Final = 5.0

AFTER: Final = {Step.STAGING: Step.COMMITTING, Step.COMMITTING: Step.CONFIRMING, Step.CONFIRMING: Step.CONFIRMED}
VERBS: Final = {
    Step.STAGING: Verb.STAGE,
    Step.COMMITTING: Verb.COMMIT,
    Step.CONFIRMING: Verb.CONFIRM,
    Step.ABORTING: Verb.ABORT,
}

Plan = tuple[PushStatus | None, tuple[PublishCommand, ...], float | None]


def plan_heal(case: Case) -> Plan:
    """The next state of the repair, commands to give, and when to look again."""
    heal = case.status.heal
    step = Step(heal.step) if heal else Step.CONFIRMED
    if heal is not None and step in VERBS:
        return _advance(case, heal, step)
    reported = case.view.reported
    base = find_base(case.records)
    if base is None or base.metadata.name != case.record.metadata.name or find_wanted(case.records):
        return heal, (), None
    if reported is None or case.lineage.twin.spec.push.drift != "Heal":
        return heal, (), None
    # 0 is what a gateway holds that has only read its nodes: one that lost its own record, as a new device. Another
    # revision before ours: it works with an older copy of its record.
    held = reported.revision
    is_forgotten = held is not None and held < case.record.spec.revision and reported.phase is GatewayPhase.IDLE
    is_held = reported.revision == case.record.spec.revision and reported.hash == case.record.spec.digest
    if not is_forgotten and not (is_held and reported.drifted):
        return heal, (), None
    if find_hold(case.lineage, case.view, case.record, case.world, case.now) is not None:
        return heal, (), 30.0
    if heal is not None and heal.next_try_at is not None and case.now < heal.next_try_at:
        return heal, (), (heal.next_try_at - case.now).total_seconds() + 1
    attempts = (heal.attempts if heal else 0) + 1
    fresh = PushStatus(
        step="Pending",
        attempts=attempts,
        failures=heal.failures if heal else 0,
        attempt_id=attempt_id(case.record.metadata.uid, "heal", attempts),
    )
    if is_forgotten:
        older = f"revision {held}, by an older copy of its record" if held else "no revision of ours any more"
        return _enter(case, fresh, Step.STAGING, "GatewayForgot", f"the gateway holds {older}")
    return _enter(case, fresh, Step.STAGING, "Drift", "nodes were changed by someone else")


def _advance(case: Case, heal: PushStatus, step: Step) -> Plan:
    idle = case.view.reported is not None and case.view.reported.phase is GatewayPhase.IDLE
    if step is Step.ABORTING:
        if not idle:
            return heal, (_command(case, heal),), LOOK_AGAIN_S
        failures = heal.failures + 1
        pause_s = min(PAUSE_MAX_S, PAUSE_S * 2 ** min(failures - 1, 16))  # for ever: the power must not overflow
        later = heal.model_copy(
            update={
                "step": "TimedOut",
                "failures": failures,
                "next_try_at": to_seconds(case.now + timedelta(seconds=pause_s)),
            }
        )
        return later, (), pause_s + 1
    stop = find_stop(case.lineage)
    if stop is not None:
        return _enter(case, heal, Step.ABORTING, stop.reason, stop.message)
    result = result_of(case.view, heal.attempt_id or "", VERBS[step])
    if result is not None and result.status == "done":
        if step is Step.CONFIRMING:
            done = heal.model_copy(update={"step": "Confirmed", "failures": 0, "reason": "Healed", "message": ""})
            return done, (), None
        return _enter(case, heal, AFTER[step], heal.reason, heal.message)
    if result is not None and result.status in ("failed", "refused") and result.reason != "Busy":
        return _enter(case, heal, Step.ABORTING, result.reason or "Failed", result.message or "")
    if heal.not_after is not None and case.now >= heal.not_after:
        return _enter(case, heal, Step.ABORTING, "TimedOut", f"step {step.value} was not done in {STEP_S} s")
    return heal, (_command(case, heal),), LOOK_AGAIN_S


def _enter(case: Case, heal: PushStatus, step: Step, reason: str, message: str) -> Plan:
    limit = None if step is Step.ABORTING else to_seconds(case.now + timedelta(seconds=STEP_S))
    entered = heal.model_copy(
        update={
            "step": step.value,
            "epoch": case.world.epoch,
            "step_started_at": to_seconds(case.now),
            "not_after": limit,
            "next_try_at": None,
            "reason": reason[:64],
            "message": message[:1024],
        }
    )
    return entered, (_command(case, entered),), LOOK_AGAIN_S


def _command(case: Case, heal: PushStatus) -> PublishCommand:
    step, policy = Step(heal.step), case.lineage.twin.spec.push
    committing = step is Step.COMMITTING
    command = push_command(
        VERBS[step],
        case.record,
        attempt=heal.attempt_id or "",
        epoch=case.world.epoch,
        now=case.now,
        not_after=heal.not_after or case.now + timedelta(seconds=60),
        nodes=case.inventory.addresses if step is Step.STAGING else (),
        coverage_per_mille=policy.coverage_per_mille if committing else None,
        confirm_within_seconds=policy.confirm_within_seconds if committing else None,
        reason=heal.reason if step is Step.ABORTING else None,
    )
    return case.publish(command)
