"""Observations and states for tests of `meshtwin.twins`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from meshtwin.contract.configuration import Reported
from meshtwin.contract.telemetry import GatewayState, NeighbourTelemetry
from meshtwin.twins.folding import fold
from meshtwin.twins.observations import Observation
from meshtwin.twins.state import EMPTY_STATE, TwinState

START_S = 1_700_000_000.0


def counter(neighbour: str, last: int, received: int, **changes: Any) -> dict[str, Any]:
    return {"neighbour": neighbour, "sinceCounter": 0, "lastCounter": last, "received": received, **changes}


def report(
    node: str, *counters: dict[str, Any], sequence: int = 0, at_s: float = 0.0, session: str = "s1"
) -> NeighbourTelemetry:
    return NeighbourTelemetry.model_validate(
        {
            "session": session,
            "sequence": sequence,
            "sentAt": datetime.fromtimestamp(START_S + at_s, UTC),
            "node": node,
            "neighbours": list(counters),
        }
    )


def gateway(sequence: int = 0, *, at_s: float = 0.0, session: str = "s1", online: bool = True) -> GatewayState:
    return GatewayState.model_validate(
        {
            "session": session,
            "sequence": sequence,
            "sentAt": datetime.fromtimestamp(START_S + at_s, UTC),
            "online": online,
            "gatewayAddress": "0001",
            "stackProfile": "zephyr",
        }
    )


def reported(*nodes: str, sequence: int = 0, at_s: float = 0.0, revision: int = 0, **said: Any) -> Reported:
    settings = {"relay": "Enabled", "defaultTtl": 7, "networkTransmit": {"count": 2, "intervalSteps": 1}, **said}
    return Reported.model_validate(
        {
            "session": "s1",
            "sequence": sequence,
            "sentAt": datetime.fromtimestamp(START_S + at_s, UTC),
            "phase": "idle",
            "epoch": 1,
            "revision": revision,
            "settings": [{"nodes": list(nodes), **settings}],
        }
    )


def fold_all(observations: Iterable[Observation], state: TwinState = EMPTY_STATE, at_s: float = 1e6) -> TwinState:
    for observation in observations:
        state = fold(state, observation, START_S + at_s)
    return state
