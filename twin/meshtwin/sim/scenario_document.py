"""The shape of scenario files. Format version ``meshtwin.dev/scenario/v1``.

Keys are camelCase with units, as in the resources. Addresses are four hexadecimal digits in quotes. A file gives
nodes with positions and a radio model, or an attenuation matrix (row = transmitter, dB, null = no link), or both
(the matrix where it has a number, else the model), or explicit links. Every key has a description, from which
`meshtwin.sim.scenario_keys` makes the table for people.
"""

from typing import Literal, Self

from pydantic import Field, StrictBool, model_validator

from meshtwin.sim.profiles import PROFILES
from meshtwin.sim.scenario_nodes_document import LowPowerDocument, NodeDocument, SettingsDocument, TransmitDocument
from meshtwin.sim.scenario_radio_document import LinkDocument, RadioDocument
from meshtwin.sim.scenario_traffic_document import BackgroundDocument, FlowDocument
from meshtwin.sim.scenario_values import (
    MINUTES_OF_DAY,
    Address,
    Addresses,
    Document,
    LossRow,
    Name,
    Number,
    PositionM,
    Seconds,
    TimeOfDay,
    Whole,
)

__all__ = [
    "BackgroundDocument",
    "ChangeDocument",
    "FlowDocument",
    "InterferenceDocument",
    "LinkDocument",
    "LowPowerDocument",
    "NodeDocument",
    "RadioDocument",
    "RegionDocument",
    "ScenarioDocument",
    "SettingsDocument",
    "TransmitDocument",
]


class InterferenceDocument(Document):
    """Bursts of another technology (Wi-Fi) at random times: what one overlaps is lost."""

    channel: Literal[37, 38, 39] | None = Field(None, description="advertising channel; null: all three")
    busy_ratio: Number = Field(ge=0.0, lt=1.0, description="share of the time that bursts cover")
    burst_microseconds: Number = Field(
        1000.0,
        gt=0.0,
        le=1e6,
        description="length of a burst; the default is the order of a Wi-Fi frame with its acknowledgment",
    )
    from_time: TimeOfDay = Field(
        0, description='time of day from which there are bursts, like "08:30", or minutes after midnight'
    )
    until_time: TimeOfDay = Field(
        MINUTES_OF_DAY, description="time of day until which there are; before fromTime: past midnight"
    )
    nodes: Addresses | None = Field(None, description="nodes that bursts reach, or ranges of them; null: all")


class ChangeDocument(Document):
    """What happens to a node during the run."""

    at_seconds: Seconds = Field(description="simulated time at which it happens, not after the end")
    node: Address = Field(description="the node to which it happens")
    powered_on: StrictBool | None = Field(
        None, description="false: power goes, with queue and message cache; true: it comes back; null: stays"
    )
    move_to_m: PositionM | None = Field(
        None, description="[x, y] or [x, y, height] in metres, from where radio gives it new links; null: stays"
    )

    @model_validator(mode="after")
    def _something_changes(self) -> Self:
        if self.powered_on is None and self.move_to_m is None:
            raise ValueError("give poweredOn or moveToM")
        return self


class RegionDocument(Document):
    """The part that is simulated node by node, with so many hops of border nodes around it."""

    nodes: Addresses = Field(description="nodes of the part, or ranges of them")
    halo_hops: Whole = Field(
        1, ge=0, le=10, description="links from the part to the last border nodes; the rest is load from outside"
    )


class ScenarioDocument(Document):
    """A scenario file; its JSON schema: `meshtwin schema scenario`."""

    format: Literal["meshtwin.dev/scenario/v1"] = Field(
        "meshtwin.dev/scenario/v1", description="version of this format"
    )
    name: Name = Field("scenario", description="results and pictures call it so")
    profile: str = Field(
        "zephyr",
        max_length=63,
        json_schema_extra={"enum": [*sorted(PROFILES)]},
        description="stack whose timing rules all nodes have (MODELS.md, Stack profiles)",
    )
    reception: Literal["packetErrorRatio", "anyOverlapDestroys"] = Field(
        "packetErrorRatio",
        description="packetErrorRatio: by signal, noise and interference, the stronger of two may be captured; "
        "anyOverlapDestroys: two PDUs that overlap at a receiver are both lost",
    )
    duration_seconds: Number | None = Field(
        None,
        gt=0.0,
        le=1e8,
        description="simulated time at which the run ends, whatever is under way; null: when the last message is done",
    )
    start_of_day: TimeOfDay = Field(
        0, description='time of day at which the run begins, like "08:30", or minutes after midnight'
    )
    defaults: SettingsDocument = Field(
        SettingsDocument(), description="settings of all nodes that do not say otherwise"
    )
    nodes: list[NodeDocument] = Field(min_length=1, max_length=10_000, description="the nodes of the network")
    radio: RadioDocument | None = Field(None, description="links follow from positions")
    attenuation_db: list[LossRow] | None = Field(
        None,
        description="matrix of losses from transmitter (row) to receiver (column), in the order of nodes, gains of "
        "antennas included, so that none is below 0; null: no link, or what radio says; the transmit power is radio's, "
        "without it 0 dBm",
    )
    links: list[LinkDocument] | None = Field(
        None, max_length=1_000_000, description="directed links one by one, in place of radio and attenuationDb"
    )
    flows: list[FlowDocument] = Field(min_length=1, max_length=1000, description="messages that are followed")
    background: list[BackgroundDocument] = Field(
        default_factory=list, max_length=1000, description="messages that take airtime, and are not followed"
    )
    interference: list[InterferenceDocument] = Field(
        default_factory=list, max_length=1000, description="bursts of another technology; several add up"
    )
    changes: list[ChangeDocument] = Field(
        default_factory=list, max_length=10_000, description="what happens to nodes during the run"
    )
    region: RegionDocument | None = Field(
        None, description="only this part is simulated, the rest is load from outside; null: all"
    )

    @model_validator(mode="after")
    def _links_come_from_one_place(self) -> Self:
        if (self.radio is None and self.attenuation_db is None) == (self.links is None):
            raise ValueError("give exactly one of links and radio or attenuationDb (which may go together)")
        return self
