"""A segment's scorecard on disk: what is entered is there after a crash, and no push counts twice."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog
from pydantic import ValidationError

from meshtwin.contract.summaries import ScorecardSummary
from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.mesh.priors import SIMULATION
from meshtwin.mesh.scorecards import ENTRIES_MOST, FigureKind, Scorecard, Standings, stand_all
from meshtwin.recipes.score_messages import (
    PUSHES_MOST,
    EntryModel,
    MeasuredPushModel,
    ScorecardModel,
    to_standing_models,
)
from meshtwin.recipes.scored import entries_of
from meshtwin.repository.atomic import write_atomically

__all__ = ["CARD_NAME", "ScoreKeeper"]

log = structlog.get_logger(__name__)

CARD_NAME: Final = "scorecard.json"  # in the data folder; some 50 kB when full


@dataclass(frozen=True, slots=True)
class _Kept:
    pushes: tuple[str, ...] = ()
    card: Scorecard = field(default_factory=Scorecard)


class ScoreKeeper:
    """The card of one segment in ``path``; a `meshtwin.northbound.views.ScoreDesk`. One writer at a time."""

    def __init__(self, path: Path, segment: str) -> None:
        """Reads the file. One that is no card is put aside, since a twin that does not start helps nobody.

        Raises `Unavailable` if it can't be read at all.
        """
        self._path, self._segment = path, segment
        self._lock = asyncio.Lock()
        self._kept = self._read()
        self.standings: Standings = stand_all(self._kept.card, SIMULATION)

    async def enter(self, attempt_id: str, push: MeasuredPushModel) -> ScorecardModel:
        """Enter what a push showed; one that is there already changes nothing. Answered when it is on disk.

        Raises `InvalidInput` (``WrongSegment``) for a push of another segment, `Unavailable` if the disk refuses.
        """
        if push.segment != self._segment:
            message = f"a push of segment {push.segment!r}; this is the twin of {self._segment!r}"
            raise InvalidInput(message, reason="WrongSegment", place="segment")
        entries = entries_of(push)
        async with self._lock:
            if attempt_id not in self._kept.pushes:
                kept = _Kept(
                    pushes=(*self._kept.pushes, attempt_id)[-PUSHES_MOST:],
                    card=Scorecard((*self._kept.card.entries, *entries)[-ENTRIES_MOST:]),
                )
                await asyncio.to_thread(write_atomically, self._path, _to_model(self._segment, kept).to_payload())
                self._kept, self.standings = kept, stand_all(kept.card, SIMULATION)
                log.info("Entered a push into the scorecard", attempt=attempt_id, entries=len(entries))
        return self.card()

    def card(self) -> ScorecardModel:
        """The card, and what it says of each model."""
        model = _to_model(self._segment, self._kept)
        return model.model_copy(update={"standings": to_standing_models(self.standings)})

    def summary(self) -> ScorecardSummary | None:
        """Counts for the twin's summary; None before the first entry."""
        times = [entry.measured_at for entry in self._kept.card.entries]
        if not times:
            return None
        model = self._kept.card.entries[-1].model
        on_time = self.standings.get((model, FigureKind.ON_TIME))
        width = None if on_time is None else round(100 * on_time.deviation / SIMULATION[FigureKind.ON_TIME].deviation)
        return ScorecardSummary(
            pushes=len(self._kept.pushes),
            entries=len(times),
            since=min(times),
            until=max(times),
            model=model[:120],
            on_time_width_percent=width,
        )

    def _read(self) -> _Kept:
        try:
            model = ScorecardModel.model_validate_json(self._path.read_bytes())
            return _Kept(pushes=tuple(model.pushes), card=model.to_card())
        except FileNotFoundError:
            return _Kept()
        except OSError as error:
            raise Unavailable(f"not readable: {error}", place=str(self._path)) from error
        except (ValidationError, InvalidInput) as error:
            aside = self._path.with_suffix(".broken")
            log.error("Starting an empty scorecard, the old one is put aside", path=str(aside), error=str(error)[:300])
            self._path.replace(aside)
            return _Kept()


def _to_model(segment: str, kept: _Kept) -> ScorecardModel:
    entries = [EntryModel.from_value(entry) for entry in kept.card.entries]
    return ScorecardModel(segment=segment, pushes=list(kept.pushes), entries=entries)
