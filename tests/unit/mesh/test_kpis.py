"""Intervals as people read them."""

import math

from meshtwin.mesh.kpis import Interval


def test_interval_reads_as_estimate_and_bounds_with_a_question_mark_for_what_is_not_known() -> None:
    assert str(Interval(estimate=12.29182, low=6.87, high=17.7136)) == "12.29 [6.87, 17.71]"
    assert str(Interval(estimate=3.0, low=2.5, high=math.inf, open_because="few")) == "3 [2.5, ?]"


def test_what_was_not_estimated_has_nothing_to_tell_but_the_reason() -> None:
    nothing = Interval(estimate=0.5, low=0.0, high=1.0, open_because="no message was sent", is_estimated=False)
    assert nothing.told is None
    assert str(nothing) == "not known: no message was sent"
    assert Interval(estimate=0.5, low=0.0, high=1.0).told == 0.5
