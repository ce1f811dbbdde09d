"""Random networks to search configurations for: placed nodes, links of known delivery, flows to everybody and to one.

The links are what the twin believes; here they are the truth, too, since the search is measured and not the twin.
"""

import math
from datetime import UTC, datetime

import networkx as nx

from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Flow, Node, Position
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot
from meshtwin.radio.path_loss import LogDistance, compute_distance_m, compute_log_distance_loss_db
from meshtwin.radio.reception import compute_packet_error_ratio, compute_snr_db
from meshtwin.sim.draws import draw, draw_normal, make_key

GROUP = 0xC001
NOW = datetime(2030, 1, 1, tzinfo=UTC)
RADIO = LogDistance(exponent=3.0, reference_db=46.0, shadowing_db=5.0)
REACH_M = 62.0  # where half of the sends arrive, without shadowing
EVIDENCE = 200.0  # receptions that the twin has seen of each link
DELIVERY_LEAST = 0.02
USUAL = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=2, interval_steps=1),
    network_transmit=Transmit(count=2, interval_steps=1),
    default_ttl=30,
)


def make_snapshot(
    nodes: int, seed: int, *, degree: float = 8.0, rate_per_minute: float = 60.0, flows: int = 2, deadline_ms: int = 150
) -> Snapshot:
    """A connected network of ``nodes`` with about ``degree`` usable neighbours each; equal arguments, equal network.

    Flow 0 goes from the first node to the group of all, the others from nodes drawn to nodes drawn.
    """
    for attempt in range(1000):
        key = make_key(seed, "search-network", nodes, attempt)
        snapshot = _try(nodes, key, degree, rate_per_minute, flows, deadline_ms)
        graph = nx.DiGraph((k.source, k.target) for k in snapshot.links if k.delivery_mean >= 0.7)
        if len(graph) == nodes and nx.is_strongly_connected(graph):
            return snapshot
    raise AssertionError("no connected network found")


def _try(nodes: int, key: int, degree: float, rate_per_minute: float, flows: int, deadline_ms: int) -> Snapshot:
    side_m = math.sqrt(nodes / (degree + 1.0) * math.pi) * REACH_M
    addresses = range(1, nodes + 1)
    places = {
        a: Position(side_m * draw(make_key(key, "x"), a), side_m * draw(make_key(key, "y"), a)) for a in addresses
    }
    return Snapshot(
        taken_at=NOW,
        nodes=tuple(
            Node(address=a, device_uuid=f"{a:032x}", groups=frozenset({GROUP}), position=places[a]) for a in addresses
        ),
        links=tuple(_links(places, key)),
        configuration=Configuration.of(dict.fromkeys(addresses, USUAL)),
        flows=tuple(_flow(i, nodes, key, rate_per_minute, deadline_ms) for i in range(flows)),
        segments=(
            SegmentView(
                name="all",
                addresses=tuple(addresses),
                inventory_hash="sha256:" + "0" * 64,
                revision=0,
                newest_report=NOW,
                gateway_address=1,
            ),
        ),
    )


def _links(places: dict[int, Position], key: int):
    for a, here in places.items():
        for b, there in places.items():
            if a == b:
                continue
            shared = draw_normal(make_key(key, "shadowing"), min(a, b) * 1000 + max(a, b))
            own = draw_normal(make_key(key, "direction"), a * 1000 + b)
            shadow_db = RADIO.shadowing_db * (0.9 * shared + math.sqrt(1 - 0.9**2) * own)
            power_dbm = -compute_log_distance_loss_db(compute_distance_m(here, there), RADIO, shadow_db)
            delivery = 1.0 - compute_packet_error_ratio(compute_snr_db(power_dbm), 20)
            if delivery >= DELIVERY_LEAST:
                yield LinkEstimate(
                    source=a,
                    target=b,
                    delivery_alpha=EVIDENCE * delivery,
                    delivery_beta=max(EVIDENCE * (1 - delivery), 0.05),
                )


def _flow(index: int, nodes: int, key: int, rate_per_minute: float, deadline_ms: int) -> Flow:
    ends = make_key(key, "flow", index)
    source = 1 if index == 0 else 1 + int(draw(ends, 0) * nodes)
    target = 1 + (source + int(draw(ends, 1) * (nodes - 1))) % nodes
    return Flow(
        name=f"flow-{index}",
        source=source,
        destination=GROUP if index == 0 else target,
        rate_per_minute=rate_per_minute,
        deadline_ms=deadline_ms,
    )
