"""How far a region with its halo is from the same region within the whole network."""

import math
import random
from statistics import fmean

from tests.benchmarks.figures import Figure, told

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.radio.path_loss import LogDistance, compute_log_distance_loss_db
from meshtwin.sim.engine import simulate
from meshtwin.sim.halo import cut_region
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode

COMMAND = "python -m tests.benchmarks halo"
NETWORKS = 8
FIRST_SEED = 100
REPLICATIONS = 2
WIDTH_M, DEPTH_M, REGION_M = 260.0, 120.0, 100.0
TWICE = Transmit(count=1, interval_steps=1)
RADIO = LogDistance(exponent=3.5, reference_db=40.1)


def make_network(seed: int, size: int = 60) -> tuple[Scenario, set[UnicastAddress]]:
    """A network and the nodes of its left part; three flows within that part, four floods per second from anywhere."""
    dice = random.Random(seed)
    places = {UnicastAddress(a): (dice.random() * WIDTH_M, dice.random() * DEPTH_M) for a in range(1, size + 1)}
    links = []
    for source, at in places.items():
        for target, to in places.items():
            if source != target:
                distance_m = math.dist(at, to)
                power_dbm = 4.0 - compute_log_distance_loss_db(distance_m, RADIO, dice.gauss(0.0, 4.0))
                if power_dbm > -104.0:
                    links.append(ScenarioLink(source=source, target=target, rx_power_dbm=power_dbm))
    region = {a for a, (x_m, _) in places.items() if x_m < REGION_M}
    ordered = sorted(region, key=lambda a: places[a][1])
    nodes = tuple(
        ScenarioNode(address=a, relay=dice.random() < 0.5, ttl=7, network_transmit=TWICE, relay_retransmit=TWICE)
        for a in places
    )
    flows = tuple(
        ScenarioFlow(
            name=f"f{i}", source=ordered[i], members=(ordered[-1 - i],), count=100, period_s=1.0, spread_in_period=True
        )
        for i in range(3)
    )
    background = (ScenarioBackground(name="b", sources=tuple(places), rate_per_s=4.0),)
    return Scenario(name="halo", nodes=nodes, links=tuple(links), flows=flows, background=background), region


def measure(scenario: Scenario) -> tuple[float, float]:
    """Delivery and mean latency in milliseconds."""
    runs = [simulate(scenario, seed=5, replication=r) for r in range(REPLICATIONS)]
    messages = [m for run in runs for m in run.messages]
    return fmean(float(m.reached_all) for m in messages), fmean(
        a.latency_ns / 1e6 for m in messages for a in m.arrivals
    )


def run() -> list[Figure]:
    """Mean absolute differences of delivery and latency, by hops of halo."""
    whole = {seed: make_network(seed) for seed in range(FIRST_SEED, FIRST_SEED + NETWORKS)}
    expected = {seed: measure(scenario) for seed, (scenario, _) in whole.items()}
    figures = []
    for hops in (0, 1, 2):
        cuts = {
            seed: cut_region(scenario, region, halo_hops=hops).scenario for seed, (scenario, region) in whole.items()
        }
        found = {seed: measure(scenario) for seed, scenario in cuts.items()}
        kept = fmean(len(scenario.nodes) / 60 for scenario in cuts.values())
        delivery = fmean(abs(found[seed][0] - expected[seed][0]) for seed in whole)
        latency = fmean(abs(found[seed][1] / expected[seed][1] - 1.0) for seed in whole)
        figures += [
            told(f"halo of {hops}: nodes simulated", 100.0 * kept, "%", COMMAND),
            told(f"halo of {hops}: delivery, mean absolute difference", delivery, "ratio", COMMAND),
            told(f"halo of {hops}: latency, mean absolute difference", 100.0 * latency, "%", COMMAND),
        ]
    return figures
