"""Engines against published numbers and closed forms: what noise, interferers and own sending leave of packets.

Each number is from a table or reckoned here by hand; none is taken from the code under test.
"""

from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
import yaml

from meshtwin.fast import estimate
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.engine import simulate
from meshtwin.sim.packets import RecordKind
from meshtwin.sim.profiles import PROFILES, StackProfile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

TABLE = yaml.safe_load((Path(__file__).parents[2] / "validation" / "packet_error_ratio.yaml").read_text())
ENGINES = pytest.mark.parametrize("engine", ["reference", "compiled"])
FOREVER_NS = 10**15  # a scan window that no run outlives: every receiver stays on its channel
ROUNDING = 0.0015  # of the table
COUNT = 1500
PERIOD_S = 0.01
ALIKE = StackProfile(  # what is asked for is sent at once, so that flows of equal start overlap whole
    name="alike",
    source="made for tests",
    processing_ns=0,
    jitter_ns=0,
    advertising_delay_ns=0,
    channel_gap_ns=0,
    scan_interval_ns=FOREVER_NS,
    scan_window_ns=FOREVER_NS,
    relay_sets=4,
    originated_sets=4,
)
A, B, C = UnicastAddress(1), UnicastAddress(2), UnicastAddress(3)


def make_scenario(links, flows, *, profile=ALIKE, copies=1, **more):
    transmit = Transmit(count=copies - 1, interval_steps=1)
    return Scenario(
        name="reception",
        nodes=tuple(
            ScenarioNode(address=a, relay=False, ttl=3, network_transmit=transmit, relay_retransmit=transmit)
            for a in (A, B, C)
        ),
        links=tuple(ScenarioLink(**link) for link in links),
        flows=tuple(
            ScenarioFlow(**{"name": f"{n}", "count": COUNT, "period_s": PERIOD_S} | flow)
            for n, flow in enumerate(flows)
        ),
        profile=profile,
        **more,
    )


def arrived(scenario, engine, flow="0"):
    """Share of a flow's messages that arrived."""
    messages = [m for m in simulate(scenario, seed=4, engine=engine).messages if m.flow == flow]
    return sum(bool(m.arrivals) for m in messages) / len(messages)


def chance(expected, count=COUNT):
    """How far a share of ``count`` may lie from what is expected: four deviations, and the table's rounding."""
    return pytest.approx(
        expected, abs=4.0 * max(expected * (1.0 - expected), 1.0 / count) ** 0.5 / count**0.5 + ROUNDING
    )


def by_noise(size):
    return [
        (size, dbm, ratio)
        for dbm, ratio in zip(TABLE["rssi_dbm"], TABLE[f"packet_error_ratio_{size}_byte"], strict=True)
        if dbm in (-96, -97, -98, -99)
    ]


@ENGINES
@pytest.mark.parametrize(("size", "rx_power_dbm", "error_ratio"), [*by_noise(20), *by_noise(29)])
def test_noise_loses_packets_of_each_size_as_often_as_the_table_says(engine, size, rx_power_dbm, error_ratio):
    scenario = make_scenario(
        [{"source": A, "target": B, "rx_power_dbm": float(rx_power_dbm)}],
        [{"source": A, "members": (B,), "pdu_bytes": size}],
    )
    assert 1.0 - arrived(scenario, engine) == chance(error_ratio)


@pytest.mark.parametrize(("size", "rx_power_dbm", "error_ratio"), [*by_noise(20), *by_noise(29)])
def test_fast_model_loses_packets_of_each_size_as_often_as_the_table_says(size, rx_power_dbm, error_ratio):
    """But for what ends with a scan window: 30 ms hold 80 PDUs of 0.376 ms."""
    scenario = make_scenario(
        [{"source": A, "target": B, "rx_power_dbm": float(rx_power_dbm)}],
        [{"source": A, "members": (B,), "pdu_bytes": size, "period_s": 1.0}],
        profile=replace(ALIKE, scan_interval_ns=30_000_000, scan_window_ns=30_000_000),
    )
    answer = estimate(scenario, states=4096)
    assert answer.declined is None
    assert 1.0 - answer.kpis.flows[0].delivery.estimate == pytest.approx(error_ratio, abs=0.02)


@ENGINES
@pytest.mark.parametrize(("size", "delivery"), [(20, 0.8), (29, 0.7589), (10, 0.8484)])
def test_delivery_told_of_one_size_is_converted_to_others(engine, size, delivery):
    """0.8 to the power of 376 us and 224 us over 304 us."""
    scenario = make_scenario(
        [{"source": A, "target": B, "delivery": 0.8}], [{"source": A, "members": (B,), "pdu_bytes": size}]
    )
    assert arrived(scenario, engine) == chance(delivery)


