"""How far figures are from objectives, and which of two candidates is the better one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.graph.links import configured_graph, configured_relays
from meshtwin.graph.redundancy import network_redundancy
from meshtwin.mesh.configuration import Configuration, compute_digest
from meshtwin.mesh.kpis import FlowKpis, NetworkKpis, Objectives
from meshtwin.recipes.building import USABLE_DELIVERY
from meshtwin.recipes.doubts import Fall
from meshtwin.recipes.values import Judged, Question
from meshtwin.whatif.energy import compute_battery_energy_mj_per_h

__all__ = [
    "Gap",
    "count_doubtful",
    "find_falls",
    "find_gaps",
    "find_harm",
    "find_sure_gaps",
    "rank",
    "score",
    "segment_redundancy",
    "tell_standing_facts",
]

# A flow that does not touch the segment may lose this much of its on-time ratio before that counts as harm.
# Below it, a few hundred simulated messages can't tell harm from luck.
HARM_MARGIN: Final = 0.02
NOISE: Final = 0.10  # relative; what spread and airtime vary by between equal runs of some hundred messages
AIRTIME_STEP: Final = 0.03  # relative; equal candidates differ by this much between runs
AIRTIME_FLOOR: Final = 1e-9  # keeps the logarithm finite for a network in which nothing is sent
# A limit on airtime is a promise to everybody else on the air: two per cent above it weigh like a fifth of the
# messages late. With equal weights a search would sell the limit for a little punctuality.
AIRTIME_WEIGHT: Final = 10.0
ON_TIME: Final = "onTime"
AIRTIME: Final = "airtime"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """One objective that is not met; ``size`` above 0: the relative distance, that of airtime weighted."""

    objective: str
    flow: str | None  # None: the objective is about the network
    text: str
    size: float


def find_gaps(question: Question, kpis: NetworkKpis) -> tuple[Gap, ...]:
    """Objectives that the estimates miss, for the flows that touch the segment, in order of the flows."""
    wanted = question.objectives
    gaps = [gap for flow in question.touching(kpis) for gap in _flow_gaps(flow, wanted)]
    most = wanted.airtime_at_most
    if most is not None and kpis.airtime_ratio.estimate > most:
        above = _above(AIRTIME, None, kpis.airtime_ratio.estimate * 1000, most * 1000, "per mille")
        gaps.append(replace(above, size=AIRTIME_WEIGHT * above.size))
    paths = wanted.redundancy_at_least
    if paths is not None and (kpis.redundancy or 0) < paths:
        gaps.append(_below("redundancy", None, kpis.redundancy or 0, paths, "disjoint paths"))
    return tuple(gaps)


def find_sure_gaps(question: Question, kpis: NetworkKpis) -> tuple[Gap, ...]:
    """The gaps that are more than luck: on-time ratios whose whole interval is below, others above 10 %."""
    flows = {f.flow: f for f in kpis.flows}
    least = question.objectives.on_time_at_least or 0.0
    return tuple(
        gap
        for gap in find_gaps(question, kpis)
        if (
            flows[gap.flow].on_time.high < least
            if gap.objective == ON_TIME and gap.flow is not None
            else gap.size > NOISE * (AIRTIME_WEIGHT if gap.objective == AIRTIME else 1.0)
        )
    )


def find_harm(question: Question, before: NetworkKpis, after: NetworkKpis) -> tuple[Gap, ...]:
    """Flows outside the segment whose on-time ratio falls by more than 20 per mille."""
    touching = {f.name for f in question.touching_flows}
    earlier = {f.flow: f for f in before.flows}
    return tuple(
        _harm(f.flow, f.on_time.estimate * 1000, earlier[f.flow].on_time.estimate * 1000)
        for f in after.flows
        if f.flow not in touching
        and f.flow in earlier
        and f.on_time.estimate < earlier[f.flow].on_time.estimate - HARM_MARGIN
    )


def find_falls(question: Question, before: NetworkKpis, after: NetworkKpis, worst: Fall | None) -> tuple[Gap, ...]:
    """Flows of the segment that are expected to fall by more than is allowed, and the worst fall under a trouble.

    See `meshtwin.recipes.doubts`: what meets the objective and falls far is taken back after the push all the same.
    """
    earlier = {f.flow: f.on_time.estimate for f in before.flows}
    falls = [
        Fall(flow=f.flow, size=earlier[f.flow] - f.on_time.estimate)
        for f in question.touching(after)
        if f.flow in earlier
    ]
    falls += [] if worst is None else [worst]
    return tuple(
        Gap(objective="fall", flow=fall.flow, text=str(fall), size=fall.excess) for fall in falls if fall.excess > 0.0
    )


def rank(question: Question, judged: Judged, before: NetworkKpis) -> tuple[float, int, int, float, int, str]:
    """Smaller is better: `score`, and the digest of the configuration, so that no two are equal."""
    configuration = judged.candidate.configuration
    return (*score(question, judged.kpis, before, len(configuration.relays)), compute_digest(configuration))


def score(
    question: Question, kpis: NetworkKpis, before: NetworkKpis, relays: int
) -> tuple[float, int, int, float, int]:
    """Smaller is better: distance from objectives and harm, doubtful flows, airtime, latency, relays.

    Airtime is compared without monitoring reports, which fill a budget of their own, and in steps of 3 %: below
    that, luck would choose, and latency (the worst 99th percentile of the touching flows) is the better judge.

    A flow is doubtful if its on-time interval reaches below the objective. In early rounds all are, which
    then decides nothing; in the last one it keeps the cheapest from being the one that was merely lucky.
    """
    gaps = (*find_gaps(question, kpis), *find_harm(question, before, kpis))
    return (
        sum(gap.size for gap in gaps),
        count_doubtful(question, kpis),
        _airtime_step(kpis.own_airtime_ratio),
        max((f.latency_p99_ms or math.inf for f in question.touching(kpis)), default=math.inf),
        relays,
    )


def count_doubtful(question: Question, kpis: NetworkKpis) -> int:
    """Flows that touch the segment and whose on-time interval reaches below the objective."""
    least = question.objectives.on_time_at_least or 0.0
    return sum(f.on_time.low < least for f in question.touching(kpis))


def segment_redundancy(question: Question, configuration: Configuration) -> int | None:
    """Node-disjoint relay paths from the segment's gateway to its worst node; None: gateway not known.

    ``configuration`` is that of the whole snapshot. Links count that deliver at least half of the time
    within the sends that it gives to their sender.
    """
    gateway = question.segment.gateway_address
    if gateway is None:
        return None
    graph = configured_graph(question.snapshot, configuration, threshold=USABLE_DELIVERY)
    relays = configured_relays(question.snapshot, configuration)
    return network_redundancy(graph, relays, gateway, question.segment.addresses)


def tell_standing_facts(question: Question, configuration: Configuration, kpis: NetworkKpis) -> NetworkKpis:
    """The figures with what follows from the whole snapshot's configuration alone: disjoint paths, battery energy."""
    return replace(
        kpis,
        redundancy=segment_redundancy(question, configuration),
        battery_energy_mj_per_h=compute_battery_energy_mj_per_h(question.snapshot, configuration),
    )


