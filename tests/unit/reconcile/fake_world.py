"""A world of plain values, a gateway that obeys, and a driver that carries outcomes out in memory."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from meshtwin.contract.configuration import (
    Command,
    CommandResult,
    GatewayPhase,
    NodeOutcome,
    Reported,
)
from meshtwin.contract.configuration import (
    Outcome as NodeResult,
)
from meshtwin.contract.summaries import SegmentSummary, TwinSummary
from meshtwin.contract.telemetry import FlowReport, GatewayState
from meshtwin.contract.wire import SettingsEntry
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress, format_address
from meshtwin.mesh.configuration import (
    Configuration,
    NodeSettings,
    Transmit,
    compress_settings,
    compute_digest,
    expand_settings,
)
from meshtwin.mesh.nodes import Inventory, Node
from meshtwin.recipes.messages import RunStatus
from meshtwin_operator.reconcile.dispatch import reconcile
from meshtwin_operator.reconcile.indexes import may_share_nodes, scan
from meshtwin_operator.reconcile.outcome import (
    ApplyWorkload,
    CreateRecord,
    DeleteRecord,
    DeleteWorkload,
    KubeEvent,
    Outcome,
    PublishCommand,
    StartRun,
    Workload,
)
from meshtwin_operator.reconcile.world import (
    BrokerView,
    GatewayView,
    InventoryView,
    ObjectKey,
    RunView,
    WorkloadView,
)
from meshtwin_operator.resources.base import Resource
from meshtwin_operator.resources.kinds import KINDS_BY_NAME

NS = "buildings"
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)  # a Monday
ADDRESSES = tuple(UnicastAddress(n) for n in range(1, 7))
EVERYTHING_RELAYS = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=4, interval_steps=1),
    network_transmit=Transmit(count=5, interval_steps=1),
    default_ttl=127,
)


def make_inventory(
    addresses: Sequence[int] = ADDRESSES, *, frozen: Sequence[int] = (), mesh_uuid: str = "m" * 36
) -> Inventory:
    """Nodes in one group c001; the first one is the button."""
    return Inventory(
        mesh_uuid=mesh_uuid,
        nodes=tuple(
            Node(
                address=UnicastAddress(a),
                device_uuid=f"device-{a:04x}",
                groups=frozenset() if a == addresses[0] else frozenset({GroupAddress(0xC001)}),
                frozen=a in frozen,
            )
            for a in addresses
        ),
    )


@dataclass
class FakeGateway:
    """Obeys commands at once. ``on_time`` gives (good, total presses) of a probe; ``deaf`` ignores commands."""

    network: Configuration
    addresses: Sequence[UnicastAddress] = ADDRESSES
    on_time: Callable[["FakeGateway", int], int] = lambda gateway, presses: presses
    silent: Callable[["FakeGateway"], set[str]] = lambda gateway: set()
    deaf: bool = False
    online: bool = True
    said: dict[str, Any] = field(default_factory=dict)  # more of its state
    session: str = "s1"
    contested_at: datetime | None = None
    phase: GatewayPhase = GatewayPhase.IDLE
    revision: int | None = None
    digest: str | None = None
    good: Configuration = field(default_factory=Configuration)
    pending: Command | None = None
    pending_configuration: Configuration = field(default_factory=Configuration)
    attempt: str | None = None
    epoch: int = 0
    drifted: list[str] = field(default_factory=list)
    unheard: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    restore_reason: str | None = None
    rollback_at: datetime | None = None
    commit_answer: tuple[str, str | None] = ("done", None)
    received: list[Command] = field(default_factory=list)
    results: dict[str, list[CommandResult]] = field(default_factory=dict)
    flows: dict[str, list[FlowReport]] = field(default_factory=dict)
    now: datetime = START

    def view(self) -> GatewayView:
        envelope: dict[str, Any] = {"session": self.session, "sequence": 1, "sent_at": self.now}
        told = self.network.restricted(a for a in self.addresses if format_address(a) not in self.unheard)
        return GatewayView(
            state=GatewayState(**envelope, online=self.online, **self.said),
            contested_at=self.contested_at,
            reported=Reported(
                **envelope,
                phase=self.phase,
                epoch=self.epoch,
                revision=self.revision,
                hash=self.digest,
                settings=[SettingsEntry.from_value(r) for r in compress_settings(told, self.addresses)]
                if self.revision is not None
                else [],
                drifted=self.drifted,
                unheard=self.unheard,
                attempt_id=self.attempt,
                pending_revision=self.pending.revision if self.pending else None,
                pending_hash=self.pending.hash if self.pending else None,
                rollback_at=self.rollback_at,
                restore_reason=self.restore_reason,
                rejected_hashes=self.rejected,
            ),
            results={k: tuple(v) for k, v in self.results.items()},
            flows={k: tuple(v) for k, v in self.flows.items()},
            airtime=dict.fromkeys(self.flows, 0.05),
        )

    def obey(self, command: Command, now: datetime) -> None:
        self.now = now
        self.received.append(command)
        if self.deaf or not self.online:
            return
        self.epoch = max(self.epoch, command.epoch)
        getattr(self, f"_{command.verb.value}")(command)

    def restart(self) -> None:
        """The armed gateway's timer ran out: it restores."""
        self._restore("TimedOut")

    def _answer(self, command: Command, status: str, **more: Any) -> None:
        result = CommandResult.model_validate(
            {
                "session": self.session,
                "sequence": len(self.received),
                "sent_at": self.now,
                "attempt_id": command.attempt_id,
                "verb": command.verb,
                "status": status,
                **more,
            }
        )
        known = [r for r in self.results.get(command.attempt_id, []) if r.verb is not command.verb]
        self.results[command.attempt_id] = [*known, result]

    def _outcomes(self) -> list[NodeOutcome]:
        silent = self.silent(self)
        return [
            NodeOutcome(
                node=format_address(a),
                outcome=NodeResult.UNKNOWN if format_address(a) in silent else NodeResult.APPLIED,
            )
            for a in self.addresses
        ]

    def _monitor(self, command: Command) -> None:
        self._answer(command, "done")

    def _adopt(self, command: Command) -> None:
        if self.revision in (None, 0):
            self.revision, self.good = 0, self.network
            self.digest = compute_digest(self.network)
        self._answer(command, "done")

    def _probe(self, command: Command) -> None:
        presses = command.presses or 0
        self.flows[command.attempt_id] = [
            FlowReport(
                flow=flow.name,
                attempt_id=command.attempt_id,
                presses=presses,
                on_time_presses=self.on_time(self, presses),
                sent_pairs=presses * len(flow.members),
                delivered_pairs=presses * len(flow.members),
                deadline_ms=flow.deadline_ms,
                how_known="receiverCounted",
            )
            for flow in command.flows or []
        ]
        self._answer(command, "done", outcomes=self._outcomes())

    def _stage(self, command: Command) -> None:
        if command.hash in self.rejected:
            self._answer(command, "refused", reason="PreviouslyHarmful")
            return
        entries = [e.to_value() for e in command.settings or []]
        self.pending, self.pending_configuration = command, expand_settings(entries, self.addresses)
        self.phase, self.attempt, self.restore_reason = GatewayPhase.STAGED, command.attempt_id, None
        self._answer(command, "done")

    def _commit(self, command: Command) -> None:
        if self.phase is GatewayPhase.ARMED:
            self._answer(command, "done", outcomes=self._outcomes())
            return
        status, reason = self.commit_answer
        if status == "done":
            self.network = self.good.overlaid(self.pending_configuration)
            self.phase = GatewayPhase.ARMED
            self.rollback_at = self.now + timedelta(seconds=command.confirm_within_seconds or 300)
        else:
            self._restore(reason or "CoverageMissed")
        self._answer(command, status, reason=reason, outcomes=self._outcomes())

    def _confirm(self, command: Command) -> None:
        if self.phase is GatewayPhase.ARMED and self.pending is not None:
            self.revision, self.digest = self.pending.revision, self.pending.hash
            self.good, self.pending, self.phase = self.network, None, GatewayPhase.IDLE
            self.rollback_at, self.drifted = None, []
        done = self.revision == command.revision and self.phase is GatewayPhase.IDLE
        self._answer(command, "done" if done else "refused", reason=None if done else "NothingArmed")

    def _abort(self, command: Command) -> None:
        if command.reason == "Harm" and command.hash:
            self.rejected.append(command.hash)
        if self.pending is not None:
            self._restore(command.reason or "Aborted")
        self._answer(command, "done")

    def _restore(self, reason: str) -> None:
        self.network, self.pending, self.phase = self.good, None, GatewayPhase.IDLE
        self.restore_reason, self.rollback_at = reason, None


