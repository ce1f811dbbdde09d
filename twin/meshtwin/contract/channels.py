"""Which payload travels on which topic, from whom to whom, kept or not: the table of the MQTT contract."""

from dataclasses import dataclass
from typing import Final, Literal

from meshtwin.contract.configuration import Command, CommandResult, Reported
from meshtwin.contract.summaries import TwinSummary
from meshtwin.contract.telemetry import FlowTelemetry, GatewayState, NeighbourTelemetry, NodeTelemetry
from meshtwin.contract.topics import GATEWAYS, TWINS
from meshtwin.contract.wire import WireModel

__all__ = ["CHANNELS", "Application", "Channel"]

Application = Literal["gateway", "twin"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One topic under the root of its application, seen from there; all of it is QoS 1."""

    application: Application
    leaf: str
    payload: type[WireModel]
    is_sent: bool  # by the application; otherwise received
    is_retained: bool = False
    peers: str  # at the other end

    @property
    def address(self) -> str:
        """The topic with its parameters in braces."""
        if self.application == "gateway":
            return f"{GATEWAYS}/{{gatewayId}}/{self.leaf}"
        return f"{TWINS}/{{namespace}}.{{name}}/{self.leaf}"

    @property
    def schema_file(self) -> str:
        """File name of the JSON schema of the payload, for example ``gateway.telemetry.nodes.json``."""
        return f"{self.application}.{self.leaf.replace('/', '.')}.json"


CHANNELS: Final[tuple[Channel, ...]] = (
    Channel(
        application="gateway",
        leaf="state",
        payload=GatewayState,
        is_sent=True,
        is_retained=True,
        peers="operator and twins; also the last will",
    ),
    Channel(
        application="gateway",
        leaf="telemetry/neighbours",
        payload=NeighbourTelemetry,
        is_sent=True,
        peers="twins",
    ),
    Channel(application="gateway", leaf="telemetry/flows", payload=FlowTelemetry, is_sent=True, peers="twins"),
    Channel(application="gateway", leaf="telemetry/nodes", payload=NodeTelemetry, is_sent=True, peers="twins"),
    Channel(
        application="gateway",
        leaf="configuration/command",
        payload=Command,
        is_sent=False,
        peers="the operator alone",
    ),
    Channel(
        application="gateway",
        leaf="configuration/result",
        payload=CommandResult,
        is_sent=True,
        peers="operator",
    ),
    Channel(
        application="gateway",
        leaf="configuration/reported",
        payload=Reported,
        is_sent=True,
        is_retained=True,
        peers="operator and twins",
    ),
    Channel(
        application="twin",
        leaf="summary",
        payload=TwinSummary,
        is_sent=True,
        is_retained=True,
        peers="parent twin and operator; also the last will",
    ),
)