def _airtime_step(airtime_ratio: float) -> int:
    return round(math.log(max(airtime_ratio, AIRTIME_FLOOR)) / math.log1p(AIRTIME_STEP))


def _flow_gaps(flow: FlowKpis, wanted: Objectives) -> Sequence[Gap]:
    gaps: list[Gap] = []
    least = wanted.on_time_at_least
    if least is not None and flow.on_time.estimate < least:
        gaps.append(_below(ON_TIME, flow.flow, flow.on_time.estimate * 1000, least * 1000, "per mille"))
    most = wanted.spread_at_most_ms
    if most is not None and flow.spread_p95_ms is not None and flow.spread_p95_ms > most:
        gaps.append(_above("spread", flow.flow, flow.spread_p95_ms, most, "ms"))
    if most is not None and flow.spread_p95_ms is None and flow.sent and not flow.on_time.estimate:
        text = f"spread of {flow.flow} is not known: no message reached every member"
        gaps.append(Gap(objective="spread", flow=flow.flow, text=text, size=1.0))
    return gaps


def _harm(flow: str, after: float, before: float) -> Gap:
    text = f"onTime of {flow}, which the objectives are not about, falls from {before:.0f} to {after:.0f} per mille"
    return Gap(objective="harm", flow=flow, text=text, size=(before - after) / before)


def _below(objective: str, flow: str | None, seen: float, wanted: float, unit: str) -> Gap:
    of = f" of {flow}" if flow else ""
    return Gap(
        objective=objective,
        flow=flow,
        text=f"{objective}{of} is {seen:.0f} {unit}, below {wanted:.0f}",
        size=(wanted - seen) / wanted,
    )


def _above(objective: str, flow: str | None, seen: float, wanted: float, unit: str) -> Gap:
    of = f" of {flow}" if flow else ""
    return Gap(
        objective=objective,
        flow=flow,
        text=f"{objective}{of} is {seen:.0f} {unit}, above {wanted:.0f}",
        size=(seen - wanted) / wanted,
    )
