"""The emulated office with its real gateways and twins in one process, on simulated time: for comparing figures.

World, gateway cores and the folding of twins are those of the product; broker and operator are left out, their
commands are written here. A run of an hour takes a minute or two, and equal seeds give equal runs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from meshtwin.contract.configuration import Command, CommandResult, FlowSpec, Verb
from meshtwin.contract.telemetry import FlowReport, FlowTelemetry
from meshtwin.contract.wire import SettingsEntry
from meshtwin.emulation.scenario import MeshScenario
from meshtwin.emulation.world import World
from meshtwin.gateway.core import GatewayCore
from meshtwin.gateway.effects import Effect, Publish, SendMesh, Sense
from meshtwin.gateway.memory import Memory
from meshtwin.gateway.outbox import Identity
from meshtwin.mesh.addresses import format_address
from meshtwin.mesh.configuration import Configuration, compress_settings, compute_digest
from meshtwin.mesh.inventory import parse_inventory
from meshtwin.mesh.nodes import Flow
from meshtwin.twins.folding import fold
from meshtwin.twins.hierarchy import overlay
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.twins.snapshot import SegmentFacts, take_snapshot
from meshtwin.twins.state import EMPTY_STATE, TwinState

__all__ = ["Building", "Segment"]

START = datetime(2030, 1, 1, tzinfo=UTC)
FOLDED = {"state", "telemetry/neighbours", "telemetry/flows", "telemetry/nodes", "configuration/reported"}


@dataclass
class Segment:
    """One gateway and the twin of its segment."""

    facts: SegmentFacts
    budget_percent: float
    core: GatewayCore
    index: int  # of the gateway's node
    state: TwinState = EMPTY_STATE
    results: list[CommandResult] = field(default_factory=list)
    flows: list[FlowTelemetry] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        return [format_address(a) for a in self.facts.inventory.addresses]


@dataclass
class Building:
    """The world, its gateways, and simulated time."""

    scenario: MeshScenario
    seed: int
    manifests: list[dict[str, Any]]  # the sample's MeshSegments
    folder: Path  # of the inventories
    segments: dict[str, Segment] = field(default_factory=dict)
    _attempts: int = 0

    def __post_init__(self) -> None:
        self.world = World(self.scenario, self.seed)
        for manifest in self.manifests:
            self._attach(manifest)
        for segment in self.segments.values():
            self._perform(segment, segment.core.start(self.now))

    def _attach(self, manifest: dict[str, Any]) -> None:
        name, spec = manifest["metadata"]["name"], manifest["spec"]
        attachment = self.world.attachment(spec["gatewayId"])
        stem = name.removeprefix("office-")
        inventory = parse_inventory(
            (self.folder / f"{stem}-network.json").read_bytes(),
            (self.folder / f"{stem}-placement.json").read_bytes(),
            frozenset(),
            name,
        )
        monitoring = spec["monitoring"]
        facts = SegmentFacts(
            name=name,
            inventory=inventory,
            flows=tuple(
                Flow(
                    name=f["name"],
                    source=int(f["source"], 16),
                    destination=int(f["destination"], 16),
                    rate_per_minute=f["ratePerMinute"],
                    deadline_ms=f["deadlineMilliseconds"],
                )
                for f in spec["flows"]
            ),
            profile=spec.get("stackProfile", "zephyr"),
            notification_interval_s=monitoring["notificationIntervalSeconds"],
            report_interval_s=monitoring["reportIntervalSeconds"],
            **({"airtime_budget_ratio": monitoring["airtimeBudgetPercent"] / 100} if HAS_BUDGET else {}),
        )
        identity = Identity(
            session=name,
            address=attachment.address,
            report_group=attachment.report_group,
            mesh_uuid=self.scenario.mesh_uuid,
            uncertainty_ms=self.scenario.clocks.uncertainty_ms,
        )
        segment = Segment(facts, monitoring["airtimeBudgetPercent"], GatewayCore(Memory(), identity), attachment.index)
        self.segments[name] = segment
        self.world.listeners[attachment.index] = partial(self._heard, segment)

    @property
    def now(self) -> datetime:
        return START + timedelta(seconds=self.world.env.now)

    @property
    def now_s(self) -> float:
        return self.now.timestamp()

    def _heard(
        self, segment: Segment, source: int, _destination: int, payload: bytes, ttl: int, _power_dbm: float
    ) -> None:
        self._perform(segment, segment.core.mesh(source, payload, ttl, self.now))

    def _perform(self, segment: Segment, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case SendMesh():
                    self.world.send(segment.index, effect.destination, effect.payload, effect.ttl)
                case Sense():
                    busy_s = self.world.medium.busy_s(segment.index)
                    self._perform(segment, segment.core.sensed(busy_s, self.world.env.now, self.now))
                case Publish():
                    self._published(segment, effect)

    def _published(self, segment: Segment, effect: Publish) -> None:
        payload: Any = effect.payload
        if isinstance(payload, CommandResult):
            segment.results.append(payload)
        if isinstance(payload, FlowTelemetry):
            segment.flows.append(payload)
        if effect.leaf in FOLDED:
            segment.state = fold(segment.state, payload, self.now_s)

    def run(self, seconds: float) -> None:
        """Let time pass, waking the gateways whenever they want."""
        end_s = self.world.env.now + seconds
        for _ in self._turns(end_s):
            pass

    def _turns(self, end_s: float) -> Iterator[None]:
        env = self.world.env
        while env.now < end_s:
            times = [w for s in self.segments.values() if (w := s.core.next_wakeup()) is not None]
            wake_s = min(((t - START).total_seconds() for t in times), default=end_s)
            env.run(until=min(end_s, max(wake_s, env.now + 0.005)))
            for segment in self.segments.values():
                wake_at = segment.core.next_wakeup()
                if wake_at is not None and wake_at <= self.now:
                    self._perform(segment, segment.core.on_time(self.now))
            yield

    def command(self, name: str, verb: Verb, *, within_s: float = 900.0, **said: object) -> CommandResult:
        """Send a command to one gateway, and give its last answer."""
        segment = self.segments[name]
        self._attempts += 1
        attempt = f"a{self._attempts}"
        command = Command.model_validate(
            {
                "verb": verb,
                "epoch": 1,
                "attempt_id": attempt,
                "sent_at": self.now,
                "not_after": self.now + timedelta(seconds=within_s),  # a probe ends before it
                **said,
            }
        )
        self._perform(segment, segment.core.command(command.to_payload(), self.now))

        def answer() -> CommandResult | None:
            found = [r for r in segment.results if r.attempt_id == attempt and r.status != "accepted"]
            return found[-1] if found else None

        for _ in self._turns(self.world.env.now + within_s):
            if (result := answer()) is not None:
                return result
        result = answer()
        assert result is not None, f"{verb} of {name} not answered within {within_s} s"
        return result

    def adopt(self, filling_s: float) -> None:
        """Begin to monitor, read what is there, and let the twins fill."""
        for name, segment in self.segments.items():
            self.command(
                name,
                Verb.MONITOR,
                nodes=segment.names,
                flows=self._flow_specs(segment),
                notification_interval_seconds=segment.facts.notification_interval_s,
                report_interval_seconds=segment.facts.report_interval_s,
                airtime_budget_percent=segment.budget_percent,
            )
        for name, segment in self.segments.items():
            result = self.command(name, Verb.ADOPT, nodes=segment.names)
            assert result.status == "done", result
        self.run(filling_s)

    def probe(self, presses: int) -> dict[str, tuple[FlowReport, float]]:
        """Measured figures by flow, with the airtime at the gateway's node; one segment after the other."""
        out = {}
        for name, segment in self.segments.items():
            before = len(segment.flows)
            result = self.command(
                name, Verb.PROBE, nodes=segment.names, flows=self._flow_specs(segment), presses=presses
            )
            assert result.status == "done", result
            for telemetry in segment.flows[before:]:
                for report in telemetry.flows:
                    assert telemetry.airtime_ratio is not None
                    out[report.flow] = (report, telemetry.airtime_ratio)
        return out

    def push(self, name: str, configuration: Configuration, revision: int) -> None:
        """Stage, commit and confirm a whole configuration of one segment."""
        segment = self.segments[name]
        digest = compute_digest(configuration)
        entries = [
            SettingsEntry.from_value(e)
            for e in compress_settings(configuration, list(segment.facts.inventory.addresses))
        ]
        said = {"revision": revision, "hash": digest}
        self.command(name, Verb.STAGE, nodes=segment.names, settings=entries, **said)
        done = self.command(name, Verb.COMMIT, coverage_per_mille=950, confirm_within_seconds=3600, **said)
        assert done.status == "done", done
        assert self.command(name, Verb.CONFIRM, **said).status == "done"

    def snapshot(self) -> PartialSnapshot:
        """What the parent twin believes now."""
        return overlay([take_snapshot(s.facts, s.state, self.now_s) for s in self.segments.values()])

    def _flow_specs(self, segment: Segment) -> list[FlowSpec]:
        return [
            FlowSpec(
                name=f.name,
                source=format_address(f.source),
                destination=format_address(f.destination),
                members=[format_address(a) for a in segment.facts.inventory.members(f.destination)],
                deadline_ms=f.deadline_ms,
            )
            for f in segment.facts.flows
        ]


HAS_BUDGET = "airtime_budget_ratio" in SegmentFacts.__dataclass_fields__
