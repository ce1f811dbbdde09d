"""Lines of the emulated mesh as values; what cannot be is refused, and nothing of it believed. Pure.

Protocol: see the documentation of the emulated mesh's server.
"""

import json
import math
from typing import Any, Final

from meshtwin.errors import InvalidInput, Unavailable
from meshtwin.gateway.mesh_link import Received, Sensed, Welcome
from meshtwin.mesh.addresses import is_group, is_unicast

__all__ = ["parse_event", "parse_welcome"]

SPEED_MOST: Final = 1000.0  # ten times what an emulation can be asked for; beyond it every time limit is below 1 ms
TTL_MOST: Final = 127  # 7 bits; Mesh Protocol 1.1, 3.4.4.4
NUMBER_MOST: Final = 1e15  # of seconds or milliseconds; integers of any length are JSON, too


def parse_welcome(line: bytes, place: str) -> Welcome:
    """What the mesh answers to a hello.

    Raises `Unavailable` if it closed without a word, `InvalidInput` if it refuses us, or says what cannot be.
    """
    if not line:
        raise Unavailable("mesh not connected: it closed the connection", place=place)
    said = _parse_object(line)
    if said.get("op") != "welcome":
        raise InvalidInput(f"mesh refused the gateway: {str(said.get('error', 'without a reason'))[:200]}", place=place)
    address, group = _integer(said, "address"), _integer(said, "reportGroup")
    if not is_unicast(address) or not is_group(group):
        message = f"welcome with address {address}, a unicast one, and report group {group}, a group, cannot be"
        raise InvalidInput(message, place=place)
    return Welcome(
        address=address,
        report_group=group,
        mesh_uuid=str(said.get("meshUuid", ""))[:36],
        speed=_number(said, "speed", above=0.0, most=SPEED_MOST),
        uncertainty_ms=_number(said, "uncertaintyMs"),
    )


def parse_event(line: bytes) -> Received | Sensed | None:
    """What a line tells; None: nothing that we know. Raises `InvalidInput` for a line that cannot be."""
    said = _parse_object(line)
    match said.get("op"):
        case "received":
            source = _integer(said, "source")
            try:
                payload = bytes.fromhex(said.get("payload", ""))
            except (TypeError, ValueError) as error:
                raise InvalidInput("payload is not hexadecimal", reason="BadLine", place="payload") from error
            ttl = _integer(said, "ttl")
            if not is_unicast(source) or not 0 <= ttl <= TTL_MOST:
                message = f"received from {source} with TTL {ttl}: not a unicast address, or beyond 0..{TTL_MOST}"
                raise InvalidInput(message, reason="BadLine")
            return Received(source, payload, ttl)
        case "sensed":
            return Sensed(_number(said, "busyS"), _number(said, "meshTimeS"))
        case _:
            return None


def _parse_object(line: bytes) -> dict[str, Any]:
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"line of {len(line)} bytes is not JSON", reason="BadLine") from error
    if not isinstance(said, dict):
        raise InvalidInput(f"line of {len(line)} bytes is not a JSON object", reason="BadLine")
    return said


def _integer(said: dict[str, Any], name: str) -> int:
    value = said.get(name)
    if not isinstance(value, int):
        raise InvalidInput(f"{name} {str(value)[:40]!r} is not an integer", reason="BadLine", place=name)
    return value


def _number(said: dict[str, Any], name: str, *, above: float | None = None, most: float = math.inf) -> float:
    """A finite number, not negative; ``above`` it, and ``most`` at most."""
    value = said.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInput(f"{name} {str(value)[:40]!r} is not a number", reason="BadLine", place=name)
    number = float(value) if abs(value) < NUMBER_MOST else math.nan
    if not (0.0 <= number <= most) or (above is not None and number <= above):
        raise InvalidInput(f"{name} {str(value)[:40]} is not a number that can be", reason="BadLine", place=name)
    return number
