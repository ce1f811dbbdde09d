"""Links observed by heartbeats alone: how often a twin's interval holds the truth, and how far its mean is off."""

import random
from datetime import UTC, datetime
from typing import Final

from scipy.stats import beta
from tests.benchmarks.figures import Figure, told

from meshtwin.contract.telemetry import NeighbourTelemetry
from meshtwin.gateway.foundation import HeartbeatHeard
from meshtwin.gateway.heartbeats import HeartbeatBook
from meshtwin.gateway.rotation import LISTEN_HEARTBEATS
from meshtwin.twins.estimator import LinkQuestion, estimate_links
from meshtwin.twins.folding import fold
from meshtwin.twins.load import Load
from meshtwin.twins.state import EMPTY_STATE

COMMAND: Final = "python -m tests.benchmarks heartbeats"
SEED: Final = 90417
DELIVERIES: Final = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95)
LINKS: Final = 300  # per delivery: a share near 0.9 is known to +-0.03
LISTENINGS: Final = 8
PAUSE_S: Final = 600.0  # between two listenings of one pair
QUIET: Final = Load(busy_ratio=0.0, source="monitoring")
START_S: Final = 1_900_000_000.0
LEVEL: Final = 0.9


def run() -> list[Figure]:
    """Two figures per delivery of a single heartbeat, sent once."""
    return [figure for delivery in DELIVERIES for figure in _figures(delivery)]


def _figures(delivery: float) -> tuple[Figure, Figure]:
    rng, inside, means = random.Random(SEED), 0, list[float]()
    for _ in range(LINKS):
        alpha, beta_ = _observe(delivery, rng)
        low, high = beta.ppf(((1 - LEVEL) / 2, (1 + LEVEL) / 2), alpha, beta_)
        inside += low <= delivery <= high
        means.append(alpha / (alpha + beta_))
    name = f"heartbeats: delivery {delivery:g}, {LISTENINGS} listenings"
    return (
        told(f"{name}, share of {LEVEL:.0%} intervals with the truth", round(100 * inside / LINKS, 1), "%", COMMAND),
        told(f"{name}, mean of the estimates", round(sum(means) / LINKS, 3), "", COMMAND),
    )


def _observe(delivery: float, rng: random.Random) -> tuple[float, float]:
    """Alpha and beta of one link, once it was listened to so often."""
    book, state, at_s = HeartbeatBook(epoch=0), EMPTY_STATE, START_S
    for sequence in range(LISTENINGS):
        heard = _tell(sum(rng.random() < delivery for _ in range(LISTEN_HEARTBEATS)))
        counter = book.fold(1, heard, LISTEN_HEARTBEATS, transmissions=1)
        at_s += PAUSE_S
        if counter is not None:
            sent_at = datetime.fromtimestamp(at_s, UTC)
            report = NeighbourTelemetry(
                session="s1", sequence=sequence, sent_at=sent_at, node="0001", neighbours=[counter]
            )
            state = fold(state, report, at_s)
    [link] = estimate_links(LinkQuestion(state=state, now_s=at_s, load=QUIET, report_interval_s=PAUSE_S))
    return link.delivery_alpha, link.delivery_beta


def _tell(count: int) -> HeartbeatHeard:
    """What a node says that heard so many; Mesh Protocol 1.1, 4.1.2."""
    log = count.bit_length()
    low, high = (0, 0) if log == 0 else (1 << log - 1, (1 << log) - 1)
    return HeartbeatHeard(source=2, count_low=low, count_high=high, min_hops=1, max_hops=1)
