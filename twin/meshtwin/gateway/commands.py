"""Which commands are accepted: pure checks of a command against the memory.

Every refusal is an `InvalidInput` whose ``reason`` goes into the result.
"""

from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from meshtwin.contract.configuration import Command, GatewayPhase
from meshtwin.errors import InvalidInput
from meshtwin.gateway.memory import Memory, Pending
from meshtwin.mesh.addresses import UnicastAddress, parse_unicast
from meshtwin.mesh.configuration import Configuration, compute_digest, expand_settings

__all__ = [
    "COMMAND_LIMIT",
    "check_abort",
    "check_commit",
    "check_confirm",
    "check_envelope",
    "check_stage",
    "parse_command",
    "parse_nodes",
]

COMMAND_LIMIT: Final = 512 * 1024  # bytes; 512 entries of 256 ranges would be more, a sane one is far less
FUTURE_TOLERANCE: Final = timedelta(minutes=5)  # clocks of operator and gateway differ


def parse_command(payload: bytes) -> Command:
    """The command; raises `InvalidInput` with reason Oversized or Malformed."""
    if len(payload) > COMMAND_LIMIT:
        raise InvalidInput(f"command of {len(payload)} bytes, at most {COMMAND_LIMIT}", reason="Oversized")
    try:
        return Command.model_validate_json(payload)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{first['msg']} ({place})", reason="Malformed") from error


def check_envelope(command: Command, memory: Memory, now: datetime) -> None:
    """Refuse what is late, from the future, or from an operator that lost its lease."""
    if command.not_after < now:
        raise InvalidInput(f"not after {command.not_after.isoformat()}, now {now.isoformat()}", reason="Late")
    if command.sent_at > now + FUTURE_TOLERANCE:
        raise InvalidInput(f"sent at {command.sent_at.isoformat()}, now {now.isoformat()}", reason="FromFuture")
    if command.epoch < memory.epoch:
        message = f"epoch {command.epoch} is lower than {memory.epoch}, which was seen before"
        raise InvalidInput(message, reason="StaleEpoch")


def parse_nodes(command: Command, memory: Memory) -> tuple[UnicastAddress, ...]:
    """The nodes a command names, else those known from before; refuses an empty list."""
    if command.nodes is not None:
        nodes = tuple(sorted({parse_unicast(text, "nodes") for text in command.nodes}))
    else:
        nodes = memory.nodes
    if not nodes:
        raise InvalidInput("the command names no nodes and none are known", reason="NodesMissing")
    return nodes


def check_stage(command: Command, memory: Memory) -> Pending | None:
    """What is to be staged; None: it is in force already and nothing drifted.

    Refuses: nothing adopted, incomplete, another hash than the settings have, a configuration that did harm,
    an old revision, a push in flight.
    """
    if memory.revision is None:
        raise InvalidInput("nothing was adopted yet, so there is nothing to go back to", reason="NotAdopted")
    if command.revision is None or command.hash is None or not command.settings:
        raise InvalidInput("stage needs revision, hash and settings", reason="Incomplete")
    configuration = _expand(command, memory)
    digest = compute_digest(configuration)
    if digest != command.hash:
        raise InvalidInput(f"hash {command.hash} is not that of the settings, {digest}", reason="HashMismatch")
    if command.hash in memory.rejected_hashes:
        raise InvalidInput(f"{command.hash} was taken back because it did harm", reason="PreviouslyHarmful")
    if memory.phase not in (GatewayPhase.IDLE, GatewayPhase.STAGED):
        raise InvalidInput(f"a push is in flight (phase {memory.phase})", reason="Busy")
    if command.revision == memory.revision and command.hash == memory.hash:
        if not memory.drifted and not memory.exceptions:
            return None
    elif command.revision <= memory.revision:
        message = f"revision {command.revision} is not newer than {memory.revision} in force"
        raise InvalidInput(message, reason="StaleRevision")
    return Pending(
        attempt_id=command.attempt_id,
        revision=command.revision,
        hash=command.hash,
        configuration=configuration,
    )


def _expand(command: Command, memory: Memory) -> Configuration:
    """The per-node configuration of a command, over its own nodes."""
    nodes = parse_nodes(command, memory)
    entries = [entry.to_value() for entry in command.settings or []]
    return expand_settings(entries, nodes, "settings")


def check_commit(command: Command, memory: Memory) -> Pending | None:
    """What is to be committed; None: it is already under way, armed, or in force."""
    pending = memory.pending
    if pending is not None and _is_same(command, pending.revision, pending.hash):
        if memory.phase is GatewayPhase.STAGED:
            return pending
        if memory.phase in (GatewayPhase.COMMITTING, GatewayPhase.ARMED):
            return None
        raise InvalidInput("this revision is being taken back", reason="Restoring")
    if memory.phase is GatewayPhase.IDLE and _is_in_force(command, memory):
        return None
    if pending is not None:
        message = f"revision {command.revision} is not the staged revision {pending.revision}"
        raise InvalidInput(message, reason="RevisionMismatch")
    raise InvalidInput("nothing is staged", reason="NothingStaged")


def check_confirm(command: Command, memory: Memory) -> bool:
    """Whether there is something to confirm; False: it is in force already."""
    pending = memory.pending
    if pending is not None and memory.phase is GatewayPhase.ARMED:
        if _is_same(command, pending.revision, pending.hash):
            return True
        message = f"revision {command.revision} is not the armed revision {pending.revision}"
        raise InvalidInput(message, reason="RevisionMismatch")
    if memory.phase is GatewayPhase.IDLE and _is_in_force(command, memory):
        return False
    raise InvalidInput(f"nothing is armed (phase {memory.phase})", reason="NothingArmed")


def check_abort(command: Command, memory: Memory) -> bool:
    """Whether there is something to abort; False: nothing is in flight.

    An abort that names another revision than the one in flight is refused.
    """
    pending = memory.pending
    if pending is None:
        if command.revision is not None and _is_in_force(command, memory):
            raise InvalidInput("this revision was confirmed", reason="AlreadyConfirmed")
        return False
    if command.revision is not None and not _is_same(command, pending.revision, pending.hash):
        message = f"revision {command.revision} is not the one in flight, {pending.revision}"
        raise InvalidInput(message, reason="RevisionMismatch")
    return memory.phase is not GatewayPhase.RESTORING


def _is_same(command: Command, revision: int, digest: str) -> bool:
    return command.revision == revision and command.hash in (None, digest)


def _is_in_force(command: Command, memory: Memory) -> bool:
    return memory.revision is not None and _is_same(command, memory.revision, memory.hash or "")
