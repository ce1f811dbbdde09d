"""A scenario as arrays: first what all replications share, then one replication's keys, phases and deliveries."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.radio.reception import compute_bit_error_ratio
from meshtwin.sim.array_draws import Keys, draw_all, extend_all
from meshtwin.sim.compiled import layout
from meshtwin.sim.compiled.layout import (
    INDEX_SHIFT,
    JOB_FREE,
    QUEUED,
    RANK_SHIFT,
    SINR_LEAST_TENTHS,
    SINR_MOST_TENTHS,
    SLOT_FREE,
    Records,
    State,
)
from meshtwin.sim.compiled.prepare_flows import prepare_backgrounds, prepare_flows
from meshtwin.sim.compiled.prepare_friends import befriend, prepare_friendships
from meshtwin.sim.compiled.wiring import Wiring, build_links, keep_wiring
from meshtwin.sim.draws import draw_below_ns, make_key
from meshtwin.sim.identity import Identity
from meshtwin.sim.interference import build_schedule
from meshtwin.sim.murmurs import schedule_murmurs
from meshtwin.sim.ordering import Rank
from meshtwin.sim.parts import ACKNOWLEDGMENT_PDU_BYTES, ONCE, POLL_PDU_BYTES, UPDATE_PDU_BYTES
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.states import PresetStates
from meshtwin.sim.traffic import compute_pdu_airtime_ns
from meshtwin.units import s_to_ns

__all__ = ["Prepared", "build_state", "prepare"]

LONG_AGO_NS: Final = -(1 << 60)
WITHOUT_BOUND: Final = 1 << 60
FEW: Final = 256  # of what grows, at the start
Indices = npt.NDArray[np.int32]
Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What all replications of ``scenario`` share."""

    scenario: Scenario
    profile: Records
    nodes: Records
    addresses: Keys
    wiring: Wiring
    flows: Records
    members: Indices
    backgrounds: Records
    relays: Indices
    friendships: Records
    bursts: Records
    burst_from: Indices
    stop_ns: int


def prepare(scenario: Scenario) -> Prepared:
    """The arrays of ``scenario``; kept for the last few scenarios, since replications ask again and again."""
    return _prepare_kept(Identity(scenario))


@lru_cache(maxsize=8)
def _prepare_kept(identity: Identity) -> Prepared:
    scenario: Scenario = identity.value
    return _prepare(scenario)


def _prepare(scenario: Scenario) -> Prepared:
    index = {node.address: i for i, node in enumerate(scenario.nodes)}
    flows, members, relays = prepare_flows(scenario, index)
    bursts, burst_from = _prepare_bursts(scenario)
    backgrounds = prepare_backgrounds(scenario)
    return Prepared(
        scenario=scenario,
        profile=_prepare_profile(scenario),
        nodes=_prepare_nodes(scenario),
        addresses=np.array([node.address for node in scenario.nodes], dtype=np.uint64),
        wiring=keep_wiring(
            Identity(scenario.links),
            tuple(node.address for node in scenario.nodes),
            frozenset(node.address for node in scenario.nodes if node.is_on),
            scenario.profile,
        ),
        flows=flows,
        members=members,
        backgrounds=backgrounds,
        relays=relays,
        friendships=prepare_friendships(scenario, index),
        bursts=bursts,
        burst_from=burst_from,
        stop_ns=np.iinfo(np.int64).max if scenario.duration_s is None else s_to_ns(scenario.duration_s),
    )


def _prepare_profile(scenario: Scenario) -> Records:
    profile = scenario.profile
    own, first = profile.own_delay_ns, profile.pdu_first_ns or (0, 0)
    values = {
        "own_least_ns": own[0] if own else 0,
        "own_jitter_ns": own[1] if own else 0,
        "has_own_delay": own is not None,
        "response_least_ns": profile.response_ns[0],
        "response_jitter_ns": profile.response_ns[1],
        "group_response_least_ns": profile.response_to_group_ns[0],
        "group_response_jitter_ns": profile.response_to_group_ns[1],
        "buffer": profile.relay_buffer,
        "own_buffer": WITHOUT_BOUND if profile.originated_buffer is None else profile.originated_buffer,
        "cache_size": profile.message_cache,
        "scan_restarts": profile.scan_restarts_after_event,
        "shares_sets": profile.originated_sets == 0,
        "captures": scenario.capture,
        "capture_db": 0.0 if profile.capture_db is None else profile.capture_db,
        "has_capture_db": profile.capture_db is not None,
        "is_spaced": profile.pdu_first_ns is not None,
        "pdu_first_ns": first[0],
        "pdu_first_jitter_ns": first[1],
        "pdu_next_ns": profile.pdu_next_ns[0],
        "pdu_next_jitter_ns": profile.pdu_next_ns[1],
        "start_of_day_ns": s_to_ns(scenario.start_of_day_s),
        "has_bursts": bool(scenario.interference),
        "presets_scan": not (profile.scan_in_phase or profile.scan_restarts_after_event),
        # a scanner may restart, or a window close, while a PDU is in the air
        "listens_late": profile.scan_restarts_after_event or any(n.low_power is not None for n in scenario.nodes),
        "points": 0,
        "is_traced": scenario.is_traced,
        "segment_interval_ns": profile.segmentation.segment_interval_ns,
        "discard_ns": profile.segmentation.discard_ns,
        "acks_last_segment": profile.segmentation.acks_last_segment,
        "futile_resends": profile.segmentation.retransmissions_without_progress,
        "members_most": max((len(flow.members) for flow in scenario.flows), default=0),
        "poll_airtime_ns": compute_pdu_airtime_ns(profile, POLL_PDU_BYTES),
        "update_airtime_ns": compute_pdu_airtime_ns(profile, UPDATE_PDU_BYTES),
        "acknowledgment_airtime_ns": compute_pdu_airtime_ns(profile, ACKNOWLEDGMENT_PDU_BYTES),
        "once_interval_ns": s_to_ns(ONCE.interval_s),
    }
    array = np.zeros(1, dtype=layout.PROFILE)
    for name in layout.PROFILE.names or ():
        array[name] = values[name] if name in values else getattr(profile, name)
    return array


