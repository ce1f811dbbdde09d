"""Two scenarios on the same states: the difference per flow, with an interval over paired replications."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from meshtwin.errors import InvalidInput
from meshtwin.mesh import kpis
from meshtwin.mesh.kpis import Interval
from meshtwin.sim.intervals import NOTHING_SENT, compute_mean_interval, compute_ratio_interval
from meshtwin.sim.message_table import FlowColumns, flow_columns
from meshtwin.sim.quantile_differences import NOTHING_REACHED, Pairs, compute_quantile_differences
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.tallies import FlowTally, RunTally

__all__ = [
    "FlowDifference",
    "compute_common_latencies_ms",
    "compute_differences",
    "compute_tally_differences",
    "find_shared_flows",
]

QUANTILES: Final = (0.50, 0.95, 0.99)  # of latency, as of one scenario alone
MEMBERS: Final = 0x10000  # more than any address


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDifference(kpis.FlowDifference):
    """The second scenario less the first, of one flow that both have; ratios 0..1, latency in milliseconds.

    Intervals are Student's over paired replications; of a single pair they are open (`Interval.open_because`).
    ``latency_ms`` is that of messages and members that both sides reached: a side that loses its slow messages is
    not called fast for it. ``latency_p50_ms`` and so on: the same quantile of these on either side, subtracted; it
    is not the quantile of the gaps. If there are none, they are not estimated, with `NOTHING_REACHED`. Replications
    in which one side sent nothing tell of no share; if there are no others, shares are not estimated, with
    `NOTHING_SENT`.
    """

    latency_ms: Interval
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
    shared = find_shared_flows(first, second)
    deadlines = {flow.name: flow.deadline_ms for flow in second.flows}
    asking = {flow.name for flow in second.flows if flow.response_pdu_bytes}
    return tuple(
        _difference(
            flow.name,
            (flow.deadline_ms, deadlines[flow.name]),
            list(zip(first_runs, second_runs, strict=True)),
            asks=bool(flow.response_pdu_bytes) and flow.name in asking,
        )
        for flow in shared
    )


def find_shared_flows(first: Scenario, second: Scenario) -> list[ScenarioFlow]:
    """The first one's flows whose names are in both; raises `InvalidInput` if there are none."""
    names = {flow.name for flow in second.flows}
    shared = [flow for flow in first.flows if flow.name in names]
    if not shared:
        told = ["; ".join(sorted(flow.name for flow in side.flows)[:5]) for side in (first, second)]
        raise InvalidInput(
            f"no flow has a name that is in both scenarios: {told[0]} here, {told[1]} there",
            place=f"{first.name}, {second.name}",
        )
    return shared


def compute_tally_differences(before: Sequence[RunTally], after: Sequence[RunTally]) -> tuple[kpis.FlowDifference, ...]:
    """Likewise, of tallies in the order of their replications: ``after`` less ``before``, per flow that both have.

    Tallies do not know which message came when, so quantiles are those of all that arrived on either side.
    """
    names = [name for name in (before[0].flows if before else ()) if all(name in run.flows for run in after)]
    return tuple(
        _tally_difference(name, [(b.flows[name], a.flows[name]) for b, a in zip(before, after, strict=True)])
        for name in names
    )


def _tally_difference(flow: str, pairs: Sequence[tuple[FlowTally, FlowTally]]) -> kpis.FlowDifference:
    both = [(b, a) for b, a in pairs if b.messages and a.messages]
    messages = 0 if all(b == a for b, a in both) else sum(min(b.messages, a.messages) for b, a in both)
    times: list[Pairs] = [(np.asarray(b.latencies_ms, float), np.asarray(a.latencies_ms, float)) for b, a in both]
    reached = sum(min(b.messages, b.delivered, a.messages, a.delivered) for b, a in both)
    p50, p95, p99 = compute_quantile_differences(times, QUANTILES, messages=reached)
    return kpis.FlowDifference(
        flow=flow,
        on_time=_share_interval([a.on_time / a.messages - b.on_time / b.messages for b, a in both], messages),
        delivery=_share_interval([_delivered(a) - _delivered(b) for b, a in both], messages),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        answered=_answered_interval(both, messages),
    )


