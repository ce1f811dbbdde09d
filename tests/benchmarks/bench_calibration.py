"""``python -m tests.benchmarks calibration``: do intervals hold what they say, on networks not used for fitting?

Truth: the emulated mesh with fading, interference and dead relays, which the twin does not know (`tests.truth`). Each
network is observed for ten minutes; then it gets three configurations at random, one after the other. Of each, the
twin predicts every flow's on-time share, delivery and 95 % latency with an interval, and the network is measured. The
first two are entered in the segment's scorecard; the third one is judged. The prior of all segments is fitted on
`FITTED`; `JUDGED` are other networks. The rival is the spread of past values: the 5 to 95 % range of what was measured
of that figure on the fitted networks.
"""

import multiprocessing
import os
import random
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from statistics import fmean, median
from typing import Final

from tests.benchmarks.figures import Figure, at_least, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS

from meshtwin.mesh.calibration import fit_prior, foresee
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import FigureKind, Scorecard, ScoredPrediction, adjust, interval_score, stand
from meshtwin.sim.engine import simulate_selective
from meshtwin.sim.from_snapshot import scenario_from_snapshot
from meshtwin.sim.results import summarise

Segments = Mapping[int, Sequence[ScoredPrediction]]  # entries by network

COMMAND = "python -m tests.benchmarks calibration"
FITTED: Final = range(50_000, 50_150)
JUDGED: Final = range(61_000, 61_420)  # 60,000 and up were judged while the estimator was another one
TURNS: Final = 3
MINUTES: Final = 10.0
PRESSES: Final = 120
SCRAMBLES: Final = 8
MESSAGES: Final = 32
MODEL: Final = "simulation"
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


def run() -> list[Figure]:
    """Fit on some networks, judge on others."""
    fitted, judged = simulate_networks(FITTED), simulate_networks(JUDGED)
    return [figure for kind in FigureKind for figure in judge(kind, fitted, judged)]


def judge(kind: FigureKind, fitted: Segments, judged: Segments) -> Iterator[Figure]:
    """Coverage and interval scores of the last configuration of each judged network, one flow each, in turn."""
    prior = fit_prior(kind, list(fitted.values()))
    print(prior)  # as it belongs into `meshtwin.mesh.priors`
    shipped = SIMULATION[kind]
    past = sorted(e.measured for entries in fitted.values() for e in entries if e.kind is kind)
    spread = Interval(estimate=median(past), low=past[int(0.05 * len(past))], high=past[int(0.95 * len(past))])
    ours: list[tuple[Interval, float]] = []
    empty: list[tuple[Interval, float]] = []  # without the segment's own scorecard
    raw: list[tuple[Interval, float]] = []
    told_by_product: list[tuple[Interval, float]] = []  # by the prior that is in the program
    for seed, entries in judged.items():
        last = [pair for pair in foresee(prior, [e for e in entries if e.kind is kind]) if is_last(pair[0])]
        if last:
            entry, standing = last[seed % len(last)]
            ours.append((adjust(entry.predicted, standing, prior, trials=entry.trials), entry.measured))
            alone = stand(Scorecard(), prior, model=MODEL)
            empty.append((adjust(entry.predicted, alone, prior, trials=entry.trials), entry.measured))
            raw.append((entry.predicted, entry.measured))
            before = Scorecard(tuple(e for e in entries if e.kind is kind and not is_last(e)))
            known = stand(before, shipped, model=MODEL)
            told_by_product.append((adjust(entry.predicted, known, shipped, trials=entry.trials), entry.measured))
    name = f"calibration, {kind}"
    score = fmean(interval_score(interval, value) for interval, value in ours)
    rival = fmean(interval_score(spread, value) for _, value in ours)
    share = coverage(ours)
    yield Figure(f"{name}: coverage of 90 % intervals", share, "ratio", 0.85, 0.85 <= share <= 0.95, COMMAND)
    yield told(f"{name}: the same by the prior in the program", coverage(told_by_product), "ratio", COMMAND)
    yield told(f"{name}: networks judged", len(ours), "networks", COMMAND)
    yield told(f"{name}: coverage of the model's own intervals", coverage(raw), "ratio", COMMAND)
    yield at_least(f"{name}: interval score below that of past values", 1.0 - score / rival, 0.3, "ratio", COMMAND)
    without = fmean(interval_score(interval, value) for interval, value in empty)
    yield told(f"{name}: interval score below that without the segment's card", 1.0 - score / without, "ratio", COMMAND)
    for label, low, high in (("up to 0.9", 0.0, 0.9), ("above 0.9", 0.9, 1.1)):
        if kind is not FigureKind.LATENCY_P95 and (part := [p for p in ours if low < p[0].estimate <= high]):
            yield told(f"{name}: coverage where predicted {label} ({len(part)})", coverage(part), "ratio", COMMAND)
    yield told(f"{name}: prior quantile", prior.quantile, "deviations", COMMAND)


