"""The monitoring model's publication and subscriptions at a node's Configuration Server. No clock, no air."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from meshtwin.contract.access import Access, Opcode
from meshtwin.contract.model_messages import (
    MONITORING_MODEL,
    ModelAt,
    Publication,
    encode_publication_status,
    encode_subscription_list,
    encode_subscription_status,
    parse_publication,
)
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import is_group
from meshtwin.mesh.configuration import Transmit

__all__ = ["DEFAULT_TTL", "MODEL_OPCODES", "ModelServer"]

MODEL_OPCODES: Final = frozenset(
    {
        Opcode.MODEL_PUBLICATION_GET,
        Opcode.MODEL_PUBLICATION_SET,
        Opcode.MODEL_SUBSCRIPTION_ADD,
        Opcode.SIG_SUBSCRIPTION_GET,
        Opcode.VENDOR_SUBSCRIPTION_GET,
    }
)
# Status codes of Mesh Protocol 1.1, 4.3.5
INVALID_ADDRESS: Final = 0x01
INVALID_MODEL: Final = 0x02
CANNOT_SET: Final = 0x0F
NOTHING: Final = Publication(address=0, ttl=0, retransmit=Transmit(count=0, interval_steps=0))
TTL_MAX: Final = 127
DEFAULT_TTL: Final = 0xFF  # as TTL: the default of the node
PUBLICATION_BYTES: Final = 7  # address, key index, TTL, period, retransmit


@dataclass(slots=True)
class ModelServer:
    """States of one node; ``refuses``: it answers every Set with an error. ``on_subscribed`` gets a new group."""

    address: int
    publication: Publication
    groups: set[int] = field(default_factory=set)
    refuses: bool = False
    on_subscribed: Callable[[int], None] = lambda _group: None

    def answer(self, message: Access) -> bytes | None:
        """The Status; None for what a node ignores: messages of the wrong size, prohibited values."""
        p = message.parameters
        try:
            match message.opcode:
                case Opcode.MODEL_PUBLICATION_GET:
                    return self._publication_status(ModelAt.of(p[:2], p[2:]), None)
                case Opcode.MODEL_PUBLICATION_SET:
                    at = ModelAt.of(p[:2], p[2 + PUBLICATION_BYTES :])
                    return self._publication_status(at, parse_publication(p))
                case Opcode.MODEL_SUBSCRIPTION_ADD:
                    return self._subscribe(ModelAt.of(p[:2], p[4:]), int.from_bytes(p[2:4], "little"))
                case Opcode.SIG_SUBSCRIPTION_GET | Opcode.VENDOR_SUBSCRIPTION_GET:
                    at = ModelAt.of(p[:2], p[2:])
                    fault = self._fault(at)
                    return encode_subscription_list(at, () if fault else tuple(sorted(self.groups)), fault)
        except InvalidInput:
            return None
        return None

    def _publication_status(self, at: ModelAt, wanted: Publication | None) -> bytes | None:
        if wanted is not None and wanted.ttl > TTL_MAX and wanted.ttl != DEFAULT_TTL:
            return None
        fault = self._fault(at) or (CANNOT_SET if wanted is not None and self.refuses else 0)
        if not fault and wanted is not None:
            self.publication = wanted
        return encode_publication_status(at, NOTHING if fault else self.publication, fault)

    def _subscribe(self, at: ModelAt, group: int) -> bytes:
        fault = self._fault(at) or (0 if is_group(group) else INVALID_ADDRESS) or (CANNOT_SET if self.refuses else 0)
        if not fault and group not in self.groups:
            self.groups.add(group)
            self.on_subscribed(group)
        return encode_subscription_status(at, group, fault)

    def _fault(self, at: ModelAt) -> int:
        if at.element != self.address:
            return INVALID_ADDRESS
        return 0 if at.model == MONITORING_MODEL else INVALID_MODEL
