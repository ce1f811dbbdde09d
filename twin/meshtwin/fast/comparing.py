"""Two answers of the fast model on the same states: the second less the first, per flow.

Both sides' intervals make that of the difference, as if they erred without knowing of each other (Zou and Donner 2008,
"Construction of confidence intervals about effect measures", Statistics in Medicine 27: 1693-1702): with equal states
and equal errors of the model they err alike rather than not, so it is too wide rather than too narrow.
"""

import math

import numpy as np

from meshtwin.fast.arrays import Ints
from meshtwin.fast.asking import Estimated
from meshtwin.fast.describing import MEAN_OPEN
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.differences import FlowDifference
from meshtwin.sim.quantile_differences import NOTHING_REACHED
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = ["compare_estimated", "subtract"]


def compare_estimated(
    first: Scenario, before: Estimated, second: Scenario, after: Estimated
) -> tuple[FlowDifference, ...]:
    """One difference per flow name that both scenarios have; latency is that of what both sides delivered."""
    places = {flow.name: place for place, flow in enumerate(first.flows)}
    return tuple(
        _compare(
            (flow, after.kpis.flows[place], after.latencies_ns[place]),
            (first.flows[old := places[flow.name]], before.kpis.flows[old], before.latencies_ns[old]),
        )
        for place, flow in enumerate(second.flows)
        if flow.name in places
    )


def subtract(after: Interval, before: Interval, gap: float | None = None) -> Interval:
    """``after`` less ``before``; ``gap``: the estimate, if it is not that of the two estimates."""
    gap = after.estimate - before.estimate if gap is None else gap
    reason = after.open_because or before.open_because
    low = gap - math.hypot(after.estimate - after.low, before.high - before.estimate)
    high = gap + math.hypot(after.high - after.estimate, before.estimate - before.low)
    return Interval(estimate=gap, low=low, high=high, level=after.level, open_because=reason)


_Side = tuple[ScenarioFlow, FlowKpis, Ints]


def _compare(after: _Side, before: _Side) -> FlowDifference:
    (flow, new, _), (_, old, _) = after, before
    new_ns, old_ns = _find_common(after, before)
    mean = _not_known()
    if len(new_ns):
        gap = float((new_ns - old_ns).mean()) / 1e6
        mean = Interval(estimate=gap, low=-math.inf, high=math.inf, open_because=MEAN_OPEN)
    p50, p95, p99 = (
        _subtract_quantiles(one, other, share, new_ns, old_ns)
        for one, other, share in (
            (new.latency_p50, old.latency_p50, 0.50),
            (new.latency_p95, old.latency_p95, 0.95),
            (new.latency_p99, old.latency_p99, 0.99),
        )
    )
    return FlowDifference(
        flow=flow.name,
        on_time=subtract(new.on_time, old.on_time),
        delivery=subtract(new.delivery, old.delivery),
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        latency_ms=mean,
        pairs=len(new_ns),
    )


def _find_common(after: _Side, before: _Side) -> tuple[Ints, Ints]:
    """Latencies of the states and members that both sides reached, in nanoseconds."""
    columns = []
    for flow, _, latency_ns in (after, before):
        members = (member for member in flow.members if member != flow.source)
        columns.append({member: latency_ns[:, place] for place, member in enumerate(members)})
    new, old = columns
    shared = [member for member in new if member in old]
    if not shared:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    new_ns, old_ns = (np.stack([side[member] for member in shared]) for side in (new, old))
    both = (new_ns >= 0) & (old_ns >= 0)
    return new_ns[both], old_ns[both]


def _subtract_quantiles(
    after: Interval | None, before: Interval | None, share: float, new_ns: Ints, old_ns: Ints
) -> Interval:
    if after is None or before is None or not len(new_ns):
        return _not_known()
    gap = float(np.quantile(new_ns, share) - np.quantile(old_ns, share)) / 1e6
    return subtract(after, before, gap)


def _not_known() -> Interval:
    return Interval(estimate=0.0, low=-math.inf, high=math.inf, open_because=NOTHING_REACHED, is_estimated=False)
