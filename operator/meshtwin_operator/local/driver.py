"""Carries out in local mode what `reconcile` decides: children and records, then status, then what goes out.

What goes out (commands, runs) is sent only after the status that announces it is durable, written under the
resourceVersion that the decision had read.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, assert_never

import structlog

from meshtwin.errors import Inconsistent, MeshTwinError
from meshtwin_operator.local.policy import OPERATOR_USER
from meshtwin_operator.local.store import Store
from meshtwin_operator.local.workloads import LocalWorkloads
from meshtwin_operator.local.world import LocalWorld, ObjectCache
from meshtwin_operator.reconcile.dispatch import reconcile, related
from meshtwin_operator.reconcile.outcome import (
    Action,
    ApplyWorkload,
    CreateRecord,
    DeleteRecord,
    DeleteWorkload,
    Outcome,
    PublishCommand,
    StartRun,
)
from meshtwin_operator.reconcile.unapplied import say_unapplied
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.kinds import KINDS_BY_NAME
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

__all__ = ["LocalDriver"]

log = structlog.get_logger(__name__)

POLL_S: Final = 0.05  # how soon another process's write (an approval) is seen; the look costs microseconds
SWEEP_S: Final = 30.0  # everything is looked at again


class LocalDriver:
    """One worker over the queue, and the loops that fill it."""

    def __init__(
        self,
        *,
        store: Store,
        cache: ObjectCache,
        queue: WorkQueue[ObjectKey],
        world: LocalWorld,
        workloads: LocalWorkloads,
        fleet: Fleet,
        runs: Runs,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._cache, self._queue, self._world = store, cache, queue, world
        self._workloads, self._fleet, self._runs, self._clock = workloads, fleet, runs, clock
        self.observers: list[Callable[[ObjectKey, Mapping[str, Any] | None], None]] = []

    async def run(self) -> None:
        """Work until cancelled."""
        self.queue_all()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._work())
            group.create_task(self._watch())
            group.create_task(self._sweep())

    def queue_all(self) -> None:
        """Look at everything."""
        for key in self._cache.list_keys():
            if key.kind in KINDS_BY_NAME:
                self._queue.add(key)

    def queue_with_related(self, key: ObjectKey) -> None:
        """Look at an object that changed, and at those it concerns."""
        if key.kind == "ConfigMap":
            for segment in related(key, self._world):
                self.queue_with_related(segment)
            return
        self._queue.add(key)
        for other in related(key, self._world):
            self._queue.add(other)

    async def take_changes(self) -> None:
        """Bring the cache up to date with the store and queue what changed."""
        changed = self._cache.update()
        for key in changed:
            for observer in self.observers:
                observer(key, self._cache.raw(key))
            self.queue_with_related(key)
        if any(self._cache.raw(key) is None for key in changed):
            gone = await self._workloads.keep_only(set(self._cache.list_keys()))
            for name in gone:
                log.info("Ended child without owner", child=name)

    async def _watch(self) -> None:
        seen = -1
        while True:
            version = self._store.data_version()
            if version != seen:
                seen = version
                await self.take_changes()
            await asyncio.sleep(POLL_S)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            self.queue_all()

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._look_at(key)
                self._queue.forget(key)
            except Inconsistent as error:
                log.debug("Looking again, somebody wrote first", key=str(key), problem=str(error))
                await self.take_changes()
                self._queue.retry(key)
            except MeshTwinError as error:
                report = log.warning if self._queue.failures(key) in (3, 8) else log.debug
                report("Trying again", key="/".join(key), problem=str(error))
                self._queue.retry(key)
            except Exception:
                # A bug in one object's handling must not stop the others; it is logged and retried.
                log.exception("Failing to reconcile", key="/".join(key))
                self._queue.retry(key)
            finally:
                self._queue.done(key)

    async def _look_at(self, key: ObjectKey) -> None:
        await self.take_changes()
        raw = self._cache.raw(key)
        outcome = reconcile(key, self._world, self._clock())
        try:
            for action in outcome.before:
                await self._act(action)
        except MeshTwinError as error:
            resource = self._world.get(key)
            if raw is not None and isinstance(resource, DigitalTwin | MeshSegment):
                self._tell(key, raw, say_unapplied(outcome, resource, error, self._clock()) or Outcome())
            raise
        self._tell(key, raw, outcome)
        for action in outcome.after:
            await self._act(action)
        await self.take_changes()
        for other in outcome.touch:
            self._queue.add(other)
        if outcome.requeue_after_s is not None:
            self._queue.add_after(key, outcome.requeue_after_s)

    def _tell(self, key: ObjectKey, raw: Mapping[str, Any] | None, outcome: Outcome) -> None:
        """Write the status if it differs, and the events."""
        if outcome.status is not None and raw is not None and raw.get("status") != outcome.status:
            metadata = raw["metadata"]
            expected = metadata["resourceVersion"] if outcome.after else None
            self._store.write_status(key, outcome.status, uid=metadata["uid"], expected_version=expected)
        for event in outcome.events:
            self._store.post_event(key, event.type, event.reason, event.message)

    async def _act(self, action: Action) -> None:
        match action:
            case ApplyWorkload(workload):
                await self._workloads.apply(workload)
            case DeleteWorkload(namespace, name, _):
                await self._workloads.delete(namespace, name)
            case CreateRecord(manifest):
                self._create(manifest)
            case DeleteRecord(key):
                self._store.delete(key)
            case PublishCommand():
                await self._fleet.publish_command(action)
            case StartRun():
                await self._runs.start(action)
            case _:
                assert_never(action)

    def _create(self, manifest: Mapping[str, Any]) -> None:
        try:
            self._store.create(manifest, user=OPERATOR_USER)
        except Inconsistent as error:
            if error.reason != "AlreadyExists":
                raise
