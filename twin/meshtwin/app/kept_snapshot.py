"""A snapshot that is kept for some seconds: who asks twice in a row does not wait for the same estimate twice."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from meshtwin.twins.partial import PartialSnapshot
from meshtwin.twins.state import TwinState

__all__ = ["KEPT_S", "KEPT_UNCHANGED_S", "KeptSnapshot"]

# What a twin is told in 2 s is told 2 s late: of 300 nodes that report once a minute, ten reports. They moved the mean
# delivery of 2,000 links by 0.0005 to 0.012, single ones by up to 0.27 (three made-up states, links uncertain by 0.11).
KEPT_S: Final = 2.0
# Without reports only the clock moves it (evidence decays, silence grows): by 0.0001, single links by up to 0.004.
KEPT_UNCHANGED_S: Final = 5.0


class KeptSnapshot:
    """The last snapshot that ``take`` gave, `KEPT_S` old at most, or `KEPT_UNCHANGED_S` while the state stays as it is.

    Its time (`meshtwin.mesh.snapshots.Snapshot.taken_at`) tells how old it is. ``take`` runs in a thread.
    """

    def __init__(
        self, take: Callable[[TwinState], PartialSnapshot], monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._take = take
        self._monotonic_s = monotonic_s
        self._kept: tuple[float, TwinState, PartialSnapshot] | None = None

    async def get(self, state: TwinState) -> PartialSnapshot:
        """The one kept, or one of ``state``."""
        begun_s = self._monotonic_s()
        if self._kept is not None:
            taken_s, of_state, partial = self._kept
            if begun_s - taken_s < (KEPT_UNCHANGED_S if of_state is state else KEPT_S):
                return partial
        partial = await asyncio.to_thread(self._take, state)
        self._kept = (begun_s, state, partial)
        return partial
