"""What all pictures share: colours, sizes, and writing a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshtwin.errors import Unavailable
from meshtwin.sim.files import check_target, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BLUE", "CYCLE", "GREY", "INK", "PICTURE_SUFFIXES", "RED", "make_figure", "save_picture"]

INK: Final = "#1a1a1a"
GREY: Final = "#8a8a8a"
BLUE: Final = "#0072b2"
RED: Final = "#d55e00"
CYCLE: Final = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", RED, "#000000")  # Okabe and Ito
PICTURE_SUFFIXES: Final = (".png", ".svg", ".pdf")
NO_DATE: Final[Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # equal pictures are equal files
DPI: Final = 150
STYLE: Final[Any] = {  # of matplotlib's own literal keys
    "font.size": 9.0,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10.0,
    "axes.titlelocation": "left",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "meshtwin",
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
}


def make_figure(width_in: float, height_in: float) -> "Figure":
    """An empty figure that belongs to no window. Raises `Unavailable` where matplotlib is not installed."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise Unavailable(
            "matplotlib is not installed: pip install 'meshtwin[plot]'", reason="NoMatplotlib", place="plot"
        ) from error
    with rc_context(STYLE):
        figure = Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        return figure


def save_picture(figure: "Figure", path: Path) -> None:
    """Writes PNG, SVG or PDF by the suffix of ``path``; raises `InvalidInput` for another, or where it can't write."""
    from matplotlib import rc_context

    check_target(path, PICTURE_SUFFIXES)
    with rc_context(STYLE):
        write_whole(path, lambda draft: figure.savefig(draft, metadata=NO_DATE.get(path.suffix)))
