"""What a foreign model is asked and answers, as JSON: snapshot, configurations and plan; key figures."""

from collections.abc import Sequence
from math import inf, isinf
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from meshtwin.contract.wire import SettingsEntry, WireModel
from meshtwin.mesh.configuration import Configuration, compress_settings, expand_settings
from meshtwin.mesh.kpis import FlowKpis, HowKnown, Interval, NetworkKpis, check_told
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.northbound.messages import SnapshotMessage
from meshtwin.ports import JudgePlan
from meshtwin.sim.intervals import NOTHING_SENT
from meshtwin.twins.partial import PartialSnapshot
from meshtwin.whatif.asking import check_question

__all__ = ["JudgeAnswer", "JudgeRequest", "KpisMessage", "ModelMessage", "ProblemMessage"]

CONFIGURATIONS_MOST = 1000
REPLICATIONS_MOST = 100_000
Number = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


class ModelMessage(WireModel):
    """Answer to ``GET /model``: who judges."""

    contract: Literal[1] = Field(default=1, description="version of these messages")
    model: str = Field(
        min_length=1,
        max_length=80,  # as many as fit into a prediction
        pattern=r"^[^\x00-\x1f\x7f-\x9f]*$",  # it reaches terminals
        description="name as it stands in a prediction, with version",
    )


class ProblemMessage(BaseModel):
    """What is read of a problem document (RFC 9457)."""

    detail: str = ""


class PlanMessage(WireModel):
    """How much to simulate. Equal plans have to give equal answers, whatever else was asked before."""

    seed: int = Field(description="of all chance")
    replications: int = Field(ge=1, le=REPLICATIONS_MOST, description="independent runs of each configuration")
    messages_per_flow: int = Field(ge=1, description="in one replication, at the rate of each flow")
    first_replication: int = Field(default=0, ge=0, description="number of the first: others than before, fresh chance")
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
    """Body of ``POST /judge``. Each configuration lies on top of the snapshot's; all are to meet the same states.

    What the schema can't say: flows come from a node of the snapshot and have a listener in it besides their source,
    settings and segments are of its nodes, links have an end in it at least, and no address or flow name stands in
    it twice. Other questions are refused with a problem document (status 422).
    """

    contract: Literal[1] = Field(default=1, description="version of these messages")
    snapshot: SnapshotMessage = Field(description="the network as a twin knows it")
    configurations: list[list[SettingsEntry]] = Field(
        min_length=1, max_length=CONFIGURATIONS_MOST, description="settings by ranges of nodes, later entries on top"
    )
    plan: PlanMessage = Field(description="how much to simulate")

    @classmethod
    def of(cls, snapshot: Snapshot, configurations: Sequence[Configuration], plan: JudgePlan) -> Self:
        """The wire form of a question; raises `InvalidInput` for one that a judge would refuse."""
        check_question(snapshot, configurations)
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
        """The question; raises `InvalidInput` for what names nothing of the snapshot."""
        snapshot = self.snapshot.to_value().snapshot
        addresses = [node.address for node in snapshot.nodes]
        configurations = tuple(
            expand_settings([entry.to_value() for entry in entries], addresses, f"configurations.{number}")
            for number, entries in enumerate(self.configurations)
        )
        check_question(snapshot, configurations)
        return snapshot, configurations, self.plan.to_value()


class IntervalMessage(WireModel):
    """An estimate within its bounds, at ``level``. Without an estimate the bounds are the widest that there can be."""

    estimate: Number | None = Field(
        default=None, description="absent or null: there was nothing to estimate from, see openBecause"
    )
    low: Number = Field(description="lower bound")
    high: Number = Field(description="upper bound")
    level: float = Field(default=0.9, gt=0.0, lt=1.0, description="probability with which the bounds hold the value")
    open_because: str | None = Field(
        default=None, max_length=256, description="why a bound is not known, and the widest that there can be"
    )

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        if self.estimate is None:
            if self.open_because is None or self.low > self.high:
                raise ValueError("without an estimate openBecause says why, and low is at most high")
            return self
        if not self.low <= self.estimate <= self.high:
            raise ValueError(f"estimate {self.estimate} is outside {self.low}..{self.high}")
        return self

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """The wire form of a value."""
        return cls(
            estimate=value.told, low=value.low, high=value.high, level=value.level, open_because=value.open_because
        )

    def to_value(self) -> Interval:
        """The frozen value. Older servers told 0.5 of what was never sent: it is no estimate either."""
        estimate = None if self.open_because == NOTHING_SENT else self.estimate
        return Interval(
            estimate=0.5 * (self.low + self.high) if estimate is None else estimate,
            low=self.low,
            high=self.high,
            level=self.level,
            open_because=self.open_because,
            is_estimated=estimate is not None,
        )


