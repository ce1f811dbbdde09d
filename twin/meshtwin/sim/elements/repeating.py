"""When a message is sent again as a whole: repetitions of its publication, and retries of the application."""

from typing import NamedTuple

from meshtwin.sim.packets import Packet, PartKind
from meshtwin.sim.scenario import ScenarioFlow
from meshtwin.units import s_to_ns

__all__ = ["Repeat", "is_still_wanted", "plan_repeats"]


class Repeat(NamedTuple):
    """One more sending of a message, ``after_ns`` the first; ``attempt`` 1, 2, ... in the order of the plan."""

    after_ns: int
    kind: PartKind  # `PartKind.REPETITION` or `PartKind.RETRY`
    attempt: int


def plan_repeats(flow: ScenarioFlow) -> tuple[Repeat, ...]:
    """All that can follow a message of the flow: repetitions, then retries."""
    plan: list[Repeat] = []
    if flow.publish_retransmit is not None:
        interval_s = flow.publish_retransmit.interval_s
        for number in range(1, 1 + flow.publish_retransmit.count):
            plan.append(Repeat(s_to_ns(number * interval_s), PartKind.REPETITION, number))
    if flow.retries is not None:
        repetitions = len(plan)
        for number in range(1, 1 + flow.retries.count):
            plan.append(Repeat(s_to_ns(number * flow.retries.after_s), PartKind.RETRY, repetitions + number))
    return tuple(plan)


def is_still_wanted(message: Packet, kind: PartKind) -> bool:
    """Whether a repeat that is due is sent: a retry is not when all members have answered meanwhile."""
    has_all_answers = message.monitoring.answered.keys() >= message.properties.member_indices
    return not (kind is PartKind.RETRY and has_all_answers)
