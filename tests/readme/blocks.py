"""Blocks of shell commands in a Markdown file.

A block belongs to the group named in its info string: ```` ```sh local ```` or ```` ```sh cluster ````.
A block of plain ``sh`` would be run by nobody, so it is an error.
"""

import re
from dataclasses import dataclass

__all__ = ["Block", "parse_blocks"]

FENCE = re.compile(r"^```(?P<info>\S[^\n]*)\n(?P<body>.*?)^```\s*$", re.MULTILINE | re.DOTALL)
GROUPS = ("local", "cluster")


@dataclass(frozen=True, slots=True)
class Block:
    """Commands, and the line where they begin."""

    group: str
    commands: str
    line: int


def parse_blocks(markdown: str) -> tuple[Block, ...]:
    """All shell blocks in order; raises ValueError for one without a group."""
    blocks = []
    for match in FENCE.finditer(markdown):
        language, *rest = match["info"].split()
        if language not in {"sh", "bash", "shell", "console"}:
            continue
        line = markdown.count("\n", 0, match.start()) + 2
        if len(rest) != 1 or rest[0] not in GROUPS:
            raise ValueError(f"shell block at line {line} names none of the groups {GROUPS}")
        blocks.append(Block(rest[0], match["body"], line))
    return tuple(blocks)
