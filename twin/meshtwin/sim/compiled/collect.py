"""The arrays of a finished run as the result that both engines give."""

from collections import Counter

import numpy as np

from meshtwin.sim.compiled.layout import ARRIVALS, CAUSES, KINDS, MESSAGES, PART_KINDS, SENT, TRACES, State
from meshtwin.sim.message_table import ARRIVED, MessageTable
from meshtwin.sim.message_table import SENT as SENT_ROW
from meshtwin.sim.packets import LossCause, Record, RecordKind
from meshtwin.sim.results import RunResult, airtime_at, airtime_ratios
from meshtwin.sim.scenario import Scenario

__all__ = ["collect"]


def collect(scenario: Scenario, seed: int, replication: int, state: State) -> RunResult:
    """The result of a finished run."""
    messages = state.messages[: state.counts[MESSAGES]]
    busy_ns: Counter[int] = Counter()
    sent: Counter[int] = Counter()
    for flow in np.unique(messages["flow"]):
        its = messages[messages["flow"] == flow]
        busy_ns[int(flow)] = int(its["busy_ns"].sum())
        sent[int(flow)] = int(((its["answers"] < 0) & (its["part_of"] < 0)).sum())
    airtime, reporting = airtime_ratios(scenario, busy_ns, sent)
    return RunResult(
        scenario=scenario.name,
        profile=scenario.profile.name,
        seed=seed,
        replication=replication,
        messages=collect_messages(scenario, state),
        transmissions=int(state.counts[SENT]),
        airtime_ratio=airtime,
        reporting_airtime_ratio=reporting,
        losses={cause: int(state.losses[i]) for i, cause in enumerate(CAUSES)},
        records=collect_records(scenario, state),
        airtime_at=airtime_at(scenario, collect_watched(scenario, state), sent),
    )


def collect_watched(scenario: Scenario, state: State) -> dict[tuple[int, int], int]:
    """Airtime at watched nodes in nanoseconds, by flow index and index of the node."""
    rows, flows = len(state.watched_ns), len(scenario.flows)
    return {
        (row if row < flows else row - rows, node): int(state.watched_ns[row, place])
        for node, place in enumerate(state.watch.tolist())
        if place >= 0
        for row in range(rows)
    }


def collect_messages(scenario: Scenario, state: State) -> MessageTable:
    messages = state.messages[: state.counts[MESSAGES]]
    asked = np.flatnonzero((messages["flow"] >= 0) & (messages["answers"] < 0) & (messages["part_of"] < 0))
    rows = state.arrivals[: state.counts[ARRIVALS]]
    message = np.ascontiguousarray(rows["message"])
    is_asked = np.zeros(len(messages), dtype=bool)
    is_asked[asked] = True
    rows, message = rows[is_asked[message]], message[is_asked[message]]
    started_ns = messages["started_ns"][message]
    latency_ns = rows["time_ns"] - started_ns
    member = np.array([node.address for node in scenario.nodes], dtype=np.uint16)[rows["node"]]
    order = np.lexsort((member, latency_ns, message))
    arrived = np.empty(len(rows), dtype=ARRIVED)
    arrived["member"] = member[order]
    arrived["latency_ns"] = latency_ns[order]
    arrived["hops"] = rows["hops"][order]
    arrived["round_trip_ns"] = np.where(rows["answered_ns"] < 0, -1, rows["answered_ns"] - started_ns)[order]
    counts = np.bincount(message, minlength=len(messages))[asked]
    sent = np.empty(len(asked), dtype=SENT_ROW)
    for name in ("flow", "number", "started_ns", "transmissions"):
        sent[name] = messages[name][asked]
    sent["member_count"] = (state.flows["member_to"] - state.flows["member_from"])[sent["flow"]]
    sent["first"] = np.cumsum(counts) - counts
    sent["arrived"] = counts
    return MessageTable(tuple(flow.name for flow in scenario.flows), sent, arrived)


def collect_records(scenario: Scenario, state: State) -> tuple[Record, ...]:
    rows = state.trace[: state.counts[TRACES]]
    messages = state.messages[: state.counts[MESSAGES]]
    keys, flows = messages["key"].tolist(), messages["flow"].tolist()
    part_of = messages["part_of"]  # a poll's own number is that of its window
    numbers = messages["number"][np.where(part_of < 0, np.arange(len(messages)), part_of)].tolist()
    kinds = np.where(messages["answers"] >= 0, -1, messages["kind"]).tolist()
    names = {-1: "answer", 0: "message"} | {place: kind.name.lower() for place, kind in enumerate(PART_KINDS, 1)}
    lost = KINDS.index(RecordKind.LOST)
    addresses = [node.address for node in scenario.nodes]
    return tuple(
        Record(
            time_ns, KINDS[kind], addresses[node], keys[message], cause(detail) if kind == lost else detail,
            flows[message], numbers[message], names[kinds[message]],
            None if sender < 0 else addresses[sender], None if sender < 0 else copy,
        )
        for time_ns, detail, kind, node, message, sender, copy in rows.tolist()
    )  # fmt: skip


def cause(detail: int) -> str:
    return LossCause(CAUSES[detail]).value
