"""Blocks of the README."""

import pytest

from tests.readme.blocks import parse_blocks

TICKS = "```"


def test_blocks_keep_their_order_group_and_line() -> None:
    text = f"# a\n{TICKS}sh local\nmake demo\n{TICKS}\n{TICKS}yaml\na: 1\n{TICKS}\n{TICKS}sh cluster\nkubectl get x\n{TICKS}\n"
    assert [(b.group, b.commands, b.line) for b in parse_blocks(text)] == [
        ("local", "make demo\n", 3),
        ("cluster", "kubectl get x\n", 9),
    ]


def test_a_shell_block_that_nobody_would_run_is_refused() -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_blocks(f"{TICKS}sh\nmake demo\n{TICKS}\n")
