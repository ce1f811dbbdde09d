"""The command and the time limit of each step of a push."""

from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.configuration import Verb
from meshtwin_operator.reconcile.commands import probe_command, push_command
from meshtwin_operator.reconcile.conditions import to_seconds
from meshtwin_operator.reconcile.outcome import PublishCommand
from meshtwin_operator.reconcile.push import Step
from meshtwin_operator.reconcile.push_case import Case
from meshtwin_operator.reconcile.signals import probe_attempt
from meshtwin_operator.resources.records import PushStatus

__all__ = ["command_of", "deadline_of"]

# Time limits of the steps. Assumed from the reference gateway on an emulated office of 52 nodes, with room to
# spare; a slow mesh shows as step ``TimedOut`` and is tried again.
STAGE_S: Final = 60
PROBE_S: Final = 60
PROBE_S_PER_PRESS: Final = 3.0  # per flow: about 0.5 s to send, the rest to fetch results through the mesh
COMMIT_S: Final = 120
COMMIT_S_PER_NODE: Final = 10.0  # several acknowledged settings, repeated, over several hops
CONFIRM_S: Final = 120
ABORT_LIFE_S: Final = 60
VERIFY_SLACK_S: Final = 10  # left for the confirm before the gateway's own timer runs out


def presses_of(case: Case, push: PushStatus) -> int:
    """Messages per flow of this probe: the batch, doubled at each further look."""
    return case.lineage.twin.spec.push.probe_messages << push.looks


def deadline_of(case: Case, push: PushStatus) -> datetime | None:
    """Time limit of a step that was just entered."""
    step, nodes = Step(push.step), len(case.inventory.nodes)
    flows = max(1, len(case.segment.spec.flows))
    if step is Step.STAGING:
        limit_s: float = STAGE_S
    elif step is Step.MEASURING_BASELINE:
        limit_s = PROBE_S + PROBE_S_PER_PRESS * presses_of(case, push) * flows + nodes
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


def command_of(case: Case, push: PushStatus) -> PublishCommand:
    """The command of a step; equal for every look at the same step, but for the time it is sent at."""
    step, policy = Step(push.step), case.lineage.twin.spec.push
    not_after = push.not_after or case.now + timedelta(seconds=ABORT_LIFE_S)
    if step in (Step.MEASURING_BASELINE, Step.VERIFYING):
        probe = probe_command(
            case.segment,
            case.inventory,
            attempt=probe_attempt(push, case.world.epoch),
            epoch=case.world.epoch,
            presses=presses_of(case, push),
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
