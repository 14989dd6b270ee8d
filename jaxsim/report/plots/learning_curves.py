"""Learning curves as quantile fans."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.plots import style
from jaxsim.report.plots.sheet import Sheet

GREW = 1e3
"""Risks above the largest one at the start by more than this factor are off the axis."""
DECADES = 8
BELOW = 1e-4
"""Factor below the end of a logarithmic axis at which zeros are drawn."""
FEW = 16
"""Checkpoints that are marked: between them nothing is known."""
FAR = float(np.finfo(float).max ** 0.25)


def learning_curves(answer: Answer) -> Figure | None:
    """Draw the 5, 25, 50, 75 and 95 per cent quantiles of the true risk against n.

    Thin lines around the median are the ends of its distribution-free interval. The optimal risk is
    a dotted line, or two around a grey strip that holds it. Networks that were not trained have no
    such figure.
    """
    done = answer.finished
    if not style.trained(done):
        return None
    with style.styled():
        sheet = Sheet(len(done), *((5.4, 3.2) if len(done) == 1 else (2.7, 1.8)))
        style.step_axis(sheet.axes[0], max((e.checkpoints for e in done), key=lambda c: c[-1]))
        logarithmic = _scale(sheet.axes[0], done)
        style.quiet(sheet.axes)
        bottom, top = sheet.axes[0].get_ylim()
        for place, (panel, experiment) in enumerate(zip(sheet.axes, done, strict=True)):
            _optimum(panel, experiment, bottom if logarithmic else -FAR, top)
            n, colour = experiment.checkpoints, style.COLOURS[place % len(style.COLOURS)]
            one = len(n) == 1
            # Of exact zeros a logarithmic axis has none: they are drawn below its end.
            zero = bottom * BELOW if logarithmic else 0.0
            for low, high, alpha in ((0, -1, 0.16), (1, -2, 0.3)):
                ends = _plotted(experiment, low, zero), _plotted(experiment, high, zero)
                panel.fill_between(n, *ends, color=colour, alpha=alpha, lw=0)
                if one:
                    panel.vlines(n, *ends, color=colour, alpha=2 * alpha, lw=4)
            middle = len(experiment.quantiles.levels) // 2
            marks = {"marker": "o", "ms": 6 if one else 2.2} if len(n) <= FEW else {}
            panel.plot(n, _plotted(experiment, middle, zero), color=colour, lw=1.7, **marks)
            for values in (experiment.quantiles.lower, experiment.quantiles.upper):
                # A lower end that too few runs or the error of the risk leave open is no line.
                ends = np.asarray(values[middle])
                ends = np.where(ends <= (0.0 if logarithmic else -FAR), np.nan, ends)
                panel.plot(n, _finite(ends), color=colour, lw=0.6)
        sheet.axes[0].set_ylim(bottom, top)
        style.number_short(sheet.axes[0].yaxis)
        sheet.name(style.names(done))
        note = [
            "line: median, with its distribution-free interval",
            "dark: 25 to 75\u00a0%",
            "light: 5 to 95\u00a0%",
            *_optimum_note(done, bottom if logarithmic else -FAR),
        ]
        if any(e.diverged for e in done):
            note.append("diverged runs count as infinite")
        what = "quantiles of the true risk"
        figure = style.dress(sheet, answer, what, note, style.STEPS, style.RISK)
    return figure


def _scale(panel: Axes, done: Sequence[ExperimentAnswer]) -> bool:
    """Set the scale and the limits of the vertical axis; return whether it is logarithmic."""
    values = [np.asarray(e.quantiles.value) for e in done]
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    if not finite.size:
        return False
    starts = [v[:, 0][np.isfinite(v[:, 0])] for v in values]
    start = max((s.max() for s in starts if s.size), default=finite.max())
    top = min(finite.max(), GREW * abs(start)) if start else finite.max()
    ends = np.array([_ends(e) for e in done])
    shown = np.concatenate([finite, ends[np.isfinite(ends)]])
    if finite.min() >= 0 and top > 0:
        least = max(style.joint([shown]).min(), top * 10.0**-DECADES)
        if least < top / 10:
            panel.set_yscale("log")
            panel.set_ylim(least * 0.7, top * 1.4)
            return True
    # Negative risks, or less than a decade, which may have no number on a logarithmic axis.
    low = max(shown.min(), finite.min() - GREW * abs(finite.min()))
    room = 0.05 * (top - low) or 0.1 * abs(top) or 1.0
    panel.set_ylim(low - room, top + room)
    return False


def _ends(one: ExperimentAnswer) -> tuple[float, float]:
    return one.optimum.lower.value, one.optimum.upper.value


def _open(one: ExperimentAnswer) -> bool:
    """Return whether the ends of the optimum's bracket can be told apart in a figure."""
    lower, upper = _ends(one)
    return upper - lower > 0.02 * abs(upper) or not np.isfinite(upper - lower)


def _optimum(panel: Axes, one: ExperimentAnswer, bottom: float, top: float) -> None:
    """Draw what is known of the optimal risk; below the axis nothing is drawn."""
    lower, upper = _ends(one)
    if _open(one):
        ends = max(lower, bottom), min(upper, top)
        if ends[0] < ends[1]:
            panel.axhspan(*ends, color=style.OPEN, lw=0, zorder=0, label="_optimum")
    for value in {lower, upper} if _open(one) else {upper}:
        if np.isfinite(value) and value > bottom:
            panel.axhline(value, color="#444444", lw=0.9, ls=(0, (1, 1.5)), label="_optimum")


def _optimum_note(done: Sequence[ExperimentAnswer], bottom: float) -> list[str]:
    """Return what lines and strip of the optimal risk mean."""
    wide = [e for e in done if _open(e)]
    if not wide:
        return ["dotted: inf L"]
    clauses = ["grey: inf L lies in it; dotted: its upper and lower ends"]
    if any(_ends(e)[0] <= bottom for e in wide):
        clauses[0] += " (a lower end below the axis is not shown)"
    if any(np.isinf(_ends(e)[1]) for e in wide):
        clauses.append("where the grey has no upper end none is known")
    return clauses


def _plotted(one: ExperimentAnswer, level: int, zero: float) -> np.ndarray:
    """Return a quantile: diverged runs lie above the axis, not at infinity, and zeros at `zero`."""
    values = _finite(one.quantiles.value[level])
    return np.where(values == 0, zero, values)


def _finite(values: ArrayLike) -> np.ndarray:
    """Return values, infinite ones far beyond the ends of the axis."""
    return np.clip(np.asarray(values, float), -FAR, FAR)
