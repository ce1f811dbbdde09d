"""From payloads to observations, or to a reason why not. The only place where twins read JSON.

A payload is refused, never raised: one bad message must not end the reading of the next.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from pydantic import ValidationError

from meshtwin.contract.configuration import Reported
from meshtwin.contract.telemetry import FlowTelemetry, GatewayState, NeighbourTelemetry, NodeTelemetry

__all__ = ["Observation", "Reason", "Refused", "decode"]

FUTURE_TOLERANCE: Final = timedelta(seconds=120)  # clocks of gateways without NTP wander by seconds a day
TELEMETRY_BYTES_MAX: Final = 128 * 1024  # 512 neighbours with RSSI take about 100 kB
CONFIGURATION_BYTES_MAX: Final = 1024 * 1024  # 2000 nodes with exceptions take about 600 kB

Observation = GatewayState | NeighbourTelemetry | FlowTelemetry | NodeTelemetry | Reported

MODELS: Final[dict[str, tuple[type[Observation], int]]] = {
    "state": (GatewayState, TELEMETRY_BYTES_MAX),
    "telemetry/neighbours": (NeighbourTelemetry, TELEMETRY_BYTES_MAX),
    "telemetry/flows": (FlowTelemetry, TELEMETRY_BYTES_MAX),
    "telemetry/nodes": (NodeTelemetry, TELEMETRY_BYTES_MAX),
    "configuration/reported": (Reported, CONFIGURATION_BYTES_MAX),
}


class Reason(StrEnum):
    """Why a message was not folded; few values, so that it can be a metric's label."""

    NOT_JSON = "NotJson"
    WRONG_SCHEMA = "WrongSchema"
    WRONG_CONTRACT = "WrongContract"
    FROM_FUTURE = "FromFuture"
    OTHER_SESSION = "OtherSession"
    OVERSIZED = "Oversized"
    UNKNOWN_NODE = "UnknownNode"
    UNKNOWN_TOPIC = "UnknownTopic"


@dataclass(frozen=True, slots=True)
class Refused:
    """A message that is not folded; ``detail`` names value, limit and place."""

    reason: Reason
    detail: str


def decode(leaf: str, payload: bytes, now: datetime) -> Observation | Refused:
    """The observation in the payload of a gateway's topic ``leaf``, or why there is none.

    ``now`` is the receiver's time: messages sent more than `FUTURE_TOLERANCE` after it are refused.
    """
    entry = MODELS.get(leaf)
    if entry is None:
        return Refused(Reason.UNKNOWN_TOPIC, f"no contract for topic {leaf!r}")
    model, limit = entry
    if len(payload) > limit:
        return Refused(Reason.OVERSIZED, f"{len(payload)} bytes are more than {limit} ({leaf})")
    try:
        observation = model.model_validate_json(payload)
    except ValidationError as error:
        return _explain(error, leaf)
    if observation.sent_at - now > FUTURE_TOLERANCE:
        ahead_s = (observation.sent_at - now).total_seconds()
        limit_s = FUTURE_TOLERANCE.total_seconds()
        detail = f"sent {ahead_s:.0f} s in the future, more than {limit_s:.0f} s ({leaf}.sentAt)"
        return Refused(Reason.FROM_FUTURE, detail)
    return observation


def _explain(error: ValidationError, leaf: str) -> Refused:
    faults = error.errors(include_url=False, include_context=False)
    for fault in faults:
        if fault["type"] == "json_invalid":
            return Refused(Reason.NOT_JSON, f"{fault['msg']} ({leaf})")
        if fault["loc"] == ("contract",):
            return Refused(Reason.WRONG_CONTRACT, f"contract {fault['input']!r} is not spoken ({leaf}.contract)")
    place = ".".join(str(part) for part in faults[0]["loc"])
    shown = repr(faults[0]["input"])[:80]
    return Refused(Reason.WRONG_SCHEMA, f"{faults[0]['msg']}, got {shown} ({leaf}.{place})")
