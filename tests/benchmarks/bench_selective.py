"""``python -m tests.benchmarks selective``: what preset states save against random draws, at equal numbers of messages.

Networks are made here, from seeds used nowhere else. *Random* are the same engine and scenario with a table of
independent random numbers in place of low-discrepancy ones, so nothing but the states differs. A variance is that of
one replication's figure over independent scrambles, summed over the destinations of a band of hops. The standard
error of a ratio is about 18 % per network, 25 % for differences. Shares are judged where they are not within 2 % of
0 or 1.
"""

import math
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from statistics import median

import numpy as np
from numpy.typing import NDArray
from tests.benchmarks.figures import Figure, at_least, is_full, told
from tests.benchmarks.following import follow

import meshtwin
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.replications import replicate
from meshtwin.sim.results import summarise
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.states import PresetStates, count_hops, preset_states

COMMAND = "python -m tests.benchmarks selective"
BANDS = ((1, 3), (4, 6), (7, 12))
MESSAGES = 64
SCRAMBLES = 128
DIFFERENCE_SCRAMBLES = 64
RARE = 0.02  # shares nearer to 0 or 1 rest on a few rare events, of which 64 messages show one or none
SEEDS = range(7340, 7346 if is_full() else 7343)
REACH_M = 20.0
CORE_REPLICATIONS = 64

States = Callable[[Scenario, int], PresetStates | None]


def run() -> list[Figure]:
    """All figures."""
    networks = dict(make_networks())
    named = follow(networks.items(), len(networks), "selective, networks")
    ratios = {name: measure_ratios(scenario) for name, scenario in named}
    return [
        *_ratio_figures(ratios),
        *_difference_figures(networks),
        *_order_figures(networks[f"field {SEEDS[0]}, 35% relays"]),
        *_interval_figures(),
        *_core_figures(),
    ]


def make_networks() -> Iterator[tuple[str, Scenario]]:
    """Chains of 13 nodes with two link qualities, and fields of 40 nodes: all relaying, two thirds, a third."""
    for delivery in (0.95, 0.7):
        yield f"chain {delivery}", make_chain(13, delivery)
    for seed in SEEDS:
        for share, degree in ((1.0, 8), (0.65, 10), (0.35, 14)):
            yield f"field {seed}, {share:.0%} relays", make_field(seed, relay_share=share, degree=degree)


def make_chain(length: int, delivery: float) -> Scenario:
    """Nodes in a line, the first one sends to all others."""
    links = [
        ScenarioLink(source=UnicastAddress(a), target=UnicastAddress(b), delivery=delivery, rx_power_dbm=-80.0)
        for a in range(1, length + 1)
        for b in (a - 1, a + 1)
        if 1 <= b <= length
    ]
    return _to_scenario(f"chain-{delivery}", tuple(links), [True] * length)


def make_field(seed: int, *, relay_share: float, degree: float, nodes: int = 40) -> Scenario:
    """The first draw of ``seed`` in which node 1 reaches all others; see `_draw_field`."""
    for draw in range(10_000):
        scenario = _draw_field((seed, draw), relay_share, degree, nodes)
        if len(count_hops(scenario, scenario.flows[0], only_relays=True)) == nodes:
            return scenario
    raise AssertionError(f"no connected field of {nodes} nodes for seed {seed}")


def _draw_field(seed: tuple[int, int], relay_share: float, degree: float, nodes: int) -> Scenario:
    """Nodes at random in a long field with shadowing of 4 dB, ``degree`` neighbours on average within reach."""
    chance = np.random.default_rng(seed)
    width_m = math.sqrt(nodes * math.pi * REACH_M**2 / degree / 6.0)
    places = chance.uniform(size=(nodes, 2)) * (6.0 * width_m, width_m)
    places = places[np.argsort(places[:, 0])]
    links: list[ScenarioLink] = []
    for a in range(nodes):
        for b in range(a + 1, nodes):
            distance_m = max(1.0, float(np.hypot(*(places[a] - places[b]))))
            rx_dbm = -97.5 - 27.0 * math.log10(distance_m / REACH_M) + float(chance.normal(0.0, 4.0))
            for source, target in ((a, b), (b, a)):
                here_dbm = rx_dbm + float(chance.normal())
                if here_dbm > -106.0:
                    links.append(
                        ScenarioLink(
                            source=UnicastAddress(source + 1), target=UnicastAddress(target + 1), rx_power_dbm=here_dbm
                        )
                    )
    relays = (chance.uniform(size=nodes) < relay_share).tolist()
    return _to_scenario(f"field-{seed[0]}", tuple(links), relays)


