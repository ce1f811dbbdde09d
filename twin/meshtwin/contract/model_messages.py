"""Publication and subscriptions of one model: the messages of the standard, byte for byte. Pure.

Every conforming node answers these through its Configuration Server (Mesh Protocol 1.1, 4.3.2.15 to 4.3.2.30). Both
sides use this module: gateways ask, an emulated node's firmware answers. Virtual addresses (label UUIDs) have messages
of their own, which are left out: nothing here publishes or listens to one.
"""

import struct
from dataclasses import dataclass
from typing import Final, Self

from meshtwin.contract.access import Opcode
from meshtwin.errors import InvalidInput
from meshtwin.mesh.configuration import Transmit

__all__ = [
    "MONITORING_MODEL",
    "STATUS_NAMES",
    "ModelAt",
    "Publication",
    "ask_publication",
    "ask_subscriptions",
    "encode_publication_status",
    "encode_subscription_list",
    "encode_subscription_status",
    "parse_publication",
    "parse_subscriptions",
    "set_publication",
    "subscribe",
]

# Vendor model of the monitoring messages: company and model. The company is the Linux Foundation's, as in BlueZ's
# samples; not FFFF, by which BlueZ marks models of the standard.
MONITORING_MODEL: Final = (0x05F1, 0x0001)
# Status codes of Foundation Models: Mesh Protocol 1.1, 4.3.5, table 4.308.
STATUS_NAMES: Final = {
    0x01: "InvalidAddress",
    0x02: "InvalidModel",
    0x03: "InvalidAppKeyIndex",
    0x04: "InvalidNetKeyIndex",
    0x05: "InsufficientResources",
    0x06: "KeyIndexAlreadyStored",
    0x07: "InvalidPublishParameters",
    0x08: "NotASubscribeModel",
    0x09: "StorageFailure",
    0x0A: "FeatureNotSupported",
    0x0B: "CannotUpdate",
    0x0C: "CannotRemove",
    0x0D: "CannotBind",
    0x0E: "TemporarilyUnableToChangeState",
    0x0F: "CannotSet",
    0x10: "UnspecifiedError",
    0x11: "InvalidBinding",
}
KEY_INDEX_BITS: Final = 0x0FFF  # 12 bits; above them the credential flag
PUBLICATION: Final = "<HHBBB"  # address, key index, TTL, period, retransmit; Mesh Protocol 1.1, 4.3.2.15


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A model's publication; ``period_code`` as on the air, 0: not by period. ``address`` 0: none.

    ``retransmit.interval_steps`` counts steps of 50 ms here (Mesh Protocol 1.1, 4.2.3.7). Raises `InvalidInput` for
    what does not fit its field; ``ttl`` 255 is the node's default.
    """

    address: int
    ttl: int
    key_index: int = 0
    period_code: int = 0
    retransmit: Transmit

    def __post_init__(self) -> None:
        limits = {"address": 0xFFFF, "ttl": 0xFF, "key_index": KEY_INDEX_BITS, "period_code": 0xFF}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise InvalidInput(f"{name} {getattr(self, name)} of a publication is outside 0..{most}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelAt:
    """A model at the element with an address: a number for one of the standard, company and model for a vendor's."""

    element: int
    model: int | tuple[int, int]

    @property
    def model_bytes(self) -> bytes:
        """The model as on the air."""
        return struct.pack("<H", self.model) if isinstance(self.model, int) else struct.pack("<HH", *self.model)

    @classmethod
    def of(cls, element: bytes, model: bytes) -> Self:
        """The model that two parts of a message name; raises `InvalidInput` for parts of other sizes."""
        if len(element) != 2 or len(model) not in (2, 4):
            raise InvalidInput(f"model identifier of {len(model)} bytes instead of 2 or 4", reason="WrongSize")
        words = struct.unpack("<" + "H" * (len(model) // 2), model)
        return cls(element=int.from_bytes(element, "little"), model=words[0] if len(words) == 1 else words)

    def check(self, element: bytes, model: bytes) -> None:
        """Raise `InvalidInput` (``OtherModel``) if a message names another model or element."""
        if (element, model) != (struct.pack("<H", self.element), self.model_bytes):
            raise InvalidInput("the node answers for another model or element", reason="OtherModel")


def _encode(opcode: Opcode, *parts: bytes) -> bytes:
    """An access message, segmented where it is too long for one PDU."""
    return opcode.to_bytes(2 if opcode > 0xFF else 1, "big") + b"".join(parts)


def _element(at: ModelAt) -> bytes:
    return struct.pack("<H", at.element)


# Publication


def ask_publication(at: ModelAt) -> bytes:
    """Config Model Publication Get."""
    return _encode(Opcode.MODEL_PUBLICATION_GET, _element(at), at.model_bytes)


def set_publication(at: ModelAt, publication: Publication) -> bytes:
    """Config Model Publication Set: where, how far, how often; two segments for a vendor model."""
    return _encode(Opcode.MODEL_PUBLICATION_SET, _element(at), _pack(publication), at.model_bytes)


def encode_publication_status(at: ModelAt, publication: Publication, code: int = 0) -> bytes:
    """Config Model Publication Status, a node's answer to both."""
    status = bytes((code,))
    return _encode(Opcode.MODEL_PUBLICATION_STATUS, status, _element(at), _pack(publication), at.model_bytes)


def parse_publication(parameters: bytes, at: ModelAt | None = None) -> Publication:
    """The publication in a Set, or in a Status whose code was taken away.

    Raises `InvalidInput` if it is too short, or names another model than ``at`` (None: not looked at).
    """
    try:
        address, key_index, ttl, period, retransmit = struct.unpack_from(PUBLICATION, parameters, 2)
    except struct.error as error:
        raise InvalidInput(f"publication status of {len(parameters)} bytes", reason="WrongSize") from error
    if at is not None:
        at.check(parameters[:2], parameters[2 + struct.calcsize(PUBLICATION) :])
    return Publication(
        address=address,
        ttl=ttl,
        key_index=key_index & KEY_INDEX_BITS,
        period_code=period,
        retransmit=Transmit(count=retransmit & 7, interval_steps=retransmit >> 3),
    )


def _pack(p: Publication) -> bytes:
    retransmit = p.retransmit.count | p.retransmit.interval_steps << 3
    return struct.pack(PUBLICATION, p.address, p.key_index, p.ttl, p.period_code, retransmit)


# Subscriptions


def ask_subscriptions(at: ModelAt) -> bytes:
    """Config SIG or Vendor Model Subscription Get."""
    is_standard = isinstance(at.model, int)
    opcode = Opcode.SIG_SUBSCRIPTION_GET if is_standard else Opcode.VENDOR_SUBSCRIPTION_GET
    return _encode(opcode, _element(at), at.model_bytes)


def encode_subscription_list(at: ModelAt, groups: tuple[int, ...], code: int = 0) -> bytes:
    """Config SIG or Vendor Model Subscription List, a node's answer; segmented from two groups of a vendor model on."""
    is_standard = isinstance(at.model, int)
    opcode = Opcode.SIG_SUBSCRIPTION_LIST if is_standard else Opcode.VENDOR_SUBSCRIPTION_LIST
    return _encode(opcode, bytes((code,)), _element(at), at.model_bytes, struct.pack(f"<{len(groups)}H", *groups))


def parse_subscriptions(parameters: bytes, at: ModelAt) -> tuple[int, ...]:
    """Addresses in a List whose status code was taken away, ascending.

    Raises `InvalidInput` if it is cut off, or names another model than ``at``.
    """
    head = 2 + len(at.model_bytes)
    if len(parameters) < head or len(parameters) % 2:
        raise InvalidInput(f"subscription list of {len(parameters)} bytes", reason="WrongSize")
    at.check(parameters[:2], parameters[2:head])
    return tuple(sorted(struct.unpack(f"<{(len(parameters) - head) // 2}H", parameters[head:])))


def subscribe(at: ModelAt, group: int) -> bytes:
    """Config Model Subscription Add: let the model listen to a group."""
    return _encode(Opcode.MODEL_SUBSCRIPTION_ADD, _element(at), struct.pack("<H", group), at.model_bytes)


def encode_subscription_status(at: ModelAt, group: int, code: int = 0) -> bytes:
    """Config Model Subscription Status, a node's answer to an Add."""
    return _encode(
        Opcode.MODEL_SUBSCRIPTION_STATUS, bytes((code,)), _element(at), struct.pack("<H", group), at.model_bytes
    )
