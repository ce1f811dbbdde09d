"""`ConfigurationProposal`, `Approval`, `MeshConfiguration`: records of a change. Their specs never change."""

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field

from meshtwin_operator.resources.base import (
    CelRule,
    Count,
    DigestText,
    LargeCount,
    NameRef,
    PrinterColumn,
    Resource,
    ResourceModel,
    StatusBase,
    UserName,
)
from meshtwin_operator.resources.searches import WARNINGS_MAX, SearchRecord, Text
from meshtwin_operator.resources.settings import KpiFigures, PredictionRecord, SettingsSpec

__all__ = [
    "Approval",
    "ApprovalSpec",
    "ConfigurationProposal",
    "ConfigurationProposalSpec",
    "MeshConfiguration",
    "MeshConfigurationSpec",
    "PushStatus",
    "ScoredStatus",
]

IMMUTABLE = CelRule(rule="self == oldSelf", message="the spec of a record never changes")


class ConfigurationProposalSpec(ResourceModel):
    """A change of one segment; what ``settings`` leave unsaid stays as it is in the base revision."""

    cel_rules: ClassVar = (
        IMMUTABLE,
        CelRule(
            rule="(self.origin == 'Pipeline') == has(self.pipelineRef)",
            message="pipelineRef belongs to proposals with origin Pipeline, and to them alone",
            field_path=".pipelineRef",
        ),
        CelRule(
            rule="self.origin == 'Pipeline' || !has(self.prediction)",
            message="prediction belongs to proposals with origin Pipeline; others are judged into their status",
            field_path=".prediction",
        ),
        CelRule(
            rule="self.origin == 'Pipeline' || !has(self.search)",
            message="search belongs to proposals with origin Pipeline: nothing was searched for others",
            field_path=".search",
        ),
        CelRule(
            rule="self.origin == 'Pipeline' || !has(self.warnings)",
            message="warnings belong to proposals with origin Pipeline: no run found any for others",
            field_path=".warnings",
        ),
        CelRule(
            rule="self.settings.all(s, has(s.relay) || has(s.relayRetransmit) || "
            "has(s.networkTransmit) || has(s.defaultTtl))",
            message="every entry must set something",
            field_path=".settings",
        ),
    )

    segment_ref: NameRef
    origin: Literal["Pipeline", "Manual", "Rollback", "Git"] = Field(
        default="Manual", description="Pipeline is reserved for the operator."
    )
    reason: str = Field(default="", max_length=1024, description="For the one who decides.")
    pipeline_ref: NameRef | None = None
    base_revision: Count | None = Field(default=None, description="Absent: the one in force when it is first judged.")
    inventory_hash: DigestText | None = Field(
        default=None, description="Absent: that of the inventory when it is first judged."
    )
    settings: list[SettingsSpec] = Field(
        min_length=1, max_length=256, description="The change; what is unsaid stays as it is in the base revision."
    )
    prediction: PredictionRecord | None = Field(
        default=None, description="The pipeline's; a manual proposal is judged into its status."
    )
    search: SearchRecord | None = Field(
        default=None, description="The pipeline's: what else could be chosen, and why the others lost."
    )
    warnings: list[Text] = Field(
        default=[],
        max_length=WARNINGS_MAX,
        description="The pipeline's: what the one who decides should know, though it forbade nothing.",
    )
    expire_after_hours: int | None = Field(default=None, ge=1, le=8760, description="Absent: the twin's policy.")


class ConfigurationProposalStatus(StatusBase):
    """Digest to approve, and how it was judged and decided."""

    phase: (
        Literal["Pending", "Judging", "AwaitingDecision", "Approved", "Rejected", "Void", "Expired", "Invalid"] | None
    ) = None
    digest: DigestText | None = None
    base_revision: Count | None = None
    inventory_hash: str | None = Field(default=None, max_length=71)
    changed_nodes: Count | None = None
    prediction: PredictionRecord | None = None
    run_id: str | None = Field(default=None, max_length=64)
    expires_at: AwareDatetime | None = None
    decided_at: AwareDatetime | None = None
    decided_by: list[UserName] = Field(default=[], max_length=8)
    configuration: str | None = Field(default=None, max_length=253)


