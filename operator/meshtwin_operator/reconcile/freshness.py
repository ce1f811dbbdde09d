"""How fresh the knowledge of a segment is, without figures that churn."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from meshtwin.contract.summaries import SegmentSummary, TwinSummary
from meshtwin_operator.reconcile.conditions import Said, condition_of, said, to_seconds
from meshtwin_operator.reconcile.world import GatewayView
from meshtwin_operator.resources.segments import ScorecardStatus
from meshtwin_operator.resources.twins import MeshSegment, MeshSegmentStatus

__all__ = ["FIGURES_EVERY_S", "Figures", "coarse_age_seconds", "figures", "scorecard_of", "stale_after_s", "synced"]

FIGURES_EVERY_S: Final = 30  # at most one status write per twin for moving figures in this time
AGE_STEPS_S: Final = (0, 60, 300, 900, 3600, 6 * 3600, 86_400, 7 * 86_400)  # ages are shown no finer


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a segment's status says of its twin's knowledge."""

    nodes_heard: int | None
    links: int | None
    last_report_at: datetime | None


def coarse_age_seconds(newest: datetime | None, now: datetime) -> int | None:
    """The largest step not above the age; None if nothing was ever reported."""
    if newest is None:
        return None
    age_s = max(0.0, (now - newest).total_seconds())
    return max(step for step in AGE_STEPS_S if step <= age_s)


def stale_after_s(segment: MeshSegment) -> int:
    """Age of the newest report at which a segment counts as stale: three missed reports and half a minute.

    Assumed, not fitted: a report takes several unsegmented messages, each of which may be lost.
    """
    return 3 * segment.spec.monitoring.report_interval_seconds + 30


def _own(summary: TwinSummary | None) -> SegmentSummary | None:
    return summary.segments[0] if summary is not None and summary.segments else None


def figures(summary: TwinSummary | None, previous: MeshSegmentStatus | None, now: datetime) -> Figures:
    """Figures to show now: new ones at most every 30 s, else those already shown."""
    own = _own(summary)
    newest = own.newest_report_at if own else None
    shown = previous.last_report_at if previous else None
    fresh = newest is not None and (
        shown is None
        or (newest > shown and now - shown >= timedelta(seconds=FIGURES_EVERY_S))
        or newest < shown - timedelta(days=1)  # a sender whose clock was mended
    )
    if own is not None and newest is not None and fresh:
        return Figures(nodes_heard=own.nodes_heard, links=own.links, last_report_at=to_seconds(newest))
    return Figures(
        nodes_heard=previous.nodes_heard if previous else None,
        links=previous.links if previous else None,
        last_report_at=shown,
    )


def scorecard_of(summary: TwinSummary | None) -> ScorecardStatus | None:
    """The segment's scorecard as the twin sums it up; it changes with a push, so it need not be held back."""
    own = _own(summary)
    if own is None or own.scorecard is None:
        return None
    return ScorecardStatus.model_validate(own.scorecard.model_dump(mode="json", by_alias=True, exclude_none=True))


def newest_report(summary: TwinSummary | None, previous: MeshSegmentStatus | None) -> datetime | None:
    """Time of the newest report that is known, shown or not."""
    own = _own(summary)
    if own is not None and own.newest_report_at is not None:
        return own.newest_report_at
    return previous.last_report_at if previous else None


def synced(
    segment: MeshSegment, view: GatewayView, summary: TwinSummary | None, now: datetime
) -> tuple[Said, float | None]:
    """Condition ``Synced``, and in how many seconds it would turn stale.

    A view that is still empty (the operator has just started) leaves what the status says, unless stale.
    """
    previous = condition_of(segment.status, "Synced")
    newest = newest_report(summary, segment.status)
    if segment.spec.stage == "Planned":
        return said("Synced", None, "Planned", "a planned segment has no gateway"), None
    contested_s = view.contested_s(now)
    if contested_s > 0:
        text = (
            f"two processes take turns to be gateway {segment.spec.gateway_id}: the broker ends the connection of one "
            "as the other connects; end one, or give it an id of its own"
        )
        return said("Synced", False, "GatewayContested", text), contested_s + 1
    if view.state is not None and not view.state.online:
        why = f": {view.state.fault}" if view.state.fault else ""
        return said("Synced", False, "GatewayOffline", f"gateway {segment.spec.gateway_id} is off{why}"), None
    observing = view.state.observing if view.state is not None else None
    if observing is not None and not observing.active and observing.warnings:
        return said("Synced", False, "ObservingHeldBack", observing.warnings[0]), None
    if newest is None:
        if view.state is None and previous is None:
            return said("Synced", None, "GatewayNotHeard", "the gateway has not been heard yet"), None
        if view.state is None and previous is not None:
            return Said("Synced", previous.status, previous.reason, previous.message), None
        return said("Synced", False, "NoReports", "the gateway is on, no report has arrived yet"), None
    limit_s = stale_after_s(segment)
    left_s = limit_s - (now - newest).total_seconds()
    if left_s <= 0:
        text = f"no report for more than {limit_s} s (three report intervals and 30 s)"
        return said("Synced", False, "Stale", text), None
    if view.state is None and previous is not None:
        return Said("Synced", previous.status, previous.reason, previous.message), left_s + 1
    return said("Synced", True, "ReportsArrive"), left_s + 1
