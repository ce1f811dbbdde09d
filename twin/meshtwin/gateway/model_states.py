"""The monitoring model of nodes: where it publishes and to whom it listens, read, put right, and read back."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from meshtwin.contract.access import Opcode
from meshtwin.contract.configuration import NodeOutcome
from meshtwin.contract.model_messages import (
    MONITORING_MODEL,
    STATUS_NAMES,
    ModelAt,
    Publication,
    ask_publication,
    ask_subscriptions,
    parse_publication,
    parse_subscriptions,
    set_publication,
    subscribe,
)
from meshtwin.errors import InvalidInput
from meshtwin.gateway.exchanges import Completed, Request
from meshtwin.gateway.jobs import Desk
from meshtwin.mesh.addresses import UnicastAddress

__all__ = ["ModelJob", "ModelState"]

SUCCESS: Final = 0
# Questions per part, as many as any `Request`: a node that stays silent is asked again when it is heard. Assumed.
TRIES: Final = 4
# A Publication Set or Status of a vendor model has two segments, which are acknowledged together (Mesh Protocol 1.1,
# 3.5.2.2: 12 bytes per segment); the rest is unsegmented but for a list of several groups, which is not counted.
FLOODS_OF_LONG: Final = 3
SHORT: Final = 1
KEEPS_PUBLICATION: Final = "Model Publication Set is acknowledged, and another publication is kept"
KEEPS_GROUPS: Final = "Model Subscription Add is acknowledged, and the report group is not among the subscriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelState:
    """What a node said of its monitoring model last; None: it refused to. ``wrong``: why it is not as it must be."""

    publication: Publication | None = None
    groups: tuple[int, ...] | None = None
    wrong: str | None = None


@dataclass(slots=True)
class ModelJob:
    """Reads the model at the primary element of ``nodes``, and writes what is not ``wanted`` or lacks ``group``.

    ``states`` has those that answered everything, ``unanswered`` did not.
    """

    nodes: Sequence[UnicastAddress]
    wanted: Publication
    group: int
    states: dict[UnicastAddress, ModelState] = field(default_factory=dict)
    unanswered: set[UnicastAddress] = field(default_factory=set)
    finished: bool = False
    wake_at: datetime | None = None
    progress: float = 0.0
    _written: set[tuple[UnicastAddress, str]] = field(default_factory=set)

    def start(self, desk: Desk, now: datetime) -> None:
        """Ask everybody for both."""
        for node in self.nodes:
            self.states[node] = ModelState()
            self._read_publication(desk, node)
            self._read_groups(desk, node)
        self.finished = not self.nodes

    def completed(self, desk: Desk, exchange: Completed, now: datetime) -> None:
        """Note an answer and ask on, or note that the node is silent."""
        node, name = UnicastAddress(exchange.request.node), str(exchange.request.tag)
        if exchange.answer is None:
            self.unanswered.add(node)
            self.states.pop(node, None)
            desk.exchanges.drop_node(node)
        elif node in self.states:
            try:
                _check_status(name, exchange.answer.parameters)
                self._go_on(desk, node, name, exchange.answer.parameters[1:])
            except InvalidInput as error:
                self._note(node, error.message)
        self.finished = desk.exchanges.is_idle

    @property
    def changed(self) -> list[UnicastAddress]:
        """Nodes to which something was written, but for those that refused it or kept something else; ascending."""
        wrong = {node for node, state in self.states.items() if state.wrong is not None}
        return sorted({node for node, _ in self._written} - wrong)

    def on_time(self, desk: Desk, now: datetime) -> None:
        """Nothing to do by time."""

    def interim(self) -> Sequence[NodeOutcome]:
        """Nothing before the end."""
        return ()

    def _go_on(self, desk: Desk, node: UnicastAddress, name: str, parameters: bytes) -> None:
        match name:
            case "Model Publication Get":
                self._take_publication(desk, node, parse_publication(parameters, _at(node)))
            case "Model Subscription Get":
                self._take_groups(desk, node, parse_subscriptions(parameters, _at(node)))
            case "Model Publication Set":
                self._read_publication(desk, node)
            case _:
                self._read_groups(desk, node)

    # Publication

    def _read_publication(self, desk: Desk, node: UnicastAddress) -> None:
        status, floods = Opcode.MODEL_PUBLICATION_STATUS, SHORT + FLOODS_OF_LONG
        self._ask(
            desk,
            "Model Publication Get",
            Request(node=node, payload=ask_publication(_at(node)), answer=status, floods=floods),
        )

    def _take_publication(self, desk: Desk, node: UnicastAddress, publication: Publication) -> None:
        self.states[node] = replace(self.states[node], publication=publication)
        if publication == self.wanted:
            return
        if (node, "publication") in self._written:
            self._note(node, KEEPS_PUBLICATION)
            return
        self._written.add((node, "publication"))
        payload, floods = set_publication(_at(node), self.wanted), 2 * FLOODS_OF_LONG
        status = Opcode.MODEL_PUBLICATION_STATUS
        self._ask(desk, "Model Publication Set", Request(node=node, payload=payload, answer=status, floods=floods))

    # Subscriptions

    def _read_groups(self, desk: Desk, node: UnicastAddress) -> None:
        payload, status = ask_subscriptions(_at(node)), Opcode.VENDOR_SUBSCRIPTION_LIST
        self._ask(desk, "Model Subscription Get", Request(node=node, payload=payload, answer=status))

    def _take_groups(self, desk: Desk, node: UnicastAddress, groups: tuple[int, ...]) -> None:
        self.states[node] = replace(self.states[node], groups=groups)
        if self.group in groups:
            return
        if (node, "group") in self._written:
            self._note(node, KEEPS_GROUPS)
            return
        self._written.add((node, "group"))
        payload, status = subscribe(_at(node), self.group), Opcode.MODEL_SUBSCRIPTION_STATUS
        self._ask(desk, "Model Subscription Add", Request(node=node, payload=payload, answer=status))

    # Both

    def _note(self, node: UnicastAddress, wrong: str) -> None:
        before = self.states[node].wrong
        self.states[node] = replace(self.states[node], wrong=wrong if before is None else f"{before}; {wrong}")

    def _ask(self, desk: Desk, name: str, request: Request) -> None:
        desk.exchanges.add(replace(request, tries=TRIES, tag=name))


def _at(node: UnicastAddress) -> ModelAt:
    return ModelAt(element=node, model=MONITORING_MODEL)


def _check_status(name: str, parameters: bytes) -> None:
    """Raise `InvalidInput` with the name of an error status."""
    if not parameters:
        raise InvalidInput(f"{name} is answered without a status", reason="WrongSize")
    if parameters[0] != SUCCESS:
        reason = STATUS_NAMES.get(parameters[0], f"status {parameters[0]:#04x}")
        raise InvalidInput(f"{name} is refused: {reason}", reason="Refused")
