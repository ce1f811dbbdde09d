"""Radio of scenario files: who hears whom, by a model of positions or as listed."""

from typing import Final, Literal, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic.alias_generators import to_camel

from meshtwin.sim.scenario_values import Address, Document, Number, PduBytes, PowerDbm, Ratio, Whole

__all__ = ["LinkDocument", "RadioDocument"]

SHADOWED: Final = ("freeSpace", "logDistance", "ituIndoor")
# What only some radio models have; said beside another one, it would be left out in silence.
KEYS_OF_MODELS: Final = {
    "environment": ("ituIndoor",),
    "floor_height_m": ("ituIndoor",),
    "exponent": ("logDistance",),
    "reference_db": ("logDistance",),
    "shadowing_db": SHADOWED,
    "pair_shadowing_db": SHADOWED,
    "shadowing_seed": SHADOWED,
}


class RadioDocument(Document):
    """How received power follows from positions. A key that only another model has is refused."""

    model: Literal["hardRange", "unitDisc", "freeSpace", "logDistance", "ituIndoor"] = Field(
        "logDistance",
        description="freeSpace: Friis; logDistance: referenceDb over the first metre, then 10 * exponent dB per "
        "tenfold distance; ituIndoor: ITU-R P.1238-11; hardRange: free space within rangeM, nothing beyond; unitDisc: "
        "txPowerDbm undiminished within rangeM, nothing beyond",
    )
    environment: Literal[
        "officeOpen", "officeObstructed", "corridorOpen", "corridorObstructed", "industrialOpen", "industrialObstructed"
    ] = Field("officeObstructed", description="of ituIndoor; in place of exponent and referenceDb")
    floor_height_m: Number | None = Field(
        None,
        ge=1.0,
        le=100.0,
        description="of ituIndoor: from floor to floor, the ground floor's at height 0; null: floors cost nothing",
    )
    range_m: Number | None = Field(
        None,
        gt=0.0,
        le=1e6,
        description="no link is longer; hardRange and unitDisc need it; null: as far as power goes",
    )
    tx_power_dbm: Number = Field(
        0.0, ge=-100.0, le=60.0, description="of every node, gains of antennas included; of attenuationDb, too"
    )
    exponent: Number = Field(
        2.8, gt=0.0, le=20.0, description="of logDistance: 2 is free space, 3 to 4 rooms and walls"
    )
    reference_db: Number = Field(
        40.1, ge=-200.0, le=300.0, description="of logDistance: loss over the first metre (free space at 2.4 GHz: 40.1)"
    )
    shadowing_db: Number = Field(
        0.0,
        ge=0.0,
        le=60.0,
        description="standard deviation of a loss that is drawn for each direction by itself (freeSpace, logDistance, "
        "ituIndoor)",
    )
    pair_shadowing_db: Number = Field(
        0.0,
        ge=0.0,
        le=60.0,
        description="likewise, drawn once for both directions; of ituIndoor that of its environment (ITU-R P.1238-11, "
        "table 2), unless this or shadowingDb is said",
    )
    shadowing_seed: Whole = Field(
        0,
        ge=-(2**63),
        lt=2**63,
        description="64 bits, of the drawn losses: they are the same in all replications and runs",
    )

    @field_validator(*KEYS_OF_MODELS)
    @classmethod
    def _belongs_to_model(cls, value: object, info: ValidationInfo) -> object:
        name, model = info.field_name or "", info.data.get("model")
        owners = KEYS_OF_MODELS[name]
        if model is not None and model not in owners:
            raise ValueError(
                f"{to_camel(name)} belongs to {' and '.join(owners)}; radio model {model} has no use for it"
            )
        return value

    @model_validator(mode="after")
    def _range_is_given(self) -> Self:
        if self.model in {"hardRange", "unitDisc"} and self.range_m is None:
            raise ValueError(f"radio model {self.model} needs rangeM")
        return self


class LinkDocument(Document):
    """One directed link, by received power, delivery, or both: then power is for collisions alone."""

    source: Address = Field(description="the transmitter")
    target: Address = Field(description="the receiver")
    rx_power_dbm: PowerDbm | None = Field(None, description="power at the receiver; null: follows from delivery")
    delivery: Ratio | None = Field(
        None, description="share of single transmissions that arrive on a quiet channel; null: follows from rxPowerDbm"
    )
    delivery_pdu_bytes: PduBytes | None = Field(
        None, description="size of the network PDUs that delivery is told of; null: 20; other sizes are converted"
    )

    @model_validator(mode="after")
    def _something_is_given(self) -> Self:
        if self.rx_power_dbm is None and self.delivery is None:
            raise ValueError("give rxPowerDbm or delivery")
        if self.delivery is None and self.delivery_pdu_bytes is not None:
            raise ValueError("deliveryPduBytes says of which size delivery is; give delivery, or leave it out")
        return self
