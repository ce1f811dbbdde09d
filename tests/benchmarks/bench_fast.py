"""The fast model beside the packet simulator: errors at light load and under load, time, cost at equal precision.

What its intervals hold is measured by `bench_fast_intervals`.
``python -m tests.benchmarks fast`` runs the held-out networks; ``python -m tests.benchmarks.bench_fast development``
prints the errors on the development networks, which the model's limits and error constants were set on.
"""

import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from tests.benchmarks.fast_networks import Plan, make_network, with_busy
from tests.benchmarks.figures import Figure, at_least, at_most, percentile, told
from tests.benchmarks.following import follow

from meshtwin.fast import estimate, prepare
from meshtwin.mesh.configuration import NodeSettings
from meshtwin.mesh.kpis import FlowKpis, NetworkKpis
from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import LossCause
from meshtwin.sim.results import RunResult, summarise
from meshtwin.sim.scenario import Scenario

COMMAND = "python -m tests.benchmarks fast"
HELD_OUT = int(os.environ.get("MESHTWIN_BENCH_FAST_SEED", "3000"))  # first of networks that nothing was set on
LIGHT = 16  # networks
LOADED = 24
REPLICATIONS = 4
DECLINED_S = 30.0  # simulated time where the model declines: full queues without a bound take for ever
STATES = 256
# A ratio of two variances: with 12 seeds it is known to a factor of two, with 48 to a third, with 200 to a sixth.
COST_SEEDS = 48
LIGHT_COST_SEEDS = 200  # runs are short there, and the bound is on that ratio
PROFILES = ("zephyr", "zephyr", "nrf5-sdk", "bluez", "mathworks", "bmsim", "emulated")


@dataclass(frozen=True, slots=True)
class Case:
    """One flow of one network: relative errors of median and p95 latency, errors of delivery and on-time share."""

    profile: str
    busy_ratio: float
    busiest_ratio: float
    median: float
    p95: float
    delivery: float
    on_time: float
    airtime: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Cases of the networks answered for; of all networks: declined, and (by the simulator) carrying their load."""

    cases: list[Case]
    declined: list[bool]
    carried: list[bool]

    def declined_share(self, *, of_carried: bool) -> float:
        """Share of networks declined, of all or of those that carry their load."""
        counted = [d for d, c in zip(self.declined, self.carried, strict=True) if c or not of_carried]
        return statistics.fmean(counted) if counted else 0.0


def run() -> list[Figure]:
    """Figures on held-out networks; about five minutes on one core."""
    light = compare([draw_light(HELD_OUT + n) for n in range(LIGHT)])
    loaded = compare([draw_loaded(HELD_OUT + 500 + n) for n in range(LOADED)])
    share, of_all = (loaded.declined_share(of_carried=carried) for carried in (True, False))
    return [
        *_errors("light load", light.cases, (0.06, 0.15, 0.02)),
        *_errors("under load", loaded.cases, (0.15, None, None)),
        at_most("fast, under load: declined", share, 0.10, "share of networks that carry their load", COMMAND),
        told("fast, under load: declined, saturated ones too", of_all, "share of all networks", COMMAND),
        *_times(),
    ]


def draw_light(seed: int) -> Scenario:
    """A network with nothing on the air but notifications."""
    rnd = random.Random(seed * 7 + 1)
    return make_network(
        Plan(
            seed=seed,
            profile=rnd.choice(PROFILES),
            nodes=rnd.randrange(20, 81),
            degree=rnd.uniform(6.0, 14.0),
            transmissions=rnd.randrange(1, 4),
            relay_share=rnd.uniform(0.4, 1.0),
            ttl=rnd.randrange(4, 11),
            messages=100,
        )
    )


def draw_loaded(seed: int) -> Scenario:
    """A network whose channels are busy for 10 to 30 % of the time; denser, since sparse ones can't be so busy."""
    rnd = random.Random(seed * 7 + 2)
    plan = Plan(
        seed=seed,
        profile=rnd.choice(("zephyr", "zephyr", "bmsim", "emulated", "bluez", "nrf5-sdk")),
        nodes=rnd.randrange(30, 61),
        degree=rnd.uniform(10.0, 30.0),
        transmissions=rnd.randrange(1, 4),
        relay_share=rnd.uniform(0.4, 1.0),
        messages=60,
    )
    return with_busy(make_network(plan), rnd.uniform(0.10, 0.30))


