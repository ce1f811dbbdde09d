"""Received power between all nodes, drawn once from a seed. Pure; written for the stand-in alone."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshtwin.emulation.scenario import NodeModel, RadioModel

__all__ = ["Reach", "compute_power_dbm", "compute_reaches", "reception_probability"]

AUDIBLE_MARGIN_DB = 8.0  # below the sensitivity nothing is received: logistic step < 0.2 %


@dataclass(frozen=True, slots=True)
class Reach:
    """One receiver of a transmitter: its index, and probability and power (dBm) per channel 37, 38, 39."""

    target: int
    probability: tuple[float, float, float]
    power_dbm: tuple[float, float, float]


def compute_power_dbm(
    nodes: Sequence[NodeModel], radio: RadioModel, weak_db: Sequence[float], seed: int
) -> list[list[tuple[float, float, float]]]:
    """Received power in dBm, [transmitter][receiver][channel - 37].

    Log-distance path loss from 1 m, shadowing of the pair, of the direction, and of direction and channel.
    Draws do not depend on the order of other draws: one stream per pair.
    """
    size = len(nodes)
    power = [[(-math.inf,) * 3 for _ in range(size)] for _ in range(size)]
    for i in range(size):
        for j in range(i):
            rng = random.Random(f"{seed}/radio/{nodes[j].address}/{nodes[i].address}")  # noqa: S311  # physics
            a, b = nodes[i], nodes[j]
            distance_m = max(1.0, math.dist((a.x, a.y, a.z), (b.x, b.y, b.z)))
            loss_db = radio.reference_loss_db + 10 * radio.exponent * math.log10(distance_m)
            shared_db = radio.tx_power_dbm - loss_db + rng.gauss(0, radio.shadowing_db) - weak_db[i] - weak_db[j]
            for source, target in ((i, j), (j, i)):
                one_way_db = shared_db + rng.gauss(0, radio.direction_db)
                p37, p38, p39 = (one_way_db + rng.gauss(0, radio.channel_db) for _ in range(3))
                power[source][target] = (p37, p38, p39)
    return power


def reception_probability(power_dbm: float, radio: RadioModel) -> float:
    """Probability that one PDU is received without interference: a logistic step at the sensitivity."""
    x = (power_dbm - radio.sensitivity_dbm) / radio.softness_db
    return 1 / (1 + math.exp(-x)) if x > -40 else 0.0


def compute_reaches(
    power_row: Sequence[tuple[float, float, float]], radio: RadioModel, fading_db: Mapping[int, float]
) -> tuple[Reach, ...]:
    """The receivers of one transmitter that can hear it at all; ``fading_db`` is extra loss per receiver."""
    reaches = []
    for target, powers in enumerate(power_row):
        faded = tuple(p - fading_db.get(target, 0.0) for p in powers)
        if max(faded) >= radio.sensitivity_dbm - AUDIBLE_MARGIN_DB:
            p37, p38, p39 = faded
            chances = tuple(reception_probability(p, radio) for p in faded)
            reaches.append(Reach(target, (chances[0], chances[1], chances[2]), (p37, p38, p39)))
    return tuple(reaches)
