"""Carries out what `reconcile` decides: children and records, then the status, then what leaves the cluster.

Nothing mutating is sent when nothing changed. What leaves the cluster is sent only after the status that
announces it was written under the resourceVersion that the decision had read.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, assert_never

import structlog
from prometheus_client import Counter, Gauge, Histogram

from meshtwin.errors import Inconsistent, InvalidInput, MeshTwinError, Unavailable
from meshtwin_operator.kube.api import KubeApi, path_of
from meshtwin_operator.kube.cache import Cache, key_of, owners_of
from meshtwin_operator.kube.compare import is_as_desired, with_hash
from meshtwin_operator.kube.events import EventPoster
from meshtwin_operator.kube.ownership import check_child, is_made_by_operator
from meshtwin_operator.kube.render import RenderSettings, render_workload
from meshtwin_operator.kube.tree_secrets import TreeSecrets
from meshtwin_operator.reconcile.dispatch import reconcile, related
from meshtwin_operator.reconcile.naming import owner_of_workload
from meshtwin_operator.reconcile.outcome import (
    Action,
    ApplyWorkload,
    CreateRecord,
    DeleteRecord,
    DeleteWorkload,
    KubeEvent,
    Outcome,
    PublishCommand,
    StartRun,
    Workload,
    WorkloadRole,
)
from meshtwin_operator.reconcile.relations import shown_above
from meshtwin_operator.reconcile.unapplied import say_unapplied
from meshtwin_operator.reconcile.world import ObjectKey, World
from meshtwin_operator.resources.kinds import KINDS_BY_NAME
from meshtwin_operator.resources.twins import DigitalTwin, MeshSegment
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

__all__ = ["Driver", "run_workers"]

log = structlog.get_logger(__name__)

RECONCILES = Counter("meshtwin_reconcile_total", "Decisions carried out", ["kind", "result"])
RECONCILE_SECONDS = Histogram("meshtwin_reconcile_seconds", "Time of one decision and its effects", ["kind"])
QUEUE_DEPTH = Gauge("meshtwin_queue_keys", "Keys waiting to be looked at")
ROLL_UP_AFTER_S: Final = 0.5  # who looks at 1,000 segments is not called for each change of one of them

# Children of a workload, deleted in this order when it is not wanted any more.
CHILD_KINDS: Final = ("StatefulSet", "Service", "NetworkPolicy", "ConfigMap")


class Driver:
    """Workers over one queue. ``clock`` gives the aware time of now."""

    def __init__(
        self,
        *,
        api: KubeApi,
        cache: Cache,
        queue: WorkQueue[ObjectKey],
        world: World,
        fleet: Fleet,
        runs: Runs,
        secrets: TreeSecrets,
        settings: RenderSettings,
        clock: Callable[[], datetime],
    ) -> None:
        self._api, self._cache, self._queue, self._world = api, cache, queue, world
        self._fleet, self._runs, self._secrets = fleet, runs, secrets
        self._settings, self._clock = settings, clock
        self._events = EventPoster(api, clock=clock)
        self._shown_above: dict[ObjectKey, tuple[object, ...]] = {}
        self._writing: dict[ObjectKey, Mapping[str, Any]] = {}  # sent, not answered yet
        self.turned_s = time.monotonic()

    def queue_with_related(self, key: ObjectKey) -> None:
        """Look at an object that changed, and at those it concerns."""
        self._queue.add(key)
        self._queue_related(key)

    def is_echo(self, raw: Mapping[str, Any]) -> bool:
        """Whether a watch tells of our own write before its answer came: nobody need look for that.

        Should the object be changed again before the answer comes, then `_send` sees to it.
        """
        sent = self._writing.get(key_of(raw))
        return sent is not None and is_as_desired(raw, sent)

    def inventory_changed(self, key: ObjectKey) -> None:
        """Look at the segments that name a ConfigMap, and at those they concern."""
        for segment in related(key, self._world):
            self.queue_with_related(segment)

    def _queue_related(self, key: ObjectKey) -> None:
        is_news_above = self._is_news_above(key)
        for other in related(key, self._world):
            if other.kind == "Pipeline" and key.kind == "MeshSegment":
                self._queue.add_after(other, ROLL_UP_AFTER_S)
            elif other.kind != "DigitalTwin" or key.kind == "DigitalTwin":
                self._queue.add(other)
            elif is_news_above:
                self._queue.add_after(other, ROLL_UP_AFTER_S)

    def _is_news_above(self, key: ObjectKey) -> bool:
        """Whether the twins above an object see a difference; of a segment they read little."""
        if key.kind != "MeshSegment":
            return True
        segment = self._world.get(key)
        if not isinstance(segment, MeshSegment):
            self._shown_above.pop(key, None)
            return True
        shown, before = shown_above(segment), self._shown_above.get(key)
        self._shown_above[key] = shown
        return shown != before

    async def work(self) -> None:
        """One worker; never returns."""
        while True:
            key = await self._queue.get()
            started_s = time.monotonic()
            try:
                await self._look_at(key)
                RECONCILES.labels(key.kind, "ok").inc()
                self._queue.forget(key)
            except Inconsistent as error:
                log.debug("Looking again, somebody wrote first", key=str(key), problem=str(error))
                RECONCILES.labels(key.kind, "conflict").inc()
                self._queue.retry(key)
            except MeshTwinError as error:
                log.warning("Trying again", key=str(key), problem=str(error))
                RECONCILES.labels(key.kind, "error").inc()
                self._queue.retry(key)
            except Exception:
                # A bug in one object's handling must not stop the others; it is counted, logged and retried.
                log.exception("Failing to reconcile", key=str(key))
                RECONCILES.labels(key.kind, "bug").inc()
                self._queue.retry(key)
            finally:
                self._queue.done(key)
                self.turned_s = time.monotonic()
                RECONCILE_SECONDS.labels(key.kind).observe(self.turned_s - started_s)
                QUEUE_DEPTH.set(self._queue.depth)

    async def _look_at(self, key: ObjectKey) -> None:
        raw = self._cache.raw(key)
        outcome = reconcile(key, self._world, self._clock())
        try:
            for action in outcome.before:
                await self._act(action)
        except MeshTwinError as error:
            await self._say_why_not(key, raw, outcome, error)
            raise
        if outcome.status is not None and raw is not None:
            await self._write_status(key, raw, outcome)
        if raw is None and key.kind == "DigitalTwin":
            await self._secrets.forget(key.namespace, key.name)
        for action in outcome.after:
            await self._act(action)
        for event in outcome.events:
            await self._events.post(key, raw, event)
        for other in outcome.touch:
            self._queue.add(other)
        if outcome.requeue_after_s is not None:
            self._queue.add_after(key, outcome.requeue_after_s)

    async def _say_why_not(
        self, key: ObjectKey, raw: Mapping[str, Any] | None, outcome: Outcome, error: MeshTwinError
    ) -> None:
        """A twin or segment whose children cannot be applied says so."""
        resource = self._world.get(key)
        if raw is None or not isinstance(resource, DigitalTwin | MeshSegment):
            return
        instead = say_unapplied(outcome, resource, error, self._clock())
        if instead is not None:
            await self._write_status(key, raw, instead)
            for event in instead.events:
                await self._events.post(key, raw, event)

    async def _write_status(self, key: ObjectKey, raw: Mapping[str, Any], outcome: Outcome) -> None:
        if raw.get("status") == outcome.status:
            return
        metadata = {"name": key.name, "namespace": key.namespace}
        if outcome.after:
            metadata["resourceVersion"] = raw["metadata"]["resourceVersion"]
        sent = {
            "apiVersion": path_of(key.kind).api_version,
            "kind": key.kind,
            "metadata": metadata,
            "status": outcome.status,
        }
        written = await self._send(key, sent, sub="status")
        if written["metadata"].get("generation") != raw["metadata"].get("generation"):
            self._queue.add(key)  # the spec is another than the decision read
        self._queue_related(key)

    async def _send(self, key: ObjectKey, sent: Mapping[str, Any], *, sub: str | None = None) -> dict[str, Any]:
        """Apply, and take the answer into the cache."""
        self._writing[key] = sent if sub is None else {sub: sent[sub]}
        try:
            written = await self._api.apply(sent, sub=sub)
        finally:
            del self._writing[key]
        if not self._cache.put(written) and self._cache.version(key) != written["metadata"]["resourceVersion"]:
            # Changed by somebody else since: the watch told it while we took it for our own write.
            for user in owners_of(written) if key.kind not in KINDS_BY_NAME else (key,):
                self._queue.add(user)
        return written

    async def _act(self, action: Action) -> None:
        match action:
            case ApplyWorkload(workload):
                await self._apply_workload(workload)
            case DeleteWorkload(namespace, name, role):
                for kind in CHILD_KINDS:
                    live = self._cache.raw(ObjectKey(kind, namespace, name))
                    if live is not None and is_made_by_operator(live):
                        await self._api.delete(kind, namespace, name)
                if role is WorkloadRole.BROKER and (owner := owner_of_workload(name)) is not None:
                    await self._secrets.forget(namespace, owner[1], only_embedded=True)
            case CreateRecord(manifest):
                created = await self._api.create(manifest)
                if created is not None:
                    self._cache.put(created)
                    self.queue_with_related(key_of(created))
            case DeleteRecord(key):
                await self._api.delete(key.kind, key.namespace, key.name)
            case PublishCommand():
                await self._fleet.publish_command(action)
            case StartRun():
                await self._runs.start(action)
            case _:
                assert_never(action)

    async def _apply_workload(self, workload: Workload) -> None:
        await self._connect_external(workload)
        secret_hash = await self._secrets.ensure(workload)
        address = self._broker_address(workload)
        for manifest in render_workload(workload, self._settings, address, secret_hash):
            desired = with_hash(manifest)
            key = key_of(desired)
            live = self._cache.raw(key)
            if is_as_desired(live, desired):
                continue
            # What does not carry our label is not watched: before something is made, its place is looked at.
            check_child(live or await self._api.get(*key), desired)
            await self._apply_child(key, desired)

    async def _apply_child(self, key: ObjectKey, desired: Mapping[str, Any]) -> None:
        try:
            await self._send(key, desired)
        except InvalidInput as error:
            if key.kind == "PersistentVolumeClaim":
                # Its class may not let it grow: say it, and let the other children be.
                log.warning("Leaving a volume claim as it is", key=str(key), problem=str(error))
                event = KubeEvent(reason="ClaimUnchanged", message=f"{key.name}: {error}"[:1024], type="Warning")
                for owner in owners_of(desired):
                    await self._events.post(owner, self._cache.raw(owner), event)
                return
            if self._cache.raw(key) is None:
                raise
            log.info("Overwriting what somebody edited", key=str(key), problem=str(error))
            await self._api.overwrite(desired)
            await self._send(key, desired)

    async def _connect_external(self, workload: Workload) -> None:
        """At the parent twin of a root with somebody else's broker: what an embedded broker's look would do."""
        root = self._world.get(ObjectKey("DigitalTwin", workload.namespace, workload.root_twin))
        if workload.role is not WorkloadRole.PARENT_TWIN or workload.owner.name != workload.root_twin:
            return
        if isinstance(root, DigitalTwin) and root.spec.broker is not None and root.spec.broker.external is not None:
            await self._secrets.ensure_external(root, workload)

    def _broker_address(self, workload: Workload) -> tuple[str, int, bool] | None:
        """Where a twin finds its broker. After a start it is unknown until the root of the tree was looked at."""
        if workload.role is WorkloadRole.BROKER:
            return None
        broker = self._world.broker(workload.namespace, workload.root_twin)
        if broker is None:
            raise Unavailable(f"waiting for the broker of twin {workload.root_twin}")
        return broker.host, broker.port, broker.tls


async def run_workers(driver: Driver, count: int) -> None:
    """Run ``count`` workers until cancelled."""
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            group.create_task(driver.work())
