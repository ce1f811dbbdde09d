"""What a foreign model is asked and answers, as JSON: snapshot, configurations and plan; key figures."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from meshtwin.contract.wire import SettingsEntry, WireModel
from meshtwin.mesh.configuration import Configuration, compress_settings, expand_settings
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.northbound.messages import SnapshotMessage
from meshtwin.ports import JudgePlan
from meshtwin.twins.partial import PartialSnapshot

__all__ = ["JudgeAnswer", "JudgeRequest", "KpisMessage", "ModelMessage", "ProblemMessage"]

CONFIGURATIONS_MOST = 1000
REPLICATIONS_MOST = 100_000
Number = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class ModelMessage(WireModel):
    """Answer to ``GET /model``: who judges."""

    contract: Literal[1] = 1
    model: str = Field(min_length=1, max_length=120, description="name as it stands in a prediction, with version")


class ProblemMessage(BaseModel):
    """What is read of a problem document (RFC 9457)."""

    detail: str = ""


class PlanMessage(WireModel):
    """How much to simulate. Equal plans have to give equal answers, whatever else was asked before."""

    seed: int
    replications: int = Field(ge=1, le=REPLICATIONS_MOST)
    messages_per_flow: int = Field(ge=1)
    first_replication: int = Field(default=0, ge=0)
    sample_links: bool = Field(default=True, description="draw each link's delivery from its posterior")

    def to_value(self) -> JudgePlan:
        """The frozen value."""
        return JudgePlan(
            seed=self.seed,
            replications=self.replications,
            messages_per_flow=self.messages_per_flow,
            first_replication=self.first_replication,
            sample_links=self.sample_links,
        )


class JudgeRequest(WireModel):
    """Body of ``POST /judge``. Each configuration lies on top of the snapshot's; all are to meet the same states."""

    contract: Literal[1] = 1
    snapshot: SnapshotMessage
    configurations: list[list[SettingsEntry]] = Field(min_length=1, max_length=CONFIGURATIONS_MOST)
    plan: PlanMessage

    @classmethod
    def of(cls, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan) -> Self:
        """The wire form of a question."""
        addresses = [node.address for node in snapshot.nodes]
        return cls(
            snapshot=SnapshotMessage.from_value(PartialSnapshot(snapshot=snapshot, gaps=(), load_source="monitoring")),
            configurations=[
                [SettingsEntry.from_value(entry) for entry in compress_settings(configuration, addresses)]
                for configuration in configurations
            ],
            plan=PlanMessage(
                seed=plan.seed,
                replications=plan.replications,
                messages_per_flow=plan.messages_per_flow,
                first_replication=plan.first_replication,
                sample_links=plan.sample_links,
            ),
        )

    def to_values(self) -> tuple[Snapshot, tuple[Configuration, ...], JudgePlan]:
        """The question; raises `InvalidInput` for settings of nodes that the snapshot does not hold."""
        snapshot = self.snapshot.to_value().snapshot
        addresses = [node.address for node in snapshot.nodes]
        configurations = tuple(
            expand_settings([entry.to_value() for entry in entries], addresses, f"configurations.{number}")
            for number, entries in enumerate(self.configurations)
        )
        return snapshot, configurations, self.plan.to_value()


class IntervalMessage(WireModel):
    """An estimate within its bounds, at ``level``."""

    estimate: Number
    low: Number
    high: Number
    level: float = Field(default=0.9, gt=0.0, lt=1.0)
    open_because: str | None = Field(
        default=None, max_length=256, description="why a bound is not known, and the widest that there can be"
    )

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"estimate {self.estimate} is outside {self.low}..{self.high}")
        return self

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """The wire form of a value."""
        return cls(
            estimate=value.estimate, low=value.low, high=value.high, level=value.level, open_because=value.open_because
        )

    def to_value(self) -> Interval:
        """The frozen value."""
        return Interval(
            estimate=self.estimate, low=self.low, high=self.high, level=self.level, open_because=self.open_because
        )


class RatioMessage(IntervalMessage):
    """An interval of a ratio, within 0..1."""

    estimate: Ratio
    low: Ratio
    high: Ratio


