"""Climbing from a design to better ones, asking a fast model about every step.

Equal arguments give equal climbs. The fast model is asked in batches, so that several processes can answer.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.recipes.building import Design
from meshtwin.recipes.moves import Space, block_size, iter_relay_moves, iter_setting_moves, shake
from meshtwin.sim.draws import make_key

__all__ = ["Ascent", "Looked", "Score", "climb", "climb_again"]

BATCH: Final = 16  # steps asked about at once; one of them at most is taken
STAGES: Final = 4  # from large steps to single relays
SHAKES: Final = 6  # fruitless climbs before the search is taken to be at its end
FRUITLESS: Final = 2  # batches without a better design before a stage ends; the last one looks at every relay

Score = tuple[float, ...]  # smaller is better


@dataclass(frozen=True, slots=True)
class Looked:
    """A design, what the fast model says of it, and its score."""

    design: Design
    kpis: NetworkKpis
    score: Score


@dataclass(slots=True, kw_only=True)
class Ascent:
    """What a search has asked so far, and what it may still ask.

    ``ask`` gives the figures of designs (None: declined, or not allowed), ``score`` what is wanted of them,
    ``allow`` whether a design may be taken; it may be slow, and is asked of good ones only.
    """

    ask: Callable[[Sequence[Design]], Sequence[NetworkKpis | None]]
    score: Callable[[Design, NetworkKpis], Score]
    allow: Callable[[Design], bool]
    left: int  # designs that may still be asked about
    looked: dict[Design, NetworkKpis | None] = field(default_factory=dict)

    def look(self, designs: Sequence[Design]) -> list[Looked]:
        """The designs that the model answers, best first, ties in the order given; each is asked about once."""
        wanted = list(dict.fromkeys(designs))
        unknown = [d for d in wanted if d not in self.looked][: max(0, self.left)]
        self.left -= len(unknown)
        if unknown:
            self.looked.update(zip(unknown, self.ask(unknown), strict=True))
        found = [Looked(d, k, self.score(d, k)) for d in wanted if (k := self.looked.get(d)) is not None]
        return sorted(found, key=lambda one: one.score)

    def best_of(self, designs: Sequence[Design], than: Looked | None) -> Looked | None:
        """The best allowed of ``designs`` if it is better than ``than``."""
        for one in self.look(designs):
            if than is not None and one.score >= than.score:
                return None
            if self.allow(one.design):
                return one
        return None


def climb(ascent: Ascent, start: Design, space: Space, *, seed: int) -> Looked | None:
    """The best design that is reached from ``start``; None if the model says nothing of it, or it is not allowed.

    Takes the best of each batch of steps if it is better, first large steps, then smaller ones; ends when single
    steps gain nothing any more, or nothing may be asked.
    """
    current = ascent.best_of([start], None)
    if current is None:
        return None
    turn = 0
    for stage in range(STAGES):
        fruitless = 0
        while ascent.left > 0 and fruitless < FRUITLESS:
            batches = _batches(current.design, space, stage, make_key(seed, "local-search", stage, turn))
            found = None
            for batch in batches:
                found = ascent.best_of(batch, current)
                if found is not None or ascent.left <= 0:
                    break
            turn += 1
            fruitless = 0 if found is not None else fruitless + 1
            current = found or current
    return current


def climb_again(ascent: Ascent, best: Looked, space: Space, *, seed: int) -> Looked:
    """The best of further climbs, each from a shaken copy of the best so far, until nothing may be asked any more.

    Ends early after `SHAKES` climbs in a row that gained nothing (iterated local search).
    """
    fruitless = 0
    for turn in range(ascent.left):
        if fruitless >= SHAKES or ascent.left <= 0:
            break
        start = shake(best.design, space, key=make_key(seed, "shake", turn))
        found = climb(ascent, start, space, seed=seed + turn)
        is_better = found is not None and found.score < best.score
        best = found if found is not None and is_better else best
        fruitless = 0 if is_better else fruitless + 1
    return best


def _batches(design: Design, space: Space, stage: int, key: int) -> Iterator[list[Design]]:
    """Steps of one stage, settings first; the last stage has every single step, the others one sample."""
    if space.vary_settings:
        yield list(iter_setting_moves(design))
    is_last = stage == STAGES - 1
    most = 3 * len(space.capable) if is_last else BATCH
    moves = iter_relay_moves(design, space, block=block_size(design, stage), key=key, most=most)
    while batch := list(islice(moves, BATCH)):
        yield batch
