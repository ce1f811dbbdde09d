"""What the driver of local mode writes down."""

from datetime import UTC, datetime
from typing import Any

import pytest

from meshtwin.errors import Unavailable
from meshtwin_operator.local.driver import LocalDriver
from meshtwin_operator.local.store import Store
from meshtwin_operator.local.world import LocalWorld, ObjectCache
from meshtwin_operator.reconcile.outcome import Workload
from meshtwin_operator.reconcile.world import ObjectKey, WorkloadView
from meshtwin_operator.southbound.fleet import Fleet
from meshtwin_operator.southbound.runs import Runs
from meshtwin_operator.workqueue import WorkQueue

TWIN = ObjectKey("DigitalTwin", "buildings", "office")


class Refusing:
    """Children that cannot be made, since the token of a model is missing."""

    async def apply(self, workload: Workload) -> None:
        raise Unavailable(f"no token for {workload.name}", reason="ModelCredentials")

    async def keep_only(self, owners: set[ObjectKey]) -> list[str]:
        return []


def now() -> datetime:
    return datetime.now(UTC)


async def test_a_child_that_cannot_be_made_is_told_in_the_status_of_its_twin(store: Store, twin: Any) -> None:
    store.create(twin, user="alice")
    cache, queue = ObjectCache(store), WorkQueue[ObjectKey]()
    fleet = Fleet(changed=lambda _: None, now=now)
    runs = Runs(operator_key=lambda *_: b"", changed=queue.add, now=now)
    children = {"workload": lambda *_: WorkloadView(exists=True, ready=True), "broker": lambda *_: None}
    world = LocalWorld(cache=cache, fleet=fleet, runs=runs, epoch=1, **children)  # type: ignore[arg-type]  # of any name
    driver = LocalDriver(
        store=store,
        cache=cache,
        queue=queue,
        world=world,
        workloads=Refusing(),  # type: ignore[arg-type]  # what is used of it
        fleet=fleet,
        runs=runs,
        clock=now,
    )
    with pytest.raises(Unavailable):
        await driver._look_at(TWIN)
    found = store.get(TWIN)
    assert found is not None
    told = {c["type"]: (c["status"], c["reason"]) for c in found["status"]["conditions"]}
    assert told["Stalled"] == ("True", "ModelCredentials")
    assert [event.reason for event in store.events(TWIN)] == ["ModelCredentials"]
    await runs.close()
    await fleet.close()
