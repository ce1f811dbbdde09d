"""What flows and backgrounds originate: the messages of a run before anything happens to them.

Pure: time and nodes come in. Start times are keyed draws, the same whatever else happens (those of backgrounds are
in `meshtwin.sim.murmurs`).
"""

from collections.abc import Mapping, Sequence
from math import ceil

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.radio.reception import compute_airtime_ns
from meshtwin.sim.draws import draw_below_ns, extend_key, make_key
from meshtwin.sim.elements.node import NodeElements
from meshtwin.sim.packets import Instructions, Packet, Properties
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow
from meshtwin.units import s_to_ns

__all__ = [
    "BackgroundTraffic",
    "FlowTraffic",
    "compute_mean_rate_per_s",
    "compute_pdu_airtime_ns",
    "count_due",
    "find_end_ns",
    "find_run_s",
    "is_plain_flow",
    "make_response",
    "network_pdu_bytes",
    "places_of_senders",
]

Index = Mapping[UnicastAddress, int]


def compute_pdu_airtime_ns(profile: StackProfile, pdu_bytes: int) -> int:
    """Time on the air of one PDU: as its size asks, or as long as all are in this stack."""
    return profile.pdu_airtime_ns or compute_airtime_ns(pdu_bytes)


def find_end_ns(scenario: Scenario) -> int:
    """When the last period of the last flow is over; backgrounds and polls end with it."""
    return s_to_ns(max((f.start_s + f.count * f.period_s for f in scenario.flows), default=0.0))


def find_run_s(scenario: Scenario) -> float:
    """How long a run is, in seconds: until the last period of the last flow is over, or less by its duration."""
    end_s = find_end_ns(scenario) * 1e-9
    return end_s if scenario.duration_s is None else min(end_s, scenario.duration_s)


def count_due(flow: ScenarioFlow, run_s: float) -> float:
    """How many of the flow's messages fall due in a run of that length; where they have a spread, the mean number."""
    spread_s = flow.period_s if flow.spread_in_period else flow.spread_s
    periods = (run_s - flow.start_s) / flow.period_s
    due = periods + 0.5 - spread_s / flow.period_s / 2.0 if spread_s else ceil(periods)
    return min(float(flow.count), max(0.0, due))


def compute_mean_rate_per_s(flow: ScenarioFlow, run_s: float) -> float:
    """Messages per second over a run: a flow that sends for a part of it is a load for that part alone.

    A flow with a lasting rate has that: the run is a sample of it.
    """
    if flow.rate_per_s is not None:
        return flow.rate_per_s
    return count_due(flow, run_s) / run_s if run_s > 0.0 else 0.0


def network_pdu_bytes(flow: ScenarioFlow) -> tuple[int, ...]:
    """Sizes of the network PDUs of one message of the flow."""
    return (flow.pdu_bytes,) if flow.segmentation is None else flow.segmentation.segment_pdu_bytes


def is_plain_flow(flow: ScenarioFlow) -> bool:
    """Whether each message of the flow is one PDU, sent once."""
    return len(network_pdu_bytes(flow)) == 1 and flow.publish_retransmit is None and flow.retries is None


def places_of_senders(scenario: Scenario) -> list[int]:
    """Places of the flows that send: they have messages, and a source that is on or is switched on meanwhile."""
    on = {node.address for node in scenario.nodes if node.is_on}
    on |= {change.node for change in scenario.changes if change.is_on}
    return [place for place, flow in enumerate(scenario.flows) if flow.count and flow.source in on]


class FlowTraffic:
    """The messages of one flow."""

    def __init__(
        self, scenario: Scenario, flow_index: int, nodes: Sequence[NodeElements], index: Index, root_key: int
    ) -> None:
        flow = scenario.flows[flow_index]
        self.flow = flow
        self.flow_index = flow_index
        self.node = nodes[index[flow.source]]
        self.is_plain = is_plain_flow(flow)
        self._is_traced = scenario.is_traced
        self._key = make_key(root_key, "press", flow.name)
        self._period_ns, self._start_ns = s_to_ns(flow.period_s), s_to_ns(flow.start_s)
        self._spread_ns = self._period_ns if flow.spread_in_period else s_to_ns(flow.spread_s)
        self._members = frozenset(index[a] for a in flow.members if a != flow.source)
        self._relays = None if flow.relays is None else frozenset(index[a] for a in flow.relays)
        self._pdu_bytes = network_pdu_bytes(flow)[0]
        self._airtime_ns = compute_pdu_airtime_ns(scenario.profile, self._pdu_bytes)

    def begin_ns(self, number: int) -> int:
        """When message ``number`` is due."""
        return self._start_ns + number * self._period_ns + draw_below_ns(self._key, number, self._spread_ns)

    def make(self, number: int, now_ns: int, state_index: int) -> Packet:
        """Message ``number``, originated now."""
        flow, node = self.flow, self.node
        properties = Properties(
            key=extend_key(self._key, number),
            flow_index=self.flow_index,
            number=number,
            source_index=node.index,
            member_indices=self._members,
            initial_ttl=node.settings.ttl if flow.ttl is None else flow.ttl,
            pdu_bytes=self._pdu_bytes,
            airtime_ns=self._airtime_ns,
            started_ns=now_ns,
            sequence=node.next_sequence(),
            state_index=state_index,
        )
        instructions = Instructions(
            response_pdu_bytes=flow.response_pdu_bytes, is_traced=self._is_traced, relays=self._relays
        )
        return Packet(properties, instructions)


class BackgroundTraffic:
    """What the messages of one background have in common; background 0 is flow -1."""

    def __init__(self, scenario: Scenario, place: int) -> None:
        self._background: ScenarioBackground = scenario.background[place]
        self._flow_index = -1 - place
        self._is_traced = scenario.is_traced
        self._airtime_ns = compute_pdu_airtime_ns(scenario.profile, self._background.pdu_bytes)

    def make(self, key: int, number: int, node: NodeElements, destination_index: int, now_ns: int) -> Packet:
        """Message ``number`` of ``node``, originated now."""
        background = self._background
        properties = Properties(
            key=key,
            flow_index=self._flow_index,
            number=number,
            source_index=node.index,
            member_indices=frozenset(),
            initial_ttl=node.settings.ttl if background.ttl is None else background.ttl,
            pdu_bytes=background.pdu_bytes,
            airtime_ns=self._airtime_ns,
            started_ns=now_ns,
            destination_index=destination_index,
        )
        return Packet(properties, Instructions(is_traced=self._is_traced))


def make_response(profile: StackProfile, node: NodeElements, request: Packet, packet: Packet, now_ns: int) -> Packet:
    """What ``node`` answers now to ``request``, which came in ``packet``; it goes to the request's source."""
    asked, told = request.properties, request.instructions
    size = told.response_pdu_bytes or 0
    properties = Properties(
        key=extend_key(packet.properties.key, node.index),
        flow_index=asked.flow_index,
        number=asked.number,
        source_index=node.index,
        member_indices=frozenset((asked.source_index,)),
        initial_ttl=node.settings.ttl,
        pdu_bytes=size,
        airtime_ns=compute_pdu_airtime_ns(profile, size),
        started_ns=now_ns,
        sequence=node.next_sequence(),
    )
    return Packet(properties, Instructions(answers=request, is_traced=told.is_traced, relays=told.relays))
