"""Two scenarios on the same states: the difference per flow, with an interval over paired replications."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from meshtwin.errors import InvalidInput
from meshtwin.mesh.kpis import Interval
from meshtwin.sim.intervals import NOTHING_SENT, compute_mean_interval, compute_ratio_interval
from meshtwin.sim.results import MessageResult, RunResult
from meshtwin.sim.scenario import Scenario

__all__ = ["FlowDifference", "compute_differences"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDifference:
    """The second scenario less the first, of one flow that both have; ratios 0..1, latency in milliseconds.

    Intervals are Student's over paired replications; of a single pair they are open (`Interval.open_because`).
    ``latency_ms`` is that of messages and members that both sides reached: a side that loses its slow messages is
    not called fast for it. None: there are none. Pairs of which one side sent nothing tell of no share; if there are
    no others, the shares are open, with `NOTHING_SENT`.
    """

    flow: str
    on_time: Interval
    delivery: Interval
    latency_ms: Interval | None
    pairs: int  # (message, member) pairs that both sides reached


def compute_differences(
    first: Scenario, first_runs: Sequence[RunResult], second: Scenario, second_runs: Sequence[RunResult]
) -> tuple[FlowDifference, ...]:
    """One difference per flow name that both scenarios have.

    Runs are paired by place, and have to come from the same seed and replication: each pair met the same states.
    Raises `InvalidInput` if they did not, or if no flow is in both.
    """
    for one, other in zip(first_runs, second_runs, strict=True):
        if (one.seed, one.replication) != (other.seed, other.replication):
            raise InvalidInput(
                f"seed {one.seed}, replication {one.replication} is not seed {other.seed}, replication "
                f"{other.replication}: compare runs of the same states",
                place=second.name,
            )
    names = {flow.name for flow in second.flows}
    shared = [flow for flow in first.flows if flow.name in names]
    if not shared:
        raise InvalidInput("no flow has a name that is in both scenarios", place=f"{first.name}, {second.name}")
    deadlines = {flow.name: flow.deadline_ms for flow in second.flows}
    return tuple(
        _difference(
            flow.name, (flow.deadline_ms, deadlines[flow.name]), list(zip(first_runs, second_runs, strict=True))
        )
        for flow in shared
    )


def _difference(flow: str, deadlines: tuple[int, int], pairs: Sequence[tuple[RunResult, RunResult]]) -> FlowDifference:
    on_time, delivery, latency = [], [], []
    messages, is_same = 0, True
    for one, other in pairs:
        left, right = ([m for m in run.messages if m.flow == flow] for run in (one, other))
        messages += min(len(left), len(right))
        if not (left and right):
            continue
        is_same = is_same and [m.arrivals for m in left] == [m.arrivals for m in right]
        on_time.append(_on_time(right, deadlines[1]) - _on_time(left, deadlines[0]))
        delivery.append(_delivery(right) - _delivery(left))
        latency.append(_latency_gaps_ms(left, right))
    means = [fmean(gaps) for gaps in latency if gaps]
    return FlowDifference(
        flow=flow,
        on_time=_share_interval(on_time, 0 if is_same else messages),
        delivery=_share_interval(delivery, 0 if is_same else messages),
        latency_ms=compute_mean_interval(means) if means else None,
        pairs=sum(map(len, latency)),
    )


def _share_interval(differences: Sequence[float], messages: int, level: float = 0.9) -> Interval:
    """Student's interval over replications, never narrower than what so many messages can show.

    That is the Wilson bound of a share of which not one was seen: replications with equal shares would claim
    certainty otherwise. (``messages`` 0: every arrival is the same on both sides, which is certain.)
    """
    if not differences:
        return Interval(estimate=0.0, low=-1.0, high=1.0, level=level, open_because=NOTHING_SENT)
    student = compute_mean_interval(differences, level, least=-1.0, most=1.0)
    if student.open_because is not None or not messages:
        return student
    unseen = compute_ratio_interval([(0.0, float(messages))], level).high
    half = max(student.high - student.estimate, student.estimate - student.low, unseen)
    low, high = max(-1.0, student.estimate - half), min(1.0, student.estimate + half)
    return Interval(estimate=student.estimate, low=low, high=high, level=level)


def _on_time(messages: Sequence[MessageResult], deadline_ms: int) -> float:
    return fmean(float(m.is_on_time(deadline_ms)) for m in messages) if messages else 0.0


def _delivery(messages: Sequence[MessageResult]) -> float:
    asked = sum(m.member_count for m in messages)
    return sum(len(m.arrivals) for m in messages) / asked if asked else 0.0


def _latency_gaps_ms(left: Sequence[MessageResult], right: Sequence[MessageResult]) -> list[float]:
    before = {(m.number, a.member): a.latency_ns for m in left for a in m.arrivals}
    return [
        (a.latency_ns - before[m.number, a.member]) / 1e6
        for m in right
        for a in m.arrivals
        if (m.number, a.member) in before
    ]
