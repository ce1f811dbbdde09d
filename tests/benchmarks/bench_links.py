"""Fitted links against raw counting: log-loss of predicting single receptions, on networks whose truth is known.

The truth has the physics of the emulated mesh (fading, interference, shadowing of pair, direction and channel), the
seeds were not used while the estimator was written. Raw counting: (heard + 1) / (counted + 2) of the notifications
counted for a link, and of those sent for a pair that was never listed; repeats and load are not inverted.

Log-loss is the expected one, -p ln q - (1 - p) ln(1 - q) with the true p, so that no dice are in it.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from scipy.stats import beta
from tests.benchmarks.figures import Figure, at_least, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS
from tests.truth.reporting import START

from meshtwin.emulation.world import World
from meshtwin.mesh.snapshots import LinkEstimate
from meshtwin.twins.estimator import estimate_links, estimate_unheard
from meshtwin.twins.load import Traffic, estimate_load
from meshtwin.twins.snapshot import to_question
from meshtwin.twins.state import TwinState

__all__ = ["hide_rssi", "run"]

COMMAND: Final = "python -m tests.benchmarks links"
# Plus 1000 per minute. The estimator was written on seeds of 300,000 and up to 200,000, and judged on 400,000 while the
# pace of notifications was taken from the monitoring interval.
FIRST_SEED: Final = int(os.environ.get("MESHTWIN_BENCH_LINKS_SEED", "500000"))
SIZES: Final = (14, 20, 30, 40, 52)
MOST: Final = int(os.environ.get("MESHTWIN_BENCH_LINKS_NETWORKS", "1000"))  # networks at most, per age
RUNS: Final = ((6, min(16, MOST)), (30, min(32, MOST)))  # minutes of observing, networks
BANDS: Final = {"0-0.2": (0.0, 0.2), "0.2-0.8": (0.2, 0.8), "0.8-1": (0.8, 1.01)}
UNHEARD: Final = "unheard pairs"
CERTAIN: Final = 1e-6  # predictions are kept this far from 0 and 1
WITHIN_90_PERCENT: Final = 1.645  # standard deviations of a normal
NOTHING: Final = 1e-4  # predicted for pairs that the estimator leaves out: farther apart than any link

Pair = tuple[int, int]


@dataclass
class Score:
    """Sums over pairs: ``covered`` of the 90 % intervals, losses by method, squared errors of received power in dB."""

    pairs: int = 0
    covered: int = 0
    floor: float = 0.0
    loss: dict[str, float] = field(default_factory=dict)
    powers: int = 0
    powers_covered: int = 0
    rssi_squares: float = 0.0
    power_squares: float = 0.0

    def lower_percent(self, method: str) -> float:
        """How much lower the log-loss is than that of raw counting."""
        return 100 * (1 - self.loss[method] / self.loss["raw"])


def run() -> list[Figure]:
    """The figures: bounds where the RSSI is told, and the same without."""
    figures: list[Figure] = []
    for minutes, networks in RUNS:
        scores: dict[str, Score] = {}
        drawn = _networks(FIRST_SEED + 1000 * minutes, networks)
        for network in follow(drawn, networks, f"links, {minutes} min"):
            _add(scores, network, network.observe_state(minutes), minutes)
        for name, score in scores.items():
            least = 15.0 if name == "0.2-0.8" else 0.0
            where = f"links {name}, {minutes} min, {score.pairs} pairs"
            for method in ("fitted", "fitted without RSSI"):
                percent, what = score.lower_percent(method), f"{where}: {method}, log-loss below raw"
                figures.append(at_least(what, percent, least, "%", COMMAND))
            for method, loss in (("floor", score.floor), *score.loss.items()):
                figures.append(told(f"{where}: log-loss, {method}", loss / score.pairs, "nat", COMMAND))
            if name != UNHEARD:
                share = 100 * score.covered / score.pairs
                figures.append(told(f"{where}: truth inside the 90 % interval", share, "%", COMMAND))
                figures += _tell_power(where, score)
    return figures


def _tell_power(where: str, score: Score) -> list[Figure]:
    """Root mean square errors of received power, and how often its 90 % interval holds the truth."""
    rssi_db, power_db = ((s / score.powers) ** 0.5 for s in (score.rssi_squares, score.power_squares))
    share = 100 * score.powers_covered / score.powers
    return [
        told(f"{where}: RSSI as received power, error", rssi_db, "dB", COMMAND),
        told(f"{where}: received power, error", power_db, "dB", COMMAND),
        told(f"{where}: received power inside its 90 % interval", share, "%", COMMAND),
    ]


def _networks(first: int, count: int) -> Iterator[TruthNetwork]:
    for seed in range(first, first + count):
        yield make_network(sorted(KINDS)[seed % len(KINDS)], random.Random(f"size/{seed}").choice(SIZES), seed)


def _add(scores: dict[str, Score], network: TruthNetwork, state: TwinState, minutes: float) -> None:
    truth, power_dbm = network.true_delivery(), World(network.scenario, network.seed).power_dbm
    fitted = _estimate(network, state, minutes)
    blind = _estimate(network, hide_rssi(state), minutes)
    methods: Mapping[str, Callable[[Pair], float]] = {
        "raw": lambda pair: _count_raw(network, state, minutes, pair),
        "fitted": lambda pair: _mean(fitted, pair),
        "fitted without RSSI": lambda pair: _mean(blind, pair),
    }
    for pair, delivery in truth.items():
        listed = pair[0] in state.nodes[pair[1]].links if pair[1] in state.nodes else False
        band = next(name for name, (low, high) in BANDS.items() if low <= delivery < high)
        score = scores.setdefault(band if listed else UNHEARD, Score())
        score.pairs += 1
        score.floor += _log_loss(delivery, delivery)
        for name, predict in methods.items():
            score.loss[name] = score.loss.get(name, 0.0) + _log_loss(delivery, predict(pair))
        if listed:
            link = fitted[pair]
            low, high = beta.ppf((0.05, 0.95), link.delivery_alpha, link.delivery_beta)
            score.covered += low <= delivery <= high
            _add_power(score, link, sum(power_dbm[pair[0] - 1][pair[1] - 1]) / 3.0)


def _add_power(score: Score, link: LinkEstimate, true_dbm: float) -> None:
    if link.rssi_dbm is None or link.rx_power_dbm is None or link.rx_power_deviation_db is None:
        return
    error_db = link.rx_power_dbm - true_dbm
    score.powers += 1
    score.rssi_squares += (link.rssi_dbm - true_dbm) ** 2
    score.power_squares += error_db**2
    score.powers_covered += abs(error_db) <= WITHIN_90_PERCENT * link.rx_power_deviation_db


def _estimate(network: TruthNetwork, state: TwinState, minutes: float) -> dict[Pair, LinkEstimate]:
    facts = network.facts
    traffic = Traffic(
        notification_interval_s=facts.notification_interval_s,
        report_interval_s=facts.report_interval_s,
        flows=facts.flows,
        configuration=network.configuration,
    )
    question = to_question(facts, state, START.timestamp() + minutes * 60, estimate_load(state, traffic))
    links = (*estimate_links(question), *estimate_unheard(question, least=0.0))
    return {(link.source, link.target): link for link in links}


def _mean(estimates: Mapping[Pair, LinkEstimate], pair: Pair) -> float:
    link = estimates.get(pair)
    return NOTHING if link is None else link.delivery_mean


def _count_raw(network: TruthNetwork, state: TwinState, minutes: float, pair: Pair) -> float:
    source, target = pair
    record = state.nodes[target].links.get(source) if target in state.nodes else None
    if record is None:
        return 1 / (minutes * 60 / network.notification_interval_s + 2)
    return (record.received + 1) / (record.last - record.since + 2)


def hide_rssi(state: TwinState) -> TwinState:
    """The same with no RSSI told of any link."""
    nodes = {
        target: replace(node, links={s: replace(link, rssi_dbm=None) for s, link in node.links.items()})
        for target, node in state.nodes.items()
    }
    return replace(state, nodes=nodes)


def _log_loss(delivery: float, predicted: float) -> float:
    q = min(max(predicted, CERTAIN), 1 - CERTAIN)
    return float(-delivery * np.log(q) - (1 - delivery) * np.log1p(-q))
