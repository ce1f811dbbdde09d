"""Reading composition data: what every node says it is, and can."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import NodeOutcome
from meshtwin.errors import InvalidInput
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.foundation import ask_composition, parse_composition
from meshtwin.gateway.jobs import Desk
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["SurveyJob"]

PAGE: Final = b"\x00"
FLOODS: Final = 6  # the question, an answer of three segments, and acknowledgements of them
# Questions per node, as many as any `Request`. The answer has three segments, which the node's own stack repeats until
# they are acknowledged; a node that stays silent is asked again when it is heard. Assumed.
TRIES: Final = 4


@dataclass(slots=True)
class SurveyJob:
    """Asks ``nodes`` for page 0; what they say goes into the desk's book.

    ``unanswered`` did not answer, ``unusable`` answered with something that is no composition data.
    """

    nodes: Sequence[UnicastAddress]
    unanswered: set[UnicastAddress] = field(default_factory=set)
    unusable: set[UnicastAddress] = field(default_factory=set)
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0
    _answers: int = 0

    def start(self, desk: Desk, now: datetime) -> None:
        """Ask everybody."""
        for node in self.nodes:
            desk.exchanges.add(
                Request(
                    node=node,
                    payload=ask_composition(),
                    answer=Opcode.COMPOSITION_STATUS,
                    answer_prefix=PAGE,
                    tries=TRIES,
                    floods=FLOODS,
                )
            )
        self.finished = not self.nodes

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer, or that a node is silent."""
        node = UnicastAddress(exchange.request.node)
        self._answers += 1
        self.progress = self._answers / len(self.nodes)
        if exchange.answer is None:
            self.unanswered.add(node)
        else:
            try:
                desk.book.compositions[node] = parse_composition(exchange.answer.parameters)
            except InvalidInput:
                self.unusable.add(node)
        self.finished = desk.exchanges.is_idle

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()
