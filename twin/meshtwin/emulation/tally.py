"""The true fate of messages to groups: who got them, when. For tests; gateways never see it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from meshtwin.contract.access import Opcode, decode_access
from meshtwin.emulation.medium import Pdu
from meshtwin.mesh.addresses import format_address

__all__ = ["Tally"]

KEPT: Final = 2000  # messages; about ten minutes of a busy scenario
SETTLED_S: Final = 5.0  # a message younger than this may still be under way
COUNTED: Final = (Opcode.PRESS, Opcode.SWITCH)


@dataclass(slots=True, eq=False)
class Fate:
    """One message to a group: sending time, expected members, latency of those who got it."""

    destination: int
    sent_s: float
    members: frozenset[int]
    latency_s: dict[int, float] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Tally:
    """The newest `KEPT` messages to groups."""

    fates: deque[Fate] = field(default_factory=lambda: deque(maxlen=KEPT))
    _by_pdu: dict[int, Fate] = field(default_factory=dict)

    def sent(self, pdu: Pdu, members: frozenset[int]) -> None:
        """Note a message of the application or of a probe."""
        message = decode_access(pdu.payload)
        if message is None or message.opcode not in COUNTED:
            return
        fate = Fate(pdu.destination, pdu.sent_s, members)
        self.fates.append(fate)
        self._by_pdu[id(pdu)] = fate
        if len(self._by_pdu) > 64:  # messages live for seconds, the oldest are settled
            del self._by_pdu[next(iter(self._by_pdu))]

    def delivered(self, pdu: Pdu, index: int, now_s: float) -> None:
        """Note one receipt; the first counts."""
        fate = self._by_pdu.get(id(pdu))
        if fate is not None and fate.sent_s == pdu.sent_s and index in fate.members:
            fate.latency_s.setdefault(index, now_s - pdu.sent_s)

    def clear(self) -> None:
        """Forget what was, to measure from now on."""
        self.fates.clear()

    def summary(self, now_s: float, deadline_s: float = 0.150) -> dict[str, Any]:
        """Per group: messages, on time for every member, delivered pairs, spread quantiles in ms."""
        out: dict[str, Any] = {}
        settled = [fate for fate in self.fates if now_s - fate.sent_s > SETTLED_S]
        for destination in sorted({fate.destination for fate in settled}):
            fates = [fate for fate in settled if fate.destination == destination]
            complete = [f for f in fates if f.members <= f.latency_s.keys()]
            spreads = sorted(
                (max(f.latency_s.values()) - min(f.latency_s.values())) * 1e3 for f in complete if f.latency_s
            )
            out[format_address(destination)] = {
                "messages": len(fates),
                "onTime": sum(max(f.latency_s.values(), default=9) <= deadline_s for f in complete),
                "pairs": sum(len(f.members) for f in fates),
                "delivered": sum(len(f.latency_s.keys() & f.members) for f in fates),
                "spreadP50Ms": spreads[len(spreads) // 2] if spreads else None,
                "spreadP95Ms": spreads[int(len(spreads) * 0.95)] if spreads else None,
            }
        return out
