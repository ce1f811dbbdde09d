"""The chance that one of several copies arrives, when copies share their fate in part.

A receiver listens to one of three advertising channels at a time, and the channels, 24 MHz and more apart, fade
independently. Copies that meet the same channel meet the same fading, so a sixth copy helps less than if
copies were independent. The delivery of a burst is taken as Beta distributed around that of the link, with
an intraclass correlation; the number of copies that arrive is then beta-binomial.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.twins.load import Load

__all__ = ["BURST_CORRELATION", "log_likelihoods"]

BURST_CORRELATION: Final = 0.2
# Reckoned, not fitted, and unverified on hardware: indoor fading of 3 to 4 dB per channel against a reception
# curve of 1 to 2 dB makes copies on one channel correlate with about 0.6, and a scanner that changes channel
# about as often as copies come (30 ms) has two copies on the same one in a third of the cases.
THETA: Final = BURST_CORRELATION / (1 - BURST_CORRELATION)

Array = NDArray[np.float64]


def log_likelihoods(delivery: Array, transmissions: int, load: Load) -> tuple[Array, Array]:
    """Logarithms of the chances that a notification is heard and missed; shapes as ``delivery``.

    ``delivery`` is that of a single transmission on a quiet channel; ``load`` loses single transmissions and
    whole notifications.
    """
    one_lost = 1.0 - np.clip(delivery, 1e-9, 1 - 1e-9) * (1.0 - load.loss_ratio)
    log_all_lost = np.zeros_like(delivery)
    for copy in range(transmissions):
        log_all_lost += np.log((one_lost + copy * THETA) / (1.0 + copy * THETA))
    heard = -np.expm1(log_all_lost) * (1.0 - load.outage_ratio)
    return np.log(heard), np.log1p(-np.minimum(heard, 1 - 1e-12))
