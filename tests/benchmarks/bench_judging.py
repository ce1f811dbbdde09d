"""``python -m tests.benchmarks judging``: whether preset states would serve twins, which judge snapshots, better.

Snapshots are what twins believe of networks whose truth is known (`tests.truth`), seeds used nowhere else. Each is
judged as what-ifs and pipelines judge: links drawn anew per replication, notifications, reports and upkeep in the
background. A variance is that of one replication's figure over replications, times the messages that it took; so a
ratio above 1 says that as many simulated messages tell more with preset states. The standard error of a ratio is
about 20 % per network and figure.
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import fmean, median, variance

from tests.benchmarks.figures import Figure, is_full, told
from tests.benchmarks.following import follow
from tests.truth.network import make_network

from meshtwin.graph.links import configured_relays
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.sim.engine import simulate, simulate_selective
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.results import RunResult
from meshtwin.sim.scenario import Scenario
from meshtwin.whatif.forks import FailNodes, fork

COMMAND = "python -m tests.benchmarks judging"
NETWORKS = (("office", 16, 9501), ("corridor", 20, 9502), ("field", 30, 9503), ("clusters", 24, 9504))
MORE = (("office", 40, 9505), ("clusters", 30, 9506), ("field", 16, 9507), ("corridor", 12, 9508))
MINUTES = 30.0
REPLICATIONS = 64
DRAWN_MESSAGES = 40  # as what-ifs and pipelines ask for
PRESET_MESSAGES = 32
RARE = 0.02  # shares nearer to 0 or 1 rest on a few rare events

Values = dict[tuple[str, str], list[float]]


def run() -> list[Figure]:
    """Ratios of variances: of one configuration's figures, and of differences to a fork's."""
    networks = NETWORKS + MORE if is_full() else NETWORKS
    singles: dict[tuple[bool, str], list[float]] = {}
    pairs: dict[tuple[bool, str], list[float]] = {}
    costs: list[float] = []
    for kind, nodes, seed in follow(networks, len(networks), "judging, snapshots"):
        snapshot = make_network(kind, nodes, seed).observe(MINUTES)
        for sampled in (True, False):
            _compare(snapshot, sampled, singles, pairs, costs)
    return [
        *(_figure(f"one configuration, {_told(key)}", ratios) for key, ratios in sorted(singles.items())),
        *(_figure(f"difference to a fork, {_told(key)}", ratios) for key, ratios in sorted(pairs.items())),
        told("a message's processor time with preset states / with draws, median", median(costs), "ratio", COMMAND),
    ]


def _told(key: tuple[bool, str]) -> str:
    return f"{key[1]}, links {'drawn' if key[0] else 'at their means'}"


def _figure(name: str, ratios: list[float]) -> Figure:
    least = f" (least {min(ratios):.2f}, most {max(ratios):.2f}, {len(ratios)} of them)"
    return told(f"variance, draws / preset states: {name}{least}", median(ratios), "ratio", COMMAND)


def _compare(
    snapshot: Snapshot,
    sampled: bool,
    singles: dict[tuple[bool, str], list[float]],
    pairs: dict[tuple[bool, str], list[float]],
    costs: list[float],
) -> None:
    drawn, preset = (
        [_scenarios(side, messages, sampled) for side in _sides(snapshot)]
        for messages in (DRAWN_MESSAGES, PRESET_MESSAGES)
    )
    begun_s = time.process_time()
    by_draws = [_sample(s, None) for s in drawn]
    middle_s = time.process_time()
    by_states = [_sample(s, preset[0]) for s in preset]
    end_s = time.process_time()
    costs.append((end_s - middle_s) / PRESET_MESSAGES / ((middle_s - begun_s) / DRAWN_MESSAGES))
    for figure, ratio in _ratios(by_draws[0], by_states[0]):
        singles.setdefault((sampled, figure), []).append(ratio)
    for other in range(1, len(drawn)):
        gaps = [_minus(values[other], values[0]) for values in (by_draws, by_states)]
        for figure, ratio in _ratios(*gaps):
            pairs.setdefault((sampled, figure), []).append(ratio)


def _sides(snapshot: Snapshot) -> Iterator[Snapshot]:
    """The snapshot itself, then forks: a relay less, one send less everywhere, its busiest relay gone."""
    yield snapshot
    relays = sorted(configured_relays(snapshot, snapshot.configuration))
    busy = {s.gateway_address for s in snapshot.segments} | {f.source for f in snapshot.flows}
    spare = [a for a in relays if a not in busy]
    heard = {a: sum(link.delivery_mean for link in snapshot.links if link.source == a) for a in spare}
    middle = max(spare, key=lambda a: (heard[a], a))
    yield _under(snapshot, {middle: NodeSettings(relay=False)})
    once = NodeSettings(relay_retransmit=Transmit(count=0, interval_steps=1))
    yield _under(snapshot, dict.fromkeys((n.address for n in snapshot.nodes), once))
    yield fork(snapshot, [FailNodes(addresses=frozenset({middle}))])


def _under(snapshot: Snapshot, said: dict[int, NodeSettings]) -> Snapshot:
    return replace(snapshot, configuration=snapshot.configuration.overlaid(Configuration.of(said)))


def _scenarios(snapshot: Snapshot, messages: int, sampled: bool) -> Scenario:
    return scenario_from_snapshot(snapshot, messages_per_flow=messages, sample_posterior=sampled)


def _sample(scenario: Scenario, ranked_as: Scenario | None) -> Values:
    """Figures per replication; ``ranked_as`` None: draws."""
    values: Values = {}
    for replication in range(REPLICATIONS):
        if ranked_as is None:
            result = simulate(scenario, seed=83, replication=replication, engine="auto")
        else:
            result = simulate_selective(scenario, seed=83, replication=replication, engine="auto", ranked_as=ranked_as)
        _tell(scenario, result, values)
    return values


def _tell(scenario: Scenario, result: RunResult, values: Values) -> None:
    for flow in scenario.flows:
        messages = [m for m in result.messages if m.flow == flow.name]
        times = [a.latency_ns / 1e6 for m in messages for a in m.arrivals]
        values.setdefault((flow.name, "on time"), []).append(fmean(m.is_on_time(flow.deadline_ms) for m in messages))
        delivered = fmean(len(m.arrivals) / m.member_count for m in messages)
        values.setdefault((flow.name, "delivery"), []).append(delivered)
        values.setdefault((flow.name, "mean latency"), []).append(fmean(times) if times else 0.0)


def _minus(first: Values, second: Values) -> Values:
    return {key: [a - b for a, b in zip(first[key], second[key], strict=True)] for key in sorted(first.keys() & second)}


def _ratios(draws: Values, states: Values) -> Iterator[tuple[str, float]]:
    """Per figure, that of variances summed over flows, each times the messages that it took."""
    for figure in ("on time", "delivery", "mean latency"):
        keys = [k for k in draws if k[1] == figure and k in states]
        if figure != "mean latency":
            keys = [k for k in keys if variance(draws[k]) > RARE * RARE / 4.0]
        above = sum(variance(draws[k]) for k in keys) * DRAWN_MESSAGES
        below = sum(variance(states[k]) for k in keys) * PRESET_MESSAGES
        if below > 0.0:
            yield figure, above / below
