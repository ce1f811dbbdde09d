"""Recipe: the fewest relays that suffice."""

from collections.abc import Iterable, Mapping
from itertools import product
from typing import ClassVar, Final

from meshtwin.graph.backbone import Backbone, BackboneQuestion, relay_backbone
from meshtwin.graph.links import configured_relays
from meshtwin.graph.robust_backbone import robust_backbone
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.recipes.building import (
    Design,
    complete_configuration,
    kept_relays,
    relay_capable,
    segment_graph,
    sufficient_ttl,
)
from meshtwin.recipes.parameters import BUILT_IN_PARAMETERS, ParameterBounds
from meshtwin.recipes.values import Candidate, Question, Trial
from meshtwin.wording import counted

__all__ = ["FewestSufficientRelays"]

# Which links count, within the sends of a relay: from choosy (short hops, many relays) to bold.
LINK_QUALITIES: Final = (0.95, 0.85, 0.7, 0.5)
# Counts (network transmit, relay retransmit) to try each relay set with; the latency recipe looks around
# them. Originated messages get more sends than relayed ones: a flood has one source and many relays.
COUNTS: Final = ((2, 1), (3, 2))
COUNTED_TRANSMISSIONS: Final = 2  # sends of a relay within which a link must deliver to count
INTERVAL_STEPS: Final = 1  # 20 ms, the shortest that most stacks advertise by default


class FewestSufficientRelays:
    """Proposes relay backbones of rising redundancy, so that the rest of the nodes can be silent."""

    name: ClassVar[str] = "fewest-sufficient-relays"
    parameters: ClassVar[Mapping[str, ParameterBounds]] = BUILT_IN_PARAMETERS[name]

    def propose(self, trial: Trial) -> Iterable[Candidate]:
        """See `meshtwin.recipes.values.Recipe.propose`; incomplete backbones come late, the relays in force last."""
        question = trial.question
        seen: set[frozenset[UnicastAddress]] = set()
        late: list[Candidate] = []
        connected = trial.parameters["connected"]
        folds = range(1, trial.parameters["mostRelaysHeard"] + 1)
        for fold, quality in product(folds, LINK_QUALITIES):
            backbone = _backbone(question, fold, quality, connected)
            if backbone.relays in seen:
                continue
            seen.add(backbone.relays)
            candidates = _with_repeats(trial, backbone.relays, _describe(backbone, fold, quality, connected))
            if backbone.complete:
                yield from candidates
            else:
                late += candidates
        yield from late
        if (in_force := _relays_in_force(question)) not in seen:
            yield from _with_repeats(trial, in_force, "the relays in force")


def _relays_in_force(question: Question) -> frozenset[UnicastAddress]:
    """What is left where every smaller set takes a spare path away: fewer sends and a smaller TTL may still do."""
    return configured_relays(question.snapshot, question.snapshot.configuration) & set(question.segment.addresses)


def _backbone(question: Question, fold: int, quality: float, connected: int) -> Backbone:
    """A backbone that hangs together when any ``connected`` - 1 relays fail, as far as the links allow."""
    transmissions = COUNTED_TRANSMISSIONS
    graph = segment_graph(question, transmissions=transmissions, threshold=quality)
    asked = BackboneQuestion(
        allowed=relay_capable(question),
        forced=kept_relays(question),
        current=configured_relays(question.snapshot, question.snapshot.configuration),
        fold=fold,
    )
    if connected == 1:
        return relay_backbone(graph, asked)
    robust = robust_backbone(graph, asked, connectivity=connected)
    is_whole = robust.connectivity >= connected
    return Backbone(relays=robust.relays, short_of=robust.short_of, pieces=1 if is_whole else 2)  # 2: not complete


def _describe(backbone: Backbone, fold: int, quality: float, connected: int) -> str:
    short = counted(len(backbone.short_of), "node")
    gaps = "" if backbone.complete else f"; {short} with fewer, {counted(backbone.pieces, 'piece')}"
    if connected > 1:
        whole = "" if backbone.pieces <= 1 else ", as far as the links allow"
        heard = f", {short} with fewer" if backbone.short_of else ""
        fail = "one of them fails" if connected == 2 else f"{connected - 1} of them fail"
        gaps = f"; they hang together when any {fail}{whole}{heard}"
    return f"every node hears {fold} of the relays over links that deliver {quality:.0%}{gaps}"


def _with_repeats(trial: Trial, relays: frozenset[UnicastAddress], why: str) -> Iterable[Candidate]:
    question = trial.question
    ttl = sufficient_ttl(
        question,
        relays,
        transmissions=COUNTED_TRANSMISSIONS,
        margin_hops=trial.parameters["ttlMargin"],
    )
    for network, relay in COUNTS:
        design = Design(
            relays=relays,
            network_transmit=Transmit(count=network, interval_steps=INTERVAL_STEPS),
            relay_retransmit=Transmit(count=relay, interval_steps=INTERVAL_STEPS),
            ttl=ttl,
        )
        yield Candidate(
            configuration=complete_configuration(question, design),
            recipe=FewestSufficientRelays.name,
            reason=f"{design}: {why}",
        )
