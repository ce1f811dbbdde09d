"""Predicted against measured on BlueZ: delivery one way and round trip, five topologies, before and after fitting.

The simulator gets powers, single-transmission deliveries and settings of the network as they are, and the stack
profile ``bluez``; it never sees what is measured. So this asks for the stack's rules, not for the estimator.
Then one constant of the stack, the time that a relay takes before its random delay, is fitted on the chain, and the
other topologies are predicted with it.
"""

import asyncio
import itertools
import math
import os
import random
import statistics
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from tests.benchmarks.figures import Figure, at_most, told
from tests.integration.bluez_rig import GATEWAY

from meshtwin.contract.access import Opcode, encode_access
from meshtwin.emulation.scenario import parse_scenario as parse_mesh
from meshtwin.gateway.bluez.node_application import NodeApplication
from meshtwin.sim.engine import simulate
from meshtwin.sim.scenario_file import parse_scenario
from meshtwin.virtual_air.network import VirtualNetwork
from meshtwin.virtual_air.plan import AirPlan, plan_network
from meshtwin.virtual_air.programs import find_programs, why_not_here

COMMAND = "python -m tests.benchmarks bluez_fidelity"
TARGETS = 5  # per topology, spread over the distances
MESSAGES = 30  # per target
SPACING_S = 0.3  # every copy of question and answer is gone by then
REPLICATIONS = 8
SEED = int(os.environ.get("MESHTWIN_BENCH_BLUEZ_SEED", "4711"))
QUESTION_BYTES = 23  # network PDU: 18 and the access message (Mesh Protocol 1.1, 3.4.4 and 3.5.2)
ANSWER_BYTES = 29
TRANSMIT = {"count": 1, "intervalSteps": 1}
RELAYED = {"count": 0, "intervalSteps": 1}
TTL = 12

FITTED_ON = "chain"
RELAY_TIMES_NS = range(0, 10_000_001, 250_000)  # tried for the fit; the random delay is up to 25 ms

ANSWER = encode_access(Opcode.RESULT)

Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Compared:
    """One target: shares 0..1, mean round trips in ms (None: nothing came back).

    ``ends_ms``: what a question to oneself takes, answer included: the time of applications, bus and daemon at
    both ends, which is no property of the mesh and grows with the load of the machine.
    """

    target: int
    predicted_delivery: float
    measured_delivery: float
    predicted_ms: float | None
    measured_ms: float | None
    ends_ms: float


def run() -> list[Figure]:
    """Errors per topology and over all; none where the daemon cannot be installed."""
    if why_not_here() is not None:
        return []
    figures: list[Figure] = []
    seen = {name: asyncio.run(measure_topology(places)) for name, places in topologies().items()}
    everything: list[Compared] = []
    for name, observed in seen.items():
        compared = compare(observed)
        everything += compared
        figures += _tell(name, compared)
    raw, net = (100 * statistics.median(_time_errors(everything, with_ends=with_ends)) for with_ends in (True, False))
    figures.append(told("bluez fidelity: round trip with both ends' own time, median error", raw, "%", COMMAND))
    figures.append(at_most("bluez fidelity: round trip, median error", net, 20, "%", COMMAND))
    deliveries = [abs(c.predicted_delivery - c.measured_delivery) for c in everything]
    figures.append(at_most("bluez fidelity: delivery, mean error", statistics.mean(deliveries), 0.05, "", COMMAND))
    figures.append(told("bluez fidelity: delivery, largest error", max(deliveries), "", COMMAND))
    return [*figures, *_tell_fitted(seen)]


def _tell_fitted(seen: dict[str, "Observed"]) -> list[Figure]:
    """One constant fitted on one topology; the others tell what it is worth."""
    relay_ns = min(RELAY_TIMES_NS, key=lambda ns: statistics.mean(_time_errors(compare(seen[FITTED_ON], relay_ns=ns))))
    others = {name: observed for name, observed in seen.items() if name != FITTED_ON}
    figures = [told(f"bluez fidelity: time of a relay, fitted on the {FITTED_ON}", relay_ns / 1e6, "ms", COMMAND)]
    for label, value_ns in (("before", 0), ("after", relay_ns)):
        errors = {name: _time_errors(compare(observed, relay_ns=value_ns)) for name, observed in others.items()}
        figures += [
            told(f"bluez fidelity: {name}, round trip, median error {label} fitting", _median(e), "%", COMMAND)
            for name, e in errors.items()
        ]
        all_errors = list(itertools.chain.from_iterable(errors.values()))
        figures.append(
            told(f"bluez fidelity: the four others, median error {label} fitting", _median(all_errors), "%", COMMAND)
        )
    return figures


