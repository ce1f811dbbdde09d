"""Roll-up of children's summaries into the summary of their parent."""

from collections.abc import Sequence
from datetime import datetime

from meshtwin.contract.summaries import SegmentSummary, TwinSummary

__all__ = ["roll_up_children"]


def roll_up_children(
    name: str,
    children: Sequence[tuple[str, TwinSummary | None]],
    *,
    session: str,
    config_hash: str,
    now: datetime,
) -> TwinSummary:
    """The parent's summary at ``now``; None stands for a child that was never heard.

    Its segments are those of all children, what an offline child said last included; its age is that of the
    least fresh segment, and None while any segment never reported. It is ready when all its children are.
    Fidelity is that of the worst child, None while any child has none.
    """
    told = [summary for _, summary in children if summary is not None]
    missing = [child for child, summary in children if summary is None or not summary.online]
    for child, summary in children:
        if summary is not None and summary.online:
            missing.extend(f"{child}/{grandchild}" for grandchild in summary.children_missing)
    segments: dict[str, SegmentSummary] = {}
    for summary in told:
        for segment in summary.segments:
            segments.setdefault(segment.name, segment)
    reports = [segment.newest_report_at for segment in segments.values()]
    known = [report for report in reports if report is not None]
    age_s = max(0.0, (now - min(known)).total_seconds()) if known and len(known) == len(reports) else None
    fidelities = [summary.fidelity for summary in told if summary.fidelity is not None]
    return TwinSummary(
        twin=name,
        kind="Parent",
        online=True,
        session=session,
        sequence=0,  # the publisher numbers them
        sent_at=now,
        config_hash=config_hash,
        ready=bool(children) and len(told) == len(children) and all(s.online and s.ready for s in told),
        age_seconds=age_s,
        fidelity=min(fidelities) if fidelities and len(fidelities) == len(children) else None,
        segments=[segments[key] for key in sorted(segments)][:256],
        children_missing=missing[:256],
    )