@ENGINES
def test_delivery_is_taken_as_it_is_for_the_size_that_it_is_told_of(engine):
    scenario = make_scenario(
        [{"source": A, "target": B, "delivery": 0.5, "delivery_pdu_bytes": 29}],
        [{"source": A, "members": (B,), "pdu_bytes": 29}],
    )
    assert arrived(scenario, engine) == chance(0.5)


def disturbed(sir_db, *, overlap_us, profile=ALIKE):
    """Packets of 29 bytes to C, and as many that reach it ``sir_db`` weaker and overlap them so long."""
    return make_scenario(
        [
            {"source": A, "target": C, "rx_power_dbm": -50.0},
            {"source": B, "target": C, "rx_power_dbm": -50.0 - sir_db},
        ],
        [
            {"source": A, "members": (C,), "pdu_bytes": 29},
            {"source": B, "members": (C,), "pdu_bytes": 29, "start_s": (376 - overlap_us) * 1e-6},
        ],
        profile=profile,
    )


@ENGINES
@pytest.mark.parametrize(
    ("overlap_us", "sir_db", "error_ratio"),
    [
        (overlap_us, sir_db, ratio)
        for overlap_us, column in ((376, "full_overlap"), (50, "overlap_50_us"))
        for sir_db, ratio in zip(TABLE["sir_db"], TABLE[column], strict=True)
        if sir_db in (14, 12, 11, 10, 8)
    ],
)
def test_interferer_destroys_packets_as_often_as_the_table_says(engine, overlap_us, sir_db, error_ratio):
    assert 1.0 - arrived(disturbed(sir_db, overlap_us=overlap_us), engine) == chance(error_ratio)


@ENGINES
@pytest.mark.parametrize(("sir_db", "share"), [(8.2, 1.0), (7.8, 0.25), (5.2, 0.25), (4.8, 0.0)])
def test_capture_ratio_of_8_db_saves_all_above_it_and_a_quarter_of_3_db_below(engine, sir_db, share):
    profile = replace(ALIKE, capture_db=8.0)
    assert arrived(disturbed(sir_db, overlap_us=376, profile=profile), engine) == chance(share)


@ENGINES
@pytest.mark.parametrize(("later_s", "share"), [(0.0, 0.0), (0.0003, 0.0), (0.0012, 1.0)])
def test_node_that_sends_hears_nothing(engine, later_s, share):
    """An event of three PDUs of 29 bytes lasts 1.128 ms; events that begin within 0.376 ms touch all PDUs of both."""
    scenario = make_scenario(
        [{"source": a, "target": b, "delivery": 1.0, "rx_power_dbm": -50.0} for a, b in ((A, B), (B, A))],
        [
            {"source": A, "members": (B,), "pdu_bytes": 29},
            {"source": B, "members": (A,), "pdu_bytes": 29, "start_s": later_s},
        ],
    )
    assert [arrived(scenario, engine, flow) for flow in ("0", "1")] == [share, share]


def records_of(scenario, engine, kind):
    return [r for r in simulate(scenario, seed=4, engine=engine).records if r.kind is kind]


@ENGINES
def test_copies_are_an_interval_and_up_to_ten_milliseconds_apart(engine):
    """Bluetooth Core, Vol 6 Part B, 4.4.2.2: advDelay is 0 to 10 ms; 20 ms by (steps + 1) * 10 ms."""
    scenario = make_scenario(
        [{"source": A, "target": B, "delivery": 1.0}],
        [{"source": A, "members": (B,), "count": 300, "period_s": 0.2}],
        profile=replace(PROFILES["zephyr"], scan_interval_ns=FOREVER_NS, scan_window_ns=FOREVER_NS),
        copies=3,
        is_traced=True,
    )
    sent = [r.time_ns / 1e6 for r in records_of(scenario, engine, RecordKind.TRANSMITTED)]
    assert len(sent) == 900
    gaps_ms = [sent[i + 1] - sent[i] for i in range(899) if i % 3 != 2]
    assert min(gaps_ms) >= 20.0
    assert max(gaps_ms) < 30.0
    assert fmean(gaps_ms) == pytest.approx(25.0, abs=4 * 10 / 12**0.5 / 600**0.5)
    assert max(gaps_ms) - min(gaps_ms) > 9.0


@ENGINES
@pytest.mark.parametrize(("off", "times"), [(True, 2), (False, 1)])
def test_node_that_loses_power_forgets_what_it_has_heard(engine, off, times):
    """The second copy, 20 ms after the first one, is new to a node that was off in between."""
    scenario = make_scenario(
        [{"source": A, "target": B, "delivery": 1.0}],
        [{"source": A, "members": (B,), "count": 1, "period_s": 1.0}],
        copies=2,
        is_traced=True,
        changes=(NodeChange(at_s=0.005, node=B, is_on=False), NodeChange(at_s=0.01, node=B, is_on=True)) if off else (),
    )
    assert [r.node for r in records_of(scenario, engine, RecordKind.RECEIVED)] == [B] * times
