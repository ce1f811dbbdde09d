"""Small changes of relays, answered from what is known of the configuration before: near, and cheap.

What else is on the air is taken over from there. PDUs that changed nodes relayed and relay no longer are taken out of
it; what they relay now and did not relay before is left out, and so is that others hear a message earlier, later or
not at all. Airtime, which searches compare, is reckoned afresh from whole floods of both configurations, and tells
how large the change is: a larger one is no small change.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from meshtwin.fast.arrays import Air, Floats, Ints, SettingsTable
from meshtwin.fast.reusing import FlowRun, find_other_relays
from meshtwin.fast.surroundings import Surroundings
from meshtwin.fast.traffic import Stream
from meshtwin.sim.scenario import Scenario

__all__ = ["AIRTIME_CHANGE_MOST", "NODES_MOST", "Base", "find_patch", "scale_busy", "without_relayed"]

NODES_MOST: Final = 8  # changed at once: a handful
AIRTIME_CHANGE_MOST: Final = 0.03  # share of that of all else on the air; at 0.10 on-time shares erred by 0.1 and more
BUSIEST_MOST: Final = 0.8  # sets of the busiest node; beyond it queues turn a small change into a large one
NEVER_NS: Final = -(1 << 60)  # start of a PDU that is not sent; overlaps nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A configuration that others are told from; ``quiet_s``: seconds of a channel per message, alone on the air."""

    scenario: Scenario
    settings: SettingsTable
    streams: tuple[Stream, ...]
    around: Surroundings
    runs: tuple[FlowRun, ...]
    quiet_s: Floats


def find_patch(base: Base, scenario: Scenario, settings: SettingsTable, streams: Sequence[Stream]) -> Ints:
    """Places of the nodes that relay otherwise; empty where nothing does, or where more is different than that."""
    nothing = np.zeros(0, np.int64)
    if base.around.declined is not None or base.around.busiest_ratio > BUSIEST_MOST:
        return nothing
    if tuple(streams) != base.streams or scenario.flows != base.scenario.flows:
        return nothing
    sends_alike = all(
        np.array_equal(getattr(base.settings, name), getattr(settings, name))
        for name in ("address", "ttl", "own_count", "own_interval_ns")
    )
    places = np.flatnonzero(find_other_relays(base.settings, settings))
    return places if sends_alike and len(places) <= NODES_MOST else nothing


def scale_busy(base: Base, quiet_s: Floats) -> Floats | None:
    """Seconds of a channel per message of each stream after a change; None: it is no small one."""
    rates = np.asarray([stream.rate_per_s for stream in base.streams])
    busy_s = base.around.busy_s * quiet_s / np.where(base.quiet_s > 0.0, base.quiet_s, 1.0)
    before = float(rates @ base.around.busy_s)
    if abs(float(rates @ busy_s) - before) > AIRTIME_CHANGE_MOST * before:
        return None
    return np.asarray(busy_s)


@contextmanager
def without_relayed(air: Air, settings: SettingsTable, places: Ints) -> Iterator[None]:
    """The air as if the nodes at ``places`` had relayed no more copies than ``settings`` say; put back afterwards."""
    undo: list[tuple[Any, Any, Any]] = []

    def put(array: Any, at: Any, value: Any) -> None:
        undo.append((array, at, np.copy(array[at])))
        array[at] = value

    try:
        for node in places.tolist() if air.is_loaded else ():
            most = int(settings.relay_count[node]) if settings.relay[node] else 0
            _take_out(air, node, most, put)
        yield
    finally:
        for array, at, value in reversed(undo):
            array[at] = value


def _take_out(air: Air, node: int, most: int, put: Any) -> None:
    """Takes out of what ``node`` relayed all copies of a message after the first ``most``."""
    row, jobs = 2 * node, int(air.job_count[2 * node])
    firsts, counts = air.job_event[row, :jobs], air.job_events[row, :jobs]
    relayed = counts > 0
    relayed[relayed] = air.event_is_own[firsts[relayed]] == 0
    gone = [
        np.arange(first + most, first + count) for first, count in zip(firsts[relayed], counts[relayed], strict=True)
    ]
    events = np.concatenate(gone) if gone else np.zeros(0, np.int64)
    buckets = air.event_start_ns[events] >> air.shift
    seen = (buckets >= 0) & (buckets < len(air.slot))
    seen[seen] = air.slot[buckets[seen], node] == events[seen]
    put(air.slot, (buckets[seen], node), -1)
    put(air.event_pdu_ns, events, NEVER_NS)
    if most:
        return
    kept = np.flatnonzero(~relayed)
    for array in (
        air.job_asked_ns, air.job_taken_ns, air.job_free_ns, air.job_delay_ns, air.job_placed_ns, air.job_event,
        air.job_events,
    ):  # fmt: skip
        put(array, (row, slice(0, len(kept))), array[row, kept])
    put(air.job_count, row, len(kept))
