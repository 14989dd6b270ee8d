"""The optimal risks of a study as a picture: target and best network, and the bracket by width."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter

from jaxsim.network.network import Network
from jaxsim.problem.problem import Problem
from jaxsim.questions.hierarchy import HierarchyAnswer, OptimaAnswer
from jaxsim.report.clean import clean
from jaxsim.report.plots import style
from jaxsim.report.text import counted
from jaxsim.study.study import Study
from jaxsim.training.experiment import Experiment

POINTS = 2001
LONGEST = 40
"""Letters of the names of experiments in a title."""
MOST_EVEN = 30
"""Numbers of neurons on a linear axis: where the largest is more, the axis is logarithmic."""
MOST_OUTPUTS = 4
"""Of a function that is drawn."""
MOST = 6
"""Problems and architectures that a picture shows."""


def optimum_figure(answer: OptimaAnswer, study: Study) -> Figure:
    """Draw one row of panels for each problem and architecture, the first few of them.

    Left: target and best explicit network, where any of them has one input and few outputs. Right:
    the bracket of R*(m) for every number m of first-layer neurons, where any has several.
    """
    chosen = answer.hierarchies[:MOST]
    experiments = [_widest(one, study) for one in chosen]
    functions = any(_is_drawn(e) for e in experiments)
    brackets = not functions or any(len(one.widths) > 1 for one in chosen)
    with style.styled():
        size = (8.4 if functions and brackets else 5.2, 0.5 + 2.7 * len(chosen))
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(chosen), functions + brackets, squeeze=False)
        for hierarchy, experiment, panels in zip(chosen, experiments, axes, strict=True):
            several = len(answer.hierarchies) > 1
            name = _short(hierarchy.experiments) if several else ""
            if functions:
                _functions(panels[0], hierarchy, experiment)
                panels[0].set_title(name or "target and best network", fontsize=9)
            if brackets:
                _brackets(panels[-1], hierarchy, "" if functions else name)
        title = figure.suptitle(clean(answer.title or answer.name), fontsize=10.5, wrap=True)
        title.set_gid("title-16.0")  # a page has it elsewhere
    return figure


def _short(labels: Sequence[str]) -> str:
    """Return the names of experiments as a title: all, or the first one and how many others.

    Example:
        >>> _short(["sgd", "adam"]), _short(["adam, b2 0.9"] * 9)
        ('sgd; adam', 'adam, b2 0.9 and 8 others')
    """
    text = clean("; ".join(labels))
    if len(text) > LONGEST and len(labels) > 1:
        text = f"{clean(labels[0])[:LONGEST]} and {len(labels) - 1:,} others"
        text = text if len(labels) > 2 else text.removesuffix("s")
    return text if len(text) < 60 else f"{text[:57]}..."


def _widest(one: HierarchyAnswer, study: Study) -> Experiment:
    """Return the experiment of the widest network of a hierarchy."""
    return next(
        e
        for e in study.experiments
        if e.label in one.experiments and list(e.network.hidden) == one.widths[-1].hidden
    )


def _is_drawn(experiment: Experiment) -> bool:
    """Return whether target and networks have a picture."""
    network = experiment.network
    most = MOST_OUTPUTS if experiment.problem.loss.kind == "regression" else 1
    return network.inputs == 1 and network.outputs <= most


def _functions(panel: Axes, one: HierarchyAnswer, experiment: Experiment) -> None:
    problem, network = experiment.problem, experiment.network
    if not _is_drawn(experiment):
        what = f"{counted(network.inputs, 'input')}, {counted(network.outputs, 'output')}"
        panel.text(0.5, 0.5, f"{what}: no picture", ha="center", transform=panel.transAxes)
        panel.set_axis_off()
        return
    x = _places(problem)
    finite = problem.law.finite is not None
    target = np.asarray(problem.targets_at_points() if finite else problem.target(jnp.asarray(x)))
    look = {"ls": "", "marker": ".", "ms": 5} if finite else {"ls": "-", "lw": 1.6}
    for column in target.reshape(len(x), -1).T:
        panel.plot(x[:, 0], column, color="#888888", **look)
    panel.get_lines()[0].set_label("target")
    theta = one.widths[-1].parameters
    if theta is not None:
        order = np.argsort(x[:, 0], kind="stable")
        lines = panel.plot(x[order], _outputs(network, theta, x[order]), color=style.COLOURS[1],
                           lw=1.3)  # fmt: skip
        lines[0].set_label(f"best network found, {_named(one.widths[-1].hidden)}")
    panel.set_xlabel("x")
    panel.legend(fontsize=8)


def _outputs(network: Network, theta: Sequence[float], x: np.ndarray) -> np.ndarray:
    """Return the values [n, outputs] of a network."""
    return np.asarray(network.apply(jnp.asarray(theta, jnp.float64), jnp.asarray(x)))


def _places(problem: Problem) -> np.ndarray:
    """Return inputs [n, 1]: the points, or the law's quantiles and what lies between."""
    if problem.law.finite is not None:
        return problem.law.finite[0]
    ends = problem.law.from_unit(np.array([[1e-3], [1 - 1e-3]]))
    if problem.law.density_1d is not None and problem.law.density_1d[0] == "uniform":
        ends = np.array(problem.law.density_1d[1:])[:, None]
    return np.linspace(ends.min(), ends.max(), POINTS)[:, None]


