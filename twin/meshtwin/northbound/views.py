"""What the northbound interface asks of a twin, and the answers that are derived from a snapshot alone."""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from pydantic import AwareDatetime, Field

from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.wire import SettingsEntry, UnicastText, WireModel
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import SettingsRange
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot
from meshtwin.northbound.messages import (
    GapMessage,
    LinkMessage,
    NodeMessage,
    SegmentMessage,
    SegmentStandings,
    to_link_messages,
    to_segment_standings,
)
from meshtwin.recipes.messages import PipelineRequest, RunStatus, WhatIfRequest
from meshtwin.recipes.score_messages import MeasuredPushModel, ScorecardModel
from meshtwin.twins.partial import PartialSnapshot

__all__ = [
    "Health",
    "LinksAnswer",
    "NodeAnswer",
    "NodesAnswer",
    "RunDesk",
    "ScoreDesk",
    "ScorecardsAnswer",
    "SegmentsAnswer",
    "TopologyAnswer",
    "TwinView",
    "answer_links",
    "answer_node",
    "answer_nodes",
    "answer_scorecards",
    "answer_segments",
    "answer_topology",
]


@dataclass(frozen=True, slots=True)
class Health:
    """Whether something is as it should be; ``detail`` says what is not."""

    is_good: bool
    detail: str = ""


class TwinView(Protocol):
    """A twin as the interface sees it."""

    async def snapshot(self) -> PartialSnapshot:
        """The network as it is believed to be now; raises `Unavailable` if there is nothing to show."""
        ...

    def summary(self) -> TwinSummary:
        """Roll-up figures now."""
        ...

    def liveness(self) -> Health:
        """Whether the loops turn; not whether the broker lives."""
        ...

    def readiness(self) -> Health:
        """Whether the state is loaded."""
        ...

    def metrics(self) -> bytes:
        """Prometheus text."""
        ...


class RunDesk(Protocol):
    """Where work for the models is handed in and followed."""

    async def start_pipeline(self, request: PipelineRequest) -> RunStatus:
        """Start, or find again, the run with the request's id."""
        ...

    async def start_what_if(self, request: WhatIfRequest) -> RunStatus:
        """Likewise."""
        ...

    def get(self, run_id: str) -> RunStatus | None:
        """Where a run stands; None if it is not known."""
        ...

    async def wait(self, run_id: str, seconds: float, *, until_over: bool) -> RunStatus | None:
        """Likewise, when it has a first answer, or is over, or ``seconds`` have passed."""
        ...

    async def cancel(self, run_id: str) -> RunStatus | None:
        """End a run; None if it is not known."""
        ...


class ScoreDesk(Protocol):
    """Where a segment's scorecard is kept."""

    async def enter(self, attempt_id: str, push: MeasuredPushModel) -> ScorecardModel:
        """Enter what a push showed, once, and give the card; raises `InvalidInput` for another segment's."""
        ...

    def card(self) -> ScorecardModel:
        """The card now."""
        ...


class NodeAnswer(NodeMessage):
    """A node with what is known of it now."""

    segment: str | None = None
    settings: SettingsEntry | None = None  # in force, as reported
    last_heard: AwareDatetime | None = None  # by any neighbour
    heard_by: int = 0
    hears: int = 0
    links: list[LinkMessage] | None = None  # only for a single node


class NodesAnswer(WireModel):
    """All nodes, and what is missing."""

    taken_at: AwareDatetime
    nodes: list[NodeAnswer]
    gaps: list[GapMessage] = Field(default=[])


class LinksAnswer(WireModel):
    """All directed links, and what is missing."""

    taken_at: AwareDatetime
    links: list[LinkMessage]
    gaps: list[GapMessage] = Field(default=[])


class SegmentsAnswer(WireModel):
    """Facts and figures of the segments."""

    segments: list[SegmentMessage]
    summary: TwinSummary
    gaps: list[GapMessage] = Field(default=[])


class ScorecardsAnswer(WireModel):
    """What models are worth in each segment, as far as predictions were measured."""

    scorecards: list[SegmentStandings]
    gaps: list[GapMessage] = Field(default=[])


class TopologyAnswer(WireModel):
    """Addresses and links with their delivery, for a map; ``border`` are neighbours held by nobody here."""

    taken_at: AwareDatetime
    fingerprint: str
    nodes: list[UnicastText]
    border: list[UnicastText]
    links: list[LinkMessage]
    gaps: list[GapMessage] = Field(default=[])