def compare(scenarios: Sequence[Scenario], tell: Callable[[str], None] = lambda _: None) -> Comparison:
    """The model beside the simulator on every network; the simulator also runs where the model declines."""
    cases: list[Case] = []
    declined: list[bool] = []
    carried: list[bool] = []
    for seed, scenario in enumerate(follow(scenarios, len(scenarios), "fast, networks")):
        answer = estimate(scenario, states=STATES, seed=seed)  # one seed would give all networks alike chance
        if answer.kpis is None:
            results = [simulate(replace(scenario, duration_s=DECLINED_S), seed=17, engine="auto")]
        else:
            results = [simulate(scenario, seed=17, replication=r, engine="auto") for r in range(REPLICATIONS)]
        truth = summarise(results, scenario.flows)
        declined.append(answer.kpis is None)
        carried.append(_is_carried(results, truth))
        if answer.kpis is not None:
            pairs = _pairs(truth, answer.kpis)
            cases += [_case(scenario, answer.busiest_ratio, t, truth, f, answer.kpis) for t, f in pairs]
        tell(
            f"{scenario.name} {scenario.profile.name} busy {truth.airtime_ratio.estimate:.3f} "
            f"busiest {answer.busiest_ratio:.2f} carried {carried[-1]} declined {declined[-1]}"
        )
    return Comparison(cases, declined, carried)


def _is_carried(results: Sequence[RunResult], truth: NetworkKpis) -> bool:
    """Whether the simulated network keeps up with its load: hardly a full queue, and nothing waits for a second."""
    dropped = sum(r.losses[LossCause.BUFFER] for r in results) / max(1, sum(r.transmissions for r in results))
    slowest_ms = max((f.latency_p95_ms or 0.0 for f in truth.flows), default=0.0)
    return dropped < 0.01 and slowest_ms < 1000.0


def _pairs(truth: NetworkKpis, fast: NetworkKpis) -> list[tuple[FlowKpis, FlowKpis]]:
    return [(t, f) for t, f in zip(truth.flows, fast.flows, strict=True) if t.latency_p50_ms and t.latency_p95_ms]


def _case(
    scenario: Scenario, busiest: float, truth: FlowKpis, all_truth: NetworkKpis, fast: FlowKpis, all_fast: NetworkKpis
) -> Case:
    return Case(
        profile=scenario.profile.name,
        busy_ratio=all_truth.airtime_ratio.estimate,
        busiest_ratio=busiest,
        median=abs((fast.latency_p50_ms or 0.0) / (truth.latency_p50_ms or 1.0) - 1.0),
        p95=abs((fast.latency_p95_ms or 0.0) / (truth.latency_p95_ms or 1.0) - 1.0),
        delivery=abs(fast.delivery.estimate - truth.delivery.estimate),
        on_time=abs(fast.on_time.estimate - truth.on_time.estimate),
        airtime=abs(all_fast.airtime_ratio.estimate / max(all_truth.airtime_ratio.estimate, 1e-9) - 1.0),
    )


def _errors(load: str, cases: Sequence[Case], bounds: tuple[float, float | None, float | None]) -> list[Figure]:
    found: list[Figure] = []
    for name, bound in zip(("median", "p95", "delivery"), bounds, strict=True):
        values = [getattr(case, name) for case in cases]
        label, unit = f"fast, {load}: error of {name}", "ratio" if name == "delivery" else "share of it"
        middle = statistics.median(values)
        found.append(
            told(label, middle, unit, COMMAND) if bound is None else at_most(label, middle, bound, unit, COMMAND)
        )
        found.append(told(f"{label}, 90 % of flows below", percentile(values, 90), unit, COMMAND))
    on_time = [case.on_time for case in cases]
    return [*found, told(f"fast, {load}: error of on-time share", statistics.median(on_time), "ratio", COMMAND)]


