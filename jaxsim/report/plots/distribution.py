"""The distribution of the risk above the optimum: many runs stop at the same few levels."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.report.plots import style

BINS_PER_DECADE = 40


def risk_distribution(answer: Answer) -> Figure | None:
    """Draw histograms of L(Theta_n) - inf L at the last checkpoint, one panel per experiment.

    Fine logarithmic bins: levels at which many runs stop (atoms) stand out as thin tall bars. The
    excess is measured from the lower end of the optimum's bracket; grey marks how far the optimum
    may lie above it.
    """
    done = [e for e in style.finished(answer) if e.distribution.count]
    if not done:
        return None
    with style.styled():
        figure, axes = style.panels(len(done))
        positive = style.joint([_excess(e)[0] for e in done])
        high = positive.max() if positive.size else 1.0
        low = max(positive.min() if positive.size else 1e-3, high * 1e-9)
        decades = max(np.log10(high / low), 0.1)
        edges = np.geomspace(low * 0.9, high * 1.1, max(int(BINS_PER_DECADE * decades), 12))
        for place, (panel, one) in enumerate(zip(axes, done, strict=True)):
            excess, counts = _excess(one)
            inside = np.clip(excess, edges[0], edges[-1])
            share, _ = np.histogram(inside, edges, weights=counts / one.runs)
            colour = style.COLOURS[place % len(style.COLOURS)]
            panel.stairs(share, edges, fill=True, color=colour)
            if one.optimum.width > 0.01 * edges[0]:
                panel.axvspan(edges[0], max(one.optimum.width, edges[0]), color="#eeeeee", zorder=0)
            for eps in (e for e in answer.eps if edges[0] < e < edges[-1]):
                panel.axvline(eps, color="#888888", lw=0.7, ls=(0, (2, 2)))
            lost = one.distribution.diverged
            if lost:
                panel.text(
                    0.97, 0.93, f"{lost:,} diverged", transform=panel.transAxes, ha="right",
                    va="top", fontsize=8,
                )  # fmt: skip
            panel.set_title(style.short(one.label))
        axes[0].set_xscale("log")
        style.quiet(axes)
        axes[0].set_xlim(edges[0], edges[-1])
        axes[0].set_ylim(bottom=0)
        note = "dotted: the study's ε"
        if any(e.optimum.width > 0.01 * edges[0] for e in done):
            note += "; grey: where the optimum's bracket is open"
        what = f"where the runs are after {done[0].checkpoints[-1]:,} steps"
        style.dress(figure, answer, what, note, style.EXCESS, "share of the runs")
    return figure


def _excess(one: ExperimentAnswer) -> tuple[np.ndarray, np.ndarray]:
    """Return (excess over the lower end of the optimum, count) of the histogram's bins."""
    bins = one.distribution
    middle = (np.asarray(bins.lower) + np.asarray(bins.upper)) / 2
    return middle - one.optimum.lower.value, np.asarray(bins.count)
