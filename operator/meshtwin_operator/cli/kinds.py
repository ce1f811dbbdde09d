"""Kinds as people type them: kind, plural, short name, any case; and their printer columns evaluated."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from meshtwin.errors import InvalidInput
from meshtwin_operator.resources.base import PrinterColumn, Resource
from meshtwin_operator.resources.kinds import KINDS

__all__ = ["age_text", "columns_of", "find_kinds", "value_at"]

FILTER = re.compile(r"^(?P<field>\w+)\[\?\(@\.(?P<key>\w+)==\"(?P<value>[^\"]*)\"\)\]$")


def find_kinds(text: str) -> tuple[type[Resource], ...]:
    """The kinds that a word names; ``all`` names every one. Raises `InvalidInput` listing the words."""
    wanted = text.lower()
    if wanted in ("all", "meshtwin"):
        return KINDS
    for kind in KINDS:
        words = {kind.kind_name.lower(), kind.plural, f"{kind.plural}.meshtwin.dev", *kind.short_names}
        if wanted in words:
            return (kind,)
    endings = [kind for kind in KINDS if _ends_with(kind, wanted)]
    if len(endings) == 1:  # segments, proposals, twins
        return (endings[0],)
    known = ", ".join(f"{kind.plural} ({', '.join(kind.short_names)})" for kind in KINDS)
    raise InvalidInput(f"kind {text!r} is none of: all, {known}")


def columns_of(kind: type[Resource]) -> tuple[PrinterColumn, ...]:
    """Name, then the columns that `kubectl get` shows without ``-o wide``."""
    name = PrinterColumn(name="Name", json_path=".metadata.name")
    return name, *(column for column in kind.printer_columns if column.priority == 0)


def value_at(manifest: Mapping[str, Any], json_path: str) -> object:
    """The value at a path of the subset that printer columns use; None if there is none."""
    current: object = manifest
    for part in re.findall(r"(?:[^.\[]|\[[^\]]*\])+", json_path.removeprefix(".")):
        matched = FILTER.match(part)
        field = matched["field"] if matched else part
        if not isinstance(current, Mapping):
            return None
        current = current.get(field)
        if matched and isinstance(current, Sequence):
            key, value = matched["key"], matched["value"]
            current = next((i for i in current if isinstance(i, Mapping) and i.get(key) == value), None)
    return current


def age_text(timestamp: str | None, now: datetime) -> str:
    """Age as kubectl writes it: one or two units."""
    if not timestamp:
        return "<unknown>"
    seconds = max(0, int((now - datetime.fromisoformat(timestamp)).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _ends_with(kind: type[Resource], word: str) -> bool:
    return len(word) > 3 and (kind.plural.endswith(word) or kind.kind_name.lower().endswith(word))
