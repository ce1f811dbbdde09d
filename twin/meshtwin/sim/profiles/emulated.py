"""The reference emulated mesh of ``meshtwin mesh --emulate`` with its stack settings left at their defaults."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR

__all__ = ["EMULATED"]

EMULATED: Final = StackProfile(
    name="emulated",
    source=(
        "documented rules of the emulated firmware: one advertiser sends own and relayed messages in the order "
        "of their queue (12 places), and pauses one interval after every transmission, the last included; own "
        "messages are queued after 0.5 to 5 ms, relayed ones after 0.5 to 8 ms; every PDU is 47 bytes on the "
        "air; channels 400 us apart; a receiver keeps what is 8 dB above the sum of its interferers. Nothing of "
        "the world around it (shadowing, weak nodes, interference) is known here. Answers are queued in the handler "
        "(emulation/firmware.py), a default TTL of 1 is refused (mesh/configuration.py), that of one message is sent. "
        "It has neither segmented messages nor replay protection: Zephyr's are assumed"
    ),
    processing_ns=500_000,
    jitter_ns=7_500_000,
    own_delay_ns=(500_000, 4_500_000),
    response_ns=(0, 0),  # own_delay_ns follows
    response_to_group_ns=(0, 0),  # likewise
    queue_after_delay=True,
    one_queue=True,
    rests_after_last=True,
    advertising_delay_ns=10_000_000,
    pdu_airtime_ns=376_000,
    channel_gap_ns=400_000,
    event_overhead_ns=0,
    originated_sets=0,
    relay_sets=1,
    relay_buffer=12,
    originated_buffer=None,  # the same 12 places
    message_cache=256,
    replay_list_size=10,  # assumed, Zephyr's
    allows_default_ttl_one=False,
    segmentation=ZEPHYR.segmentation,  # assumed
    capture_db=8.0,
)
