"""The figure that drawing gives. This module alone needs matplotlib when it is loaded."""

from io import BytesIO

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from meshtwin.plotting.style import DPI, STYLE

__all__ = ["Picture"]


class Picture(Figure):
    """A matplotlib figure that belongs to no window, and is seen in a notebook where it is a cell's last value."""

    def __init__(self, width_in: float, height_in: float) -> None:
        super().__init__(figsize=(width_in, height_in), dpi=DPI, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """The picture as notebooks ask for it."""
        with BytesIO() as file, rc_context(STYLE):
            self.savefig(file, format="png")
            return file.getvalue()
