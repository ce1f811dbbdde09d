"""``python -m tests.benchmarks scorecards``: do the intervals of proposals hold, the way the product makes them?

As `bench_calibration`, on other networks and by the product's own path: a what-if of 8 replications of 40 messages
drawn at random, rounded to per mille, its intervals changed by the segment's scorecard for probes of 60 messages;
then a push's measurement, handed in as the operator does. Each network gets `TURNS` configurations; every flow of
every turn counts, so that turns show what a card is worth. ``MESHTWIN_BENCH_SCORECARDS`` is the number of networks,
``MESHTWIN_BENCH_SCORECARDS_SEED`` the first one, ``MESHTWIN_BENCH_SCORECARDS_PROFILE`` the stack profile that the twin
is told: a wrong one shows what cards are for.
"""

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import fmean
from typing import Final

from tests.benchmarks.bench_calibration import draw_configuration
from tests.benchmarks.figures import Figure, told
from tests.benchmarks.following import follow
from tests.truth.network import TruthNetwork, make_network
from tests.truth.places import KINDS

from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.configuration import Configuration, compress_settings
from meshtwin.mesh.kpis import Interval
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import Scorecard, interval_score, stand_all
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import no_progress
from meshtwin.recipes.answers import answer_what_if
from meshtwin.recipes.figures import FlowFiguresModel, KpiFiguresModel, PerMilleModel, PredictionModel
from meshtwin.recipes.messages import WhatIfRequest
from meshtwin.recipes.score_messages import MeasuredPushModel
from meshtwin.recipes.scored import entries_of, foresee_by_cards
from meshtwin.whatif.judging import InProcessJudge

COMMAND = "python -m tests.benchmarks scorecards"
NETWORKS: Final = int(os.environ.get("MESHTWIN_BENCH_SCORECARDS", "80"))
PROFILE: Final = os.environ.get("MESHTWIN_BENCH_SCORECARDS_PROFILE", "emulated")  # what the twin is told
# Nobody else's: priors were fitted on 50,000 and judged on 60,000 and up.
FIRST_SEED: Final = int(os.environ.get("MESHTWIN_BENCH_SCORECARDS_SEED", "70000"))
TURNS: Final = 4
MINUTES: Final = 10.0
PRESSES: Final = 60  # as `spec.push.probeMessages` has by default
START: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A figure of one flow in one turn: intervals with the card, without it, by the model; and what was measured."""

    network: int
    turn: int
    figure: str
    interval: Interval
    alone: Interval
    by_model: Interval
    seen: float


def run() -> list[Figure]:
    """Coverage and interval scores by turn."""
    seeds = follow(range(FIRST_SEED, FIRST_SEED + NETWORKS), NETWORKS, "scorecards, networks")
    found = [one for seed in seeds for one in follow_network(seed)]
    figures = [told("scorecards: networks", NETWORKS, "networks", COMMAND)]
    for figure in ("on time", "delivery"):
        mine = [one for one in found if one.figure == figure]
        figures += _tell(f"scorecards, {figure}", mine)
        for turn in range(TURNS):
            name = f"scorecards, {figure}, {turn} pushes on the card"
            figures.append(_coverage(name, [one for one in mine if one.turn == turn]))
    return figures


def _tell(name: str, found: Sequence[Told]) -> list[Figure]:
    later = [one for one in found if one.turn > 0]
    with_card = fmean(interval_score(one.interval, one.seen) for one in later)
    alone = fmean(interval_score(one.alone, one.seen) for one in later)
    raw = fmean(interval_score(one.by_model, one.seen) for one in found)
    ours = fmean(interval_score(one.interval, one.seen) for one in found)
    by_model = fmean(_is_within(one.by_model, one.seen) for one in found)
    rival = fmean(interval_score(_spread(found, one.network), one.seen) for one in found)
    return [
        _coverage(name, found),
        told(f"{name}: coverage of the model's own intervals", by_model, "ratio", COMMAND),
        told(f"{name}: interval score below that of the model's own", 1.0 - ours / raw, "ratio", COMMAND),
        told(
            f"{name}: interval score below that of the spread of other networks", 1.0 - ours / rival, "ratio", COMMAND
        ),
        told(f"{name}: with a card below that without, same figures", 1.0 - with_card / alone, "ratio", COMMAND),
        told(f"{name}: figures", len(found), "figures", COMMAND),
    ]


def _spread(found: Sequence[Told], network: int) -> Interval:
    """The 5 to 95 % range of what was measured in all other networks: what one knows without a model."""
    past = sorted(one.seen for one in found if one.network != network)
    low, high = past[int(0.05 * len(past))], past[int(0.95 * len(past))]
    return Interval(estimate=past[len(past) // 2], low=low, high=high)


def _coverage(name: str, found: Sequence[Told]) -> Figure:
    share = fmean(_is_within(one.interval, one.seen) for one in found)
    return told(f"{name}: coverage of 90 % intervals", share, "ratio", COMMAND)


def _is_within(interval: Interval, seen: float) -> bool:
    return interval.low - 1e-9 <= seen <= interval.high + 1e-9


def follow_network(seed: int) -> list[Told]:
    """What was foreseen of one network's flows and measured, turn by turn, the card growing."""
    chance = random.Random(f"scorecards/{seed}")
    network = make_network(chance.choice(sorted(KINDS)), nodes=chance.randrange(12, 21), seed=seed)
    snapshot = replace(network.observe(minutes=MINUTES), profile=PROFILE)
    card = Scorecard()
    found: list[Told] = []
    for turn in range(TURNS):
        now = START + timedelta(days=turn)
        configuration = draw_configuration(network, chance)
        answer = ask(snapshot, configuration, seed + turn)
        prediction, alone = (_foresee(answer, snapshot, one, now) for one in (card, Scorecard()))
        measured = measure(network, configuration, turn)
        push = MeasuredPushModel(
            segment=snapshot.segments[0].name,
            configuration=f"r{turn}",
            predicted_at=now,
            measured_at=now + timedelta(hours=6),
            prediction=prediction,
            after=measured,
        )
        found += _compare(seed, turn, prediction, alone, measured)
        card = Scorecard((*card.entries, *entries_of(push)))
    return found


