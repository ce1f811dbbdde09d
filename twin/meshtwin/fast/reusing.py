"""States that an earlier estimate has worked out already."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from meshtwin.fast.arrays import ON_THE_WAY, Ints, SettingsTable
from meshtwin.sim.scenario import ScenarioFlow

__all__ = ["FlowRun", "begin_patched_run", "begin_run", "find_other_relays"]

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
        return _copy(best, flow, settings), least
    nothing = np.full((states, members), -1, np.int64)
    read = np.zeros((states, len(settings.relay)), np.uint8)
    return FlowRun(flow, settings, nothing, read, np.zeros(min(busy_states, states), np.int64)), least


def begin_patched_run(base: FlowRun, flow: ScenarioFlow, settings: SettingsTable, source: int) -> tuple[FlowRun, Flags]:
    """As `begin_run`, but near: a relay that is off now concerns the states alone in which it handed on to a member.

    That leaves out what its PDUs did to others. States that are run for their airtime are so wherever it took part.
    """
    chosen = _find_changed(base, flow, settings, source)
    other = find_other_relays(base.settings, settings)
    other[source] = False
    off = other & (settings.relay == 0)
    handed_on = (base.read[:, off] & ON_THE_WAY).any(axis=1)
    met = base.read[:, other & ~off].any(axis=1)
    is_whole = np.arange(len(base.read)) < len(base.busy_ns)
    return _copy(base, flow, settings), np.asarray(chosen & (handed_on | met | is_whole), np.uint8)


def find_other_relays(old: SettingsTable, settings: SettingsTable) -> npt.NDArray[np.bool_]:
    """(nodes,) flags of those that relay otherwise."""
    return np.asarray(
        (old.relay != settings.relay)
        | (
            (settings.relay > 0)
            & ((old.relay_count != settings.relay_count) | (old.relay_interval_ns != settings.relay_interval_ns))
        )
    )


def _copy(run: FlowRun, flow: ScenarioFlow, settings: SettingsTable) -> FlowRun:
    return FlowRun(flow, settings, run.latency_ns.copy(), run.read.copy(), run.busy_ns.copy())


def _find_changed(run: FlowRun, flow: ScenarioFlow, settings: SettingsTable, source: int) -> Flags:
    """(states,) flags of those that come out differently, as far as can be told without running them."""
    everything = np.ones(len(run.latency_ns), np.uint8)
    if not is_same_start(run, flow, settings, source):
        return everything
    differs = find_other_relays(run.settings, settings)
    differs[source] = False  # what it relays are the messages of others
    return np.asarray(run.read[:, differs].any(axis=1), np.uint8)


def is_same_start(run: FlowRun, flow: ScenarioFlow, settings: SettingsTable, source: int) -> bool:
    """Whether ``run`` is of the same messages, which their source sends alike."""
    same_flow = (run.flow.source, run.flow.members, run.flow.ttl, run.flow.pdu_bytes) == (
        flow.source,
        flow.members,
        flow.ttl,
        flow.pdu_bytes,
    )
    return same_flow and _source_settings(run.settings, source) == _source_settings(settings, source)


def _source_settings(settings: SettingsTable, source: int) -> tuple[int, int, int]:
    return int(settings.ttl[source]), int(settings.own_count[source]), int(settings.own_interval_ns[source])
