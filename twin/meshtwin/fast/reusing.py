"""States that an earlier estimate has worked out already."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshtwin.fast.arrays import Ints, SettingsTable
from meshtwin.sim.scenario import ScenarioFlow

__all__ = ["FlowRun", "begin_run"]

Flags = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FlowRun:
    """The states of one flow under one set of settings; arrays as in `meshtwin.fast.runner.run_states`."""

    flow: ScenarioFlow
    settings: SettingsTable
    latency_ns: Ints
    read: Flags
    busy_ns: Ints


def begin_run(
    earlier: Sequence[FlowRun], flow: ScenarioFlow, settings: SettingsTable, source: int, shape: tuple[int, int, int]
) -> tuple[FlowRun, Flags]:
    """A run of (states, members, busy states) with all that an earlier run knows, and flags of what is to be run.

    A state is known if it met nobody whose settings are others now. Of several earlier runs the one that knows
    most is taken, the latest of equals.
    """
    states, members, busy_states = shape
    best, least = None, np.ones(states, np.uint8)
    for run in reversed(earlier):
        chosen = _find_changed(run, flow, settings, source)
        if chosen.sum() < least.sum():
            best, least = run, chosen
    if best is not None:
        return FlowRun(flow, settings, best.latency_ns.copy(), best.read.copy(), best.busy_ns.copy()), least
    nothing = np.full((states, members), -1, np.int64)
    read = np.zeros((states, len(settings.relay)), np.uint8)
    return FlowRun(flow, settings, nothing, read, np.zeros(min(busy_states, states), np.int64)), least


def _find_changed(run: FlowRun, flow: ScenarioFlow, settings: SettingsTable, source: int) -> Flags:
    """(states,) flags of those that come out differently, as far as can be told without running them."""
    old, everything = run.settings, np.ones(len(run.latency_ns), np.uint8)
    same_flow = (run.flow.source, run.flow.members, run.flow.ttl, run.flow.pdu_bytes) == (
        flow.source,
        flow.members,
        flow.ttl,
        flow.pdu_bytes,
    )
    if not same_flow or _source_settings(old, source) != _source_settings(settings, source):
        return everything
    differs = (old.relay != settings.relay) | (
        (settings.relay > 0)
        & ((old.relay_count != settings.relay_count) | (old.relay_interval_ns != settings.relay_interval_ns))
    )
    differs[source] = False  # what it relays are the messages of others
    return np.asarray(run.read[:, differs].any(axis=1), np.uint8)


def _source_settings(settings: SettingsTable, source: int) -> tuple[int, int, int]:
    return int(settings.ttl[source]), int(settings.own_count[source]), int(settings.own_interval_ns[source])