def _to_scenario(name: str, links: tuple[ScenarioLink, ...], relays: list[bool]) -> Scenario:
    thrice = Transmit(count=2, interval_steps=1)
    nodes = tuple(
        ScenarioNode(
            address=UnicastAddress(i + 1), relay=relay, ttl=20, network_transmit=thrice, relay_retransmit=thrice
        )
        for i, relay in enumerate(relays)
    )
    flow = ScenarioFlow(
        name="f",
        source=nodes[0].address,
        members=tuple(n.address for n in nodes[1:]),
        count=MESSAGES,
        period_s=1.25,
        spread_s=0.25,
    )
    return Scenario(name=name, nodes=nodes, links=links, flows=(flow,), profile=get_profile("zephyr"))


def selective(scenario: Scenario, replication: int) -> PresetStates | None:
    """Low-discrepancy states."""
    return preset_states(scenario, seed=71, replication=replication)


def independent(scenario: Scenario, replication: int) -> PresetStates | None:
    """Independent random numbers in their place."""
    like = preset_states(scenario, seed=71)
    assert like is not None
    return replace(like, table=np.random.default_rng((71, replication)).random(like.table.shape))


def sample(scenario: Scenario, states: States, first: int = 0, scrambles: int = SCRAMBLES) -> NDArray[np.float64]:
    """(scrambles, 3, nodes): mean latency in ms (NaN: never reached), delivery, share within 100 ms."""
    index = {node.address: i for i, node in enumerate(scenario.nodes)}
    figures = np.zeros((scrambles, 3, len(index)))
    for turn in range(scrambles):
        replication = first + turn
        result = simulate(
            scenario, seed=72, replication=replication, states=states(scenario, replication), engine="auto"
        )
        for message in result.messages:
            for arrival in message.arrivals:
                ms = arrival.latency_ns * 1e-6
                figures[turn, :, index[arrival.member]] += (ms, 1.0, ms <= 100.0)
    with np.errstate(invalid="ignore"):
        figures[:, 0] /= figures[:, 1]
    figures[:, 1:] /= MESSAGES
    return figures


def measure_ratios(scenario: Scenario) -> dict[tuple[str, tuple[int, int]], float]:
    """Variance with random over variance with preset states, per (figure, band); NaN where nothing varies."""
    samples = {name: sample(scenario, states) for name, states in SAMPLERS.items()}
    hops = count_hops(scenario, scenario.flows[0], only_relays=True)
    ratios: dict[tuple[str, tuple[int, int]], float] = {}
    for band in BANDS:
        members = [i for i, node in enumerate(scenario.nodes) if band[0] <= hops.get(node.address, 0) <= band[1]]
        shares = np.mean(samples["random"][:, :, members], axis=(0, 2)) if members else np.full(3, math.nan)
        variances = {name: np.nansum(np.nanvar(s[:, :, members], axis=0), axis=1) for name, s in samples.items()}
        for place, figure in enumerate(("latency", "delivery", "on time")):
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = variances["random"][place] / variances["selective"][place]
            judged = figure == "latency" or RARE < shares[place] < 1.0 - RARE
            ratios[figure, band] = float(ratio) if members and judged else math.nan
    return ratios


SAMPLERS: Mapping[str, States] = {"selective": selective, "random": independent}


