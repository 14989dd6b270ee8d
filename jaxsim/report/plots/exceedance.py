"""The probability of exceedance, against eps and against n."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.plots import style
from jaxsim.report.text import number


def against_eps(answer: Answer) -> Figure | None:
    """Draw P against eps at the last checkpoint, one panel per experiment.

    The band is simultaneous in eps and n; triangles mark what is provable for every n.
    """
    done = style.finished(answer)
    if not done:
        return None
    with style.styled():
        figure, axes = style.panels(len(done))
        for place, (panel, one) in enumerate(zip(axes, done, strict=True)):
            for other in done:
                if other is not one:
                    panel.plot(
                        other.band.eps, _last(other.band.estimate), color=style.OTHERS, lw=0.7
                    )
            colour = style.COLOURS[place % len(style.COLOURS)]
            panel.fill_between(*_steps(one), color=colour, alpha=0.22, lw=0)
            panel.plot(one.band.eps, _last(one.band.estimate), color=colour, lw=1.6)
            _provable(panel, one)
            panel.set_title(style.short(one.label))
        axes[0].set_xscale("log")
        style.quiet(axes)
        low, high = _range(done)
        axes[0].set_xlim(low, high)
        axes[0].set_ylim(-0.03, 1.03)
        note = (
            f"band: {100 * answer.confidence:.12g} % confidence for all ε and n together; "
            "triangles: lower bounds for every n; grey: the other experiments"
        )
        what = f"failure probability after {done[0].checkpoints[-1]:,} steps"
        style.dress(figure, answer, what, note, style.EPS, style.PROBABILITY)
    return figure


def _last(values: list[list[float]]) -> np.ndarray:
    """Return the values at the last checkpoint."""
    return np.asarray(values)[:, -1]


def _steps(one: ExperimentAnswer) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (eps, lower, upper) of the band as it holds between its thresholds.

    P does not increase in eps: between two thresholds the upper limit is that of the left one and
    the lower limit that of the right one.
    """
    eps = np.repeat(one.band.eps, 2)[1:-1]
    return eps, np.repeat(_last(one.band.lower)[1:], 2), np.repeat(_last(one.band.upper)[:-1], 2)


def _provable(panel: Axes, one: ExperimentAnswer) -> None:
    bounds = [b for b in one.exceedance.lower_bounds if b.value > 0 and b.eps > 0]
    if bounds:
        panel.plot(
            [b.eps for b in bounds],
            [b.value for b in bounds],
            "^",
            color=style.FLOOR,
            ms=4.5,
            zorder=5,
        )


def _range(done: list[ExperimentAnswer]) -> tuple[float, float]:
    """Return the eps between which the probabilities change, with some room."""
    curves = [(np.asarray(e.band.eps), _last(e.band.estimate)) for e in done]
    grids = [eps[eps > 0] for eps, _ in curves]
    low, high = min(g[0] for g in grids), max(g[-1] for g in grids)
    certain = [eps[(p >= 1) & (eps > 0)] for eps, p in curves]
    if all(c.size for c in certain):
        low = min(c[-1] for c in certain) / 3
    falling = [eps[(p > 0) & (eps > 0)] for eps, p in curves]
    falling = [f for f in falling if f.size]
    if falling:
        high = min(high, 4 * max(f[-1] for f in falling))
    return low, max(high, 10 * low)


def against_n(answer: Answer) -> Figure | None:
    """Draw P against n, one panel per eps of the study, with pointwise intervals."""
    done = style.finished(answer)
    if not done:
        return None
    with style.styled():
        eps = answer.eps
        figure, axes = style.panels(len(eps), width=3.4, height=3.1)
        for g, panel in enumerate(axes):
            for place, one in enumerate(done):
                _course(panel, one, g, place)
            panel.set_title(rf"{style.EPS} = {number(eps[g])}")
        style.step_axis(axes[0], max((e.checkpoints for e in done), key=lambda c: c[-1]))
        top = max(row[t].upper for e in done for row in e.exceedance.estimates for t in _later(e))
        if top < 0.05:
            bottom = min(r[-1].upper for e in done for r in e.exceedance.estimates) / 10
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
        floors = any(b.value > 0 for e in done for b in e.exceedance.lower_bounds)
        level = f"{100 * answer.confidence:.12g} %"
        note = f"shaded: {level} {answer.interval} interval of each point, for itself"
        note += "; dashed: lower bounds for every n" if floors else ""
        what = "does the failure probability go to 0?"
        style.dress(figure, answer, what, note, style.STEPS, style.PROBABILITY)
    return figure


def _later(one: ExperimentAnswer) -> range:
    """Return the checkpoints after the first: at n = 0 nearly every run fails."""
    count = len(one.checkpoints)
    return range(1, count) if count > 1 else range(count)


def _course(panel: Axes, one: ExperimentAnswer, g: int, place: int) -> None:
    row = one.exceedance.estimates[g]
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
        label=style.short(one.label),
        **kind,
    )
    bound = one.exceedance.lower_bounds[g].value
    if bound > 0:
        panel.axhline(bound, color=style.FLOOR, lw=0.9, ls=(0, (4, 3)), zorder=1)
