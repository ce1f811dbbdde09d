"""Recipe: node-disjoint relay paths, so that one lamp switched off at the wall costs nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from meshtwin.graph.augmentation import augmented_relays
from meshtwin.graph.links import link_graph
from meshtwin.graph.redundancy import articulation_relays
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.recipes.building import (
    USABLE_DELIVERY,
    complete_configuration,
    design_of,
    foreign_relays,
    kept_relays,
    relay_capable,
)
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.values import Candidate, Trial
from meshtwin.wording import counted

__all__ = ["PathRedundancy"]


class PathRedundancy:
    """Adds the fewest relays to the best candidates so that paths from the gateway share none."""

    name: ClassVar[str] = "path-redundancy"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`; without a gateway address, paths from flow sources."""
        question = trial.question
        paths = question.objectives.redundancy_at_least or trial.parameters["paths"]
        sources = _sources(trial)
        around = kept_relays(question) | foreign_relays(question)
        for judged in trial.best[: trial.parameters["aroundBest"]]:
            design = design_of(question, judged.candidate.configuration)
            if design is None:
                continue
            graph = link_graph(
                question.snapshot,
                transmissions=design.relay_retransmit.transmissions,
                threshold=USABLE_DELIVERY,
            )
            relays = design.relays | around
            beyond: set[UnicastAddress] = set()
            for source in sources:
                relays, unserved = augmented_relays(
                    graph,
                    relays,
                    relay_capable(question),
                    source,
                    question.segment.addresses,
                    paths=paths,
                )
                beyond |= unserved
            added = relays - around - design.relays
            if not added:
                continue
            cut = sum(len(articulation_relays(graph, relays, s)) for s in sources)
            missing = f"; {counted(len(beyond), 'node')} can't have them" if beyond else ""
            richer = replace(design, relays=design.relays | added)
            yield Candidate(
                configuration=complete_configuration(question, richer),
                recipe=self.name,
                reason=f"{richer}: {counted(len(added), 'more relay')} for {paths} disjoint paths{missing}; "
                f"{counted(cut, 'articulation relay')} left",
            )


def _sources(trial: Trial) -> tuple[UnicastAddress, ...]:
    gateway = trial.question.segment.gateway_address
    if gateway is not None:
        return (gateway,)
    mine = set(trial.question.segment.addresses)
    return tuple(sorted({f.source for f in trial.question.touching_flows} & mine))
