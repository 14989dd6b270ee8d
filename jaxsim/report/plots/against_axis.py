"""The probability of exceedance against a number that the grid varies: width, learning rate, ..."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import NullLocator

from jaxsim.estimation import Estimate
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.report.clean import clean
from jaxsim.report.plots import style
from jaxsim.report.plots.grid_axes import Grid, NumericAxis, grid_of, is_logarithmic
from jaxsim.report.plots.labels import short_names
from jaxsim.report.plots.parts import (
    axis_bottom,
    draw_parts,
    in_parts,
    is_rare,
    parts_key,
    resolved_end,
    shown_values,
)
from jaxsim.report.plots.sheet import Sheet
from jaxsim.report.sentences import NOTEWORTHY
from jaxsim.report.text import counted, number

MOST_LINES = len(style.COLOURS) * len(style.LINES)
"""That can be told apart."""
KEY = "#555555"


class Line(NamedTuple):
    """Experiments that differ along the axis only.

    Attributes:
        name: of the line.
        x: places on the axis, increasing, [M].
        experiments: at these, [M]; without finished runs they leave a gap.
    """

    name: str
    x: list[float]
    experiments: list[ExperimentAnswer]


def against_axis(answer: Answer, axes: Sequence[str] = ()) -> Figure | None:
    """Draw P at the last step against a numeric axis of the grid, one panel per event.

    Args:
        answer: of the study.
        axes: key of the axis; the most telling one if it is empty.

    Raises:
        InputError: for a key that is no axis.
    """
    grid = grid_of([e.axes for e in answer.experiments])
    grid = grid.chosen(axes) if axes else grid.told(1)
    if grid is None or not grid.axes or not answer.finished:
        return None
    axis = grid.axes[0]
    every = _lines(answer, grid)
    lines = every[:MOST_LINES]
    done = [e for line in lines for e in line.experiments if e.runs]
    if not done:
        return None
    with style.styled():
        size = (6.4, 3.6) if len(answer.asked) == 1 else (3.1, 2.7)
        sheet = Sheet(len(answer.asked), *size)
        rare = is_rare(top_of(done), done)
        number_axis(sheet.axes[0], axis.places)
        if rare:
            sheet.axes[0].set_yscale("log")
            style.quiet(sheet.axes)
            sheet.axes[0].set_ylim(_bottom(done), 2 if in_parts(done) else 1)
        else:
            sheet.axes[0].set_ylim(-0.03, 1.03)
        for g, panel in enumerate(sheet.axes):
            for place, line in enumerate(lines):
                _course(panel, line, g, place, rare)
        sheet.name([event_name(event) for event in answer.asked], mathematics=True)
        handles, names = _key(lines, done)
        alike = all(event.kind == ABOVE_OPTIMUM for event in answer.asked)
        figure = style.dress(
            sheet,
            answer,
            f"failure probability against {axis.title}, {style.after(done)}",
            _note(answer, grid, lines, len(every), rare),
            clean(axis.title),
            style.PROBABILITY if alike else "failure probability",
            handles,
            names,
        )
    return figure


def number_axis(panel: Axes, places: Sequence[float]) -> None:
    """Make the x axis one of the grid's numbers, logarithmic where they are spaced so."""
    low, high = places[0], places[-1]
    if is_logarithmic(places):
        panel.set_xscale("log")
        room = (high / low) ** 0.06
        panel.set_xlim(low / room, high * room)
    else:
        room = 0.06 * (high - low)
        panel.set_xlim(low - room, high + room)
    panel.xaxis.set_minor_locator(NullLocator())
    shown = thinned(places, 6)
    panel.set_xticks(shown, [short_number(v) for v in shown])


