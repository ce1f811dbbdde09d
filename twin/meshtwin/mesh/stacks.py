"""Names of the stack profiles that there are: what segments and gateways may say. Their constants: `meshtwin.sim`."""

from typing import Final

__all__ = ["STACKS"]

STACKS: Final = ("bluez", "bmsim", "emulated", "mathworks", "nrf5-sdk", "zephyr", "zephyr-delayable")
