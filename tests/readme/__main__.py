"""``python -m tests.readme GROUP``: run the README's blocks of a group in order, in one shell."""

import subprocess
import sys
from pathlib import Path

from tests.readme.blocks import GROUPS, parse_blocks

ROOT = Path(__file__).parents[2]


def main() -> int:
    """Exit code of the shell; the line of the block that failed is printed before its commands."""
    if len(sys.argv) != 2 or sys.argv[1] not in GROUPS:
        print(f"usage: python -m tests.readme {'|'.join(GROUPS)}", file=sys.stderr)
        return 2
    blocks = [b for b in parse_blocks((ROOT / "README.md").read_text()) if b.group == sys.argv[1]]
    script = "".join(f"echo '== README.md:{b.line}'\n{b.commands}" for b in blocks)
    done = subprocess.run(["bash", "-euxo", "pipefail", "-c", script], cwd=ROOT, check=False)
    counts = (len(blocks), 0) if done.returncode == 0 else (0, 1)
    print(f"{counts[0]} passed, {counts[1]} failed")
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
