"""What a decision says: actions, status, events, when to look again. Values, compared in tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Literal

from meshtwin.contract.configuration import Command
from meshtwin_operator.reconcile.world import ObjectKey
from meshtwin_operator.resources.twins import EmbeddedBroker, PodSpecPart

__all__ = [
    "REFUSED",
    "Action",
    "ApplyWorkload",
    "CreateRecord",
    "DeleteRecord",
    "DeleteWorkload",
    "KubeEvent",
    "Outcome",
    "PublishCommand",
    "StartRun",
    "Workload",
    "WorkloadRole",
]


REFUSED: Final = "Refused"  # reason where a twin refused for good what was handed to it, or said no better one


class WorkloadRole(StrEnum):
    """What a child does; also its command line: ``python -m meshtwin.app.<role>``, mosquitto for the broker."""

    SEGMENT_TWIN = "segment_twin"
    PARENT_TWIN = "parent_twin"
    BROKER = "broker"


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A child process in terms of both drivers.

    ``config`` is the JSON object the process reads (paths, ports and secrets are filled in by the driver
    under the keys ``broker``, ``dataFolder``, ``listen``, ``restKeyFile``, ``inventoryPath``,
    ``placementPath``). ``inventory`` names the ConfigMap that the driver mounts or copies.
    ``model_secret``: its files are named under ``model.http`` by the driver, too (``tokenFile``, ``caFile``).
    ``identity`` is the MQTT user whose account and role the driver keeps at the broker of ``root_twin``.
    """

    role: WorkloadRole
    namespace: str
    name: str
    owner: ObjectKey
    owner_uid: str
    root_twin: str
    config: Mapping[str, Any] = field(default_factory=dict)
    inventory: tuple[str, str, str | None] | None = None  # ConfigMap, key, placement key
    restart_on: str = ""  # content hash of what is mounted: another value restarts the child
    identity: str = ""
    model_secret: str | None = None  # Secret with the token of somebody else's model; for the role PARENT_TWIN
    pod: PodSpecPart = field(default_factory=PodSpecPart)
    storage_mebibytes: int = 0
    storage_class_name: str | None = None
    broker: EmbeddedBroker | None = None  # only for the role BROKER
    gateways: tuple[str, ...] = ()  # only for the role BROKER: gateway ids that need accounts
    twins: tuple[str, ...] = ()  # only for the role BROKER: twin identities that need accounts


@dataclass(frozen=True, slots=True)
class ApplyWorkload:
    """Make a child be as described; no request when it already is."""

    workload: Workload


@dataclass(frozen=True, slots=True)
class DeleteWorkload:
    """Remove a child that is not wanted any more while its owner stays."""

    namespace: str
    name: str
    role: WorkloadRole


@dataclass(frozen=True, slots=True)
class CreateRecord:
    """Create an object of ours (create-only: an existing one of that name is left alone)."""

    manifest: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeleteRecord:
    """Remove a record whose retention ended."""

    key: ObjectKey


@dataclass(frozen=True, slots=True)
class PublishCommand:
    """Send a command to a gateway, *after* the status of this outcome was written.

    Given again at every look as long as it is unanswered; the fleet repeats it only after a pause.
    """

    root_twin: str
    gateway_id: str
    command: Command
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class StartRun:
    """POST a run to a twin's REST interface, *after* the status was written; idempotent by run id.

    Given again at every look as long as the run is not known to be finished.
    ``handed``: what is PUT there is done as soon as it is answered, and there is nothing to follow.
    """

    workload: str  # name of the twin to ask
    path: str  # for example /api/v1/pipelines/lighting/runs
    run_id: str
    body: Mapping[str, Any]
    namespace: str = ""
    root_twin: str = ""  # whose key signs the token
    url: str | None = None  # of the workload, as its view says
    handed: bool = False


Action = ApplyWorkload | DeleteWorkload | CreateRecord | DeleteRecord | PublishCommand | StartRun


@dataclass(frozen=True, slots=True, kw_only=True)
class KubeEvent:
    """A Kubernetes Event on the object, posted on a transition."""

    reason: str
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The driver carries out ``before`` in order, writes ``status``, then ``after`` only if that succeeded.

    ``status``: complete desired status (JSON names), None: leave it. The driver writes it only if it differs
    from what is stored, under the resourceVersion that was read when ``after`` holds something.
    ``touch``: keys to look at again now because this outcome concerns them.
    """

    before: tuple[Action, ...] = ()
    status: Mapping[str, Any] | None = None
    after: tuple[Action, ...] = ()
    events: tuple[KubeEvent, ...] = ()
    requeue_after_s: float | None = None
    touch: tuple[ObjectKey, ...] = ()
