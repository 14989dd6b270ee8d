"""The distribution of the risk above the optimum: many runs stop at the same few levels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.plots import style
from jaxsim.report.plots.sheet import Sheet
from jaxsim.report.text import counted

BINS_PER_DECADE = 40
ROOM = 0.04
"""At both ends, as a share of the axis: the numbers of neighbouring panels stay apart."""
LEAST_LINE = 0.1
"""Bars of at least this part of the highest one are drawn as lines, too."""
_LARGEST = float(np.finfo(float).max) / 4
FAR = 1e4
"""Runs above the 95 % quantile of all by more than this factor are in the last bar."""


def risk_distribution(answer: Answer) -> Figure | None:
    """Draw histograms of L(Theta_n) - inf L at the last checkpoint, one panel per experiment.

    Fine logarithmic bins: levels at which many runs stop (atoms) stand out as thin tall bars. The
    excess is measured from the lower end of the optimum's bracket; grey marks how far the optimum
    may lie above it.
    """
    done = answer.finished
    if not any(e.distribution.count for e in done):
        return None
    if not style.trained(done) and not any(event.of_risk for event in answer.asked):
        return None  # nothing ended anywhere, and nobody asked
    with style.styled():
        sheet = Sheet(len(done), *((5.4, 3.2) if len(done) == 1 else (2.7, 1.8)))
        edges, beyond = _edges(done)
        sheet.axes[0].set_xscale("log")
        style.quiet(sheet.axes)
        inside = [eps for eps in answer.eps if edges[0] < eps < edges[-1]]
        drawn = False
        for place, (panel, experiment) in enumerate(zip(sheet.axes, done, strict=True)):
            share = _shares(experiment, edges) / experiment.runs
            colour = style.COLOURS[place % len(style.COLOURS)]
            panel.stairs(share, edges, fill=True, color=colour)
            # A bar is narrower than a line in small panels: the high ones are drawn as lines, too.
            high = share > LEAST_LINE * share.max(initial=0)
            middle = np.sqrt(edges[1:] * edges[:-1])[high]
            panel.vlines(middle, 0, share[high], colors=colour, lw=1.0, label="_high bars")
            if _open(experiment, edges):
                end = min(max(_gap(experiment), edges[0]), edges[-1])
                panel.axvspan(edges[0], end, color=style.OPEN, lw=0, zorder=0, label="_optimum")
            for eps in inside:
                panel.axvline(eps, color="#888888", lw=0.7, ls=(0, (2, 2)))
            _diverged(panel, experiment)
            drawn |= _levels(panel, experiment, edges, large=len(done) == 1)
        sheet.name(style.with_steps(done))
        room = (edges[-1] / edges[0]) ** ROOM
        sheet.axes[0].set_xlim(edges[0] / room, edges[-1] * room)
        style.number_short(sheet.axes[0].xaxis)
        sheet.axes[0].set_ylim(0, None)
        what = f"where the runs are {style.after(done)}"
        note = ["dotted: the study's ε"] * bool(inside) + _note(done, edges)
        note += ["lines: levels at which polished runs end"] * drawn
        note += ["the outermost bars hold all runs beyond them"] * beyond
        figure = style.dress(sheet, answer, what, note, style.EXCESS, "share of the runs")
    return figure


def _edges(done: Sequence[ExperimentAnswer]) -> tuple[np.ndarray, bool]:
    """Return the edges of the bars, and whether runs lie beyond them."""
    excess, counts = (np.concatenate(c) for c in zip(*map(_excess, done), strict=True))
    positive = excess > 0
    if not positive.any():
        return np.geomspace(1e-3, 1.0, 13), bool(excess.size)
    values, weights = excess[positive], counts[positive]
    order = np.argsort(values)
    reached = np.cumsum(weights[order]) >= 0.95 * weights.sum()
    high = min(values.max(), FAR * values[order][reached][0])
    low = max(values.min(), high * 1e-9)
    # A decade at least: a shorter logarithmic axis may have no number.
    room = max(1.1, np.sqrt(10 * low / high))
    low, high = low / room, high * room
    edges = np.geomspace(low, high, int(BINS_PER_DECADE * np.log10(high / low)) + 1)
    ends = [_ends(experiment) for experiment in done]
    return edges, any((low < edges[0]).any() or (high > edges[-1]).any() for low, high in ends)


def _excess(one: ExperimentAnswer) -> tuple[np.ndarray, np.ndarray]:
    """Return (excess over the lower end of the optimum, count) of the histogram's bins.

    Where nothing is known of the optimum the excess is measured from 0.
    """
    bins = one.distribution
    lower, upper = np.asarray(bins.lower, float), np.asarray(bins.upper, float)
    # Half of each: the sum of two large numbers may overflow.
    return lower / 2 + upper / 2 - _origin(one), np.asarray(bins.count)


def _shares(one: ExperimentAnswer, edges: np.ndarray) -> np.ndarray:
    """Return how many runs are in each bar, those of a bin evenly from its lower to its upper edge.

    Bins are narrow for the risk, but not for an excess that is small beside inf L: at their middles
    runs would look as if they had stopped at a few levels.
    """
    low, high = (ends[:, None] for ends in _ends(one))
    cuts = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
    within = np.diff(np.clip(cuts, low, high))
    at = (cuts[:-1] <= low) & (low < cuts[1:])  # where subtraction leaves no width
    width = high - low
    parts = np.where(width > 0, within / np.where(width > 0, width, 1.0), at)
    return np.asarray(one.distribution.count) @ parts


def _ends(one: ExperimentAnswer) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the greatest excess of each of the histogram's bins."""
    bins, origin = one.distribution, _origin(one)
    with np.errstate(over="ignore"):
        low, high = (np.asarray(ends, float) - origin for ends in (bins.lower, bins.upper))
    return np.clip(low, -_LARGEST, _LARGEST), np.clip(high, -_LARGEST, _LARGEST)


