"""``python -m tests.benchmarks fast_intervals``: how many of the fast model's intervals hold the simulator's figures.

Networks that nothing was set on (from seed 5000 on; ``MESHTWIN_BENCH_FAST_SEED``: others), light, with channels busy
0.5 to 10 % and 10 to 30 %, answered with 32, 128 and 256 states, each with its own seed. The simulator's figures are
those of 480 to 800 messages a flow; their own chance is in what is missed. Where the model declines there is nothing
to hold. ``python -m tests.benchmarks.bench_fast_intervals FIRST LIGHT LITTLE LOADED`` measures other numbers of
networks and prints every row.
"""

import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, median
from typing import Final

import numpy as np
import numpy.typing as npt
from tests.benchmarks.bench_fast import draw_light, draw_loaded
from tests.benchmarks.fast_networks import Plan, make_network, with_busy
from tests.benchmarks.figures import Figure, at_least, told
from tests.benchmarks.following import follow

from meshtwin.fast import FastAnswer, ReachAnswer, prepare
from meshtwin.mesh.kpis import FlowKpis, Interval
from meshtwin.sim.engine import simulate
from meshtwin.sim.scenario import Scenario, ScenarioFlow

COMMAND: Final = "python -m tests.benchmarks fast_intervals"
FIRST: Final = int(os.environ.get("MESHTWIN_BENCH_FAST_SEED", "5000"))
STATES: Final = (32, 128, 256)
REPLICATIONS: Final = 8
MESSAGES_LEAST: Final = 100  # arrivals, for a quantile that is worth comparing with
COVERED_LEAST: Final = 0.85

Latencies = npt.NDArray[np.int64]  # (messages, members) in nanoseconds, -1: not reached


@dataclass(frozen=True, slots=True)
class Held:
    """One interval: of what, with how many states, whether it holds, and how wide it is as a share of its estimate."""

    load: str
    figure: str
    states: int
    holds: bool
    width: float


def run() -> list[Figure]:
    """Shares by load and figure, over all numbers of states."""
    held = measure(FIRST, (12, 12, 20))
    loads, figures = (list(dict.fromkeys(getattr(h, name) for h in held)) for name in ("load", "figure"))
    covered = [
        at_least(f"fast, intervals of {figure}", _share(held, figure=figure), COVERED_LEAST, "share held", COMMAND)
        for figure in figures
    ]
    return covered + [
        told(f"fast, {load}: intervals of {figure}", _share(held, figure=figure, load=load), "share held", COMMAND)
        for load in loads
        for figure in figures
    ]


def draw_little_loaded(seed: int) -> Scenario:
    """A network whose channels are busy for 0.5 to 10 % of the time."""
    rnd = random.Random(seed * 7 + 3)
    plan = Plan(
        seed=seed,
        profile=rnd.choice(("zephyr", "zephyr", "bmsim", "emulated", "bluez", "nrf5-sdk")),
        nodes=rnd.randrange(30, 61),
        degree=rnd.uniform(8.0, 24.0),
        transmissions=rnd.randrange(1, 4),
        relay_share=rnd.uniform(0.4, 1.0),
        messages=60,
    )
    return with_busy(make_network(plan), rnd.uniform(0.005, 0.10))


LOADS: Final[Mapping[str, Callable[[int], Scenario]]] = {
    "light": draw_light,
    "channels busy to 10 %": draw_little_loaded,
    "channels busy 10 to 30 %": draw_loaded,
}


def measure(first: int, counts: Sequence[int]) -> list[Held]:
    """All intervals of so many networks of each load, from seed ``first`` on."""
    asked = [(load, first + n) for (load, _), count in zip(LOADS.items(), counts, strict=True) for n in range(count)]
    return [
        held
        for load, seed in follow(asked, len(asked), "fast, networks")
        for held in _iter_held(load, LOADS[load](seed), seed)
    ]


def _iter_held(load: str, scenario: Scenario, seed: int) -> Iterator[Held]:
    answers = {}
    for states in STATES:
        prepared = prepare(scenario, states=states, seed=seed)
        answer = prepared.estimate()
        if answer.kpis is not None:
            answers[states] = answer, prepared.reach_from(scenario.flows[0].source)
    if not answers:
        return
    wide = replace(scenario, flows=tuple(_to_everybody(flow, scenario) for flow in scenario.flows))
    latencies, airtime = _simulate(wide)
    for states, (answer, reach) in answers.items():
        for name, own, real in (
            *_compare_flows(scenario, wide, answer, latencies, airtime),
            *_compare_destinations(reach, latencies[0]),
        ):
            if own is not None and real is not None and own.open_because is None:
                yield Held(load, name, states, own.low <= real <= own.high, (own.high - own.low) / max(real, 1e-9))


