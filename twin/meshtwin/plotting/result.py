"""Results: when messages arrive, by flow, and how many do, with their intervals."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Final

from meshtwin.errors import InvalidInput
from meshtwin.plotting.style import CYCLE, GREY, INK, drawing
from meshtwin.sim.result_document import CurveBoundsDocument, FlowDocument, ResultDocument
from meshtwin.sim.summaries import tell_apart
from meshtwin.wording import counted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_results"]

FLOWS_MOST: Final = 24  # more rows could not be read
NAME_MOST: Final = 40  # characters of a name
BAND_ALPHA: Final = 0.22  # several bands over each other are still told apart
OPEN_ALPHA: Final = 0.07  # likewise, and plainly paler
BEFORE_MS: Final = -1.0  # left and right of every picture, whose edges cut a shade that has no bound
FAR_MS: Final = 1e9
DASHES: Final = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))


def draw_results(results: Sequence[ResultDocument], *, flows: Sequence[str] | None = None) -> "Figure":
    """Latency distribution and delivery of every flow, of one result or of several side by side.

    The curve ends at the share that arrived at all: what is lost never arrives. ``flows``: names of those to
    draw; None: all, but no more than 24. Raises `InvalidInput` for an unknown name, or without a result.
    """
    if not results:
        raise InvalidInput("no result to draw", place="plot")
    names = _names(results, flows)
    titles = _titles(results)
    rows = len(names) * len(results)
    with drawing() as picture:
        figure = picture(10.5, max(3.6, 0.28 * rows + 1.6))
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for place, result in enumerate(results):
            known = {flow.name: flow for flow in result.flows}
            for colour, name in enumerate(names):
                if name in known:
                    _draw_curve(left, known[name], CYCLE[colour % len(CYCLE)], place, colour)
        _draw_delivery(right, results, names, titles)
        _finish_curves(left, results, names)
        if len(results) > 1 or len(names) > 1:
            _legend(figure, names, titles)
        figure.suptitle(_headline(results, len(names)), x=0.01, ha="left", fontsize=10.0)
    return figure


def _names(results: Sequence[ResultDocument], wanted: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(flow.name for result in results for flow in result.flows))
    if wanted is None:
        return known[:FLOWS_MOST]
    if unknown := [name for name in wanted if name not in known]:
        raise InvalidInput(f"flow {unknown[0]!r} is not one of {', '.join(known)}", place="plot")
    return list(wanted)


def _titles(results: Sequence[ResultDocument]) -> list[str]:
    """Names as the command line and the library tell them apart; more than two equal ones are numbered."""
    return _told_apart([result.scenario for result in results])


def _told_apart(names: Sequence[str]) -> list[str]:
    titles = [_short(name) for name in names]
    if len(titles) == 2:
        return list(tell_apart(*titles))
    turns = Counter[str]()
    for place, title in enumerate(titles):
        if titles.count(title) > 1 or turns[title]:
            turns[title] += 1
            titles[place] = f"{title} ({turns[title]})"
    return titles


def _draw_curve(axes: "Axes", flow: FlowDocument, colour: str, result: int, place: int) -> None:
    times = flow.latency_milliseconds
    if times is None:
        return
    last = len(times.curve) - 1
    arrived = flow.delivery_ratio.estimate or 0.0
    shares = [arrived * i / last for i in range(last + 1)]
    dashes = DASHES[(result if result else place // len(CYCLE)) % len(DASHES)]
    axes.plot(times.curve, shares, color=colour, linestyle=dashes, linewidth=1.5)
    if times.curve_bounds is not None:
        _draw_band(axes, times.curve_bounds, shares, colour)
        return
    for share, interval in ((0.50, times.p50_interval), (0.95, times.p95_interval), (0.99, times.p99_interval)):
        if interval is not None and interval.low is not None and interval.high is not None:
            height = share * arrived  # a file without bounds of every point
            axes.hlines(height, interval.low, interval.high, color=colour, linewidth=4.0, alpha=BAND_ALPHA)


def _draw_band(axes: "Axes", bounds: CurveBoundsDocument, shares: Sequence[float], colour: str) -> None:
    """Sideways, as the intervals are of times; pale up to the picture's edge where one side has no bound.

    Times grow along the curve and so do their true bounds, hence those on each side are drawn in ascending order: a
    point whose interval is wide or open by chance makes no spike, and the band as a whole covers no less.
    Source: Chernozhukov, Fernandez-Val, Galichon (2009), Improving point and interval estimators of monotone
    functions by rearrangement, Biometrika 96.
    """
    lows = sorted(BEFORE_MS if low is None else low for low in bounds.low)
    highs = sorted(FAR_MS if high is None else high for high in bounds.high)
    sides = [(lows[i] == BEFORE_MS, highs[i + 1] == FAR_MS) for i in range(len(shares) - 1)]  # open below and above
    for is_open, pairs in groupby(range(len(sides)), lambda place: sides[place]):
        if all(is_open):
            continue  # nothing is known
        places = list(pairs)
        part = slice(places[0], places[-1] + 2)
        axes.fill_betweenx(
            shares[part],
            [BEFORE_MS] * (len(places) + 1) if is_open[0] else lows[part],
            [FAR_MS] * (len(places) + 1) if is_open[1] else highs[part],
            color=colour,
            alpha=OPEN_ALPHA if any(is_open) else BAND_ALPHA,
            linewidth=0.0,
        )


def _finish_curves(axes: "Axes", results: Sequence[ResultDocument], names: Sequence[str]) -> None:
    deadlines = {f.deadline_milliseconds for r in results for f in r.flows if f.name in names}
    longest = max(
        (f.latency_milliseconds.p99 for r in results for f in r.flows if f.name in names and f.latency_milliseconds),
        default=1.0,
    )
    for deadline in sorted(deadlines):
        if deadline <= 1.5 * longest:
            axes.axvline(deadline, color=GREY, linewidth=1.0, linestyle=(0, (2, 2)))
            axes.annotate(
                f"deadline {deadline} ms", (deadline, 0.02), xytext=(-3, 0), textcoords="offset points", rotation=90,
                ha="right", va="bottom", fontsize=7.5, color=GREY,
            )  # fmt: skip
    axes.set_title(_curve_title(results))
    axes.set_xlabel("latency, ms")
    axes.set_ylabel("share of (message, member) pairs")
    axes.set_xlim(0.0, max(longest * 1.15, 1.0))
    axes.set_ylim(0.0, 1.03)
    axes.grid(visible=True, color="#e3e3e3", linewidth=0.6)


def _curve_title(results: Sequence[ResultDocument]) -> str:
    times = [f.latency_milliseconds for r in results for f in r.flows if f.latency_milliseconds is not None]
    bounds = [t.curve_bounds for t in times if t.curve_bounds is not None and set(t.curve_bounds.low) != {None}]
    if bounds:
        pale = "; pale: open" if any(map(_is_half_open, bounds)) else ""
        return f"When messages arrive (bands: {bounds[0].level:.0%} intervals, pointwise{pale})"
    return "When messages arrive" if all(t.curve_bounds for t in times) else "When messages arrive (bars: intervals)"


def _is_half_open(bounds: CurveBoundsDocument) -> bool:
    return any((low is None) != (high is None) for low, high in zip(bounds.low, bounds.high, strict=True))


def _draw_delivery(
    axes: "Axes", results: Sequence[ResultDocument], names: Sequence[str], titles: Sequence[str]
) -> None:
    flows, labels, row = _told_apart(names), [], 0
    lowest = 1.0
    for colour, name in enumerate(names):
        for place, result in enumerate(results):
            flow = next((f for f in result.flows if f.name == name), None)
            ratio = None if flow is None else flow.delivery_ratio
            if ratio is not None and ratio.estimate is not None:  # what was never sent has no place
                low = ratio.estimate if ratio.low is None else ratio.low  # not known: drawn without a bar
                high = ratio.estimate if ratio.high is None else ratio.high
                axes.errorbar(
                    ratio.estimate, row, xerr=[[ratio.estimate - low], [high - ratio.estimate]],
                    fmt="os^D"[place % 4], color=CYCLE[colour % len(CYCLE)], capsize=3, markersize=5,
                    markerfacecolor="white" if place else None,
                )  # fmt: skip
                lowest = min(lowest, low)
            label = flows[colour] if len(results) == 1 else f"{flows[colour]}, {titles[place]}"
            labels.append(label if flow is None else label + _answered(flow))
            row += 1
    level = results[0].totals.airtime_ratio.level
    axes.set_yticks(range(row), labels, fontsize=8.0)
    axes.set_ylim(row - 0.4, -0.6)
    axes.set_xlim(max(0.0, lowest - 0.05), 1.005)
    axes.grid(visible=True, axis="x", color="#e3e3e3", linewidth=0.6)
    axes.set_title(f"How many arrive ({level:.0%} interval)")
    axes.set_xlabel("delivery ratio")


def _answered(flow: FlowDocument) -> str:
    ratio = flow.answered_ratio
    return "" if ratio is None or ratio.estimate is None else f"\nanswered {ratio.estimate:.1%}"


def _legend(figure: "Figure", names: Sequence[str], titles: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=CYCLE[i % len(CYCLE)], linestyle=DASHES[i // len(CYCLE) % len(DASHES)], label=name)
        for i, name in enumerate(_told_apart(names))
    ]
    if len(titles) > 1:
        handles += [Line2D([], [], color=INK, linestyle=DASHES[i % len(DASHES)], label=t) for i, t in enumerate(titles)]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(6, len(handles)), fontsize=8.0)


def _headline(results: Sequence[ResultDocument], drawn: int) -> str:
    first = results[0]
    count = counted(first.replications, "replication")
    part = f"{count}, seed {first.seed}, profile {first.profile}, engine {first.engine}"
    known = len({flow.name for result in results for flow in result.flows})
    left_out = "" if drawn == known else f", {drawn} of {known} flows"
    return f"{' against '.join(_titles(results))} ({part}{left_out})"


def _short(name: str) -> str:
    return name if len(name) <= NAME_MOST else f"{name[: NAME_MOST - 1]}…"
