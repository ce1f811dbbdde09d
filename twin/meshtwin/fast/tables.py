"""From a scenario to the arrays of the kernel: links with powers, settings, rules of the profile."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from meshtwin.errors import InvalidInput
from meshtwin.fast.arrays import Floats, Ints, Links, Rules, SettingsTable
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.radio.reception import (
    NOISE_FLOOR_DBM,
    compute_airtime_ns,
    compute_bit_error_ratio,
    compute_packet_error_ratio,
    compute_snr_db,
)
from meshtwin.sim.air import link_airtime_ns
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario import Scenario
from meshtwin.units import s_to_ns

__all__ = ["MOST_NODES", "build_links", "build_rules", "build_settings", "dbm_from_delivery", "delivery_from_dbm"]

MOST_NODES: Final = 8_192  # the table of powers takes 256 MiB then
WITHOUT_BOUND: Final = 1 << 60  # messages in a queue
NO_LINK_DBM: Final = -999.0
AUDIBLE_DELIVERY: Final = 0.01  # as in the simulator: a link that delivers less receives nothing
OCCUPYING_DELIVERY: Final = 0.5  # as in the simulator: a node hears the channel in use
REFERENCE_PDU_BYTES: Final = 20  # as in the simulator: size by which a link with a power alone is heard at all
LEAST_DBM: Final = -130.0  # grid of received powers: ends and step
MOST_DBM: Final = -60.0
STEP_DB: Final = 0.01
LEAST_KNOWN_DBM: Final = -106.0  # clamp of radio.reception.compute_rx_power_dbm
MOST_KNOWN_DBM: Final = -90.0


@lru_cache(maxsize=1)
def _delivery_curve() -> tuple[Floats, Floats]:
    powers = np.arange(LEAST_DBM, MOST_DBM, STEP_DB)
    ratios = [1.0 - compute_packet_error_ratio(compute_snr_db(float(p)), REFERENCE_PDU_BYTES) for p in powers]
    return powers, np.asarray(ratios)


@lru_cache(maxsize=1)
def _log_bit_survival() -> Floats:
    """(1201,) log of a bit's survival at -60.0 to +60.0 dB of SINR, never -inf."""
    return np.asarray([math.log1p(-min(compute_bit_error_ratio(t / 10.0), 0.999)) for t in range(-600, 601)])


def delivery_from_dbm(dbm: Floats) -> Floats:
    """Delivery of a single transmission on a quiet channel at each received power; within 1e-4 of the formula."""
    return np.interp(dbm, *_delivery_curve())


def dbm_from_delivery(delivery: Floats) -> Floats:
    """Received power at which a quiet channel delivers that much, clamped as `compute_rx_power_dbm` does."""
    powers, ratios = _delivery_curve()
    known = (powers >= LEAST_KNOWN_DBM) & (powers <= MOST_KNOWN_DBM)
    return np.interp(delivery, ratios[known], powers[known])


def build_rules(profile: StackProfile, capture: bool) -> Rules:
    """The profile as the kernel reads it; every number is an int but the last."""
    by_ratio = profile.capture_db is not None
    own = profile.own_delay_ns
    return Rules(
        processing_ns=int(profile.processing_ns),
        jitter_ns=int(profile.jitter_ns),
        extra_ns=int(profile.originated_extra_ns),
        extra_jitter_ns=int(profile.originated_jitter_ns),
        own_delay_ns=-1 if own is None else int(own[0]),
        own_jitter_ns=0 if own is None else int(own[1]),
        queue_after_delay=int(profile.queue_after_delay),
        first_after_interval=int(profile.first_send_after_interval),
        at_window_end=int(profile.start_at_scan_window_end),
        in_phase=int(profile.scan_in_phase),
        scan_interval_ns=int(profile.scan_interval_ns),
        scan_window_ns=int(profile.scan_window_ns),
        advertising_delay_ns=int(profile.advertising_delay_ns),
        gap_ns=int(profile.channel_gap_ns),
        overhead_ns=int(profile.event_overhead_ns),
        window_ns=int(profile.event_window_ns),
        window_jitter_ns=int(profile.event_window_jitter_ns),
        own_sets=0 if profile.one_queue else int(profile.originated_sets),
        relay_sets=int(profile.relay_sets),
        rests=int(profile.rests_after_last),
        restarts=int(profile.scan_restarts_after_event),
        idle_only=int(profile.delay_when_idle_only),
        hands_over=int(profile.hands_over),
        takes_turns=int(profile.copies_take_turns),
        window_step_ns=int(profile.event_window_step_ns),
        pdu_first_ns=-1 if profile.pdu_first_ns is None else int(profile.pdu_first_ns[0]),
        pdu_first_jitter_ns=0 if profile.pdu_first_ns is None else int(profile.pdu_first_ns[1]),
        pdu_next_ns=int(profile.pdu_next_ns[0]),
        pdu_next_jitter_ns=int(profile.pdu_next_ns[1]),
        sample_ns=int(profile.scan_sample_ns),
        buffer=int(profile.relay_buffer) - (int(profile.relay_sets) if profile.one_queue else 0),
        own_buffer=_own_buffer(profile),
        capture=(2 if by_ratio else 1) if capture else (3 if profile.scan_sample_ns else 0),
        capture_db=float(profile.capture_db or 0.0),
    )