@dataclass
class FakeWorld:
    """Fulfils `World`; ``manifests`` hold the objects as a driver would store them."""

    epoch: int = 1
    manifests: dict[ObjectKey, dict[str, Any]] = field(default_factory=dict)
    inventories: dict[str, InventoryView] = field(default_factory=dict)
    gateways: dict[str, FakeGateway] = field(default_factory=dict)
    workloads: dict[str, WorkloadView] = field(default_factory=dict)
    summaries: dict[str, TwinSummary] = field(default_factory=dict)
    runs: dict[str, RunView] = field(default_factory=dict)
    broker_view: BrokerView | None = field(
        default_factory=lambda: BrokerView(host="broker", port=8883, tls=True, connected=True)
    )
    broken: dict[ObjectKey, str] = field(default_factory=dict)
    parsed: dict[ObjectKey, Resource] = field(default_factory=dict)

    def get(self, key: ObjectKey) -> Resource | None:
        manifest = self.manifests.get(key)
        if manifest is None:
            return None
        if key not in self.parsed:
            self.parsed[key] = KINDS_BY_NAME[key.kind].model_validate(manifest)
        return self.parsed[key]

    def all(self, kind: str, namespace: str) -> Sequence[Resource]:
        keys = sorted(k for k in self.manifests if k.kind == kind and k.namespace == namespace)
        return [found for key in keys if (found := self.get(key)) is not None]

    def find(self, kind: str, namespace: str, index: str, value: str) -> Sequence[Resource]:
        return scan(self.all(kind, namespace), kind, index, value)

    def invalid(self, key: ObjectKey) -> str | None:
        return self.broken.get(key)

    def inventory(self, namespace: str, segment: str) -> InventoryView:
        missing = InventoryView(inventory=None, problem=("InventoryNotFound", "no ConfigMap"))
        return self.inventories.get(segment, missing)

    def sharing_nodes(self, namespace: str, inventory: Inventory) -> Sequence[str]:
        views = {one.metadata.name: self.inventory(namespace, one.metadata.name) for one in self.all("MeshSegment", NS)}
        found = {name: view.inventory for name, view in views.items() if view.inventory is not None}
        return sorted(name for name, other in found.items() if may_share_nodes(inventory, other))

    def gateway(self, namespace: str, gateway_id: str) -> GatewayView:
        found = self.gateways.get(gateway_id)
        return found.view() if found else GatewayView()

    def workload(self, namespace: str, name: str) -> WorkloadView:
        return self.workloads.get(name, WorkloadView(exists=False))

    def broker(self, namespace: str, root_twin: str) -> BrokerView | None:
        return self.broker_view

    def summary(self, namespace: str, name: str) -> TwinSummary | None:
        return self.summaries.get(name)

    def run(self, namespace: str, run_id: str) -> RunView | None:
        return self.runs.get(run_id)

    # For tests

    def put(self, kind: str, name: str, spec: Mapping[str, Any], *, created: datetime = START) -> ObjectKey:
        key = ObjectKey(kind, NS, name)
        manifest = {
            "apiVersion": "meshtwin.dev/v1alpha1",
            "kind": kind,
            "metadata": {
                "name": name,
                "namespace": NS,
                "uid": f"uid-{kind}-{name}",
                "creationTimestamp": created.isoformat(),
            },
            "spec": json.loads(json.dumps(spec)),
        }
        self.replace(key, manifest)
        return key

    def replace(self, key: ObjectKey, manifest: dict[str, Any]) -> None:
        self.parsed.pop(key, None)
        self.manifests[key] = manifest

    def edit(self, key: ObjectKey, spec: Mapping[str, Any]) -> None:
        """A user changes the spec."""
        manifest = self.manifests[key]
        metadata = {**manifest["metadata"], "generation": manifest["metadata"].get("generation", 1) + 1}
        self.replace(key, {**manifest, "metadata": metadata, "spec": {**manifest["spec"], **spec}})

    def status(self, key: ObjectKey) -> dict[str, Any]:
        found: dict[str, Any] = self.manifests[key].get("status", {})
        return found

    def condition(self, key: ObjectKey, kind: str) -> tuple[str, str]:
        """(status, reason) of a condition; ("", "") if it is not there."""
        for condition in self.status(key).get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return "", ""


