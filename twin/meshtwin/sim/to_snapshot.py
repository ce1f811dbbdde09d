"""A snapshot out of a scenario, so that models which are asked about snapshots can be asked without a twin."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import GroupAddress, UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Flow, Node
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.radio.reception import compute_airtime_ns, resize_delivery
from meshtwin.sim.air import link_airtime_ns, mean_delivery
from meshtwin.sim.arguments import take_scenario
from meshtwin.sim.background import NOTIFICATION_BYTES
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = ["to_snapshot"]

# How sure a scenario is of its links, as transmissions counted: sampling from the posterior moves a delivery of 0.5 by
# 0.005.
COUNTED: Final = 10_000.0
NEVER: Final = 1e-6  # a posterior has some of either outcome
FIRST_GROUP: Final = 0xC000
BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)  # a scenario has no date


def to_snapshot(scenario: Scenario | str | Path) -> Snapshot:
    """What a twin would hold that knew ``scenario`` (or the file or YAML text that says it) exactly.

    That is nodes, links, settings, flows and profile.

    Nodes that are switched off are left out with their links and, as members, out of flows. Groups are numbered
    from c000, one for each flow to several members. Raises `InvalidInput` for what a snapshot has no place for.
    """
    scenario = take_scenario(scenario)
    if missing := list(_unspeakable(scenario)):
        raise InvalidInput(f"a snapshot can't say: {', '.join(missing)}; leave them out", place=scenario.name)
    on = {node.address for node in scenario.nodes if node.is_on}
    flows = [flow for flow in scenario.flows if flow.source in on and any(m in on for m in flow.members)]
    groups = {flow.name: FIRST_GROUP + i for i, flow in enumerate(f for f in flows if len(f.members) > 1)}
    links = sorted((k for k in scenario.links if k.source in on and k.target in on), key=lambda k: (k.source, k.target))
    return Snapshot(
        taken_at=BEGINNING,
        nodes=tuple(
            Node(
                address=node.address,
                device_uuid=f"{node.address:032x}",
                position=node.position,
                groups=frozenset(GroupAddress(groups[f.name]) for f in flows if _is_in(f, node.address, groups)),
            )
            for node in sorted(scenario.nodes, key=lambda node: node.address)
            if node.is_on
        ),
        links=tuple(_to_estimate(link, scenario) for link in links),
        configuration=Configuration.of({n.address: _to_settings(n) for n in scenario.nodes if n.is_on}),
        flows=tuple(
            Flow(
                name=flow.name,
                source=flow.source,
                destination=groups.get(flow.name, flow.members[0]),
                rate_per_minute=60.0 / flow.period_s,
                deadline_ms=flow.deadline_ms,
            )
            for flow in flows
        ),
        segments=(
            SegmentView(
                name=scenario.name, addresses=tuple(sorted(on)), inventory_hash="", revision=None, newest_report=None
            ),
        ),
        profile=scenario.profile.name,
    )


def _is_in(flow: ScenarioFlow, address: UnicastAddress, groups: dict[str, int]) -> bool:
    return flow.name in groups and address in flow.members


def _to_settings(node: ScenarioNode) -> NodeSettings:
    return NodeSettings(
        relay=node.relay,
        relay_retransmit=node.relay_retransmit,
        network_transmit=node.network_transmit,
        default_ttl=node.ttl,
    )


def _to_estimate(link: ScenarioLink, scenario: Scenario) -> LinkEstimate:
    told_ns, counted_ns = link_airtime_ns(link, scenario.profile), compute_airtime_ns(NOTIFICATION_BYTES)
    delivery = resize_delivery(mean_delivery(link), told_ns, scenario.profile.pdu_airtime_ns or counted_ns)
    delivery = min(1.0 - NEVER, max(NEVER, delivery))
    return LinkEstimate(
        source=link.source,
        target=link.target,
        delivery_alpha=COUNTED * delivery,
        delivery_beta=COUNTED * (1.0 - delivery),
        rx_power_dbm=link.rx_power_dbm,
    )


def _unspeakable(scenario: Scenario) -> Iterator[str]:
    for name, value in (
        ("interference", scenario.interference), ("changes", scenario.changes), ("background", scenario.background),
        ("a duration", scenario.duration_s is not None), ("receptions without capture", not scenario.capture),
    ):  # fmt: skip
        if value:
            yield name
    for node in scenario.nodes:
        if node.low_power is not None or node.replay_list_size is not None or node.external_pdus_per_s:
            yield f"low power, replay list or external PDUs of node {node.address:04x}"
            break
    for flow in scenario.flows:
        special = (
            flow.response_pdu_bytes, flow.ttl, flow.segmentation, flow.relays, flow.publish_retransmit, flow.retries,
        )  # fmt: skip
        if any(value is not None for value in special):
            yield f"response, TTL, segments, relays or repeats of flow {flow.name}"
            break
