"""What really happens to messages: presses in the network, counted at the receivers themselves."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from meshtwin.contract.access import Opcode, encode_access
from meshtwin.emulation.medium import Pdu
from meshtwin.emulation.tally import Tally
from meshtwin.emulation.world import Listener, World
from meshtwin.mesh.addresses import is_unicast
from meshtwin.mesh.nodes import Flow

__all__ = ["FlowTruth", "Press", "press_flows"]

SETTLING_S: Final = 5.0  # after the last press: slower messages count as lost


@dataclass(slots=True)
class Press:
    """One message of a flow: latency in seconds by node index, of the members who got it."""

    members: frozenset[int]
    latency_s: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowTruth:
    """What was counted of one flow; lost counts as late."""

    flow: Flow
    presses: tuple[Press, ...]

    @property
    def delivery_ratio(self) -> float:
        """Share of (message, member) pairs that arrived."""
        pairs = sum(len(press.members) for press in self.presses)
        return sum(len(press.latency_s) for press in self.presses) / pairs if pairs else 1.0

    @property
    def on_time_ratio(self) -> float:
        """Share of messages that reached every member within the flow's deadline."""
        limit_s = self.flow.deadline_ms / 1e3
        hits = [len(p.latency_s) == len(p.members) and _slowest(p) <= limit_s for p in self.presses]
        return sum(hits) / len(hits)

    def latency_quantile_ms(self, share: float) -> float | None:
        """Latency that ``share`` of what arrived did not exceed (nearest rank), in ms; None if nothing did."""
        ranked = sorted(latency_s for press in self.presses for latency_s in press.latency_s.values())
        return 1e3 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else None

    @property
    def mean_latency_ms(self) -> float | None:
        """Mean latency of what arrived, in ms."""
        arrived = [latency_s for press in self.presses for latency_s in press.latency_s.values()]
        return 1e3 * sum(arrived) / len(arrived) if arrived else None

    def member_delivery(self) -> dict[int, float]:
        """Share of messages that arrived, by node index."""
        members = self.presses[0].members
        return {m: sum(m in press.latency_s for press in self.presses) / len(self.presses) for m in sorted(members)}


class _Watch(Tally):
    """Notes arrivals by the payload of a message, which names its press."""

    def __init__(self) -> None:
        super().__init__()
        self.sent_s: dict[bytes, float] = {}
        self.presses: dict[bytes, Press] = {}

    def begin(self, payload: bytes, members: frozenset[int], now_s: float) -> Press:
        self.sent_s[payload] = now_s
        self.presses[payload] = Press(members)
        return self.presses[payload]

    def note(self, payload: bytes, index: int, now_s: float) -> None:
        press = self.presses.get(payload)
        if press is not None and index in press.members:
            press.latency_s.setdefault(index, now_s - self.sent_s[payload])

    def sent(self, pdu: Pdu, members: frozenset[int]) -> None:
        """Nothing: a press is noted where it is made."""

    def delivered(self, pdu: Pdu, index: int, now_s: float) -> None:
        """A message to a group came to one of its members."""
        self.note(pdu.payload, index, now_s)


def press_flows(
    world: World, flows: Sequence[Flow], members: Sequence[frozenset[int]], *, presses: int, spacing_s: float, seed: int
) -> tuple[FlowTruth, ...]:
    """Run ``world`` on, pressing every flow ``presses`` times in turn, 0.5 to 1.5 times ``spacing_s`` apart.

    ``members``: node indices that each flow is for, its source left out.
    """
    watch = _Watch()
    world.tally = watch
    for flow, indices in zip(flows, members, strict=True):
        if is_unicast(flow.destination):
            for index in indices:
                world.listeners[index] = _listener(world, watch, index, world.listeners.get(index))
    rng = random.Random(f"{seed}/presses")
    done: list[list[Press]] = [[] for _ in flows]

    def press() -> Any:
        for turn in range(presses):
            for number, flow in enumerate(flows):
                yield world.env.timeout(spacing_s * rng.uniform(0.5, 1.5))
                payload = encode_access(Opcode.SWITCH, bytes((number,)) + turn.to_bytes(2, "little"))
                done[number].append(watch.begin(payload, members[number], world.env.now))
                world.send(world.index(flow.source), flow.destination, payload)

    world.env.run(until=world.env.process(press()))
    world.env.run(until=world.env.now + SETTLING_S)
    return tuple(FlowTruth(flow=flow, presses=tuple(fates)) for flow, fates in zip(flows, done, strict=True))


def _listener(world: World, watch: _Watch, index: int, before: Listener | None) -> Listener:
    def heard(source: int, destination: int, payload: bytes, ttl: int, power_dbm: float) -> None:
        watch.note(payload, index, world.env.now)
        if before is not None:
            before(source, destination, payload, ttl, power_dbm)

    return heard


def _slowest(press: Press) -> float:
    return max(press.latency_s.values(), default=0.0)
