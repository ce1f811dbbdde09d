"""Blocks of the README."""

from pathlib import Path

import pytest
from tests.readme.blocks import parse_blocks

TICKS = "```"


def test_blocks_keep_their_order_group_and_line() -> None:
    fences = (("sh local", "make demo"), ("yaml", "a: 1"), ("sh cluster", "kubectl get x"))
    text = "# a\n" + "".join(f"{TICKS}{info}\n{body}\n{TICKS}\n" for info, body in fences)
    assert [(b.group, b.commands, b.line) for b in parse_blocks(text)] == [
        ("local", "make demo\n", 3),
        ("cluster", "kubectl get x\n", 9),
    ]


def test_a_shell_block_that_nobody_would_run_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_blocks(f"{TICKS}sh\nmake demo\n{TICKS}\n")


def test_every_shell_block_of_the_readme_is_in_a_group_that_is_run() -> None:
    groups = {block.group for block in parse_blocks((Path(__file__).parents[3] / "README.md").read_text())}
    assert groups == {"local", "cluster"}
