"""Arguments of the library, refused by name where they are of another kind than was meant."""

from operator import index
from pathlib import Path
from typing import SupportsFloat, SupportsIndex

from meshtwin.errors import InvalidInput
from meshtwin.sim.scenario import Scenario
from meshtwin.sim.scenario_file import parse_scenario, read_scenario

__all__ = ["check_number", "check_seed", "check_whole", "read_any_scenario", "take_scenario"]


def check_whole(name: str, value: object) -> int:
    """The whole number, numpy's among them; raises `InvalidInput` for anything else, truth values too."""
    try:
        if isinstance(value, SupportsIndex) and not isinstance(value, bool):
            return index(value)
    except TypeError:  # an array of several
        pass
    raise InvalidInput(f"{name} {value!r} is no whole number", place=name)


def check_number(name: str, value: object, what: str = "number") -> float:
    """The number; raises `InvalidInput` for anything else, truth values and texts too."""
    try:
        if isinstance(value, SupportsFloat) and not isinstance(value, bool):
            return float(value)
    except (TypeError, ValueError, OverflowError):  # an array of several; a fraction without end
        pass
    raise InvalidInput(f"{name} {value!r} is no {what}", place=name)


def check_seed(name: str, value: object) -> int:
    """A whole number from 0 on; raises `InvalidInput` otherwise."""
    number = check_whole(name, value)
    if number < 0:
        raise InvalidInput(f"{name} {number} is negative", place=name)
    return number


def take_scenario(what: object) -> Scenario:
    """The scenario itself, or the one in a file or in YAML text, as `read_any_scenario`."""
    return what if isinstance(what, Scenario) else read_any_scenario(what)


def read_any_scenario(source: object) -> Scenario:
    """The scenario in a file, or in YAML text: a string that has a line break, or ": " and is no file's name.

    Raises `InvalidInput` with file, line or path, value and limit.
    """
    if not isinstance(source, str | Path):
        raise InvalidInput(f"{type(source).__name__} is no file name and no YAML text", place="scenario")
    if isinstance(source, str) and ("\n" in source or (": " in source and not _is_there(source))):
        return parse_scenario(source)
    return read_scenario(Path(source))


def _is_there(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # longer than a name may be; a zero byte
        return False