def thinned(places: Sequence[float], most: int) -> list[float]:
    """Return at most so many of the values, evenly chosen, the first one among them."""
    return list(places[:: -(-len(places) // most)])


def short_number(value: float) -> str:
    """Return a value of an axis.

    Example:
        >>> short_number(0.003), short_number(4096.0), short_number(2.0**20)
        ('0.003', '4,096', '1.05e+06')
    """
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e6 else f"{value:.3g}"


def event_name(event: Event) -> str:
    """Return the name of a panel, with mathematics."""
    if event.kind == ABOVE_OPTIMUM:
        return rf"{style.EPS} = {number(event.threshold)}"
    return event.short


def certified_share(e: ExperimentAnswer, g: int) -> float:
    """Return the share of the runs that are certified to fail in all further training."""
    if e.permanent.probability:
        return e.permanent.probability[g]
    return e.permanent.count[g] / max(e.runs, 1)


def _lines(answer: Answer, grid: Grid) -> list[Line]:
    """Return the lines of a figure."""
    axis, others = grid.axes[0], grid.axes[1:]
    groups: dict[tuple, dict[float, ExperimentAnswer]] = {}
    for place, e in enumerate(answer.experiments):
        x = axis.values[place]
        if x is not None:
            key = (grid.names[place], *(other.values[place] for other in others))
            groups.setdefault(key, {})[x] = e
    lines = []
    for (name, *values), there in groups.items():
        told = [
            f"{other.title} {short_number(v)}"
            for other, v in zip(others, values, strict=True)
            if v is not None
        ]
        x = sorted(there)
        lines.append(Line(", ".join(filter(None, [name, *told])), x, [there[v] for v in x]))
    return [line for line in lines if any(e.runs for e in line.experiments)]


def _last(line: Line, g: int) -> list[Estimate | None]:
    return [e.exceedance.estimates[g][-1] if e.runs else None for e in line.experiments]


def top_of(done: Sequence[ExperimentAnswer]) -> float:
    """Return the greatest upper end at the last step."""
    return max(row[-1].upper for e in done for row in e.exceedance.estimates)


def _bottom(done: Sequence[ExperimentAnswer]) -> float:
    last = [row[-1] for e in done for row in e.exceedance.estimates]
    if in_parts(done):
        return axis_bottom(value for one in last for value in shown_values(one))
    return axis_bottom(one.estimate or one.upper for one in last)


def _course(panel: Axes, line: Line, g: int, place: int, rare: bool) -> None:
    """Draw a line at an event: band, estimate, and what is proved or certified."""
    look = style.look(place)
    colour, last = look["color"], _last(line, g)

    def column(name: str) -> np.ndarray:
        return np.array([np.nan if one is None else getattr(one, name) for one in last])

    x = np.array(line.x)
    estimate, most = column("estimate"), column("estimate_upper")
    lower, upper = column("lower"), column("upper")
    if any(one is not None and one.design != "plain" for one in last):
        high = resolved_end(most, upper, column("unresolved"))
        proved = np.nan_to_num(column("provable"))
        draw_parts(
            panel, x, provable=proved, lower=lower, resolved=high, upper=upper, colour=colour
        )
    else:
        panel.fill_between(x, lower, upper, color=colour, alpha=0.13, lw=0, label="_interval")
    shown = np.where(estimate > 0, estimate, np.nan) if rare else estimate
    ends = np.maximum([shown - lower, upper - shown], 0.0)
    panel.errorbar(x, shown, ends, fmt="none", ecolor=colour, lw=0.8).set_label("_ends")
    if any(one is not None and one.undecided for one in last):
        panel.fill_between(x, estimate, most, color=colour, alpha=0.2, lw=0, label="_undecided")
    opened = np.array([one is not None and one.open for one in last])
    answered = np.where(opened, np.nan, estimate)
    panel.plot(x, answered, lw=1.3, ms=3.6, label="_estimate", **look)
    if rare:
        none = opened | (estimate == 0)
        panel.plot(
            x[none], upper[none], "v", color=colour, mfc="white", ms=4.5, label="_none", zorder=4
        )
    _known(panel, line, g, colour)


def _known(panel: Axes, line: Line, g: int, colour: str) -> None:
    """Draw lower bounds for every n and the share of certified runs, where there are any."""
    bounds = [e.exceedance.lower_bounds[g] for e in line.experiments]
    values = [b.value if e.runs else np.nan for b, e in zip(bounds, line.experiments, strict=True)]
    if np.nanmax([0.0, *values]) >= NOTEWORTHY:
        proved = all(b.evidence.proved for b in bounds)
        panel.plot(
            line.x, values, color=colour, lw=0.9, ls=(0, (4, 3)) if proved else (0, (1, 2)),
            marker="_", ms=6, label="_bound", zorder=1.5,
        )  # fmt: skip
    shares = [certified_share(e, g) if e.runs else np.nan for e in line.experiments]
    if np.nanmax([0.0, *shares]) > 0:
        panel.plot(
            line.x, shares, color=colour, lw=0.6, marker="x", ms=4, label="_certified", zorder=1.5
        )


def _bounds(done: Sequence[ExperimentAnswer]) -> list[Any]:
    return [b for e in done for b in e.exceedance.lower_bounds if b.value >= NOTEWORTHY]


def _certified(done: Sequence[ExperimentAnswer]) -> bool:
    return any(certified_share(e, g) > 0 for e in done for g in range(len(e.permanent.count)))


def _key(lines: Sequence[Line], done: Sequence[ExperimentAnswer]) -> tuple[list[Artist], list[str]]:
    """Return handles and names of the legend; a single line without a name needs none."""
    handles: list[Artist] = []
    names: list[str] = []
    if len(lines) > 1 or lines[0].name:
        handles += [Line2D([], [], lw=1.3, ms=3.6, **style.look(k)) for k in range(len(lines))]
        names += short_names([line.name for line in lines])
    if any(b.evidence.proved for b in _bounds(done)):
        handles.append(Line2D([], [], color=KEY, lw=0.9, ls=(0, (4, 3)), marker="_", ms=6))
        names.append("proved for every n")
    if any(not b.evidence.proved for b in _bounds(done)):
        handles.append(Line2D([], [], color=KEY, lw=0.9, ls=(0, (1, 2)), marker="_", ms=6))
        names.append("bound for every n, no proof")
    if _certified(done):
        handles.append(Line2D([], [], color=KEY, lw=0.6, marker="x", ms=4))
        names.append("share of runs certified to fail for ever")
    parts = parts_key() if in_parts(done) else ([], [])
    return [*handles, *parts[0]], [*names, *parts[1]]


def _note(answer: Answer, grid: Grid, lines: Sequence[Line], every: int, rare: bool) -> list[str]:
    drawn = [e for line in lines for e in line.experiments]
    done = [e for e in drawn if e.runs]
    last = [row[-1] for e in done for row in e.exceedance.estimates]
    level = f"{100 * answer.confidence:.12g}\u00a0%"
    note = [f"bars, shaded: {level} {answer.interval} interval of each point, for itself"]
    if any(one.undecided for one in last):
        note.append("darker: undecided runs above those that certainly fail")
    if rare and any(one.open or not one.estimate for one in last):
        note.append("open triangles: no run fails, or more is unresolved than known; upper ends")
    if grid.along:
        verb = "go" if len(grid.along) > 1 else "goes"
        note.append(f"{' and '.join(grid.along)} {verb} with it")
    if every > len(lines):
        note.append(f"the first {len(lines)} of {every:,} lines")
    note += left_out(grid.axes[:1], len(drawn) - len(done))
    return note


def left_out(axes: Sequence[NumericAxis], unfinished: int) -> list[str]:
    """Return clauses on experiments that a figure of the grid does not show."""
    note = []
    if unfinished:
        note.append(f"{counted(unfinished, 'experiment')} without finished runs: gaps")
    for axis in axes:
        without = sum(value is None for value in axis.values)
        if without:
            note.append(f"{counted(without, 'experiment')} without {axis.title} not shown")
    return note
