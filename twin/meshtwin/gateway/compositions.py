"""Which nodes have told their composition data, and who is asked next.

Page 0 says how many sources a node can remember and whether it can relay. It changes with firmware alone, which
nobody announces: so it is read again when the network is adopted again, and one node at a time all the while.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import structlog

from meshtwin.contract.configuration import Command
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.survey import SurveyJob
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["CompositionWatch"]

log = structlog.get_logger(__name__)

ASK_AGAIN_S: Final = 60.0  # mesh time between two tries to read the composition of a node that is heard
FRESH_S: Final = 300.0  # mesh time in which an adoption does not ask again: both come when a segment is begun
# Of 20 times that a node is read back, one node is asked for its composition data, the one asked longest ago: a
# firmware update of 60 nodes shows within 10 h, of 200 within 33 h, for a twentieth more than reading back takes, which
# is not billed. Assumed to be soon enough; adopting again shows it at once.
READ_BACKS_PER_LOOK: Final = 20
NEVER: Final = datetime.min.replace(tzinfo=UTC)


class CompositionWatch:
    """`on_time` asks whenever nothing else is under way; ``on_read`` is called when answers came."""

    def __init__(self, bench: Bench, on_read: Callable[[datetime], None]) -> None:
        self._bench = bench
        self._on_read = on_read
        self.silent: dict[UnicastAddress, datetime] = {}  # have never told it, and when they were asked
        self.wanted_at: datetime | None = None  # when something is to be asked
        self._asked_at: dict[UnicastAddress, datetime] = {}  # in this run
        self._again: set[UnicastAddress] = set()  # known, and to be read again
        self._read_backs = 0

    def missing(self) -> list[UnicastAddress]:
        """Nodes that have not told it, and are not known to be silent; none where the stack does not tell it."""
        bench = self._bench
        if not bench.identity.reads_composition:
            return []
        return [n for n in bench.memory.nodes if n not in bench.book.compositions and n not in self.silent]

    def hear(self, node: UnicastAddress, now: datetime) -> None:
        """A message of a node: if it was silent it is asked again."""
        asked_at = self.silent.get(node)
        if asked_at is not None and now - asked_at >= self._bench.mesh_time(ASK_AGAIN_S):
            del self.silent[node]
            self.wanted_at = now

    def read_again(self, nodes: Collection[UnicastAddress], now: datetime) -> None:
        """Ask ``nodes`` once more, but for those that were asked just now; what is known holds until they answer."""
        fresh_from = now - self._bench.mesh_time(FRESH_S)
        known = self._bench.book.compositions
        again = {n for n in nodes if n in known and self._asked_at.get(n, NEVER) < fresh_from}
        if again and self._bench.identity.reads_composition:
            self._again |= again
            self.wanted_at = now

    def note_read_back(self, now: datetime) -> None:
        """Another node's settings were read back: now and then it is composition data's turn."""
        self._read_backs += 1
        known = [n for n in self._bench.memory.nodes if n in self._bench.book.compositions]
        if known and self._read_backs % READ_BACKS_PER_LOOK == 0:
            self.read_again([min(known, key=lambda n: (self._asked_at.get(n, NEVER), n))], now)

    def on_time(self, now: datetime) -> None:
        """Ask those who are missing, else those who are to be read again."""
        bench = self._bench
        nodes = self.missing() or sorted(self._again & set(bench.memory.nodes))
        if not nodes:
            self.wanted_at = None
        elif bench.is_quiet:
            self.wanted_at = None
            self._asked_at.update(dict.fromkeys(nodes, now))
            job = SurveyJob(nodes)
            bench.begin(Work("survey", job, partial(self._finish, job)), now)

    def next_wakeup(self) -> datetime | None:
        """When `on_time` has something to do."""
        return self.wanted_at if self._bench.is_quiet else None

    def _finish(self, job: SurveyJob, _command: Command | None, now: datetime) -> None:
        bench = self._bench
        book, before = bench.book.compositions, bench.memory.compositions
        self._again -= set(job.nodes)
        self.silent.update(dict.fromkeys((n for n in job.unanswered | job.unusable if n not in book), now))
        known = {n: book[n] for n in bench.memory.nodes if n in book}
        if known != before:
            bench.remember(replace(bench.memory, compositions=known))
            bench.say_nodes(now)
            others = [n for n in job.nodes if n in before and n in book and before[n] != book[n]]
            silent = sorted(map(format_address, job.unanswered))
            log.info(
                "Composition data read", nodes=len(known), silent=silent, changed=list(map(format_address, others))
            )
        self._on_read(now)