def _answered_interval(pairs: Sequence[tuple[FlowTally, FlowTally]], messages: int) -> Interval | None:
    """None: on one of the sides nobody is to answer."""
    if not pairs or any(tally.answered is None for pair in pairs for tally in pair):
        return None
    return _share_interval([_answered(a) - _answered(b) for b, a in pairs], messages)


def _answered(tally: FlowTally) -> float:
    return (tally.answered or 0) / tally.expected if tally.expected else 0.0


def _delivered(tally: FlowTally) -> float:
    return tally.delivered / tally.expected if tally.expected else 0.0


def _difference(
    flow: str, deadlines: tuple[int, int], pairs: Sequence[tuple[RunResult, RunResult]], *, asks: bool
) -> FlowDifference:
    on_time: list[float] = []
    delivery: list[float] = []
    answered: list[float] = []
    latency: list[Pairs] = []
    messages, reached, is_same = 0, 0, True
    for one, other in pairs:
        left, right = (flow_columns(run.messages, flow) for run in (one, other))
        messages += min(len(left.number), len(right.number))
        if not (len(left.number) and len(right.number)):
            continue
        is_same = is_same and left.has_arrivals_of(right)
        on_time.append(_on_time(right, deadlines[1]) - _on_time(left, deadlines[0]))
        delivery.append(_delivery(right) - _delivery(left))
        answered.append(right.answered_share - left.answered_share)
        common, count = compute_common_latencies_ms(left, right)
        latency.append(common)
        reached += count
    p50, p95, p99 = compute_quantile_differences(latency, QUANTILES, messages=reached)
    return FlowDifference(
        flow=flow,
        on_time=_share_interval(on_time, 0 if is_same else messages),
        delivery=_share_interval(delivery, 0 if is_same else messages),
        latency_ms=_mean_interval(latency),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        pairs=sum(len(before) for before, _ in latency),
        answered=_share_interval(answered, 0 if is_same else messages) if asks else None,
    )


def _mean_interval(latency: Sequence[Pairs]) -> Interval:
    means = [float((after - before).mean()) for before, after in latency if len(before)]
    told = compute_mean_interval(means)
    return told if means else replace(told, open_because=NOTHING_REACHED)


def _share_interval(differences: Sequence[float], messages: int, level: float = 0.9) -> Interval:
    """Student's interval over replications, never narrower than what so many messages can show.

    That is the Wilson bound of a share of which not one was seen: replications with equal shares would claim
    certainty otherwise. (``messages`` 0: every arrival is the same on both sides, which is certain.)
    """
    if not differences:
        return Interval(
            estimate=0.0, low=-1.0, high=1.0, level=level, open_because=NOTHING_SENT, is_estimated=False
        )  # fmt: skip
    student = compute_mean_interval(differences, level, least=-1.0, most=1.0)
    if student.open_because is not None or not messages:
        return student
    unseen = compute_ratio_interval([(0.0, float(messages))], level).high
    half = max(student.high - student.estimate, student.estimate - student.low, unseen)
    low, high = max(-1.0, student.estimate - half), min(1.0, student.estimate + half)
    return Interval(estimate=student.estimate, low=low, high=high, level=level)


def _on_time(messages: FlowColumns, deadline_ms: int) -> float:
    return float(np.mean(messages.is_on_time(deadline_ms)))


def _delivery(messages: FlowColumns) -> float:
    asked = int(messages.member_count.sum())
    return len(messages.member) / asked if asked else 0.0


def compute_common_latencies_ms(left: FlowColumns, right: FlowColumns) -> tuple[Pairs, int]:
    """Of what both sides reached, on either side; and how many messages these belong to."""
    before, after = (its.number[its.message] * MEMBERS + its.member for its in (left, right))
    common, here, there = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    pairs = left.latency_ns[here] / 1e6, right.latency_ns[there] / 1e6
    return pairs, len(np.unique(common // MEMBERS))
