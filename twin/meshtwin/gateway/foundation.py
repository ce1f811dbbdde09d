"""Composition data and heartbeats of the standard's Foundation Models: their fields, byte for byte. Pure.

Every conforming node answers these, with no firmware of ours (Mesh Protocol 1.1, 4.2.1, 4.2.18, 4.2.19, 4.3.2).
"""

import struct
from dataclasses import dataclass
from typing import Final

from meshtwin.contract.access import Opcode, encode_access
from meshtwin.errors import InvalidInput

__all__ = [
    "HeartbeatHeard",
    "NodeComposition",
    "ask_composition",
    "ask_heartbeats_heard",
    "parse_composition",
    "parse_heartbeats_heard",
    "publish_heartbeat",
    "subscribe_heartbeats",
]

WITHOUT_END: Final = 0xFF  # Heartbeat Publication Count: not to be counted down
COUNT_LOG_MAX: Final = 16  # above it: 0xFF, more than 65,534


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeComposition:
    """Page 0: what a node says it is; features are those it supports. ``replay_list_size`` is its CRPL."""

    company: int
    product: int
    version: int
    replay_list_size: int
    relay: bool
    proxy: bool
    friend: bool
    low_power: bool
    elements: int
    sig_models: tuple[int, ...]
    vendor_models: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatHeard:
    """Heartbeats of one source: between ``count_low`` and ``count_high``, for which one logarithmic code stands.

    ``min_hops`` and ``max_hops`` mean nothing while no heartbeat was heard.
    """

    source: int
    count_low: int
    count_high: int
    min_hops: int
    max_hops: int


def ask_composition() -> bytes:
    """Composition Data Get of page 0; the Status is segmented."""
    return encode_access(Opcode.COMPOSITION_GET, b"\x00")


def parse_composition(parameters: bytes) -> NodeComposition:
    """Page 0 of the composition data, models of all elements together; raises `InvalidInput` if it is cut off."""
    sig: list[int] = []
    vendor: list[tuple[int, int]] = []
    elements = 0
    try:
        page, company, product, version, crpl, features = struct.unpack_from("<BHHHHH", parameters)
        at = 11
        while at < len(parameters):
            _, sig_count, vendor_count = struct.unpack_from("<HBB", parameters, at)
            sig += struct.unpack_from(f"<{sig_count}H", parameters, at + 4)
            flat = struct.unpack_from(f"<{2 * vendor_count}H", parameters, at + 4 + 2 * sig_count)
            vendor += zip(flat[::2], flat[1::2], strict=True)
            at += 4 + 2 * sig_count + 4 * vendor_count
            elements += 1
    except struct.error as error:
        raise InvalidInput(f"composition data of {len(parameters)} bytes is cut off", reason="WrongSize") from error
    if page != 0:
        raise InvalidInput(f"composition data page {page} instead of 0", reason="WrongSize")
    return NodeComposition(
        company=company,
        product=product,
        version=version,
        replay_list_size=crpl,
        relay=bool(features & 1),
        proxy=bool(features & 2),
        friend=bool(features & 4),
        low_power=bool(features & 8),
        elements=elements,
        sig_models=tuple(sig),
        vendor_models=tuple(vendor),
    )


def publish_heartbeat(
    *, destination: int, ttl: int, period_log: int = 0, count_log: int = WITHOUT_END, features: int = 0
) -> bytes:
    """Send 2^(count_log - 1) heartbeats (255: without end), one every 2^(period_log - 1) s; destination 0 stops.

    ``features``: bits 0 to 3, relay, proxy, friend, low power; a change of one of them sends a heartbeat at once.
    """
    parameters = struct.pack("<HBBBHH", destination, count_log, period_log, ttl, features, 0)
    return encode_access(Opcode.HEARTBEAT_PUBLICATION_SET, parameters)


def subscribe_heartbeats(*, source: int, destination: int, period_log: int) -> bytes:
    """Count heartbeats from ``source`` anew for 2^(period_log - 1) s."""
    return encode_access(Opcode.HEARTBEAT_SUBSCRIPTION_SET, struct.pack("<HHB", source, destination, period_log))


def ask_heartbeats_heard() -> bytes:
    """Ask how many heartbeats were counted."""
    return encode_access(Opcode.HEARTBEAT_SUBSCRIPTION_GET)


def parse_heartbeats_heard(parameters: bytes) -> HeartbeatHeard:
    """The counts in a Status, its code taken away; CountLog n stands for 2^(n-1) to 2^n - 1 (4.2.19.3, 4.1.2).

    Raises `InvalidInput` if it has another size.
    """
    try:
        source, _, _, count_log, min_hops, max_hops = struct.unpack("<HHBBBB", parameters)
    except struct.error as error:
        raise InvalidInput(f"heartbeat status of {len(parameters)} bytes", reason="WrongSize") from error
    log = min(count_log, COUNT_LOG_MAX + 1)
    return HeartbeatHeard(
        source=source,
        count_low=0 if log == 0 else 1 << log - 1,
        count_high=0 if log == 0 else (1 << log) - 1,
        min_hops=min_hops,
        max_hops=max_hops,
    )
