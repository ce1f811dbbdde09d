"""A small grid of nodes in two segments, badly configured, as a snapshot."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from meshtwin.mesh.configuration import Configuration, NodeSettings, Transmit
from meshtwin.mesh.nodes import Capabilities, Flow, Node
from meshtwin.mesh.snapshots import LinkEstimate, SegmentView, Snapshot

NOW = datetime(2030, 1, 1, tzinfo=UTC)
WASTEFUL = NodeSettings(
    relay=True,
    relay_retransmit=Transmit(count=7, interval_steps=5),
    network_transmit=Transmit(count=7, interval_steps=5),
    default_ttl=127,
)

GridBuilder = Callable[..., Snapshot]


@pytest.fixture
def build_grid() -> GridBuilder:
    """Builds columns x rows nodes, neighbours at distance 1 linked well and at 2 poorly; west | east halves."""

    def build(
        columns: int = 6,
        rows: int = 2,
        *,
        near: float = 0.95,
        rate_per_minute: float = 60.0,
        settings: NodeSettings = WASTEFUL,
        frozen: frozenset[int] = frozenset(),
        unable: frozenset[int] = frozenset(),
    ) -> Snapshot:
        places = {1 + x * rows + y: (x, y) for x in range(columns) for y in range(rows)}
        half = columns // 2
        west = tuple(a for a, (x, _) in places.items() if x < half)
        east = tuple(a for a, (x, _) in places.items() if x >= half)
        nodes = tuple(
            Node(
                address=a,
                device_uuid=f"{a:032x}",
                groups=frozenset({0xC001 if a in west else 0xC002}),
                frozen=a in frozen,
                capabilities=Capabilities(relay=a not in unable),
            )
            for a in places
        )
        links = tuple(
            LinkEstimate(source=a, target=b, delivery_alpha=100 * p, delivery_beta=100 * (1 - p))
            for a, (xa, ya) in places.items()
            for b, (xb, yb) in places.items()
            if a != b and (p := {1: near, 2: 0.05}.get(max(abs(xa - xb), abs(ya - yb)), 0.0)) > 0
        )
        return Snapshot(
            taken_at=NOW,
            nodes=nodes,
            links=links,
            configuration=Configuration.of(dict.fromkeys(places, settings)),
            flows=(
                Flow(name="west", source=1, destination=0xC001, rate_per_minute=rate_per_minute, deadline_ms=150),
                Flow(
                    name="east",
                    source=max(east),
                    destination=0xC002,
                    rate_per_minute=rate_per_minute,
                    deadline_ms=150,
                ),
            ),
            segments=tuple(
                SegmentView(
                    name=name,
                    addresses=part,
                    inventory_hash="sha256:" + "0" * 64,
                    revision=3,
                    newest_report=NOW,
                    gateway_address=min(part),
                )
                for name, part in (("office-west", west), ("office-east", east))
            ),
        )

    return build
