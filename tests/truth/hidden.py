"""What a network hides from its twin: another radio than assumed, fading, interference, relays that do not relay."""

import math
import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from meshtwin.emulation.scenario import InterferenceModel, RadioModel
from meshtwin.emulation.world import World

__all__ = ["Hidden", "draw_hidden", "draw_radio", "fade_for_ever", "mean_channel_loss"]

FADING_STEP_S: Final = 20.0  # between two states of fading: people and doors, not wavelengths


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """``fading_db``: standard deviation of a slow loss per direction, with ``fading_memory_s`` of memory.

    ``dead_relays`` nodes have a relay feature that says it is on and forwards nothing. ``weak_nodes`` lose
    ``weak_by_db`` in both directions.
    """

    fading_db: float = 0.0
    fading_memory_s: float = 120.0
    interference: tuple[InterferenceModel, ...] = ()
    dead_relays: int = 0
    weak_nodes: int = 0
    weak_by_db: float = 4.0

    def without_dead_relays(self) -> "Hidden":
        """The same with every relay doing its work."""
        return replace(self, dead_relays=0)


def draw_radio(rng: random.Random) -> RadioModel:
    """A radio and a building: path loss, shadowing and receiver within what offices and halls show."""
    return RadioModel(
        reference_loss_db=rng.uniform(40.0, 50.0),
        exponent=rng.uniform(2.6, 4.2),
        shadowing_db=rng.uniform(2.5, 6.0),
        direction_db=rng.uniform(0.8, 2.5),
        channel_db=rng.uniform(1.0, 3.0),
        sensitivity_dbm=rng.uniform(-90.0, -72.0),
        softness_db=rng.uniform(0.8, 2.0),
        capture_db=rng.uniform(6.0, 10.0),
    )


def draw_hidden(nodes: int, rng: random.Random) -> Hidden:
    """Troubles of an ordinary building: each absent in about half of the networks."""
    interference = tuple(
        InterferenceModel(
            channel=channel,
            loss_ratio=rng.uniform(0.1, 0.6),
            every_seconds=rng.uniform(20.0, 90.0),
            lasts_seconds=rng.uniform(5.0, 20.0),
        )
        for channel in (37, 38, 39)
        if rng.random() < 0.3
    )
    return Hidden(
        fading_db=rng.choice((0.0, rng.uniform(0.5, 2.5))),
        fading_memory_s=rng.uniform(60.0, 600.0),
        interference=interference,
        dead_relays=rng.choice((0, 0, 1, max(1, nodes // 20))),
        weak_nodes=rng.choice((0, 0, max(1, nodes // 15))),
        weak_by_db=rng.uniform(2.0, 6.0),
    )


def fade_for_ever(world: World, hidden: Hidden, rng: random.Random) -> Generator[Any, Any, None]:
    """A simpy process that moves every link's fading, an autoregressive walk with normal values in dB."""
    keep = math.exp(-FADING_STEP_S / hidden.fading_memory_s)
    fresh_db = hidden.fading_db * math.sqrt(1 - keep * keep)
    audible = [_audible(world, source) for source in range(len(world.networks))]
    fading = [{target: rng.gauss(0, hidden.fading_db) for target in targets} for targets in audible]
    while True:
        for source, losses in enumerate(fading):
            world.set_fading(source, losses)
        yield world.env.timeout(FADING_STEP_S)
        fading = [{t: keep * loss_db + rng.gauss(0, fresh_db) for t, loss_db in losses.items()} for losses in fading]


def _audible(world: World, source: int) -> list[int]:
    """Receivers whose mean power is within 20 dB below the sensitivity: no fading brings the others back."""
    floor_dbm = world.scenario.radio.sensitivity_dbm - 20.0
    row = world.power_dbm[source]
    return [target for target, powers in enumerate(row) if target != source and max(powers) > floor_dbm]


def mean_channel_loss(interference: Sequence[InterferenceModel]) -> tuple[float, float, float]:
    """Share of receptions destroyed per channel 37, 38, 39, averaged over time."""
    loss = [0.0, 0.0, 0.0]
    for model in interference:
        cycle_s = model.lasts_seconds + max(0.1, model.every_seconds - model.lasts_seconds)
        loss[model.channel - 37] = model.loss_ratio * model.lasts_seconds / cycle_s
    return loss[0], loss[1], loss[2]
