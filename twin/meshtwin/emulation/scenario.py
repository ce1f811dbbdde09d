"""The scenario of an emulated mesh: a YAML file, parsed once.

::

    seed: 7                       # everything hidden is drawn from it
    meshUuid: 6f66...             # one mesh, one NetKey, whatever the number of gateways
    radio: {...}                  # RadioModel: path loss, shadowing, sensitivity, capture
    stack: {...}                  # StackModel: timing and buffers of the nodes' stack
    clocks: {errorMs: 3, uncertaintyMs: 10}
    gateways:
      - {id: gw-north, node: "0029", reportGroup: "d001"}
    initial:                      # as in MeshConfiguration: ranges, later entries win
      - {nodes: ["0001-0034"], relay: Enabled, defaultTtl: 127, ...}
    nodes:                        # gateway: where the node reports to
      - {address: "0001", x: 2.45, y: 1.65, gateway: gw-north, groups: ["c001"]}
    flows:                        # the application's own traffic
      - {name: lights-north, source: "0001", destination: "c001", ratePerMinute: 6}
    interference:                 # periods in which a share of all receptions on a channel is destroyed
      - {channel: 38, lossRatio: 0.2, everySeconds: 60, lastsSeconds: 10}
    faults:                       # actions of the control connection at a mesh time
      - {atSeconds: 600, action: {op: nodeOff, node: "0007"}}

All times are mesh time: seconds since the start, wall time multiplied by the speed of the process.
"""

from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from meshtwin.contract.wire import AddressText, GroupText, SettingsEntry, UnicastText
from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.mesh.configuration import Configuration, expand_settings
from meshtwin.sim.scenario_yaml import parse_yaml

__all__ = [
    "ClockModel",
    "FlowModel",
    "GatewayModel",
    "InterferenceModel",
    "MeshScenario",
    "NodeModel",
    "RadioModel",
    "StackModel",
    "parse_scenario",
    "read_scenario",
]

FILE_MAX_BYTES: Final = 16 * 2**20  # a node takes about 100 bytes


class ScenarioModel(BaseModel):
    """camelCase in the file, unknown fields refused, values frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, allow_inf_nan=False
    )


class RadioModel(ScenarioModel):
    """Log-distance path loss with shadowing per pair, per direction and per channel; soft sensitivity.

    The defaults make an office with light walls: about 6 m per hop, as in the 52-node office.
    Assumed, not measured.
    """

    tx_power_dbm: float = 0.0
    reference_loss_db: float = 45.0  # at 1 m, antennas included
    exponent: float = Field(default=3.8, gt=1)
    shadowing_db: float = Field(default=4.0, ge=0)  # of a pair, both directions
    direction_db: float = Field(default=1.5, ge=0)  # of one direction
    channel_db: float = Field(default=2.0, ge=0)  # of one direction on one channel
    sensitivity_dbm: float = -75.0  # half received at this power; low-cost radio inside a luminaire
    softness_db: float = Field(default=1.2, gt=0)  # width of the logistic step around it: fading
    capture_db: float = 8.0  # this much above the sum of interferers survives a collision
    airtime_us: float = Field(default=376.0, gt=0)  # 47 bytes at 1 Mbit/s on one channel
    channel_gap_us: float = Field(default=400.0, ge=0)  # between the PDUs on two channels


class StackModel(ScenarioModel):
    """Timing and buffers of the nodes' stack; one advertiser sends queued messages one after the other."""

    scan_interval_ms: float = Field(default=30.0, gt=0)  # on one channel, then the next
    advertising_jitter_ms: float = Field(default=10.0, ge=0)  # added to each interval (advDelay)
    relay_delay_ms: tuple[float, float] = (0.5, 8.0)  # uniform, before a relayed message is queued
    local_delay_ms: tuple[float, float] = (0.5, 5.0)  # uniform, before an own message is queued
    queue_size: int = Field(default=12, ge=1)  # messages waiting for the advertiser; more are dropped
    # A small cache and long queues let an overloaded mesh relay the same message again and again (a storm
    # that outlives its cause); 256 forgets nothing that still waits in a queue.
    cache_size: int = Field(default=256, ge=1)
    notification_ttl: int = Field(default=0, ge=0, le=1)


class ClockModel(ScenarioModel):
    """Synchronised clocks of the nodes: the hidden error, and the uncertainty the Time model states."""

    error_ms: float = Field(default=3.0, ge=0)
    uncertainty_ms: float = Field(default=10.0, ge=0)  # Mesh Model 1.1, 5.1.1: steps of 10 ms


