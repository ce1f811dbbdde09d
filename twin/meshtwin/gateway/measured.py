"""What a probe measured of a flow, and the figures of it. Pure.

The latency is the difference of two synchronised clocks, so it carries their uncertainty; the counts do not.
Nodes without such a clock count alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from meshtwin.contract.access import LATENCY_LOST, LATENCY_STEP_MS, LATENCY_UNKNOWN, RESULTS_PER_PAGE
from meshtwin.contract.configuration import FlowSpec
from meshtwin.contract.telemetry import FlowReport, LatencyHistogram
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["PROBE_SPACING_S", "UNTIMED", "Measured", "to_report"]

# Upper bounds in ms of the histograms, which merge only while all gateways have the same. Steps of 10 ms up to 100: a
# hop takes about so long, and synchronised clocks agree no better; then steps of 10 to 50 %. 150 ms, the usual deadline
# of lighting, is a bound, so that the share within it is exact; 506 ms and more is one code on the air (`access`).
# Assumed: chosen by these rules, not by a study of what users read off.
BUCKETS_MS: Final = (10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 120, 150, 180, 200, 250, 300, 400, 500)
UNTIMED: Final = -1
PROBE_SPACING_S: Final = 1.0  # mesh time between a flow's messages, at least; closer ones would measure each other


@dataclass(slots=True)
class Measured:
    """Results of one flow: latency in ms per member and message; None: lost, `UNTIMED`: nobody knows.

    ``missing``: why there are no figures at all; a report of no messages says so to the operator.
    """

    flow: FlowSpec
    probe: int
    started: bool = False
    latency_ms: dict[UnicastAddress, list[int | None]] = field(default_factory=dict)
    unfetched: set[UnicastAddress] = field(default_factory=set)
    outstanding: set[tuple[UnicastAddress, int]] = field(default_factory=set)  # (member, page) asked for
    missing: str | None = None
    is_round_trip: bool = False  # ``latency_ms`` are times until the answer
    is_complete: bool = False  # every round trip was tried

    @property
    def source(self) -> UnicastAddress:
        """The node that sends."""
        return UnicastAddress(int(self.flow.source, 16))

    @property
    def members(self) -> list[UnicastAddress]:
        """The nodes that should receive, without the source."""
        return [UnicastAddress(int(a, 16)) for a in self.flow.members if a != self.flow.source]

    def take_trip(self, node: UnicastAddress, index: int, waited_ms: float | None, presses: int) -> None:
        """Note how long the answer of a member to one question took; None: it did not come."""
        row = self.latency_ms.setdefault(node, [None] * presses)
        if waited_ms is not None and index < presses:
            row[index] = round(waited_ms)

    def give_up(self, reason: str) -> None:
        """There are no figures of this flow."""
        self.started, self.missing = False, reason

    def lose_member(self, node: UnicastAddress) -> None:
        """A member did not tell what it received: it counts as lost."""
        self.unfetched.add(node)
        self.latency_ms.pop(node, None)
        self.outstanding = {(member, page) for member, page in self.outstanding if member != node}

    def take_page(self, node: UnicastAddress, page: int, codes: bytes, presses: int) -> None:
        """Note what a member tells of one page of messages."""
        self.outstanding.discard((node, page))
        if node in self.unfetched:
            return
        row = self.latency_ms.setdefault(node, [None] * presses)
        for offset, code in enumerate(codes[:RESULTS_PER_PAGE]):
            index = page * RESULTS_PER_PAGE + offset
            if index < presses and code != LATENCY_LOST:
                row[index] = UNTIMED if code == LATENCY_UNKNOWN else code * LATENCY_STEP_MS


def to_report(m: Measured, presses: int, attempt_id: str, uncertainty_ms: float) -> FlowReport:
    """Figures of one flow; a member whose results were not fetched counts as lost.

    Where members have no synchronised clock, no latency is told and no deadline either: what is counted then is
    how many messages reached every member at all. Of round trips the time is told until the answer came; nobody
    knows how much of it was the way there, so that there is no deadline and no spread.
    """
    members = m.members
    sent = presses if m.started else 0
    on_time, spreads, latencies = 0, list[int](), list[int]()
    is_timed = not any(UNTIMED in row for row in m.latency_ms.values())
    is_one_way = is_timed and not m.is_round_trip
    for index in range(sent):
        got = [m.latency_ms[n][index] if n in m.latency_ms else None for n in members]
        arrived = [ms for ms in got if ms is not None]
        latencies.extend(arrived)
        if len(arrived) == len(members) and arrived:
            on_time += m.is_round_trip or not is_timed or max(arrived) <= m.flow.deadline_ms
            spreads.append(max(arrived) - min(arrived))
    return FlowReport(
        flow=m.flow.name,
        attempt_id=attempt_id,
        presses=sent,
        on_time_presses=on_time,
        sent_pairs=sent * len(members),
        delivered_pairs=len(latencies),
        deadline_ms=m.flow.deadline_ms if is_one_way else None,
        latency=_histogram(latencies) if is_timed else None,
        spread=_histogram(spreads) if is_one_way else None,
        how_known="roundTrip" if m.is_round_trip else "receiverCounted",
        clock_uncertainty_ms=uncertainty_ms if is_one_way else None,
    )


def _histogram(values_ms: Sequence[int]) -> LatencyHistogram:
    counts = [0] * (len(BUCKETS_MS) + 1)
    for value in values_ms:
        bucket = next((i for i, upper in enumerate(BUCKETS_MS) if value <= upper), len(BUCKETS_MS))
        counts[bucket] += 1
    return LatencyHistogram(upper_ms=list(BUCKETS_MS), counts=counts)