def answer_nodes(partial: PartialSnapshot) -> NodesAnswer:
    """Every node of the snapshot, ascending by address."""
    snapshot = partial.snapshot
    owners, heard, hears = _owners(snapshot), _by_end(snapshot, "source"), _by_end(snapshot, "target")
    nodes = [_node_answer(snapshot, index, owners, heard, hears) for index in range(len(snapshot.nodes))]
    return NodesAnswer(taken_at=snapshot.taken_at, nodes=nodes, gaps=_gaps(partial))


def answer_node(partial: PartialSnapshot, address: UnicastAddress) -> NodeAnswer:
    """One node with its links in both directions; raises `InvalidInput` (reason ``NotFound``)."""
    snapshot = partial.snapshot
    for index, node in enumerate(snapshot.nodes):
        if node.address == address:
            heard, hears = _by_end(snapshot, "source"), _by_end(snapshot, "target")
            answer = _node_answer(snapshot, index, _owners(snapshot), heard, hears)
            both = [*heard.get(address, []), *hears.get(address, [])]
            return answer.model_copy(update={"links": to_link_messages(both, snapshot.nodes)})
    raise InvalidInput(f"node {format_address(address)} is not known", reason="NotFound", place="address")


def answer_links(partial: PartialSnapshot) -> LinksAnswer:
    """Every directed link, ascending by (source, target)."""
    links = to_link_messages(partial.snapshot.links, partial.snapshot.nodes)
    return LinksAnswer(taken_at=partial.snapshot.taken_at, links=links, gaps=_gaps(partial))


def answer_segments(partial: PartialSnapshot, summary: TwinSummary) -> SegmentsAnswer:
    """Facts of the snapshot beside the figures of the summary."""
    segments = [SegmentMessage.from_value(view) for view in partial.snapshot.segments]
    return SegmentsAnswer(segments=segments, summary=summary, gaps=_gaps(partial))


def answer_scorecards(partial: PartialSnapshot) -> ScorecardsAnswer:
    """The standings of all segments that have a card."""
    return ScorecardsAnswer(scorecards=to_segment_standings(partial), gaps=_gaps(partial))


def answer_topology(partial: PartialSnapshot) -> TopologyAnswer:
    """The set of links."""
    snapshot = partial.snapshot
    known = {node.address for node in snapshot.nodes}
    ends = {end for link in snapshot.links for end in (link.source, link.target)}
    return TopologyAnswer(
        taken_at=snapshot.taken_at,
        fingerprint=snapshot.fingerprint,
        nodes=[format_address(address) for address in sorted(known)],
        border=[format_address(address) for address in sorted(ends - known)],
        links=to_link_messages(snapshot.links, snapshot.nodes),
        gaps=_gaps(partial),
    )


LinksByEnd = dict[UnicastAddress, list[LinkEstimate]]


def _node_answer(
    snapshot: Snapshot, index: int, owners: dict[UnicastAddress, str], heard: LinksByEnd, hears: LinksByEnd
) -> NodeAnswer:
    node = snapshot.nodes[index]
    settings = snapshot.configuration.as_dict().get(node.address)
    heard_by = heard.get(node.address, [])
    times: list[datetime] = [link.last_heard for link in heard_by if link.last_heard is not None]
    text = format_address(node.address)
    return NodeAnswer(
        **NodeMessage.from_value(node).model_dump(),
        segment=owners.get(node.address),
        settings=settings and SettingsEntry.from_value(SettingsRange(nodes=(text,), settings=settings)),
        last_heard=max(times, default=None),
        heard_by=len(heard_by),
        hears=len(hears.get(node.address, [])),
    )


def _owners(snapshot: Snapshot) -> dict[UnicastAddress, str]:
    return {address: view.name for view in snapshot.segments for address in view.addresses}


def _by_end(snapshot: Snapshot, end: str) -> LinksByEnd:
    found: LinksByEnd = {}
    for link in snapshot.links:
        found.setdefault(link.source if end == "source" else link.target, []).append(link)
    return found


def _gaps(partial: PartialSnapshot) -> list[GapMessage]:
    return [GapMessage(place=gap.place, reason=gap.reason) for gap in partial.gaps]
