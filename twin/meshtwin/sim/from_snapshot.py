"""A scenario out of a snapshot: what the twin knows, with a configuration to be judged."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, NodeSettings
from meshtwin.mesh.nodes import Flow
from meshtwin.mesh.snapshots import LinkEstimate, Snapshot
from meshtwin.radio.survivors import estimate_received_power
from meshtwin.sim.background import DEFAULT_SETTINGS, NOTIFICATION_BYTES, background_of
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import ACCESS_PDU_BYTES, Scenario, ScenarioFlow, ScenarioLink, ScenarioNode

__all__ = ["DEFAULT_SETTINGS", "reconfigured_scenario", "scenario_from_snapshot"]

# Probes space messages by 1.0 to 1.5 s, so that the flood of one is over before the next one begins. Less would be
# quicker to simulate, and wrong: at half of it, a sixth of the on-time messages of a slow configuration is late.
PRESS_SPACING_S: Final = 1.25
PRESS_SPREAD_S: Final = 0.25
WARM_UP_S: Final = 1.0  # the background fills the queues before the first message


def scenario_from_snapshot(
    snapshot: Snapshot,
    configuration: Configuration | None = None,
    *,
    messages_per_flow: int = 40,
    flows: Sequence[Flow] | None = None,
    deadline_ms: int | None = None,
    sample_posterior: bool = False,
) -> Scenario:
    """The scenario of ``snapshot`` with ``configuration`` put on top of the one in force, as a probe meets it.

    Link delivery is the posterior mean, decided per single transmission by draws keyed on
    (link, message, copy), for notifications as they are counted and other sizes as `resize_delivery` has it;
    ``sample_posterior``: each replication draws the links anew within their posterior. Interference is judged by the
    power that arrives, not by the RSSI of what was received.
    The judged messages of the flows follow each other as a probe's do, one flow's in turn with the others';
    airtime is reckoned with the flows' declared rates. In the background go the flows' own messages at those
    rates, the nodes' notifications, and the reports and upkeep that the budget allows under this configuration.
    ``deadline_ms`` replaces the flows' deadlines. Border links whose sender is outside the snapshot become
    external traffic of notifications; flows from or to nothing known are left out (compare ``scenario.flows``
    with ``snapshot.flows``).
    """
    settings = snapshot.configuration.overlaid(configuration or Configuration()).as_dict()
    known = {node.address for node in snapshot.nodes}
    external = _external_pdus_per_s(snapshot, known)
    asked = snapshot.flows if flows is None else tuple(flows)
    judged = [(f, members) for f in asked if f.source in known and (members := _members(snapshot, f))]
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
                rx_power_dbm=_rx_power_dbm(link),
                delivery=link.delivery_mean,
                delivery_deviation=deviation(link),
                delivery_pdu_bytes=NOTIFICATION_BYTES,
            )
            for link in snapshot.links
            if link.source in known and link.target in known
        ),
        flows=tuple(
            ScenarioFlow(
                name=flow.name,
                source=flow.source,
                members=members,
                count=messages_per_flow,
                period_s=len(judged) * PRESS_SPACING_S,
                spread_s=PRESS_SPREAD_S,
                start_s=WARM_UP_S + turn * PRESS_SPACING_S,
                deadline_ms=flow.deadline_ms if deadline_ms is None else deadline_ms,
                rate_per_s=flow.rate_per_minute / 60.0,
                response_pdu_bytes=ACCESS_PDU_BYTES if flow.is_acknowledged else None,
            )
            for turn, (flow, members) in enumerate(judged)
        ),
        background=background_of(snapshot, settings),
        profile=get_profile(snapshot.profile, "snapshot.profile"),
        watched=tuple(sorted({s.gateway_address for s in snapshot.segments if s.gateway_address in known})),
    )


def reconfigured_scenario(scenario: Scenario, snapshot: Snapshot, configuration: Configuration) -> Scenario:
    """What `scenario_from_snapshot` gives for ``configuration``, out of what it gave for another one.

    ``scenario`` must come from the same ``snapshot``; links and flows are taken over, which is most of the work.
    """
    settings = snapshot.configuration.overlaid(configuration).as_dict()
    return replace(
        scenario,
        nodes=tuple(
            _to_node(n.address, settings.get(n.address, NodeSettings()), n.external_pdus_per_s) for n in scenario.nodes
        ),
        background=background_of(snapshot, settings),
    )


def _rx_power_dbm(link: LinkEstimate) -> float | None:
    """Power for interference; of snapshots that tell only RSSI the survivors' bias is taken off here."""
    if link.rx_power_dbm is not None or link.rssi_dbm is None:
        return link.rx_power_dbm
    return estimate_received_power(link.rssi_dbm, link.delivery_mean).mean_dbm


@lru_cache(maxsize=65_536)  # candidates of a search differ in a few nodes each
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


def _external_pdus_per_s(snapshot: Snapshot, known: Collection[UnicastAddress]) -> Mapping[UnicastAddress, float]:
    """PDUs per second on one channel that each node hears of notifications of nodes outside the snapshot.

    They are taken to be sent once: outside, settings are not known.
    """
    if snapshot.notification_interval_s <= 0.0:
        return {}
    heard: dict[UnicastAddress, float] = {}
    for link in snapshot.links:
        if link.source not in known:
            each = link.delivery_mean / snapshot.notification_interval_s
            heard[link.target] = heard.get(link.target, 0.0) + each
    return heard
