"""What may be done to a network, when, and who decides."""

from typing import ClassVar, Literal

from pydantic import Field

from meshtwin_operator.resources.base import UNIQUE, CelRule, ResourceModel, UserName

__all__ = ["ApprovalPolicy", "ChangeWindow", "PushPolicy"]


class ApprovalPolicy(ResourceModel):
    """Who may decide: ``Manual`` needs `Approval` objects; ``GitOps`` accepts those of a named account."""

    cel_rules: ClassVar = (
        CelRule(
            rule="self.mode != 'GitOps' || has(self.gitOpsAccount)",
            message="mode GitOps needs gitOpsAccount",
            field_path=".gitOpsAccount",
            reason="FieldValueRequired",
        ),
    )

    mode: Literal["Manual", "GitOps"] = Field(
        default="Manual",
        description="Manual: approvals by persons. GitOps: approvals of the account named below count.",
    )
    required_approvals: int = Field(default=1, ge=1, le=5, description="Different approvers needed.")
    git_ops_account: UserName | None = Field(
        default=None, description="User name of the account that applies approvals from Git."
    )
    expire_after_hours: int = Field(default=72, ge=1, le=8760, description="A proposal undecided for so long expires.")


class ChangeWindow(ResourceModel):
    """Times at which a push may start or go on, UTC; an end below the start is past midnight."""

    cel_rules: ClassVar = (
        CelRule(rule="self.start != self.end", message="start and end are equal: the window is empty"),
    )

    days: list[Literal["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]] = Field(
        default=["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"],
        min_length=1,
        max_length=7,
        json_schema_extra=UNIQUE,
        description="Days on which the window starts; absent: all.",
    )
    start: str = Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", max_length=5, description="Hour and minute, UTC.")
    end: str = Field(
        pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$",
        max_length=5,
        description="Hour and minute, UTC; not after start: of the next day.",
    )


class PushPolicy(ResourceModel):
    """How an approved configuration is pushed and judged."""

    coverage_per_mille: int = Field(
        default=1000, ge=500, le=1000, description="Share of the changed nodes that must have applied a configuration."
    )
    confirm_within_seconds: int = Field(
        default=600,
        ge=10,
        le=86_400,
        description="After a commit without a confirm for so long the gateway restores what was.",
    )
    probe_messages: int = Field(
        default=60, ge=10, le=10_000, description="Messages per flow, before and after, by which harm is judged."
    )
    harm_margin_per_mille: int = Field(
        default=50, ge=1, le=500, description="Loss of the on-time share that is called harm."
    )
    drift: Literal["Heal", "Accept"] = Field(
        default="Heal",
        description="What is done about a node that somebody else changed: Heal sets it again, Accept takes it over.",
    )
