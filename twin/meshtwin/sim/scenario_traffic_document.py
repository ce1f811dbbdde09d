"""Traffic of scenario files: flows whose messages are followed, and background that takes airtime."""

from typing import Final, Literal, Self

from pydantic import Field, StrictBool, model_validator

from meshtwin.sim.scenario_features import PublishRetransmit, Retries, Segmentation
from meshtwin.sim.scenario_values import Address, Addresses, Document, Name, Number, PduBytes, Seconds, Ttl, Whole

__all__ = ["BackgroundDocument", "FlowDocument", "PublishRetransmitDocument"]

# Of a flow; a thousandth of what one PDU takes on the air, so that nothing real is left out and times add up.
PERIOD_LEAST_S: Final = 1e-6


class PublishRetransmitDocument(Document):
    """Repetitions of a publication by its model, as new network PDUs. Source: Mesh Protocol 1.1, 4.2.3.6, 4.2.3.7."""

    count: Whole = Field(ge=0, le=7, description="repetitions after the first")
    interval_steps: Whole = Field(0, ge=0, le=31, description="(steps + 1) * 50 ms from one to the next")


class FlowDocument(Document):
    """Periodic messages of one source to a node or a group, each of which is followed."""

    name: Name = Field(description="of its own; results, traces and pictures call it so")
    source: Address = Field(description="the node that sends")
    destination: Address = Field(
        description="a node, a group that nodes listen to, ffff (all nodes) or fffe (all that relay)"
    )
    count: Whole = Field(ge=1, le=1_000_000, description="messages in a run, one per period")
    period_seconds: Number = Field(ge=PERIOD_LEAST_S, le=1e8, description="from one message to the next")
    start_seconds: Seconds = Field(0.0, description="simulated time at which the first period begins")
    deadline_milliseconds: Whole = Field(
        1000,
        ge=1,
        le=86_400_000,
        description="on time is what reached every member so soon after it was sent; the default is a choice, no "
        "figure of a standard",
    )
    at_drawn_times: StrictBool = Field(
        False, description="true: each message at a drawn time within its period; false: at its beginning"
    )
    pdu_bytes: PduBytes = Field(
        20, description="size of its network PDU; 20 as in the published chain: 2 bytes of opcode and parameters"
    )
    response_pdu_bytes: PduBytes | None = Field(
        None,
        description="size of the answer's network PDU: every member answers, and round trips are measured; null: no "
        "answers",
    )
    ttl: Ttl | None = Field(None, description="initial TTL of its messages; null: that of the source")
    access_bytes: Whole | None = Field(
        None,
        ge=1,
        le=380,
        description="opcode and parameters of a message, in place of pduBytes; above 11 it goes in segments of 12",
    )
    transport_mic_bytes: Literal[4, 8] = Field(4, description="size of the transport MIC, with accessBytes")
    relays: Addresses | None = Field(
        None, description="only these relay it and its answers, if they relay at all; null: all that relay"
    )
    publish_retransmit: PublishRetransmitDocument | None = Field(
        None, description="its model repeats each message; null: it does not"
    )
    retries: Whole = Field(
        0, ge=0, le=100, description="how often the application sends again what was not answered by all"
    )
    retry_after_seconds: Number = Field(
        1.0, ge=PERIOD_LEAST_S, le=3600.0, description="how long the application waits for answers before that"
    )

    @model_validator(mode="after")
    def _size_is_said_once(self) -> Self:
        if self.access_bytes is not None and "pdu_bytes" in self.model_fields_set:
            raise ValueError("give accessBytes or pduBytes, not both: the size of PDUs follows from accessBytes")
        return self

    def to_segmentation(self) -> Segmentation | None:
        if self.access_bytes is None:
            return None
        return Segmentation(access_bytes=self.access_bytes, mic_bytes=self.transport_mic_bytes)

    def to_publish_retransmit(self) -> PublishRetransmit | None:
        told = self.publish_retransmit
        return None if told is None else PublishRetransmit(count=told.count, interval_steps=told.interval_steps)

    def to_retries(self) -> Retries | None:
        return Retries(count=self.retries, after_s=self.retry_after_seconds) if self.retries else None


class BackgroundDocument(Document):
    """Messages whose fate nobody asks for, at exponential times, each from one of the sources by chance."""

    name: Name = Field(description="traces call it so")
    sources: Addresses = Field(description="nodes, or ranges of them like 0005-0008")
    rate_per_second: Number = Field(gt=0.0, le=1e5, description="mean number of messages, of all sources together")
    ttl: Ttl | None = Field(None, description="initial TTL of its messages; null: that of each source")
    pdu_bytes: PduBytes = Field(20, description="size of its network PDUs")
    destinations: Addresses | None = Field(
        None, description="each message is for one of them by chance, which does not relay it; null: for a group"
    )
