"""The grid of 7 x 7 nodes: every node sends to the centre, by BMSim with one seed. Nothing is fitted on it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.mesh.nodes import Position
from meshtwin.radio.path_loss import compute_distance_m
from meshtwin.sim.draws import draw, make_key
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import StackProfile, get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.validation.figures import MEAN_ABSOLUTE, ValidationFigure, at_most, told
from meshtwin.sim.validation.tables import Table

__all__ = ["GridResult", "build_grid_scenario", "judge_grid", "list_grid_positions", "run_grid"]

HEARTBEAT = "heartbeat"
HEARTBEAT_PERIOD_S = 4.0  # codes/initializer.py: Heartbeat_period of the sink, 4000 ms
HEARTBEAT_TTL = 127  # codes/event_driven.py; nodes send with it, too, until the first heartbeat has come
TTL_MARGIN = 2  # codes/initializer.py: R_h, added to the hops that a heartbeat has found
RX_POWER_DBM = -60.0  # unit disc: any power that makes a link perfect
SAMPLE_MS = 0.2  # codes/initializer.py: SCAN_STEP
DRAWN_S = 1.0  # codes/initializer.py: first generation and first heartbeat are drawn within 1000 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class GridResult:
    """One run: latencies in milliseconds by hops to the sink, and messages sent by hops."""

    latencies_ms: Mapping[int, tuple[float, ...]]
    sent: Mapping[int, int]

    @property
    def all_ms(self) -> list[float]:
        """Latencies of all messages that arrived."""
        return [latency for latencies in self.latencies_ms.values() for latency in latencies]

    @property
    def delivery(self) -> float:
        """Share of messages that arrived before the run's end."""
        return len(self.all_ms) / sum(self.sent.values())


