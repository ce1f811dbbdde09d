"""A network: nodes where they stand, links by delivery, relays, sources and destinations."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from meshtwin.mesh.addresses import UnicastAddress
from meshtwin.plotting.layout import lay_out
from meshtwin.plotting.links import LEAST_DRAWN, Pairs, find_pairs
from meshtwin.plotting.style import BLUE, GREY, INK, RED, drawing
from meshtwin.sim.scenario import Scenario
from meshtwin.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_network"]

Place = tuple[float, float]

BANDS: Final[
    tuple[tuple[float, float, Any, str, str], ...]
] = (  # lower bound of delivery, line width, dashes, colour, what the legend says
    (0.9, 1.5, "solid", "#08519c", "delivery 0.9 to 1"),
    (0.6, 1.1, "solid", "#4a90c4", "0.6 to 0.9"),
    (0.3, 1.0, (0, (4, 2)), "#6f6f6f", "0.3 to 0.6"),
    (LEAST_DRAWN, 0.8, (0, (1, 2)), "#9a9a9a", f"{LEAST_DRAWN:g} to 0.3"),
)

ONE_WAY: Final = (0, (3, 1.5, 0.8, 1.5))  # dashes of a pair that hears one way only
MANY_LINKS: Final = 250  # drawn pairs; more are drawn thinner, or the nodes drown
FLAT: Final = 0.12  # a network less high than this share of its width (or the other way) has its links bent
FARTHEST: Final = 1.5  # hops that a link counts whose delivery is nearly 0; less its delivery, mean of both directions
VECTORS_MOST: Final = 2000  # lines; more are an image within a vector picture, which no program could show otherwise
SMALL_FROM: Final = 300  # nodes; marks of more are small
LABELS_MOST: Final = 150  # nodes; more labels could not be read


def draw_network(scenario: Scenario, *, gateway: int | None = None, labels: bool | None = None) -> "Figure":
    """The scenario's network. Without positions, nodes are laid out by their links, and no scale is shown.

    A line is drawn for the worse direction of a pair (a message needs one, an answer both); where only one delivers,
    it is marked as such. Of networks with more pairs than can be seen, the strongest of each node are drawn.
    Raises `InvalidInput` where matplotlib is not installed.
    ``gateway``: address of the node that is marked as such; ``labels`` None: unless there are more than 150.
    """
    with drawing() as picture:
        pairs = find_pairs(scenario)
        places, is_measured = _places(scenario, pairs)
        figure = picture(*_size_in(places))
        axes = figure.add_subplot()
        drawn = _draw_links(axes, scenario, pairs, places)
        marks = _draw_nodes(axes, scenario, places, gateway)
        if labels if labels is not None else len(places) <= LABELS_MOST:
            _draw_labels(axes, scenario, places, gateway)
        axes.set_aspect("equal")
        _leave_room(axes, places)
        _finish(axes, scenario, is_measured)
        figure.legend(handles=[*marks, *drawn], loc="outside right upper", fontsize=8.0)
    return figure


def _places(scenario: Scenario, pairs: Pairs) -> tuple[dict[UnicastAddress, Place], bool]:
    if all(node.position is not None for node in scenario.nodes):
        return {n.address: (n.position.x_m, n.position.y_m) for n in scenario.nodes if n.position is not None}, True
    found = lay_out(len(scenario.nodes), pairs.first, pairs.second, FARTHEST - (pairs.worse + pairs.better) / 2.0)
    return {node.address: (float(x), float(y)) for node, (x, y) in zip(scenario.nodes, found, strict=True)}, False


def _extent(places: Mapping[UnicastAddress, Place]) -> tuple[float, float]:
    """Width and height, neither 0."""
    wide = max(x for x, _ in places.values()) - min(x for x, _ in places.values())
    high = max(y for _, y in places.values()) - min(y for _, y in places.values())
    return max(wide, high * 0.01, 1e-6), max(high, wide * 0.01, 1e-6)


def _size_in(places: Mapping[UnicastAddress, Place]) -> tuple[float, float]:
    """Inches, in the proportion of the network, within what a page and a screen take, legend beside it."""
    wide, high = _extent(places)
    width_in = 5.0 if len(places) <= 12 and high > wide * FLAT else 8.5 if len(places) <= 60 else 11.0
    return width_in + 1.8, min(9.0, max(2.8, width_in * max(high / wide, 0.2) + 1.0))


def _draw_links(axes: "Axes", scenario: Scenario, pairs: Pairs, places: Mapping[UnicastAddress, Place]) -> list[Any]:
    from matplotlib.collections import LineCollection
    from matplotlib.lines import Line2D

    wide, high = _extent(places)
    bend = 0.22 if min(high / wide, wide / high) < FLAT else 0.0
    at = [places[node.address] for node in scenario.nodes]
    on = np.array([node.is_on for node in scenario.nodes])
    pairs = pairs.take(on[pairs.first] & on[pairs.second])
    drawn = int((pairs.better >= LEAST_DRAWN).sum())
    many = drawn > MANY_LINKS

    looks = [
        (
            (pairs.worse >= least) & (pairs.worse < (BANDS[place - 1][0] if place else 1.01)),
            {"linewidths": width * (0.5 if many else 1.0), "zorder": 1 + least, "alpha": 0.55 if many else 0.9},
            {"linewidth": width, "linestyle": dashes, "color": colour, "label": text},
        )
        for place, (least, width, dashes, colour, text) in enumerate(BANDS)
    ]
    looks.append(
        (
            (pairs.worse < LEAST_DRAWN) & (pairs.better >= LEAST_DRAWN),
            {"linewidths": 0.8, "zorder": 1, "alpha": 0.7},
            {"linewidth": 0.8, "linestyle": ONE_WAY, "color": RED, "label": "one direction only"},
        )
    )
    handles = []
    for kept, drawn_as, told in looks:
        if kept.any():
            ends = zip(pairs.first[kept].tolist(), pairs.second[kept].tolist(), strict=True)
            lines = [_line(at[one], at[other], bend) for one, other in ends]
            axes.add_collection(
                LineCollection(
                    lines, linestyles=[told["linestyle"]], colors=told["color"], rasterized=drawn > VECTORS_MOST,
                    **drawn_as,
                )
            )  # fmt: skip
            handles.append(Line2D([], [], **told))
    if pairs.strongest is not None:
        handles.append(Line2D([], [], linestyle="none", label=f"the {pairs.strongest} strongest of each node"))
    return handles


def _line(begin: Place, end: Place, bend: float) -> list[Place]:
    """From ``begin`` to ``end``, straight or as an arc: on one line of nodes, straight links would hide each other."""
    if not bend:
        return [begin, end]
    (x0, y0), (x1, y1) = min(begin, end), max(begin, end)
    x2, y2 = (x0 + x1) / 2 - bend * (y1 - y0), (y0 + y1) / 2 + bend * (x1 - x0)
    shares = [i / 20 for i in range(21)]
    return [
        ((1 - s) ** 2 * x0 + 2 * s * (1 - s) * x2 + s * s * x1, (1 - s) ** 2 * y0 + 2 * s * (1 - s) * y2 + s * s * y1)
        for s in shares
    ]


def _draw_nodes(
    axes: "Axes", scenario: Scenario, places: Mapping[UnicastAddress, Place], gateway: int | None
) -> list[Any]:
    sources = {flow.source for flow in scenario.flows}
    low_power = {node.address for node in scenario.nodes if node.low_power is not None}
    kinds: list[tuple[str, str, dict[str, Any], list[UnicastAddress]]] = [
        ("relay", "o", {"facecolor": BLUE, "edgecolor": "white"}, []),
        ("no relay", "o", {"facecolor": "white", "edgecolor": INK}, []),
        ("low power", "v", {"facecolor": "white", "edgecolor": INK}, []),
        ("switched off", "X", {"facecolor": GREY, "edgecolor": "white"}, []),
    ]
    for node in scenario.nodes:
        kind = 3 if not node.is_on else 2 if node.address in low_power else 0 if node.relay else 1
        kinds[kind][3].append(node.address)
    rings = [("source of a flow", "s", RED, sorted(sources))]
    if gateway is not None and UnicastAddress(gateway) in places:
        rings.append(("gateway", "D", "#000000", [UnicastAddress(gateway)]))
    kinds += [(text, m, {"facecolor": "none", "edgecolor": colour}, at) for text, m, colour, at in rings]
    size = 90.0 if len(places) <= 60 else 45.0 if len(places) <= SMALL_FROM else 14.0
    handles = []
    for text, marker, colours, members in kinds:
        if members:
            is_ring = colours["facecolor"] == "none"
            x, y = zip(*(places[a] for a in members), strict=True)
            # of many nodes a white edge would cover the neighbour
            edge = 1.5 if is_ring else 0.0 if len(places) > SMALL_FROM and colours["edgecolor"] == "white" else 1.0
            axes.scatter(
                x, y, s=size * (2.4 if is_ring else 1.0), marker=marker, linewidths=edge,
                zorder=5 if is_ring else 4, **colours,
            )  # fmt: skip
            handles.append(_handle(text, marker, colours))
    return handles


def _handle(text: str, marker: str, colours: Mapping[str, Any]) -> Any:
    """The legend's mark, of one size for all."""
    from matplotlib.lines import Line2D

    return Line2D(
        [], [], linestyle="none", marker=marker, markersize=7.0, label=text, markerfacecolor=colours["facecolor"],
        markeredgecolor=colours["edgecolor"],
    )  # fmt: skip


