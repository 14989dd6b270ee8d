"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes."""

from __future__ import annotations

import gc
import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.clean import clean
from jaxsim.report.plots.labels import short_names
from jaxsim.report.plots.sheet import Around, Sheet
from jaxsim.report.sentences import given, risk_over
from jaxsim.report.text import counted
from jaxsim.results.files import write_atomically

# Okabe and Ito (2008), without yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OTHERS = "#c8c8c8"
BOUND = "#7a3b00"
OPEN = "#e4e4e4"
LEVEL = "#7a3b00"
AXIS = "#555555"
PROVED: Any = (0, (1, 1))
"""Line of what needs no run."""

PROBABILITY = r"$P(\,L(\Theta_n) > \inf_\theta L + \varepsilon\,)$"
EXCESS = r"$L(\Theta_n) - \inf_\theta L$"
RISK = r"$L(\Theta_n)$"
EPS = r"$\varepsilon$"
STEPS = r"step $n$"

SETTINGS: Any = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": AXIS,
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxsim",
    "pdf.fonttype": 42,
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the look while a figure is made, and nowhere else."""
    with mpl.rc_context(SETTINGS), warnings.catch_warnings():
        # Boxes in the PNG say it; browsers have the characters for the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def names(done: Sequence[ExperimentAnswer]) -> list[str]:
    """Return the names of the experiments in figures."""
    return short_names([e.label for e in done])


def quiet(axes: Sequence[Axes]) -> None:
    """Drop the minor ticks: dozens of small panels with them take seconds to draw."""
    for panel in axes:
        panel.minorticks_off()


SHORT = 2.0
"""Decades of a logarithmic axis below which powers of ten alone are too few numbers."""


def number_short(axis: Axis) -> None:
    """Give a short logarithmic axis, whose limits are set, also the numbers 2 and 5."""
    low, high = axis.get_view_interval()
    if axis.get_scale() == "log" and 0 < low < high < low * 10**SHORT:
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def dress(
    sheet: Sheet,
    answer: Answer,
    what: str,
    note: Sequence[str],
    x: str,
    y: str,
    handles: Sequence[Artist] = (),
    entries: Sequence[str] = (),
) -> Figure:
    """Put title, axis labels, legend and footnote around the panels.

    Args:
        sheet: with its panels drawn.
        answer: of the study.
        what: the figure shows.
        note: clauses of the footnote, which begins with the number of runs.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        handles: of the legend.
        entries: of the legend.
    """
    runs = sorted({e.runs for e in answer.finished})
    note_text = counted(runs[-1], "run") if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,} runs"
    if len(answer.finished) > 1:
        note_text += " per experiment"
    condition = given([e.exceedance.evidence for e in answer.finished])
    note = [*note, condition] if condition else note
    over = risk_over(answer.finished)
    note = [over, *note] if over else note
    around = Around(
        title=clean(answer.title or answer.name),
        what=what,
        x=x,
        y=y,
        note="; ".join([note_text, *note]),
        handles=handles,
        names=entries,
    )
    return sheet.arrange(around)


def after(done: Sequence[ExperimentAnswer]) -> str:
    """Return when the last checkpoint is, in words."""
    steps = {e.checkpoints[-1] for e in done}
    return f"after {counted(steps.pop(), 'step')}" if len(steps) == 1 else "after the last step"


def trained(done: Sequence[ExperimentAnswer]) -> bool:
    """Return whether any experiment has a step, so that something can be drawn against steps."""
    return any(e.checkpoints[-1] > 0 for e in done)


def with_steps(done: Sequence[ExperimentAnswer]) -> list[str]:
    """Return the names of the experiments, with their last steps where these differ."""
    if len({e.checkpoints[-1] for e in done}) == 1:
        return names(done)
    return [
        f"{name} ({counted(e.checkpoints[-1], 'step')})"
        for name, e in zip(names(done), done, strict=True)
    ]


def step_axis(axes: Axes, steps: Sequence[int]) -> None:
    """Make the x axis one of training steps: logarithmic, with 0 shown."""
    last = int(steps[-1])
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    axes.set_xlim(0, last * 1.15)
    powers = [10**p for p in range(12) if 10**p <= last]
    thin = powers[:: max(1, math.ceil(len(powers) / 5))]
    axes.set_xticks([0, *thin], ["0", *(_count(p) for p in thin)])
    axes.set_xticks([], minor=True)


def _count(value: int) -> str:
    return f"{value:,}" if value < 10_000 else f"$10^{{{round(math.log10(value))}}}$"


def look(place: int) -> dict[str, Any]:
    """Return colour, line and marker of the experiment with a number."""
    turn = place // len(COLOURS)
    return {
        "color": COLOURS[place % len(COLOURS)],
        "linestyle": LINES[turn % len(LINES)],
        "marker": MARKERS[(place + 3 * turn) % len(MARKERS)],
    }


def heat() -> Colormap:
    """Return the colours of maps: one hue, the darker the higher, also in grey."""
    return mpl.colormaps["Blues"]


def joint(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return all finite positive values of several arrays."""
    flat = np.concatenate([np.ravel(v) for v in values])
    return flat[np.isfinite(flat) & (flat > 0)]


FORMATS: dict[str, dict[str, Any]] = {
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
    "png": {"dpi": 160},
}
"""Formats of figures and how they are saved: the same bytes for the same content."""


@contextmanager
def each_given_back() -> Iterator[Callable[[], object]]:
    """Yield what gives the memory of figures back that nobody holds any more: some 20 MiB each.

    The parts of a figure refer to each other: only the garbage collector frees them, and it is not
    to look through all that the process has besides. Where somebody else has set that aside, it is
    left alone.
    """
    if gc.get_freeze_count():
        yield lambda: None
        return
    gc.freeze()
    try:
        yield gc.collect
    finally:
        gc.unfreeze()


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the latter with the same bytes for the same content."""
    targets = [path.with_suffix(f".{kind}") for kind in ("png", "svg")]
    for target in targets:
        save_as(figure, target, target.suffix[1:])
    return targets


def save_as(figure: Figure, path: Path, kind: str) -> None:
    """Write a figure in one of `FORMATS`."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format=kind, **FORMATS[kind])
    write_atomically(path, buffer.getvalue())
