"""What is on the air beside the judged messages, as a list of messages over a stretch of time.

Background comes at Poisson times, as in the simulator, each source by itself, but its rate is met nearly exactly over
the stretch: less chance at equal load. Where messages of flows may overlap, every flow is also on the air for all
others (and for itself), with its own period and a drawn phase: how flows follow each other is not kept (doubt: flows
tied to one another by a fixed delay). Flows whose messages keep apart are judged each for itself; beside a background
that is relayed they are on the air at their own times, since they fill queues that are not empty again when the next
message comes, and judged messages keep apart from them.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from meshtwin.fast.arrays import BackgroundTable, Floats
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.radio.reception import compute_airtime_ns
from meshtwin.sim.draws import draw, extend_key, make_key
from meshtwin.sim.scenario import Scenario, ScenarioFlow

__all__ = [
    "APART_S",
    "Stream",
    "compute_airtime",
    "find_streams",
    "find_together",
    "is_relayed",
    "make_messages",
    "overlapping",
]

APART_S: Final = 0.5  # a flood of a dozen hops with repeats is over by then in every profile at light load
TOGETHER_S: Final = 0.05  # messages that start so near to each other meet in their first hops
GOLDEN_RATIO: Final = (1.0 + 5.0**0.5) / 2.0  # its multiples, less whole numbers, are spread most evenly
MOST_LISTED: Final = 2_000  # messages of a flow looked at when flows are laid beside each other
LONE_PART: Final = 1 << 40  # draw of a source's destinations; its messages take those from 0 on


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Messages of one kind on the air: at Poisson times, or every ``period_s`` with ``spread_s`` of chance.

    ``destinations``: each message is for one of them by chance, which does not relay it; (): for several nodes.
    ``start_s``: when the first of a period begins, from which judged messages keep apart; None: drawn.
    """

    name: str
    sources: tuple[UnicastAddress, ...]
    rate_per_s: float
    ttl: int | None
    pdu_bytes: int
    destinations: tuple[UnicastAddress, ...] = ()
    period_s: float | None = None
    spread_s: float = 0.0
    start_s: float | None = None


def compute_airtime(scenario: Scenario, pdu_bytes: int) -> int:
    """Time on one channel of a PDU, in nanoseconds; raises `InvalidInput` for one that does not fit."""
    return scenario.profile.pdu_airtime_ns or compute_airtime_ns(pdu_bytes)


def find_streams(scenario: Scenario) -> tuple[Stream, ...]:
    """Background in the scenario's order; then flows and their answers, if they overlap or if it is relayed."""
    on = {node.address for node in scenario.nodes if node.is_on}
    streams = [
        Stream(
            name=f"background/{b.name}",
            sources=tuple(a for a in b.sources if a in on),
            rate_per_s=scenario.sending_rate_per_s(b),
            ttl=b.ttl,
            pdu_bytes=b.pdu_bytes,
            destinations=b.destinations,
        )
        for b in scenario.background
    ]
    are_together = overlapping(scenario)
    if are_together or is_relayed(scenario, streams):
        for flow in scenario.flows:
            streams += _of_flow(flow, on, None if are_together else flow.start_s)
    return tuple(streams)


def is_relayed(scenario: Scenario, streams: Sequence[Stream]) -> bool:
    """Whether any of the messages is relayed at all."""
    ttls = {node.address: node.ttl for node in scenario.nodes}
    return any(
        stream.rate_per_s > 0.0 and any((ttls[a] if stream.ttl is None else stream.ttl) >= 2 for a in stream.sources)
        for stream in streams
    )


def _of_flow(flow: ScenarioFlow, on: set[UnicastAddress], start_s: float | None) -> Iterator[Stream]:
    spread_s = flow.period_s if flow.spread_in_period else flow.spread_s
    asked: dict[str, Any] = {
        "rate_per_s": 1.0 / flow.period_s,
        "period_s": flow.period_s,
        "spread_s": spread_s,
        "start_s": start_s,
    }
    if not flow.count or flow.source not in on:
        return
    yield Stream(
        name=f"flow/{flow.name}",
        sources=(flow.source,),
        ttl=flow.ttl,
        pdu_bytes=flow.pdu_bytes,
        destinations=flow.members if len(flow.members) == 1 else (),
        **asked,
    )
    for member in flow.members if flow.response_pdu_bytes else ():
        if member in on and member != flow.source:
            yield Stream(
                name=f"answer/{flow.name}",
                sources=(member,),
                ttl=None,
                pdu_bytes=flow.response_pdu_bytes or 0,
                destinations=(flow.source,),
                **asked,
            )