@dataclass
class FakeDriver:
    """Carries outcomes out against a `FakeWorld`; ``lose`` drops what would leave after the status."""

    world: FakeWorld
    now: datetime = START
    published: list[PublishCommand] = field(default_factory=list)
    started: list[StartRun] = field(default_factory=list)
    workloads: dict[str, Workload] = field(default_factory=dict)
    events: list[tuple[ObjectKey, KubeEvent]] = field(default_factory=list)
    writes: int = 0
    lose: bool = False

    def look_at(self, key: ObjectKey) -> Outcome:
        outcome = reconcile(key, self.world, self.now)
        for action in outcome.before:
            match action:
                case ApplyWorkload(workload):
                    self.workloads[workload.name] = workload
                case DeleteWorkload(_, name, _):
                    self.workloads.pop(name, None)
                case CreateRecord(manifest):
                    self._create(manifest)
                case DeleteRecord(gone):
                    self.world.manifests.pop(gone, None)
                    self.world.parsed.pop(gone, None)
        stored = self.world.manifests.get(key)
        if outcome.status is not None and stored is not None and stored.get("status") != outcome.status:
            self.writes += 1
            self.world.replace(key, {**stored, "status": dict(outcome.status)})
        for action in outcome.after:
            if self.lose:
                continue
            if isinstance(action, PublishCommand):
                self.published.append(action)
                if action.gateway_id in self.world.gateways:
                    self.world.gateways[action.gateway_id].obey(action.command, self.now)
            elif isinstance(action, StartRun):
                self.started.append(action)
                self.world.runs.setdefault(
                    action.run_id, RunView(status=RunStatus(run_id=action.run_id, state="Running"))
                )
        self.events += [(key, event) for event in outcome.events]
        return outcome

    def _create(self, manifest: Mapping[str, Any]) -> None:
        metadata = manifest["metadata"]
        key = ObjectKey(manifest["kind"], metadata["namespace"], metadata["name"])
        if key in self.world.manifests:
            return
        born = {**metadata, "uid": f"uid-{key.name}", "creationTimestamp": self.now.isoformat()}
        self.world.replace(key, {**manifest, "metadata": born})
        self.writes += 1

    def sweep(self, rounds: int = 1) -> None:
        """Look at every object, some times over."""
        for _ in range(rounds):
            for key in sorted(self.world.manifests):
                self.look_at(key)

    def settle(self, key: ObjectKey, *, limit: int = 50) -> None:
        """Look at one object until its status stands still."""
        still = 0
        for _ in range(limit):
            before = self.world.status(key)
            self.look_at(key)
            still = still + 1 if self.world.status(key) == before else 0
            if still == 2:  # a command repeated by the first look is answered at the second
                return
        raise AssertionError(f"{key} does not come to rest")

    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for gateway in self.world.gateways.values():
            gateway.now = self.now


