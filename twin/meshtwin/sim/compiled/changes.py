"""Nodes that are switched or moved during a run: rare, so the kernel stops for them and Python does the work."""

from typing import Any

import numpy as np

from meshtwin.sim.compiled.layout import CAUSES, CHANGE, JOB_FREE, KINDS, NOW, SLOT_FREE, TRACES, State
from meshtwin.sim.compiled.prepare import Prepared
from meshtwin.sim.compiled.wiring import build_links, wire
from meshtwin.sim.packets import LossCause, RecordKind

__all__ = ["Changes"]

SWITCHED_OFF, LOST = CAUSES.index(LossCause.SWITCHED_OFF), KINDS.index(RecordKind.LOST)


class Changes:
    """What becomes of the network while it runs."""

    def __init__(self, prepared: Prepared, root_key: int) -> None:
        self._prepared = prepared
        self._root_key = root_key
        links = prepared.scenario.links if prepared.scenario.changes else ()
        self._links = {(link.source, link.target): link for link in links}
        self._index = {node.address: i for i, node in enumerate(prepared.scenario.nodes)}

    def apply(self, state: State) -> State:
        """The state after the change at which the kernel stopped; what is on the air already still arrives."""
        change = self._prepared.scenario.changes[int(state.counts[CHANGE])]
        node = self._index[change.node]
        if change.links is not None:
            self._links = {pair: link for pair, link in self._links.items() if change.node not in pair}
            self._links.update({(link.source, link.target): link for link in change.links})
        if change.is_on is not None and change.is_on != bool(state.nodes[node]["is_on"]):
            state.nodes[node]["is_on"] = change.is_on
            if not change.is_on:
                state = switch_off(state, node)
        return self._relink(state)

    def _relink(self, state: State) -> State:
        """Puts the new links behind the old ones, which PDUs on the air still refer to."""
        on = {address for address, i in self._index.items() if state.nodes[i]["is_on"]}
        wiring = wire(tuple(self._links.values()), self._index, on, self._prepared.scenario.profile)
        links, deliveries = build_links(
            wiring, self._prepared.addresses, self._root_key, state.nodes, state.airtimes_ns
        )
        state.nodes["link_from"] += len(state.links)
        state.nodes["link_to"] += len(state.links)
        return state._replace(
            links=np.concatenate((state.links, links)),
            deliveries=np.concatenate((state.deliveries, deliveries), axis=1),
            waiting=np.concatenate((state.waiting, np.zeros(len(links), dtype=np.int64))),
            heard=wiring.heard,
        )


def switch_off(state: State, node: int) -> State:
    """The node forgets its queue, its message cache and what it stored as a friend, and closes its window.

    Sets that are in use stay so until their events are over; friendships remain.
    """
    row = state.nodes[node]
    row["cycles"] += 1
    row["cache_place"] = row["cache_count"] = 0
    state.known[:, node] &= np.uint8(2)
    friendship = int(row["friend_of"])
    while friendship >= 0:
        state = forget_stored(state, node, state.friendships[friendship])
        friendship = int(state.friendships[friendship]["next"])
    if row["friendship"] >= 0:
        state.friendships[row["friendship"]]["is_waiting"] = 0
        row["window_until_ns"] = min(row["window_until_ns"], state.counts[NOW])
    waiting = [*chain(state, int(row["relay_head"])), *chain(state, int(row["own_head"]))]
    row["relay_head"] = row["relay_tail"] = row["own_head"] = row["own_tail"] = -1
    row["relay_count"] = row["own_count"] = 0
    for job in waiting:
        message = int(state.jobs[job]["message"])
        state = lose(state, node, message)
        state.jobs[job]["next"] = state.counts[JOB_FREE]
        state.counts[JOB_FREE] = job
        let_go(state, message)
    return state


def forget_stored(state: State, node: int, friendship: Any) -> State:
    """Empties a friend's queue."""
    for turn in range(int(friendship["count"])):
        place = friendship["first"] + (friendship["head"] + turn) % friendship["size"]
        message = int(state.stored[place]["message"])
        state = lose(state, node, message)
        let_go(state, message)
    friendship["count"] = friendship["is_first_sent"] = 0
    return state


def chain(state: State, job: int) -> list[int]:
    """``job`` and those queued behind it."""
    jobs: list[int] = []
    while job >= 0:
        jobs.append(job)
        job = int(state.jobs[job]["next"])
    return jobs


def lose(state: State, node: int, message: int) -> State:
    """Counts a message as lost with the node's power."""
    counts = state.counts
    state.losses[SWITCHED_OFF] += 1
    if state.profile[0]["is_traced"]:
        place = int(counts[TRACES])
        if place >= len(state.trace):
            state = state._replace(trace=np.concatenate((state.trace, np.zeros_like(state.trace))))
        state.trace[place] = (int(counts[NOW]), SWITCHED_OFF, LOST, node, message, -1, -1)
        counts[TRACES] = place + 1
    return state


def let_go(state: State, message: int) -> None:
    """One hold less on a message, and on what it is a part of or delivers, where it was the last."""
    waiting = [message]
    while waiting:
        row = state.messages[waiting.pop()]
        row["pending"] -= 1
        if row["pending"] == 0:
            state.slots[int(row["slot"])]["next_free"] = state.counts[SLOT_FREE]
            state.counts[SLOT_FREE] = row["slot"]
            waiting += [int(row[name]) for name in ("part_of", "stored") if row[name] >= 0]
