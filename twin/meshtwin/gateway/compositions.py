"""Which nodes have told their composition data, and who is asked next.

Page 0 says how many sources a node can remember and whether it can relay. It changes with firmware alone, which
nobody announces: so it is read again when the network is adopted again, and one node at a time all the while.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from meshtwin.contract.configuration import Command
from meshtwin.gateway.bench import Bench, Work
from meshtwin.gateway.survey import SurveyJob
from meshtwin.gateway.turns import Turns
from meshtwin.mesh.addresses import UnicastAddress, format_address

__all__ = ["CompositionWatch"]

log = structlog.get_logger(__name__)


class CompositionWatch:
    """`on_time` asks whenever nothing else is under way; ``on_read`` is called when answers came."""

    def __init__(self, bench: Bench, on_read: Callable[[datetime], None]) -> None:
        self._bench = bench
        self._on_read = on_read
        self.turns = Turns(bench)

    def missing(self) -> list[UnicastAddress]:
        """Nodes that have not told it, and are not known to be silent; none where the stack does not tell it."""
        bench = self._bench
        if not bench.identity.reads_composition:
            return []
        return [n for n in bench.memory.nodes if n not in bench.book.compositions and n not in self.turns.silent]

    def read_again(self, nodes: Collection[UnicastAddress], now: datetime) -> None:
        """Ask those of ``nodes`` that told it once more, where the stack tells it."""
        if self._bench.identity.reads_composition:
            self.turns.read_again([n for n in nodes if n in self._bench.book.compositions], now)

    def note_read_back(self, now: datetime) -> None:
        """Another node's settings were read back: now and then it is composition data's turn."""
        told = self._bench.book.compositions if self._bench.identity.reads_composition else {}
        self.turns.note_read_back([n for n in self._bench.memory.nodes if n in told], now)

    def on_time(self, now: datetime) -> None:
        """Ask those who are missing, else those who are to be read again."""
        bench = self._bench
        nodes = self.missing() or sorted(self.turns.again & set(bench.memory.nodes))
        if not nodes:
            self.turns.wanted_at = None
        elif bench.is_quiet:
            self.turns.wanted_at = None
            self.turns.asked_at.update(dict.fromkeys(nodes, now))
            job = SurveyJob(nodes)
            bench.begin(Work("survey", job, partial(self._finish, job)), now)

    def next_wakeup(self) -> datetime | None:
        """When `on_time` has something to do."""
        return self.turns.wanted_at if self._bench.is_quiet else None

    def _finish(self, job: SurveyJob, _command: Command | None, now: datetime) -> None:
        bench = self._bench
        book, before = bench.book.compositions, bench.memory.compositions
        self.turns.again -= set(job.nodes)
        self.turns.silent.update(dict.fromkeys((n for n in job.unanswered | job.unusable if n not in book), now))
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
