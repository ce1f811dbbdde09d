"""A snapshot is kept for some seconds, longer while nothing was told."""

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.twins.test_snapshot_and_overlay import facts, north_state
from tests.unit.twins.twin_builders import START_S

from meshtwin.app.kept_snapshot import KEPT_S, KEPT_UNCHANGED_S, KeptSnapshot
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.twins.snapshot import take_snapshot
from meshtwin.twins.state import TwinState

STATE = north_state()
CHANGED = replace(STATE, folded=STATE.folded + 1)


class Desk:
    """A kept snapshot whose clock is set by hand; counts estimates."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.taken = 0
        self.kept = KeptSnapshot(self.take, lambda: self.now_s)

    def take(self, state: TwinState) -> PartialSnapshot:
        self.taken += 1
        return take_snapshot(facts("north", 1, 2), state, START_S + self.now_s)

    def ask(self, now_s: float, state: TwinState = STATE) -> PartialSnapshot:
        self.now_s = now_s
        return asyncio.run(self.kept.get(state))


def test_twin_asked_twice_within_the_time_estimates_once():
    desk = Desk()
    assert desk.ask(0.0) is desk.ask(KEPT_UNCHANGED_S - 0.1)
    assert desk.taken == 1


def test_reports_are_in_a_snapshot_after_a_shorter_time():
    desk = Desk()
    first = desk.ask(0.0)
    assert desk.ask(KEPT_S - 0.1, CHANGED) is first
    assert desk.ask(KEPT_S, CHANGED) is not first
    assert desk.taken == 2


@given(st.integers(0, 800))
def test_kept_snapshot_equals_the_one_taken_at_its_time(eighths):
    desk, now_s = Desk(), eighths / 8
    desk.ask(0.0)
    kept = desk.ask(now_s)
    taken_s = kept.snapshot.taken_at.timestamp()
    assert kept == take_snapshot(facts("north", 1, 2), STATE, taken_s)
    assert now_s - (taken_s - START_S) <= KEPT_UNCHANGED_S


def test_clock_moves_a_link_little_while_a_snapshot_is_kept():
    first, later = (take_snapshot(facts("north", 1, 2), STATE, START_S + s).snapshot for s in (0.0, KEPT_UNCHANGED_S))
    moved = [abs(a.delivery_mean - b.delivery_mean) for a, b in zip(first.links, later.links, strict=True)]
    assert max(moved) < 0.004
