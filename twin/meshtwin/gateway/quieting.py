"""Ending what another level of observability began: nodes go on publishing heartbeats until they are told to stop.

Heartbeat Publication is a state that nodes keep (Mesh Protocol 1.1, 4.2.18), and the level is the gateway's
configuration: a gateway that is started at another one must ask for what an earlier run switched on.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import Command, NodeOutcome
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.foundation import publish_heartbeat
from meshtwin.gateway.jobs import Desk
from meshtwin.gateway.turns import Turns
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["HeartbeatQuieting", "QuietJob"]

log = structlog.get_logger(__name__)

NOBODY: Final = 0  # the unassigned address as destination: no heartbeats


@dataclass(slots=True)
class QuietJob:
    """Tells ``nodes`` to publish no heartbeats; ``unanswered`` may go on."""

    nodes: Sequence[UnicastAddress]
    unanswered: set[UnicastAddress] = field(default_factory=set)
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0

    def start(self, desk: Desk, now: datetime) -> None:
        """Ask everybody."""
        payload = publish_heartbeat(destination=NOBODY, ttl=0, count_log=0)
        for node in self.nodes:
            desk.exchanges.add(Request(node=node, payload=payload, answer=Opcode.HEARTBEAT_PUBLICATION_STATUS))
        self.finished = not self.nodes

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note who is silent; a node that answers with an error status does not publish either."""
        if exchange.answer is None:
            self.unanswered.add(UnicastAddress(exchange.request.node))
        self.finished = desk.exchanges.is_idle

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()


class HeartbeatQuieting:
    """Asks whenever nothing else is under way; who is silent is asked again when it is heard."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._turns = Turns(bench)

    def hear(self, node: UnicastAddress, now: datetime) -> None:
        """A message of a node."""
        self._turns.hear(node, now)

    def on_time(self, now: datetime) -> None:
        """Ask those who may still publish."""
        bench = self._bench
        self._turns.wanted_at = None
        is_by_heartbeats = bench.identity.observability == "heartbeats"
        nodes = [n for n in bench.memory.heartbeat_publishers if n not in self._turns.silent]
        if nodes and bench.is_quiet and not is_by_heartbeats:
            job = QuietJob(nodes)
            bench.begin(Work("quieting", job, partial(self._finish, job)), now)

    def next_wakeup(self) -> datetime | None:
        """When `on_time` has something to do."""
        return self._turns.wanted_at if self._bench.is_quiet else None

    def _finish(self, job: QuietJob, _command: Command | None, now: datetime) -> None:
        bench = self._bench
        self._turns.silent.update(dict.fromkeys(job.unanswered, now))
        asked = set(job.nodes) - job.unanswered
        left = tuple(n for n in bench.memory.heartbeat_publishers if n not in asked)
        bench.remember(replace(bench.memory, heartbeat_publishers=left))
        log.info("Heartbeats ended", nodes=len(asked), silent=sorted(map(format_address, job.unanswered)))
