"""Payloads of ``configuration/*``: commands, results, and what is in force at a gateway."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Literal, Self

from pydantic import AwareDatetime, Field, model_validator

from meshtwin.contract.wire import AddressText, CommandedModel, Envelope, SettingsEntry, UnicastText, WireModel

__all__ = [
    "AirtimePercent",
    "Command",
    "CommandResult",
    "FlowSpec",
    "GatewayPhase",
    "IntervalSeconds",
    "NodeOutcome",
    "Outcome",
    "Reported",
    "Verb",
]

UNASSIGNED: Final = "0000"  # the address of nobody; Mesh Protocol 1.1, 3.4.2.1
INTEGER_MAX: Final = 2**53 - 1  # the largest integer that every JSON reader keeps exactly; RFC 8259, 6
EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)  # where a clock that was never set begins
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)  # chosen: no command lives that long, and spans of such times add up
INTERVAL_LEAST_S: Final = 0.1  # the step in which nodes are told their intervals
INTERVAL_MOST_S: Final = 86_400  # a day, as in `MeshSegment`; a gateway may refuse less
AIRTIME_LEAST_PERCENT: Final = 0.01  # with less 50 nodes could not report within 6,553 s, the longest interval told

DigestText = str
IntervalSeconds = Annotated[float, Field(ge=INTERVAL_LEAST_S, le=INTERVAL_MOST_S, allow_inf_nan=False)]
AirtimePercent = Annotated[float, Field(ge=AIRTIME_LEAST_PERCENT, le=100, allow_inf_nan=False)]
CommandTime = Annotated[AwareDatetime, Field(ge=EARLIEST, le=LATEST)]


class Verb(StrEnum):
    """What a command asks for.

    ``monitor`` sets notification, report and flow monitoring; ``adopt`` reads all nodes and reports;
    ``probe`` measures flows and reachability; the rest is the commit-confirm sequence.
    """

    MONITOR = "monitor"
    ADOPT = "adopt"
    PROBE = "probe"
    STAGE = "stage"
    COMMIT = "commit"
    CONFIRM = "confirm"
    ABORT = "abort"


class Outcome(StrEnum):
    """Of one node: applied and read back, refused by it, not heard (retried later), still under way."""

    APPLIED = "applied"
    REFUSED = "refused"
    UNKNOWN = "unknown"
    PENDING = "pending"


class GatewayPhase(StrEnum):
    """Where the gateway's own safety net stands."""

    IDLE = "idle"
    STAGED = "staged"
    COMMITTING = "committing"
    ARMED = "armed"  # committed, rollback timer runs until confirm
    RESTORING = "restoring"


class FlowSpec(CommandedModel):
    """A flow to be monitored or probed; ``members`` are the nodes that should receive, none of them 0000."""

    name: str = Field(min_length=1, max_length=40)
    source: UnicastText
    destination: AddressText
    members: list[UnicastText] = Field(max_length=512)
    deadline_ms: int = Field(ge=1, le=60_000)

    @model_validator(mode="after")
    def _check_assigned(self) -> Self:
        if UNASSIGNED in (self.source, self.destination, *self.members):
            raise ValueError(f"flow {self.name!r} names the unassigned address {UNASSIGNED}")
        return self


class Command(CommandedModel):
    """From the operator alone. Refused when late, of a lower epoch, or unknown.

    ``settings`` is complete for the nodes it names; ``hash`` is the digest of its expansion.
    """

    contract: Literal[1] = 1
    verb: Verb
    epoch: int = Field(ge=0, le=INTEGER_MAX)  # of the operator's Lease; a gateway refuses a lower one than it has seen
    attempt_id: str = Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")  # visible ASCII: it is shown and logged
    sent_at: CommandTime
    not_after: CommandTime  # refused later; a probe is done before
    revision: int | None = Field(default=None, ge=0, le=INTEGER_MAX)
    hash: str | None = Field(default=None, pattern=r"^sha256:[0-9a-f]{64}$")
    settings: list[SettingsEntry] | None = Field(default=None, max_length=512)
    nodes: list[UnicastText] | None = Field(default=None, max_length=2000)  # inventory: adopt, stage, probe
    coverage_per_mille: int | None = Field(default=None, ge=0, le=1000)  # commit: share that must apply
    confirm_within_seconds: int | None = Field(default=None, ge=1, le=86_400)
    notification_interval_seconds: IntervalSeconds | None = None
    report_interval_seconds: IntervalSeconds | None = None
    airtime_budget_percent: AirtimePercent | None = None
    flows: list[FlowSpec] | None = Field(default=None, max_length=64)
    presses: int | None = Field(default=None, ge=1, le=10_000)  # probe: messages per flow
    reason: str | None = Field(default=None, max_length=64)  # abort: Harm (hash is rejected for good), Stopped, …
    signature: str | None = Field(default=None, max_length=1024)  # reserved


class NodeOutcome(WireModel):
    """Outcome of one node, with the values read back where it answered."""

    node: UnicastText
    outcome: Outcome
    reason: str | None = Field(default=None, max_length=200)
    read_back: SettingsEntry | None = None  # ``nodes`` names the node itself


class CommandResult(Envelope):
    """Answer to one command; long work answers ``accepted`` first, then ``done`` or ``failed``.

    ``accepted`` may carry the outcomes that are certain already: a probe names silent nodes before it measures flows.
    """

    attempt_id: str
    verb: Verb
    status: Literal["accepted", "done", "failed", "refused"]
    reason: str | None = Field(default=None, max_length=64)  # CamelCase: Late, StaleEpoch, HashMismatch, ...
    message: str | None = Field(default=None, max_length=1024)
    revision: int | None = None
    hash: str | None = None
    outcomes: list[NodeOutcome] = Field(default=[], max_length=2000)
    progress: float | None = Field(default=None, ge=0, le=1)


class Reported(Envelope):
    """Retained. What is in force: revision 0 is what was adopted; ``settings`` as last read back."""

    phase: GatewayPhase
    epoch: int = Field(ge=0)  # highest seen
    revision: int | None = None  # None: nothing adopted yet
    hash: str | None = None
    settings: list[SettingsEntry] = Field(default=[], max_length=512)
    exceptions: list[NodeOutcome] = Field(default=[], max_length=2000)  # nodes not as the revision says
    drifted: list[UnicastText] = Field(default=[], max_length=2000)  # changed by someone else
    unheard: list[UnicastText] = Field(default=[], max_length=2000)
    attempt_id: str | None = None  # of the push in flight, or the last one
    pending_revision: int | None = None  # staged or armed
    pending_hash: str | None = None
    rollback_at: AwareDatetime | None = None
    restore_reason: str | None = Field(default=None, max_length=64)
    rejected_hashes: list[str] = Field(default=[], max_length=32)  # taken back because they did harm
    timed_out_hashes: list[str] = Field(default=[], max_length=32)  # restored by the timer; may be retried
    last_adopted_at: AwareDatetime | None = None
