"""What a finalist is given to bear troubles may not break the limit on airtime."""

from dataclasses import dataclass, replace

import pytest
from tests.unit.recipes.figure_builders import kpis

from meshtwin.mesh.configuration import NodeSettings, Transmit
from meshtwin.mesh.kpis import Objectives
from meshtwin.ports import QuickAnswer, no_progress
from meshtwin.recipes.building import Design, complete_configuration
from meshtwin.recipes.rounds import Rounds
from meshtwin.recipes.values import Candidate, Judged, Question
from meshtwin.whatif.judging import InProcessJudge

SENDS = Transmit(count=2, interval_steps=1)
AIRTIME_PER_RELAY = 0.01
ELSEWHERE = 6  # relays of the other segment


@dataclass
class RelaysCount:
    """A quick judge: each relay costs airtime, and messages fall off with relays that are missing or dead."""

    quick_model: str = "formula"

    def estimate(self, snapshot, configurations, *, seed):
        return tuple(QuickAnswer(kpis=self._kpis(snapshot.configuration.overlaid(c))) for c in configurations)

    def _kpis(self, configuration):
        relays = sum(bool(s.relay) for _, s in configuration.entries)
        return kpis(on_time=min(1.0, 0.25 * (relays - ELSEWHERE)), airtime=AIRTIME_PER_RELAY * relays)


@pytest.fixture
def question(build_grid):
    settings = NodeSettings(relay=True, relay_retransmit=SENDS, network_transmit=SENDS, default_ttl=10)
    snapshot = build_grid(settings=settings)
    return Question(snapshot=snapshot, segment=snapshot.segments[0], objectives=Objectives(on_time_at_least=0.9))


def harden_three_relays(question, airtime_at_most):
    wanted = replace(question.objectives, airtime_at_most=airtime_at_most)
    question = replace(question, objectives=wanted)
    design = Design(relays=frozenset({1, 3, 5}), network_transmit=SENDS, relay_retransmit=SENDS, ttl=10)
    thin = Candidate(configuration=complete_configuration(question, design), recipe="test", reason="thin")
    rounds = Rounds(
        question=question,
        judge=InProcessJudge(),
        seed=1,
        messages_per_flow=4,
        replications=8,
        progress=no_progress,
        quick=RelaysCount(),
    )
    finalist = Judged(candidate=thin, kpis=kpis(on_time=0.75, airtime=(3 + ELSEWHERE) * AIRTIME_PER_RELAY))
    (found,) = rounds.harden([finalist])
    return thin, found.judged.candidate, found.worst


@pytest.mark.parametrize("airtime_at_most", [None, 0.5])
def test_finalist_gets_what_it_lacks_where_airtime_allows_it(question, airtime_at_most):
    thin, hardened, _ = harden_three_relays(question, airtime_at_most)

    assert hardened is not thin


def test_finalist_stays_as_it_is_where_more_would_break_the_limit_on_airtime(question):
    thin, hardened, worst = harden_three_relays(question, (3.5 + ELSEWHERE) * AIRTIME_PER_RELAY)

    assert hardened is thin
    assert worst is not None
    assert worst.excess > 0.0
