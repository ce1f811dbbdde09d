"""What a gateway must not forget: the last known good configuration, the push in flight, its deadline.

`Memory` is the value the core works with; `to_bytes` and `parse_memory` are its form on disk (JSON, one
format version, refused when it is another or broken). What to observe is no promise, and is told anew in every
session: a part of the file that cannot be used is set aside with a line in the log, and the gateway starts without.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog
from pydantic import AwareDatetime, Field, ValidationError, ValidatorFunctionWrapHandler, field_validator

from meshtwin.contract.configuration import AirtimePercent, FlowSpec, GatewayPhase, IntervalSeconds, Outcome
from meshtwin.contract.wire import SettingsEntry, WireModel
from meshtwin.errors import InvalidInput
from meshtwin.gateway.foundation import NodeComposition
from meshtwin.gateway.model_states import ModelState
from meshtwin.mesh.addresses import UnicastAddress, format_address, parse_unicast
from meshtwin.mesh.configuration import Configuration, SettingsRange

__all__ = ["HASHES_KEPT", "TIMED", "Memory", "Monitoring", "NodeException", "Pending", "parse_memory", "to_bytes"]

log = structlog.get_logger(__name__)

TIMED: Final = (GatewayPhase.ARMED, GatewayPhase.COMMITTING)  # the rollback timer runs
HASHES_KEPT: Final = 32  # as many as `Reported` may carry


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A push that is staged, being committed, armed or being restored."""

    attempt_id: str
    revision: int
    hash: str
    configuration: Configuration
    coverage_per_mille: int = 1000
    confirm_within_seconds: int = 300


@dataclass(frozen=True, slots=True)
class NodeException:
    """Why a node is not as the revision says."""

    outcome: Outcome
    reason: str


