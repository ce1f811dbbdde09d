"""Stack profiles: timing rules and constants of one Bluetooth Mesh implementation, each with its source.

A profile is data. What it switches is implemented once, in `meshtwin.sim.elements` and the engines.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from meshtwin.errors import InvalidInput
from meshtwin.sim.profiles.bluez import BLUEZ
from meshtwin.sim.profiles.bmsim import BMSIM
from meshtwin.sim.profiles.emulated import EMULATED
from meshtwin.sim.profiles.mathworks import MATHWORKS
from meshtwin.sim.profiles.nrf5_sdk import NRF5_SDK
from meshtwin.sim.profiles.stack_profile import SegmentationTiming, StackProfile
from meshtwin.sim.profiles.zephyr import ZEPHYR, ZEPHYR_DELAYABLE

__all__ = ["PROFILES", "SegmentationTiming", "StackProfile", "get_profile"]

PROFILES: Final[Mapping[str, StackProfile]] = MappingProxyType(
    {profile.name: profile for profile in (ZEPHYR, ZEPHYR_DELAYABLE, NRF5_SDK, BLUEZ, MATHWORKS, BMSIM, EMULATED)}
)


def get_profile(name: str, place: str = "profile") -> StackProfile:
    """The profile called ``name``; raises `InvalidInput` naming those that exist."""
    if name not in PROFILES:
        raise InvalidInput(
            f"stack profile {name!r} is not one of {', '.join(sorted(PROFILES))}",
            reason="UnknownProfile",
            place=place,
        )
    return PROFILES[name]
