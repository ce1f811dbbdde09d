"""JSON in which a name is given twice. Of its values a reader takes one, and who wrote it may mean the other. Pure."""

import json

from meshtwin.errors import InvalidInput

__all__ = ["check_names_unique"]


def check_names_unique(text: str, place: str) -> None:
    """Raise `InvalidInput` for the first name that an object has twice; text that is no JSON passes (RFC 8259, 4).

    >>> check_names_unique('{"port": 1, "other": {"port": 2}}', "settings")
    """

    def check(pairs: list[tuple[str, object]]) -> None:
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise InvalidInput(f"{name[:64]!r} is given twice; keep one of them", place=place)
            seen.add(name)

    try:
        json.loads(text, object_pairs_hook=check)
    except (ValueError, RecursionError):
        return
