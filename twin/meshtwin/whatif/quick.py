"""The quick judge that asks the fast model in its own process.

The fast model is compiled: only workers and command lines may ask it, never the process of a twin.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshtwin.fast import MODEL_NAME, Prepared, prepare
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.ports import QuickAnswer
from meshtwin.whatif.judging import ScenarioSource

__all__ = ["InProcessQuickJudge"]

# Floods per flow and configuration: enough to prune by and to answer within a tenth of a second.
STATES: Final = 64
STATES_OF_LARGE: Final = 32
LARGE_NODES: Final = 120
MESSAGES: Final = 40  # the spacing of messages follows from the number of flows, not from this


@dataclass(slots=True)
class InProcessQuickJudge:
    """A `meshtwin.ports.QuickJudge`; keeps what the fast model prepared for the last snapshot and seed."""

    quick_model: str = MODEL_NAME
    _seed: int = field(default=-1, init=False)
    _source: ScenarioSource | None = field(default=None, init=False)
    _prepared: Prepared | None = field(default=None, init=False)

    def estimate(
        self, snapshot: Snapshot, configurations: Sequence[Configuration], *, seed: int
    ) -> tuple[QuickAnswer, ...]:
        """See `meshtwin.ports.QuickJudge.estimate`."""
        source = self._source
        if source is None or source.snapshot != snapshot:
            source = ScenarioSource(snapshot, MESSAGES, sample_links=True)
            self._source, self._prepared = source, None
        return tuple(self._answer(source, c, seed) for c in configurations)

    def _answer(self, source: ScenarioSource, configuration: Configuration, seed: int) -> QuickAnswer:
        scenario = source.under(configuration)
        if self._prepared is None or self._seed != seed:
            states = STATES if len(source.snapshot.nodes) <= LARGE_NODES else STATES_OF_LARGE
            self._prepared, self._seed = prepare(scenario, states=states, seed=seed), seed
        answer = self._prepared.estimate(scenario)
        return QuickAnswer(kpis=answer.kpis, declined=answer.declined)
