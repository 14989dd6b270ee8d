"""A figure laid out in inches: panels keep their size, whatever stands around them.

Title, names of panels, legend and footnote are wrapped to the width of the figure and measured;
the height of the figure follows from them, so that no text is cut and none takes room from panels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from functools import cache

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.legend import Legend
from matplotlib.ticker import ScalarFormatter

MARGIN = 0.12
LEFT, RIGHT = 0.85, 0.25
GAP = 0.24
TICKS = 0.3
LINE = 1.35 / 72
"""Height of a line in inches for each point of its size."""
NAME_SIZE, TITLE_SIZE, AXIS_SIZE, NOTE_SIZE, LEGEND_SIZE = 9.5, 10.5, 10.0, 8.5, 8.0
NAME_LINES = 3


PAPER_SCALE = 0.62, 0.8
"""Of panels in figures for papers: with the same letters they fit the width of a text."""
_PAPER: ContextVar[bool] = ContextVar("paper", default=False)


@contextmanager
def for_paper() -> Iterator[None]:
    """Draw figures for a paper: smaller panels, and what stands around them goes to the caption."""
    before = _PAPER.set(True)
    try:
        yield
    finally:
        _PAPER.reset(before)


def is_for_paper() -> bool:
    """Return whether figures are drawn for a paper."""
    return _PAPER.get()


@dataclass(frozen=True)
class Around:
    """What stands around the panels.

    Attributes:
        title: of the study.
        what: the figure shows, a line of its own below the title.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        note: how to read the figure.
        handles: of the legend, if there is one.
        names: of the legend's entries.
    """

    title: str
    what: str
    x: str
    y: str
    note: str
    handles: Sequence[Artist] = ()
    names: Sequence[str] = ()


class Sheet:
    """Panels that share both axes.

    Args:
        count: number of panels.
        width: of a panel in inches.
        height: of a panel in inches.
        columns: at most so many; None for about as many as rows.
        fixed: whether the panels keep their size in figures for papers, as texts in them ask for.

    Attributes:
        figure: of the panels.
        axes: the panels, [count].
    """

    def __init__(
        self,
        count: int,
        width: float,
        height: float,
        columns: int | None = None,
        fixed: bool = False,
    ) -> None:
        """Make the panels; `arrange` puts them in their places."""
        self.columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
        if columns is not None:
            self.columns = max(1, min(self.columns, columns))
        self.rows = math.ceil(count / self.columns)
        across, down = PAPER_SCALE if is_for_paper() and not fixed else (1.0, 1.0)
        self.width, self.height = across * width, down * height
        width, height = self.width, self.height
        across = self.columns * width + (self.columns - 1) * GAP
        self.figure = Figure(figsize=(LEFT + across + RIGHT, 5.0))
        canvas = FigureCanvasAgg(self.figure)
        self.renderer = canvas.get_renderer()
        first = self.figure.add_subplot(self.rows, self.columns, 1)
        others = [
            self.figure.add_subplot(self.rows, self.columns, k + 1, sharex=first, sharey=first)
            for k in range(1, count)
        ]
        self.axes: list[Axes] = [first, *others]
        for place, panel in enumerate(self.axes):
            # Only the outer panels carry numbers: also those above an empty place.
            panel.tick_params(labelbottom=place + self.columns >= count)
            panel.tick_params(labelleft=place % self.columns == 0)
            # Panels have no labels of their own: looking for their places takes a sixth of drawing.
            for axis in (panel.xaxis, panel.yaxis):
                axis.set_label_coords(0.5, 0.0)

    def name(self, names: Sequence[str], mathematics: bool = False) -> None:
        """Write names over the panels, wrapped to their width.

        Args:
            names: of the panels.
            mathematics: whether dollar signs mean mathematics; the names are left as they are.
        """
        for panel, name in zip(self.axes, names, strict=True):
            lines = [name] if mathematics else self.wrapped(name, NAME_SIZE, self.width)
            if len(lines) > NAME_LINES:
                lines = [*lines[: NAME_LINES - 1], lines[NAME_LINES - 1][:-1] + "…"]
            panel.set_title("\n".join(lines), fontsize=NAME_SIZE, parse_math=mathematics, pad=5)

    def arrange(self, around: Around) -> Figure:
        """Put everything in its place and return the figure, whose label is its caption."""
        figure = self.figure
        width = figure.get_figwidth()
        end = "" if around.what.endswith(("?", ".")) else "."
        figure.set_label(f"{around.title}: {around.what}{end} {around.note}.")
        if is_for_paper():
            around = replace(around, title="", what="", note="")
        # From the bottom upward, in inches.
        note = self.wrapped(around.note, NOTE_SIZE, width - 2 * MARGIN) if around.note else []
        bottom = MARGIN + len(note) * LINE * NOTE_SIZE
        self._text(width / 2, bottom, "\n".join(note), NOTE_SIZE, "top", name="note")
        legend = self._legend(around.handles, around.names, width - 2 * MARGIN)
        legend_bottom = bottom + 0.08
        if legend:
            bottom = legend_bottom + self._size(legend)[1]
        x_label = bottom + 0.06 + LINE * AXIS_SIZE
        self._text(LEFT + self._across / 2, x_label, around.x, AXIS_SIZE, "top", True)
        panels_bottom = x_label + TICKS
        lines = max(panel.get_title().count("\n") + 1 for panel in self.axes)
        name = lines * LINE * NAME_SIZE + 0.12
        # The row above an incomplete last one has numbers below it.
        ragged = TICKS - 0.05 if len(self.axes) % self.columns else 0.0
        gaps = [name + 0.08 + (ragged if r == self.rows - 1 else 0.0) for r in range(1, self.rows)]
        down = self.rows * self.height + sum(gaps)
        title = []
        for text in filter(None, (around.title, around.what)):
            title += self.wrapped(text, TITLE_SIZE, width - 2 * MARGIN)
        top = panels_bottom + down + name + 0.04 + len(title) * LINE * TITLE_SIZE
        self._text(width / 2, top, "\n".join(title), TITLE_SIZE, "top", name="title")
        figure.text(
            MARGIN, panels_bottom + down / 2, around.y, fontsize=AXIS_SIZE, va="center", ha="left",
            rotation="vertical",
        )  # fmt: skip
        height = top + MARGIN
        figure.set_size_inches(width, height)
        for text in figure.texts:
            x, y = text.get_position()
            text.set_position((x / width, y / height))
        for place, panel in enumerate(self.axes):
            row, column = divmod(place, self.columns)
            left = LEFT + column * (self.width + GAP)
            above = sum(gaps[:row]) + (row + 1) * self.height
            low = panels_bottom + down - above
            panel.set_position(
                (left / width, low / height, self.width / width, self.height / height)
            )
        for panel in filter(_has_no_power_above, self.axes):
            # With a stated y: to look for one above what may stand there is a quarter of drawing.
            name, mathematics = panel.title.get_text(), panel.title.get_parse_math()
            panel.set_title(name, fontsize=NAME_SIZE, parse_math=mathematics, pad=5, y=1.0)
        if legend:
            legend.set_bbox_to_anchor((0.5, legend_bottom / height), figure.transFigure)
        return figure

    @property
    def _across(self) -> float:
        return self.columns * self.width + (self.columns - 1) * GAP

    def _text(
        self, x: float, y: float, text: str, size: float, va: str, mathematics: bool = False,
        name: str = "",
    ) -> None:  # fmt: skip
        """Write text at a place in inches, which `arrange` turns into shares of the figure.

        A name and the height in points are its id in an SVG: a page has these texts elsewhere, and
        cuts off the strips where they stand.
        """
        drawn = self.figure.text(
            x, y, text, fontsize=size, va=va, ha="center", parse_math=mathematics,
            linespacing=LINE * 72 / 1.2,
        )  # fmt: skip
        if name:
            lines = text.count("\n") + 1 if text else 0
            drawn.set_gid(f"{name}-{72 * LINE * size * lines:.1f}")

    def _legend(
        self, handles: Sequence[Artist], names: Sequence[str], width: float
    ) -> Legend | None:
        """Return a legend with as many columns as the width has room for."""
        if not handles:
            return None
        legend = None
        for columns in range(min(len(handles), 8), 0, -1):
            if legend is not None:
                legend.remove()
            # Names are set afterwards: Matplotlib drops entries that begin with an underscore.
            legend = self.figure.legend(
                handles, ["-"] * len(handles), loc="lower center", ncols=columns, borderaxespad=0,
                fontsize=LEGEND_SIZE, handlelength=3.2, borderpad=0.2, columnspacing=1.4,
            )  # fmt: skip
            for text, name in zip(legend.get_texts(), names, strict=True):
                text.set_parse_math(False)
                text.set_text(name)
            if self._size(legend)[0] <= width:
                break
        return legend

    def _size(self, legend: Legend) -> tuple[float, float]:
        """Return width and height in inches."""
        box = legend.get_window_extent(self.renderer)
        return box.width / self.figure.dpi, box.height / self.figure.dpi

    def wrapped(self, text: str, size: float, width: float) -> list[str]:
        """Return lines of a text that are at most so many inches wide, of similar lengths."""
        font = FontProperties(family="DejaVu Sans", size=size)

        @cache
        def pixels(word: str) -> float:
            return self.renderer.get_text_width_height_descent(_wide(word), font, False)[0]

        space = pixels("n n") - 2 * pixels("n")

        def lines(share: float) -> list[str]:
            def fits(line: str) -> bool:
                # Measuring is slow, and hundreds of lines are tried: a word is measured once.
                words = line.split(" ")
                across = sum(map(pixels, words)) + space * (len(words) - 1)
                return across <= share * width * self.figure.dpi

            return wrap(text, fits)

        best = lines(1.0)
        for share in (0.9, 0.8, 0.7, 0.6) if len(best) > 1 else ():
            narrower = lines(share)
            if len(narrower) > len(best):
                break
            best = narrower
        return best


def _has_no_power_above(panel: Axes) -> bool:
    """Return whether no power or offset of numbers stands above the panel, where its name is."""
    if not isinstance(panel.yaxis.get_major_formatter(), ScalarFormatter):
        return True
    low, high = sorted(panel.get_ylim())
    largest = max(abs(low), abs(high))
    return 0.01 <= largest < 10_000 and high - low > 0.1 * largest


def wrap(text: str, fits: Callable[[str], bool]) -> list[str]:
    """Return lines of a text that fit; words are broken only where they do not fit a line.

    Example:
        >>> wrap("one two abcdefgh", lambda line: len(line) <= 7)
        ['one two', 'abcdefg', 'h']
    """
    lines, line = [], ""
    for word in filter(None, text.split(" ")):
        if line and fits(f"{line} {word}"):
            line = f"{line} {word}"
            continue
        lines += [line] if line else []
        while len(word) > 1 and not fits(word):
            # The longest beginning that fits, by bisection: widths grow with it.
            most, too_long = 1, len(word)
            while too_long - most > 1:
                middle = (most + too_long) // 2
                most, too_long = (middle, too_long) if fits(word[:middle]) else (most, middle)
            lines.append(word[:most])
            word = word[most:]
        line = word
    return [*lines, line]


def _wide(text: str) -> str:
    """Return a text for measuring: what the font lacks is as wide as its widest letter."""
    return "".join(c if ord(c) < 0x500 or 0x2000 <= ord(c) < 0x2300 else "W" for c in text)
