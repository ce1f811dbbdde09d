"""Memory that is given back, and what nothing can be lost of."""

import sys
from pathlib import Path

import pytest

from meshtwin.app.resident import droppable, give_back, trim

SMAPS = """\
7f0000000000-7f0000004000 r--p 00000000 00:01 17                         /usr/lib/libllvmlite.so
Size:                 16 kB
Rss:                  16 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
7f0000004000-7f0000008000 r-xp 00004000 00:01 17                         /usr/lib/libllvmlite.so
Rss:                  16 kB
Anonymous:             0 kB
7f0000008000-7f000000c000 r--p 00008000 00:01 17                         /usr/lib/libllvmlite.so
Rss:                  16 kB
Anonymous:             8 kB
7f000000c000-7f0000010000 rw-p 0000c000 00:01 17                         /usr/lib/libllvmlite.so
Rss:                  16 kB
Anonymous:             0 kB
7f0000010000-7f0000014000 r-xp 00000000 00:01 18                         /usr/lib/llvmlite/other.so
Rss:                  16 kB
Anonymous:             0 kB
7f0000014000-7f0000018000 rw-p 00000000 00:00 0
Rss:                  16 kB
Anonymous:            16 kB
"""


def test_only_pages_that_are_as_in_the_file_may_be_dropped() -> None:
    """Not those that may be written, nor those that relocation has changed, nor another library's."""
    found = list(droppable(SMAPS.splitlines(), "libllvmlite"))
    assert found == [(0x7F0000000000, 0x7F0000004000), (0x7F0000004000, 0x7F0000008000)]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is given back")
def test_library_whose_pages_were_dropped_works_on() -> None:
    import _decimal
    from decimal import Decimal, localcontext

    path = Path(str(_decimal.__file__)).name
    with localcontext() as context:
        context.prec = 60
        before = Decimal(2).sqrt()
        assert list(droppable(Path("/proc/self/smaps").read_text().splitlines(), path))
        give_back(path)
        trim()
        assert Decimal(2).sqrt() == before
