"""The safety net as a transition table: which event is allowed in which phase, and where it leads."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from meshtwin.contract.configuration import GatewayPhase
from meshtwin.errors import Inconsistent

__all__ = ["NEXT", "PhaseEvent", "is_allowed", "next_phase"]


class PhaseEvent(StrEnum):
    """What moves the gateway from phase to phase."""

    STAGE = "stage"
    COMMIT = "commit"
    COVERED = "covered"  # enough nodes applied
    MISSED = "missed"  # too few nodes applied
    CONFIRM = "confirm"
    ABORT = "abort"
    TIME_OUT = "timeOut"
    RESTORED = "restored"


NEXT: Final[Mapping[tuple[GatewayPhase, PhaseEvent], GatewayPhase]] = MappingProxyType(
    {
        (GatewayPhase.IDLE, PhaseEvent.STAGE): GatewayPhase.STAGED,
        (GatewayPhase.STAGED, PhaseEvent.STAGE): GatewayPhase.STAGED,
        (GatewayPhase.STAGED, PhaseEvent.ABORT): GatewayPhase.IDLE,
        (GatewayPhase.STAGED, PhaseEvent.COMMIT): GatewayPhase.COMMITTING,
        (GatewayPhase.COMMITTING, PhaseEvent.COVERED): GatewayPhase.ARMED,
        (GatewayPhase.COMMITTING, PhaseEvent.MISSED): GatewayPhase.RESTORING,
        (GatewayPhase.COMMITTING, PhaseEvent.ABORT): GatewayPhase.RESTORING,
        (GatewayPhase.COMMITTING, PhaseEvent.TIME_OUT): GatewayPhase.RESTORING,
        (GatewayPhase.ARMED, PhaseEvent.CONFIRM): GatewayPhase.IDLE,
        (GatewayPhase.ARMED, PhaseEvent.ABORT): GatewayPhase.RESTORING,
        (GatewayPhase.ARMED, PhaseEvent.TIME_OUT): GatewayPhase.RESTORING,
        (GatewayPhase.RESTORING, PhaseEvent.RESTORED): GatewayPhase.IDLE,
    }
)


def is_allowed(phase: GatewayPhase, event: PhaseEvent) -> bool:
    """Whether ``event`` leads anywhere from ``phase``."""
    return (phase, event) in NEXT


def next_phase(phase: GatewayPhase, event: PhaseEvent) -> GatewayPhase:
    """The phase after ``event``; raises `Inconsistent` naming both where it is not allowed."""
    if (phase, event) not in NEXT:
        raise Inconsistent(f"{event} is not allowed in phase {phase}", reason="WrongPhase")
    return NEXT[phase, event]
