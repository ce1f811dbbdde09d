"""Processes and what they are put together from."""

import os
import sys
from typing import Final

__all__ = ["allow_refused"]

TWINS: Final = frozenset(("meshtwin.app.segment_twin", "meshtwin.app.parent_twin"))
# A twin needs none of what others load where it is installed: structlog for tracebacks in colour (5 MiB), PyJWT for
# signatures with two keys (8 MiB; ours have one).
NOT_NEEDED: Final = ("rich", "cryptography")

# Before numpy is loaded. A twin's matrices are small: a second thread of OpenBLAS spins for as long as the first one
# works, and an estimate of 300 nodes took 66 ms of processor time in place of 47.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

if not TWINS.isdisjoint(sys.orig_argv):
    for name in NOT_NEEDED:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how an import is refused


def allow_refused() -> None:
    """Lets a twin import again what was kept from its own parts, now that they are loaded: plug-ins may need it."""
    for name in NOT_NEEDED:
        if name in sys.modules and sys.modules[name] is None:
            del sys.modules[name]