class Monitoring(WireModel):
    """What ``monitor`` asked for."""

    notification_interval_seconds: IntervalSeconds
    report_interval_seconds: IntervalSeconds
    airtime_budget_percent: AirtimePercent
    flows: list[FlowSpec] = Field(default=[])


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The whole memory; ``known`` holds what was read back last, without nodes that are in doubt."""

    phase: GatewayPhase = GatewayPhase.IDLE
    epoch: int = 0
    revision: int | None = None  # None: nothing adopted yet
    hash: str | None = None
    configuration: Configuration = field(default_factory=Configuration)
    known: Configuration = field(default_factory=Configuration)
    nodes: tuple[UnicastAddress, ...] = ()
    pending: Pending | None = None
    rollback_at: AwareDatetime | None = None
    attempt_id: str | None = None
    restore_reason: str | None = None
    rejected_hashes: tuple[str, ...] = ()
    timed_out_hashes: tuple[str, ...] = ()
    exceptions: Mapping[UnicastAddress, NodeException] = field(default_factory=dict)
    drifted: tuple[UnicastAddress, ...] = ()
    monitoring: Monitoring | None = None
    monitor_epoch: int = 0
    adopted_at: AwareDatetime | None = None
    compositions: Mapping[UnicastAddress, NodeComposition] = field(default_factory=dict)  # of those that told it
    notifying: bool = False  # nodes were told to notify and report
    # Were told to publish heartbeats, and have not confirmed that they stopped.
    heartbeat_publishers: tuple[UnicastAddress, ...] = ()
    models: Mapping[UnicastAddress, ModelState] = field(default_factory=dict)  # the monitoring model, as read last


class StoredPending(WireModel):
    attempt_id: str
    revision: int
    hash: str
    configuration: list[SettingsEntry]
    coverage_per_mille: int
    confirm_within_seconds: int


class StoredException(WireModel):
    node: str
    outcome: Outcome
    reason: str


class StoredComposition(WireModel):
    node: str
    composition: NodeComposition


class StoredModel(WireModel):
    node: str
    state: ModelState


class StoredMemory(WireModel):
    format: Literal[1] = 1
    phase: GatewayPhase
    epoch: int
    revision: int | None
    hash: str | None
    configuration: list[SettingsEntry]
    known: list[SettingsEntry]
    nodes: list[str]
    pending: StoredPending | None
    rollback_at: AwareDatetime | None
    attempt_id: str | None
    restore_reason: str | None
    rejected_hashes: list[str]
    timed_out_hashes: list[str]
    exceptions: list[StoredException]
    drifted: list[str]
    monitoring: Monitoring | None
    monitor_epoch: int
    adopted_at: AwareDatetime | None
    compositions: list[StoredComposition] = Field(default=[])  # format 1 was without them once
    notifying: bool = False  # and without these two
    heartbeat_publishers: list[str] = Field(default=[])
    models: list[StoredModel] = Field(default=[])  # and without this

    @field_validator("monitoring", mode="wrap")
    @classmethod
    def _set_aside(cls, value: Any, parse: ValidatorFunctionWrapHandler) -> Monitoring | None:
        """None for what cannot be used, such as intervals without end that an earlier version took."""
        try:
            monitoring: Monitoring | None = parse(value)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(("monitoring", *map(str, first["loc"])))
            log.warning(
                "Nothing is observed until a monitor command comes: what the memory says of it is not usable",
                place=place,
                message=first["msg"],
            )
            return None
        return monitoring


def to_bytes(memory: Memory) -> bytes:
    """The form on disk."""
    pending = memory.pending
    stored = StoredMemory(
        phase=memory.phase,
        epoch=memory.epoch,
        revision=memory.revision,
        hash=memory.hash,
        configuration=_entries(memory.configuration),
        known=_entries(memory.known),
        nodes=[format_address(a) for a in memory.nodes],
        pending=None
        if pending is None
        else StoredPending(
            attempt_id=pending.attempt_id,
            revision=pending.revision,
            hash=pending.hash,
            configuration=_entries(pending.configuration),
            coverage_per_mille=pending.coverage_per_mille,
            confirm_within_seconds=pending.confirm_within_seconds,
        ),
        rollback_at=memory.rollback_at,
        attempt_id=memory.attempt_id,
        restore_reason=memory.restore_reason,
        rejected_hashes=list(memory.rejected_hashes),
        timed_out_hashes=list(memory.timed_out_hashes),
        exceptions=[
            StoredException(node=format_address(a), outcome=e.outcome, reason=e.reason)
            for a, e in sorted(memory.exceptions.items())
        ],
        drifted=[format_address(a) for a in memory.drifted],
        monitoring=memory.monitoring,
        monitor_epoch=memory.monitor_epoch,
        adopted_at=memory.adopted_at,
        compositions=[
            StoredComposition(node=format_address(a), composition=c) for a, c in sorted(memory.compositions.items())
        ],
        notifying=memory.notifying,
        heartbeat_publishers=[format_address(a) for a in memory.heartbeat_publishers],
        models=[StoredModel(node=format_address(a), state=s) for a, s in sorted(memory.models.items())],
    )
    return stored.model_dump_json(by_alias=True, indent=1).encode()


def parse_memory(data: bytes, place: str) -> Memory:
    """The memory behind ``data``; raises `InvalidInput` if it is broken: a gateway must not guess here."""
    try:
        stored = StoredMemory.model_validate_json(data)
        pending = stored.pending
        if stored.phase in TIMED and (pending is None or stored.rollback_at is None):
            raise InvalidInput(f"phase {stored.phase} without what is pushed, or without its deadline")
        return Memory(
            phase=stored.phase,
            epoch=stored.epoch,
            revision=stored.revision,
            hash=stored.hash,
            configuration=_configuration(stored.configuration),
            known=_configuration(stored.known),
            nodes=tuple(_address(a) for a in stored.nodes),
            pending=None
            if pending is None
            else Pending(
                attempt_id=pending.attempt_id,
                revision=pending.revision,
                hash=pending.hash,
                configuration=_configuration(pending.configuration),
                coverage_per_mille=pending.coverage_per_mille,
                confirm_within_seconds=pending.confirm_within_seconds,
            ),
            rollback_at=stored.rollback_at,
            attempt_id=stored.attempt_id,
            restore_reason=stored.restore_reason,
            rejected_hashes=tuple(stored.rejected_hashes),
            timed_out_hashes=tuple(stored.timed_out_hashes),
            exceptions={_address(e.node): NodeException(e.outcome, e.reason) for e in stored.exceptions},
            drifted=tuple(_address(a) for a in stored.drifted),
            monitoring=stored.monitoring,
            monitor_epoch=stored.monitor_epoch,
            adopted_at=stored.adopted_at,
            compositions={_address(c.node): c.composition for c in stored.compositions},
            notifying=stored.notifying,
            heartbeat_publishers=tuple(_address(a) for a in stored.heartbeat_publishers),
            models={_address(m.node): m.state for m in stored.models},
        )
    except (ValidationError, InvalidInput, ValueError) as error:
        why = _first_fault(error) if isinstance(error, ValidationError) else str(error)
        raise InvalidInput(
            f"gateway memory is broken: {why}; restore it from a backup, or remove it and adopt again",
            reason="MemoryBroken",
            place=place,
        ) from error


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ": ".join([".".join(str(part) for part in fault["loc"]), fault["msg"]]).removeprefix(": ")


def _address(text: str) -> UnicastAddress:
    return parse_unicast(text, "address")


def _entries(configuration: Configuration) -> list[SettingsEntry]:
    return [
        SettingsEntry.from_value(SettingsRange(nodes=(format_address(address),), settings=settings))
        for address, settings in configuration.entries
    ]


def _configuration(entries: list[SettingsEntry]) -> Configuration:
    return Configuration.of({_address(entry.nodes[0]): entry.to_settings() for entry in entries})
