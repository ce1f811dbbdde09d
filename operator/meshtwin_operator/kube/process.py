"""The driver's own thread and event loop: kopf's loop is shared with nobody.

Life: connect, take the Lease, list everything, then workers, watchers and the sweep, until the Lease is lost.
"""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from meshtwin.errors import MeshTwinError
from meshtwin_operator.inventories import INVENTORY_LABEL
from meshtwin_operator.kube.api import KubeApi
from meshtwin_operator.kube.cache import Cache, key_of, owners_of
from meshtwin_operator.kube.driver import Driver, run_workers
from meshtwin_operator.kube.health import serve_health
from meshtwin_operator.kube.lease import Lease
from meshtwin_operator.kube.secret_store import SecretStore
from meshtwin_operator.kube.settings import OperatorSettings
from meshtwin_operator.kube.tree_secrets import TreeSecrets
from meshtwin_operator.kube.watching import Watcher
from meshtwin_operator.kube.world import KubeWorld
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.kinds import KINDS
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

__all__ = ["OperatorProcess"]

log = structlog.get_logger(__name__)

SWEEP_S: Final = 300  # level-triggered safety net; one list per kind
STUCK_S: Final = 120  # a worker that did not turn for so long while keys wait is stuck
CHILD_SELECTOR: Final = "app.kubernetes.io/managed-by=meshtwin-operator"
INVENTORY_SELECTOR: Final = f"{INVENTORY_LABEL}=true"
CHILD_KINDS: Final = ("StatefulSet", "Service", "ConfigMap", "NetworkPolicy", "PersistentVolumeClaim", "Pod")


