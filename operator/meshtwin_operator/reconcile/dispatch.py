"""The one door into the core: which decision belongs to which kind, and whom a change concerns.

Besides our kinds there are keys of news: ``Gateway`` (name: gateway id), ``Twin`` (name: workload) and ``Run``
(name: run id). They are no objects; looking at one touches the objects it concerns.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from meshtwin_operator.reconcile.approval import reconcile_approval
from meshtwin_operator.reconcile.configuration import reconcile_configuration
from meshtwin_operator.reconcile.digital_twin import reconcile_twin
from meshtwin_operator.reconcile.mesh_segment import reconcile_segment
from meshtwin_operator.reconcile.outcome import KubeEvent, Outcome
from meshtwin_operator.reconcile.pipeline import reconcile_pipeline
from meshtwin_operator.reconcile.proposal import reconcile_proposal
from meshtwin_operator.reconcile.recipe import reconcile_recipe
from meshtwin_operator.reconcile.relations import NEWS_KINDS, related
from meshtwin_operator.reconcile.what_if import reconcile_what_if
from meshtwin_operator.reconcile.world import ObjectKey, World

__all__ = ["NEWS_KINDS", "reconcile", "related"]

DECISIONS: Final[Mapping[str, Callable[[Any, World, datetime], Outcome]]] = {
    "DigitalTwin": reconcile_twin,
    "MeshSegment": reconcile_segment,
    "Recipe": reconcile_recipe,
    "Pipeline": reconcile_pipeline,
    "ConfigurationProposal": reconcile_proposal,
    "Approval": reconcile_approval,
    "MeshConfiguration": reconcile_configuration,
    "WhatIf": reconcile_what_if,
}


def reconcile(key: ObjectKey, world: World, now: datetime) -> Outcome:
    """What to do about the object of ``key`` now; pure. Equal world and time give an equal outcome.

    An object that is absent needs nothing: children go by owner reference, records stay. One that is there but
    cannot be parsed (written past admission) gets an event; its status is left alone, for it is not known.
    """
    if key.kind in NEWS_KINDS:
        return Outcome(touch=related(key, world))
    resource = world.get(key)
    if resource is not None and resource.metadata.deletion_timestamp is None:
        return DECISIONS[key.kind](resource, world, now)
    problem = world.invalid(key)
    if resource is None and problem is not None:
        return Outcome(events=(KubeEvent(reason="Invalid", message=problem[:1024], type="Warning"),))
    return Outcome(touch=related(key, world) if resource is None else ())
