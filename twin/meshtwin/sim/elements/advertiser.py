"""When an advertising set sends a PDU: the first delay, the next copy, and when the set is free again.

Numbers of chance come in as arguments, in [0, 1).
"""

from meshtwin.sim.elements.transmit_queue import Job
from meshtwin.sim.profiles import StackProfile

__all__ = [
    "compute_first_delay_ns",
    "compute_repeat_ns",
    "copies_of_turn",
    "counts_delay_from_ns",
    "left_after",
    "set_is_free_ns",
]


def compute_first_delay_ns(
    profile: StackProfile, *, is_originated: bool, interval_ns: int, jitter: float, further: float
) -> int:
    """From being asked to send a PDU to its first copy.

    ``further``: the second number of own messages; a profile with a delay of its own for these does not need it.
    """
    if is_originated and profile.own_delay_ns is not None:
        least_ns, jitter_ns = profile.own_delay_ns
        return least_ns + int(jitter * jitter_ns)
    delay_ns = profile.processing_ns + int(jitter * profile.jitter_ns)
    if profile.first_send_after_interval:
        delay_ns += interval_ns
    if is_originated:
        delay_ns += profile.originated_extra_ns + int(further * profile.originated_jitter_ns)
    return delay_ns


def counts_delay_from_ns(profile: StackProfile, job: Job, now_ns: int) -> int | None:
    """When the first delay of a PDU that gets its advertising set at ``now_ns`` began; None: no delay (any more).

    A set that hands its PDU over begins with it, others when the PDU was asked for; what waited for a set is sent at
    once where the profile delays idle sets alone.
    """
    asked_ns = now_ns if profile.hands_over else job.asked_ns
    if profile.queue_after_delay or job.copies_sent or (profile.delay_when_idle_only and now_ns > asked_ns):
        return None
    return asked_ns


def copies_of_turn(profile: StackProfile, job: Job) -> range:
    """The copies that a set sends before it takes another PDU: all that are left, or one where copies take turns."""
    until = job.copies_sent + 1 if profile.copies_take_turns else job.transmit.transmissions
    return range(job.copies_sent, until)


def compute_repeat_ns(profile: StackProfile, interval_ns: int, chance: float) -> int:
    """From the beginning of one copy to that of the next."""
    return interval_ns + int(chance * profile.advertising_delay_ns)


def set_is_free_ns(profile: StackProfile, end_ns: int, next_ns: int) -> int:
    """When the set is free whose last event ended at ``end_ns``, and whose next copy would begin at ``next_ns``."""
    return max(end_ns, next_ns) if profile.rests_after_last else end_ns


def left_after(job: Job, copies: range) -> Job | None:
    """What waits for another turn when ``copies`` are sent; None: nothing."""
    return job._replace(copies_sent=copies.stop) if copies.stop < job.transmit.transmissions else None
