"""Mesh addresses and ranges of them, written as four hexadecimal digits.

Source: Mesh Protocol 1.1, section 3.4.2 (addresses).
"""

from collections.abc import Iterable, Sequence
from typing import Final, NewType

from meshtwin.errors import InvalidInput

__all__ = [
    "UNICAST_MAX",
    "GroupAddress",
    "UnicastAddress",
    "compress_addresses",
    "expand_ranges",
    "format_address",
    "is_group",
    "is_unicast",
    "parse_address",
    "parse_range",
    "parse_unicast",
]

UnicastAddress = NewType("UnicastAddress", int)
GroupAddress = NewType("GroupAddress", int)

UNICAST_MAX: Final = 0x7FFF  # Mesh Protocol 1.1, 3.4.2.2
GROUP_MIN: Final = 0xC000  # Mesh Protocol 1.1, 3.4.2.4
ADDRESS_MAX: Final = 0xFFFF


def is_unicast(address: int) -> bool:
    """Whether ``address`` is in 0x0001..0x7FFF."""
    return 1 <= address <= UNICAST_MAX


def is_group(address: int) -> bool:
    """Whether ``address`` is in 0xC000..0xFFFF, fixed groups included."""
    return GROUP_MIN <= address <= ADDRESS_MAX


def format_address(address: int) -> str:
    """Four lower-case hexadecimal digits.

    >>> format_address(0xAB)
    '00ab'
    """
    return f"{address:04x}"


def parse_address(text: str, place: str = "address") -> int:
    """The 16-bit address behind four hexadecimal digits; raises `InvalidInput` otherwise."""
    if len(text) != 4 or any(c not in "0123456789abcdefABCDEF" for c in text):
        raise InvalidInput(f"address {text!r} is not four hexadecimal digits", place=place)
    return int(text, 16)


def parse_unicast(text: str, place: str = "address") -> UnicastAddress:
    """The unicast address behind four hexadecimal digits; raises `InvalidInput` outside 0001..7fff."""
    address = parse_address(text, place)
    if not is_unicast(address):
        raise InvalidInput(f"address {text!r} is outside the unicast range 0001..7fff", place=place)
    return UnicastAddress(address)


def parse_range(text: str, place: str = "nodes") -> tuple[UnicastAddress, UnicastAddress]:
    """First and last address of ``"0001-0034"`` or ``"0007"``; raises `InvalidInput` if reversed."""
    first_text, dash, last_text = text.partition("-")
    first = parse_unicast(first_text, place)
    last = parse_unicast(last_text, place) if dash else first
    if last < first:
        raise InvalidInput(f"range {text!r} is reversed", place=place)
    return first, last


def expand_ranges(
    ranges: Sequence[str], inventory: Iterable[UnicastAddress], place: str = "nodes"
) -> tuple[UnicastAddress, ...]:
    """The nodes of ``inventory`` that ``ranges`` name, ascending, each once.

    A single address must be in the inventory, a range must hold at least one node of it.
    Raises `InvalidInput` with the entry's place otherwise.
    """
    if not ranges:
        raise InvalidInput("no node range given", place=place)
    known = sorted(inventory)
    chosen: set[UnicastAddress] = set()
    for index, text in enumerate(ranges):
        entry = f"{place}[{index}]"
        first, last = parse_range(text, entry)
        matched = [address for address in known if first <= address <= last]
        if not matched:
            raise InvalidInput(f"{text!r} names no node of the inventory", reason="UnknownNode", place=entry)
        chosen.update(matched)
    return tuple(sorted(chosen))


def compress_addresses(addresses: Iterable[UnicastAddress], inventory: Iterable[UnicastAddress]) -> tuple[str, ...]:
    """The shortest ascending list of ranges that names exactly ``addresses`` within ``inventory``."""
    wanted = set(addresses)
    runs: list[list[UnicastAddress]] = []
    previous_wanted = False
    for address in sorted(set(inventory) | wanted):
        if address in wanted:
            if previous_wanted:
                runs[-1].append(address)
            else:
                runs.append([address])
        previous_wanted = address in wanted
    return tuple(
        format_address(run[0]) if len(run) == 1 else f"{format_address(run[0])}-{format_address(run[-1])}"
        for run in runs
    )