def _prepare_nodes(scenario: Scenario) -> Records:
    profile, nodes = scenario.profile, scenario.nodes
    array = np.zeros(len(nodes), dtype=layout.NODE)
    array["radio_from_ns"] = array["radio_until_ns"] = array["radio_previous_ns"] = -1
    array["own_interval_ns"] = [s_to_ns(node.network_transmit.interval_s) for node in nodes]
    array["relay_interval_ns"] = [s_to_ns(node.relay_retransmit.interval_s) for node in nodes]
    array["own_transmissions"] = [node.network_transmit.transmissions for node in nodes]
    array["relay_transmissions"] = [node.relay_retransmit.transmissions for node in nodes]
    array["external_pdus_per_s"] = [node.external_pdus_per_s for node in nodes]
    array["ttl"] = [node.ttl for node in nodes]
    array["relay"] = [node.relay for node in nodes]
    lists = [node.replay_list_size is not None for node in nodes]
    array["list_row"] = np.where(lists, np.cumsum(lists) - 1, -1)
    array["list_free"] = [(node.replay_list_size or 0) - node.replay_list_used for node in nodes]
    array["is_on"] = [node.is_on for node in nodes]
    array["free_own"], array["free_relay"] = profile.originated_sets, profile.relay_sets
    for name in ("own_head", "own_tail", "relay_head", "relay_tail", "releasing", "luck_message", "luck_started_ns"):
        array[name] = -1
    befriend(scenario, array)
    return array


def _prepare_bursts(scenario: Scenario) -> tuple[Records, Indices]:
    """Bursts by node and channel, as `BurstSchedule` has them."""
    schedule = build_schedule(scenario)
    if schedule is None:
        return np.zeros(0, dtype=layout.BURST), np.zeros(0, dtype=np.int32)
    places = [(node, channel) for node in range(len(scenario.nodes)) for channel in range(3)]
    entries = [schedule.slots.get(place, ()) for place in places]
    rows = np.array([entry for group in entries for entry in group], dtype=layout.BURST)
    return rows, np.cumsum([0, *map(len, entries)]).astype(np.int32)


def _number_watched(scenario: Scenario) -> Indices:
    places = {address: place for place, address in enumerate(scenario.watched)}
    return np.array([places.get(node.address, -1) for node in scenario.nodes], dtype=np.int32)


def _watched_shape(scenario: Scenario) -> tuple[int, int]:
    """Rows for flows, and behind them for polls and background, whose numbers are negative."""
    low_power = sum(node.low_power is not None for node in scenario.nodes)
    return len(scenario.flows) + len(scenario.background) + low_power, len(scenario.watched)


