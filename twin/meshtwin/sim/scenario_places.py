"""Where in a scenario file something is wrong: paths of keys and indices, from which a complaint gets its line."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from meshtwin.errors import InvalidInput
from meshtwin.mesh.addresses import UnicastAddress, parse_range, parse_unicast
from meshtwin.sim.scenario_yaml import format_path

__all__ = ["DocumentFault", "Path", "at_path", "require_node", "require_nodes"]

Path = tuple[object, ...]


class DocumentFault(InvalidInput):
    """`InvalidInput` with the ``path`` of keys and indices to the value that is wrong."""

    def __init__(self, message: str, path: Path, *, reason: str | None = None) -> None:
        super().__init__(message, reason=reason, place=format_path(path))
        self.path = path


@contextmanager
def at_path(*path: object) -> Iterator[None]:
    """Gives errors from inside this path, unless they know theirs."""
    try:
        yield
    except DocumentFault:
        raise
    except InvalidInput as error:
        raise DocumentFault(error.message, path, reason=error.reason) from error


def require_node(text: str, known: Collection[UnicastAddress], path: Path) -> UnicastAddress:
    """The node's address behind ``text``; raises `DocumentFault` if there is no such node."""
    with at_path(*path):
        address = parse_unicast(text)
    if address not in known:
        raise DocumentFault(f"unknown node {text}; {_tell_known(known)}", path)
    return address


def require_nodes(written: Sequence[str] | None, known: Collection[UnicastAddress], path: Path) -> None:
    """Every address is a node's, those within ranges as well, and nothing is given twice; None is not looked at."""
    checked: set[str] = set()
    ascending = sorted(known)
    for k, text in enumerate(written or ()):
        if text.lower() in checked:
            raise DocumentFault(f"{text} is given twice; leave one out", (*path, k))
        checked.add(text.lower())
        with at_path(*path, k):
            first, last = parse_range(text)
        if bisect_right(ascending, last) - bisect_left(ascending, first) == last - first + 1:
            continue
        stranger = next(address for address in range(first, last + 1) if address not in known)
        within = "" if first == last else f" in {text}"
        split = "" if first == last else "; name only nodes, by several ranges if need be"
        raise DocumentFault(f"unknown node {stranger:04x}{within}; {_tell_known(known)}{split}", (*path, k))


def _tell_known(known: Collection[UnicastAddress]) -> str:
    low, high = min(known), max(known)
    return f"there are {len(known)}, {low:04x} to {high:04x}" if len(known) > 1 else f"there is only {low:04x}"
