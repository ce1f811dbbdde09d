"""What a gateway must never lose or use again: its address, and sequence numbers that it has spent.

bluetooth-meshd keeps sequence number and IV index in its storage, with a reserve written ahead. Every node that
heard us remembers our highest number, and drops what is not higher: a daemon that goes on from an older backup
is mute, and repeats nonces. So the highest number seen is kept here, too, and compared at every start.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from meshtwin.contract.wire import WireModel
from meshtwin.errors import Inconsistent, InvalidInput, Unavailable
from meshtwin.gateway.store import replace_file

__all__ = ["Continuity", "ContinuityFile", "check_continuity"]

FILE_NAME: Final = "bluez.json"
SEQUENCE_MAX: Final = 0xFFFFFF  # 24 bits


@dataclass(frozen=True, slots=True, kw_only=True)
class Continuity:
    """One node of ours in a daemon; ``token`` is the key to it.

    ``is_commissioned`` False: the daemon was asked to make the node, which has never sent anything.
    """

    address: int
    uuid: str
    token: int
    is_commissioned: bool = False
    iv_index: int = 0
    sequence_number: int = 0


class _Stored(WireModel):
    format: Literal[1] = 1
    address: int = Field(ge=1, le=0x7FFF)
    uuid: str = Field(pattern=r"^[0-9a-f]{32}$")
    token: int = Field(ge=0, lt=2**64)
    is_commissioned: bool
    iv_index: int = Field(ge=0, lt=2**32)
    sequence_number: int = Field(ge=0, le=SEQUENCE_MAX)


def check_continuity(seen: Continuity, iv_index: int, sequence_number: int) -> Continuity:
    """What is seen now, to be kept; raises `Inconsistent` (``OlderBackup``) if it was further before."""
    if (iv_index, sequence_number) < (seen.iv_index, seen.sequence_number):
        message = (
            f"bluetooth-meshd goes on at IV index {iv_index}, sequence number {sequence_number}, but had reached "
            f"{seen.iv_index} and {seen.sequence_number}: its storage is an older backup. Put the newest storage "
            "back, or give the gateway a new address and UUID in the keys file and remove this file"
        )
        raise Inconsistent(message, reason="OlderBackup", place=f"node {seen.address:04x}")
    return replace(seen, iv_index=iv_index, sequence_number=sequence_number)


class ContinuityFile:
    """The file in the gateway's data folder; replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def read(self) -> Continuity | None:
        """What was kept; None: nothing yet. Raises `InvalidInput` if the file is broken."""
        try:
            stored = _Stored.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unavailable(
                f"not readable: {error.strerror}", reason="StoreUnavailable", place=str(self.path)
            ) from error
        except ValidationError as error:
            message = (
                f"broken: {error.errors(include_url=False, include_input=False)[0]['msg']}; restore it from a backup, "
                "or give the gateway a new address and UUID in the keys file and remove this file"
            )
            raise InvalidInput(message, reason="MemoryBroken", place=str(self.path)) from None
        return Continuity(
            address=stored.address,
            uuid=stored.uuid,
            token=stored.token,
            is_commissioned=stored.is_commissioned,
            iv_index=stored.iv_index,
            sequence_number=stored.sequence_number,
        )

    def write(self, continuity: Continuity) -> None:
        """Keep it, on disk when this returns; raises `Unavailable` if it cannot be written."""
        stored = _Stored(
            address=continuity.address,
            uuid=continuity.uuid,
            token=continuity.token,
            is_commissioned=continuity.is_commissioned,
            iv_index=continuity.iv_index,
            sequence_number=continuity.sequence_number,
        )
        try:
            replace_file(self.path, stored.model_dump_json(by_alias=True, indent=1).encode())
        except OSError as error:
            message = f"not written: {error.strerror}"
            raise Unavailable(message, reason="StoreUnavailable", place=str(self.path)) from error
