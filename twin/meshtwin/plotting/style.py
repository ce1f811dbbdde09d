"""What all pictures share: colours, sizes, and writing a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from meshtwin.errors import InvalidInput
from meshtwin.sim.files import check_target, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from meshtwin.plotting.picture import Picture

__all__ = ["BLUE", "CYCLE", "GREY", "INK", "PICTURE_SUFFIXES", "RED", "drawing", "save_picture"]

INK: Final = "#1a1a1a"
GREY: Final = "#8a8a8a"
BLUE: Final = "#0072b2"
RED: Final = "#d55e00"
CYCLE: Final = (BLUE, "#e69f00", "#009e73", "#cc79a7", "#56b4e9", RED, "#000000")  # Okabe and Ito
PICTURE_SUFFIXES: Final = (".png", ".svg", ".pdf")
NO_DATE: Final[Any] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}  # equal pictures are equal files
DPI: Final = 150
NO_MATPLOTLIB: Final = (
    "pictures need matplotlib, which is not installed: pip install matplotlib, or in a checkout of meshtwin "
    "pip install '.[plot]'"
)
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


@contextmanager
def drawing() -> "Iterator[type[Picture]]":
    """The house's style for what is drawn inside; gives the class of figures.

    Raises `InvalidInput` where matplotlib is not installed, and says how to install it.
    """
    try:
        from matplotlib import rc_context

        from meshtwin.plotting.picture import Picture
    except ImportError as error:
        raise InvalidInput(NO_MATPLOTLIB, reason="NoMatplotlib", place="plot") from error
    with rc_context(STYLE):
        yield Picture


def save_picture(figure: "Figure", path: Path) -> None:
    """Writes PNG, SVG or PDF by the suffix of ``path``; raises `InvalidInput` for another, or where it can't write."""
    check_target(path, PICTURE_SUFFIXES)
    with drawing():
        write_whole(path, lambda draft: figure.savefig(draft, metadata=NO_DATE.get(path.suffix.lower())))