class GatewayModel(ScenarioModel):
    """Which node a gateway is attached to, and the group its nodes listen to for monitoring."""

    id: str = Field(min_length=1, max_length=63)
    node: UnicastText
    report_group: GroupText


class NodeModel(ScenarioModel):
    """One node; ``weak_db`` is lost in both directions, ``refuses`` keeps its configuration as it is.

    ``replay_list_size`` is the CRPL of its composition data, on a virtual air alone; None: room for everybody.
    """

    address: UnicastText
    x: float
    y: float
    z: float = 0.0
    gateway: str
    groups: list[AddressText] = []
    weak_db: float = Field(default=0.0, ge=0)
    refuses: bool = False
    replay_list_size: int | None = Field(default=None, ge=1, le=0xFFFF)


class FlowModel(ScenarioModel):
    """The application's own messages, at random times with the given mean rate."""

    name: str
    source: UnicastText
    destination: AddressText
    rate_per_minute: float = Field(ge=0, le=600)


class InterferenceModel(ScenarioModel):
    """Periods in which ``loss_ratio`` of all receptions on ``channel`` is destroyed."""

    channel: int = Field(ge=37, le=39)
    loss_ratio: float = Field(ge=0, le=1)
    every_seconds: float = Field(gt=0)
    lasts_seconds: float = Field(gt=0)


class FaultModel(ScenarioModel):
    """An action of the control connection, done at a mesh time."""

    at_seconds: float = Field(ge=0)
    action: dict[str, object]


class MeshScenario(ScenarioModel):
    """A whole scenario; refuses impossible worlds with the place of the mistake."""

    seed: int = 0
    mesh_uuid: str = Field(min_length=1, max_length=36)
    radio: RadioModel = RadioModel()
    stack: StackModel = StackModel()
    clocks: ClockModel = ClockModel()
    weak_nodes: int = Field(default=0, ge=0)  # this many nodes, drawn from the seed, lose ``weak_by_db``
    weak_by_db: float = Field(default=4.0, ge=0)
    gateways: Annotated[list[GatewayModel], Field(min_length=1, max_length=16)]
    nodes: Annotated[list[NodeModel], Field(min_length=2, max_length=255)]  # reports carry one address byte
    initial: list[SettingsEntry] = []
    flows: list[FlowModel] = []
    interference: list[InterferenceModel] = []
    faults: list[FaultModel] = []

    @model_validator(mode="after")
    def _check_world(self) -> Self:
        addresses = [node.address for node in self.nodes]
        if len({address[2:] for address in addresses}) < len(addresses):
            raise ValueError("nodes: the low bytes of addresses must differ")
        gateways = {gateway.id for gateway in self.gateways}
        for index, node in enumerate(self.nodes):
            if node.gateway not in gateways:
                raise ValueError(f"nodes[{index}].gateway: {node.gateway!r} is not one of {sorted(gateways)}")
        for name, address in [(f"gateways: {g.id}", g.node) for g in self.gateways] + [
            (f"flows: {f.name}", f.source) for f in self.flows
        ]:
            if address not in addresses:
                raise ValueError(f"{name}: node {address} is not in nodes")
        return self

    def initial_configuration(self) -> Configuration:
        """Settings of every node at the start; raises `InvalidInput` for ranges without nodes."""
        known = [UnicastAddress(int(node.address, 16)) for node in self.nodes]
        return expand_settings([entry.to_value() for entry in self.initial], known, "initial")


def parse_scenario(text: str, place: str = "scenario") -> MeshScenario:
    """The scenario in a YAML text; raises `InvalidInput` with the field's place."""
    try:
        scenario = MeshScenario.model_validate(parse_yaml(text, place).value)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{first['msg']} ({where})", place=place) from error
    scenario.initial_configuration()
    return scenario


def read_scenario(path: Path) -> MeshScenario:
    """The scenario in a file; raises `InvalidInput` if it cannot be read or parsed."""
    try:
        with path.open("rb") as file:  # no further than the limit: a device such as /dev/zero has no end
            content = file.read(FILE_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"scenario not readable: {error.strerror}", place=str(path)) from error
    if len(content) > FILE_MAX_BYTES:
        raise InvalidInput(f"more bytes than {FILE_MAX_BYTES}", reason="FileTooLarge", place=str(path))
    try:
        return parse_scenario(content.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise InvalidInput(f"scenario is no text in UTF-8: {error}", place=str(path)) from error
