"""The compiled engine: the rules of the reference engine as one numba function over flat arrays.

For equal scenario, seed and replication both give equal records and results; a property test holds them together.
Import it in workers and command lines alone: numba takes about 100 MiB, and the first call in a fresh checkout
compiles for a while. This module and `support` are light; numba is loaded by the first run.
"""

from meshtwin.sim.compiled.run import compile_ahead, run_compiled
from meshtwin.sim.compiled.support import unsupported

__all__ = ["compile_ahead", "run_compiled", "unsupported"]
