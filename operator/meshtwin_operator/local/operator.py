"""The operator of local mode: composition and life of everything behind ``meshtwin up``."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from meshtwin.connectors.mqtt import BrokerSettings
from meshtwin.errors import InvalidInput
from meshtwin_operator.local.brokers import LocalBrokers
from meshtwin_operator.local.driver import LocalDriver
from meshtwin_operator.local.folder import FolderReport, fingerprint, sync_folder
from meshtwin_operator.local.state import Lock, StateFolder
from meshtwin_operator.local.store import Store
from meshtwin_operator.local.supervisor import Supervisor
from meshtwin_operator.local.users import local_user
from meshtwin_operator.local.workloads import LocalWorkloads, rest_key_name
from meshtwin_operator.local.world import LocalWorld, ObjectCache
from meshtwin_operator.reconcile.naming import OPERATOR_IDENTITY
from meshtwin_operator.reconcile.world import BrokerView, ObjectKey
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

__all__ = ["LocalOperator"]

log = structlog.get_logger(__name__)

FOLDER_POLL_S: Final = 0.5  # edits are picked up within a second
ACCOUNTS_POLL_S: Final = 1.0  # rotated passwords


class LocalOperator:
    """``meshtwin up FOLDER``: one per state folder. ``say`` gets lines for the user."""

    def __init__(self, folder: Path, state: StateFolder, *, say: Callable[[str], None]) -> None:
        self._folder, self._state, self._say = folder, state, say
        self.started = asyncio.Event()

    async def run(self) -> None:
        """Run until cancelled; raises `InvalidInput` if the state is in use or the folder is none."""
        if not self._folder.is_dir():
            raise InvalidInput(f"{self._folder} is not a folder: name one with manifests", reason="NotFound")
        self._state.prepare()
        lock = Lock(self._state)
        lock.acquire()
        store = Store(self._state.store)
        try:
            await self._run(store)
        finally:
            store.close()
            lock.release()

    async def _run(self, store: Store) -> None:
        epoch = store.next_epoch()
        self._report(sync_folder(self._folder, store, user=local_user()), first=True)
        queue: WorkQueue[ObjectKey] = WorkQueue()
        cache = ObjectCache(store)
        supervisor = Supervisor(
            logs=self._state.logs,
            pid_file=self._state.root / "children.json",
            changed=lambda name: self._child_changed(name, queue, workloads),
        )
        await supervisor.end_leftovers()
        brokers = LocalBrokers(state=self._state, supervisor=supervisor)
        workloads = LocalWorkloads(state=self._state, supervisor=supervisor, brokers=brokers, config_map=cache.raw)

        def news(keys: tuple[ObjectKey, ...]) -> None:
            for key in keys:
                queue.add(key)

        def broker(namespace: str, root_twin: str) -> BrokerView | None:
            view = brokers.view(namespace, root_twin)
            return view and replace(view, connected=fleet.is_connected(namespace, root_twin))

        fleet = Fleet(changed=news, now=_now)
        runs = Runs(operator_key=self._operator_key, changed=queue.add, now=_now)
        world = LocalWorld(cache=cache, fleet=fleet, runs=runs, epoch=epoch, workload=workloads.view, broker=broker)
        driver = LocalDriver(
            store=store,
            cache=cache,
            queue=queue,
            world=world,
            workloads=workloads,
            fleet=fleet,
            runs=runs,
            clock=_now,
        )
        self._say(f"meshtwin is up: {self._folder} (state {self._state.root}, epoch {epoch})")
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(driver.run())
                group.create_task(self._watch_folder(store))
                group.create_task(self._keep_connected(fleet, brokers))
                self.started.set()
        finally:
            queue.close()
            with contextlib.suppress(Exception):
                await runs.close()
            with contextlib.suppress(Exception):
                await fleet.close()
            await supervisor.stop_all()
            await workloads.close()
            self._say("meshtwin is down: all children ended, the state is kept")

    async def _watch_folder(self, store: Store) -> None:
        seen = await asyncio.to_thread(fingerprint, self._folder)
        while True:
            await asyncio.sleep(FOLDER_POLL_S)
            current = await asyncio.to_thread(fingerprint, self._folder)
            if current != seen:
                seen = current
                self._report(self._sync(store), first=False)

    def _sync(self, store: Store) -> FolderReport:
        try:
            return sync_folder(self._folder, store, user=local_user())
        except Exception as error:
            # A manifest that trips a bug of ours must not stop the twins; the next edit is looked at again.
            log.exception("Failing to read the folder", folder=str(self._folder))
            return FolderReport(problems=(f"the folder was not read: {type(error).__name__}: {error}",))

    async def _keep_connected(self, fleet: Fleet, brokers: LocalBrokers) -> None:
        connected: set[tuple[str, str]] = set()
        while True:
            wanted = set(brokers.roots())
            for namespace, root in wanted - connected:
                view = brokers.view(namespace, root)
                if view is None:
                    continue
                password = brokers.password_file(namespace, root, OPERATOR_IDENTITY).read_text().strip()
                settings = BrokerSettings(host=view.host, port=view.port, username=OPERATOR_IDENTITY, password=password)
                await fleet.connect(namespace, root, settings)
                connected.add((namespace, root))
            for namespace, root in connected - wanted:
                await fleet.disconnect(namespace, root)
                connected.discard((namespace, root))
            for workload in brokers.refresh():
                await brokers.apply(workload)
            for workload in brokers.workloads():
                tree = (workload.namespace, workload.root_twin)
                await fleet.clear(*tree, fleet.departed(*tree, workload.gateways, workload.twins))
            await asyncio.sleep(ACCOUNTS_POLL_S if connected else 0.1)

    def _child_changed(self, name: str, queue: WorkQueue[ObjectKey], workloads: LocalWorkloads) -> None:
        owner = workloads.owner(name)
        if owner is not None:
            queue.add(owner)

    def _operator_key(self, namespace: str, root_twin: str, _workload: str) -> bytes:
        """The tree's: all processes are one user's, who reads every file, so keys of twins would divide nothing."""
        return self._state.secret(rest_key_name(namespace, root_twin)).read_bytes().strip()

    def _report(self, report: FolderReport, *, first: bool) -> None:
        for key in report.applied:
            self._say(f"{key.kind.lower()}/{key.name} {'taken' if first else 'changed'}")
        for key in report.deleted:
            self._say(f"{key.kind.lower()}/{key.name} removed")
        for problem in report.problems:
            self._say(f"not taken: {problem}")


def _now() -> datetime:
    return datetime.now(UTC)
