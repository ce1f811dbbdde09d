"""A scenario out of a snapshot: what the twin knows, with a configuration to be judged."""

from collections.abc import Mapping, Sequence
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow
from meshtwin.mesh.snapshots import Snapshot
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = ["DEFAULT_SETTINGS", "scenario_from_snapshot"]

DEFAULT_SETTINGS: Final = NodeSettings(  # where neither snapshot nor configuration says anything: Zephyr's defaults
    relay=True,
    relay_retransmit=Transmit(count=2, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=7,
)


def scenario_from_snapshot(
    snapshot: Snapshot,
    configuration: Configuration | None = None,
    *,
    messages_per_flow: int = 40,
    flows: Sequence[Flow] | None = None,
    deadline_ms: int | None = None,
    sample_posterior: bool = False,
    report_messages_per_s: float = 0.0,
) -> Scenario:
    """The scenario of ``snapshot`` with ``configuration`` put on top of the one in force.

    Link delivery is the posterior mean, decided per single transmission by draws keyed on
    (link, message, copy); ``sample_posterior``: each replication draws the links anew within their posterior.
    Messages come at the flows' declared rates, at drawn times. ``deadline_ms`` replaces the flows' deadlines.
    ``report_messages_per_s``: monitoring messages flooded through the whole network; like notifications they
    become external traffic, which for reports depends on the configuration.
    Border links whose sender is outside the snapshot become external traffic of notifications; flows from or
    to nothing known are left out (compare ``scenario.flows`` with ``snapshot.flows``).
    """
    settings = snapshot.configuration.overlaid(configuration or Configuration()).as_dict()
    external = _external_pdus_per_s(snapshot, settings, report_messages_per_s)
    known = {node.address for node in snapshot.nodes}
    asked = snapshot.flows if flows is None else tuple(flows)
    deviation = (lambda link: link.delivery_deviation) if sample_posterior else (lambda link: 0.0)
    return Scenario(
        name=f"snapshot-{snapshot.fingerprint}",
        nodes=tuple(
            _to_node(node.address, settings.get(node.address, NodeSettings()), external.get(node.address, 0.0))
            for node in snapshot.nodes
        ),
        links=tuple(
            ScenarioLink(
                source=link.source,
                target=link.target,
                rx_power_dbm=link.rssi_dbm,
                delivery=link.delivery_mean,
                delivery_deviation=deviation(link),
            )
            for link in snapshot.links
            if link.source in known and link.target in known
        ),
        flows=tuple(
            _to_flow(flow, members, messages_per_flow, deadline_ms)
            for flow in asked
            if flow.source in known and (members := _members(snapshot, flow))
        ),
        profile=get_profile(snapshot.profile, "snapshot.profile"),
    )


def _to_node(address: UnicastAddress, said: NodeSettings, external_pdus_per_s: float) -> ScenarioNode:
    full = DEFAULT_SETTINGS.overlaid(said)
    if full.network_transmit is None or full.relay_retransmit is None or full.default_ttl is None:
        raise AssertionError("default settings say everything")
    return ScenarioNode(
        address=address,
        relay=bool(full.relay),
        ttl=full.default_ttl,
        network_transmit=full.network_transmit,
        relay_retransmit=full.relay_retransmit,
        external_pdus_per_s=external_pdus_per_s,
    )


def _members(snapshot: Snapshot, flow: Flow) -> tuple[UnicastAddress, ...]:
    """Nodes that the flow is to reach, its source left out, ascending."""
    return tuple(
        node.address
        for node in snapshot.nodes
        if node.address != flow.source
        and (node.address <= flow.destination < node.address + node.element_count or flow.destination in node.groups)
    )


def _to_flow(flow: Flow, members: tuple[UnicastAddress, ...], messages: int, deadline_ms: int | None) -> ScenarioFlow:
    period_s = 60.0 / flow.rate_per_minute if flow.rate_per_minute > 0 else 60.0
    return ScenarioFlow(
        name=flow.name,
        source=flow.source,
        members=members,
        count=messages,
        period_s=period_s,
        deadline_ms=flow.deadline_ms if deadline_ms is None else deadline_ms,
        spread_in_period=True,
        rate_per_s=flow.rate_per_minute / 60.0,
    )


def _external_pdus_per_s(
    snapshot: Snapshot, settings: Mapping[UnicastAddress, NodeSettings], report_messages_per_s: float
) -> Mapping[UnicastAddress, float]:
    """PDUs of monitoring that each node hears per second on one channel, halo included.

    Every node notifies once per interval; every relay repeats each report its number of transmissions.
    """
    notifications = 1.0 / snapshot.notification_interval_s if snapshot.notification_interval_s > 0.0 else 0.0
    heard: dict[UnicastAddress, float] = {}
    for link in snapshot.links:
        sends = notifications
        said = DEFAULT_SETTINGS.overlaid(settings.get(link.source, NodeSettings()))
        if said.relay and said.relay_retransmit is not None:
            sends += report_messages_per_s * said.relay_retransmit.transmissions
        if sends > 0.0:
            heard[link.target] = heard.get(link.target, 0.0) + sends * link.delivery_mean
    return heard