class RatioMessage(IntervalMessage):
    """An interval of a ratio, within 0..1."""

    estimate: Ratio | None = Field(
        default=None, description="absent or null: there was nothing to estimate from, see openBecause"
    )
    low: Ratio = Field(description="lower bound")
    high: Ratio = Field(description="upper bound")


class TimeIntervalMessage(WireModel):
    """An interval of a time, in milliseconds; a bound that is not known is absent, and openBecause says why."""

    estimate: Milliseconds = Field(description="best value")
    low: Milliseconds | None = Field(default=None, description="lower bound; absent: not known")
    high: Milliseconds | None = Field(default=None, description="upper bound; absent: not known")
    level: float = Field(default=0.9, gt=0.0, lt=1.0, description="probability with which the bounds hold the value")
    open_because: str | None = Field(default=None, max_length=256, description="why a bound is absent")

    @model_validator(mode="after")
    def _bounds_hold_it(self) -> Self:
        check_told(self.low, self.estimate, self.high, self.open_because)
        return self

    @classmethod
    def from_value(cls, value: Interval) -> Self:
        """The wire form of a value."""
        is_open = value.open_because is not None
        return cls(
            estimate=value.estimate,
            low=None if is_open and value.low <= 0.0 else value.low,
            high=None if isinf(value.high) else value.high,
            level=value.level,
            open_because=value.open_because and value.open_because[:256],
        )

    def to_value(self) -> Interval:
        """The frozen value: bounds that are not known are 0 and infinite."""
        return Interval(
            estimate=self.estimate,
            low=0.0 if self.low is None else self.low,
            high=inf if self.high is None else self.high,
            level=self.level,
            open_because=self.open_because,
        )


class FlowKpisMessage(WireModel):
    """Figures of one flow of the snapshot; absent: not told. Times in milliseconds."""

    flow: str = Field(description="its name in the snapshot")
    sent: int = Field(ge=0, description="messages, of all replications together")
    on_time_ratio: RatioMessage = Field(description="messages that reached every member within the deadline")
    delivery_ratio: RatioMessage = Field(description="(message, member) pairs that arrived at all")
    answered_ratio: RatioMessage | None = Field(
        default=None, description="of acknowledged flows: pairs whose answer came back to the source"
    )
    latency_p50_milliseconds: Milliseconds | None = Field(
        default=None, description="median over (message, member) pairs that arrived"
    )
    latency_p95_milliseconds: Milliseconds | None = Field(
        default=None, description="95th percentile over (message, member) pairs that arrived"
    )
    latency_p99_milliseconds: Milliseconds | None = Field(
        default=None, description="99th percentile over (message, member) pairs that arrived"
    )
    spread_p95_milliseconds: Milliseconds | None = Field(
        default=None, description="95th percentile from first to last member, over messages that reached all"
    )
    latency_p50_interval: TimeIntervalMessage | None = Field(default=None, description="of latencyP50Milliseconds")
    latency_p95_interval: TimeIntervalMessage | None = Field(default=None, description="of latencyP95Milliseconds")
    latency_p99_interval: TimeIntervalMessage | None = Field(default=None, description="of latencyP99Milliseconds")
    spread_p95_interval: TimeIntervalMessage | None = Field(default=None, description="of spreadP95Milliseconds")

    @classmethod
    def from_value(cls, value: FlowKpis) -> Self:
        """The wire form of a value."""
        return cls(
            flow=value.flow,
            sent=value.sent,
            on_time_ratio=RatioMessage.from_value(value.on_time),
            delivery_ratio=RatioMessage.from_value(value.delivery),
            answered_ratio=None if value.answered is None else RatioMessage.from_value(value.answered),
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
            answered=None if self.answered_ratio is None else self.answered_ratio.to_value(),
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

    flows: list[FlowKpisMessage] = Field(description="in the snapshot's order")
    airtime_ratio: RatioMessage = Field(description="share of time in use on one channel, mean over nodes")
    reporting_airtime_ratio: Ratio = Field(default=0.0, description="the part of it that the twin's own reports take")

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

    contract: Literal[1] = Field(default=1, description="version of these messages")
    model: str = Field(min_length=1, max_length=120, description="name as it stands in a prediction, with version")
    kpis: list[KpisMessage] = Field(description="one for each configuration, in the order asked")


def _to_message(value: Interval | None) -> TimeIntervalMessage | None:
    return None if value is None or not value.is_estimated else TimeIntervalMessage.from_value(value)


def _to_interval(message: TimeIntervalMessage | None) -> Interval | None:
    return None if message is None else message.to_value()
