"""The tables about the physical layer and about hardware: reception is compared, the hardware slope only told."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.radio.reception import (
    compute_airtime_ns,
    compute_overlap_survival,
    compute_packet_error_ratio,
    compute_snr_db,
)
from meshtwin.sim.engine import simulate
from meshtwin.sim.profiles import PROFILES, StackProfile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode
from meshtwin.sim.validation.figures import MEAN_ABSOLUTE, ValidationFigure, at_most, told
from meshtwin.sim.validation.tables import Table

__all__ = ["HARDWARE_PROFILES", "build_hardware_scenario", "judge_hardware", "judge_reception"]

ROUNDING = 0.0015  # the table has three or four decimals; its signal levels are whole decibels
FULL_OVERLAP_BYTES = 29  # the length that reproduces the table's column; it does not say which one
MOST_DEVIATIONS = 4.0  # that the largest of 32 errors may be by chance
STRONG_DBM = -50.0  # so that noise plays no part
FOREVER_NS = 10**15  # a scan window that no run outlives
JUDGED = "judged"
HARDWARE_PROFILES = ("zephyr", "nrf5-sdk", "bluez")
MESSAGES = 100  # as measured


def judge_reception(
    table: Table,
    *,
    seed: int,
    messages: int = 1_000,
    engine: str = "auto",
    tell: Callable[[float], None] = lambda _share: None,
) -> tuple[list[ValidationFigure], list[dict[str, object]]]:
    """Packet error ratios, collisions and airtimes beside the table's: of the formula, and of an engine that runs."""
    rows: list[dict[str, object]] = []
    for size in (20, 29):
        for rssi_dbm, ratio in zip(table["rssi_dbm"], table[f"packet_error_ratio_{size}_byte"], strict=True):
            computed = compute_packet_error_ratio(compute_snr_db(rssi_dbm), size)
            rows.append(_row(f"{size} bytes at {rssi_dbm} dBm", ratio, computed))
    for sir_db, full, brief in zip(table["sir_db"], table["full_overlap"], table["overlap_50_us"], strict=True):
        whole_ns = compute_airtime_ns(FULL_OVERLAP_BYTES)
        rows.append(_row(f"full overlap at {sir_db} dB", full, 1.0 - compute_overlap_survival(sir_db, whole_ns)))
        rows.append(_row(f"50 us overlap at {sir_db} dB", brief, 1.0 - compute_overlap_survival(sir_db, 50_000)))
    airtimes = table["airtime_us_by_network_pdu_bytes"]
    airtime_error = max(abs(compute_airtime_ns(size) / 1000 - us) for size, us in airtimes.items())
    errors = [abs(float(str(row["simulated"])) - float(str(row["published"]))) for row in rows]
    figures = [
        at_most("reception", "packet error ratio, largest absolute error", max(errors), 0.01, None,
                floor=ROUNDING, runs=0, note="closed form on both sides"),
        at_most("reception", "airtime, largest error", airtime_error, 0.0, None, floor=0.0, runs=0, unit="us"),
    ]  # fmt: skip
    tell(0.1)
    simulated = list(_simulate_points(table, seed, messages, engine, tell))
    errors = [abs(ratio - published) for _, published, ratio in simulated]
    noise = [(p * (1.0 - p) / messages) ** 0.5 for _, p, _ in simulated]
    figures += [
        at_most("reception", "engine: packet error ratio, mean absolute error", fmean(errors), 0.01, None,
                floor=MEAN_ABSOLUTE * fmean(noise), runs=messages, note="runs: messages per point"),
        at_most("reception", "engine: packet error ratio, largest absolute error", max(errors),
                MOST_DEVIATIONS * max(noise) + ROUNDING, None, floor=max(noise), runs=messages,
                note=f"bound: {MOST_DEVIATIONS:.0f} deviations and the table's rounding"),
    ]  # fmt: skip
    rows += [_row(f"engine: {point}", published, ratio) for point, published, ratio in simulated]
    return figures, rows


def _simulate_points(
    table: Table, seed: int, messages: int, engine: str, tell: Callable[[float], None]
) -> Iterator[tuple[str, float, float]]:
    """Point of the table, its ratio, and the share of ``messages`` that an engine loses there."""
    noise = [
        (f"{size} bytes at {dbm} dBm", ratio, build_contest(size, float(dbm), None, 0, messages))
        for size in (20, 29)
        for dbm, ratio in zip(table["rssi_dbm"], table[f"packet_error_ratio_{size}_byte"], strict=True)
    ]
    whole_us = compute_airtime_ns(FULL_OVERLAP_BYTES) // 1000
    collisions = [
        (f"{name} overlap at {sir_db} dB", ratio,
         build_contest(FULL_OVERLAP_BYTES, STRONG_DBM, STRONG_DBM - sir_db, overlap_us, messages))
        for name, column, overlap_us in (("full", "full_overlap", whole_us), ("50 us", "overlap_50_us", 50))
        for sir_db, ratio in zip(table["sir_db"], table[column], strict=True)
    ]  # fmt: skip
    points = [*noise, *collisions]
    for place, (point, published, scenario) in enumerate(points):
        judged = [m for m in simulate(scenario, seed=seed, engine=engine).messages if m.flow == JUDGED]
        yield point, published, sum(not m.arrivals for m in judged) / len(judged)
        tell(0.1 + 0.9 * (place + 1) / len(points))


