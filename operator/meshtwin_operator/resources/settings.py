"""Settings of nodes and KPI figures as they stand in resources: integers with the unit in the name."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AwareDatetime, Field

from meshtwin.mesh.configuration import NodeSettings, SettingsRange, Transmit
from meshtwin_operator.resources.base import COUNT_MAX, UNIQUE, CelRule, Count, LargeCount, RangeText, ResourceModel

__all__ = [
    "FlowDifferences",
    "FlowFigures",
    "KpiFigures",
    "MillisecondsBounds",
    "MillisecondsDifference",
    "NodeAirtime",
    "PerMilleBounds",
    "PerMilleDifference",
    "PerMilleInterval",
    "PredictionRecord",
    "ScorecardUsed",
    "SettingsSpec",
    "TransmitSpec",
]

Difference = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]  # milliseconds: 24 days either way


class TransmitSpec(ResourceModel):
    """Repeats after the first transmission, and their interval in steps of 10 ms."""

    count: int = Field(ge=0, le=7, description="Repeats after the first transmission.")
    interval_steps: int = Field(ge=0, le=31, description="The interval is (steps + 1) times 10 ms.")

    def to_value(self) -> Transmit:
        """The frozen value."""
        return Transmit(count=self.count, interval_steps=self.interval_steps)


class SettingsSpec(ResourceModel):
    """Ranges of nodes and what holds for them; a later entry wins over an earlier one."""

    cel_rules: ClassVar = (
        CelRule(
            rule="!has(self.defaultTtl) || self.defaultTtl != 1",
            message="default TTL 1 is not allowed; use 0 (neighbours only) or 2..127",  # Mesh 1.1, 4.2.8
            field_path=".defaultTtl",
        ),
    )

    nodes: list[RangeText] = Field(
        min_length=1,
        max_length=256,
        json_schema_extra=UNIQUE,
        description='Addresses and ranges, four hexadecimal digits: "0007", "0011-0014".',
    )
    relay: Literal["Enabled", "Disabled"] | None = Field(default=None, description="Whether the node relays.")
    relay_retransmit: TransmitSpec | None = Field(default=None, description="Repeats of relayed messages.")
    network_transmit: TransmitSpec | None = Field(default=None, description="Repeats of own messages.")
    default_ttl: int | None = Field(default=None, ge=0, le=127, description="0 (neighbours only) or 2 to 127.")

    def to_value(self) -> SettingsRange:
        """The frozen value; raises `InvalidInput` for a TTL of 1."""
        rr, nt = self.relay_retransmit, self.network_transmit
        return SettingsRange(
            nodes=tuple(self.nodes),
            settings=NodeSettings(
                relay=None if self.relay is None else self.relay == "Enabled",
                relay_retransmit=None if rr is None else rr.to_value(),
                network_transmit=None if nt is None else nt.to_value(),
                default_ttl=self.default_ttl,
            ),
        )

    @classmethod
    def from_value(cls, value: SettingsRange) -> Self:
        """The resource form of a value."""
        return cls.model_validate({"nodes": list(value.nodes), **value.settings.to_json()})


class PerMilleInterval(ResourceModel):
    """An estimate and its bounds, in per mille."""

    estimate_per_mille: int | None = Field(default=None, ge=0, le=1000, description="Absent: nothing to estimate from.")
    low_per_mille: int = Field(ge=0, le=1000)
    high_per_mille: int = Field(ge=0, le=1000)


class MillisecondsBounds(ResourceModel):
    """Bounds of an estimate at the 90 % level, over replications; absent: not known."""

    low_milliseconds: Count | None = None
    high_milliseconds: Count | None = None


class PerMilleBounds(ResourceModel):
    """Likewise, in per mille."""

    low_per_mille: Count | None = None
    high_per_mille: Count | None = None


class FlowFigures(ResourceModel):
    """Figures of one flow, and how they are known."""

    flow: str = Field(max_length=40)
    messages: Count
    on_time: PerMilleInterval | None = Field(
        default=None,
        description="Messages that reached every member within the deadline. Absent: nodes share no clock.",
    )
    reached_all: PerMilleInterval | None = Field(
        default=None,
        description="Messages that reached every member, however late; of round trips, that everybody answered.",
    )
    delivery: PerMilleInterval = Field(description="Pairs of message and member; of round trips, answered ones.")
    answered: PerMilleInterval | None = Field(
        default=None,
        description="Of acknowledged flows: pairs whose answer came back to the source, as the model gave it.",
    )
    on_time_by_model: PerMilleInterval | None = Field(
        default=None, description="As the model gave it, where the scorecard made another interval of it."
    )
    delivery_by_model: PerMilleInterval | None = Field(default=None, description="Likewise.")
    latency_p50_milliseconds: Count | None = None
    latency_p95_milliseconds: Count | None = None
    latency_p99_milliseconds: Count | None = None
    spread_p95_milliseconds: Count | None = None
    latency_p50_bounds: MillisecondsBounds | None = None
    latency_p95_bounds: MillisecondsBounds | None = None
    latency_p99_bounds: MillisecondsBounds | None = None
    spread_p95_bounds: MillisecondsBounds | None = None
    how_known: Literal["receiverCounted", "roundTrip", "inferred", "predicted"]


class NodeAirtime(ResourceModel):
    """Share of time in which one node hears or sends something on one advertising channel."""

    node: str = Field(max_length=4, pattern=r"^[0-7][0-9a-f]{3}$")
    per_mille: int = Field(ge=0, le=1000)
    bounds: PerMilleBounds | None = None


class KpiFigures(ResourceModel):
    """Figures of the flows of a network."""

    flows: list[FlowFigures] = Field(default=[], max_length=64)
    airtime_per_mille: Count | None = Field(default=None, description="Mean over nodes: predicted, never measured.")
    airtime_bounds: PerMilleBounds | None = None
    airtime_at: list[NodeAirtime] | None = Field(
        default=None, max_length=64, description="At the nodes of gateways, where it can be measured."
    )
    open_because: str | None = Field(default=None, max_length=256, description="Why bounds are absent.")
    redundancy: Count | None = Field(
        default=None, description="Disjoint relay paths from the gateway to the worst node."
    )
    battery_millijoules_per_hour: Count | None = Field(
        default=None, description="Spent on sending by the low-power node that sends most. Absent: there is none."
    )


class ScorecardUsed(ResourceModel):
    """On what experience the intervals of a prediction rest."""

    segment: str = Field(max_length=63)
    predictions: Count = Field(
        description="Of this model in this segment, that were measured before; 0: its errors on other networks alone."
    )
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    messages: int = Field(
        ge=1, le=1_000_000, description="The intervals are of what so many messages per flow will show."
    )


class PerMilleDifference(ResourceModel):
    """A difference of shares and its bounds at the 90 % level, over paired replications; absent: not known."""

    estimate_per_mille: int | None = Field(default=None, ge=-1000, le=1000)
    low_per_mille: int | None = Field(default=None, ge=-1000, le=1000)
    high_per_mille: int | None = Field(default=None, ge=-1000, le=1000)


class MillisecondsDifference(ResourceModel):
    """Likewise, in milliseconds."""

    estimate_milliseconds: Difference | None = None
    low_milliseconds: Difference | None = None
    high_milliseconds: Difference | None = None


class FlowDifferences(ResourceModel):
    """After less before, of one flow; of times the same quantile of all that arrived on either side."""

    flow: str = Field(max_length=40)
    on_time: PerMilleDifference
    delivery: PerMilleDifference
    latency_p50: MillisecondsDifference
    latency_p95: MillisecondsDifference
    latency_p99: MillisecondsDifference
    answered: PerMilleDifference | None = Field(default=None, description="Absent: nobody is to answer.")
    open_because: str | None = Field(default=None, max_length=256, description="Why something is absent.")


class PredictionRecord(ResourceModel):
    """Predicted effect of a change: before and after on the same states, with what it was computed from."""

    before: KpiFigures
    after: KpiFigures
    model: str = Field(max_length=80)
    profile: str = Field(max_length=40)
    seed: LargeCount
    replications: int = Field(ge=1, le=1_000_000)
    snapshot_fingerprint: str = Field(max_length=64)
    provisional: bool | None = Field(
        default=None, description="True: the fast model's first answer, which the simulation under way replaces."
    )
    predicted_at: AwareDatetime | None = None
    scorecard: ScorecardUsed | None = Field(default=None, description="Absent: the intervals are the model's own.")
    differences: list[FlowDifferences] | None = Field(
        default=None, max_length=64, description="After less before, of what-ifs. Absent: the model tells none."
    )
    flows_left_out: int | None = Field(
        default=None,
        ge=1,
        le=COUNT_MAX,
        description="Flows that the lists have no room for: those that change least and are most on time. "
        "Absent: none.",
    )
    nodes_left_out: int | None = Field(
        default=None, ge=1, le=COUNT_MAX, description="Likewise, nodes of gateways in airtimeAt. Absent: none."
    )
