"""Checkpoints of a twin's state: JSON lines, a head, one line per node, an end.

States are frozen, so a checkpoint can be written bit by bit while newer observations are folded.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import structlog

from meshtwin.contract.configuration import Reported
from meshtwin.contract.telemetry import FlowReport, GatewayState, NodeReport
from meshtwin.contract.wire import WireModel
from meshtwin.repository.journal import Position
from meshtwin.twins.state import FlowRecord, LinkRecord, NodeRecord, StreamPosition, TwinState

__all__ = ["CHECKPOINT_NAME", "iter_checkpoint", "read_checkpoint"]

log = structlog.get_logger(__name__)

CHECKPOINT_NAME: Final = "checkpoint.jsonl"
FORMAT: Final = 1  # a checkpoint of another format is left unread: the journal is folded instead


def iter_checkpoint(state: TwinState, position: Position) -> Iterator[bytes]:
    """Lines of the checkpoint of ``state``, which is what folding up to ``position`` gives."""
    head = {
        "format": FORMAT,
        "position": [position.file, position.offset],
        "streams": {leaf: [s.session, s.sequence, s.gaps, s.repeated] for leaf, s in state.streams.items()},
        "session": state.session,
        "sessionNewest": state.session_newest_s,
        "gateway": _dump(state.gateway),
        "reported": _dump(state.reported),
        "flows": {name: [flow.sent_s, _dump(flow.report)] for name, flow in state.flows.items()},
        "airtimeRatio": state.airtime_ratio,
        "newestReport": state.newest_report_s,
        "folded": state.folded,
        "resets": state.resets,
        "dropped": dict(state.dropped),
    }
    yield _line(head)
    for address, node in state.nodes.items():
        yield _line([address, node.reported_s, _dump(node.vitals), [_link(a, r) for a, r in node.links.items()]])
    yield _line({"end": len(state.nodes)})


def read_checkpoint(path: Path) -> tuple[TwinState, Position] | None:
    """The state and where to go on folding; None if there is no whole checkpoint of this format."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return None
    try:
        return _parse(lines)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        log.warning("Checkpoint not used", path=str(path), error=str(error))
        return None


def _parse(lines: list[bytes]) -> tuple[TwinState, Position]:
    head = json.loads(lines[0])
    if head["format"] != FORMAT:
        raise ValueError(f"format {head['format']} is not {FORMAT}")
    if json.loads(lines[-1]) != {"end": len(lines) - 2}:
        raise ValueError("cut off")
    nodes: dict[int, NodeRecord] = {}
    for line in lines[1:-1]:
        address, reported_s, vitals, links = json.loads(line)
        record = None if vitals is None else NodeReport.model_validate(vitals)
        nodes[address] = NodeRecord({link[0]: _parse_link(link) for link in links}, reported_s, record)
    flows = {
        name: FlowRecord(FlowReport.model_validate(report), sent_s) for name, (sent_s, report) in head["flows"].items()
    }
    state = TwinState(
        nodes=nodes,
        streams={leaf: StreamPosition(*fields) for leaf, fields in head["streams"].items()},
        session=head["session"],
        session_newest_s=head["sessionNewest"],
        gateway=None if head["gateway"] is None else GatewayState.model_validate(head["gateway"]),
        reported=None if head["reported"] is None else Reported.model_validate(head["reported"]),
        flows=flows,
        airtime_ratio=head["airtimeRatio"],
        newest_report_s=head["newestReport"],
        folded=head["folded"],
        resets=head["resets"],
        dropped=head["dropped"],
    )
    return state, Position(*head["position"])


def _link(address: int, record: LinkRecord) -> list[Any]:
    return [
        address,
        record.epoch,
        record.since,
        record.last,
        record.received,
        record.evidence,
        record.evidence_s,
        record.heard_s,
        record.listed_s,
        record.rssi_dbm,
        record.listings,
        record.untold,
        record.transmissions,
    ]


def _parse_link(fields: list[Any]) -> LinkRecord:
    """One link; checkpoints of earlier versions end after ``listings``."""
    _, epoch, since, last, received, evidence, evidence_s, heard_s, listed_s, rssi_dbm, listings, *later = fields
    counts = tuple((k, h, m) for k, h, m in evidence)
    record = LinkRecord(epoch, since, last, received, counts, evidence_s, heard_s, listed_s, rssi_dbm, listings)
    if not later:
        return record
    (seconds, notifications), transmissions = later
    return replace(record, untold=(seconds, notifications), transmissions=transmissions)


def _dump(model: WireModel | None) -> Any:
    return None if model is None else model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