def _to_everybody(flow: ScenarioFlow, scenario: Scenario) -> ScenarioFlow:
    """A flow to several members as one to all: its messages spread alike, so that one run serves for both."""
    if len(flow.members) == 1:
        return flow
    return replace(flow, members=tuple(n.address for n in scenario.nodes if n.address != flow.source))


def _simulate(scenario: Scenario) -> tuple[list[Latencies], float]:
    """Latencies of each flow, and the mean airtime ratio."""
    results = [simulate(scenario, seed=17, replication=r, engine="auto") for r in range(REPLICATIONS)]
    found = []
    for flow in scenario.flows:
        place = {member: i for i, member in enumerate(flow.members)}
        messages = [m for result in results for m in result.messages if m.flow == flow.name]
        table = np.full((len(messages), len(place)), -1, np.int64)
        for row, message in zip(table, messages, strict=True):
            for arrival in message.arrivals:
                row[place[arrival.member]] = arrival.latency_ns
        found.append(table)
    return found, fmean(result.airtime_ratio for result in results)


def _compare_flows(
    scenario: Scenario, wide: Scenario, answer: FastAnswer, latencies: Sequence[Latencies], airtime: float
) -> Iterator[tuple[str, Interval | None, float | None]]:
    """What each interval is of, the interval, and the simulator's figure."""
    assert answer.kpis is not None
    yield "airtime", answer.kpis.airtime_ratio, airtime
    for flow, everybody, own, table in zip(scenario.flows, wide.flows, answer.kpis.flows, latencies, strict=True):
        yield from _compare_flow(flow, own, table[:, [everybody.members.index(m) for m in flow.members]])


def _compare_flow(
    flow: ScenarioFlow, own: FlowKpis, table: Latencies
) -> Iterator[tuple[str, Interval | None, float | None]]:
    reached = (table >= 0).all(axis=1)
    on_time = reached & (table.max(axis=1) <= flow.deadline_ms * 1e6)
    yield "on-time share", own.on_time, float(on_time.mean())
    yield "delivery", own.delivery, float((table >= 0).mean())
    yield "reached all", own.reached_all, float(reached.mean())
    for name, interval, share in (
        ("median latency", own.latency_p50, 0.50),
        ("p95 latency", own.latency_p95, 0.95),
        ("p99 latency", own.latency_p99, 0.99),
    ):
        yield name, interval, _quantile_ms(table[table >= 0], share)
    spreads = table[reached].max(axis=1) - table[reached].min(axis=1) if reached.any() else np.empty(0, np.int64)
    yield "p95 of the spread", own.spread_p95, _quantile_ms(spreads, 0.95)


def _compare_destinations(reach: ReachAnswer, table: Latencies) -> Iterator[tuple[str, Interval | None, float | None]]:
    """Of every destination of the first flow's source, in the scenario's order, as the columns of ``table`` are."""
    for own, column in zip(reach.destinations, table.T, strict=True):
        yield "a destination's delivery", own.delivery, float((column >= 0).mean())
        for name, interval, share in (("median", own.latency_p50, 0.50), ("p95", own.latency_p95, 0.95)):
            yield f"a destination's {name} latency", interval, _quantile_ms(column[column >= 0], share)


def _quantile_ms(values_ns: Latencies, share: float) -> float | None:
    return float(np.quantile(values_ns, share)) / 1e6 if len(values_ns) >= MESSAGES_LEAST else None


def _choose(held: Sequence[Held], **wanted: object) -> list[Held]:
    return [h for h in held if all(getattr(h, name) == value for name, value in wanted.items())]


def _share(held: Sequence[Held], **wanted: object) -> float:
    chosen = _choose(held, **wanted)
    return fmean(h.holds for h in chosen) if chosen else 0.0


def _tell_all(held: Sequence[Held]) -> None:
    for load in LOADS:
        for figure in dict.fromkeys(h.figure for h in held):
            rows = [_choose(held, load=load, figure=figure, states=states) for states in STATES]
            texts = [
                f"{states}: {fmean(h.holds for h in row):.3f} of {len(row)}, width {median(h.width for h in row):.3f}"
                for states, row in zip(STATES, rows, strict=True)
                if row
            ]
            print(f"{load}, {figure}: {'; '.join(texts)}", flush=True)


if __name__ == "__main__":
    _tell_all(measure(int(sys.argv[1]), [int(count) for count in sys.argv[2:5]]))
