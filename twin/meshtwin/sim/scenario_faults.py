"""What is wrong with a scenario file beyond its shape, each fault with the path of the value that is wrong.

So a complaint can name the line. The same laws hold for scenarios made in a program (`meshtwin.sim.scenario_checks`),
which have no lines.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress, is_unicast, parse_address, parse_unicast
from meshtwin.sim.profiles import StackProfile
from meshtwin.sim.scenario_document import FlowDocument, InterferenceDocument, NodeDocument, ScenarioDocument
from meshtwin.sim.scenario_parts import ScenarioFlow, ScenarioLink
from meshtwin.sim.scenario_places import DocumentFault, Path, at_path, require_node, require_nodes
from meshtwin.sim.scenario_values import MINUTES_OF_DAY
from meshtwin.wording import counted

__all__ = ["ALL_NODES", "ALL_RELAYS", "check_document", "check_low_power"]

# Fixed group addresses, Mesh Protocol 1.1, 3.4.2.4: nobody subscribes to them.
ALL_NODES: Final = 0xFFFF
ALL_RELAYS: Final = 0xFFFE
NOT_MODELLED: Final[Mapping[int, str]] = {0xFFFD: "all-friends", 0xFFFC: "all-proxies"}


def check_document(document: ScenarioDocument, profile: StackProfile) -> None:
    """Raises `DocumentFault` for the first fault, in the order of the file."""
    known = _check_nodes(document, profile)
    _check_matrix(document)
    _check_links(document, known)
    _check_flows(document, known, profile)
    for i, background in enumerate(document.background):
        require_nodes(background.sources, known, ("background", i, "sources"))
        require_nodes(background.destinations, known, ("background", i, "destinations"))
        _check_ttl(background.ttl, profile.allows_flow_ttl_one, profile, ("background", i, "ttl"))
    for i, interference in enumerate(document.interference):
        require_nodes(interference.nodes, known, ("interference", i, "nodes"))
        _check_hours(interference, ("interference", i))
    _check_changes(document, known)
    if document.region is not None:
        require_nodes(document.region.nodes, known, ("region", "nodes"))


def check_low_power(document: ScenarioDocument, links: Iterable[ScenarioLink], flows: Sequence[ScenarioFlow]) -> None:
    """Raises `DocumentFault` for a low-power node out of its friend's hearing, or with messages not modelled.

    ``links``: those at the beginning; a node that is moved, or whose friend is, may come near later. ``flows``: in
    the order of the file.
    """
    moved = {parse_unicast(change.node) for change in document.changes if change.move_to_m is not None}
    asked = {
        (parse_unicast(node.address), parse_unicast(node.low_power.friend)): i
        for i, node in enumerate(document.nodes)
        if node.low_power is not None
    }
    if not asked:
        return
    low = {address for address, _ in asked}
    for i, flow in enumerate(flows):
        sizes = flow.segmentation.segment_pdu_bytes if flow.segmentation is not None else ()
        if len(sizes) > 1 and low & {flow.source, *flow.members}:
            raise DocumentFault(
                f"{flow.name} takes {len(sizes)} segments, and segmented messages from or to low-power nodes are not "
                "modelled; give at most 11 accessBytes",
                ("flows", i, "accessBytes"),
                reason="NotModelled",
            )
    there = {(link.source, link.target) for link in links}
    for (address, friend), i in asked.items():
        missing = [pair for pair in ((address, friend), (friend, address)) if pair not in there]
        if missing and not moved & {address, friend}:
            source, target = missing[0]
            raise DocumentFault(
                f"there is no link {source:04x} to {target:04x}; a low-power node and its friend hear each other",
                ("nodes", i, "lowPower", "friend"),
            )


def _check_nodes(document: ScenarioDocument, profile: StackProfile) -> dict[UnicastAddress, int]:
    """The index of each node by its address."""
    known: dict[UnicastAddress, int] = {}
    _check_ttl(document.defaults.ttl, profile.allows_default_ttl_one, profile, ("defaults", "ttl"))
    for i, node in enumerate(document.nodes):
        with at_path("nodes", i, "address"):
            address = parse_unicast(node.address)
        if address in known:
            raise DocumentFault(
                f"address {node.address} is used by two nodes, this one and nodes.{known[address]}",
                ("nodes", i, "address"),
            )
        known[address] = i
        _check_ttl(node.ttl, profile.allows_default_ttl_one, profile, ("nodes", i, "ttl"))
        for k, group in enumerate(node.groups or ()):
            _check_group(group, ("nodes", i, "groups", k))
        _check_replay_list(document, node, profile, i)
        if document.radio is not None and node.position_m is None:
            raise DocumentFault(f"node {node.address} has no positionM, which the radio model needs", ("nodes", i))
    for i, node in enumerate(document.nodes):
        if node.low_power is not None:
            _check_friend(document, known, i)
    return known


def _check_ttl(ttl: int | None, allows_one: bool, profile: StackProfile, path: Path) -> None:
    if ttl == 1 and not allows_one:
        raise DocumentFault(
            f"initial ttl 1 is not sent by stack {profile.name}; 0 reaches the neighbours as well",
            path,
            reason="ForbiddenTtl",
        )


def _check_group(group: str, path: Path) -> None:
    address = parse_address(group)
    if address == 0 or is_unicast(address):
        what = "a unicast address" if address else "no address"
        raise DocumentFault(f"{group} is {what}, and groups are c000 to fffb (virtual ones 8000 to bfff)", path)
    if address in (ALL_NODES, ALL_RELAYS, *NOT_MODELLED):
        raise DocumentFault(f"{group} is a fixed group, to which nobody subscribes; leave it out", path)


def _check_replay_list(document: ScenarioDocument, node: NodeDocument, profile: StackProfile, index: int) -> None:
    entries = document.defaults.replay_list_entries if node.replay_list_entries is None else node.replay_list_entries
    size = profile.replay_list_size if entries == "profile" else entries
    path = ("nodes", index, "replayListUsed")
    if size is None and node.replay_list_used:
        raise DocumentFault(
            f"{node.replay_list_used} entries are used of a list that is not there; give replayListEntries", path
        )
    if size is not None and node.replay_list_used >= size:
        raise DocumentFault(
            f"replay list of {size} entries is full before the run ({node.replay_list_used} used, at most {size - 1}): "
            "the node would be deaf to every source",
            path,
            reason="FullReplayList",
        )


def _check_friend(document: ScenarioDocument, known: Mapping[UnicastAddress, int], index: int) -> None:
    node = document.nodes[index]
    if node.low_power is None:
        return
    path = ("nodes", index, "lowPower", "friend")
    friend = require_node(node.low_power.friend, known, path)
    if document.nodes[known[friend]].low_power is not None:
        raise DocumentFault(f"friend {node.low_power.friend} is a low-power node, too", path)
    relay = document.defaults.relay if node.relay is None else node.relay
    if relay:
        said = " (relay: true in defaults holds for it, too)" if node.relay is None else ""
        raise DocumentFault(f"a low-power node does not relay{said}; set relay: false", ("nodes", index, "relay"))


def _check_matrix(document: ScenarioDocument) -> None:
    matrix, size = document.attenuation_db, len(document.nodes)
    if matrix is None:
        return
    if len(matrix) != size:
        last = min(size, max(0, len(matrix) - 1))  # the first row too many, or the last one there is
        raise DocumentFault(
            f"attenuationDb has {counted(len(matrix), 'row')} for {counted(size, 'node')}", ("attenuationDb", last)
        )
    for i, row in enumerate(matrix):
        if len(row) != size:
            raise DocumentFault(
                f"attenuationDb has {counted(len(row), 'value')} in row {i + 1} for {counted(size, 'node')}",
                ("attenuationDb", i),
            )
        own = row[i]
        if own is not None and own != 0.0:
            raise DocumentFault(
                f"{own} dB from node {document.nodes[i].address} to itself; the diagonal is null or 0",
                ("attenuationDb", i, i),
            )


def _check_links(document: ScenarioDocument, known: Mapping[UnicastAddress, int]) -> None:
    seen: dict[tuple[UnicastAddress, UnicastAddress], int] = {}
    for i, link in enumerate(document.links or ()):
        pair = (
            require_node(link.source, known, ("links", i, "source")),
            require_node(link.target, known, ("links", i, "target")),
        )
        if pair[0] == pair[1]:
            raise DocumentFault(f"node {link.source} has a link to itself", ("links", i))
        if pair in seen:
            raise DocumentFault(
                f"the link {link.source} to {link.target} is given twice, here and in links.{seen[pair]}", ("links", i)
            )
        seen[pair] = i


def _check_flows(document: ScenarioDocument, known: Mapping[UnicastAddress, int], profile: StackProfile) -> None:
    names: dict[str, int] = {}
    said = (getattr(document.defaults, "groups", None), *(node.groups for node in document.nodes))
    groups = {parse_address(group) for some in said for group in some or ()}
    for i, flow in enumerate(document.flows):
        if flow.name in names:
            raise DocumentFault(
                f"two flows have the name {flow.name!r}, this one and flows.{names[flow.name]}", ("flows", i, "name")
            )
        names[flow.name] = i
        source = require_node(flow.source, known, ("flows", i, "source"))
        _check_destination(flow, source, known, groups, ("flows", i, "destination"))
        _check_ttl(flow.ttl, profile.allows_flow_ttl_one, profile, ("flows", i, "ttl"))
        require_nodes(flow.relays, known, ("flows", i, "relays"))
        if flow.retries and flow.response_pdu_bytes is None:
            raise DocumentFault(
                f"{counted(flow.retries, 'retry', 'retries')} without a response to wait for; give responsePduBytes",
                ("flows", i, "retries"),
            )


def _check_destination(
    flow: FlowDocument,
    source: UnicastAddress,
    known: Mapping[UnicastAddress, int],
    groups: Collection[int],
    path: Path,
) -> None:
    destination = parse_address(flow.destination)
    if destination == source:
        raise DocumentFault(f"{flow.source} would send to itself; name another destination", path)
    if is_unicast(destination):
        require_node(flow.destination, known, path)
    elif destination == 0:
        raise DocumentFault("0000 is no address; name a node or a group", path)
    elif destination in NOT_MODELLED:
        raise DocumentFault(
            f"{flow.destination} is {NOT_MODELLED[destination]}, and which nodes these are is not modelled; give the "
            "nodes a group",
            path,
            reason="NotModelled",
        )
    elif destination not in (ALL_NODES, ALL_RELAYS) and destination not in groups:
        raise DocumentFault(f"nobody subscribes to {flow.destination}; add it to the groups of its nodes", path)


def _check_hours(interference: InterferenceDocument, path: Path) -> None:
    from_minute, until_minute = interference.from_time, interference.until_time
    is_whole_day = (from_minute, until_minute) == (0, MINUTES_OF_DAY)
    if from_minute % MINUTES_OF_DAY == until_minute % MINUTES_OF_DAY and not is_whole_day:
        told = f"{from_minute // 60:02d}:{from_minute % 60:02d}"
        raise DocumentFault(
            f"fromTime and untilTime are both {told}, and there would be no bursts; leave both out for the whole day",
            (*path, "untilTime"),
        )


def _check_changes(document: ScenarioDocument, known: Mapping[UnicastAddress, int]) -> None:
    end_s = max(flow.start_seconds + flow.count * flow.period_seconds for flow in document.flows)
    if document.duration_seconds is not None:
        end_s = min(end_s, document.duration_seconds)
    for i, change in enumerate(document.changes):
        require_node(change.node, known, ("changes", i, "node"))
        if change.move_to_m is not None and document.radio is None:
            raise DocumentFault(
                "moveToM needs a radio model, from which the links at the new place follow", ("changes", i, "moveToM")
            )
        if change.at_seconds > end_s:
            raise DocumentFault(
                f"a change at {change.at_seconds:g} s comes after the end at {end_s:g} s, and would change nothing",
                ("changes", i, "atSeconds"),
            )
