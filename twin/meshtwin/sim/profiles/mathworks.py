"""The mesh node of the MathWorks Bluetooth toolbox, the stack behind the published office table."""

from typing import Final

from meshtwin.sim.profiles.stack_profile import StackProfile

__all__ = ["MATHWORKS"]

MATHWORKS: Final = StackProfile(
    name="mathworks",
    source=(
        "observed rules of the toolbox (2021) as noted with the office table: the first send waits for a "
        "whole transmit interval (plus 1 to 10 ms if originated), one message at a time, relay queue first; "
        "an event starts at the end of a scan window and takes 20 ms + 0 to 10 ms, deaf throughout"
    ),
    processing_ns=0,
    jitter_ns=0,
    originated_extra_ns=1_000_000,
    originated_jitter_ns=9_000_000,
    first_send_after_interval=True,
    start_at_scan_window_end=True,
    scan_restarts_after_event=True,
    advertising_delay_ns=0,
    event_window_ns=20_000_000,
    event_window_jitter_ns=10_000_000,
    originated_sets=0,
    relay_sets=1,
)
