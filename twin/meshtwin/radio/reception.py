"""Whether a packet on the LE 1M physical layer survives noise and interference, and its time on the air.

The receiver is that of BabbleSim's BLE_simple modem: bit error ratio Q(sqrt(SINR)) after 2 dB of extra noise
figure. Silicon captures about 3 dB better (co-channel C/I of 8.7 to 9.0 dB in datasheets), so collisions
come out pessimistic here.
"""

import math
from typing import Final

from meshtwin.errors import InvalidInput

__all__ = [
    "NOISE_FLOOR_DBM",
    "compute_airtime_ns",
    "compute_bit_error_ratio",
    "compute_capture_survival",
    "compute_overlap_survival",
    "compute_packet_error_ratio",
    "compute_rx_power_dbm",
    "compute_snr_db",
    "resize_delivery",
]

NOISE_FLOOR_DBM: Final = -109.6  # thermal noise in the channel; BabbleSim BLE_simple
NOISE_FIGURE_DB: Final = 2.0  # extra noise figure; BabbleSim BLE_simple
SNR_CAP_DB: Final = 35.0  # transmitter impairments bound what a receiver sees; BabbleSim BLE_simple
BITS_PER_US: Final = 1  # LE 1M, Bluetooth Core, Vol 6 Part A
OVERHEAD_BYTES: Final = 18  # preamble 1, access address 4, header 2, AdvA 6, AD length and type 2, CRC 3
NETWORK_PDU_MAX_BYTES: Final = 29  # advertising data of 31 bytes less length and type


def compute_airtime_ns(network_pdu_bytes: int) -> int:
    """Time on the air of one PDU on one channel, in nanoseconds.

    Raises `InvalidInput` outside 1..29 bytes.

    >>> compute_airtime_ns(20), compute_airtime_ns(29)
    (304000, 376000)
    """
    if not 1 <= network_pdu_bytes <= NETWORK_PDU_MAX_BYTES:
        raise InvalidInput(
            f"network PDU of {network_pdu_bytes} bytes is outside 1..{NETWORK_PDU_MAX_BYTES}; segment the message"
        )
    return (network_pdu_bytes + OVERHEAD_BYTES) * 8 * 1000 // BITS_PER_US


def compute_snr_db(rx_power_dbm: float) -> float:
    """Signal to noise ratio at the antenna, before the receiver's own noise figure."""
    return rx_power_dbm - NOISE_FLOOR_DBM


def compute_bit_error_ratio(sinr_db: float) -> float:
    """Bit error ratio Q(sqrt(SINR)), with SINR capped at 35 dB and 2 dB lost in the receiver."""
    sinr = 10.0 ** ((min(sinr_db, SNR_CAP_DB) - NOISE_FIGURE_DB) / 10.0)
    return 0.5 * math.erfc(math.sqrt(sinr / 2.0))


def compute_packet_error_ratio(sinr_db: float, network_pdu_bytes: int) -> float:
    """Share of packets lost when the whole packet sees ``sinr_db``.

    >>> round(compute_packet_error_ratio(compute_snr_db(-98.0), 20), 2)
    0.32
    """
    bits = compute_airtime_ns(network_pdu_bytes) // 1000
    return 1.0 - (1.0 - compute_bit_error_ratio(sinr_db)) ** bits


def resize_delivery(delivery: float, airtime_ns: int, other_airtime_ns: int) -> float:
    """Delivery of PDUs of ``other_airtime_ns`` where those of ``airtime_ns`` have ``delivery``, at an equal signal.

    A packet comes through if each of its bits does, so the logarithms are as the times on the air.
    Doubt: what is not lost bit by bit (a signal that fades for the whole packet, a scanner that is elsewhere) does not
    grow with the size; where that is most of the loss, the true difference between sizes is smaller than this.

    >>> round(resize_delivery(1.0 - 0.320, 304_000, 376_000), 3)
    0.621
    """
    return delivery if airtime_ns == other_airtime_ns else delivery ** (other_airtime_ns / airtime_ns)


def compute_overlap_survival(sinr_db: float, overlap_ns: int) -> float:
    """Share of packets whose ``overlap_ns`` of bits come through at ``sinr_db``; other bits are not judged."""
    return float((1.0 - compute_bit_error_ratio(sinr_db)) ** (overlap_ns / 1000.0))


def compute_capture_survival(margin_db: float) -> float:
    """Share of packets that survive ``margin_db`` above a receiver's capture ratio; the 3 dB below it save a quarter.

    A step in place of the bit error curve, for receivers of which only the ratio is known (8.7 to 9.0 dB in
    datasheets; the quarter is assumed).

    >>> [compute_capture_survival(margin_db) for margin_db in (0.0, -2.0, -3.0)]
    [1.0, 0.25, 0.0]
    """
    if margin_db >= 0.0:
        return 1.0
    return 0.25 if margin_db > -3.0 else 0.0


def compute_rx_power_dbm(delivery: float, network_pdu_bytes: int = 20) -> float:
    """The received power at which a quiet channel delivers ``delivery`` of the packets, in dBm.

    Clamped to -106..-90 dBm: a delivery near 0 or 1 says only "weaker" or "stronger" than that.
    Found by bisection; ``delivery`` is a ratio 0..1.
    """
    low, high = -106.0, -90.0
    for _ in range(40):
        middle = (low + high) / 2.0
        if 1.0 - compute_packet_error_ratio(compute_snr_db(middle), network_pdu_bytes) < delivery:
            low = middle
        else:
            high = middle
    return (low + high) / 2.0
