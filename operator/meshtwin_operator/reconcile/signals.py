"""What a gateway said about the step in flight, folded into one signal. Looks at what is, not at what came."""

from dataclasses import dataclass
from typing import Final

from meshtwin.contract.configuration import CommandResult, GatewayPhase, Verb
from meshtwin_operator.reconcile.commands import result_of
from meshtwin_operator.reconcile.push import Signal, Step
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.records import MeshConfiguration, PushStatus

__all__ = ["News", "is_in_force", "is_restored", "is_settled", "probe_attempt", "read_answer"]

# Refusals that time or a new attempt mends; any other one is for good.
PASSING: Final = frozenset(
    {
        "Busy",
        "FromFuture",
        "Late",
        "NotAdopted",
        "NothingArmed",
        "NothingStaged",
        "Restoring",
        "RevisionMismatch",
        "WrongPhase",
    }
)
ASK_LATER: Final = frozenset({"Busy", "StaleEpoch"})  # the same command is answered otherwise later

VERB_OF: Final = {
    Step.STAGING: Verb.STAGE,
    Step.MEASURING_BASELINE: Verb.PROBE,
    Step.COMMITTING: Verb.COMMIT,
    Step.VERIFYING: Verb.PROBE,
    Step.CONFIRMING: Verb.CONFIRM,
    Step.ABORTING: Verb.ABORT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A signal with its reason, and the answer it comes from."""

    signal: Signal
    reason: str = ""
    message: str = ""
    result: CommandResult | None = None


def probe_attempt(push: PushStatus, epoch: int) -> str:
    """Attempt id of the probe of this step.

    The operator's epoch is part of it: figures of a probe are not retained at the broker, so an operator that
    was restarted in between must measure again.
    """
    kind = "b" if Step(push.step) is Step.MEASURING_BASELINE else f"v{push.looks}"
    return f"{push.attempt_id}-{kind}-e{epoch}"


def is_in_force(view: GatewayView, record: MeshConfiguration) -> bool:
    """Whether the gateway reports the revision as confirmed."""
    reported = view.reported
    return (
        reported is not None
        and reported.phase is GatewayPhase.IDLE
        and reported.revision == record.spec.revision
        and reported.hash == record.spec.digest
    )


def is_settled(view: GatewayView) -> bool:
    """Whether nothing is staged, armed or being restored at the gateway."""
    return view.reported is not None and view.reported.phase is GatewayPhase.IDLE


def is_restored(view: GatewayView, record: MeshConfiguration) -> bool:
    """Whether the gateway is back on another configuration, after a commit of this one."""
    return is_settled(view) and not is_in_force(view, record)


def read_answer(push: PushStatus, record: MeshConfiguration, view: GatewayView, epoch: int) -> News:
    """The gateway's answer to the command of this step, or what its report shows of it."""
    step = Step(push.step)
    verb = VERB_OF[step]
    attempt = probe_attempt(push, epoch) if verb is Verb.PROBE else push.attempt_id or ""
    if _report_shows_done(step, push, record, view):
        return News(signal=Signal.DONE, result=result_of(view, attempt, verb))
    result = result_of(view, attempt, verb)
    if result is None or result.status == "accepted":
        return News(signal=Signal.WAIT, result=result)
    if result.status == "done":
        # Of a confirm the report says that it is in force: it comes on another topic, and is retained.
        return News(signal=Signal.WAIT if step is Step.CONFIRMING else Signal.DONE, result=result)
    reason, message = result.reason or result.status, result.message or ""
    if reason in ASK_LATER:
        return News(signal=Signal.WAIT)
    if result.status == "refused" and reason not in PASSING:
        signal = Signal.FORBIDDEN if reason == "PreviouslyHarmful" and step is Step.STAGING else Signal.REFUSED
        return News(signal=signal, reason=reason, message=message, result=result)
    return News(signal=Signal.FAILED, reason=reason, message=message, result=result)


def _report_shows_done(step: Step, push: PushStatus, record: MeshConfiguration, view: GatewayView) -> bool:
    """Results are not retained: after a restart the retained report says how far the gateway is."""
    reported = view.reported
    if reported is None or reported.attempt_id != push.attempt_id:
        return False
    if reported.pending_hash != record.spec.digest:
        return False
    if step is Step.STAGING:
        return reported.phase is GatewayPhase.STAGED
    return step is Step.COMMITTING and reported.phase is GatewayPhase.ARMED
