"""The compiled engine: events, real time, the reference engine beside it, memory, and how cost grows.

All times are processor time of one process, medians over fresh seeds; a run is everything from scenario to result.
An *event* is one entry taken from the event queue, or one judged (PDU, receiver) pair: a receiver that listens to
the PDU and does not know its message yet. The engine needs fewer queue entries than the reference engine for the
same records (a PDU that nobody waits for has none), so events are counted as this engine does them.
"""

import math
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from tests.benchmarks.figures import Figure, at_least, at_most, told

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.sim.compiled import run_compiled
from meshtwin.sim.compiled.run import run_state
from meshtwin.sim.reference import run_reference
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioNode
from meshtwin.sim.validation.grid import build_grid_scenario
from meshtwin.sim.validation.office import build_office_scenario, hard_range_links
from meshtwin.sim.validation.tables import read_table

COMMAND = "python -m tests.benchmarks engine"
SEEDS = (8101, 8102, 8103, 8104, 8105)
SIZES = (100, 200, 400, 800, 1600)
PITCH_M = 10.0


def run() -> list[Figure]:
    """Figures of one run; about two minutes, most of it in the reference engine."""
    grid = build_grid_scenario(read_table("grid"), seed=SEEDS[0])
    office = build_office_scenario(read_table("office"), "all", 6)
    run_compiled(grid, 1, 0)  # compiles, or loads what was compiled
    figures = [
        at_least("events per second and core, grid", _events(grid) / 1e6, 6.0, "million/s", COMMAND),
        at_least("office (all relays, TTL 6)", _real_time(office), 500.0, "x real time", COMMAND),
        at_least("grid of 49 nodes", _real_time(grid), 500.0, "x real time", COMMAND),
        at_least("300 nodes, degree 8, 3 sends, 10 packets/s", _real_time(build(300)), 80.0, "x real time", COMMAND),
        at_least("1,000 nodes, likewise", _real_time(build(1000)), 20.0, "x real time", COMMAND),
        at_least("compiled against reference, grid, one run", _ratio(grid), 20.0, "x", COMMAND),
        at_most("peak memory, 1,000 nodes for 60 s", _peak_mib(), 400.0, "MiB", COMMAND),
    ]
    costs = [_cost_ns(build(size, duration_s=20.0)) for size in SIZES]
    figures += [
        told(f"cost per transmission and neighbour, {size} nodes", cost, "ns", COMMAND)
        for size, cost in zip(SIZES, costs, strict=True)
    ]
    for degree in (4, 16, 32):
        cost = _cost_ns(build(400, degree=degree))
        figures.append(told(f"the same, 400 nodes of degree {degree}", cost, "ns", COMMAND))
    growth = costs[-1] / costs[0]
    figures.append(at_most(f"its growth from {SIZES[0]} to {SIZES[-1]} nodes", growth, 1.5, "x", COMMAND))
    return figures


def build(nodes: int, *, degree: int = 8, duration_s: float = 20.0, seed: int = 5) -> Scenario:
    """A unit disc of that many nodes, all relays with three sends, and ten unicast messages per second in all."""
    draw = random.Random(seed)
    side_m, range_m = math.sqrt(nodes) * PITCH_M, math.sqrt((degree + 1) / math.pi) * PITCH_M
    places = {
        UnicastAddress(i + 1): Position(draw.uniform(0.0, side_m), draw.uniform(0.0, side_m), 0.0) for i in range(nodes)
    }
    thrice = Transmit(count=2, interval_steps=1)
    ends = [draw.sample(list(places), 2) for _ in range(10)]
    return Scenario(
        name=f"disc-{nodes}-{degree}",
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=64, network_transmit=thrice, relay_retransmit=thrice)
            for a in places
        ),
        links=hard_range_links(places, range_m),
        flows=tuple(
            ScenarioFlow(
                name=f"flow-{i}", source=source, members=(target,), count=round(duration_s), period_s=1.0,
                spread_in_period=True,
            )
            for i, (source, target) in enumerate(ends)
        ),
        duration_s=duration_s,
    )  # fmt: skip


def _timed(work: Callable[[int], object]) -> float:
    """Median processor time of ``work`` over the seeds, in seconds."""
    times = []
    for seed in SEEDS:
        start = time.process_time()
        work(seed)
        times.append(time.process_time() - start)
    return median(times)


def _real_time(scenario: Scenario) -> float:
    assert scenario.duration_s is not None
    run_compiled(scenario, 1, 0)  # what replications share is prepared once
    return scenario.duration_s / _timed(lambda seed: run_compiled(scenario, seed, 0))


def _events(scenario: Scenario) -> float:
    from meshtwin.sim.compiled.layout import EVENTS, JUDGED

    counts = [run_state(scenario, seed, 0).counts for seed in SEEDS]
    done = median(int(c[EVENTS] + c[JUDGED]) for c in counts)
    return done / _timed(lambda seed: run_compiled(scenario, seed, 0))


def _ratio(scenario: Scenario) -> float:
    assert run_compiled(scenario, SEEDS[0], 0) == run_reference(scenario, SEEDS[0], 0)
    return _timed(lambda seed: run_reference(scenario, seed, 0)) / _timed(lambda seed: run_compiled(scenario, seed, 0))


def _cost_ns(scenario: Scenario) -> float:
    """Processor time per transmission and neighbour, in nanoseconds."""
    from meshtwin.sim.compiled.layout import SENT

    run_compiled(scenario, 1, 0)
    sent = median(int(run_state(scenario, seed, 0).counts[SENT]) for seed in SEEDS)
    neighbours = len(scenario.links) / len(scenario.nodes)
    return _timed(lambda seed: run_compiled(scenario, seed, 0)) * 1e9 / (sent * neighbours)


def _peak_mib() -> float:
    """Of a process of its own, imports included."""
    code = "from tests.benchmarks.bench_engine import tell_peak; tell_peak()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def tell_peak() -> None:
    """Runs the large network and prints the most memory that this process held, in MiB."""
    run_compiled(build(1000, duration_s=60.0), 1, 0)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
