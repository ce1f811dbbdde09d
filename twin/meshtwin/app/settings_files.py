"""Settings of a process in one JSON file (camelCase), and its secrets, which are files of their own.

Law: nothing that is said about a bad file holds a value out of it, since a password may stand at a wrong place.
"""

from pathlib import Path
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from meshtwin.contract.json_names import check_names_unique
from meshtwin.errors import InvalidInput, Unavailable

__all__ = ["SettingsModel", "read_secret", "read_settings", "read_text"]

SETTINGS_MAX_BYTES: Final = 64 * 2**20  # an inventory of 2,000 nodes takes about 1 MB
SECRET_MAX_BYTES: Final = 65_536  # a Secret's values are some hundred bytes


class SettingsModel(BaseModel):
    """camelCase, unknown fields refused, frozen."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True, hide_input_in_errors=True
    )


SettingsT = TypeVar("SettingsT", bound=BaseModel)


def read_settings(model: type[SettingsT], path: Path) -> SettingsT:
    """The settings in a JSON file; raises `InvalidInput` with the place of the first fault."""
    text = read_text(path, str(path))
    if "\\u0000" in text:
        raise InvalidInput("settings not usable: a zero byte (\\u0000) is in no name, path or address", place=str(path))
    check_names_unique(text, str(path))
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        place = f"{path}: {where}" if where else str(path)
        raise InvalidInput(f"settings not usable: {first['msg']}", place=place) from None


def read_text(path: Path, place: str) -> str:
    """Text of a file, without spaces at its ends; raises `InvalidInput` if it cannot be read, or is too large."""
    try:
        return _read_bounded(path, SETTINGS_MAX_BYTES, place).decode("utf-8").strip()
    except OSError as error:
        raise InvalidInput(f"not readable: {error.strerror} ({path})", place=place) from error
    except UnicodeDecodeError:  # which would show a part of what stands there
        raise InvalidInput(f"not readable: {path} holds no text in UTF-8", place=place) from None


def read_secret(path: Path, what: str) -> str:
    """A password or token that stands alone in a file.

    Raises `Unavailable` if it cannot be read, since who gives out secrets may yet come, and `InvalidInput` if
    there is no text in it, or more than a secret takes.
    """
    try:
        return _read_bounded(path, SECRET_MAX_BYTES, str(path)).decode().strip()
    except OSError as error:
        raise Unavailable(f"{what} not readable: {error.strerror}", place=str(path)) from error
    except UnicodeDecodeError:
        raise InvalidInput(f"{what} is no text in UTF-8", place=str(path)) from None


def _read_bounded(path: Path, limit_bytes: int, place: str) -> bytes:
    """A device such as /dev/zero has no end, and would fill the memory."""
    try:
        with path.open("rb") as file:
            content = file.read(limit_bytes + 1)
    except ValueError as error:  # a zero byte in the path
        raise InvalidInput(f"no path of a file: {error}", place=place) from error
    if len(content) > limit_bytes:
        raise InvalidInput(f"more bytes than {limit_bytes} ({path})", reason="FileTooLarge", place=place)
    return content