def measure_differences(networks: Mapping[str, Scenario]) -> dict[str, tuple[float, float]]:
    """`compare` of each field with its changes, by (network, change, figure)."""
    ratios: dict[str, tuple[float, float]] = {}
    fields = {name: scenario for name, scenario in networks.items() if name.startswith("field")}
    for name, scenario in follow(fields.items(), len(fields), "selective, differences"):
        base = tuple(sample_messages(scenario, states, 0) for states in (selective, independent))
        for change, changed in make_changes(scenario):
            found = compare((base[0], base[1]), changed)
            ratios.update({f"{name}, {change}, {figure}": both for figure, both in found.items()})
    return ratios


def measure_again(networks: Mapping[str, Scenario], which: str) -> tuple[float, float]:
    """One comparison of `measure_differences` on four times as many scrambles, all of them fresh."""
    name, change, figure = which.rsplit(", ", 2)
    first, scrambles = 10_000, 4 * DIFFERENCE_SCRAMBLES
    scenario, changed = networks[name], dict(make_changes(networks[name]))[change]
    base = tuple(sample_messages(scenario, states, first, scrambles) for states in (selective, independent))
    return compare((base[0], base[1]), changed, first, scrambles)[figure]


def compare(
    base: tuple[NDArray[np.float64], NDArray[np.float64]],
    changed: Scenario,
    first: int = 0,
    scrambles: int = DIFFERENCE_SCRAMBLES,
) -> dict[str, tuple[float, float]]:
    """Variance of a difference with preset states of other scrambles, and with random draws, over that with the same.

    ``base``: what the unchanged side shows with preset states of scrambles ``first`` onwards, and with random draws.
    Differences are those of `meshtwin.sim.differences`: latency is compared over what both sides delivered.
    """
    same = sample_messages(changed, selective, first, scrambles)
    other, drawn = (
        sample_messages(changed, states, first + scrambles, scrambles) for states in (selective, independent)
    )
    ratios: dict[str, tuple[float, float]] = {}
    for figure, difference in DIFFERENCES.items():
        pairs = ((base[0], same), (base[0], other), (base[1], drawn))
        together, apart, random = (float(np.var(difference(*sides))) for sides in pairs)
        share = float(np.mean(SHARES[figure](base[0]))) if figure in SHARES else 0.5
        if together > 0.0 and RARE < share < 1.0 - RARE:
            ratios[figure] = apart / together, random / together
    return ratios


def sample_messages(
    scenario: Scenario, states: States, first: int, scrambles: int = DIFFERENCE_SCRAMBLES
) -> NDArray[np.float64]:
    """(scrambles, messages, members): latency in ms, NaN where a message did not arrive."""
    index = {address: i for i, address in enumerate(scenario.flows[0].members)}
    latencies = np.full((scrambles, MESSAGES, len(index)), math.nan)
    for turn, replication in enumerate(range(first, first + scrambles)):
        its = states(scenario, replication)
        for message in simulate(scenario, seed=72, replication=replication, states=its, engine="auto").messages:
            for arrival in message.arrivals:
                latencies[turn, message.number, index[arrival.member]] = arrival.latency_ns * 1e-6
    return latencies


def _delivered(latencies: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.mean(np.isfinite(latencies), axis=(1, 2))


def _on_time(latencies: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.mean(np.nan_to_num(latencies, nan=math.inf) <= 100.0, axis=(1, 2))


SHARES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "delivery": _delivered,
    "on time": _on_time,
}
DIFFERENCES: Mapping[str, Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.float64]]] = {
    "latency": lambda base, changed: np.nanmean(changed - base, axis=(1, 2)),
    "delivery": lambda base, changed: _delivered(changed) - _delivered(base),
    "on time": lambda base, changed: _on_time(changed) - _on_time(base),
}