def _own_buffer(profile: StackProfile) -> int:
    """Where own messages share sets, or have no bound, the kernel refuses none: it declines long before."""
    shares = profile.one_queue or profile.originated_sets == 0
    return WITHOUT_BOUND if shares or profile.originated_buffer is None else int(profile.originated_buffer)


def build_settings(scenario: Scenario) -> SettingsTable:
    """What is set on the nodes, in the scenario's order."""
    nodes = scenario.nodes
    return SettingsTable(
        address=np.asarray([n.address for n in nodes], np.int64),
        relay=np.asarray([n.relay and n.is_on for n in nodes], np.uint8),
        ttl=np.asarray([n.ttl for n in nodes], np.int64),
        own_count=np.asarray([n.network_transmit.transmissions for n in nodes], np.int64),
        own_interval_ns=np.asarray([s_to_ns(n.network_transmit.interval_s) for n in nodes], np.int64),
        relay_count=np.asarray([n.relay_retransmit.transmissions for n in nodes], np.int64),
        relay_interval_ns=np.asarray([s_to_ns(n.relay_retransmit.interval_s) for n in nodes], np.int64),
        most_copies=max((n.relay_retransmit.transmissions for n in nodes if n.relay), default=0),
    )


def build_links(scenario: Scenario, index: Mapping[UnicastAddress, int]) -> Links:
    """Links between nodes that are on. Raises `InvalidInput` for more nodes than the kernel can number."""
    count = len(scenario.nodes)
    if count > MOST_NODES:
        raise InvalidInput(f"{count} nodes are more than {MOST_NODES}", place=f"{scenario.name}.nodes")
    on = np.asarray([n.is_on for n in scenario.nodes], bool)
    source = np.asarray([index[link.source] for link in scenario.links], np.int64)
    target = np.asarray([index[link.target] for link in scenario.links], np.int64)
    dbm = np.asarray([math.nan if x.rx_power_dbm is None else x.rx_power_dbm for x in scenario.links], np.float64)
    delivery = np.asarray([math.nan if x.delivery is None else x.delivery for x in scenario.links], np.float64)
    deviation = np.asarray([x.delivery_deviation for x in scenario.links], np.float64)
    told_ns = np.asarray([link_airtime_ns(link, scenario.profile) for link in scenario.links], np.int64)
    reference_ns = compute_airtime_ns(REFERENCE_PDU_BYTES)
    sized_ns = np.asarray([compute_airtime_ns(link.delivery_pdu_bytes) for link in scenario.links], np.int64)
    both = on[source] & on[target]
    source, target, dbm, delivery, deviation, told_ns, sized_ns = (
        x[both] for x in (source, target, dbm, delivery, deviation, told_ns, sized_ns)
    )
    told = delivery.copy()
    delivery = np.where(np.isnan(delivery), delivery_from_dbm(dbm), delivery)
    deviation = np.where(np.isnan(told), 0.0, deviation)  # power alone has no posterior
    dbm = np.where(np.isnan(dbm), dbm_from_delivery(np.round(delivery, 3) ** (reference_ns / sized_ns)), dbm)
    heard = delivery + 3.0 * deviation >= AUDIBLE_DELIVERY
    order = np.flatnonzero(heard)[np.argsort(source[heard], kind="stable")]
    airtimes_ns = _find_airtimes_ns(scenario)
    numbers = np.asarray([n.address for n in scenario.nodes], np.uint64)
    return Links(
        out_first=_firsts(source[order], count),
        out_target=target[order],
        out_delivery=np.asarray(
            [delivery[order], *(delivery[order] ** (airtime_ns / told_ns[order]) for airtime_ns in airtimes_ns)]
        ),
        out_told_ns=told_ns[order],
        airtimes_ns=airtimes_ns,
        out_deviation=deviation[order],
        out_dbm=dbm[order],
        out_key=numbers[source[order]] << np.uint64(16) | numbers[target[order]],
        out_audible=(delivery[order] >= OCCUPYING_DELIVERY).astype(np.uint8),
        disturbing_dbm=_disturbing_dbm(scenario, count, source, target, dbm),
        external_per_ns=np.asarray([n.external_pdus_per_s * 1e-9 for n in scenario.nodes], np.float64),
        log_survival=_log_bit_survival(),
    )


def _find_airtimes_ns(scenario: Scenario) -> Ints:
    """Times on the air of the scenario's PDUs, each once; other sizes, asked for later, take a little longer."""
    sizes = {*(flow.pdu_bytes for flow in scenario.flows), *(b.pdu_bytes for b in scenario.background)}
    sizes |= {flow.response_pdu_bytes for flow in scenario.flows if flow.response_pdu_bytes is not None}
    whole = scenario.profile.pdu_airtime_ns
    return np.asarray(sorted({whole or compute_airtime_ns(size) for size in sizes}), np.int64)


def _firsts(sorted_nodes: Ints, count: int) -> Ints:
    return np.searchsorted(sorted_nodes, np.arange(count + 1)).astype(np.int64)


def _disturbing_dbm(scenario: Scenario, count: int, source: Ints, target: Ints, dbm: Floats) -> npt.NDArray[np.float32]:
    noise_mw = 0.0 if scenario.profile.capture_db is not None else 10.0 ** (NOISE_FLOOR_DBM / 10.0)
    table = np.full((count, count), NO_LINK_DBM, np.float32)
    table[target, source] = 10.0 * np.log10(10.0 ** (dbm / 10.0) + noise_mw)
    return table
