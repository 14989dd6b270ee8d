"""One look for all figures: colours that colour-blind readers can tell apart, quiet axes."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.results.files import write_atomically

# Okabe and Ito (2008), without yellow, which vanishes on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
LINES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OTHERS = "#c8c8c8"
FLOOR = "#7a3b00"

PROBABILITY = r"$P(\,L(\Theta_n) > \inf_\theta L + \varepsilon\,)$"
EXCESS = r"$L(\Theta_n) - \inf_\theta L$"
RISK = r"$L(\Theta_n)$"
EPS = r"$\varepsilon$"
STEPS = r"step $n$"

SETTINGS: Any = {
    "font.size": 9.0,
    "font.family": "DejaVu Sans",
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "jaxsim",
}


@contextmanager
def styled() -> Iterator[None]:
    """Apply the look while a figure is made, and nowhere else."""
    with mpl.rc_context(SETTINGS):
        yield


def finished(answer: Answer) -> list[ExperimentAnswer]:
    """Return the experiments with at least one finished run."""
    return answer.finished


def panels(count: int, *, width: float = 2.9, height: float = 2.3) -> tuple[Figure, list[Axes]]:
    """Return a figure with `count` panels that share both axes, and the panels."""
    columns = count if count <= 3 else min(4, math.ceil(math.sqrt(count)))
    rows = math.ceil(count / columns)
    size = (max(width * columns, 5.2) + 0.5, max(height * rows, 2.9) + 1.1)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    flat = list(grid.ravel())
    for unused in flat[count:]:
        unused.set_axis_off()
    # With shared axes only the outer panels carry numbers: also those above an empty place.
    for place, axes in enumerate(flat[:count]):
        axes.tick_params(labelbottom=place + columns >= count)
    return figure, flat[:count]


def quiet(axes: Sequence[Axes]) -> None:
    """Drop the minor ticks: dozens of small panels with them take seconds to draw."""
    for panel in axes:
        panel.minorticks_off()


def dress(figure: Figure, answer: Answer, what: str, note: str, x: str, y: str) -> None:
    """Put the title, the axis labels and the footnote around the panels."""
    title = answer.title or answer.name
    figure.suptitle(f"{title}\n{what}", fontsize=10.5)
    figure.supylabel(y, fontsize=10)
    runs = sorted({e.runs for e in finished(answer)})
    counted = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
    figure.supxlabel(f"{x}\n{counted} runs per experiment; {note}", fontsize=8.5)


def step_axis(axes: Axes, steps: Sequence[int]) -> None:
    """Make the x axis one of training steps: logarithmic, with 0 shown."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.4)
    last = int(steps[-1])
    axes.set_xlim(0, last * 1.15 if last else 1)
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


def short(label: str, most: int = 34) -> str:
    """Return a label that fits over a panel; dollar signs are text, not mathematics."""
    label = label.replace("$", r"\$")
    return label if len(label) <= most else label[: most - 1] + "…"


def joint(values: Sequence[np.ndarray]) -> np.ndarray:
    """Return all finite positive values of several arrays."""
    flat = np.concatenate([np.ravel(v) for v in values])
    return flat[np.isfinite(flat) & (flat > 0)]


def save(figure: Figure, path: Path) -> list[Path]:
    """Write a figure as PNG and SVG, the latter with the same bytes for the same content."""
    written = []
    with styled():
        # The layout is worked out once, not for each of the two files.
        figure.canvas.draw()
        figure.set_layout_engine("none")
        kinds: dict[str, Any] = {"png": {"dpi": 160}, "svg": {"metadata": {"Date": None}}}
        for kind, options in kinds.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, **options)
            target = path.with_suffix(f".{kind}")
            write_atomically(target, buffer.getvalue())
            written.append(target)
    return written
