"""The push of one revision as a transition table: steps, signals, and what ends in which verdict.

Order: stage, measure the baseline (staged settings are not in force yet), commit, measure again, confirm.
Laws: a confirm follows only a passed no-harm test. From every step an abort is possible. Verdicts are terminal.
Pure: what a gateway said is folded into one `Signal` elsewhere.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from meshtwin.errors import Inconsistent

__all__ = ["NEXT", "Signal", "Step", "next_step"]


class Step(StrEnum):
    """As in ``status.push.step``."""

    PENDING = "Pending"
    STAGING = "Staging"
    MEASURING_BASELINE = "MeasuringBaseline"
    COMMITTING = "Committing"
    VERIFYING = "Verifying"
    CONFIRMING = "Confirming"
    ABORTING = "Aborting"
    CONFIRMED = "Confirmed"
    ROLLED_BACK = "RolledBack"
    REJECTED = "Rejected"
    TIMED_OUT = "TimedOut"
    SUPERSEDED = "Superseded"
    ADOPTED = "Adopted"


class Signal(StrEnum):
    """What is known about the step in flight."""

    GO = "go"  # nothing stands in the way of starting
    WAIT = "wait"  # no news
    DONE = "done"  # the step's command was carried out; after VERIFYING: found harmless
    LOOK_AGAIN = "lookAgain"  # measured, but not enough to tell
    HARM = "harm"  # harmful, or not shown to be harmless
    REFUSED = "refused"  # for good
    FAILED = "failed"  # the gateway tried and gave up
    LATE = "late"  # time limit of the step
    STOP = "stop"  # suspend, emergency stop, mode, window
    RESTORED = "restored"  # the gateway is back on what it had before
    IN_FORCE = "inForce"  # the gateway says that the revision is confirmed
    SUPERSEDE = "supersede"  # a newer revision, or another base
    FORBIDDEN = "forbidden"  # the gateway rejects this hash: it did harm before
    EXHAUSTED = "exhausted"  # too many attempts ran into a time limit


NEXT: Final[Mapping[tuple[Step, Signal], Step]] = {
    (Step.PENDING, Signal.GO): Step.STAGING,
    (Step.PENDING, Signal.SUPERSEDE): Step.SUPERSEDED,
    (Step.PENDING, Signal.FORBIDDEN): Step.REJECTED,
    (Step.PENDING, Signal.EXHAUSTED): Step.TIMED_OUT,
    (Step.PENDING, Signal.IN_FORCE): Step.CONFIRMED,
    (Step.STAGING, Signal.DONE): Step.MEASURING_BASELINE,
    (Step.STAGING, Signal.REFUSED): Step.REJECTED,
    (Step.STAGING, Signal.FORBIDDEN): Step.REJECTED,
    (Step.STAGING, Signal.FAILED): Step.ABORTING,
    (Step.STAGING, Signal.LATE): Step.ABORTING,
    (Step.STAGING, Signal.STOP): Step.ABORTING,
    (Step.STAGING, Signal.IN_FORCE): Step.CONFIRMED,
    (Step.MEASURING_BASELINE, Signal.DONE): Step.COMMITTING,
    (Step.MEASURING_BASELINE, Signal.REFUSED): Step.ABORTING,
    (Step.MEASURING_BASELINE, Signal.FAILED): Step.ABORTING,
    (Step.MEASURING_BASELINE, Signal.LATE): Step.ABORTING,
    (Step.MEASURING_BASELINE, Signal.STOP): Step.ABORTING,
    (Step.COMMITTING, Signal.DONE): Step.VERIFYING,
    (Step.COMMITTING, Signal.REFUSED): Step.ABORTING,
    (Step.COMMITTING, Signal.FAILED): Step.ABORTING,
    (Step.COMMITTING, Signal.LATE): Step.ABORTING,
    (Step.COMMITTING, Signal.STOP): Step.ABORTING,
    (Step.COMMITTING, Signal.RESTORED): Step.ABORTING,
    (Step.COMMITTING, Signal.IN_FORCE): Step.CONFIRMED,
    (Step.VERIFYING, Signal.DONE): Step.CONFIRMING,
    (Step.VERIFYING, Signal.LOOK_AGAIN): Step.VERIFYING,
    (Step.VERIFYING, Signal.HARM): Step.ABORTING,
    (Step.VERIFYING, Signal.REFUSED): Step.ABORTING,
    (Step.VERIFYING, Signal.FAILED): Step.ABORTING,
    (Step.VERIFYING, Signal.LATE): Step.ABORTING,
    (Step.VERIFYING, Signal.STOP): Step.ABORTING,
    (Step.VERIFYING, Signal.RESTORED): Step.ABORTING,
    (Step.VERIFYING, Signal.IN_FORCE): Step.CONFIRMED,
    (Step.CONFIRMING, Signal.IN_FORCE): Step.CONFIRMED,
    (Step.CONFIRMING, Signal.REFUSED): Step.ABORTING,
    (Step.CONFIRMING, Signal.FAILED): Step.ABORTING,
    (Step.CONFIRMING, Signal.LATE): Step.ABORTING,
    (Step.CONFIRMING, Signal.STOP): Step.ABORTING,
    (Step.CONFIRMING, Signal.RESTORED): Step.ABORTING,
    (Step.ABORTING, Signal.HARM): Step.ROLLED_BACK,
    (Step.ABORTING, Signal.RESTORED): Step.PENDING,
    (Step.ABORTING, Signal.IN_FORCE): Step.CONFIRMED,
}


def next_step(step: Step, signal: Signal) -> Step:
    """The step after ``signal``; the same step for `Signal.WAIT`.

    Raises `Inconsistent` naming both when the table has no such transition.
    """
    if signal is Signal.WAIT:
        return step
    try:
        return NEXT[step, signal]
    except KeyError:
        raise Inconsistent(f"a push in step {step.value} cannot take {signal.value}") from None