class FlowKpisMessage(WireModel):
    """Figures of one flow of the snapshot; absent: not told. Times in milliseconds."""

    flow: str
    sent: int = Field(ge=0)
    on_time_ratio: RatioMessage = Field(description="messages that reached every member within the deadline")
    delivery_ratio: RatioMessage = Field(description="(message, member) pairs that arrived at all")
    latency_p50_milliseconds: Milliseconds | None = None
    latency_p95_milliseconds: Milliseconds | None = None
    latency_p99_milliseconds: Milliseconds | None = None
    spread_p95_milliseconds: Milliseconds | None = None
    latency_p50_interval: IntervalMessage | None = None
    latency_p95_interval: IntervalMessage | None = None
    latency_p99_interval: IntervalMessage | None = None
    spread_p95_interval: IntervalMessage | None = None

    @classmethod
    def from_value(cls, value: FlowKpis) -> Self:
        """The wire form of a value."""
        return cls(
            flow=value.flow,
            sent=value.sent,
            on_time_ratio=RatioMessage.from_value(value.on_time),
            delivery_ratio=RatioMessage.from_value(value.delivery),
            latency_p50_milliseconds=value.latency_p50_ms,
            latency_p95_milliseconds=value.latency_p95_ms,
            latency_p99_milliseconds=value.latency_p99_ms,
            spread_p95_milliseconds=value.spread_p95_ms,
            latency_p50_interval=_to_message(value.latency_p50),
            latency_p95_interval=_to_message(value.latency_p95),
            latency_p99_interval=_to_message(value.latency_p99),
            spread_p95_interval=_to_message(value.spread_p95),
        )

    def to_value(self) -> FlowKpis:
        """The frozen value: predicted, whoever says it."""
        return FlowKpis(
            flow=self.flow,
            sent=self.sent,
            on_time=self.on_time_ratio.to_value(),
            delivery=self.delivery_ratio.to_value(),
            latency_p50_ms=self.latency_p50_milliseconds,
            latency_p95_ms=self.latency_p95_milliseconds,
            latency_p99_ms=self.latency_p99_milliseconds,
            spread_p95_ms=self.spread_p95_milliseconds,
            how_known=HowKnown.PREDICTED,
            latency_p50=_to_interval(self.latency_p50_interval),
            latency_p95=_to_interval(self.latency_p95_interval),
            latency_p99=_to_interval(self.latency_p99_interval),
            spread_p95=_to_interval(self.spread_p95_interval),
        )


class KpisMessage(WireModel):
    """Figures of the network under one configuration; flows in the snapshot's order."""

    flows: list[FlowKpisMessage]
    airtime_ratio: RatioMessage = Field(description="share of time in use on one channel, mean over nodes")
    reporting_airtime_ratio: Ratio = 0.0

    @classmethod
    def from_value(cls, value: NetworkKpis) -> Self:
        """The wire form of a value."""
        return cls(
            flows=[FlowKpisMessage.from_value(flow) for flow in value.flows],
            airtime_ratio=RatioMessage.from_value(value.airtime_ratio),
            reporting_airtime_ratio=value.reporting_airtime_ratio,
        )

    def to_value(self) -> NetworkKpis:
        """The frozen value."""
        return NetworkKpis(
            flows=tuple(flow.to_value() for flow in self.flows),
            airtime_ratio=self.airtime_ratio.to_value(),
            reporting_airtime_ratio=self.reporting_airtime_ratio,
        )


class JudgeAnswer(WireModel):
    """Answer to ``POST /judge``: figures of each configuration, in the order asked."""

    contract: Literal[1] = 1
    model: str = Field(min_length=1, max_length=120)
    kpis: list[KpisMessage]


def _to_message(value: Interval | None) -> IntervalMessage | None:
    """None for one with a bound that is not known: a message has finite numbers."""
    return None if value is None or value.open_because is not None else IntervalMessage.from_value(value)


def _to_interval(message: IntervalMessage | None) -> Interval | None:
    return None if message is None else message.to_value()
