"""One operator acts: a Lease with an epoch that grows at every take-over.

The epoch (``leaseTransitions``) goes into every command; a gateway refuses a lower one than it has seen, so an
operator that lost its Lease without noticing does no harm.
"""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from meshtwin.errors import Inconsistent, MeshTwinError
from meshtwin_operator.kube.api import KubeApi

__all__ = ["Lease", "may_take"]

log = structlog.get_logger(__name__)

DURATION_S: Final = 10  # a dead operator is replaced after this; the API server may be away a bit shorter
RENEW_S: Final = 3
TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"  # metav1.MicroTime


def may_take(spec: dict[str, Any], identity: str, now: datetime) -> bool:
    """Whether the Lease is free, expired, or already ours."""
    holder = spec.get("holderIdentity")
    if not holder or holder == identity:
        return True
    renewed = datetime.strptime(spec["renewTime"], TIME_FORMAT).replace(tzinfo=UTC)
    return now - renewed > timedelta(seconds=int(spec.get("leaseDurationSeconds", DURATION_S)))


@dataclass
class Lease:
    """Held by one operator process. ``epoch`` is 0 before it is taken; times in s, ``duration_s`` whole ones."""

    api: KubeApi
    namespace: str
    name: str
    identity: str
    clock: Callable[[], datetime]
    epoch: int = 0
    duration_s: float = DURATION_S
    renew_s: float = RENEW_S

    async def take(self) -> None:
        """Wait until the Lease is ours; says who holds it meanwhile."""
        while not await self._try_take():  # noqa: ASYNC110  # the event is in the API server
            await asyncio.sleep(1.0)

    async def hold(self) -> None:
        """Renew until that fails for the Lease's duration; then return: the caller must stop acting."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + self.duration_s
        while True:
            await asyncio.sleep(self.renew_s)
            asked_s = loop.time()
            try:
                # A request may hang for longer than the Lease lasts.
                async with asyncio.timeout_at(until_s):
                    if not await self._renew():
                        log.error("Stopping, another operator holds the Lease", lease=self.name)
                        return
                until_s = asked_s + self.duration_s
            except (MeshTwinError, TimeoutError) as error:
                log.warning("Retrying to renew the Lease", problem=str(error))
                if loop.time() >= until_s:
                    log.error("Stopping, the Lease could not be renewed", lease=self.name)
                    return

    async def _renew(self) -> bool:
        live = await self.api.get("Lease", self.namespace, self.name)
        if live is None or live["spec"].get("holderIdentity") != self.identity:
            return False
        live["spec"]["renewTime"] = self.clock().strftime(TIME_FORMAT)
        await self.api.replace(live)
        return True

    async def release(self) -> None:
        """Give the Lease up, so that the next operator need not wait; the epoch stays."""
        try:
            live = await self.api.get("Lease", self.namespace, self.name)
            if live is not None and live["spec"].get("holderIdentity") == self.identity:
                live["spec"]["holderIdentity"] = ""
                await self.api.replace(live)
        except MeshTwinError as error:
            log.warning("Leaving the Lease to expire", problem=str(error))

    async def _try_take(self) -> bool:
        live = await self.api.get("Lease", self.namespace, self.name)
        now = self.clock()
        if live is None:
            live = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"namespace": self.namespace, "name": self.name},
                "spec": {"leaseTransitions": 0},
            }
            await self.api.create(live)
            return False
        if not may_take(live["spec"], self.identity, now):
            log.info("Waiting for the Lease", holder=live["spec"].get("holderIdentity"))
            return False
        epoch = int(live["spec"].get("leaseTransitions") or 0) + 1
        live["spec"] |= {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": math.ceil(self.duration_s),
            "leaseTransitions": epoch,
            "acquireTime": now.strftime(TIME_FORMAT),
            "renewTime": now.strftime(TIME_FORMAT),
        }
        try:
            await self.api.replace(live)
        except Inconsistent:
            return False
        self.epoch = epoch
        log.info("Holding the Lease", lease=self.name, epoch=epoch)
        return True
