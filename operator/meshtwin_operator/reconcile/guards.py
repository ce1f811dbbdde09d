"""What keeps a push from starting or going on: mode, suspend, emergency stop, windows, other pushes, records."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from meshtwin.contract.configuration import GatewayPhase
from meshtwin_operator.reconcile.push import Signal
from meshtwin_operator.reconcile.revisions import find_base, find_wanted
from meshtwin_operator.reconcile.tree import Lineage, pushes_in_flight
from meshtwin_operator.reconcile.world import GatewayView, World
from meshtwin_operator.resources.records import MeshConfiguration
from meshtwin_operator.resources.twins import ChangeWindow

__all__ = ["FAILURES_MAX", "Hold", "find_hold", "find_stop", "is_window_open", "judge_start"]

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
FAILURES_MAX: Final = 5  # attempts that ran into a time limit before a push is given up


class Hold(NamedTuple):
    """Why nothing may start or go on now."""

    reason: str
    message: str


def is_window_open(windows: Sequence[ChangeWindow], now: datetime) -> bool:
    """Whether a push may run at ``now`` (UTC); always without windows. An end before the start is the next day."""
    if not windows:
        return True
    minute = now.hour * 60 + now.minute
    today, yesterday = DAYS[now.weekday()], DAYS[(now - timedelta(days=1)).weekday()]
    for window in windows:
        start, end = (int(text[:2]) * 60 + int(text[3:]) for text in (window.start, window.end))
        if start < end:
            if today in window.days and start <= minute < end:
                return True
        elif (today in window.days and minute >= start) or (yesterday in window.days and minute < end):
            return True
    return False


def find_stop(lineage: Lineage) -> Hold | None:
    """What ends a push in any step: emergency stop, suspend, a mode without control."""
    if lineage.stopped_by:
        return Hold("EmergencyStop", f"emergencyStop of twin {lineage.stopped_by}")
    if lineage.suspended_by:
        return Hold("Suspended", f"suspend of twin {lineage.suspended_by}")
    if lineage.mode != "Control":
        return Hold("NotInControl", f"mode {lineage.mode} of twin {lineage.twin.metadata.name}: nothing is pushed")
    return None


def find_hold(
    lineage: Lineage, view: GatewayView, record: MeshConfiguration, world: World, now: datetime
) -> Hold | None:
    """What a start waits for; None: go."""
    stop = find_stop(lineage)
    if stop is not None:
        return stop
    if not is_window_open(lineage.twin.spec.change_windows, now):
        return Hold("OutsideWindow", "no change window of the twin is open (spec.changeWindows)")
    if view.contested_s(now) > 0:
        return Hold("GatewayContested", "two processes take turns to be the gateway; see Synced of the segment")
    if view.state is None or not view.state.online:
        return Hold("GatewayOffline", "waits for the gateway")
    if view.reported is None or view.reported.revision is None:
        return Hold("GatewayNotAdopted", "the gateway has no configuration to go back to yet")
    if view.reported.phase not in (GatewayPhase.IDLE, GatewayPhase.STAGED):
        return Hold("GatewayBusy", f"the gateway is {view.reported.phase.value}")
    me = record.metadata.name
    root = lineage.root.metadata.name
    for other in pushes_in_flight(world, record.metadata.namespace, root):
        if other.metadata.name != me:
            return Hold("AnotherPush", f"{other.metadata.name} is being pushed; one at a time in a tree")
    return None


def judge_start(
    record: MeshConfiguration, records: Sequence[MeshConfiguration], view: GatewayView, failures: int
) -> tuple[Signal, str] | None:
    """A verdict that needs no push: (signal, message); None: there is none."""
    reported = view.reported
    if reported is not None and record.spec.digest in reported.rejected_hashes:
        return Signal.FORBIDDEN, "the gateway took this configuration back earlier because it did harm"
    wanted = find_wanted(records)
    if wanted is not None and wanted.spec.revision > record.spec.revision:
        return Signal.SUPERSEDE, f"revision {wanted.spec.revision} is newer"
    base, made_for = find_base(records), record.spec.base_revision
    if base is not None and made_for is not None and base.spec.revision != made_for:
        return Signal.SUPERSEDE, f"made for revision {made_for}, in force is {base.spec.revision}"
    if failures >= FAILURES_MAX:
        return Signal.EXHAUSTED, f"{failures} attempts ran into a time limit"
    return None