def _times() -> list[Figure]:
    """Times and costs on 300 nodes, all destinations of one source; the kernel is compiled before."""
    quiet = make_network(Plan(seed=HELD_OUT + 900, nodes=300, degree=8.0, relay_share=1.0, messages=32))
    everybody = tuple(node.address for node in quiet.nodes if node.address != quiet.flows[0].source)
    flow = replace(quiet.flows[0], members=everybody, deadline_ms=300)
    quiet = replace(quiet, flows=(flow,), background=())
    loaded = with_busy(quiet, 0.10)
    figures: list[Figure] = []
    for load, scenario, seeds in (("light load", quiet, LIGHT_COST_SEEDS), ("channel busy 10 %", loaded, COST_SEEDS)):
        fast_s, fast_spread = _cost(lambda seed, s=scenario: _fast_median(s, seed, 32), seeds)
        usual_s, usual_spread = _cost(lambda seed, s=scenario: _fast_median(s, seed, 128), seeds)
        engine_s, engine_spread = _cost(lambda seed, s=scenario: _engine_median(s, seed), seeds)
        dearer = engine_s * engine_spread**2 / (fast_s * fast_spread**2)
        dearer_usual = engine_s * engine_spread**2 / (usual_s * usual_spread**2)
        reach_s = statistics.median(_reach(scenario, seed) for seed in range(COST_SEEDS))
        name = f"fast, 300 nodes, {load}"
        figures.append(told(f"{name}: a flow to all, 32 states", fast_s * 1e3, "ms", COMMAND))
        figures.append(told(f"{name}: the compiled engine, one run of 32 messages", engine_s * 1e3, "ms", COMMAND))
        if load == "light load":
            figures.append(at_most(f"{name}: all destinations, 32 states", reach_s * 1e3, 50.0, "ms", COMMAND))
            figures.append(at_least(f"{name}: engine's cost over it, equal precision", dearer, 10.0, "times", COMMAND))
        else:
            figures.append(told(f"{name}: all destinations, 32 states", reach_s * 1e3, "ms", COMMAND))
            figures.append(told(f"{name}: engine's cost over it, equal precision", dearer, "times", COMMAND))
        figures.append(told(f"{name}: engine's cost over 128 states, the usual number", dearer_usual, "times", COMMAND))
        figures.append(told(f"{name}: deviation of the median over seeds", fast_spread, "share of it", COMMAND))
        figures.append(told(f"{name}: the same, compiled engine", engine_spread, "share of it", COMMAND))
        anew, again, near, near_five = _change_costs(scenario)
        figures.append(told(f"{name}: 128 states, a fresh answer", anew * 1e3, "ms", COMMAND))
        figures.append(told(f"{name}: the same after a relay went off", again * 1e3, "ms", COMMAND))
        figures.append(told(f"{name}: a relay off, told near", near * 1e3, "ms", COMMAND))
        figures.append(told(f"{name}: five relays off, told near", near_five * 1e3, "ms", COMMAND))
    figures.append(told("fast: load of the machine over the last minute", os.getloadavg()[0], "", COMMAND))
    return figures


def _fast_median(scenario: Scenario, seed: int, states: int) -> tuple[float, float]:
    prepared = prepare(scenario, states=states, seed=seed)
    begin = time.process_time()
    kpis = prepared.estimate().kpis
    taken_s = time.process_time() - begin
    assert kpis is not None
    return taken_s, kpis.flows[0].latency_p50_ms or 0.0


def _reach(scenario: Scenario, seed: int) -> float:
    """Processor time of all destinations one by one, with their intervals."""
    prepared = prepare(scenario, states=32, seed=seed)
    return _timed(partial(prepared.reach_from, scenario.flows[0].source))


def _change_costs(scenario: Scenario) -> tuple[float, float, float, float]:
    """Median processor times in seconds, tables made before.

    Of a fresh answer, of one with a relay off, and of ones told near: with a relay off, and with five.
    """
    taken_s: list[list[float]] = [[], [], [], []]
    for seed in range(3):
        prepared = prepare(scenario, seed=seed)
        taken_s[0].append(_timed(prepared.estimate))
        prepared.estimate_near({})
        for number in range(5):
            first = 59 * number + 11 * seed
            off = [scenario.nodes[(first + 31 * k) % len(scenario.nodes)].address for k in range(5)]
            one, five = ({node: NodeSettings(relay=False) for node in nodes} for nodes in (off[:1], off))
            taken_s[1].append(_timed(partial(prepared.estimate, one)))
            taken_s[2].append(_timed(partial(prepared.estimate_near, one)))
            taken_s[3].append(_timed(partial(prepared.estimate_near, five)))
    fresh_s, again_s, near_s, five_s = (statistics.median(each) for each in taken_s)
    return fresh_s, again_s, near_s, five_s


def _timed(ask: Callable[[], object]) -> float:
    begin = time.process_time()
    ask()
    return time.process_time() - begin


def _engine_median(scenario: Scenario, seed: int) -> tuple[float, float]:
    begin = time.process_time()
    result = simulate(scenario, seed=seed, engine="auto")
    taken_s = time.process_time() - begin
    return taken_s, summarise([result], scenario.flows).flows[0].latency_p50_ms or 0.0


def _cost(once: Callable[[int], tuple[float, float]], seeds: int) -> tuple[float, float]:
    """Median processor time in seconds, and the relative deviation of the figure over seeds."""
    once(0)
    told_by_seed = [once(seed + 1) for seed in range(seeds)]
    values = [value for _, value in told_by_seed]
    return statistics.median(t for t, _ in told_by_seed), statistics.stdev(values) / statistics.fmean(values)


if __name__ == "__main__":
    if sys.argv[1:] == ["development"]:
        for draw, count in ((draw_light, 20), (draw_loaded, 30)):
            compared = compare([draw(seed) for seed in range(count)], print)
            found = compared.cases
            print(draw.__name__, "declined", compared.declined_share(of_carried=True), sum(compared.declined))
            for field in ("median", "p95", "delivery", "on_time", "airtime"):
                values = [getattr(case, field) for case in found]
                print(f"  {field}: median {statistics.median(values):.4f}, 90 % below {percentile(values, 90):.4f}")
