"""Random networks on which the fast model is held against the packet simulator.

Seeds below 1000 are the development networks (constants and limits of the model were set on them), those from 3000 on
are held out.
"""

import math
import random
from dataclasses import dataclass, replace
from typing import Final

import networkx as nx

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = ["Plan", "make_network", "with_busy"]

RANGE_M: Final = 10.0  # at which the mean received power is EDGE_DBM
EDGE_DBM: Final = -97.0  # three quarters of single transmissions arrive
LEAST_DBM: Final = -110.0  # weaker signals neither arrive nor disturb
EXPONENT: Final = 3.0
SHADOWING_DB: Final = 4.0
SPACING_S: Final = 1.25  # between judged messages, as a probe does it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a network is drawn with; ``transmissions`` of own and relayed messages."""

    seed: int
    profile: str = "zephyr"
    nodes: int = 40
    degree: float = 8.0  # mean number of neighbours within RANGE_M, shadowing aside
    transmissions: int = 3
    relay_share: float = 0.8
    ttl: int = 7
    messages: int = 60


def make_network(plan: Plan) -> Scenario:
    """A connected network with three flows (group, single member, group) and notifications, nothing else."""
    rnd = random.Random(plan.seed)  # a drawn network is no secret
    side_m = RANGE_M * math.sqrt(plan.nodes * math.pi / plan.degree)
    powers = _draw_powers(rnd, plan.nodes, side_m)
    while not _is_connected(powers, plan.nodes):
        side_m *= 0.97
        powers = _draw_powers(rnd, plan.nodes, side_m)
    addresses = [UnicastAddress(a) for a in range(1, plan.nodes + 1)]
    relays = _draw_relays(rnd, powers, plan)
    transmit = Transmit(count=plan.transmissions - 1, interval_steps=1)
    return Scenario(
        name=f"random-{plan.seed}",
        nodes=tuple(
            ScenarioNode(
                address=a, relay=a in relays, ttl=plan.ttl, network_transmit=transmit, relay_retransmit=transmit
            )
            for a in addresses
        ),
        links=tuple(
            ScenarioLink(source=addresses[i], target=addresses[j], rx_power_dbm=dbm) for (i, j), dbm in powers.items()
        ),
        flows=tuple(_draw_flow(rnd, number, addresses, plan.messages) for number in range(3)),
        background=(
            ScenarioBackground(name="notifications", sources=tuple(addresses), rate_per_s=plan.nodes / 10.0, ttl=0),
        ),
        profile=get_profile(plan.profile),
    )


def with_busy(scenario: Scenario, busy_ratio: float) -> Scenario:
    """The network with short messages of all nodes on the air, enough for about ``busy_ratio`` of each channel."""
    relays = {n.address: n.relay_retransmit.transmissions for n in scenario.nodes if n.relay}
    audible: dict[int, int] = {}
    for link in scenario.links:
        if link.rx_power_dbm is not None and link.rx_power_dbm >= EDGE_DBM - 1.0:
            audible[link.source] = audible.get(link.source, 0) + 1
    airtime_s = (scenario.profile.pdu_airtime_ns or 304_000) * 1e-9
    flood_s = sum(count * airtime_s * (1 + audible.get(a, 0)) for a, count in relays.items()) / len(scenario.nodes)
    sources = tuple(node.address for node in scenario.nodes)
    more = ScenarioBackground(name="others", sources=sources, rate_per_s=-math.log1p(-busy_ratio) / flood_s)
    return replace(scenario, background=(*scenario.background, more))


def _draw_powers(rnd: random.Random, count: int, side_m: float) -> dict[tuple[int, int], float]:
    places = [(rnd.random() * side_m, rnd.random() * side_m) for _ in range(count)]
    powers: dict[tuple[int, int], float] = {}
    for i in range(count):
        for j in range(i):
            distance_m = max(0.5, math.dist(places[i], places[j]))
            both_dbm = EDGE_DBM - 10.0 * EXPONENT * math.log10(distance_m / RANGE_M) + rnd.gauss(0.0, SHADOWING_DB)
            for pair in ((i, j), (j, i)):
                if (dbm := both_dbm + rnd.gauss(0.0, 1.0)) >= LEAST_DBM:
                    powers[pair] = dbm
    return powers


def _is_connected(powers: dict[tuple[int, int], float], count: int) -> bool:
    graph = nx.DiGraph(pair for pair, dbm in powers.items() if dbm >= EDGE_DBM)
    return len(graph) == count and nx.is_strongly_connected(graph)


def _draw_relays(rnd: random.Random, powers: dict[tuple[int, int], float], plan: Plan) -> set[int]:
    """As many as the share says, and those that every other node needs to be reached (a spanning tree's inside)."""
    graph = nx.Graph((i, j) for (i, j), dbm in powers.items() if dbm >= EDGE_DBM)
    tree = nx.bfs_tree(graph, 0)
    inside = {node + 1 for node in tree if tree.out_degree(node)}
    others = [a for a in range(1, plan.nodes + 1) if a not in inside]
    wanted = max(0, round(plan.relay_share * plan.nodes) - len(inside))
    return inside | set(rnd.sample(others, min(wanted, len(others))))


def _draw_flow(rnd: random.Random, number: int, addresses: list[UnicastAddress], messages: int) -> ScenarioFlow:
    source = rnd.choice(addresses)
    others = [a for a in addresses if a != source]
    members = rnd.sample(others, 1 if number == 1 else min(10, len(others)))
    return ScenarioFlow(
        name=f"flow-{number}",
        source=source,
        members=tuple(sorted(members)),
        count=messages,
        period_s=3 * SPACING_S,
        start_s=1.0 + number * SPACING_S,
        spread_s=0.25,
        deadline_ms=150,
    )
