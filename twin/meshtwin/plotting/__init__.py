"""Pictures of networks and results, by matplotlib, which is loaded when something is drawn.

Colours are those of Okabe and Ito (2008), told apart by people with any colour vision, and never the only mark.
"""

from meshtwin.plotting.network import draw_network
from meshtwin.plotting.result import draw_results
from meshtwin.plotting.style import PICTURE_SUFFIXES, save_picture

__all__ = ["PICTURE_SUFFIXES", "draw_network", "draw_results", "save_picture"]
