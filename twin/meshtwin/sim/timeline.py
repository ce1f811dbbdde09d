"""Simulated time on simpy: what happens when.

What happens at the same nanosecond happens in the order of `Rank`, then of node, flow or background, then of
asking: a rule of its own, so that another engine can keep it with other queues.
"""

from collections.abc import Callable, Generator
from typing import Any

import simpy

from meshtwin.sim.ordering import RANK_STEP, Rank

__all__ = ["Moment", "Process", "Timeline"]

Process = Generator[simpy.Event, Any, None]


class Moment(simpy.Event):
    """An event that is sure to come; ``action`` is called with it."""

    def __init__(self, timeline: simpy.Environment, action: Callable[[Any], None] | None) -> None:
        self.env = timeline
        self.callbacks = [] if action is None else [action]
        self._ok, self._value = True, None


class Timeline(simpy.Environment):
    """Integer nanoseconds from 0 on; `process` starts a generator that yields the events it waits for."""

    def now_ns(self) -> int:
        """The simulated time."""
        return self._now  # type: ignore[return-value]  # integers in, integers out

    def at(self, time_ns: int, rank: Rank, index: int, action: Callable[[Any], None] | None = None) -> Moment:
        """What comes at ``time_ns`` (not in the past); ``index`` of node, flow or background breaks ties."""
        moment, priority = Moment(self, action), rank * RANK_STEP + index
        self.schedule(moment, priority, time_ns - self._now)  # type: ignore[arg-type]  # simpy's NewType costs a call
        return moment
