"""The state of a segment twin as frozen values.

Records are replaced, never changed, so that a state can be read, stored and compared while newer ones come.
Times are seconds since 1970-01-01 UTC (``_s``), from the sender's clock unless said otherwise.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshtwin.contract.configuration import Reported
from meshtwin.contract.telemetry import FlowReport, GatewayState, NodeReport

__all__ = ["EMPTY_STATE", "FlowRecord", "LinkRecord", "NodeRecord", "StreamPosition", "TwinState"]


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """What is known of one directed link from a reporter's counters.

    ``evidence`` holds per number of transmissions the decayed numbers of notifications heard and missed,
    as of ``evidence_s``; ``heard_s`` is the time of the newest report in which the counter had moved,
    ``listed_s`` of the newest one that listed the neighbour at all, ``listings`` how many did.
    ``untold``: of counts that began anew, the seconds between the listings before and after, and what was sent since
    they began by the one after; decayed as the evidence is. ``transmissions``: the newest number; 0: not kept.
    """

    epoch: int
    since: int
    last: int
    received: int
    evidence: tuple[tuple[int, float, float], ...]  # (transmissions, heard, missed), ascending
    evidence_s: float
    heard_s: float
    listed_s: float
    rssi_dbm: float | None = None
    listings: int = 1
    untold: tuple[float, float] = (0.0, 0.0)  # (seconds, notifications)
    transmissions: int = 0

    @property
    def notifications(self) -> float:
        """All that were heard or missed, as of ``evidence_s``."""
        if len(self.evidence) == 1:  # the common case, kept fast: an estimate asks thousands
            _, heard, missed = self.evidence[0]
            return heard + missed
        return sum(heard + missed for _, heard, missed in self.evidence)

    @property
    def newest_transmissions(self) -> int:
        """Copies of each notification that was listed last; 1 where nothing is known."""
        return self.transmissions or (self.evidence[-1][0] if self.evidence else 1)


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """What one node reported; ``links`` by the address of the neighbour it heard."""

    links: Mapping[int, LinkRecord] = field(default_factory=dict)
    reported_s: float | None = None  # None: never reported itself
    vitals: NodeReport | None = None


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Where one topic stands: newest session and sequence, and what was missing or came again."""

    session: str
    sequence: int
    gaps: int = 0  # messages that never came, by sequence
    repeated: int = 0  # messages seen before, or older than the newest


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """Newest report of one flow, and when it was sent."""

    report: FlowReport
    sent_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TwinState:
    """Everything a segment twin knows; equal sequences of observations give equal states."""

    nodes: Mapping[int, NodeRecord] = field(default_factory=dict)
    streams: Mapping[str, StreamPosition] = field(default_factory=dict)
    session: str | None = None
    session_newest_s: float = 0.0  # newest sender's time within the session
    gateway: GatewayState | None = None
    reported: Reported | None = None
    flows: Mapping[str, FlowRecord] = field(default_factory=dict)
    airtime_ratio: float | None = None  # measured, exponentially smoothed; None: never told
    newest_report_s: float | None = None  # newest neighbour report
    folded: int = 0
    resets: int = 0  # counters that started anew
    dropped: Mapping[str, int] = field(default_factory=dict)  # not folded, by reason


EMPTY_STATE = TwinState()