class ConfigurationProposal(Resource):
    """See `ConfigurationProposalSpec`."""

    kind_name: ClassVar = "ConfigurationProposal"
    plural: ClassVar = "configurationproposals"
    short_names: ClassVar = ("cprop",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Segment", json_path=".spec.segmentRef.name"),
        PrinterColumn(name="Origin", json_path=".spec.origin"),
        PrinterColumn(name="Phase", json_path=".status.phase"),
        PrinterColumn(name="Changed", json_path=".status.changedNodes", type="integer"),
        PrinterColumn(name="Expires", json_path=".status.expiresAt", type="string", priority=1),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["ConfigurationProposal"] = "ConfigurationProposal"
    spec: ConfigurationProposalSpec
    status: ConfigurationProposalStatus | None = None


class ApprovalSpec(ResourceModel):
    """A decision on one proposal, pinned to its digest."""

    cel_rules: ClassVar = (IMMUTABLE,)

    proposal_ref: NameRef
    decision: Literal["Approve", "Reject"]
    digest: DigestText = Field(description="As in status.digest of the proposal.")
    approved_by: UserName = Field(description="The requesting user, by admission policy.")
    comment: str = Field(default="", max_length=1024, description="For the record.")


class ApprovalStatus(StatusBase):
    """Condition ``Accepted`` says whether it counted, and why not."""


class Approval(Resource):
    """See `ApprovalSpec`."""

    kind_name: ClassVar = "Approval"
    plural: ClassVar = "approvals"
    short_names: ClassVar = ("appr",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Proposal", json_path=".spec.proposalRef.name"),
        PrinterColumn(name="Decision", json_path=".spec.decision"),
        PrinterColumn(name="By", json_path=".spec.approvedBy"),
        PrinterColumn(name="Accepted", json_path='.status.conditions[?(@.type=="Accepted")].status'),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["Approval"] = "Approval"
    spec: ApprovalSpec
    status: ApprovalStatus | None = None


class MeshConfigurationSpec(ResourceModel):
    """An approved revision of one segment: complete for every node it names."""

    cel_rules: ClassVar = (
        IMMUTABLE,
        CelRule(
            rule="!has(self.baseRevision) || self.baseRevision < self.revision",
            message="baseRevision must be below revision",
            field_path=".baseRevision",
        ),
    )

    segment_ref: NameRef
    revision: Count = Field(description="0 is what was adopted.")
    base_revision: Count | None = None
    digest: DigestText = Field(description="SHA-256 over the canonical JSON of the expanded node list.")
    proposal_ref: NameRef | None = Field(default=None, description="Absent: revision 0.")
    settings: list[SettingsSpec] = Field(min_length=1, max_length=256)


PushStep = Literal[
    "Pending",  # waits: another push in flight, window, suspend, mode
    "MeasuringBaseline",  # probe before
    "Staging",
    "Committing",
    "Verifying",  # probe after, no-harm test
    "Confirming",
    "Aborting",
    "Confirmed",  # verdicts, terminal
    "RolledBack",
    "Rejected",  # refused by the gateway for good
    "TimedOut",  # restored by the gateway's timer
    "Superseded",
    "Adopted",
]


class PushStatus(ResourceModel):
    """The step in flight, written before it is published."""

    step: PushStep
    attempt_id: str | None = Field(default=None, max_length=64)
    attempts: Count = 0
    failures: Count = 0  # attempts that ran into a time limit; bounded
    looks: Count = 0  # probes after the commit that were judged
    epoch: LargeCount | None = None
    step_started_at: AwareDatetime | None = None
    not_after: AwareDatetime | None = None
    confirm_by: AwareDatetime | None = None
    next_try_at: AwareDatetime | None = None
    reason: str = Field(default="", max_length=64)
    message: str = Field(default="", max_length=1024)


class OutcomeCounts(ResourceModel):
    """How many nodes ended how; ``exceptions`` names up to 32 that are not applied."""

    applied: Count = 0
    refused: Count = 0
    unknown: Count = 0
    pending: Count = 0
    exceptions: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=32)


PerMille = Annotated[int, Field(ge=0, le=1000)]


class NoHarmVerdict(ResourceModel):
    """Outcome of the no-harm test with its stated power."""

    passed: bool
    margin_per_mille: PerMille
    confidence_per_mille: PerMille
    power_per_mille: PerMille | None = None  # to see a loss of twice the margin
    message: str = Field(default="", max_length=1024)


class ScoredStatus(ResourceModel):
    """What became of handing prediction and measurement to the segment's scorecard."""

    result: Literal["Entered", "Refused"]
    at: AwareDatetime
    message: str = Field(default="", max_length=1024)


class MeshConfigurationStatus(StatusBase):
    """What became of the revision."""

    push: PushStatus | None = None
    heal: PushStatus | None = None  # repair of drift of a confirmed revision
    outcomes: OutcomeCounts | None = None
    silent_before: list[Annotated[str, Field(max_length=4)]] = Field(default=[], max_length=2000)
    measured_before: KpiFigures | None = None
    measured_after: KpiFigures | None = None
    predicted: PredictionRecord | None = None
    no_harm: NoHarmVerdict | None = None
    confirmed_at: AwareDatetime | None = None
    scored: ScoredStatus | None = None  # absent: nothing was predicted or measured, or the twin has not answered yet


class MeshConfiguration(Resource):
    """See `MeshConfigurationSpec`."""

    kind_name: ClassVar = "MeshConfiguration"
    plural: ClassVar = "meshconfigurations"
    short_names: ClassVar = ("mconf",)
    printer_columns: ClassVar = (
        PrinterColumn(name="Segment", json_path=".spec.segmentRef.name"),
        PrinterColumn(name="Revision", json_path=".spec.revision", type="integer"),
        PrinterColumn(name="Step", json_path=".status.push.step"),
        PrinterColumn(name="Confirmed", json_path='.status.conditions[?(@.type=="Confirmed")].status'),
        PrinterColumn(name="Age", json_path=".metadata.creationTimestamp", type="date"),
    )

    kind: Literal["MeshConfiguration"] = "MeshConfiguration"
    spec: MeshConfigurationSpec
    status: MeshConfigurationStatus | None = None
