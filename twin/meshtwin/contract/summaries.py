"""Payloads under ``meshtwin/v1/twins/``: what a twin tells its parent and the operator. Technology-neutral."""

from pydantic import AwareDatetime, Field

from meshtwin.contract.wire import UnicastText, WireModel

__all__ = ["SegmentSummary", "TwinSummary"]


class SegmentSummary(WireModel):
    """Roll-up figures of one segment."""

    name: str
    nodes: int = Field(ge=0)
    nodes_heard: int = Field(ge=0)
    links: int = Field(ge=0)
    links_fresh: int = Field(ge=0)
    border_nodes: list[UnicastText] = Field(default=[], max_length=512)  # foreign nodes heard
    newest_report_at: AwareDatetime | None = None
    dropped: dict[str, int] = Field(default={})  # messages not folded, by reason


class TwinSummary(WireModel):
    """Retained; the last will says ``online: false``."""

    contract: int = 1
    twin: str
    kind: str = Field(pattern="^(Segment|Parent)$")
    online: bool
    session: str
    sequence: int = Field(ge=0)
    sent_at: AwareDatetime
    config_hash: str = ""
    ready: bool = False  # enough was heard to answer
    age_seconds: float | None = None  # since the newest report of the least fresh segment
    fidelity: float | None = Field(default=None, ge=0, le=1)
    segments: list[SegmentSummary] = Field(default=[], max_length=256)
    children_missing: list[str] = Field(default=[], max_length=256)
    fingerprint: str | None = None
