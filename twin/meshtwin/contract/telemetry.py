"""Payloads of ``state`` and ``telemetry/*``: what gateways say of their network."""

from typing import Literal, Self

from pydantic import Field

from meshtwin.contract.wire import Envelope, UnicastText, WireModel
from meshtwin.mesh.upkeep import FULL_PDU_BYTES, UpkeepPart

__all__ = [
    "AirtimeBill",
    "CompositionReport",
    "FlowReport",
    "FlowTelemetry",
    "GatewayState",
    "LatencyHistogram",
    "NeighbourCounter",
    "NeighbourTelemetry",
    "NodeReport",
    "NodeTelemetry",
    "Observing",
    "UpkeepReport",
]


class AirtimeBill(WireModel):
    """What observing takes of one channel at a node in the middle of the segment, as shares of time.

    Planned by the intervals that were told and the mean number of neighbours; ``counted_ratio`` is what the
    gateway sent and received itself in the last window (reports, heartbeats of its own node, exchanges, probes).
    """

    budget_ratio: float = Field(gt=0, le=1)
    notifications_ratio: float = Field(default=0.0, ge=0)
    reports_ratio: float = Field(default=0.0, ge=0)
    heartbeats_ratio: float = Field(default=0.0, ge=0)
    upkeep_ratio: float = Field(default=0.0, ge=0)  # reading back settings, compositions, models; telling intervals
    counted_ratio: float | None = Field(default=None, ge=0)


class UpkeepReport(WireModel):
    """One kind of message that the gateway sends by itself, for models that foresee airtime.

    ``per_second``: how often in mesh time, as long as that takes no more than ``budget_share`` of the airtime budget
    (absent: always). Each time the gateway sends ``questions`` messages, and one node, each in its turn, ``answers``;
    acknowledgements of segments are among them. Bytes are those of a network PDU; ``ttl`` absent: the sender's.
    """

    name: str = Field(min_length=1, max_length=40)
    per_second: float = Field(ge=0, le=1000)
    budget_share: float | None = Field(default=None, ge=0, le=1)
    questions: int = Field(ge=0, le=64)
    question_bytes: int = Field(ge=1, le=64)
    answers: int = Field(default=0, ge=0, le=64)
    answer_bytes: int = Field(default=FULL_PDU_BYTES, ge=1, le=64)
    ttl: int | None = Field(default=None, ge=0, le=127)

    @classmethod
    def from_value(cls, part: UpkeepPart) -> Self:
        """The wire form of a value."""
        return cls(
            name=part.name,
            per_second=part.per_s,
            budget_share=part.budget_share,
            questions=part.questions,
            question_bytes=part.question_bytes,
            answers=part.answers,
            answer_bytes=part.answer_bytes,
            ttl=part.ttl,
        )

    def to_value(self) -> UpkeepPart:
        """The frozen value."""
        return UpkeepPart(
            name=self.name,
            per_s=self.per_second,
            budget_share=self.budget_share,
            questions=self.questions,
            question_bytes=self.question_bytes,
            answers=self.answers,
            answer_bytes=self.answer_bytes,
            ttl=self.ttl,
        )


class Observing(WireModel):
    """What the gateway does to see the mesh, and what that gives.

    ``notifications``: nodes count their neighbours and report. ``heartbeats``: nodes of any make, asked in turn whom
    they hear; ``full_picture_seconds`` is how long it takes until every pair was looked at once.
    ``active`` false: held back, ``warnings`` say why. Intervals are those told to the nodes, perhaps stretched.
    ``notification_transmissions``: copies of each notification; absent: as many as network transmit says.
    ``upkeep``: what the gateway sends by itself, in the long run; absent: it does not say.
    """

    level: Literal["notifications", "heartbeats"]
    active: bool
    notification_interval_seconds: float | None = Field(default=None, gt=0)
    report_interval_seconds: float | None = Field(default=None, gt=0)
    messages_per_report: int | None = Field(default=None, ge=1)
    heartbeat_interval_seconds: float | None = Field(default=None, gt=0)
    full_picture_seconds: int | None = Field(default=None, ge=0)
    pairs_listened: int | None = Field(default=None, ge=0)  # of this round of heartbeats
    pairs: int | None = Field(default=None, ge=0)
    compositions_read: int = Field(default=0, ge=0)  # nodes that told their composition data
    notification_transmissions: int | None = Field(default=None, ge=1, le=8)
    airtime: AirtimeBill | None = None
    upkeep: list[UpkeepReport] | None = Field(default=None, max_length=16)
    warnings: list[str] = Field(default=[], max_length=16)  # at most 300 characters each


class GatewayState(Envelope):
    """Retained; the last will says ``online: false`` with the same session.

    ``fault``: why the mesh cannot be reached, and what to do; ``online`` is false as long as there is one.
    ``telemetry_dropped``: messages of this session that were given up because the broker was away for long.
    """

    online: bool
    firmware: str = Field(default="", max_length=128)
    contracts: list[int] = Field(default=[1], max_length=16)  # contract versions it can speak
    gateway_address: UnicastText | None = None
    mesh_uuid: str | None = Field(default=None, max_length=36)
    stack_profile: str | None = Field(default=None, max_length=40)
    capabilities: list[str] = Field(default=[], max_length=32)
    observing: Observing | None = None
    fault: str | None = Field(default=None, max_length=512)
    telemetry_dropped: int | None = Field(default=None, ge=1)


