"""Learning curves as quantile fans."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.plots import style


def learning_curves(answer: Answer) -> Figure | None:
    """Draw the 5, 25, 50, 75 and 95 per cent quantiles of the true risk against n.

    Thin lines around the median are the ends of its distribution-free interval; a dotted line is
    the optimal risk (its upper end).
    """
    done = style.finished(answer)
    if not done:
        return None
    with style.styled():
        figure, axes = style.panels(len(done))
        shown = style.joint([np.asarray(e.quantiles.value) for e in done])
        optima = style.joint([np.array([e.optimum.upper.value]) for e in done])
        for place, (panel, one) in enumerate(zip(axes, done, strict=True)):
            n, colour = one.checkpoints, style.COLOURS[place % len(style.COLOURS)]
            for low, high, alpha in ((0, -1, 0.16), (1, -2, 0.3)):
                panel.fill_between(
                    n, _plotted(one, low), _plotted(one, high), color=colour, alpha=alpha, lw=0
                )
            middle = len(one.quantiles.levels) // 2
            panel.plot(n, one.quantiles.value[middle], color=colour, lw=1.7)
            for ends in (one.quantiles.lower, one.quantiles.upper):
                panel.plot(n, ends[middle], color=colour, lw=0.6)
            if np.isfinite(one.optimum.upper.value) and one.optimum.upper.value > 0:
                panel.axhline(one.optimum.upper.value, color="#444444", lw=0.9, ls=(0, (1, 1.5)))
            panel.set_title(style.short(one.label))
        style.step_axis(axes[0], max((e.checkpoints for e in done), key=lambda c: c[-1]))
        if shown.size:
            axes[0].set_yscale("log")
            style.quiet(axes)
            low = min(shown.min(), optima.min() if optima.size else np.inf)
            axes[0].set_ylim(max(low, shown.max() * 1e-8) * 0.7, shown.max() * 1.4)
        note = (
            "line: median, with its distribution-free interval; dark: 25 to 75 %; "
            "light: 5 to 95 %; dotted: inf L"
        )
        style.dress(figure, answer, "quantiles of the true risk", note, style.STEPS, style.RISK)
    return figure


def _plotted(one: ExperimentAnswer, level: int) -> np.ndarray:
    """Return a quantile with diverged runs drawn at the top instead of at infinity."""
    values = np.asarray(one.quantiles.value[level])
    return np.where(np.isfinite(values), values, np.finfo(float).max ** 0.25)