def _origin(one: ExperimentAnswer) -> float:
    value = one.optimum.lower.value
    return value if np.isfinite(value) else 0.0


def _gap(one: ExperimentAnswer) -> float:
    """Return how far the optimum may lie above the origin."""
    return one.optimum.upper.value - _origin(one)


def _open(one: ExperimentAnswer, edges: np.ndarray) -> bool:
    return _gap(one) > edges[0] * 0.01


def _diverged(panel: Axes, one: ExperimentAnswer) -> None:
    lost = one.distribution.diverged
    if lost:
        text = f"all {counted(lost, 'run')} diverged" if lost == one.runs else f"{lost:,} diverged"
        if lost == one.runs == 1:
            text = "the run diverged"
        panel.text(
            0.97, 0.93, text, transform=panel.transAxes, ha="right", va="top", fontsize=8
        )  # fmt: skip


def _levels(panel: Axes, one: ExperimentAnswer, edges: np.ndarray, large: bool) -> bool:
    """Draw the levels of the polished runs that have a place; return whether any has.

    They are named where there is room, frequent ones first.
    """
    room = (edges[-1] / edges[0]) ** (0.03 if large else 0.06)
    levels = one.levels.levels if one.levels is not None else []
    named: list[float] = []
    drawn = False
    for level in sorted(levels, key=lambda level: -level.count):
        excess = level.risk - _origin(one)
        if not edges[0] < excess < edges[-1]:
            continue
        drawn = True
        panel.axvline(excess, color=style.LEVEL, lw=0.8, zorder=0.5)
        if all(excess > room * other or other > room * excess for other in named):
            panel.text(
                excess, 0.98, level.name, transform=panel.get_xaxis_transform(), rotation=90,
                ha="right", va="top", fontsize=7 if large else 5, color=style.LEVEL,
            )  # fmt: skip
            named.append(excess)
    return drawn


def _note(done: Sequence[ExperimentAnswer], edges: np.ndarray) -> list[str]:
    clauses = []
    if any(_open(e, edges) for e in done):
        clauses.append("measured from the lower end of inf L; grey: where inf L may be above it")
    if any(not np.isfinite(e.optimum.lower.value) for e in done):
        clauses.append("measured from 0 where inf L has no lower end")
    return clauses
