"""What a decision may look at: a read-only view of everything the driver knows at one moment.

The driver (``kube`` or ``local``) fulfils `World` from its caches; tests fulfil it from plain values.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple, Protocol

from meshtwin.contract.configuration import CommandResult, Reported
from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.telemetry import FlowReport, GatewayState
from meshtwin.mesh.nodes import Inventory
from meshtwin.recipes.messages import RunStatus
from meshtwin_operator.resources.base import Resource

__all__ = [
    "BrokerView",
    "GatewayView",
    "InventoryView",
    "ObjectKey",
    "RunView",
    "WorkloadView",
    "World",
]


CONTESTED_S: Final = 60.0  # two processes take turns every few seconds; the longest pause of a client is 5 s


class ObjectKey(NamedTuple):
    """Identity of one object; also the key of the work queue."""

    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryView:
    """The parsed inventory of a segment, or why there is none; ``problem`` is (reason, message)."""

    inventory: Inventory | None
    source_hash: str = ""  # of the ConfigMap's bytes: restarts the twin when it changes
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayView:
    """The newest that a gateway said; ``results`` by attempt id, newest per (attempt, verb)."""

    state: GatewayState | None = None
    reported: Reported | None = None
    results: Mapping[str, Sequence[CommandResult]] = field(default_factory=dict)
    flows: Mapping[str, Sequence[FlowReport]] = field(default_factory=dict)  # by attempt id of the probe
    airtime: Mapping[str, float] = field(default_factory=dict)  # by attempt id of the probe
    contested_at: datetime | None = None  # last seen that two processes take turns to be this gateway

    def contested_s(self, now: datetime) -> float:
        """For how long two processes still count as taking turns; 0: one alone is there."""
        return 0.0 if self.contested_at is None else max(0.0, CONTESTED_S - (now - self.contested_at).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadView:
    """One child process or StatefulSet; ``problem`` is (reason, message) when it cannot start."""

    exists: bool
    ready: bool = False
    url: str | None = None
    problem: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerView:
    """The broker of a tree; address as twins reach it, and as gateways outside reach it."""

    host: str
    port: int
    tls: bool
    external_address: str | None = None
    connected: bool = False
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunView:
    """A run asked of a twin; ``status`` is None while the twin has not answered yet."""

    status: RunStatus | None
    problem: str | None = None  # why asking failed last time


class World(Protocol):
    """Everything a decision may look at. All methods are look-ups in memory."""

    @property
    def epoch(self) -> int:
        """Epoch of the operator's Lease."""
        ...

    def get(self, key: ObjectKey) -> Resource | None:
        """One of our objects; None if absent."""
        ...

    def all(self, kind: str, namespace: str) -> Sequence[Resource]:
        """All objects of a kind in a namespace, by name."""
        ...

    def find(self, kind: str, namespace: str, index: str, value: str) -> Sequence[Resource]:
        """Objects of a kind by what they refer to, by name; the indexes are those of `reconcile.indexes`."""
        ...

    def invalid(self, key: ObjectKey) -> str | None:
        """Why a stored object could not be parsed (written past admission); None if it is fine."""
        ...

    def inventory(self, namespace: str, segment: str) -> InventoryView:
        """Inventory of a MeshSegment."""
        ...

    def sharing_nodes(self, namespace: str, inventory: Inventory) -> Sequence[str]:
        """Names of the segments whose inventories `indexes.may_share_nodes` with this one, in order."""
        ...

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        """What a gateway of this namespace's broker said; an empty view before it was heard."""
        ...

    def workload(self, namespace: str, name: str) -> WorkloadView:
        """A child that `ApplyWorkload` made."""
        ...

    def broker(self, namespace: str, root_twin: str) -> BrokerView | None:
        """Broker of a tree; None before it is known."""
        ...

    def summary(self, namespace: str, name: str) -> TwinSummary | None:
        """Newest summary of a twin (workload name); None before it was heard."""
        ...

    def run(self, namespace: str, run_id: str) -> RunView | None:
        """A run that `StartRun` asked for; None if never asked by this process."""
        ...
