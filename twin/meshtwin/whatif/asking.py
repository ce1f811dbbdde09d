"""Whether a question to a judge can be answered: every name in it stands for something in its snapshot.

Pure. How much memory an answer would take is `meshtwin.whatif.sizes`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, format_address
from meshtwin.mesh.configuration import Configuration
from meshtwin.mesh.nodes import Flow
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.whatif.forks import flow_members

__all__ = ["check_question", "leave_out_unanswerable"]


def check_question(snapshot: Snapshot, configurations: Sequence[Configuration]) -> None:
    """Raises `InvalidInput` for what names nothing of the snapshot, with its place in the question.

    ``UnknownNode``: a flow from, settings of, a segment of or a link between nodes that it does not hold; a link to
    *one* node outside is a border link. ``NoMember``: a flow that nobody in it listens to. ``DuplicateAddress``,
    ``DuplicateFlow``: two nodes of one address, two flows of one name.
    """
    known = {node.address for node in snapshot.nodes}
    _check_unique((format_address(node.address) for node in snapshot.nodes), "node", "DuplicateAddress", "nodes")
    _check_unique((flow.name for flow in snapshot.flows), "flow", "DuplicateFlow", "flows")
    for place, flow in enumerate(snapshot.flows):
        if (refusal := _refusal(snapshot, known, flow)) is not None:
            field, reason, why = refusal
            message = f"flow {flow.name!r} {why}: put the node into the snapshot, or leave the flow out"
            raise InvalidInput(message, reason=reason, place=f"snapshot.flows.{place}.{field}")
    for place, link in enumerate(snapshot.links):
        if link.source not in known and link.target not in known:
            raise _unknown(link.source, f"snapshot.links.{place}", "leave out links with neither end in it")
    _check_nodes(known, snapshot.configuration.addresses, "snapshot.configuration", "leave its settings out")
    for place, view in enumerate(snapshot.segments):
        _check_nodes(known, view.addresses, f"snapshot.segments.{place}.addresses", "leave it out")
    for place, configuration in enumerate(configurations):
        _check_nodes(known, configuration.addresses, f"configurations.{place}", "leave its settings out")


def leave_out_unanswerable(snapshot: Snapshot) -> tuple[Snapshot, tuple[tuple[str, str], ...]]:
    """The snapshot without flows from or to nothing that it holds, and (flow, reason) of each of those.

    A segment's flow may lead to another segment, or name a node that has been removed: a judge would refuse the
    whole question for it.
    """
    known = {node.address for node in snapshot.nodes}
    refused = {flow: why for flow in snapshot.flows if (why := _refusal(snapshot, known, flow)) is not None}
    if not refused:
        return snapshot, ()
    kept = tuple(flow for flow in snapshot.flows if flow not in refused)
    return replace(snapshot, flows=kept), tuple((flow.name, f"{why}: left out") for flow, (*_, why) in refused.items())


def _refusal(snapshot: Snapshot, known: Collection[UnicastAddress], flow: Flow) -> tuple[str, str, str] | None:
    """Field, reason and what is wrong with a flow; None: it can be asked about."""
    if flow.source not in known:
        return "source", "UnknownNode", f"comes from node {format_address(flow.source)}, which is not in the snapshot"
    if not flow_members(snapshot.nodes, flow):
        to = format_address(flow.destination)
        return "destination", "NoMember", f"goes to {to}, where no node of the snapshot listens"
    return None


def _check_unique(names: Iterable[str], what: str, reason: str, place: str) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            message = f"{what} {name!r} stands in it {count} times: names tell answers apart; keep one, or rename"
            raise InvalidInput(message, reason=reason, place=f"snapshot.{place}")


def _check_nodes(
    known: Collection[UnicastAddress], addresses: Iterable[UnicastAddress], place: str, remedy: str
) -> None:
    for address in addresses:
        if address not in known:
            raise _unknown(address, place, f"put it into the snapshot, or {remedy}")


def _unknown(address: UnicastAddress, place: str, remedy: str) -> InvalidInput:
    message = f"node {format_address(address)} is not in the snapshot: {remedy}"
    return InvalidInput(message, reason="UnknownNode", place=place)
