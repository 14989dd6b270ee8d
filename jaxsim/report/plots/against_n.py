"""The probability of exceedance against the number of steps."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxsim.estimation import Estimate
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM, Event
from jaxsim.report.plots import style
from jaxsim.report.plots.bounds import bounds_note, is_shown, shown_bounds
from jaxsim.report.plots.parts import (
    OPEN_NOTE,
    axis_bottom,
    draw_parts,
    in_parts,
    is_rare,
    parts_key,
    resolved_end,
    shown_values,
)
from jaxsim.report.plots.sheet import Sheet
from jaxsim.report.text import counted, number

MOST_LINES = 16
"""Of a panel; of more experiments"""
FEW_LINES = 9
"""are drawn."""


def against_n(answer: Answer) -> Figure | None:
    """Draw P against n, one panel per event of the study, with pointwise intervals.

    Lines are failures / runs; undecided runs are a darker band above, up to
    (failures + undecided) / runs. A probability in three parts has each of them drawn apart. Of
    many experiments some are drawn, from the one that fails least often to the one that fails most
    often, before the range of all. Networks that were not trained have no such figure.
    """
    every = answer.finished
    if not style.trained(every):
        return None
    done = spaced(every)
    with style.styled():
        size = (6.4, 3.6) if len(answer.asked) == 1 else (3.1, 2.7)
        sheet = Sheet(len(answer.asked), *size)
        rare = is_rare(_top(every), every)
        style.step_axis(sheet.axes[0], max((e.checkpoints for e in every), key=lambda c: c[-1]))
        if rare:
            sheet.axes[0].set_yscale("log")
            style.quiet(sheet.axes)
            sheet.axes[0].set_ylim(_bottom(every), 2 if in_parts(every) else 1)
        else:
            sheet.axes[0].set_ylim(-0.03, 1.03)
        for g, panel in enumerate(sheet.axes):
            if len(done) < len(every):
                _range(panel, every, g)
            for place, experiment in enumerate(done):
                _course(panel, experiment, g, place, rare)
            _bounds(panel, done, g)
        sheet.name([_named(event) for event in answer.asked], mathematics=True)
        handles = [Line2D([], [], lw=1.3, ms=3.2, **style.look(k)) for k in range(len(done))]
        key = parts_key() if in_parts(done) else ([], [])
        figure = style.dress(
            sheet,
            answer,
            "does the failure probability go to 0?",
            _note(answer, done, rare) + _left_out(done, every),
            style.STEPS,
            _probability(answer),
            [*handles, *key[0]],
            [*style.names(done), *key[1]],
        )
    return figure


def spaced(done: Sequence[ExperimentAnswer]) -> list[ExperimentAnswer]:
    """Return the experiments whose lines a panel has room for, in their order.

    All of them, or such as are evenly spaced in the order of their failure probabilities at the
    last step, averaged over the events, with both ends of that order.
    """
    if len(done) <= MOST_LINES:
        return list(done)
    share = [np.mean([row[-1].estimate for row in e.exceedance.estimates]) for e in done]
    order = np.argsort(share, kind="stable")
    places = np.round(np.linspace(0, len(done) - 1, FEW_LINES)).astype(int)
    return [done[k] for k in sorted(order[places])]


def _range(panel: Axes, every: Sequence[ExperimentAnswer], g: int) -> None:
    """Draw the range of the estimates of many experiments, at the steps that any of them has."""
    steps = np.unique(np.concatenate([e.checkpoints for e in every]))
    curves = []
    for e in every:
        values = [estimate.estimate for estimate in e.exceedance.estimates[g]]
        curves.append(np.interp(steps, e.checkpoints, values, left=np.nan, right=np.nan))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a step that is of none
        low, high = np.nanmin(curves, axis=0), np.nanmax(curves, axis=0)
    panel.fill_between(steps, low, high, color=style.OPEN, lw=0, zorder=0, label="_range")


def _left_out(done: Sequence[ExperimentAnswer], every: Sequence[ExperimentAnswer]) -> list[str]:
    """Return the clause on experiments that have no line."""
    if len(done) == len(every):
        return []
    return [
        f"lines: {len(done)} of {len(every):,} experiments, evenly spaced from the lowest to the "
        "highest at the last step; grey: range of all"
    ]


def _named(event: Event) -> str:
    if event.kind == ABOVE_OPTIMUM:
        return rf"{style.EPS} = {number(event.threshold)}"
    return event.short


def _probability(answer: Answer) -> str:
    alike = all(event.kind == ABOVE_OPTIMUM for event in answer.asked)
    return style.PROBABILITY if alike else "failure probability"


def _later(row: Sequence[Estimate]) -> Sequence[Estimate]:
    """Return the checkpoints after the first: at n = 0 nearly every run fails."""
    return row[1:] if len(row) > 1 else row


def _top(done: Sequence[ExperimentAnswer]) -> float:
    return max(
        estimate.upper for e in done for row in e.exceedance.estimates for estimate in _later(row)
    )


def _course(panel: Axes, one: ExperimentAnswer, g: int, place: int, rare: bool) -> None:
    """Draw an experiment at an eps."""
    row, n, kind = one.exceedance.estimates[g], one.checkpoints, style.look(place)
    colour = kind["color"]
    lower, upper = [e.lower for e in row], [e.upper for e in row]
    least, most = [e.estimate for e in row], [e.estimate_upper for e in row]
    if len(n) == 1:
        panel.errorbar(
            n, least, [np.subtract(least, lower), np.subtract(upper, least)], color=colour, lw=0.8
        )
    if one.design is None:
        panel.fill_between(n, lower, upper, color=colour, alpha=0.13, lw=0)
    else:
        high = resolved_end(most, upper, [e.unresolved for e in row])
        proved = [e.provable for e in row]
        draw_parts(
            panel, n, provable=proved, lower=lower, resolved=high, upper=upper, colour=colour
        )
    if any(e.undecided for e in row):
        panel.fill_between(n, least, most, color=colour, alpha=0.2, lw=0, label="_undecided")
        panel.plot(n, most, color=colour, ls=kind["linestyle"], lw=0.6)
    # Where more is unresolved than known the estimate is no answer: a thin line, without points.
    answered = [np.nan if e.open else e.estimate for e in row]
    if any(e.open for e in row):
        panel.plot(n, least, color=colour, lw=0.6, label="_known")
    panel.plot(n, answered, lw=1.3, ms=3.2, **kind)
    if rare:
        none = [(e.step, e.upper) for e in row if e.open or not (e.failures or e.estimate)]
        if none:
            panel.plot(*zip(*none, strict=True), "v", color=colour, mfc="white", ms=4)


def _bottom(done: Sequence[ExperimentAnswer]) -> float:
    """Return the lower end of a logarithmic axis."""
    rows = [row for e in done for row in e.exceedance.estimates]
    if not in_parts(done):
        return min(row[-1].upper for row in rows) / 10
    return axis_bottom(value for row in rows for one in row for value in shown_values(one))


def _bounds(panel: Axes, done: Sequence[ExperimentAnswer], g: int) -> None:
    """Draw lower bounds for every n: in the experiment's colour where they differ."""
    bounds = [e.exceedance.lower_bounds[g] for e in done]
    alike = all(b == bounds[0] for b in bounds)
    for place, bound in enumerate(bounds[:1] if alike else bounds):
        if not any(is_shown(e, g) for e in (done if alike else done[place : place + 1])):
            continue
        colour = style.BOUND if alike else style.look(place)["color"]
        dashes = (0, (4, 3)) if bound.evidence.proved else (0, (1, 2))
        panel.axhline(bound.value, color=colour, lw=0.9, ls=dashes, zorder=1)


def _note(answer: Answer, done: Sequence[ExperimentAnswer], rare: bool) -> list[str]:
    rows = [row for e in done for row in e.exceedance.estimates]
    level = f"{100 * answer.confidence:.12g}\u00a0%"
    note = [f"shaded: {level} {answer.interval} interval of each point, for itself"]
    worst = max((one for row in rows for one in row), key=lambda one: one.undecided / one.runs)
    if worst.undecided:
        note.append(
            "line: runs that certainly fail; darker: undecided runs above it, at most "
            f"{worst.undecided:,} of {counted(worst.runs, 'run')}"
        )
    if rare and any(not one.failures for row in rows for one in row):
        note.append("open triangles: no run fails, upper end of the interval")
    elif rare and any(one.open for row in rows for one in row):
        note.append(OPEN_NOTE)
    bounds = [b for e in done for b in shown_bounds(e)]
    return note + bounds_note(bounds, "dashed", "dotted")
