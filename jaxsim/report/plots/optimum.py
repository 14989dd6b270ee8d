"""The optimal risks of a study as a picture: target and best network, and the bracket by width."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.questions.hierarchy import HierarchyAnswer, OptimaAnswer
from jaxsim.report.clean import clean
from jaxsim.report.plots import style
from jaxsim.study.study import Study

POINTS = 2001
MOST = 6
"""Problems and architectures that a picture shows."""


def optimum_figure(answer: OptimaAnswer, study: Study) -> Figure:
    """Draw one row of panels for each problem and architecture, the first few of them.

    Left: target and best explicit network, where there is one input and one output. Right: the
    bracket of R*(m) for every number m of first-layer neurons.
    """
    chosen = answer.hierarchies[:MOST]
    with style.styled():
        figure = Figure(figsize=(8.4, 0.5 + 2.7 * len(chosen)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(chosen), 2, squeeze=False)
        for hierarchy, (left, right) in zip(chosen, axes, strict=True):
            _functions(left, hierarchy, study, alone=len(answer.hierarchies) == 1)
            _brackets(right, hierarchy)
        figure.suptitle(clean(answer.title or answer.name), fontsize=10.5)
    return figure


def _functions(panel: Axes, one: HierarchyAnswer, study: Study, alone: bool) -> None:
    label = "target and best network" if alone else clean("; ".join(one.experiments))
    panel.set_title(label if len(label) < 60 else f"{label[:57]}...", fontsize=9)
    experiment = next(
        e
        for e in study.experiments
        if e.label in one.experiments and list(e.network.hidden) == one.widths[-1].hidden
    )
    problem, network = experiment.problem, experiment.network
    if network.inputs != 1 or network.outputs != 1:
        panel.text(0.5, 0.5, f"{network.inputs} inputs, {network.outputs} outputs: no picture",
                   ha="center", transform=panel.transAxes)  # fmt: skip
        panel.set_axis_off()
        return
    x = _places(problem)
    finite = problem.law.finite is not None
    target = np.asarray(problem.target(jnp.asarray(x)))[:, 0]
    look = {"ls": "", "marker": ".", "ms": 3} if finite else {"ls": "-", "lw": 1.6}
    panel.plot(x[:, 0], target, color="#888888", label="target", **look)
    theta = one.widths[-1].parameters
    if theta is not None:
        panel.plot(x[:, 0], _outputs(network, theta, x), color=style.COLOURS[1], lw=1.3,
                   label=f"best network found, {_named(one.widths[-1].hidden)}")  # fmt: skip
    panel.set_xlabel("x")
    panel.legend(fontsize=8)


def _outputs(network: Network, theta: Sequence[float], x: np.ndarray) -> np.ndarray:
    return np.asarray(network.apply(jnp.asarray(theta, jnp.float64), jnp.asarray(x)))[:, 0]


def _places(problem: Problem) -> np.ndarray:
    """Return inputs [n, 1], ascending: the points, or the law's quantiles and what lies between."""
    if problem.law.finite is not None:
        return np.sort(problem.law.finite[0], axis=0)
    ends = problem.law.from_unit(np.array([[1e-3], [1 - 1e-3]]))
    if problem.law.density_1d is not None and problem.law.density_1d[0] == "uniform":
        ends = np.array(problem.law.density_1d[1:])[:, None]
    return np.linspace(ends.min(), ends.max(), POINTS)[:, None]


def _named(hidden: Sequence[int]) -> str:
    return "hidden " + ("-".join(str(n) for n in hidden) or "none")


def _brackets(panel: Axes, one: HierarchyAnswer) -> None:
    places = [row.neurons or 0 for row in one.widths]
    lower = np.array([row.optimum.lower.value for row in one.widths])
    upper = np.array([row.optimum.upper.value for row in one.widths])
    known = np.concatenate([lower, upper])
    positive = known[(known > 0) & np.isfinite(known)]
    if len(positive) and (lower > 0).any():
        panel.set_yscale("log")
        floor = positive.min() / 3
    else:
        floor = 0.0
    low = np.where(np.isfinite(lower) & (lower > 0), lower, floor)
    top = positive.max() * 2 if len(positive) else 1.0
    high = np.where(np.isfinite(upper), np.maximum(upper, floor), top)
    panel.vlines(places, low, high, color=style.COLOURS[0], lw=4, alpha=0.35)
    proved = np.array([row.optimum.lower.evidence.proved for row in one.widths])
    for chosen, filled in ((proved, style.COLOURS[0]), (~proved, "white")):
        panel.plot(np.array(places)[chosen], low[chosen], "^", color=style.COLOURS[0],
                   mfc=filled, ms=5)  # fmt: skip
    finite = np.isfinite(upper)
    panel.plot(np.array(places)[finite], high[finite], "v", color=style.COLOURS[1], ms=5)
    panel.set_ylim(bottom=floor if floor > 0 else None)
    panel.set_xlabel("neurons in the first hidden layer")
    panel.set_ylabel(r"$\inf_\theta L$")
    unproved = "" if proved.all() else ", open: no proof"
    panel.set_title(f"lower ends (up{unproved}) and upper ends (down)", fontsize=9)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