def _list_starts(flow: ScenarioFlow) -> tuple[Floats, float]:
    spread_s = flow.period_s if flow.spread_in_period else flow.spread_s
    starts_s: Floats = flow.start_s + flow.period_s * np.arange(min(flow.count, MOST_LISTED), dtype=np.float64)
    return starts_s, spread_s


def overlapping(scenario: Scenario) -> bool:
    """Whether messages of flows may begin within `APART_S` of each other."""
    listed = [_list_starts(flow) for flow in scenario.flows if flow.count]
    if not listed:
        return False
    begins = np.concatenate([starts for starts, _ in listed])
    ends = np.concatenate([starts + spread for starts, spread in listed])
    order = np.argsort(begins, kind="stable")
    latest = np.maximum.accumulate(ends[order])
    return bool(np.any(begins[order][1:] - latest[:-1] < APART_S))


def find_together(scenario: Scenario) -> tuple[str, str] | None:
    """Two flows that begin together again and again without chance between them, which the model can't tell."""
    fixed = [f for f in scenario.flows if f.count > 1 and not f.spread_in_period and f.spread_s < TOGETHER_S]
    for place, flow in enumerate(fixed):
        starts, _ = _list_starts(flow)
        for other in fixed[place + 1 :]:
            others, _ = _list_starts(other)
            at = np.clip(np.searchsorted(others, starts), 1, len(others) - 1)
            apart_s = np.minimum(np.abs(starts - others[at]), np.abs(starts - others[at - 1]))
            if np.mean(apart_s < TOGETHER_S) > 0.1:
                return flow.name, other.name
    return None


def make_messages(
    scenario: Scenario, streams: tuple[Stream, ...], index: dict[UnicastAddress, int], seed: int, span_s: float
) -> BackgroundTable:
    """All messages of ``streams`` within ``span_s``, from draws keyed by stream, source and their number."""
    rows: list[tuple[int, int, int, int, int, int]] = []
    for group, stream in enumerate(streams):
        airtime_ns = compute_airtime(scenario, stream.pdu_bytes)
        key = make_key(seed, "fast/stream", stream.name)
        for start_s, address, number in _iter_starts(stream, key, span_s):
            source = index[address]
            ttl = scenario.nodes[source].ttl if stream.ttl is None else stream.ttl
            lone = _find_lone(stream, index, extend_key(key, address), number)
            rows.append((int(start_s * 1e9), source, ttl, airtime_ns, group, lone))
    table = np.asarray(sorted(rows), np.int64).reshape(-1, 6)
    return BackgroundTable(*(np.ascontiguousarray(column) for column in table.T))


def _find_lone(stream: Stream, index: dict[UnicastAddress, int], own: int, number: int) -> int:
    """Place of the one node that a source's message is for, evenly over all of them; -1: it is for several."""
    if not stream.destinations:
        return -1
    share = (draw(own, LONE_PART) + number * GOLDEN_RATIO) % 1.0
    return index[stream.destinations[int(share * len(stream.destinations))]]


def _iter_starts(stream: Stream, key: int, span_s: float) -> Iterator[tuple[float, UnicastAddress, int]]:
    """Starts, sources and the sources' own numbers of a stream's messages; those of one source hang on no other.

    Of a Poisson stream each source sends as often as its share of the rate says, rounded up or down as its address
    decides; over many addresses the rest evens out, so that chance hardly changes the load.
    """
    if stream.period_s is None:
        each = stream.rate_per_s * span_s / max(1, len(stream.sources))
        for address in stream.sources:
            own = extend_key(key, address)
            count = math.floor(each + (draw(key, 0) + address * GOLDEN_RATIO) % 1.0)
            yield from ((draw(own, number) * span_s, address, number) for number in range(count))
        return
    phase_s = (draw(key, 0) * stream.period_s) if stream.start_s is None else stream.start_s % stream.period_s
    for number in range(math.ceil(span_s / stream.period_s)):
        start_s = phase_s + number * stream.period_s + draw(extend_key(key, number), 0) * stream.spread_s
        if start_s < span_s:
            yield start_s, stream.sources[number % len(stream.sources)], number
