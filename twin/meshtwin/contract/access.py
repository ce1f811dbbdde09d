"""Access messages between gateways and node firmware: what travels inside the mesh, byte for byte.

Every message is unsegmented: opcode and parameters take at most 11 bytes (Mesh Protocol 1.1, 3.7.3: an
unsegmented access message with a 32-bit TransMIC). Integers are little-endian.

The configuration messages are those of the standard (Mesh Protocol 1.1, 4.3.2 and 4.3.4.1); each of them
holds one state of the Configuration Server, and a Set is answered by a Status with the value in force.
The monitoring and probe messages are a vendor model of company `COMPANY`:

==================  ======================================================================================
``NOTIFICATION``    node -> neighbours (TTL 0, or 1): counter u16, transmissions u8
``MONITOR``         gateway -> its report group: epoch u8, notification interval u16 (100 ms),
                    report interval u16 (100 ms), messages per report u8; an interval of 0 ends both
``REPORT``          node -> its gateway: one or two `NeighbourRecord` of 4 bytes
``PROBE_RUN``       gateway -> source: probe u8, destination u16, presses u16, spacing u8 (10 ms)
``PROBE_STARTED``   source -> gateway: probe u8
``PRESS``           source -> destination: probe u8, index u16, synchronised time u16 (ms modulo 65,536)
``RESULT_GET``      gateway -> member: probe u8, page u8
``RESULT``          member -> gateway: page u8, `RESULTS_PER_PAGE` latencies u8 (2 ms; 253: 506 ms
                    or more, 254: received, nobody knows when, 255: not received)
``SWITCH``          button -> group: the application's own message, transaction u8
==================  ======================================================================================
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import NodeSettings, Transmit

__all__ = [
    "ACCESS_MAX",
    "COMPANY",
    "GETS",
    "LATENCY_LOST",
    "LATENCY_STEP_MS",
    "LATENCY_UNKNOWN",
    "RECORD_BYTES",
    "RESULTS_PER_PAGE",
    "STATUS_OF",
    "Access",
    "NeighbourRecord",
    "Opcode",
    "decode_access",
    "decode_records",
    "decode_status",
    "encode_access",
    "encode_get",
    "encode_records",
    "encode_set",
    "encode_status",
]

ACCESS_MAX: Final = 11  # bytes; Mesh Protocol 1.1, 3.7.3
COMPANY: Final = 0xFFFF  # reserved for internal use by the Bluetooth SIG's list of company identifiers
RECORD_BYTES: Final = 4  # of one `NeighbourRecord`
RESULTS_PER_PAGE: Final = 7  # 3 bytes opcode + 1 byte page + 7 results fill an unsegmented message
LATENCY_STEP_MS: Final = 2
LATENCY_LOST: Final = 255
LATENCY_UNKNOWN: Final = 254  # received by a node without a synchronised clock
RELAY_NOT_SUPPORTED: Final = 2  # Mesh Protocol 1.1, 4.2.9 (Relay state)


class Opcode(IntEnum):
    """One- and two-byte opcodes are the standard's; three-byte ones are vendor opcode and company.

    Of composition data and heartbeats only the opcodes are here; `meshtwin.gateway.foundation` has their fields.
    Those of models' publications and subscriptions are in `meshtwin.contract.model_messages`.
    """

    COMPOSITION_STATUS = 0x02
    MODEL_PUBLICATION_SET = 0x03
    HEARTBEAT_PUBLICATION_STATUS = 0x06
    COMPOSITION_GET = 0x8008
    DEFAULT_TTL_GET = 0x800C
    DEFAULT_TTL_SET = 0x800D
    DEFAULT_TTL_STATUS = 0x800E
    MODEL_PUBLICATION_GET = 0x8018
    MODEL_PUBLICATION_STATUS = 0x8019
    MODEL_SUBSCRIPTION_ADD = 0x801B
    MODEL_SUBSCRIPTION_STATUS = 0x801F
    NETWORK_TRANSMIT_GET = 0x8023
    NETWORK_TRANSMIT_SET = 0x8024
    NETWORK_TRANSMIT_STATUS = 0x8025
    RELAY_GET = 0x8026
    RELAY_SET = 0x8027
    RELAY_STATUS = 0x8028
    SIG_SUBSCRIPTION_GET = 0x8029
    SIG_SUBSCRIPTION_LIST = 0x802A
    VENDOR_SUBSCRIPTION_GET = 0x802B
    VENDOR_SUBSCRIPTION_LIST = 0x802C
    HEARTBEAT_PUBLICATION_SET = 0x8039
    HEARTBEAT_SUBSCRIPTION_GET = 0x803A
    HEARTBEAT_SUBSCRIPTION_SET = 0x803B
    HEARTBEAT_SUBSCRIPTION_STATUS = 0x803C
    NOTIFICATION = 0xC1FFFF
    MONITOR = 0xC2FFFF
    REPORT = 0xC3FFFF
    PROBE_RUN = 0xC4FFFF
    PROBE_STARTED = 0xC5FFFF
    PRESS = 0xC6FFFF
    RESULT_GET = 0xC7FFFF
    RESULT = 0xC8FFFF
    SWITCH = 0xC9FFFF


GETS: Final = (Opcode.RELAY_GET, Opcode.NETWORK_TRANSMIT_GET, Opcode.DEFAULT_TTL_GET)
STATUS_OF: Final = {
    Opcode.RELAY_GET: Opcode.RELAY_STATUS,
    Opcode.RELAY_SET: Opcode.RELAY_STATUS,
    Opcode.NETWORK_TRANSMIT_GET: Opcode.NETWORK_TRANSMIT_STATUS,
    Opcode.NETWORK_TRANSMIT_SET: Opcode.NETWORK_TRANSMIT_STATUS,
    Opcode.DEFAULT_TTL_GET: Opcode.DEFAULT_TTL_STATUS,
    Opcode.DEFAULT_TTL_SET: Opcode.DEFAULT_TTL_STATUS,
}


@dataclass(frozen=True, slots=True)
class Access:
    """A decoded access message; ``parameters`` as they are on the air."""

    opcode: Opcode
    parameters: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NeighbourRecord:
    """What a node heard of one neighbour since the monitoring epoch, modulo 256 where it counts.

    ``neighbour_low``: low byte of its address. ``expected``: notifications it must have sent, by its own
    counter; ``received``: distinct ones heard. ``transmissions``: copies of each, 1..8, as the neighbour
    says. ``rssi_dbm``: mean, coded in steps of 5 dB from -100 to -30; None (code 0): the stack does not tell it.
    ``odd_epoch``: parity of the epoch.
    """

    neighbour_low: int
    expected: int
    received: int
    transmissions: int
    rssi_dbm: int | None
    odd_epoch: bool


def encode_access(opcode: Opcode, parameters: bytes = b"") -> bytes:
    """The access payload; raises `InvalidInput` beyond `ACCESS_MAX` bytes."""
    payload = opcode.to_bytes(3 if opcode > 0xFFFF else 2 if opcode > 0xFF else 1, "big") + parameters
    if len(payload) > ACCESS_MAX:
        raise InvalidInput(f"access message of {len(payload)} bytes, at most {ACCESS_MAX} fit unsegmented")
    return payload


def decode_access(payload: bytes) -> Access | None:
    """The message, or None for an opcode that is not ours (ignored, as the standard says)."""
    length = 3 if payload[:1] >= b"\xc0" else 2 if payload[:1] >= b"\x80" else 1
    try:
        return Access(Opcode(int.from_bytes(payload[:length], "big")), payload[length:])
    except ValueError:
        return None


def encode_records(records: tuple[NeighbourRecord, ...]) -> bytes:
    """Parameters of a ``REPORT``."""
    out = bytearray()
    for r in records:
        rssi = 0 if r.rssi_dbm is None else min(15, max(1, round((r.rssi_dbm + 105) / 5)))
        flags = rssi | (r.transmissions - 1) << 4 | r.odd_epoch << 7
        out += bytes((r.neighbour_low, r.expected & 0xFF, r.received & 0xFF, flags))
    return bytes(out)


def decode_records(parameters: bytes) -> tuple[NeighbourRecord, ...]:
    """The records of a ``REPORT``; a broken tail is dropped."""
    whole = len(parameters) // RECORD_BYTES * RECORD_BYTES
    return tuple(
        NeighbourRecord(
            neighbour_low=low,
            expected=expected,
            received=received,
            transmissions=(flags >> 4 & 7) + 1,
            rssi_dbm=(flags & 15) * 5 - 105 if flags & 15 else None,
            odd_epoch=bool(flags >> 7),
        )
        for low, expected, received, flags in struct.iter_unpack("BBBB", parameters[:whole])
    )


def encode_get() -> tuple[bytes, ...]:
    """The Gets that together read everything of `NodeSettings`."""
    return tuple(encode_access(opcode) for opcode in GETS)


def encode_set(wanted: NodeSettings, known: NodeSettings) -> tuple[bytes, ...]:
    """The Sets that turn ``known`` into ``wanted``; states that are equal or not said are left out.

    Relay and relay retransmit are one state on the air: what ``wanted`` does not say is taken from
    ``known``, and where that is unknown too, relay off and a single transmission.
    """
    sets = []
    differing = known.differing(wanted)
    if "relay" in differing or "relay_retransmit" in differing:
        merged = known.overlaid(wanted)
        parameters = bytes((int(bool(merged.relay)), _pack_transmit(merged.relay_retransmit)))
        sets.append(encode_access(Opcode.RELAY_SET, parameters))
    if "network_transmit" in differing:
        sets.append(encode_access(Opcode.NETWORK_TRANSMIT_SET, bytes((_pack_transmit(wanted.network_transmit),))))
    if "default_ttl" in differing and wanted.default_ttl is not None:
        sets.append(encode_access(Opcode.DEFAULT_TTL_SET, bytes((wanted.default_ttl,))))
    return tuple(sets)


def encode_status(opcode: Opcode, settings: NodeSettings) -> bytes:
    """The Status of one state of a node, as its Configuration Server answers."""
    if opcode is Opcode.RELAY_STATUS:
        return encode_access(opcode, bytes((int(bool(settings.relay)), _pack_transmit(settings.relay_retransmit))))
    if opcode is Opcode.NETWORK_TRANSMIT_STATUS:
        return encode_access(opcode, bytes((_pack_transmit(settings.network_transmit),)))
    return encode_access(opcode, bytes((settings.default_ttl or 0,)))


def decode_status(message: Access) -> NodeSettings:
    """The part of the settings that a Status or a Set says; empty for any other message.

    Raises `InvalidInput` for values outside their ranges.
    """
    p = message.parameters
    match message.opcode:
        case Opcode.RELAY_STATUS | Opcode.RELAY_SET if len(p) == 2:
            return NodeSettings(relay=p[0] == 1, relay_retransmit=_unpack_transmit(p[1]))
        case Opcode.NETWORK_TRANSMIT_STATUS | Opcode.NETWORK_TRANSMIT_SET if len(p) == 1:
            return NodeSettings(network_transmit=_unpack_transmit(p[0]))
        case Opcode.DEFAULT_TTL_STATUS | Opcode.DEFAULT_TTL_SET if len(p) == 1:
            return NodeSettings(default_ttl=p[0])
        case _:
            return NodeSettings()


def _pack_transmit(value: Transmit | None) -> int:
    """Count in 3 bits, steps in 5 bits (Mesh Protocol 1.1, 4.2.20)."""
    return 0 if value is None else value.count | value.interval_steps << 3


def _unpack_transmit(packed: int) -> Transmit:
    return Transmit(count=packed & 7, interval_steps=packed >> 3)
