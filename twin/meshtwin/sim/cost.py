"""What a scenario costs to simulate, and the same scenario made shorter."""

from dataclasses import replace
from math import floor
from typing import Final

from meshtwin.sim.scenario import Scenario, ScenarioFlow
from meshtwin.sim.traffic import compute_mean_rate_per_s, count_due, find_end_ns, find_run_s

__all__ = ["RECEPTIONS_PER_S", "estimate_receptions", "shorten"]

# Receptions a core works off per second, in scenarios of 50 to 1,000 nodes: of use for "seconds, minutes or hours"
# before anything has run, and for nothing finer.
RECEPTIONS_PER_S: Final = {"compiled": 5e6, "reference": 3e4}

ROUNDING: Final = 1e-9  # of a message: a tenth of 40 shall be 4


def estimate_receptions(scenario: Scenario) -> float:
    """PDUs that reach a neighbour in one replication, if every relay relays every message: an upper bound.

    Answers, retries and segments count as often as the flow allows them; what external traffic destroys, too.
    """
    on = {node.address: node for node in scenario.nodes if node.is_on}
    degrees = dict.fromkeys(on, 0)
    for link in scenario.links:
        if link.source in degrees:
            degrees[link.source] += 1
    own = {a: node.network_transmit.transmissions * degrees[a] for a, node in on.items()}
    relayed = {a: node.relay_retransmit.transmissions * degrees[a] for a, node in on.items() if node.relay}
    by_all = float(sum(relayed.values()))
    total = 0.0
    for flow in scenario.flows:
        if flow.source in on:
            ttl = on[flow.source].ttl if flow.ttl is None else flow.ttl
            by_relays = by_all if flow.relays is None else float(sum(relayed.get(a, 0) for a in flow.relays))
            total += flow.count * _messages(flow) * (own[flow.source] + (by_relays if ttl >= 2 else 0.0))
    for background in scenario.background:
        count = background.rate_per_s * find_end_ns(scenario) * 1e-9
        total += count * (by_all + sum(own.values()) / max(1, len(on)))
    return total


def _messages(flow: ScenarioFlow) -> float:
    """PDUs that are flooded for one message of the flow, at most."""
    segments = 1 if flow.segmentation is None else len(flow.segmentation.segment_pdu_bytes)
    repeats = 1 if flow.publish_retransmit is None else 1 + flow.publish_retransmit.count
    tries = 1 if flow.retries is None else 1 + flow.retries.count
    answers = len(flow.members) if flow.response_pdu_bytes is not None else 0
    return float(segments * repeats * tries + answers * tries)


def shorten(scenario: Scenario, share: float) -> Scenario:
    """The scenario with that share of the messages of each flow that fall due, the first ones; one at least.

    Draws belong to message numbers, so these messages meet the luck that they have in the whole scenario, and airtime
    is reckoned with the rates there: a flow that begins late would leave a long silence here.
    """
    run_s = find_run_s(scenario)

    def part(flow: ScenarioFlow) -> ScenarioFlow:
        count = min(flow.count, max(1, floor(count_due(flow, run_s) * share + ROUNDING)))
        return replace(flow, count=count, rate_per_s=compute_mean_rate_per_s(flow, run_s))

    return replace(scenario, flows=tuple(map(part, scenario.flows)))
