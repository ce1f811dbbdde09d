"""Attenuation of links where transmit powers are stated, on networks whose truth is known: error, and coverage.

The truth has the physics of the emulated mesh, shadowing and fading of its own in every network, and a radio in each
node that reads power too high or too low by up to 2 dB, as data sheets allow (uniform; none: exact radios). Statements
are the true power, or off by 2 dB (normal) where they say so.

Coverage is of 90 % intervals, mean less and plus 1.645 deviations, over all links with a received power.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from tests.benchmarks.figures import Figure, at_least, at_most, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS

from meshtwin.emulation.world import World
from meshtwin.mesh.nodes import Node
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.mesh.tx_power import TxPower
from meshtwin.radio.attenuation import Attenuation, estimate_attenuation

__all__ = ["run"]

COMMAND: Final = "python -m tests.benchmarks attenuation"
FIRST_SEED: Final = int(
    os.environ.get("MESHTWIN_BENCH_ATTENUATION_SEED", "940000")
)  # plus 1000 per minute; 930,000 before slow fading was in
NETWORKS: Final = int(os.environ.get("MESHTWIN_BENCH_ATTENUATION_NETWORKS", "16"))  # per age
SIZES: Final = (14, 20, 30, 40, 52)
MINUTES: Final = (6, 30)
BANDS: Final = {"all": (0.0, 1.01), "0-0.2": (0.0, 0.2), "0.2-0.8": (0.2, 0.8), "0.8-1": (0.8, 1.01)}
READING_DB: Final = 2.0  # how far radios read off at most: the data sheet of nRF52840
STATED_OFF_DB: Final = 2.0  # standard deviation of what nodes send with around what was stated of them
WITHIN_90_PERCENT: Final = 1.645
LEAST, MOST = 85.0, 95.0  # per cent of truths that 90 % intervals are to hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One link: how far its attenuation is off, the deviation that is told of it, and its true delivery."""

    delivery: float
    error_db: float
    deviation_db: float


def run() -> list[Figure]:
    """The figures; those of radios that err have bounds over all links."""
    figures: list[Figure] = []
    for minutes in MINUTES:
        found: dict[str, list[Judged]] = {"radios off": [], "radios and statements off": [], "exact radios": []}
        drawn = _networks(FIRST_SEED + 1000 * minutes, NETWORKS)
        for network in follow(drawn, NETWORKS, f"attenuation, {minutes} min"):
            _add(found, network, minutes)
        for variant, links in found.items():
            for band, (low, high) in BANDS.items():
                inside = [link for link in links if low <= link.delivery < high]
                is_bound = band == "all" and variant != "exact radios"
                figures += _tell(f"attenuation, {minutes} min, {variant}, {band}", inside, is_bound=is_bound)
    return figures


def _tell(where: str, links: list[Judged], *, is_bound: bool) -> list[Figure]:
    error_db = np.array([link.error_db for link in links])
    deviation_db = np.array([link.deviation_db for link in links])
    share = 100.0 * float((np.abs(error_db) <= WITHIN_90_PERCENT * deviation_db).mean())
    what = f"{where}, {len(links)} links: truth inside the 90 % interval"
    bounds = [at_least(what, share, LEAST, "%", COMMAND), at_most(f"{what}, not more", share, MOST, "%", COMMAND)]
    return [
        *(bounds if is_bound else [told(what, share, "%", COMMAND)]),
        told(f"{where}: error, root mean square", float(np.sqrt((error_db**2).mean())), "dB", COMMAND),
        told(f"{where}: error, mean", float(error_db.mean()), "dB", COMMAND),
        told(f"{where}: deviation told, mean", float(deviation_db.mean()), "dB", COMMAND),
    ]


def _networks(first: int, count: int) -> Iterator[TruthNetwork]:
    for seed in range(first, first + count):
        yield make_network(sorted(KINDS)[seed % len(KINDS)], random.Random(f"size/{seed}").choice(SIZES), seed)


def _add(found: dict[str, list[Judged]], network: TruthNetwork, minutes: float) -> None:
    rng = random.Random(f"readings/{network.seed}")
    nodes = network.inventory.nodes
    errors_db = [rng.uniform(-READING_DB, READING_DB) for _ in nodes]
    off_db = [rng.gauss(0.0, STATED_OFF_DB) for _ in nodes]
    sent_dbm = network.scenario.radio.tx_power_dbm
    exact = [TxPower(sent_dbm) for _ in nodes]
    guessed = [TxPower(sent_dbm + each_db, STATED_OFF_DB) for each_db in off_db]
    read = network.snapshot(network.observe_state(minutes, rssi_errors_db=errors_db), minutes)
    clean = network.snapshot(network.observe_state(minutes), minutes)
    found["radios off"] += _judge(network, _stated(read, exact))
    found["radios and statements off"] += _judge(network, _stated(read, guessed))
    found["exact radios"] += _judge(network, _stated(clean, exact))


def _stated(snapshot: Snapshot, powers: list[TxPower]) -> Snapshot:
    nodes = zip(snapshot.nodes, powers, strict=True)
    return replace(snapshot, nodes=tuple(replace(node, tx_power=power) for node, power in nodes))


def _judge(network: TruthNetwork, snapshot: Snapshot) -> Iterator[Judged]:
    power_dbm, delivery = World(network.scenario, network.seed).power_dbm, network.true_delivery()
    senders: dict[int, Node] = {node.address: node for node in snapshot.nodes}
    for link in snapshot.links:
        believed = estimate_attenuation(link, senders[link.source])
        if isinstance(believed, Attenuation):
            arrives_dbm = sum(power_dbm[link.source - 1][link.target - 1]) / 3.0  # mean of the three channels
            true_db = network.scenario.radio.tx_power_dbm - arrives_dbm
            yield Judged(
                delivery=delivery[link.source, link.target],
                error_db=believed.mean_db - true_db,
                deviation_db=believed.deviation_db,
            )
