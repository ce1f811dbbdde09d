"""Configuration messages beyond those of `meshtwin.contract.access`, byte for byte (Mesh Protocol 1.1, 4.3.2).

A `Question` says what is sent and how its Status begins; the ``parse_`` functions read the parameters of one.
"""

import struct
from dataclasses import dataclass

from meshtwin.contract import model_messages
from meshtwin.contract.model_messages import STATUS_NAMES, ModelAt, Publication, parse_publication
from meshtwin.errors import InvalidInput
from meshtwin.gateway import foundation
from meshtwin.gateway.foundation import HeartbeatHeard, NodeComposition, parse_composition, parse_heartbeats_heard
from meshtwin.mesh.configuration import NodeSettings, Transmit

__all__ = [
    "HeartbeatHeard",
    "NodeComposition",
    "Publication",
    "Question",
    "ask_composition",
    "ask_heartbeats_heard",
    "bind_app_key",
    "parse_composition",
    "parse_heartbeats_heard",
    "parse_publication",
    "publish_heartbeat",
    "read_publication",
    "read_settings",
    "set_beacon",
    "set_publication",
    "set_settings",
    "subscribe_group",
    "subscribe_heartbeats",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One configuration message and its Status: opcodes as on the air; ``has_status``: a status code comes first."""

    name: str
    opcode: bytes
    parameters: bytes = b""
    answer: bytes
    has_status: bool = False

    @property
    def payload(self) -> bytes:
        """The access message."""
        return self.opcode + self.parameters

    def check(self, parameters: bytes, place: str) -> bytes:
        """``parameters`` of the Status without its code; raises `InvalidInput` named after an error status."""
        if not self.has_status:
            return parameters
        if not parameters:
            raise InvalidInput(f"{self.name}: answer without a status", reason="WrongSize", place=place)
        if parameters[0] != 0:
            reason = STATUS_NAMES.get(parameters[0], "UnknownStatus")
            message = f"{self.name}: the node answers with status {parameters[0]:#04x} {reason}"
            raise InvalidInput(message, reason=reason, place=place)
        return parameters[1:]


def read_settings() -> tuple[Question, ...]:
    """Relay and its retransmit, network transmit, default TTL."""
    return (
        Question(name="Relay Get", opcode=b"\x80\x26", answer=b"\x80\x28"),
        Question(name="Network Transmit Get", opcode=b"\x80\x23", answer=b"\x80\x25"),
        Question(name="Default TTL Get", opcode=b"\x80\x0c", answer=b"\x80\x0e"),
    )


def set_settings(settings: NodeSettings) -> tuple[Question, ...]:
    """The Sets for what ``settings`` says; relay and its retransmit are one state, and both must be said."""
    out = []
    if settings.relay is not None and settings.relay_retransmit is not None:
        parameters = bytes((int(settings.relay), _pack(settings.relay_retransmit)))
        out.append(Question(name="Relay Set", opcode=b"\x80\x27", parameters=parameters, answer=b"\x80\x28"))
    if settings.network_transmit is not None:
        parameters = bytes((_pack(settings.network_transmit),))
        out.append(Question(name="Network Transmit Set", opcode=b"\x80\x24", parameters=parameters, answer=b"\x80\x25"))
    if settings.default_ttl is not None:
        parameters = bytes((settings.default_ttl,))
        out.append(Question(name="Default TTL Set", opcode=b"\x80\x0d", parameters=parameters, answer=b"\x80\x0e"))
    return tuple(out)


def set_beacon(*, is_on: bool) -> Question:
    """Secure network beacons on or off."""
    return Question(name="Beacon Set", opcode=b"\x80\x0a", parameters=bytes((is_on,)), answer=b"\x80\x0b")


# Keys; subscriptions and publications, whose fields are those of `meshtwin.contract.model_messages`


def bind_app_key(element: int, key_index: int, model: tuple[int, int]) -> Question:
    """Let a vendor model (company, model) use an application key."""
    parameters = struct.pack("<HHHH", element, key_index, *model)
    return Question(
        name="Model App Bind", opcode=b"\x80\x3d", parameters=parameters, answer=b"\x80\x3e", has_status=True
    )


def subscribe_group(element: int, group: int, model: tuple[int, int]) -> Question:
    """Let a vendor model (company, model) listen to a group."""
    payload = model_messages.subscribe(ModelAt(element=element, model=model), group)
    return _to_question("Model Subscription Add", payload, b"\x80\x1f", has_status=True)


def set_publication(element: int, publication: Publication, model: tuple[int, int]) -> Question:
    """Say where, how far and how often a vendor model publishes."""
    payload = model_messages.set_publication(ModelAt(element=element, model=model), publication)
    return _to_question("Model Publication Set", payload, b"\x80\x19", has_status=True)


def read_publication(element: int, model: tuple[int, int]) -> Question:
    """Ask for a vendor model's publication."""
    payload = model_messages.ask_publication(ModelAt(element=element, model=model))
    return _to_question("Model Publication Get", payload, b"\x80\x19", has_status=True)


# Heartbeats and composition data: their fields are those of `meshtwin.gateway.foundation`


def publish_heartbeat(
    *, destination: int, ttl: int, period_log: int = 0, count_log: int = 0, features: int = 0
) -> Question:
    """Heartbeat Publication Set, as `meshtwin.gateway.foundation.publish_heartbeat`."""
    payload = foundation.publish_heartbeat(
        destination=destination, ttl=ttl, period_log=period_log, count_log=count_log, features=features
    )
    return _to_question("Heartbeat Publication Set", payload, b"\x06", has_status=True)


def subscribe_heartbeats(*, source: int, destination: int, period_log: int) -> Question:
    """Heartbeat Subscription Set, as `meshtwin.gateway.foundation.subscribe_heartbeats`."""
    payload = foundation.subscribe_heartbeats(source=source, destination=destination, period_log=period_log)
    return _to_question("Heartbeat Subscription Set", payload, b"\x80\x3c", has_status=True)


def ask_heartbeats_heard() -> Question:
    """Ask how many heartbeats were counted."""
    return _to_question("Heartbeat Subscription Get", foundation.ask_heartbeats_heard(), b"\x80\x3c", has_status=True)


def ask_composition() -> Question:
    """Ask for page 0; the answer is segmented."""
    return _to_question("Composition Data Get", foundation.ask_composition(), b"\x02")


def _to_question(name: str, payload: bytes, answer: bytes, *, has_status: bool = False) -> Question:
    size = 1 if payload[0] < 0x80 else 2  # of the opcode; Mesh Protocol 1.1, 3.7.3.1
    return Question(name=name, opcode=payload[:size], parameters=payload[size:], answer=answer, has_status=has_status)


def _pack(value: Transmit) -> int:
    return value.count | value.interval_steps << 3
