"""Imported by the fork server alone: loads the models before any worker is forked.

Whatever fails here is left to the worker that needs it, which can tell its asker.
"""

import gc
import sys

from meshtwin.app.resident import give_back

__all__ = ["IS_LOADED"]

IS_LOADED = False  # kernels too, from their caches: compiling them is left to the worker that is asked


def _load() -> bool:
    # Where they are installed, numba imports them: for linear algebra that no kernel uses (0.25 s and 18 MiB), and to
    # tell what tests ran (3 MiB).
    for name in ("scipy", "coverage"):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # how an import is refused
    import meshtwin.sim.tallies
    import meshtwin.whatif.judging
    import meshtwin.whatif.quick  # noqa: F401
    from meshtwin import fast
    from meshtwin.sim import compiled
    from meshtwin.sim.kernel_cache import NotCompiled, kept_only

    try:
        with kept_only():
            fast.compile_ahead()
            compiled.compile_ahead()
    except NotCompiled:
        return False
    return True


gc.disable()  # nothing that is loaded is garbage: a seventh of the time
try:
    IS_LOADED = _load()
except Exception as error:
    print(f"models not loaded ahead: {type(error).__name__}: {error}", file=sys.stderr)
finally:
    give_back("llvmlite")  # LLVM, which makes code ready to run but is not needed to run it: 45 MiB
    gc.freeze()  # what workers never look through stays shared with them
    gc.enable()
