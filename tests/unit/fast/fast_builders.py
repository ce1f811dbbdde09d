"""Small scenarios for the tests of the fast model."""

from collections.abc import Iterable
from typing import Any

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Transmit
from meshtwin.sim.profiles import get_profile
from meshtwin.sim.scenario import Scenario, ScenarioBackground, ScenarioFlow, ScenarioLink, ScenarioNode


def node(address: int, *, transmissions: int = 3, relay: bool = True, ttl: int = 7, **more: Any) -> ScenarioNode:
    """A node whose own and relayed messages go out ``transmissions`` times, 20 ms apart."""
    transmit = Transmit(count=transmissions - 1, interval_steps=1)
    return ScenarioNode(
        address=UnicastAddress(address),
        relay=relay,
        ttl=ttl,
        network_transmit=transmit,
        relay_retransmit=transmit,
        **more,
    )


def links(pairs: Iterable[tuple[int, int]], delivery: float = 1.0) -> tuple[ScenarioLink, ...]:
    """Links in both directions."""
    return tuple(
        ScenarioLink(source=UnicastAddress(a), target=UnicastAddress(b), delivery=delivery)
        for pair in pairs
        for a, b in (pair, pair[::-1])
    )


def flow(source: int, *members: int, name: str = "flow", **more: Any) -> ScenarioFlow:
    """Messages every 1.25 s, as a probe sends them."""
    told: dict[str, Any] = {"count": 40, "period_s": 1.25, "start_s": 1.0, "spread_s": 0.25, **more}
    return ScenarioFlow(
        name=name, source=UnicastAddress(source), members=tuple(UnicastAddress(m) for m in members), **told
    )


def background(rate_per_s: float, *sources: int, name: str = "others", ttl: int | None = None) -> ScenarioBackground:
    """Messages that nobody asks for."""
    return ScenarioBackground(
        name=name, sources=tuple(UnicastAddress(s) for s in sources), rate_per_s=rate_per_s, ttl=ttl
    )


def line(count: int, *flows: ScenarioFlow, profile: str = "zephyr", delivery: float = 1.0, **more: Any) -> Scenario:
    """Nodes 1 to ``count``, each heard by the next ones alone."""
    told = {key: more.pop(key) for key in ("transmissions", "relay", "ttl") if key in more}
    return Scenario(
        name=f"line-{count}",
        nodes=tuple(node(a, **told) for a in range(1, count + 1)),
        links=links(((a, a + 1) for a in range(1, count)), delivery),
        flows=flows or (flow(1, count),),
        profile=get_profile(profile),
        **more,
    )