def make_summary(name: str, kind: str, now: datetime, *, nodes: int = 6, ready: bool = True) -> TwinSummary:
    return TwinSummary(
        twin=name,
        kind=kind,
        online=True,
        session="t1",
        sequence=1,
        sent_at=now,
        ready=ready,
        age_seconds=5,
        segments=[
            SegmentSummary(name="north", nodes=nodes, nodes_heard=nodes, links=20, links_fresh=20, newest_report_at=now)
        ],
    )


def make_office(*, mode: str = "Control", **twin_spec: Any) -> tuple[FakeWorld, FakeDriver]:
    """One twin ``office`` with one segment ``north`` behind ``gw-north``: nothing was looked at yet."""
    world = FakeWorld()
    world.put("DigitalTwin", "office", {"mode": mode, **twin_spec})
    world.put(
        "MeshSegment",
        "north",
        {
            "twinRef": {"name": "office"},
            "gatewayId": "gw-north",
            "inventory": {"configMapRef": {"name": "north"}},
            "flows": [{"name": "lights", "source": "0001", "destination": "c001"}],
        },
    )
    world.inventories["north"] = InventoryView(inventory=make_inventory(), source_hash="abc")
    network = Configuration.of(dict.fromkeys(ADDRESSES, EVERYTHING_RELAYS))
    world.gateways["gw-north"] = FakeGateway(network=network)
    for name in ("north-segment", "office-parent", "office-broker"):
        world.workloads[name] = WorkloadView(exists=True, ready=True, url=f"http://{name}:8080")
    world.summaries["north-segment"] = make_summary("north-segment", "Segment", START)
    world.summaries["office-parent"] = make_summary("office-parent", "Parent", START)
    return world, FakeDriver(world)


