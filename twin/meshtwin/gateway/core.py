"""The gateway without clock, wire and disk: events in, effects out, and when to be woken.

Laws: what a result or `Reported` says was saved before (effects are carried out in order). A repeated, late
or reordered command changes nothing and is answered with what is in force. One piece of long work at a time;
the safety net (commit, restore) interrupts all other work.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

import structlog

from meshtwin.contract.access import Opcode, decode_access
from meshtwin.contract.configuration import Command, Verb
from meshtwin.errors import InvalidInput
from meshtwin.gateway.bench import Bench
from meshtwin.gateway.commands import check_envelope, parse_command
from meshtwin.gateway.effects import Effect
from meshtwin.gateway.measuring import Measuring
from meshtwin.gateway.memory import Memory
from meshtwin.gateway.outbox import Identity
from meshtwin.gateway.probe import ProbeJob
from meshtwin.gateway.safety import SafetyNet
from meshtwin.gateway.upkeep import Upkeep
from meshtwin.mesh.addresses import UnicastAddress, is_unicast

__all__ = ["GatewayCore"]

log = structlog.get_logger(__name__)

MALFORMED_READ: Final = 65_536  # bytes of a malformed command that are looked at to answer it
LOGGED_MAX: Final = 200  # characters of what was wrong with it: the text may quote the sender


class GatewayCore:
    """Methods return the effects to be carried out in order; `next_wakeup` says when to call `on_time`.

    ``first_probe`` numbers the first probe (8 bit); numbers of an earlier run should not come again soon.
    """

    def __init__(self, memory: Memory, identity: Identity, *, first_probe: int = 0) -> None:
        self._bench = Bench(memory, identity)
        self._upkeep = Upkeep(self._bench)
        self._safety = SafetyNet(self._bench, self._upkeep)
        self._measuring = Measuring(self._bench, self._upkeep, first_probe)
        self.rejected: dict[str, int] = {}  # commands that were not understood or refused, by reason
        self._handlers: Mapping[Verb, Callable[[Command, datetime], None]] = {
            Verb.MONITOR: self._upkeep.on_monitor,
            Verb.ADOPT: self._measuring.on_adopt,
            Verb.PROBE: self._measuring.on_probe,
            Verb.STAGE: self._safety.on_stage,
            Verb.COMMIT: self._safety.on_commit,
            Verb.CONFIRM: self._safety.on_confirm,
            Verb.ABORT: self._safety.on_abort,
        }

    @property
    def memory(self) -> Memory:
        """What is, or is about to be, on disk."""
        return self._bench.memory

    def start(self, now: datetime) -> list[Effect]:
        """Say who we are, and go on where the memory says we stopped."""
        self._upkeep.resume(now)
        self._announce(now)
        self._safety.resume(now)
        return self.on_time(now)

    def announce(self, now: datetime) -> list[Effect]:
        """State and what is in force again, after the broker came back."""
        self._announce(now)
        return self._bench.drain(now)

    def command(self, payload: bytes, now: datetime) -> list[Effect]:
        """Handle a payload of ``configuration/command``; never raises for what is in it.

        Every payload has a result as its answer, or a line in the log where nobody can be answered.
        """
        try:
            command = parse_command(payload)
        except InvalidInput as error:
            self._count(error)
            if not self._answer_malformed(payload, error, now):
                log.warning("Command not understood", reason=error.reason, message=str(error)[:LOGGED_MAX])
            return self._bench.drain(now)
        try:
            check_envelope(command, self._bench.memory, now)
            if command.epoch > self._bench.memory.epoch:
                self._bench.remember(replace(self._bench.memory, epoch=command.epoch))
            self._handlers[command.verb](command, now)
        except InvalidInput as error:
            self._count(error)
            self._bench.answer(command, now, "refused", reason=error.reason, message=str(error))
        return self._bench.drain(now)

    def mesh(self, source: int, payload: bytes, ttl: int | None, now: datetime) -> list[Effect]:
        """Handle an access message that came through the mesh to the gateway's node."""
        message = decode_access(payload)
        if message is None or not is_unicast(source):  # messages come from elements; Mesh Protocol 1.1, 3.4.2.2
            return []
        node = UnicastAddress(source)
        completed = self._bench.desk.exchanges.answered(source, message, now)
        if completed is None and self._upkeep.is_odd(node, message):
            return self._bench.drain(now)
        self._bench.book.hear(node, ttl, now)
        self._upkeep.hear(node, now)
        if message.opcode is Opcode.REPORT:
            self._upkeep.take_report(node, message.parameters, now)
            if ttl is None:
                self._upkeep.learn_hops()
        if completed is not None:
            self._bench.complete(completed, now)
        self._upkeep.repair_if_heard(node, now)
        return self._bench.drain(now)

    def unsent(self, destination: int, reason: str, now: datetime) -> list[Effect]:
        """The stack did not take a message: its node is given up at once, and its outcome says why."""
        self._bench.book.silence[UnicastAddress(destination)] = reason[:200]
        completed = self._bench.desk.exchanges.give_up(destination)
        if completed is not None:
            self._bench.complete(completed, now)
        return self._bench.drain(now)

    def fault(self, text: str | None, now: datetime) -> list[Effect]:
        """The mesh cannot be reached, and why, or (None) can be again."""
        if text != self._bench.fault:
            self._bench.fault = text
            self._bench.say_state(now)
        return self._bench.drain(now)

    def sensed(self, busy_s: float, mesh_s: float, now: datetime) -> list[Effect]:
        """Take a reading of the busy time of the gateway's node; one that cannot be is ignored."""
        if not (math.isfinite(busy_s) and math.isfinite(mesh_s) and busy_s >= 0):
            return []
        work = self._bench.work
        if work is not None and isinstance(work.job, ProbeJob):
            work.job.sensed(busy_s, mesh_s)
        self._upkeep.take_airtime(busy_s, mesh_s, now)
        return self._bench.drain(now)

    def on_time(self, now: datetime) -> list[Effect]:
        """Do what is due."""
        self._safety.on_time(now)
        self._bench.on_time(now)
        self._upkeep.on_time(now)
        return self._bench.drain(now)

    def next_wakeup(self) -> datetime | None:
        """The earliest time at which `on_time` has something to do."""
        times = (self._safety.next_wakeup(), *self._bench.next_wakeups(), *self._upkeep.next_wakeups())
        return min((t for t in times if t is not None), default=None)

    def _announce(self, now: datetime) -> None:
        self._bench.say_state(now)
        self._bench.say_reported(now)

    def _count(self, error: InvalidInput) -> None:
        self.rejected[error.reason] = self.rejected.get(error.reason, 0) + 1

    def _answer_malformed(self, payload: bytes, error: InvalidInput, now: datetime) -> bool:
        """Refuse by name where attempt and verb can still be read; False: they cannot."""
        try:
            raw = json.loads(payload[:MALFORMED_READ])
            reason = "UnknownContract" if raw.get("contract", 1) != 1 else error.reason
            command = Command(verb=Verb(raw["verb"]), epoch=0, attempt_id=raw["attemptId"], sent_at=now, not_after=now)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # ValidationError is a ValueError
            return False
        self._bench.answer(command, now, "refused", reason=reason, message=str(error))
        return True