def _leave_room(axes: "Axes", places: Mapping[UnicastAddress, Place]) -> None:
    """Room for marks and labels at the rim; a corridor gets more, for arcs above and below, or beside."""
    wide, high = _extent(places)
    pad = 0.06 * max(wide, high)
    axes.set_xlim(min(x for x, _ in places.values()) - pad, max(x for x, _ in places.values()) + pad)
    axes.set_ylim(min(y for _, y in places.values()) - 1.3 * pad, max(y for _, y in places.values()) + pad)
    if high / wide < FLAT:
        middle = sum(y for _, y in places.values()) / len(places)
        axes.set_ylim(middle - 0.07 * wide, middle + 0.13 * wide)
    elif wide / high < FLAT:
        middle = sum(x for x, _ in places.values()) / len(places)
        axes.set_xlim(middle - 0.13 * high, middle + 0.13 * high)


def _draw_labels(axes: "Axes", scenario: Scenario, places: Mapping[UnicastAddress, Place], gateway: int | None) -> None:
    from matplotlib.patheffects import withStroke

    ringed = {flow.source for flow in scenario.flows} | ({gateway} if gateway is not None else set())
    for address, place in places.items():
        axes.annotate(
            f"{address:04x}", place, xytext=(0, -11 if address in ringed else -7),
            textcoords="offset points", ha="center", va="top", zorder=6,
            fontsize=7.0 if len(places) <= 60 else 5.5, color=INK,
            path_effects=[withStroke(linewidth=2.0, foreground="white")],
        )  # fmt: skip


def _finish(axes: "Axes", scenario: Scenario, is_measured: bool) -> None:
    relays = sum(node.relay and node.is_on for node in scenario.nodes)
    axes.set_title(
        f"{scenario.name}: {counted(len(scenario.nodes), 'node')}, {relays} relay, "
        f"{counted(len(scenario.links), 'directed link')}"
    )
    if is_measured:
        axes.set_xlabel("x, m")
        axes.set_ylabel("y, m")
    else:
        axes.set_xlabel("laid out by links: no scale")
        axes.set_xticks([])
        axes.set_yticks([])
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
