"""Numbers in sentences."""

__all__ = ["counted"]


def counted(count: int, one: str, many: str | None = None) -> str:
    """The number and what it counts; ``many`` None: ``one`` with an s.

    >>> counted(1, "node"), counted(2, "node"), counted(1, "node is", "nodes are")
    ('1 node', '2 nodes', '1 node is')
    """
    return f"{count} {one}" if count == 1 else f"{count} {f'{one}s' if many is None else many}"
