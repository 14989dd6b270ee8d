"""The probability of exceedance, against eps and against n."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsim.report.analysis import Analysis, ExperimentAnalysis
from jaxsim.report.plots import style
from jaxsim.report.text import number


def against_eps(analysis: Analysis) -> Figure | None:
    """Draw P against eps at the last checkpoint, one panel per experiment.

    The band is simultaneous in eps and n; triangles mark what is provable for every n.
    """
    done = style.finished(analysis)
    if not done:
        return None
    with style.styled():
        figure, axes = style.panels(len(done))
        for place, (panel, one) in enumerate(zip(axes, done, strict=True)):
            for other in done:
                if other is not one:
                    panel.plot(other.band.eps, other.curve[:, -1], color=style.OTHERS, lw=0.7)
            colour = style.COLOURS[place % len(style.COLOURS)]
            panel.fill_between(*_steps(one), color=colour, alpha=0.22, lw=0)
            panel.plot(one.band.eps, one.curve[:, -1], color=colour, lw=1.6)
            _provable(panel, one)
            panel.set_title(style.short(one.experiment.label))
        axes[0].set_xscale("log")
        style.quiet(axes)
        low, high = _range(done)
        axes[0].set_xlim(low, high)
        axes[0].set_ylim(-0.03, 1.03)
        note = (
            f"band: {100 * analysis.confidence:.12g} % confidence for all ε and n together; "
            "triangles: provable for every n; grey: the other experiments"
        )
        what = f"failure probability after {done[0].checkpoints[-1]:,} steps"
        style.dress(figure, analysis, what, note, style.EPS, style.PROBABILITY)
    return figure


def _steps(one: ExperimentAnalysis) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (eps, lower, upper) of the band as it holds between its thresholds.

    P does not increase in eps: between two thresholds the upper limit is that of the left one and
    the lower limit that of the right one.
    """
    eps = np.repeat(one.band.eps, 2)[1:-1]
    return eps, np.repeat(one.band.lower[1:, -1], 2), np.repeat(one.band.upper[:-1, -1], 2)


def _provable(panel: Axes, one: ExperimentAnalysis) -> None:
    values = np.array([floor.value for floor in one.floors])
    shown = (values > 0) & (one.eps > 0)
    if shown.any():
        panel.plot(one.eps[shown], values[shown], "^", color=style.FLOOR, ms=4.5, zorder=5)


def _range(done: list[ExperimentAnalysis]) -> tuple[float, float]:
    """Return the eps between which the probabilities change, with some room."""
    grids = [e.band.eps[e.band.eps > 0] for e in done]
    low, high = min(g[0] for g in grids), max(g[-1] for g in grids)
    certain = [e.band.eps[(e.curve[:, -1] >= 1) & (e.band.eps > 0)] for e in done]
    if all(c.size for c in certain):
        low = min(c[-1] for c in certain) / 3
    falling = [
        e.band.eps[(e.curve[:, -1] > 0) & (e.band.eps > 0)] for e in done if e.curve[:, -1].any()
    ]
    if falling:
        high = min(high, 4 * max(f[-1] for f in falling if f.size))
    return low, max(high, 10 * low)


def against_n(analysis: Analysis) -> Figure | None:
    """Draw P against n, one panel per eps of the study, with pointwise intervals."""
    done = style.finished(analysis)
    if not done:
        return None
    with style.styled():
        eps = done[0].eps
        figure, axes = style.panels(len(eps), width=3.4, height=3.1)
        for g, panel in enumerate(axes):
            for place, one in enumerate(done):
                _course(panel, one, g, place)
            panel.set_title(rf"{style.EPS} = {number(eps[g])}")
        style.step_axis(axes[0], max((e.checkpoints for e in done), key=lambda c: c[-1]))
        top = max(row[t].upper for e in done for row in e.estimates for t in _later(e))
        if top < 0.05:
            bottom = min(r[-1].upper for e in done for r in e.estimates) / 10
            axes[0].set_yscale("log")
            style.quiet(axes)
            axes[0].set_ylim(bottom, 1)
        else:
            axes[0].set_ylim(-0.03, 1.03)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside right upper", ncols=1 + len(labels) // 25, fontsize=8,
            handlelength=3.2,
        )  # fmt: skip
        floors = any(f.value > 0 for e in done for f in e.floors)
        level = f"{100 * analysis.confidence:.12g} %"
        note = f"shaded: {level} {analysis.interval} interval of each point, for itself"
        note += "; dashed: the largest probability provable for every n" if floors else ""
        what = "does the failure probability go to 0?"
        style.dress(figure, analysis, what, note, style.STEPS, style.PROBABILITY)
    return figure


def _later(one: ExperimentAnalysis) -> range:
    """Return the checkpoints after the first: at n = 0 nearly every run fails."""
    count = len(one.checkpoints)
    return range(1, count) if count > 1 else range(count)


def _course(panel: Axes, one: ExperimentAnalysis, g: int, place: int) -> None:
    row = one.estimates[g]
    kind = style.look(place)
    panel.fill_between(
        one.checkpoints,
        [e.lower for e in row],
        [e.upper for e in row],
        color=kind["color"],
        alpha=0.13,
        lw=0,
    )
    panel.plot(
        one.checkpoints,
        [e.estimate for e in row],
        lw=1.3,
        ms=3.2,
        label=style.short(one.experiment.label),
        **kind,
    )
    if one.floors[g].value > 0:
        panel.axhline(one.floors[g].value, color=style.FLOOR, lw=0.9, ls=(0, (4, 3)), zorder=1)
