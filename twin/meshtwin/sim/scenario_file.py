"""Scenario files: YAML parsed at the door into a `Scenario`; the format is `ScenarioDocument`'s."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, is_unicast, parse_address, parse_range, parse_unicast
from meshtwin.mesh.nodes import Position
from meshtwin.sim.files import read_bounded
from meshtwin.sim.halo import cut_region
from meshtwin.sim.profiles import StackProfile, get_profile
from meshtwin.sim.scenario import NodeChange, Scenario, ScenarioBackground, ScenarioFlow, ScenarioNode
from meshtwin.sim.scenario_document import (
    FlowDocument,
    NodeDocument,
    ScenarioDocument,
    SettingsDocument,
    TransmitDocument,
)
from meshtwin.sim.scenario_faults import ALL_NODES, ALL_RELAYS, check_document, check_low_power
from meshtwin.sim.scenario_features import ExternalInterference, LowPower
from meshtwin.sim.scenario_links import Neighbourhood, RadioPlan, build_links, check_length, check_memory
from meshtwin.sim.scenario_places import DocumentFault, at_path
from meshtwin.sim.scenario_yaml import describe, format_path, parse_yaml

__all__ = ["MEMORY_MAX_BYTES", "parse_scenario", "read_scenario", "to_scenario"]

FILE_MAX_BYTES: Final = 64 * 2**20
MEMORY_MAX_BYTES: Final = 2 * 2**30  # of one replication, by estimate


def read_scenario(path: Path, *, memory_max_bytes: int = MEMORY_MAX_BYTES) -> Scenario:
    """The scenario in a file; raises `InvalidInput` with place and reason."""
    try:
        text = read_bounded(path, FILE_MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"can't be read: {error}", place=str(path)) from error
    return parse_scenario(text, place=str(path), memory_max_bytes=memory_max_bytes)


def parse_scenario(text: str, place: str = "scenario", *, memory_max_bytes: int = MEMORY_MAX_BYTES) -> Scenario:
    """The scenario that YAML ``text`` says; raises `InvalidInput` naming the first wrong field, with its line."""
    plain = parse_yaml(text, place)
    try:
        document = ScenarioDocument.model_validate(plain.value)
    except ValidationError as error:
        raise describe(error.errors(include_url=False), plain, place, ScenarioDocument) from error
    try:
        return to_scenario(document, place, memory_max_bytes=memory_max_bytes)
    except DocumentFault as fault:
        where = f"{place}: line {plain.line_of(fault.path)}: {format_path(fault.path)}"
        raise InvalidInput(fault.message, reason=fault.reason, place=where) from fault


def to_scenario(document: ScenarioDocument, place: str, *, memory_max_bytes: int = MEMORY_MAX_BYTES) -> Scenario:
    """The value behind a checked document."""
    try:
        scenario = _to_whole(document, memory_max_bytes)
        if document.region is None:
            return scenario
        region = _expand(document.region.nodes)
        with at_path("region"):
            return cut_region(scenario, region, halo_hops=document.region.halo_hops).scenario
    except DocumentFault:
        raise
    except InvalidInput as error:
        where = f"{place}: {error.place}" if error.place else place
        raise InvalidInput(error.message, reason=error.reason, place=where) from error


def _to_whole(document: ScenarioDocument, memory_max_bytes: int) -> Scenario:
    with at_path("profile"):
        profile = get_profile(document.profile)
    check_document(document, profile)
    nodes = tuple(_to_node(i, node, document.defaults, profile) for i, node in enumerate(document.nodes))
    subscribed = _subscriptions(document, nodes)
    flows = tuple(_to_flow(i, flow, subscribed) for i, flow in enumerate(document.flows))
    check_memory(document, [len(flow.members) for flow in flows], memory_max_bytes, "nodes")
    check_length(document)
    positions = {
        parse_unicast(node.address): Position(*node.position_m)
        for node in document.nodes
        if node.position_m is not None
    }
    links = build_links(document, positions)
    check_low_power(document, links, flows)
    return Scenario(
        name=document.name,
        nodes=nodes,
        links=links,
        flows=flows,
        background=tuple(_to_backgrounds(document)),
        profile=profile,
        capture=document.reception == "packetErrorRatio",
        duration_s=document.duration_seconds,
        interference=tuple(_to_interferences(document)),
        start_of_day_s=document.start_of_day * 60.0 % 86_400.0,
        changes=tuple(_to_changes(document, positions)),
    )


def _expand(written: Sequence[str]) -> tuple[UnicastAddress, ...]:
    """The nodes behind addresses and ranges, each once; `check_document` has seen that all exist."""
    found: dict[UnicastAddress, None] = {}
    for text in written:
        first, last = parse_range(text)
        found.update(dict.fromkeys(map(UnicastAddress, range(first, last + 1))))
    return tuple(found)


def _subscriptions(document: ScenarioDocument, nodes: Sequence[ScenarioNode]) -> dict[int, list[UnicastAddress]]:
    """The nodes that listen to each group, the fixed ones that are modelled among them, in the order of the file."""
    found: dict[int, list[UnicastAddress]] = {
        ALL_NODES: [node.address for node in nodes],
        ALL_RELAYS: [node.address for node in nodes if node.relay],
    }
    for node in document.nodes:
        address = parse_unicast(node.address)
        for group in dict.fromkeys(map(parse_address, node.groups)):
            found.setdefault(int(group), []).append(address)
    return found


def _to_node(index: int, node: NodeDocument, defaults: SettingsDocument, profile: StackProfile) -> ScenarioNode:
    relay = defaults.relay if node.relay is None else node.relay
    ttl = defaults.ttl if node.ttl is None else node.ttl
    entries = defaults.replay_list_entries if node.replay_list_entries is None else node.replay_list_entries
    fallback = TransmitDocument()
    with at_path("nodes", index):
        return ScenarioNode(
            address=parse_unicast(node.address),
            relay=node.low_power is None if relay is None else relay,
            ttl=7 if ttl is None else ttl,
            network_transmit=(node.network_transmit or defaults.network_transmit or fallback).to_value(),
            relay_retransmit=(node.relay_retransmit or defaults.relay_retransmit or fallback).to_value(),
            external_pdus_per_s=node.external_pdus_per_second,
            is_on=node.powered_on,
            replay_list_size=profile.replay_list_size if entries == "profile" else entries,
            replay_list_used=node.replay_list_used,
            low_power=_to_low_power(index, node),
            friend_queue_size=node.friend_queue_entries,
            position=None if node.position_m is None else Position(*node.position_m),
        )


def _to_low_power(index: int, node: NodeDocument) -> LowPower | None:
    low = node.low_power
    if low is None:
        return None
    with at_path("nodes", index, "lowPower", "pollSeconds"):  # the shape has checked the others, but they bound it
        return LowPower(
            friend=parse_unicast(low.friend),
            poll_interval_s=low.poll_seconds,
            receive_delay_s=low.receive_delay_milliseconds / 1000.0,
            receive_window_s=low.receive_window_milliseconds / 1000.0,
            poll_retries=low.poll_retries,
        )


def _to_flow(index: int, flow: FlowDocument, subscribed: Mapping[int, list[UnicastAddress]]) -> ScenarioFlow:
    source, destination = parse_unicast(flow.source), parse_address(flow.destination)
    if is_unicast(destination):
        members: tuple[UnicastAddress, ...] = (UnicastAddress(destination),)
    else:
        members = tuple(a for a in subscribed.get(int(destination), ()) if a != source)
    if not members:
        raise DocumentFault(f"{flow.destination} is for nobody but the source", ("flows", index, "destination"))
    with at_path("flows", index):
        return ScenarioFlow(
            name=flow.name,
            source=source,
            members=members,
            count=flow.count,
            period_s=flow.period_seconds,
            start_s=flow.start_seconds,
            deadline_ms=flow.deadline_milliseconds,
            spread_in_period=flow.at_drawn_times,
            pdu_bytes=flow.pdu_bytes,
            response_pdu_bytes=flow.response_pdu_bytes,
            ttl=flow.ttl,
            segmentation=flow.to_segmentation(),
            relays=None if flow.relays is None else frozenset(_expand(flow.relays)),
            publish_retransmit=flow.to_publish_retransmit(),
            retries=flow.to_retries(),
        )


def _to_backgrounds(document: ScenarioDocument) -> Iterator[ScenarioBackground]:
    for told in document.background:
        yield ScenarioBackground(
            name=told.name,
            sources=_expand(told.sources),
            rate_per_s=told.rate_per_second,
            ttl=told.ttl,
            pdu_bytes=told.pdu_bytes,
            destinations=_expand(told.destinations or ()),
        )


def _to_interferences(document: ScenarioDocument) -> Iterator[ExternalInterference]:
    for told in document.interference:
        yield ExternalInterference(
            busy_ratio=told.busy_ratio,
            burst_s=told.burst_microseconds * 1e-6,
            channel=None if told.channel is None else told.channel - 37,
            nodes=None if told.nodes is None else _expand(told.nodes),
            from_s=told.from_time * 60.0,
            until_s=told.until_time * 60.0,
        )


def _to_changes(document: ScenarioDocument, positions: Mapping[UnicastAddress, Position]) -> Iterator[NodeChange]:
    """Changes in the order of time; each move sees where the others are by then."""
    now: dict[UnicastAddress, Position] = dict(positions)
    moves: Counter[UnicastAddress] = Counter()
    plan = None if document.radio is None else RadioPlan(document.radio)
    around = None if document.radio is None else Neighbourhood(document)
    for told in sorted(document.changes, key=lambda change: change.at_seconds):
        node, links = parse_unicast(told.node), None
        if told.move_to_m is not None and plan is not None and around is not None:
            if node not in now:
                raise InvalidInput(f"unknown node {told.node}", place="changes")
            moves[node] += 1
            now[node] = Position(*told.move_to_m)
            around.move(node, now[node])
            links = tuple(plan.links_of(node, {a: now[a] for a in around.of(node)}, moves))
        yield NodeChange(at_s=told.at_seconds, node=node, is_on=told.powered_on, links=links)