def build_state(prepared: Prepared, root_key: int, states: PresetStates | None = None) -> State:
    """The start of one replication; ``states``: preset states in place of draws."""
    scenario, count = prepared.scenario, len(prepared.nodes)
    nodes = prepared.nodes.copy()
    nodes["key"] = extend_all(make_key(root_key, "send"), prepared.addresses)
    _place_scanners(prepared, nodes, root_key)
    airtimes_ns = _find_airtimes_ns(prepared)
    links, deliveries = build_links(prepared.wiring, prepared.addresses, root_key, nodes, airtimes_ns)
    profile = prepared.profile
    if states is not None:
        profile = profile.copy()
        profile["points"] = states.points
        profile["listens_late"] |= profile["presets_scan"]  # a scanner may be preset while a PDU is in the air
    flows, murmurs = prepared.flows.copy(), schedule_murmurs(scenario, root_key)
    flows["key"] = [make_key(root_key, "press", flow.name) for flow in scenario.flows]
    friendships = prepared.friendships.copy()
    friendships["key"] = [make_key(root_key, "poll", scenario.nodes[i].address) for i in friendships["low_power"]]
    queue = _first_events(scenario, flows, murmurs, friendships)
    counts = np.zeros(layout.COUNTS, dtype=np.int64)
    counts[QUEUED] = counts[layout.ASKED] = len(queue)
    counts[JOB_FREE] = counts[SLOT_FREE] = -1
    answered = sum(f.count * len(f.members) for f in scenario.flows if f.response_pdu_bytes is not None)
    messages = sum(f.count for f in scenario.flows) + answered
    return State(
        profile=profile,
        nodes=nodes,
        links=links,
        airtimes_ns=airtimes_ns,
        deliveries=deliveries,
        heard=prepared.wiring.heard,
        waiting=np.zeros(len(links), dtype=np.int64),
        busy_ns=np.zeros(count, dtype=np.int64),
        watch=_number_watched(scenario),
        watched_ns=np.zeros(_watched_shape(scenario), dtype=np.int64),
        air_ns=np.full(count * 8, LONG_AGO_NS, dtype=np.int64),
        flows=flows,
        backgrounds=prepared.backgrounds,
        murmurs=murmurs,
        members=prepared.members,
        relays=prepared.relays,
        bursts=prepared.bursts,
        burst_from=prepared.burst_from,
        states=np.zeros((0, 0)) if states is None else np.ascontiguousarray(states.table, dtype=np.float64),
        survival=_bit_survival(),
        sendings=np.zeros(FEW, dtype=layout.SENDING),
        receptions=np.zeros(FEW + int(profile["members_most"][0]), dtype=layout.RECEPTION),
        friendships=friendships,
        stored=np.zeros(int(friendships["size"].sum()), dtype=layout.STORED),
        caches=np.zeros(count * scenario.profile.message_cache, dtype=np.int32),
        known=np.zeros((16, count), dtype=np.uint8),
        replay=np.zeros((int(nodes["list_row"].max(initial=-1)) + 1, count), dtype=np.int32),
        slots=np.zeros(16, dtype=layout.SLOT),
        queue=np.concatenate((queue, np.zeros(FEW + 4 * count, dtype=layout.ENTRY))),
        jobs=np.zeros(FEW + 2 * count, dtype=layout.JOB),
        messages=np.zeros(min(messages, 1 << 16) + FEW, dtype=layout.MESSAGE),
        arrivals=np.zeros(min(messages, 1 << 16) + FEW, dtype=layout.ARRIVAL),
        trace=np.zeros(FEW if scenario.is_traced else 0, dtype=layout.TRACE),
        losses=np.zeros(len(layout.CAUSES), dtype=np.int64),
        counts=counts,
    )


def _find_airtimes_ns(prepared: Prepared) -> Integers:
    """Times on the air of all PDUs that the kernel can send: wherever a field of its records holds one, each once."""
    found = {
        int(airtime_ns)
        for array in (prepared.flows, prepared.backgrounds, prepared.profile)
        for name in array.dtype.names or ()
        if name.endswith("airtime_ns")
        for airtime_ns in array[name].tolist()
    }
    return np.array(sorted(airtime_ns for airtime_ns in found if airtime_ns > 0), dtype=np.int64)


def _place_scanners(prepared: Prepared, nodes: Records, root_key: int) -> None:
    profile = prepared.scenario.profile
    if profile.scan_in_phase:
        return
    keys = extend_all(make_key(root_key, "scan"), prepared.addresses)
    nodes["scan_ns"] = -(draw_all(keys, 0) * profile.scan_interval_ns).astype(np.int64)
    nodes["scan_origin_ns"] = nodes["scan_ns"]
    nodes["scan_turn"] = (draw_all(keys, 1) * 3).astype(np.int64)
    nodes["scan_origin_ns"][nodes["friendship"] >= 0] = 0  # of a window


def _first_events(scenario: Scenario, flows: Records, murmurs: Records, friendships: Records) -> Records:
    """First messages of each flow and of all backgrounds, first polls, all changes; a sorted array is a heap."""
    events: list[tuple[int, int, int]] = []

    def add(time_ns: int, rank: Rank, index: int, payload: int) -> None:
        events.append((time_ns, (rank << RANK_SHIFT) | (index << INDEX_SHIFT) | len(events), payload))

    for i, flow in enumerate(flows):
        if flow["count"]:
            start_ns = int(flow["start_ns"]) + draw_below_ns(int(flow["key"]), 0, int(flow["spread_ns"]))
            add(max(start_ns, 0), Rank.PRESS, i, 0)
    place = {node.address: i for i, node in enumerate(scenario.nodes)}
    for i, change in enumerate(scenario.changes):
        add(s_to_ns(change.at_s), Rank.CHANGE, place[change.node], i)
    for friendship in friendships:
        first_ns = draw_below_ns(int(friendship["key"]), 0, int(friendship["interval_ns"]))
        add(first_ns, Rank.TRANSPORT, int(friendship["low_power"]), layout.POLL_AGAIN)
    if len(murmurs):
        add(int(murmurs[0]["time_ns"]), Rank.MURMUR, int(murmurs[0]["background"]), 0)
    return np.array(sorted(events), dtype=layout.ENTRY)


@lru_cache(maxsize=1)
def _bit_survival() -> Floats:
    tenths = range(SINR_LEAST_TENTHS, SINR_MOST_TENTHS + 1)
    return np.array([1.0 - compute_bit_error_ratio(t / 10.0) for t in tenths], dtype=np.float64)