def _named(hidden: Sequence[int]) -> str:
    return "hidden " + ("-".join(str(n) for n in hidden) or "none")


def _brackets(panel: Axes, one: HierarchyAnswer, name: str) -> None:
    places = [row.neurons or 0 for row in one.widths]
    lower = np.array([row.optimum.lower.value for row in one.widths])
    upper = np.array([row.optimum.upper.value for row in one.widths])
    known = np.concatenate([lower, upper])
    positive = known[(known > 0) & np.isfinite(known)]
    if len(positive) and (lower > 0).any():
        panel.set_yscale("log")
        # Half-way between two powers of ten, where no other label is.
        floor = 10 ** (math.floor(math.log10(positive.min() / 2)) - 0.5)
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
    if floor > 0:
        panel.set_ylim(positive.min() / 4, 2 * positive.max())
        if (known <= 0).any():
            panel.set_ylim(bottom=floor / 2)
            # In a short range the numbers between powers of ten would stand on the zero.
            panel.yaxis.set_minor_formatter(NullFormatter())
            # What has no place on a logarithmic axis stands on a line of its own.
            panel.axhline(floor, color="#888888", lw=0.8, ls=":", zorder=0)
            panel.annotate("0", (0, floor), xycoords=("axes fraction", "data"), xytext=(-7, 0),
                           textcoords="offset points", ha="right", va="center",
                           fontsize=8)  # fmt: skip
    layered = one.widths[-1].neurons is not None
    panel.set_xlabel("neurons in the first hidden layer" if layered else "")
    panel.set_ylabel(r"$\inf_\theta L$")
    unproved = "" if proved.all() else ", open: no proof"
    title = f"lower ends (up{unproved}) and upper ends (down)"
    panel.set_title(f"{name}\n{title}" if name else title, fontsize=9)
    if max(places) > MOST_EVEN:
        panel.set_xscale("symlog", linthresh=1, linscale=0.5)
        panel.set_xlim(min(places) - 0.3, 1.3 * max(places))
        powers = [p for k in range(10) if (p := 10**k) <= max(places)]
        panel.set_xticks([0, *powers], ["0", *(f"{p:,}" for p in powers)])
        panel.set_xticks([], minor=True)
        return
    panel.set_xlim(min(places) - 0.5, max(places) + 0.5)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not layered:
        panel.set_xticks(places, ["no hidden layer"])
    elif len(places) == 1:
        panel.set_xticks(places)