def build_grid_scenario(table: Table, seed: int, profile: StackProfile | None = None) -> Scenario:
    """The grid with start times drawn from ``seed``; the sink relays nothing."""
    conditions = table["conditions"]
    columns, rows = conditions["grid"]
    positions = list_grid_positions(table)
    sink = UnicastAddress((rows // 2) * columns + columns // 2 + 1)
    once = Transmit(
        count=conditions["transmissions"] - 1, interval_steps=conditions["advertising_interval_ms"] // 10 - 1
    )
    return Scenario(
        name="grid",
        nodes=tuple(
            ScenarioNode(
                address=a, relay=a != sink, ttl=HEARTBEAT_TTL, network_transmit=once, relay_retransmit=once
            )
            for a in positions
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, rx_power_dbm=RX_POWER_DBM)
            for a, at in positions.items()
            for b, bt in positions.items()
            if a != b and compute_distance_m(at, bt) <= conditions["range_m"]
        ),
        flows=tuple(_flows(conditions, positions, sink, seed)),
        profile=get_profile("bmsim") if profile is None else profile,
        capture=False,
        duration_s=conditions["duration_s"],
    )  # fmt: skip


def list_grid_positions(table: Table) -> dict[UnicastAddress, Position]:
    """Where each node of the grid is, row by row."""
    columns, rows = table["conditions"]["grid"]
    pitch_m = table["conditions"]["pitch_m"]
    return {
        UnicastAddress(row * columns + column + 1): Position(column * pitch_m, row * pitch_m)
        for row in range(rows)
        for column in range(columns)
    }


def _flows(
    conditions: Mapping[str, float], positions: Mapping[UnicastAddress, Position], sink: UnicastAddress, seed: int
) -> Iterator[ScenarioFlow]:
    """The sink's heartbeats; and of each source what it sends before and after the first heartbeat set its TTL."""
    key = make_key(seed, "grid starts")
    first_heartbeat_s = HEARTBEAT_PERIOD_S + draw(key, 0) * DRAWN_S
    yield ScenarioFlow(
        name=HEARTBEAT,
        source=sink,
        members=tuple(a for a in positions if a != sink),
        count=int((conditions["duration_s"] - first_heartbeat_s) / HEARTBEAT_PERIOD_S) + 1,
        period_s=HEARTBEAT_PERIOD_S,
        start_s=first_heartbeat_s,
        ttl=HEARTBEAT_TTL,
    )
    period_s = 1.0 / conditions["rate_per_source_s"]
    for source, at in positions.items():
        if source == sink:
            continue
        start_s = period_s + draw(key, source) * DRAWN_S
        early = int((first_heartbeat_s - start_s) / period_s) + 1
        hops = round((abs(at.x_m - positions[sink].x_m) + abs(at.y_m - positions[sink].y_m)) / conditions["pitch_m"])
        late = int((conditions["duration_s"] - start_s) / period_s) + 1 - early
        for part, count, begin_s, ttl in (
            ("early", early, start_s, HEARTBEAT_TTL),
            ("late", late, start_s + early * period_s, hops + TTL_MARGIN),
        ):
            yield ScenarioFlow(
                name=f"{hops}/{source}/{part}",
                source=source,
                members=(sink,),
                count=count,
                period_s=period_s,
                start_s=begin_s,
                ttl=ttl,
            )


def run_grid(
    table: Table,
    *,
    seed: int,
    replications: int,
    profile: StackProfile | None = None,
    engine: str = "reference",
    tell: Callable[[float], None] = lambda share: None,
) -> list[GridResult]:
    """One result per run; each has start times of its own.

    BMSim logs an arrival at the sample that hears it (codes/scan37.py), half a step after the PDU's start in the
    mean; the simulator counts to the PDU's end, so the difference is taken off.
    """
    earlier_ms = table["conditions"]["packet_airtime_us"] / 1000.0 - SAMPLE_MS / 2.0
    results = []
    for replication in range(replications):
        scenario = build_grid_scenario(table, seed * 1_000_003 + replication, profile)
        run = simulate(scenario, seed=seed, replication=replication, engine=engine)
        latencies: dict[int, list[float]] = {hops: [] for hops in table["by_hop"]["hops"]}
        sent = dict.fromkeys(latencies, 0)
        for message in run.messages:
            if message.flow == HEARTBEAT:
                continue
            hops = int(message.flow.split("/")[0])
            sent[hops] += 1
            latencies[hops] += [arrival.latency_ns / 1e6 - earlier_ms for arrival in message.arrivals]
        results.append(GridResult(latencies_ms={h: tuple(v) for h, v in latencies.items()}, sent=sent))
        tell((replication + 1) / replications)
    return results


def judge_grid(table: Table, results: Sequence[GridResult]) -> tuple[list[ValidationFigure], list[dict[str, object]]]:
    """The figures of the grid over runs, and its rows by hop for people."""
    runs, by_hop = len(results), table["by_hop"]
    means = [fmean(result.all_ms) for result in results]
    mean_ms, deviation_ms = fmean(means), (stdev(means) if runs > 1 else float("nan"))
    hop_means = {h: [fmean(r.latencies_ms[h]) for r in results if r.latencies_ms[h]] for h in by_hop["hops"]}
    delivery = [result.delivery for result in results]
    hop_errors = [abs(fmean(hop_means[h]) / ms - 1.0) for h, ms in zip(by_hop["hops"], by_hop["mean_ms"], strict=True)]
    hop_floor = fmean(MEAN_ABSOLUTE * stdev(v) / fmean(v) for v in hop_means.values()) if runs > 1 else None
    spread = f"one run deviates by {deviation_ms:.1f} ms"
    figures = [
        at_most(
            "grid", "mean latency, relative error", abs(mean_ms / table["latency_ms"]["mean"] - 1.0), 0.15, 0.08,
            floor=MEAN_ABSOLUTE * deviation_ms / mean_ms, runs=runs, note=f"{mean_ms:.1f} ms; {spread}",
        ),
        at_most("grid", "mean latency by hop, mean relative error", fmean(hop_errors), 0.15, 0.10,
                floor=hop_floor, runs=runs),
        at_most(
            "grid", "delivery, absolute error", abs(fmean(delivery) - table["delivery_ratio"]), 0.015, 0.010,
            floor=MEAN_ABSOLUTE * stdev(delivery) if runs > 1 else None, runs=runs, note=f"{fmean(delivery):.4f}",
        ),
        told(
            "grid", "median latency", median(ms for r in results for ms in r.all_ms), runs=runs, unit="ms",
            note=f"published {table['latency_ms']['median']}",
        ),
    ]  # fmt: skip
    rows: list[dict[str, object]] = [
        {
            "table": "grid",
            "hops": h,
            "published_mean_ms": by_hop["mean_ms"][place],
            "simulated_mean_ms": fmean(hop_means[h]),
            "published_delivery": by_hop["delivery_ratio"][place],
            "simulated_delivery": sum(len(r.latencies_ms[h]) for r in results) / sum(r.sent[h] for r in results),
        }
        for place, h in enumerate(by_hop["hops"])
    ]
    return figures, rows
