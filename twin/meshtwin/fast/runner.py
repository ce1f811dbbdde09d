"""Many floods in one call of the kernel: the background once, then every state of a flow on top of it."""

from typing import Any

from meshtwin.fast.arrays import MET, ON_THE_WAY
from meshtwin.fast.draws import extend
from meshtwin.fast.jit import entry, part
from meshtwin.fast.kernel import flood, occupy
from meshtwin.fast.queues import settle

__all__ = ["run_background", "run_states"]


@part
def _forget_jobs(air: Any, before_ns: Any) -> Any:
    """Moves on to the jobs that hold a set at ``before_ns`` or later."""
    for row in range(air.job_count.shape[0]):
        at = air.job_from[row]
        while at < air.job_count[row] and air.job_free_ns[row, at] <= before_ns:
            at += 1
        air.job_from[row] = at


@entry
def run_background(
    links: Any, rules: Any, settings: Any, air: Any, work: Any, table: Any, key: Any, nobody: Any, busy: Any, most: Any
) -> Any:
    """Puts ``table`` on the air, one flood on top of those that began before.

    ``busy``: (groups, 2) filled with nanoseconds taken on one channel and the messages they are of, ``most`` each.
    """
    for number in range(table.start_ns.shape[0]):
        _forget_jobs(air, table.start_ns[number])
        airtime_ns = table.airtime_ns[number]
        flood(
            links, rules, settings, air, work, table.start_ns[number], table.source[number], table.ttl[number],
            airtime_ns, extend(key, number), number, 0, nobody, 0, table.lone[number], True,
        )  # fmt: skip
        group = table.group[number]
        if busy[group, 1] < most:
            busy[group, 0] += occupy(links, work, airtime_ns)
            busy[group, 1] += 1
    settle(rules, air, work)


@entry
def run_states(
    links: Any, rules: Any, settings: Any, air: Any, work: Any, key: Any, starts_ns: Any, source: Any, ttl: Any,
    airtime_ns: Any, bits: Any, wanted: Any, members: Any, chosen: Any, latency_ns: Any, read: Any, busy_ns: Any,
) -> Any:  # fmt: skip
    """Runs the states flagged in ``chosen``.

    ``latency_ns``: (states, members), -1: not reached. ``read``: (states, nodes), not 0: who was reached before the
    end, which are those whose settings the state depends on; `ON_THE_WAY`: who handed the message on to a member.
    ``busy_ns``: of one channel, for as many states as it is long; these are run to their end.
    """
    air.job_from[:] = 0
    lone = members[0] if members.shape[0] == 1 else -1
    for state in range(starts_ns.shape[0]):
        if not chosen[state]:
            continue
        start_ns = starts_ns[state]
        if air.is_loaded:
            _forget_jobs(air, start_ns)
        is_whole = state < busy_ns.shape[0]
        flood(
            links, rules, settings, air, work, start_ns, source, ttl, airtime_ns, key, state, bits,
            wanted, 0 if is_whole else members.shape[0], lone, False,
        )  # fmt: skip
        if is_whole:
            busy_ns[state] = occupy(links, work, airtime_ns)
        for at in range(members.shape[0]):
            reached_ns = work.reached_ns[members[at]]
            latency_ns[state, at] = reached_ns - start_ns if reached_ns >= 0 else -1
        for node in range(work.reached_ns.shape[0]):
            read[state, node] = MET if work.reached_ns[node] >= 0 else 0
        for at in range(members.shape[0]):
            node = members[at]
            while work.reached_ns[node] >= 0 and node != source:
                node = work.parent[node]
                if read[state, node] & ON_THE_WAY:
                    break
                read[state, node] |= ON_THE_WAY
