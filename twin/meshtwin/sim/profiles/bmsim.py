"""The stack inside the simulator BMSim, behind the published grid table."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR

__all__ = ["BMSIM"]

BMSIM: Final = StackProfile(
    name="bmsim",
    source=(
        "BMSim, codes/event_driven.py, scan37.py, initializer.py: a node relays one PDU at a time, 20 ms + 1 to "
        "10 ms after the one before, redrawn at every scan step of 0.2 ms, and at once if it has rested that long; "
        "38 bytes on the air, 0.15 ms between channels; scan window = interval = 30 ms; a PDU is heard if one scan "
        "sample of 0.2 ms finds nobody else of the neighbourhood on the channel; buffer of 6; a source's older "
        "sequence numbers are dropped, which is a cache without limit. Not in it, so assumed: own messages wait like "
        "relayed ones, answers leave at once, segmentation and replay protection are Zephyr's, TTL 1 is sent. "
        "Verification only: it is a simulator"
    ),
    processing_ns=0,
    jitter_ns=200_000,  # the next scan step
    response_ns=(0, 0),  # assumed
    response_to_group_ns=(0, 0),  # assumed
    delay_when_idle_only=True,
    rests_after_last=True,
    # redrawing at each step makes 20 ms + 1..10 ms end after 22.3 ms in the mean, with a deviation of 0.9 ms (sum
    # over the steps, by hand); here 20 ms plus uniformly 0 to 4.7 ms, the same mean and a deviation of 1.4 ms
    advertising_delay_ns=4_700_000,
    scan_interval_ns=30_000_000,
    scan_window_ns=30_000_000,
    scan_sample_ns=200_000,
    pdu_airtime_ns=304_000,
    channel_gap_ns=150_000,
    event_overhead_ns=0,
    originated_sets=1,
    relay_sets=1,
    relay_buffer=6,
    # assumed, as for relayed ones: a node there makes its next message when the one before is sent, so none ever waits
    originated_buffer=6,
    message_cache=4096,  # no limit there
    replay_list_size=10,  # assumed, Zephyr's
    segmentation=ZEPHYR.segmentation,  # assumed
)
