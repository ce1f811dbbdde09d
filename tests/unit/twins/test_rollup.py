"""Roll-up of children's summaries."""

from datetime import UTC, datetime, timedelta
from typing import Any

from meshtwin.contract.summaries import SegmentSummary, TwinSummary
from meshtwin.twins.rollup import roll_up_children

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def child(name: str, *, age_s: float | None = 10, **changes: Any) -> TwinSummary:
    newest = None if age_s is None else NOW - timedelta(seconds=age_s)
    segment = SegmentSummary(name=name, nodes=5, nodes_heard=4, links=9, links_fresh=8, newest_report_at=newest)
    values: dict[str, Any] = {
        "twin": name,
        "kind": "Segment",
        "online": True,
        "session": "s",
        "sequence": 1,
        "sent_at": NOW,
        "ready": True,
        "segments": [segment],
        **changes,
    }
    return TwinSummary(**values)


def roll_up(*children: tuple[str, TwinSummary | None]) -> TwinSummary:
    return roll_up_children("office", children, session="p", config_hash="h", now=NOW)


def test_parent_of_ready_children_is_ready_and_as_old_as_the_oldest() -> None:
    summary = roll_up(("a", child("a", age_s=10)), ("b", child("b", age_s=40)))

    assert summary.ready
    assert summary.age_seconds == 40
    assert [segment.name for segment in summary.segments] == ["a", "b"]


def test_child_never_heard_is_missing() -> None:
    summary = roll_up(("a", child("a")), ("b", None))

    assert summary.children_missing == ["b"]
    assert not summary.ready


def test_offline_child_is_missing_and_its_last_words_still_count() -> None:
    summary = roll_up(("a", child("a")), ("b", child("b", online=False)))

    assert summary.children_missing == ["b"]
    assert [segment.name for segment in summary.segments] == ["a", "b"]
    assert not summary.ready


def test_missing_grandchild_is_named_with_its_parent() -> None:
    floor = child("floor", kind="Parent", children_missing=["west"], ready=False)

    assert roll_up(("floor", floor)).children_missing == ["floor/west"]


def test_age_is_unknown_while_a_segment_never_reported() -> None:
    assert roll_up(("a", child("a")), ("b", child("b", age_s=None))).age_seconds is None


def test_fidelity_is_that_of_the_worst_child() -> None:
    assert roll_up(("a", child("a", fidelity=0.9)), ("b", child("b", fidelity=0.7))).fidelity == 0.7
    assert roll_up(("a", child("a", fidelity=0.9)), ("b", child("b"))).fidelity is None


def test_parent_without_children_is_not_ready() -> None:
    assert not roll_up().ready
