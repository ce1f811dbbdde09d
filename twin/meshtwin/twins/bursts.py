"""The chance that one of several copies arrives, when copies share their fate in part.

A receiver listens to one of three advertising channels at a time, which fade and are disturbed independently. Which
channel a copy meets is by itself no reason for correlation: copies that met channels at random would be as independent
as their mean says, and copies 20 to 40 ms apart meet another channel more often than that (a scanner changes every
30 ms). What copies do share is time: somebody in the way, a disturber's burst. The delivery of a burst is taken as
Beta distributed around that of the link, with an intraclass correlation; the number of copies that arrive is then
beta-binomial.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from meshtwin.twins.load import Load

__all__ = ["BURST_CORRELATION", "log_likelihoods"]

BURST_CORRELATION: Final = 0.05
# Fading of 1 to 2 dB that lasts longer than a burst, against a reception curve 2 dB wide, gives 0.03 to 0.1; two
# copies on one channel in a third of the cases or less add nothing (0.2 was believed before). Counts of 24 emulated
# networks, by delivery and number of copies, lie between 0 and 0.1. Unverified on hardware.
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
