"""Questions to the parent twin's models: starting a run, following it, taking its figures over."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from meshtwin.contract.wire import SettingsEntry
from meshtwin.recipes.messages import PredictionModel, RunStatus, WhatIfRequest
from meshtwin_operator.reconcile.naming import parent_workload, run_id
from meshtwin_operator.reconcile.outcome import StartRun
from meshtwin_operator.reconcile.tree import Lineage
from meshtwin_operator.reconcile.world import World
from meshtwin_operator.resources.base import Metadata
from meshtwin_operator.resources.settings import PredictionRecord, SettingsSpec

__all__ = ["find_run", "is_twin_ready", "start_run", "start_what_if", "to_prediction", "why_unanswered"]

RUN_TRIES: Final = 3
TWIN_ENDED: Final = frozenset({"Interrupted", "WorkerDied"})  # reasons of a run that may go well another time


def is_twin_ready(world: World, lineage: Lineage) -> bool:
    """Whether the parent twin answers and says that it has heard enough."""
    namespace, name = lineage.twin.metadata.namespace, parent_workload(lineage.twin.metadata.name)
    summary = world.summary(namespace, name)
    return world.workload(namespace, name).ready and summary is not None and summary.online and summary.ready


def find_run(world: World, asker: Metadata, *purpose: object) -> tuple[str, RunStatus | None]:
    """Id and answer of the run for an object's question, which is another one where a twin ended half-way.

    That a twin ended says nothing of the question. The answer is None while there is none.
    """
    for attempt in range(RUN_TRIES):
        run = run_id(asker.uid, *purpose, *([attempt] if attempt else []))
        view = world.run(asker.namespace, run)
        answer = view.status if view else None
        if answer is None or answer.error is None or answer.error.reason not in TWIN_ENDED:
            break
    return run, answer


def why_unanswered(world: World, namespace: str, run: str) -> str | None:
    """Why the twin that was asked does not answer; None: it does, or has just been asked."""
    view = world.run(namespace, run)
    if view is None or view.status is not None or view.problem is None:
        return None
    return f"the parent twin does not answer: {view.problem}"


def start_run(world: World, lineage: Lineage, path: str, run_id: str, body: Mapping[str, Any]) -> StartRun:
    """Ask the parent twin of ``lineage`` to run something."""
    namespace, name = lineage.twin.metadata.namespace, parent_workload(lineage.twin.metadata.name)
    return StartRun(
        workload=name,
        path=path,
        run_id=run_id,
        body=body,
        namespace=namespace,
        root_twin=lineage.root.metadata.name,
        url=world.workload(namespace, name).url,
    )


def start_what_if(
    world: World,
    lineage: Lineage,
    *,
    run_id: str,
    segment: str,
    settings: Sequence[SettingsSpec],
    failed_nodes: Sequence[str] = (),
    changes: Mapping[str, Any] | None = None,
    seed: int | None = None,
    replications: int = 8,
) -> StartRun:
    """Ask the parent twin what would happen; ``changes``: further fields of the request, as they stand in JSON.

    Raises `InvalidInput` for settings that cannot be, ``ValidationError`` for changes that are none.
    """
    request = WhatIfRequest.model_validate(
        {
            "run_id": run_id,
            "segment": segment,
            "settings": [SettingsEntry.from_value(entry.to_value()) for entry in settings],
            "failed_nodes": [node.lower() for node in failed_nodes],
            "seed": seed,
            "replications": replications,
            "probe_messages": lineage.twin.spec.push.probe_messages,
            **(changes or {}),
        }
    )
    body = request.model_dump(mode="json", by_alias=True, exclude_none=True)
    return start_run(world, lineage, "/api/v1/whatifs", run_id, body)


def to_prediction(model: PredictionModel) -> PredictionRecord:
    """The twin's figures as they stand in a resource."""
    return PredictionRecord.model_validate(model.model_dump(mode="json", by_alias=True, exclude_none=True))
