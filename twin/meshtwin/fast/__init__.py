"""The fast model: an immediate answer about a scenario, by first arrivals over sampled states.

Pure: no clock, no dice of its own, no input or output. It answers with the types of the simulator, says with which
error, and declines what is out of its range. Importing it is cheap; the first estimate loads numba and may compile,
so it belongs into a worker process or the command line, never on an event loop.
"""

from meshtwin.fast.answer import MODEL_NAME, DestinationFigures, FastAnswer, ReachAnswer
from meshtwin.fast.prepared import Prepared, compile_ahead, estimate, prepare

__all__ = [
    "MODEL_NAME",
    "DestinationFigures",
    "FastAnswer",
    "Prepared",
    "ReachAnswer",
    "compile_ahead",
    "estimate",
    "prepare",
]