def _compare(
    network: int, turn: int, prediction: PredictionModel, alone: PredictionModel, measured: KpiFiguresModel
) -> Iterator[Told]:
    for flow, bare, seen in zip(prediction.after.flows, alone.after.flows, measured.flows, strict=True):
        if flow.flow != seen.flow:
            raise AssertionError(f"{flow.flow} was foreseen, {seen.flow} measured")
        for figure, said, without, own, counted in (
            ("on time", flow.on_time, bare.on_time, flow.on_time_by_model, seen.on_time),
            ("delivery", flow.delivery, bare.delivery, flow.delivery_by_model, seen.delivery),
        ):
            if said is not None and without is not None and own is not None and counted is not None:
                yield Told(
                    network=network,
                    turn=turn,
                    figure=figure,
                    interval=_interval(said),
                    alone=_interval(without),
                    by_model=_interval(own),
                    seen=counted.estimate_per_mille / 1000,
                )


def ask(snapshot: Snapshot, configuration: Configuration, seed: int) -> PredictionModel:
    segment = snapshot.segments[0]
    settings = [SettingsEntry.from_value(entry) for entry in compress_settings(configuration, segment.addresses)]
    request = WhatIfRequest(run_id="w", segment=segment.name, settings=settings, probe_messages=PRESSES)
    return answer_what_if(request, snapshot, InProcessJudge(), seed=seed, progress=no_progress).prediction


def _foresee(answer: PredictionModel, snapshot: Snapshot, card: Scorecard, now: datetime) -> PredictionModel:
    name = snapshot.segments[0].name
    cards = {name: stand_all(card, SIMULATION)}
    return foresee_by_cards(answer, name, cards, segment_of=lambda _flow: name, messages=PRESSES, now=now)


def measure(network: TruthNetwork, configuration: Configuration, turn: int) -> KpiFiguresModel:
    flows = [
        FlowFiguresModel(
            flow=truth.flow.name,
            messages=PRESSES,
            on_time=_point(truth.on_time_ratio),
            delivery=_point(truth.delivery_ratio),
            how_known="receiverCounted",
        )
        for truth in network.measure(configuration, presses=PRESSES, seed=turn)
    ]
    return KpiFiguresModel(flows=flows)


def _point(share: float) -> PerMilleModel:
    return PerMilleModel.from_value(Interval(estimate=share, low=share, high=share))


def _interval(said: PerMilleModel) -> Interval:
    return Interval(
        estimate=said.estimate_per_mille / 1000, low=said.low_per_mille / 1000, high=said.high_per_mille / 1000
    )