def _median(errors: list[float]) -> float:
    return 100 * statistics.median(errors)


def topologies() -> dict[str, list[Place]]:
    """Places in metres; the first node asks."""
    rooms = [(4.5 * i + dx, y + dy) for i in range(4) for y, dx, dy in ((0.0, 0, 0.3), (3.5, 1, 0), (7.0, 0.5, -0.4))]
    return {
        "chain": [(4.0 * i, 0.0) for i in range(8)],
        "grid": [(4.3 * (i % 4), 4.3 * (i // 4)) for i in range(16)],
        "two clusters": [*((x + 14.0 * side, y) for side in (0, 1) for x in (0, 3, 6) for y in (0, 3)), (10.2, 1.5)],
        "office part": rooms,
        "random": grow(14, random.Random(SEED)),
    }


def grow(size: int, rng: random.Random) -> list[Place]:
    """Each new node 3 to 5 m from a drawn one: random, and connected."""
    places: list[Place] = [(0.0, 0.0)]
    while len(places) < size:
        (x, y), far_m, angle = rng.choice(places), rng.uniform(3, 5), rng.uniform(0, 2 * math.pi)
        places.append((x + far_m * math.cos(angle), y + far_m * math.sin(angle)))
    return places


def to_mesh(places: list[Place]) -> dict[str, Any]:
    """The scenario of the air; a gateway's daemon out of reach of all, since one is asked for."""
    everyone = [*places, (900.0, 900.0)]
    return {
        "seed": SEED,
        "meshUuid": "6f666669-6365-4d65-9368-0000000000f1",
        "radio": {"sensitivityDbm": -75, "shadowingDb": 2.0},
        "gateways": [{"id": GATEWAY, "node": f"{len(everyone):04x}", "reportGroup": "d001"}],
        "initial": [
            {
                "nodes": [f"0001-{len(everyone):04x}"],
                "relay": "Enabled",
                "relayRetransmit": RELAYED,
                "networkTransmit": TRANSMIT,
                "defaultTtl": TTL,
            }
        ],
        "nodes": [{"address": f"{i + 1:04x}", "x": x, "y": y, "gateway": GATEWAY} for i, (x, y) in enumerate(everyone)],
    }


def to_simulation(plan: AirPlan, targets: list[int]) -> dict[str, Any]:
    """The same network for the simulator: one flow per target, one after the other, as it is measured."""
    size, reaches = len(plan.nodes) - 1, plan.reaches()
    return {
        "name": "bluez",
        "profile": "bluez",
        "defaults": {"relay": True, "ttl": TTL, "networkTransmit": TRANSMIT, "relayRetransmit": RELAYED},
        "nodes": [{"address": f"{i + 1:04x}"} for i in range(size)],
        "links": [
            {
                "source": f"{i + 1:04x}",
                "target": f"{reach.target + 1:04x}",
                "rxPowerDbm": statistics.mean(reach.power_dbm),
                "delivery": statistics.mean(reach.probability),
            }
            for i in range(size)
            for reach in reaches[i]
        ],
        "flows": [
            {
                "name": f"to-{target}",
                "source": "0001",
                "destination": f"{target + 1:04x}",
                "count": MESSAGES,
                "periodSeconds": SPACING_S,
                "startSeconds": order * MESSAGES * SPACING_S,
                "pduBytes": QUESTION_BYTES,
                "responsePduBytes": ANSWER_BYTES,
            }
            for order, target in enumerate(targets)
        ],
    }


@dataclass(frozen=True, slots=True)
class Observed:
    """A measured topology; per target the share that arrived, mean round trip and both ends' own time in ms."""

    plan: AirPlan
    targets: list[int]
    measured: list[tuple[float, float | None, float]]


async def measure_topology(places: list[Place]) -> Observed:
    """Boot the network and measure each target."""
    plan = plan_network(parse_mesh(yaml.safe_dump(to_mesh(places))))
    targets = choose_targets(plan)
    with tempfile.TemporaryDirectory(prefix="air") as folder:
        network = await VirtualNetwork.boot(plan, find_programs(), Path(folder))
        try:
            return Observed(plan, targets, [await measure(network, target) for target in targets])
        finally:
            await network.stop()


def compare(observed: Observed, *, relay_ns: int = 0) -> list[Compared]:
    """What was measured beside what is predicted with this time of a relay."""
    predicted = predict(observed.plan, observed.targets, relay_ns)
    return [
        Compared(target, p_share, m_share, p_ms, m_ms, ends_ms)
        for target, (p_share, p_ms), (m_share, m_ms, ends_ms) in zip(
            observed.targets, predicted, observed.measured, strict=True
        )
    ]


def choose_targets(plan: AirPlan) -> list[int]:
    """Nodes spread over the distances from the first one, the farthest included."""
    reaches = plan.reaches()
    hops, ring = {0: 0}, [0]
    while ring:
        good = [(a, r.target) for a in ring for r in reaches[a] if statistics.mean(r.probability) > 0.5]
        ring = sorted({b for _, b in good} - hops.keys())
        hops |= {b: max(hops.values()) + 1 for b in ring}
    others = sorted((h, i) for i, h in hops.items() if i != 0)
    step = max(1.0, (len(others) - 1) / (TARGETS - 1))
    return sorted({others[min(len(others) - 1, round(k * step))][1] for k in range(TARGETS)})


async def measure(network: VirtualNetwork, target: int) -> tuple[float, float | None, float]:
    """Share of questions that arrived, mean round trip in ms of those answered, and of questions to oneself."""
    answering, took, ends, arrived = _application(network, target), list[float](), list[float](), 0
    for page in range(MESSAGES):
        ends += await _ask(network, 1, page)
        answering.received = []
        took += await _ask(network, target + 1, page)
        arrived += any(source == 1 for _, source, _ in answering.received)
    return arrived / MESSAGES, statistics.mean(took) if took else None, statistics.mean(ends)


async def _ask(network: VirtualNetwork, address: int, page: int) -> list[float]:
    """One question of the first node; its round trip in ms, or nothing."""
    asking, local, loop = _application(network, 0), network.stations[0].local, asyncio.get_running_loop()
    assert local is not None
    asking.received = []
    begin_s = loop.time()
    await local.send(address, encode_access(Opcode.RESULT_GET, bytes((0, page))))
    await asyncio.sleep(SPACING_S / 6 if address == 1 else SPACING_S)
    answers = [at_s for at_s, source, payload in asking.received if source == address and payload.startswith(ANSWER)]
    return [1e3 * (answers[0] - begin_s)] if answers else []


def predict(plan: AirPlan, targets: list[int], relay_ns: int) -> list[tuple[float, float | None]]:
    """The same figures from the simulator."""
    scenario = parse_scenario(yaml.safe_dump(to_simulation(plan, targets)))
    scenario = replace(scenario, profile=replace(scenario.profile, processing_ns=relay_ns))
    results = [simulate(scenario, seed=SEED, replication=r, engine="auto") for r in range(REPLICATIONS)]
    out = []
    for flow in scenario.flows:
        messages = list(
            itertools.chain.from_iterable(m.arrivals for r in results for m in r.messages if m.flow == flow.name)
        )
        trips = [m.round_trip_ns / 1e6 for m in messages if m.round_trip_ns is not None]
        sent = REPLICATIONS * MESSAGES
        out.append((len(messages) / sent, statistics.mean(trips) if trips else None))
    return out


def _application(network: VirtualNetwork, index: int) -> NodeApplication:
    found = network.stations[index].application
    assert found is not None
    return found


def _time_errors(compared: list[Compared], *, with_ends: bool = False) -> list[float]:
    return [
        abs(c.predicted_ms / (c.measured_ms - (0.0 if with_ends else c.ends_ms)) - 1)
        for c in compared
        if c.predicted_ms is not None and c.measured_ms is not None
    ]


def _tell(name: str, compared: list[Compared]) -> list[Figure]:
    rows = [
        told(f"bluez fidelity: {name}, {what}", statistics.mean(v for v in values if v is not None), unit, COMMAND)
        for what, unit, values in (
            ("delivery predicted", "", [c.predicted_delivery for c in compared]),
            ("delivery measured", "", [c.measured_delivery for c in compared]),
            ("round trip predicted", "ms", [c.predicted_ms for c in compared]),
            ("round trip measured", "ms", [c.measured_ms for c in compared]),
            ("of it both ends", "ms", [c.ends_ms for c in compared]),
        )
    ]
    error = 100 * statistics.median(_time_errors(compared))
    return [*rows, told(f"bluez fidelity: {name}, round trip, median error of targets", error, "%", COMMAND)]
