"""Results of runs: per message the members reached, totals, and key figures over replications."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.sim.message_table import Arrival, MessageResult
from meshtwin.sim.packets import LossCause, Packet, Record
from meshtwin.sim.run_result import RunResult
from meshtwin.sim.scenario import Scenario, ScenarioNode
from meshtwin.sim.tallies import FlowLike, summarise_tallies, tally_run
from meshtwin.sim.traffic import find_run_s

__all__ = [
    "Arrival",
    "FlowLike",
    "MessageResult",
    "RunResult",
    "airtime_at",
    "airtime_ratios",
    "answered_share",
    "collect_result",
    "summarise",
]

EXTERNAL_AIRTIME_S: Final = 304e-6  # a PDU of 20 bytes, the usual size of short messages


def answered_share(messages: Sequence[MessageResult]) -> float:
    """Share of (message, member) pairs whose answer came back to the source; 0 of none."""
    asked = sum(m.member_count for m in messages)
    return sum(a.round_trip_ns is not None for m in messages for a in m.arrivals) / asked if asked else 0.0


def collect_result(
    scenario: Scenario, seed: int, replication: int, packets: Sequence[Packet], records: tuple[Record, ...]
) -> RunResult:
    """The result of a finished run; answers are folded into the messages that asked for them."""
    losses: Counter[LossCause] = Counter()
    busy_ns: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    watched_ns: Counter[tuple[int, int]] = Counter()
    for packet in packets:
        losses.update(packet.monitoring.losses)
        busy_ns[packet.properties.flow_index] += packet.monitoring.busy_ns
        sent[packet.properties.flow_index] += packet.instructions.answers is None
        for index, taken_ns in packet.monitoring.watched_ns.items():
            watched_ns[packet.properties.flow_index, index] += taken_ns
    airtime, reporting = airtime_ratios(scenario, busy_ns, sent)
    return RunResult(
        scenario=scenario.name,
        profile=scenario.profile.name,
        seed=seed,
        replication=replication,
        messages=tuple(_to_message(scenario, p) for p in packets if _is_message(p)),
        transmissions=sum(p.monitoring.transmissions for p in packets),
        airtime_ratio=airtime,
        reporting_airtime_ratio=reporting,
        losses={cause: losses[cause] for cause in LossCause},
        records=records,
        airtime_at=airtime_at(scenario, watched_ns, sent),
    )


def _is_message(packet: Packet) -> bool:
    return packet.instructions.answers is None and packet.properties.flow_index >= 0


def _to_message(scenario: Scenario, packet: Packet) -> MessageResult:
    properties, monitoring = packet.properties, packet.monitoring
    arrivals = [
        Arrival(
            scenario.nodes[index].address,
            time_ns - properties.started_ns,
            hops,
            monitoring.answered[index] - properties.started_ns if index in monitoring.answered else None,
        )
        for index, (time_ns, hops) in monitoring.reached.items()
    ]
    return MessageResult(
        flow=scenario.flows[properties.flow_index].name,
        number=properties.number,
        started_ns=properties.started_ns,
        member_count=len(properties.member_indices),
        arrivals=tuple(sorted(arrivals, key=lambda a: (a.latency_ns, a.member))),
        transmissions=monitoring.transmissions,
    )


def airtime_ratios(scenario: Scenario, busy_ns: Mapping[int, int], sent: Mapping[int, int]) -> tuple[float, float]:
    """Share of time in use, of flows, background and external traffic together; and of reports.

    ``busy_ns`` of one channel, summed over nodes, and messages ``sent`` (answers not counted), both by flow index.
    What has a lasting rate counts with it: busy time per message times the rate (background, since its number in one
    run is chance, and flows with `ScenarioFlow.rate_per_s`). All else counts as it was in the run: its busy time over
    the run's length (`find_run_s`), so also a background of which a source is switched meanwhile.
    """
    return _airtime_of(_find_on(scenario), scenario, busy_ns, sent)


def airtime_at(
    scenario: Scenario, watched_ns: Mapping[tuple[int, int], int], sent: Mapping[int, int]
) -> dict[UnicastAddress, float]:
    """The same at each watched node alone; ``watched_ns`` by flow index and index of the node."""
    ratios, on = {}, {node.address for node in _find_on(scenario)}
    for place, node in enumerate(scenario.nodes):
        if node.address in scenario.watched:
            busy_ns = Counter({flow: taken_ns for (flow, index), taken_ns in watched_ns.items() if index == place})
            ratios[node.address] = _airtime_of([node] if node.address in on else [], scenario, busy_ns, sent)[0]
    return ratios


def _find_on(scenario: Scenario) -> list[ScenarioNode]:
    """The nodes that are on for the whole run or a part of it."""
    switched_on = {change.node for change in scenario.changes if change.is_on}
    return [node for node in scenario.nodes if node.is_on or node.address in switched_on]


def _airtime_of(
    on: Sequence[ScenarioNode], scenario: Scenario, busy_ns: Mapping[int, int], sent: Mapping[int, int]
) -> tuple[float, float]:
    """Of nodes that are on, mean over them; ``busy_ns`` summed over them."""
    run_s = find_run_s(scenario)
    if not on:
        return 0.0, 0.0

    def share(index: int, rate_per_s: float | None) -> float:
        """None: as in the run."""
        if not sent.get(index) or (rate_per_s is None and run_s <= 0.0):
            return 0.0
        return busy_ns[index] * 1e-9 * (1.0 / run_s if rate_per_s is None else rate_per_s / sent[index]) / len(on)

    ratio = sum(node.external_pdus_per_s for node in on) * EXTERNAL_AIRTIME_S / len(on)
    for index, flow in enumerate(scenario.flows):
        ratio += share(index, flow.rate_per_s)
    switched = {change.node for change in scenario.changes if change.is_on is not None}
    reporting = 0.0
    for number, background in enumerate(scenario.background):
        lasts = switched.isdisjoint(background.sources)
        rate_per_s = scenario.sending_rate_per_s(background) if lasts else None
        part = share(-1 - number, rate_per_s) if background.is_counted else 0.0
        ratio += part
        reporting += part if background.is_reporting else 0.0
    ratio += _polling_ratio(scenario, busy_ns) / len(on)
    return min(1.0, ratio), min(1.0, reporting)


def _polling_ratio(scenario: Scenario, busy_ns: Mapping[int, int]) -> float:
    """Busy time of polls and of what friends send on them, as a share of the simulated time, summed over nodes."""
    low_power = [node.low_power for node in scenario.nodes if node.low_power is not None]
    if not low_power:
        return 0.0
    end_s = max((flow.start_s + flow.count * flow.period_s for flow in scenario.flows), default=0.0)
    end_s += max(friendship.poll_interval_s for friendship in low_power)
    if scenario.duration_s is not None:
        end_s = min(end_s, scenario.duration_s)
    first = -1 - len(scenario.background)
    return sum(busy_ns.get(first - place, 0) for place in range(len(low_power))) * 1e-9 / end_s


def summarise(results: Sequence[RunResult], flows: Sequence[FlowLike], *, level: float = 0.9) -> NetworkKpis:
    """Key figures over replications, with intervals at ``level``; times in milliseconds.

    Shares of messages have Wilson intervals, widened where replications differ more than chance, and narrowed where
    preset states make them differ less; airtime has Student's over replications, quantiles those of
    `meshtwin.sim.intervals.compute_quantile_intervals`. With a single replication shares know the chance of its
    messages alone, and all other intervals are open.
    A flow with no message in ``results`` gets the interval 0..1.
    """
    return summarise_tallies([tally_run(result, flows) for result in results], flows, level=level)