def coverage(pairs: Sequence[tuple[Interval, float]]) -> float:
    """Share of values within their interval."""
    return sum(interval.low - 1e-9 <= value <= interval.high + 1e-9 for interval, value in pairs) / len(pairs)


def is_last(entry: ScoredPrediction) -> bool:
    """Whether it is of the configuration that is judged."""
    return entry.predicted_at == START + timedelta(days=TURNS - 1)


def simulate_networks(seeds: Sequence[int]) -> Segments:
    """Entries by network, over the usable processors."""
    workers = max(1, len(os.sched_getaffinity(0)))
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as executor:
        scored = follow(executor.map(score_network, seeds, chunksize=4), len(seeds), "calibration, networks")
        return dict(zip(seeds, scored, strict=True))


def score_network(seed: int) -> list[ScoredPrediction]:
    """What was predicted and measured of one network."""
    chance = random.Random(f"calibration/{seed}")
    network = make_network(chance.choice(sorted(KINDS)), nodes=chance.randrange(12, 21), seed=seed)
    snapshot = replace(network.observe(minutes=MINUTES), profile="emulated")
    entries: list[ScoredPrediction] = []
    for turn in range(TURNS):
        configuration = draw_configuration(network, chance)
        scenario = scenario_from_snapshot(snapshot, configuration, messages_per_flow=MESSAGES, sample_posterior=True)
        results = [
            simulate_selective(scenario, seed=seed, replication=turn * SCRAMBLES + r, engine="auto")
            for r in range(SCRAMBLES)
        ]
        kpis = summarise(results, snapshot.flows)
        truths = {t.flow.name: t for t in network.measure(configuration, presses=PRESSES, seed=turn)}
        for flow in kpis.flows:
            truth = truths[flow.flow]
            pairs = (
                (FigureKind.ON_TIME, flow.on_time, truth.on_time_ratio),
                (FigureKind.DELIVERY, flow.delivery, truth.delivery_ratio),
                (FigureKind.LATENCY_P95, flow.latency_p95, truth.latency_quantile_ms(0.95)),
            )
            for kind, said, measured in pairs:
                # An interval without an upper bound (too few messages arrived) claims nothing that could be wrong.
                if said is not None and said.open_because is None and measured is not None:
                    entries.append(
                        ScoredPrediction(
                            kind=kind, flow=flow.flow, predicted=said, measured=measured, trials=PRESSES, model=MODEL,
                            predicted_at=START + timedelta(days=turn),
                            measured_at=START + timedelta(days=turn, hours=6),
                        )
                    )  # fmt: skip
    return entries


def draw_configuration(network: TruthNetwork, chance: random.Random) -> Configuration:
    """A share of the nodes relays; few repeats and a low TTL, so that figures are neither all 0 nor all 1."""
    share = chance.uniform(0.2, 0.8)
    relay, own, ttl = chance.choice((0, 1, 2)), chance.choice((0, 1, 2)), chance.choice((3, 4, 5, 7))
    return Configuration.of(
        {
            address: NodeSettings(
                relay=chance.random() < share,
                relay_retransmit=Transmit(count=relay, interval_steps=1),
                network_transmit=Transmit(count=own, interval_steps=1),
                default_ttl=ttl,
            )
            for address in network.configuration.addresses
        }
    )
