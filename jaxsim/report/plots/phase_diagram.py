"""The probability of exceedance over two numbers that the grid varies, as a map."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.report.clean import clean
from jaxsim.report.plots import style
from jaxsim.report.plots.against_axis import (
    certified_share,
    left_out,
    short_number,
    thinned,
    top_of,
)
from jaxsim.report.plots.grid_axes import Grid, NumericAxis, grid_of
from jaxsim.report.plots.labels import cut
from jaxsim.report.plots.parts import axis_bottom, in_parts, is_rare
from jaxsim.report.plots.sheet import Sheet
from jaxsim.report.sentences import NOTEWORTHY
from jaxsim.report.text import estimate_text, lower_text, number

MOST_PANELS = 24
CELL = 0.86, 0.5
"""Of a cell with its interval, in inches."""
WIDEST = 12.5
"""Of all panels beside each other, in inches."""
SMALL_CELL = 0.46, 0.24
"""Of a cell with its probability only."""
MOST_CELLS = 8
"""Along an axis, up to which cells have their intervals."""
PLAIN_CELL = 3.4
"""Width of a panel whose cells have no text."""
MISSING, EMPTY = "#bbbbbb", "xxx"
"""Colour and hatch of cells without runs."""


class Map(NamedTuple):
    """What a panel shows.

    Attributes:
        name: of the panel.
        values: by row (y) and column (x), [Y, X]; not a number where there are no runs.
        texts: of the cells, in one or two lines.
        open: cells whose value is an upper end: no run fails, or more is unresolved than known.
        aside: whether it shows what is proved or certified, not the probability.
    """

    name: str
    values: np.ndarray
    texts: list[list[str]]
    open: np.ndarray
    aside: bool = False


def phase_diagram(answer: Answer, axes: Sequence[str] = ()) -> Figure | None:
    """Draw P at the last step over two numeric axes of the grid.

    One panel per event and what else differs, and panels of what is proved or certified.

    Args:
        answer: of the study.
        axes: keys of the horizontal and the vertical axis; the most telling ones if it is empty.

    Raises:
        InputError: for a key that is no axis.
    """
    grid = grid_of([e.axes for e in answer.experiments])
    grid = grid.chosen(axes) if axes else grid.told(2)
    if grid is None or len(grid.axes) < 2 or not answer.finished:
        return None
    x, y = grid.axes[:2]
    across, down = len(x.places), len(y.places)
    many = max(across, down) > MOST_CELLS
    maps, done = _maps(answer, grid, many)
    if not maps:
        return None
    shown = maps[:MOST_PANELS]
    rare = is_rare(top_of(done), done)
    with style.styled():
        size = _size(across, down, many, _longest(shown))
        sheet = Sheet(len(shown), *size, columns=int(WIDEST / size[0]), fixed=True)
        norm, colours = _scale(shown, rare), style.heat()
        first = sheet.axes[0]
        for axis, places, set_ticks in (
            (x, x.places, first.set_xticks),
            (y, y.places, first.set_yticks),
        ):
            chosen = thinned(places, 10 if axis is y else max(3, int(6 * sheet.width / 3)))
            set_ticks([places.index(v) for v in chosen], [short_number(v) for v in chosen])
        first.set_xlim(-0.5, across - 0.5)
        first.set_ylim(-0.5, down - 0.5)
        for panel, one in zip(sheet.axes, shown, strict=True):
            _panel(panel, one, norm, colours, sheet.width / across)
        sheet.name([one.name for one in shown])
        handles, names = _key(shown, norm, colours, rare)
        figure = style.dress(
            sheet,
            answer,
            f"failure probability by {x.title} and {y.title}, {style.after(done)}",
            _note(answer, grid, (x, y), many, maps),
            clean(x.title),
            clean(y.title),
            handles,
            names,
        )
    return figure


def _longest(maps: Sequence[Map]) -> int:
    """Return the number of letters of the longest line in a cell."""
    return max(len(line) for m in maps for row in m.texts for t in row for line in t.split("\n"))


def _size(across: int, down: int, many: bool, letters: int) -> tuple[float, float]:
    """Return width and height of a panel in inches."""
    if across * SMALL_CELL[0] > 4 * PLAIN_CELL or down * SMALL_CELL[1] > 3 * PLAIN_CELL:
        return PLAIN_CELL, PLAIN_CELL
    cell = SMALL_CELL if many else CELL
    width = cell[0] if many else max(cell[0], 0.058 * letters)
    return max(across * width, 1.7), max(down * cell[1], 0.8)


def _maps(answer: Answer, grid: Grid, many: bool) -> tuple[list[Map], list[ExperimentAnswer]]:
    """Return the panels, and the experiments with runs that they show."""
    x, y, *others = grid.axes
    groups: dict[tuple, dict[tuple[float, float], ExperimentAnswer]] = {}
    for place, e in enumerate(answer.experiments):
        at = x.values[place], y.values[place]
        if at[0] is not None and at[1] is not None:
            key = (grid.names[place], *(axis.values[place] for axis in others))
            groups.setdefault(key, {})[at[0], at[1]] = e
    maps: list[Map] = []
    done: list[ExperimentAnswer] = []
    for (name, *values), there in groups.items():
        cells = [[there.get((a, b)) for a in x.places] for b in y.places]
        known = [e for row in cells for e in row if e is not None and e.runs]
        if not known:
            continue
        done += known
        told = [
            f"{axis.title} {short_number(v)}"
            for axis, v in zip(others, values, strict=True)
            if v is not None
        ]
        group = cut(clean(", ".join(filter(None, [name, *told]))))
        for g, event in enumerate(answer.asked):
            title = f"{group}: {_name(event)}" if group else _name(event)
            maps += _of_event(cells, known, g, title, many)
    # What is proved or certified comes after the probabilities.
    return sorted(maps, key=lambda m: m.aside), done


def _name(event: Event) -> str:
    return f"ε = {number(event.threshold)}" if event.kind == ABOVE_OPTIMUM else event.short


Cells = list[list[ExperimentAnswer | None]]
"""Experiments by row and column; None where the grid has none."""


class _Known(NamedTuple):
    """What is known of the experiments of a panel besides their estimates.

    Attributes:
        bounds: lower bounds for every n that are worth showing.
        alike: the one bound, if all experiments have the same.
        proved: whether all of them are proved.
        certified: whether any run is certified to fail in all further training.
    """

    bounds: bool
    alike: float | None
    proved: bool
    certified: bool

    @classmethod
    def of(cls, known: Sequence[ExperimentAnswer], g: int) -> _Known:
        bounds = [e.exceedance.lower_bounds[g] for e in known]
        values = {b.value for b in bounds}
        return cls(
            bounds=max(values) >= NOTEWORTHY,
            alike=values.pop() if len(values) == 1 else None,
            proved=all(b.evidence.proved for b in bounds),
            certified=any(certified_share(e, g) > 0 for e in known),
        )

    @property
    def words(self) -> str:
        return "proved for every n" if self.proved else "bound for every n, no proof"


def _of_event(
    cells: Cells, known: Sequence[ExperimentAnswer], g: int, name: str, many: bool
) -> list[Map]:
    """Return the panel of an event, and where cells have no room those of what else is known."""
    also = _Known.of(known, g)
    title = name
    if also.bounds and also.alike is not None:
        title = f"{name}, ≥ {lower_text(also.alike)} {also.words}"

    def cell(e: ExperimentAnswer) -> _Cell:
        one = e.exceedance.estimates[g][-1]
        middle, low, high = estimate_text(one)
        opened = one.open or not one.estimate
        more = []
        if also.bounds and also.alike is None:
            more.append(f"≥ {lower_text(e.exceedance.lower_bounds[g].value)}")
        if also.certified:
            more.append(f"× {certified_share(e, g):.2g}")
        lines = [f"≤ {high}"] if opened else [middle, f"[{low}, {high}]"]
        value = one.upper if opened else one.estimate
        return _Cell(value, "\n".join([*lines, "  ".join(more)]).rstrip(), opened)

    maps = [_map(title, cells, cell)]
    if many and also.bounds and also.alike is None:
        maps.append(
            _map(
                f"{name}, {also.words}",
                cells,
                lambda e: _Cell(
                    e.exceedance.lower_bounds[g].value,
                    f"≥ {lower_text(e.exceedance.lower_bounds[g].value)}",
                ),
            )._replace(aside=True)
        )
    if many and also.certified:
        maps.append(
            _map(
                f"{name}, certified to fail for ever",
                cells,
                lambda e: _Cell(certified_share(e, g), f"{certified_share(e, g):.2g}"),
            )._replace(aside=True)
        )
    return maps


class _Cell(NamedTuple):
    value: float
    text: str
    open: bool = False


def _map(name: str, cells: Cells, look: Callable[[ExperimentAnswer], _Cell]) -> Map:
    empty = _Cell(math.nan, "")
    rows = [[look(e) if e is not None and e.runs else empty for e in row] for row in cells]
    return Map(
        name,
        np.array([[cell.value for cell in row] for row in rows]),
        [[cell.text for cell in row] for row in rows],
        np.array([[cell.open for cell in row] for row in rows]),
    )


def _scale(maps: Sequence[Map], rare: bool) -> Normalize:
    """Return the scale of the colours: logarithmic for rare events."""
    if not rare:
        return Normalize(0, 1)
    values = np.concatenate([m.values.ravel() for m in maps])
    values = values[np.isfinite(values)]
    return LogNorm(axis_bottom(values.tolist()), max(values.max(), 1e-29), clip=True)


def _panel(panel: Axes, one: Map, norm: Normalize, colours: Colormap, width: float) -> None:
    """Draw the cells of a panel, `width` inches wide each."""
    down, across = one.values.shape
    panel.grid(False)
    panel.set_facecolor("white")
    values = np.ma.masked_invalid(one.values)
    panel.pcolormesh(
        np.arange(across + 1) - 0.5, np.arange(down + 1) - 0.5, values, norm=norm, cmap=colours,
        edgecolors="white", linewidth=0.6,
    )  # fmt: skip
    for row in range(down):
        for column in range(across):
            _cell(panel, one, row, column, norm, colours, width)


def _cell(
    panel: Axes, one: Map, row: int, column: int, norm: Normalize, colours: Colormap, width: float
) -> None:
    value = one.values[row, column]
    if not math.isfinite(value):
        panel.fill_between(
            [column - 0.5, column + 0.5], row - 0.5, row + 0.5, facecolor="none",
            edgecolor=MISSING, hatch=EMPTY, lw=0, label="_missing",
        )  # fmt: skip
        return
    if width < SMALL_CELL[0] - 1e-9:
        return
    text = one.texts[row][column]
    if width < CELL[0] - 1e-9:
        text = text.split("\n")[0]
    shade = colours(float(norm(max(value, 0.0) or norm.vmin or 0.0)))
    light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
    panel.text(
        column, row, text, ha="center", va="center", fontsize=6.5, linespacing=1.15,
        color="black" if light else "white", parse_math=False,
        style="italic" if one.open[row, column] else "normal",
    )  # fmt: skip


def _key(
    maps: Sequence[Map], norm: Normalize, colours: Colormap, rare: bool
) -> tuple[list[Artist], list[str]]:
    """Return handles and names of the legend: colours of some values, and cells without runs."""
    if rare:
        low, high = (math.floor(math.log10(v)) for v in (norm.vmin or 1e-30, norm.vmax or 1.0))
        values = [10.0**p for p in range(low, high + 1, max(1, (high - low) // 5))]
    else:
        values = [0.0, 0.25, 0.5, 0.75, 1.0]
    handles: list[Artist] = [
        Patch(facecolor=colours(float(norm(v))), edgecolor=MISSING, lw=0.4) for v in values
    ]
    names = [f"{v:g}" for v in values]
    if any(not np.isfinite(m.values).all() for m in maps):
        handles.append(Patch(facecolor="none", edgecolor=MISSING, hatch=EMPTY, lw=0))
        names.append("no runs")
    return handles, names


def _note(
    answer: Answer, grid: Grid, axes: Sequence[NumericAxis], many: bool, maps: Sequence[Map]
) -> list[str]:
    level = f"{100 * answer.confidence:.12g}\u00a0%"
    note = [f"intervals: {level} {answer.interval}, each for itself"]
    if any(m.open.any() for m in maps):
        note.append("≤: no run fails, or more is unresolved than known; upper ends")
    texts = [text for m in maps for row in m.texts for text in row]
    if not many and any("\n≥" in text for text in texts):
        note.append("≥: lower bound for every n")
    if not many and any("× " in text for text in texts):
        note.append("×: share of runs certified to fail for ever")
    if in_parts(answer.finished):
        note.append("strata joined")
    if grid.along:
        verb = "go" if len(grid.along) > 1 else "goes"
        note.append(f"{' and '.join(grid.along)} {verb} with them")
    if len(maps) > MOST_PANELS:
        note.append(f"the first {MOST_PANELS} of {len(maps):,} panels")
    return note + left_out(axes, 0)
