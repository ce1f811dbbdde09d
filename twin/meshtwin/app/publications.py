"""What a gateway has said and the broker does not have yet, in order, bounded while the broker is away."""

import asyncio
from collections import OrderedDict, deque
from dataclasses import replace
from typing import Final

from meshtwin.contract.telemetry import GatewayState
from meshtwin.gateway.effects import Publish

__all__ = ["TELEMETRY_LIMIT", "Publications"]

TELEMETRY_LIMIT: Final = 1000  # messages; at most 1 MB, and some ten minutes of 60 nodes that report once a minute
STATE: Final = "state"


class Publications:
    """Read with `take`. Results and what is in force are never dropped.

    Of telemetry the newest `TELEMETRY_LIMIT` are kept, since counters are cumulative and the newest say most. Of
    ``state`` the newest alone: what nobody saw and is no longer true need not be said.
    """

    def __init__(self, telemetry_limit: int = TELEMETRY_LIMIT) -> None:
        self.dropped_total = 0  # telemetry; every state that is taken tells it
        self._told = 0
        self._limit = telemetry_limit
        self._waiting: OrderedDict[int, Publish] = OrderedDict()
        self._telemetry: deque[int] = deque()
        self._state: int | None = None
        self._number = 0
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def owes_count(self) -> bool:
        """Whether telemetry was dropped that no state has told of yet."""
        return self.dropped_total > self._told

    def put(self, publish: Publish) -> None:
        """Behind everything else."""
        self._number += 1
        self._waiting[self._number] = publish
        if publish.leaf.startswith("telemetry/"):
            self._telemetry.append(self._number)
            if len(self._telemetry) > self._limit:
                del self._waiting[self._telemetry.popleft()]
                self.dropped_total += 1
        elif publish.leaf == STATE:
            if self._state is not None:
                del self._waiting[self._state]
            self._state = self._number
        self._filled.set()

    async def take(self) -> Publish:
        """The oldest, as soon as there is one; what is taken is not dropped any more."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        number, publish = self._waiting.popitem(last=False)
        if self._telemetry and self._telemetry[0] == number:
            self._telemetry.popleft()
        if number == self._state:
            self._state = None
        return self._with_count(publish)

    def _with_count(self, publish: Publish) -> Publish:
        if not isinstance(publish.payload, GatewayState) or not self.dropped_total:
            return publish
        self._told = self.dropped_total
        return replace(publish, payload=publish.payload.model_copy(update={"telemetry_dropped": self._told}))