def make_changes(scenario: Scenario) -> Iterator[tuple[str, Scenario]]:
    """One relay off, a lower TTL, one transmission less of relays."""
    relays = [n.address for n in scenario.nodes[1:] if n.relay]
    off = relays[len(relays) // 2]
    yield "relay off", _with_nodes(scenario, lambda n: replace(n, relay=n.relay and n.address != off))
    yield "TTL 6", _with_nodes(scenario, lambda n: replace(n, ttl=6))
    twice = Transmit(count=1, interval_steps=1)
    yield "two transmissions", _with_nodes(scenario, lambda n: replace(n, relay_retransmit=twice))


def _with_nodes(scenario: Scenario, change: Callable[[ScenarioNode], ScenarioNode]) -> Scenario:
    return replace(scenario, nodes=tuple(change(node) for node in scenario.nodes))


def _ratio_figures(ratios: Mapping[str, Mapping[tuple[str, tuple[int, int]], float]]) -> Iterator[Figure]:
    for low, high in BANDS:
        for figure in ("latency", "delivery", "on time"):
            values = [v for r in ratios.values() if math.isfinite(v := r[figure, (low, high)])]
            if not values:
                continue
            name = f"variance of {figure}, random / selective, {low}-{high} hops"
            middle = f"{name}, median of {len(values)} networks"
            if high <= 6:
                yield at_least(middle, median(values), 2.0, "times", COMMAND)
            else:
                yield told(middle, median(values), "times", COMMAND)
            yield told(f"{name}, least", min(values), "times", COMMAND)
            yield told(f"{name}, most", max(values), "times", COMMAND)


def _difference_figures(networks: Mapping[str, Scenario]) -> Iterator[Figure]:
    """The least of many is low by chance as well, so the three least are measured again, and those are judged."""
    ratios = measure_differences(networks)
    least = [sorted(ratios, key=lambda which: ratios[which][place])[:3] for place in (0, 1)]
    again = {which: measure_again(networks, which) for which in dict.fromkeys(least[0] + least[1])}
    for place, other in enumerate(("independent preset states", "independent random draws")):
        name = f"variance of a difference, {other} / same preset states"
        values = [both[place] for both in ratios.values()]
        worst = min(least[place], key=lambda which: again[which][place])
        yield at_least(f"{name}, median of {len(values)}", median(values), 5.0, "times", COMMAND)
        yield at_least(f"{name}, least, measured again: {worst}", again[worst][place], 2.0, "times", COMMAND)
        yield told(f"{name}, least at first sight: {least[place][0]}", min(values), "times", COMMAND)
        yield told(f"{name}, below 2", sum(value < 2.0 for value in values), "comparisons", COMMAND)


def _order_figures(scenario: Scenario) -> Iterator[Figure]:
    """How well the same states hold both sides together where a change, TTL 6, can only harm: what it never mends."""
    changed = dict(make_changes(scenario))["TTL 6"]
    sides = [sample_messages(side, selective, 20_000, 2 * DIFFERENCE_SCRAMBLES) for side in (scenario, changed)]
    before, after = (np.nan_to_num(latencies, nan=math.inf) > 100.0 for latencies in sides)
    apart = np.mean(np.mean(before, axis=(0, 1)) * np.mean(~after, axis=(0, 1)))
    name = "(message, destination) pairs late before TTL 6"
    yield told(f"{name} and with it", float(np.mean(before & after)), "ratio", COMMAND)
    yield told(f"{name} but not with it", float(np.mean(before & ~after)), "ratio", COMMAND)
    yield told(f"{name} but not with it, sides independent", float(apart), "ratio", COMMAND)
    yield told("pairs late with TTL 6 alone", float(np.mean(~before & after)), "ratio", COMMAND)


def _interval_figures() -> Iterator[Figure]:
    """Do 90 % intervals over eight scrambles cover what many scrambles and many random replications show together?"""
    whole = make_chain(6, 0.7)
    scenario = replace(whole, flows=(replace(whole.flows[0], count=32, deadline_ms=90),))
    pools = {
        "selective": replicate(scenario, seed=75, replications=1600).results,
        "random": replicate(scenario, seed=75, replications=1600, is_selective=False).results,
    }
    truth = summarise([r for pool in pools.values() for r in pool], scenario.flows).flows[0]
    for name, pool in pools.items():
        said = [summarise(pool[i : i + 8], scenario.flows).flows[0] for i in range(0, len(pool), 8)]
        for figure, intervals, value in (
            ("on time", [f.on_time for f in said], truth.on_time.estimate),
            ("delivery", [f.delivery for f in said], truth.delivery.estimate),
            ("median latency", [f.latency_p50 for f in said if f.latency_p50], truth.latency_p50_ms or 0.0),
            ("95 % latency", [f.latency_p95 for f in said if f.latency_p95], truth.latency_p95_ms or 0.0),
        ):
            share = sum(i.low <= value <= i.high for i in intervals) / len(intervals)
            bounded = [i for i in intervals if i.open_because is None]
            width = sum(i.high - i.low for i in bounded) / max(1, len(bounded))
            yield told(f"90 % intervals of {figure}, {name}: coverage of {len(intervals)}", share, "ratio", COMMAND)
            yield told(
                f"90 % intervals of {figure}, {name}: mean width", width, "ms" if "lat" in figure else "ratio", COMMAND
            )


def _core_figures() -> Iterator[Figure]:
    """64 replications of 300 nodes and a group of ten, over two processes against one.

    Processor time tells what two free processors can give, whatever else the machine does: one process is as fast as
    its simulations, and two have the parent's work to share with them.
    """
    scenario = make_wide_field()
    seconds, used_s = [], (0.0, 0.0)
    load = os.getloadavg()[0]
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
            replicate(scenario, seed=74, replications=4 * workers, executor=executor, workers=workers)  # all loaded
            before_s = time.process_time(), executor.submit(time.process_time).result()
            start = time.perf_counter()
            replicate(scenario, seed=73, replications=CORE_REPLICATIONS, executor=executor, workers=workers)
            seconds.append(time.perf_counter() - start)
            if workers == 1:
                worker_s = executor.submit(time.process_time).result() - before_s[1]
                used_s = time.process_time() - before_s[0], worker_s
    name = f"{CORE_REPLICATIONS} replications of 300 nodes, one process / two"
    yield at_least(name, seconds[0] / seconds[1], 1.8, "times", COMMAND)
    yield told(f"{name}, as processor time allows", 2.0 * used_s[1] / sum(used_s), "times", COMMAND)
    yield told("load of the machine before it", load, "processes", COMMAND)
    yield told(f"{CORE_REPLICATIONS} replications of 300 nodes, two processes", seconds[1], "s", COMMAND)
    chain = make_chain(9, 0.9)
    small = replace(chain, flows=(replace(chain.flows[0], count=2000),))
    yield from _asked_figures("300 nodes", scenario, 4 * CORE_REPLICATIONS)
    yield from _asked_figures("9 nodes, 2,000 messages", small, 8 * CORE_REPLICATIONS)
    yield from _asked_figures("9 nodes, 2,000 messages", small, 8)


def make_wide_field() -> Scenario:
    """300 nodes and a group of ten among them, which is sent 256 messages."""
    scenario = make_field(SEEDS[0], relay_share=1.0, degree=8, nodes=300)
    flow = replace(scenario.flows[0], members=scenario.flows[0].members[9::30], count=256)
    return replace(scenario, flows=(flow,))


def _asked_figures(name: str, scenario: Scenario, replications: int) -> Iterator[Figure]:
    """As ``meshtwin.simulate`` is asked, a second process being started where it pays; with its document."""
    meshtwin.simulate(scenario, replications=1)  # loaded here, and the kernels compiled
    seconds, processes = [], 1
    for workers in (1, 2):
        start = time.perf_counter()
        done = meshtwin.simulate(scenario, replications=replications, workers=workers, is_selective=True)
        assert done.document.replications == replications
        seconds.append(time.perf_counter() - start)
        processes = done.processes
    name = f"{replications} replications of {name} as `simulate` is asked"
    yield told(f"{name}, one worker", seconds[0], "s", COMMAND)
    yield told(f"{name}, one worker / two", seconds[0] / seconds[1], "times", COMMAND)
    yield told(f"{name}, two workers: processes that worked", processes, "processes", COMMAND)