def build_contest(
    pdu_bytes: int, power_dbm: float, other_dbm: float | None, overlap_us: int, messages: int
) -> Scenario:
    """One sender, and where ``other_dbm`` says a power another one whose PDUs overlap the end of its PDUs so long.

    The receiver stays on one channel.
    """
    once = Transmit(count=0, interval_steps=0)
    sender, other, receiver = (UnicastAddress(i) for i in (1, 2, 3))
    later_s = (compute_airtime_ns(pdu_bytes) - overlap_us * 1000) * 1e-9
    powers = {sender: (JUDGED, power_dbm, 0.0)}
    if other_dbm is not None:
        powers[other] = ("other", other_dbm, later_s)
    return Scenario(
        name="reception",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=2, network_transmit=once, relay_retransmit=once)
            for a in (sender, other, receiver)
        ),
        links=tuple(ScenarioLink(source=a, target=receiver, rx_power_dbm=dbm) for a, (_, dbm, _) in powers.items()),
        flows=tuple(
            ScenarioFlow(name=name, source=a, members=(receiver,), count=messages, period_s=0.01, start_s=start_s,
                         pdu_bytes=pdu_bytes)
            for a, (name, _, start_s) in powers.items()
        ),
        profile=replace(
            PROFILES["zephyr"], processing_ns=0, jitter_ns=0, originated_extra_ns=0, originated_jitter_ns=0,
            own_delay_ns=None, channel_gap_ns=0, event_overhead_ns=0, scan_interval_ns=FOREVER_NS,
            scan_window_ns=FOREVER_NS, capture_db=None, scan_sample_ns=0,
        ),
    )  # fmt: skip


def _row(point: str, published: float, simulated: float) -> dict[str, object]:
    return {"table": "reception", "point": point, "published": published, "simulated": simulated}


def build_hardware_scenario(table: Table, profile: StackProfile) -> Scenario:
    """A chain of as many nodes with the measured settings. The real layout is unknown: perfect links are assumed."""
    conditions, hops = table["conditions"], table["hops"]
    network = Transmit(count=conditions["network_transmit"]["transmissions"] - 1, interval_steps=0)
    relay = Transmit(count=conditions["relay_retransmit"]["transmissions"] - 1, interval_steps=0)
    addresses = [UnicastAddress(i) for i in range(1, len(hops) + 2)]
    return Scenario(
        name="hardware",
        nodes=tuple(
            ScenarioNode(address=a, relay=True, ttl=10, network_transmit=network, relay_retransmit=relay)
            for a in addresses
        ),
        links=tuple(
            ScenarioLink(source=a, target=b, rx_power_dbm=-60.0)
            for a in addresses
            for b in addresses
            if abs(a - b) == 1
        ),
        flows=tuple(
            ScenarioFlow(
                name=f"{a - 1}", source=addresses[0], members=(a,), count=MESSAGES, period_s=1.0, start_s=100.0 * place
            )
            for place, a in enumerate(addresses[1:])
        ),
        profile=profile,
    )


def judge_hardware(
    table: Table, *, seed: int, replications: int, engine: str, tell: Callable[[float], None]
) -> tuple[list[ValidationFigure], list[dict[str, object]]]:
    """Slope per hop from hop 2 on, measured and of each profile; no bound, since the layout is unknown."""
    measured = table["end_to_end_ms_by_payload_bytes"]
    slope_ms = fmean(_slope(values[1:]) for values in measured.values())
    rows: list[dict[str, object]] = []
    figures = [told("hardware", "measured slope per hop from hop 2 on", slope_ms, runs=0, unit="ms")]
    known = [PROFILES[name] for name in HARDWARE_PROFILES if name in PROFILES]
    for place, profile in enumerate(known):
        means = _mean_latencies(build_hardware_scenario(table, profile), seed, replications, engine)
        figures.append(
            told("hardware", f"slope per hop, profile {profile.name}", _slope(means[1:]), runs=replications, unit="ms",
                 note="reported, not fitted: the layout is unknown")
        )  # fmt: skip
        rows += [
            {"table": "hardware", "profile": profile.name, "hops": h, "simulated_mean_ms": ms,
             "published_mean_ms": fmean(values[i] for values in measured.values())}
            for i, (h, ms) in enumerate(zip(table["hops"], means, strict=True))
        ]  # fmt: skip
        tell((place + 1) / len(known))
    return figures, rows


def _mean_latencies(scenario: Scenario, seed: int, replications: int, engine: str) -> list[float]:
    latencies: dict[str, list[float]] = {flow.name: [] for flow in scenario.flows}
    for replication in range(replications):
        for message in simulate(scenario, seed=seed, replication=replication, engine=engine).messages:
            latencies[message.flow] += [arrival.latency_ns / 1e6 for arrival in message.arrivals]
    return [fmean(values) for values in latencies.values()]


def _slope(values: Sequence[float]) -> float:
    """Least squares slope per step."""
    middle = (len(values) - 1) / 2.0
    mean = fmean(values)
    top = sum((i - middle) * (value - mean) for i, value in enumerate(values))
    return top / sum((i - middle) ** 2 for i in range(len(values)))
