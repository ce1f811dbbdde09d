"""Giving a candidate what it lacks to bear the troubles that a twin can't see: relays, sends, hops.

Each step takes the cheapest of the additions after which no trouble costs too much, or else the one that leaves the
least; see `meshtwin.recipes.doubts`. Additions alone: a candidate that has enough stays as it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import TTL_MAX
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.recipes.building import Design, complete_configuration, design_of, kept_relays, relay_capable
from meshtwin.recipes.doubts import NO_TROUBLE, Doubts, Fall
from meshtwin.recipes.moves import MOST_COUNT
from meshtwin.recipes.values import Candidate, Question

__all__ = ["Hardened", "as_it_is", "describe_additions", "harden"]

# Additions. Of 85 proposals none took more than 4 (seeds 33,000 to 33,099); what needs twice that costs more than it
# saves.
STEPS_MAX: Final = 8
RELAYS_TRIED: Final = 8  # nodes that may stand in, per step
TROUBLES_TRIED: Final = 3  # of the worst, while additions are compared


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardened:
    """A candidate, and the worst that weaker links or a dead relay do to it; None: no model could say.

    ``lacked``: what was more than is allowed before it got its additions; None: it got none.
    """

    candidate: Candidate
    worst: Fall | None
    lacked: Fall | None = None

    @property
    def is_tolerable(self) -> bool:
        """Whether no trouble costs more than is allowed."""
        return self.worst is None or self.worst.excess <= 0.0


def harden(doubts: Doubts, candidate: Candidate) -> Hardened:
    """The candidate with as much more as it needs; as it is where nothing helps or it follows no single rule.

    Ends when `Doubts.is_exhausted`, with the best so far.
    """
    question = doubts.question
    base = question.snapshot.configuration
    falls = doubts.find(base.overlaid(candidate.configuration))
    lacked = falls[0] if falls else None
    first = design = design_of(question, candidate.configuration)
    for _ in range(STEPS_MAX):
        if design is None or not falls or falls[0].excess <= 0.0 or doubts.is_exhausted:
            break
        step = _best_step(doubts, design, falls)
        if step is None:
            break
        design, falls = step
    worst = next((fall for fall in falls if fall.trouble != NO_TROUBLE), None)
    if design is None or first is None or design == first:
        return Hardened(candidate=candidate, worst=worst)
    hardened = Candidate(
        configuration=complete_configuration(question, design),
        recipe=candidate.recipe,
        reason=f"{design}: {describe_additions(first, design)}, to bear a dead relay and weaker links",
    )
    return Hardened(candidate=hardened, worst=worst, lacked=lacked)


def as_it_is(doubts: Doubts, candidate: Candidate) -> Hardened:
    """The candidate without additions, and the worst that troubles do to it."""
    falls = doubts.find(doubts.question.snapshot.configuration.overlaid(candidate.configuration))
    return Hardened(candidate=candidate, worst=next((f for f in falls if f.trouble != NO_TROUBLE), None))


def _best_step(doubts: Doubts, design: Design, falls: Sequence[Fall]) -> tuple[Design, list[Fall]] | None:
    """The best addition with the falls that it leaves; None: none makes the worst fall smaller."""
    question = doubts.question
    base = question.snapshot.configuration
    troubles = list(dict.fromkeys(fall.trouble for fall in falls if fall.excess > 0.0))[:TROUBLES_TRIED]
    tried = list(_additions(question, design, falls[0]))
    wholes = [base.overlaid(complete_configuration(question, d)) for d in tried]
    found = doubts.find_each(wholes, troubles)
    order = sorted(
        (i for i, left in enumerate(found) if left),
        key=lambda i: (max(found[i][0].excess, 0.0), _sends(tried[i]), i),
    )
    if not order or found[order[0]][0].excess >= falls[0].excess:
        return None
    best = order[0]
    return tried[best], doubts.find(wholes[best])


def _additions(question: Question, design: Design, worst: Fall) -> Iterator[Design]:
    for address in _stand_ins(question, design, worst):
        yield replace(design, relays=design.relays | {address})
    relay, network = design.relay_retransmit, design.network_transmit
    if relay.count < MOST_COUNT:
        yield replace(design, relay_retransmit=replace(relay, count=relay.count + 1))
    if network.count < MOST_COUNT:
        yield replace(design, network_transmit=replace(network, count=network.count + 1))
    if design.ttl < TTL_MAX:
        yield replace(design, ttl=design.ttl + 1)


def _stand_ins(question: Question, design: Design, worst: Fall) -> list[UnicastAddress]:
    """Nodes that could do the work of the dead relay, or bring the flow to its members, the likeliest first."""
    flow = next(f for f in question.snapshot.flows if f.name == worst.flow)
    sending = (design.relays | kept_relays(question) | {flow.source}) - {worst.trouble.dead}
    delivery = _deliveries(question.snapshot)
    around = {b for (a, b), p in delivery.items() if a == worst.trouble.dead} or set(question.members(flow))
    hears: dict[UnicastAddress, float] = {}
    reaches: dict[UnicastAddress, float] = {}
    for (a, b), p in delivery.items():
        if a in sending:
            hears[b] = max(hears.get(b, 0.0), p)
        if b in around:
            reaches[a] = reaches.get(a, 0.0) + p
    others = relay_capable(question) - design.relays
    return sorted(others, key=lambda a: (-hears.get(a, 0.0) * reaches.get(a, 0.0), a))[:RELAYS_TRIED]


def _deliveries(snapshot: Snapshot) -> dict[tuple[UnicastAddress, UnicastAddress], float]:
    return {(link.source, link.target): link.delivery_mean for link in snapshot.links}


def _sends(design: Design) -> int:
    """Copies of one flood, roughly: what an addition costs."""
    return len(design.relays) * design.relay_retransmit.transmissions + design.network_transmit.transmissions


def describe_additions(first: Design, last: Design) -> str:
    """What the second has more than the first, in words."""
    relays = len(last.relays) - len(first.relays)
    sends = last.relay_retransmit.count + last.network_transmit.count
    sends -= first.relay_retransmit.count + first.network_transmit.count
    hops = last.ttl - first.ttl
    parts = [(relays, "relay"), (sends, "send"), (hops, "hop")]
    told = (f"{number} {what}{'' if number == 1 else 's'} more" for number, what in parts if number)
    return ", ".join(told) or "as proposed"