class NeighbourCounter(WireModel):
    """What one node heard of one neighbour, cumulative since ``since_counter``.

    ``last_counter`` is the counter inside the newest notification heard, ``received`` the number of
    *distinct* notifications heard from ``since_counter`` (exclusive) to ``last_counter`` (inclusive):
    expected = last_counter - since_counter. A neighbour restart starts a new ``epoch``.
    ``transmissions`` is how often each notification is sent (network transmit count + 1), so that the
    delivery of a single transmission can be inverted. ``received_uncertainty``: ``received`` may be off by as much
    either way, since heartbeats are counted in steps of powers of two.
    """

    neighbour: UnicastText
    epoch: int = Field(default=0, ge=0)
    since_counter: int = Field(ge=0)
    last_counter: int = Field(ge=0)
    received: int = Field(ge=0)
    received_uncertainty: int = Field(default=0, ge=0)
    transmissions: int = Field(default=1, ge=1, le=8)
    rssi_mean_dbm: float | None = Field(default=None, ge=-130, le=30)
    rssi_min_dbm: float | None = Field(default=None, ge=-130, le=30)
    rssi_max_dbm: float | None = Field(default=None, ge=-130, le=30)


class NeighbourTelemetry(Envelope):
    """One node's report: only neighbours that changed are listed; ``complete`` says that all are."""

    node: UnicastText
    complete: bool = False
    neighbours: list[NeighbourCounter] = Field(max_length=512)


class LatencyHistogram(WireModel):
    """Mergeable: ``counts[i]`` messages took at most ``upper_ms[i]``; the last bucket has no bound."""

    upper_ms: list[int] = Field(min_length=1, max_length=64)
    counts: list[int] = Field(min_length=2, max_length=65)


class FlowReport(WireModel):
    """Measured figures of one flow.

    ``presses``: messages sent; ``on_time_presses``: those that reached *every* member within
    ``deadline_ms`` (lost counts as late; no deadline where nodes share no clock: at all);
    ``delivered_pairs`` of ``sent_pairs`` (message, member) arrived.
    ``spread``: first to last member, over messages that reached all. ``attempt_id`` names the ``probe``
    command that asked for the measurement; absent for the application's own traffic.
    ``how_known``: ``receiverCounted``, members counted what reached them. ``roundTrip``, members answered: a pair is
    delivered if question and answer both came, and ``latency`` is the time until the answer, never half of it.
    ``clock_uncertainty_ms``: how far clocks may be apart, so that ``latency``, ``spread`` and what was on time may be
    off by as much. For readers; no decision reckons with it ("The probe's clock" in ``twin/README.md``).
    """

    flow: str = Field(min_length=1, max_length=40)
    attempt_id: str | None = Field(default=None, max_length=64)
    presses: int = Field(ge=0)
    on_time_presses: int | None = Field(default=None, ge=0)
    sent_pairs: int = Field(ge=0)
    delivered_pairs: int = Field(ge=0)
    deadline_ms: int | None = Field(default=None, ge=1)
    latency: LatencyHistogram | None = None
    spread: LatencyHistogram | None = None
    how_known: Literal["receiverCounted", "roundTrip", "inferred"]
    clock_uncertainty_ms: float | None = Field(default=None, ge=0)


class FlowTelemetry(Envelope):
    """Reports of flows since the previous message."""

    flows: list[FlowReport] = Field(max_length=256)
    airtime_ratio: float | None = Field(default=None, ge=0)  # measured at the gateway's node, one channel


class CompositionReport(WireModel):
    """Composition data page 0, as the node told it; features are those it supports, CRPL its replay list's size."""

    cid: int = Field(ge=0, le=0xFFFF)
    pid: int = Field(ge=0, le=0xFFFF)
    vid: int = Field(ge=0, le=0xFFFF)
    crpl: int = Field(ge=0, le=0xFFFF)
    relay: bool
    proxy: bool
    friend: bool
    low_power: bool
    elements: int = Field(ge=0, le=255)
    sig_models: list[int] = Field(default=[], max_length=256)
    vendor_models: list[tuple[int, int]] = Field(default=[], max_length=256)  # company, model


class NodeReport(WireModel):
    """State of one node as far as it tells; ``replay_list_fill``: by the sources that it is known to hear."""

    node: UnicastText
    uptime_s: int | None = Field(default=None, ge=0)
    buffer_fill: float | None = Field(default=None, ge=0, le=1)
    replay_list_fill: float | None = Field(default=None, ge=0, le=1)
    battery: float | None = Field(default=None, ge=0, le=1)
    heartbeat_hops: int | None = Field(default=None, ge=1, le=127)
    composition: CompositionReport | None = None


class NodeTelemetry(Envelope):
    """Reports of nodes."""

    nodes: list[NodeReport] = Field(max_length=512)