class OperatorProcess:
    """Everything of the operator but kopf. `start` returns at once; `seen` may be called from any thread."""

    def __init__(self, settings: OperatorSettings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
        self._cache = Cache()
        self._task: asyncio.Task[None] | None = None
        self._driver: Driver | None = None
        self._queue: WorkQueue[ObjectKey] = WorkQueue()
        self._lease: Lease | None = None
        self._deaf: set[ObjectKey] = set()
        self._suspects: dict[ObjectKey, str] = {}
        self._started = False

    def start(self) -> None:
        """Start the thread and the health server."""
        serve_health(self._settings.health_port, self._alive, self._ready)
        self._thread.start()

    def stop(self) -> None:
        """Release the Lease and end the thread."""
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(timeout=10)

    def seen(self, kind: str, raw: Mapping[str, Any], *, deleted: bool) -> None:
        """Take one event of a watch; called from kopf's thread."""
        # Our own kinds carry no nodes: a shallow copy is enough, kopf does not change what it hands out.
        self._loop.call_soon_threadsafe(self._take, kind, dict(raw), deleted)

    def _take(self, kind: str, raw: dict[str, Any], deleted: bool) -> None:
        raw["kind"] = kind
        key = key_of(raw)
        if deleted:
            self._cache.drop(key, raw["metadata"].get("uid"))
        elif not self._cache.put(raw):
            return
        if self._driver is not None and (deleted or not self._driver.is_echo(raw)):
            self._driver.queue_with_related(key)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._task = self._loop.create_task(self._live())
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            return  # by `stop`
        except BaseException:
            log.exception("Stopping, the driver failed")
        os.kill(os.getpid(), signal.SIGTERM)  # kopf ends, and with it the process

    async def _live(self) -> None:
        api = await KubeApi.connect()
        self._lease = Lease(
            api=api,
            namespace=self._settings.operator_namespace,
            name=self._settings.lease_name,
            identity=self._settings.identity,
            clock=_now,
        )
        await self._take_lease()
        try:
            await self._act(api, self._lease)
        finally:
            await self._lease.release()
            await api.close()

    async def _take_lease(self) -> None:
        assert self._lease is not None  # noqa: S101  # set by the caller
        while True:
            try:
                await self._lease.take()
                return
            except MeshTwinError as error:
                log.warning("Retrying to take the Lease", problem=str(error))
                await asyncio.sleep(2.0)

    async def _act(self, api: KubeApi, lease: Lease) -> None:
        fleet = Fleet(changed=self._gateway_changed, now=_now)
        store = SecretStore(api, changed=self._queue.add)
        secrets = TreeSecrets(
            store,
            fleet,
            now=_now,
            service=lambda namespace, name: self._cache.raw(ObjectKey("Service", namespace, name)),
        )
        runs = Runs(operator_key=secrets.operator_key, changed=self._queue.add, now=_now)
        world = KubeWorld(self._cache, fleet, runs, epoch=lambda: lease.epoch, broker=secrets.broker)
        driver = Driver(
            api=api,
            cache=self._cache,
            queue=self._queue,
            world=world,
            fleet=fleet,
            runs=runs,
            secrets=secrets,
            settings=self._settings.render,
            clock=_now,
        )
        held = asyncio.create_task(lease.hold())
        watchers = [
            Watcher(api, self._cache, kind=kind, namespace=namespace, selector=selector, changed=self._child)
            for namespace in self._settings.namespaces or (None,)
            for kind, selector in [
                *((k, CHILD_SELECTOR) for k in CHILD_KINDS),
                ("ConfigMap", INVENTORY_SELECTOR),
            ]
        ]
        tasks = [asyncio.create_task(watcher.run()) for watcher in watchers]
        for watcher in watchers:
            await watcher.synced.wait()
        await self._sweep_once(api)
        self._driver = driver
        for kind in KINDS:
            for key in self._cache.keys(kind.kind_name):
                self._queue.add(key)
        tasks += [
            asyncio.create_task(run_workers(driver, self._settings.workers)),
            asyncio.create_task(self._sweep(api)),
            asyncio.create_task(store.keep_fresh()),
            held,
        ]
        self._started = True
        log.info("Reconciling", epoch=lease.epoch, namespaces=self._settings.namespaces or "all")
        try:
            # Whatever ends first ends the process: the Lease is lost, or a loop has a bug.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._driver = None
            for task in tasks:
                task.cancel()
            await runs.close()
            await fleet.close()

    async def _sweep(self, api: KubeApi) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await self._sweep_once(api)
            except MeshTwinError as error:
                log.warning("Sweeping later", problem=str(error))
                continue
            for kind in KINDS:
                for key in self._cache.keys(kind.kind_name):
                    self._queue.add(key)

    async def _sweep_once(self, api: KubeApi) -> None:
        """List all our objects: what a watch missed is put right, and remembered as a sign of deafness."""
        suspects: dict[ObjectKey, str] = {}
        for kind in KINDS:
            here: set[ObjectKey] = set()
            for namespace in self._settings.namespaces or (None,):
                items, _ = await api.list(kind.kind_name, namespace)
                for item in items:
                    key = key_of(item)
                    here.add(key)
                    if self._cache.version(key) != item["metadata"]["resourceVersion"]:
                        suspects[key] = item["metadata"]["resourceVersion"]
                    self._cache.put(item)
            for key in list(self._cache.keys(kind.kind_name)):
                if key not in here:
                    self._cache.drop(key)
                    self._queue.add(key)
        if self._started:
            # Missed twice in a row, at two sweeps: the watch of that kind delivers nothing any more.
            self._deaf = set(suspects) & set(self._suspects)
        self._suspects = suspects

    def _child(self, key: ObjectKey, raw: dict[str, Any]) -> None:
        if self._driver is None:
            return
        if self._cache.version(key) is None or not self._driver.is_echo(raw):
            for owner in owners_of(raw):
                self._queue.add(owner)
        if key.kind == "Pod":
            self._pod(key, raw)
        if key.kind == "ConfigMap" and raw["metadata"].get("labels", {}).get(INVENTORY_LABEL) == "true":
            self._driver.inventory_changed(key)

    def _pod(self, key: ObjectKey, raw: dict[str, Any]) -> None:
        """A pod is owned by its StatefulSet: look at that one's owner."""
        name = raw["metadata"].get("labels", {}).get("meshtwin.dev/workload", "")
        parent = self._cache.raw(ObjectKey("StatefulSet", key.namespace, name))
        for owner in owners_of(parent or {"metadata": {}}):
            self._queue.add(owner)

    def _gateway_changed(self, keys: tuple[ObjectKey, ...]) -> None:
        for key in keys:
            self._queue.add(key)

    def _alive(self) -> str | None:
        if not self._thread.is_alive():
            return "the driver's thread has ended"
        if self._deaf:
            return f"watches are deaf: {sorted(self._deaf)[0]} changed and was not delivered"
        driver = self._driver
        if driver is not None and self._queue.depth and time.monotonic() - driver.turned_s > STUCK_S:
            return f"no worker turned for {STUCK_S} s while {self._queue.depth} keys wait"
        return None

    def _ready(self) -> str | None:
        if self._lease is None or not self._lease.epoch:
            return "waiting for the Lease"
        return None if self._started else "listing what is there"


def _now() -> datetime:
    return datetime.now(UTC)
