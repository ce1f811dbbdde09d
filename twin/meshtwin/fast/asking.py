"""A single question to the fast model, by somebody who reads the answer: its figures, or an error that says why not."""

from dataclasses import dataclass
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.fast.answer import MODEL_NAME, FastAnswer
from meshtwin.fast.arrays import Ints
from meshtwin.fast.declining import find_gaps
from meshtwin.fast.prepared import Prepared
from meshtwin.mesh.kpis import NetworkKpis
from meshtwin.sim.scenario import Scenario

__all__ = ["STATES_ALONE", "Estimated", "ask"]

# Floods per flow where one question is all that is asked. Nine hops have p95 a quarter too low with 128 (the tail is a
# handful of values); some milliseconds, beside the second or two that loading takes.
STATES_ALONE: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimated:
    """An answer with key figures, and what they are of.

    ``latencies_ns``: of each flow (states, members but the source), -1: not reached. ``gaps``: what is left out.
    """

    answer: FastAnswer
    kpis: NetworkKpis
    latencies_ns: tuple[Ints, ...]
    gaps: tuple[str, ...]


def ask(scenario: Scenario, *, seed: int, states: int = STATES_ALONE) -> Estimated:
    """The fast model's answer; equal arguments give equal ones, and two scenarios with one seed meet the same states.

    Raises `InvalidInput` (``Declined``) with the reason where the model declines.
    """
    prepared = Prepared(scenario, states=states, seed=seed)
    answer = prepared.estimate()
    if answer.kpis is None:
        raise InvalidInput(
            f"the {MODEL_NAME} model declines: {answer.declined}; engine auto simulates it",
            reason="Declined",
            place=scenario.name,
        )
    return Estimated(
        answer=answer, kpis=answer.kpis, latencies_ns=prepared.compute_latencies_ns(), gaps=find_gaps(scenario)
    )
