"""Whose monitoring model publishes and listens as it must, who is asked next, and what is said of the others.

A publication with a TTL is relayed, so that the whole mesh counts as neighbours; a model that does not listen to the
report group is never told to notify; one that does not listen to a flow's group counts none of its messages. The
first two are put right; groups of flows are the commissioning tool's, so that those are told.
"""

from collections.abc import Callable, Collection
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from meshtwin.contract.configuration import Command
from meshtwin.contract.model_messages import MONITORING_MODEL
from meshtwin.gateway.bench import FIXED_GROUPS, Bench, Work
from meshtwin.gateway.model_states import ModelJob
from meshtwin.gateway.observing_words import name_nodes
from meshtwin.gateway.turns import Turns
from meshtwin.mesh.addresses import UnicastAddress, format_address, is_group

__all__ = ["ModelWatch"]

log = structlog.get_logger(__name__)

# Nodes of one job: what was read is kept when it ends, and other work has its turn. Some 3 s to read
# where nothing is lost and relays send three copies.
NODES_AT_ONCE: Final = 4
MEND: Final = "Set them with the commissioning tool, then adopt again"


class ModelWatch:
    """`on_time` asks whenever nothing else is under way; ``on_read`` is told whether nodes were changed."""

    def __init__(self, bench: Bench, on_read: Callable[[datetime, bool], None]) -> None:
        self._bench = bench
        self._on_read = on_read
        self.turns = Turns(bench)
        self._is_changed = False

    def pending(self) -> list[UnicastAddress]:
        """Nodes with our model that are to be asked; none where they need not notify."""
        if not self._is_needed:
            return []
        nodes = self._bench.memory.nodes
        return [n for n in nodes if self._has_model(n) and n not in self.turns.silent and self._is_open(n)]

    def want(self, now: datetime) -> None:
        """Look as soon as there is room for it."""
        if self._is_needed:
            self.turns.wanted_at = now

    def read_again(self, nodes: Collection[UnicastAddress], now: datetime) -> None:
        """Ask those of ``nodes`` that told theirs once more, where they need to notify."""
        if self._is_needed:
            self.turns.read_again([n for n in nodes if n in self._bench.memory.models], now)

    def note_read_back(self, now: datetime) -> None:
        """Another node's settings were read back: now and then it is the turn of a model."""
        told = self._bench.memory.models if self._is_needed else {}
        self.turns.note_read_back([n for n in self._bench.memory.nodes if n in told], now)

    def on_time(self, now: datetime) -> None:
        """Ask the next few."""
        bench, nodes, wanted = self._bench, self.pending()[:NODES_AT_ONCE], self._bench.identity.notification
        if not nodes or wanted is None:
            self.turns.wanted_at = None
        elif bench.is_quiet:
            self.turns.wanted_at = now  # if the job is given up for something else it begins anew
            self.turns.asked_at.update(dict.fromkeys(nodes, now))
            job = ModelJob(nodes, wanted, bench.identity.report_group)
            bench.begin(Work("models", job, partial(self._finish, job)), now)

    def next_wakeup(self) -> datetime | None:
        """When `on_time` has something to do."""
        return self.turns.wanted_at if self._bench.is_quiet else None

    def describe(self) -> list[str]:
        """What holds nodes back from notifying, or from counting a flow, and what to do; for the state."""
        bench = self._bench
        if not self._is_needed:
            return []
        out, wrong = [], self._find_wrong()
        strangers = [n for n in bench.memory.nodes if n in bench.book.compositions and not self._has_model(n)]
        if strangers:
            out.append(f"no monitoring model in composition data, so that these do not notify: {name_nodes(strangers)}")
        for what, nodes in sorted(wrong.items()):
            out.append(
                f"monitoring models of {name_nodes(nodes)} are not as they must be, and do not change: {what}. {MEND}"
            )
        if self.turns.silent:
            out.append(f"publication and subscriptions not read: {name_nodes(self.turns.silent)}")
        return out + self._describe_deaf()

    @property
    def _is_needed(self) -> bool:
        identity, is_observed = self._bench.identity, self._bench.memory.monitoring is not None
        return identity.notification is not None and identity.observability == "notifications" and is_observed

    def _has_model(self, node: UnicastAddress) -> bool:
        """By composition data, where the stack tells it; a node that did not tell it yet is not asked."""
        if not self._bench.identity.reads_composition:
            return True
        composition = self._bench.book.compositions.get(node)
        return composition is not None and MONITORING_MODEL in composition.vendor_models

    def _is_open(self, node: UnicastAddress) -> bool:
        """Whether a node is to be asked: unknown, to be read again, or as another report group wanted it."""
        state = self._bench.memory.models.get(node)
        if state is None or node in self.turns.again:
            return True
        identity = self._bench.identity
        is_right = state.publication == identity.notification and identity.report_group in (state.groups or ())
        return state.wrong is None and not is_right

    def _find_wrong(self) -> dict[str, list[UnicastAddress]]:
        out: dict[str, list[UnicastAddress]] = {}
        for node in self._bench.memory.nodes:
            state = self._bench.memory.models.get(node)
            if state is not None and state.wrong is not None:
                out.setdefault(state.wrong, []).append(node)
        return out

    def _describe_deaf(self) -> list[str]:
        """Members of flows whose monitoring model does not listen to the flow's group, by their own word."""
        bench = self._bench
        flows = bench.memory.monitoring.flows if bench.memory.monitoring is not None else []
        deaf: dict[int, set[UnicastAddress]] = {}
        for flow in flows:
            group = int(flow.destination, 16)
            for member in (UnicastAddress(int(m, 16)) for m in flow.members):
                state = bench.memory.models.get(member)
                is_ours = member == bench.identity.address  # subscribes by itself, see `Bench.listen_to`
                if is_ours or state is None or state.groups is None or not is_group(group) or group >= FIXED_GROUPS:
                    continue
                if group not in state.groups:
                    deaf.setdefault(group, set()).add(member)
        return [
            f"flows to {format_address(group)} count as lost at nodes whose monitoring model does not listen to it; "
            f"subscribe them with the commissioning tool: {name_nodes(nodes)}"
            for group, nodes in sorted(deaf.items())
        ]

    def _finish(self, job: ModelJob, _command: Command | None, now: datetime) -> None:
        bench = self._bench
        self.turns.again -= set(job.nodes)
        self.turns.silent.update(dict.fromkeys((n for n in job.unanswered if n not in bench.memory.models), now))
        models = {n: s for n, s in {**bench.memory.models, **job.states}.items() if n in bench.memory.nodes}
        bench.remember(replace(bench.memory, models=models))
        self._is_changed |= bool(job.changed)
        if job.changed:
            log.info("Monitoring models written", nodes=list(map(format_address, job.changed)))
        is_last = not self.pending()
        is_changed, self._is_changed = is_last and self._is_changed, self._is_changed and not is_last
        self._on_read(now, is_changed)
