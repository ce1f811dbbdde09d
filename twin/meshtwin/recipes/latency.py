"""Recipe: repeats, intervals and TTL that bring messages on time."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import ClassVar, Final

from meshtwin.mesh.configuration import TTL_MAX, Transmit
from meshtwin.recipes.building import Design, complete_configuration, design_of
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.values import Candidate, Trial

__all__ = ["EndToEndLatency"]

COUNT_STEPS: Final = (-1, 1)
INTERVAL_CHOICES: Final = (0, 1, 2, 4)  # 10, 20, 30, 50 ms; beyond that a repeat misses a lighting deadline
TTL_STEPS: Final = (-1, 2)
MOST_COUNT: Final = 7  # Mesh Protocol 1.1, 4.2.20


class EndToEndLatency:
    """Varies one setting at a time around the best candidates so far: count, interval, TTL."""

    name: ClassVar[str] = "end-to-end-latency"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`; without a candidate to start from, none."""
        designs = [
            design
            for judged in trial.best[: trial.parameters["aroundBest"]]
            if (design := design_of(trial.question, judged.candidate.configuration)) is not None
        ]
        seen = set(designs)
        left = trial.parameters["most"]
        # One variation of each start in turn: a limit then cuts all starts alike.
        walks = [_variations(design) for design in designs]
        while walks and left:
            for walk in list(walks):
                step = next(walk, None)
                if step is None:
                    walks.remove(walk)
                    continue
                design, reason = step
                if design in seen or not left:
                    continue
                seen.add(design)
                left -= 1
                yield Candidate(
                    configuration=complete_configuration(trial.question, design),
                    recipe=self.name,
                    reason=f"{design}: {reason}",
                )


def _variations(design: Design) -> Iterator[tuple[Design, str]]:
    """Neighbours of a design, the most telling first: repeats, then both intervals, then TTL."""
    network, relay = design.network_transmit, design.relay_retransmit
    for step in COUNT_STEPS:
        if 0 <= network.count + step <= MOST_COUNT:
            changed = replace(network, count=network.count + step)
            yield replace(design, network_transmit=changed), f"{_direction(step)} sends"
        if 0 <= relay.count + step <= MOST_COUNT:
            changed = replace(relay, count=relay.count + step)
            yield replace(design, relay_retransmit=changed), f"{_direction(step)} sends per relay"
    for steps in INTERVAL_CHOICES:
        both = replace(
            design,
            network_transmit=Transmit(count=network.count, interval_steps=steps),
            relay_retransmit=Transmit(count=relay.count, interval_steps=steps),
        )
        yield both, "another interval"
    for step in TTL_STEPS:
        ttl = design.ttl + step
        if 2 <= ttl <= TTL_MAX:
            yield replace(design, ttl=ttl), "another TTL"


def _direction(step: int) -> str:
    return "more" if step > 0 else "fewer"