TWIN = ObjectKey("DigitalTwin", NS, "office")
SEGMENT = ObjectKey("MeshSegment", NS, "north")
REVISION_0 = ObjectKey("MeshConfiguration", NS, "north-r0000")
REVISION_1 = ObjectKey("MeshConfiguration", NS, "north-r0001")
PROPOSAL = ObjectKey("ConfigurationProposal", NS, "fewer")
APPROVAL = ObjectKey("Approval", NS, "yes")
FEWER = [{"nodes": ["0002-0006"], "relay": "Disabled", "defaultTtl": 5}]


def make_adopted(**more: Any) -> tuple[FakeWorld, FakeDriver]:
    """The office after adoption."""
    world, driver = make_office(**more)
    driver.sweep(3)
    return world, driver


def propose(world: FakeWorld, settings: Sequence[Mapping[str, Any]] = FEWER, name: str = "fewer") -> ObjectKey:
    """An engineer's proposal that is not judged by models here: it carries its prediction."""
    figures = {"flows": [], "airtimePerMille": 50}
    prediction = {
        "before": figures,
        "after": figures,
        "model": "packets",
        "profile": "zephyr",
        "seed": 1,
        "replications": 8,
        "snapshotFingerprint": "f" * 16,
    }
    spec = {"segmentRef": {"name": "north"}, "settings": list(settings), "prediction": prediction}
    return world.put("ConfigurationProposal", name, spec)


def approve(
    world: FakeWorld, proposal: ObjectKey = PROPOSAL, *, by: str = "ada", name: str = "yes", **more: Any
) -> ObjectKey:
    """An approval with the digest that the proposal shows."""
    spec = {
        "proposalRef": {"name": proposal.name},
        "decision": "Approve",
        "digest": world.status(proposal).get("digest", "sha256:" + "0" * 64),
        "approvedBy": by,
        **more,
    }
    return world.put("Approval", name, spec)


def make_approved(**more: Any) -> tuple[FakeWorld, FakeDriver]:
    """The office with one approved revision that was not looked at yet."""
    world, driver = make_adopted(**more)
    driver.look_at(propose(world))
    driver.look_at(approve(world))
    driver.look_at(PROPOSAL)
    return world, driver
