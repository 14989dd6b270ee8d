"""The probability of exceedance against eps, or another threshold, with its simultaneous band."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.band import UNSPLIT
from jaxsim.questions.events import ABOVE_OPTIMUM, ERROR_RATE_ABOVE, RISK_ABOVE
from jaxsim.questions.exceedance import LowerBoundAnswer
from jaxsim.report.plots import style
from jaxsim.report.plots.bounds import bounds_note, shown_bounds
from jaxsim.report.plots.parts import (
    OPEN_NOTE,
    axis_bottom,
    draw_parts,
    in_parts,
    logarithmic,
    parts_key,
    resolved_end,
    shown_values,
)
from jaxsim.report.plots.sheet import Sheet

AXES = {
    ABOVE_OPTIMUM: (style.EPS, style.PROBABILITY),
    RISK_ABOVE: (r"$c$", r"$P(\,L(\Theta_n) > c\,)$"),
    ERROR_RATE_ABOVE: (r"error rate $c$", r"$P(\,$error rate$\, > c\,)$"),
}
"""Kind of events of a band -> names of the axes."""
ROOM = 0.04
"""At both ends, as a share of the axis: the numbers of neighbouring panels stay apart."""
FEW = 12
"""Experiments whose curves can be told apart behind another one."""


def against_eps(answer: Answer) -> Figure | None:
    """Draw P against eps at the last checkpoint, one panel per experiment."""
    return _against(answer, ABOVE_OPTIMUM)


def against_risk(answer: Answer) -> Figure | None:
    """Draw the probability of a risk above c against c, where that is asked."""
    return _against(answer, RISK_ABOVE)


def against_error_rate(answer: Answer) -> Figure | None:
    """Draw the probability of an error rate above c against c, where that is asked."""
    return _against(answer, ERROR_RATE_ABOVE)


def _against(answer: Answer, kind: str) -> Figure | None:
    """Draw the bands of one kind of events."""
    done = [
        e.model_copy(update={"band": band})
        for e in answer.finished
        for band in (e.band, *e.bands)
        if band.event == kind
    ]
    return _drawn(answer.model_copy(update={"experiments": done})) if done else None


def _drawn(answer: Answer) -> Figure | None:
    """Draw P against the thresholds of `band` at the last checkpoint, one panel per experiment.

    The curve is the share of runs that fail: known at the thresholds, and drawn at the value of the
    left one between two of them, as P does not increase in eps. It cannot leave the band.
    """
    done = answer.finished
    with style.styled():
        sheet = Sheet(len(done), *((5.4, 3.2) if len(done) == 1 else (2.7, 1.8)))
        sheet.axes[0].set_xscale("log")
        style.quiet(sheet.axes)
        low, high = _range(done)
        every = _range_of_all(done, low)
        for place, (panel, experiment) in enumerate(zip(sheet.axes, done, strict=True)):
            _others(panel, experiment, done, low, every)
            colour = style.COLOURS[place % len(style.COLOURS)]
            if experiment.band.provable:
                _parts(panel, experiment, low, colour)
            else:
                panel.fill_between(
                    *band(experiment, low), color=colour, alpha=0.22, lw=0, label="_band"
                )
            if _undecided(experiment):
                x, least = curve(experiment, experiment.band.estimate, low)
                most = curve(experiment, experiment.band.estimate_upper, low)[1]
                panel.fill_between(
                    x, least, most, color=colour, alpha=0.4, lw=0, label="_undecided"
                )
            _estimate(panel, experiment, low, colour)
            _bounds(panel, experiment)
        sheet.name(style.with_steps(done))
        room = (high / low) ** ROOM
        sheet.axes[0].set_xlim(low / room, high * room)
        style.number_short(sheet.axes[0].xaxis)
        if logarithmic(done):
            sheet.axes[0].set_yscale("log")
            style.quiet(sheet.axes)
            sheet.axes[0].set_ylim(_bottom(done, low, high), 2)
        else:
            sheet.axes[0].set_ylim(-0.03, 1.03)
        what = "ε" if done[0].band.event == ABOVE_OPTIMUM else "thresholds"
        note = [
            f"band: {100 * answer.confidence:.12g}\u00a0% confidence for all {what} and n together"
        ]
        if any(row[-1].families for e in done for row in e.exceedance.estimates):
            note[0] += f", {UNSPLIT}"
        if any(_undecided(e) for e in done):
            note.append("line: runs that certainly fail; darker: undecided runs above it")
        drawn = [b for e in done for b in _shown(e)]
        note += bounds_note(drawn, "filled triangles", "hollow triangles")
        if len(done) > 1:
            if every is not None:
                note.append("grey: range of all experiments")
            elif len(done) <= FEW:
                note.append("grey: the other experiments")
        if in_parts(done):
            note.append("bars: the study's thresholds, each with its own interval")
            if any(row[-1].open for e in done for row in e.exceedance.estimates):
                note.append(OPEN_NOTE)
        what = f"failure probability {style.after(done)}"
        axes, key = AXES[done[0].band.event], parts_key() if in_parts(done) else ([], [])
        figure = style.dress(sheet, answer, what, note, *axes, *key)
    return figure


def curve(
    one: ExperimentAnswer, values: list[list[float]], low: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (eps, values at the last checkpoint) as stairs, constant from each threshold on.

    Args:
        one: the experiment.
        values: of its band's thresholds, [M][T].
        low: an eps > 0 at the left end of a logarithmic axis, at which eps = 0 is drawn.
    """
    return np.repeat(_grid(one, low), 2)[1:], np.repeat(_last(values), 2)[:-1]


def band(one: ExperimentAnswer, low: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (eps, lower, upper) of the band as it holds between its thresholds.

    P does not increase in eps: between two thresholds the upper limit is that of the left one and
    the lower limit that of the right one.
    """
    eps = np.repeat(_grid(one, low), 2)[1:-1]
    return eps, np.repeat(_last(one.band.lower)[1:], 2), np.repeat(_last(one.band.upper)[:-1], 2)


def _estimate(panel: Axes, one: ExperimentAnswer, low: float, colour: str) -> None:
    """Draw the estimate: a thin line where more is unresolved than known."""
    x, y = curve(one, one.band.estimate, low)
    if one.band.unresolved:
        left = curve(one, one.band.unresolved, low)[1]
        if (left > y).any():
            panel.plot(x, y, color=colour, lw=0.6, label="_known")
            y = np.where(left > y, np.nan, y)
    panel.plot(x, y, color=colour, lw=1.6, label="_estimate")


def _parts(panel: Axes, one: ExperimentAnswer, low: float, colour: str) -> None:
    """Draw the band in its parts, and the study's own thresholds with their intervals."""
    eps, lower, upper = band(one, low)
    ends = one.band.estimate_upper, one.band.upper, one.band.unresolved
    most, top, left = (_last(v) for v in ends)
    high = resolved_end(most, top, left)
    proved = _last(one.band.provable)
    draw_parts(
        panel, eps, provable=np.repeat(proved[:-1], 2), lower=lower,
        resolved=np.repeat(high[:-1], 2), upper=upper, colour=colour,
    )  # fmt: skip
    for estimate in (row[-1] for row in one.exceedance.estimates):
        if estimate.event != one.band.event or estimate.eps <= 0:
            continue
        middle = estimate.estimate
        top = resolved_end(estimate.estimate_upper, estimate.upper, estimate.unresolved)
        ends = [[middle - estimate.lower], [float(top) - middle]]
        drawn = panel.errorbar(
            [estimate.eps], [middle], np.maximum(ends, 0.0), fmt="none" if estimate.open else "o",
            color=colour, mfc="white", ms=3.4, lw=0.8, zorder=4,
        )  # fmt: skip
        drawn.set_label("_asked")
        if estimate.open:
            panel.plot(
                estimate.eps, estimate.upper, "v", color=colour, mfc="white", ms=4, label="_open"
            )


def _bottom(done: Sequence[ExperimentAnswer], low: float, high: float) -> float:
    """Return the lower end of a logarithmic axis."""
    values = [
        value
        for e in done
        for row in e.exceedance.estimates
        if row[-1].event == e.band.event
        for value in shown_values(row[-1])
    ]
    for e in done:
        eps = np.asarray(e.band.eps)
        inside = (eps >= low) & (eps <= high)
        values += _last(e.band.estimate)[inside].tolist()
    return axis_bottom(values)


def _grid(one: ExperimentAnswer, low: float) -> np.ndarray:
    eps = np.asarray(one.band.eps)
    return np.where(eps > 0, eps, min(low, *eps[eps > 0]) / 10)


def _last(values: list[list[float]]) -> np.ndarray:
    """Return the values at the last checkpoint."""
    return np.asarray(values)[:, -1]


def _undecided(one: ExperimentAnswer) -> bool:
    return bool((_last(one.band.estimate_upper) > _last(one.band.estimate)).any())


def _common_grid(done: Sequence[ExperimentAnswer]) -> bool:
    return all(e.band.eps == done[0].band.eps for e in done)


Range = tuple[np.ndarray, np.ndarray, np.ndarray]


def _range_of_all(done: Sequence[ExperimentAnswer], low: float) -> Range | None:
    """Return (eps, least, greatest estimate) of many experiments on one grid, else None."""
    if len(done) <= FEW or not _common_grid(done):
        return None
    curves = [curve(e, e.band.estimate, low) for e in done]
    values = np.stack([y for _, y in curves])
    return curves[0][0], values.min(axis=0), values.max(axis=0)


def _others(
    panel: Axes,
    one: ExperimentAnswer,
    done: Sequence[ExperimentAnswer],
    low: float,
    every: Range | None,
) -> None:
    """Draw the other experiments in grey: their curves, or the range of many."""
    if every is not None:
        panel.fill_between(*every, color=style.OPEN, lw=0)
    if len(done) > FEW:
        return
    for other in done:
        if other is not one:
            panel.plot(*curve(other, other.band.estimate, low), color=style.OTHERS, lw=0.7)


def _bounds(panel: Axes, one: ExperimentAnswer) -> None:
    for b in _shown(one):
        face = style.BOUND if b.evidence.proved else "white"
        panel.plot(b.eps, b.value, "^", color=style.BOUND, mfc=face, ms=4.5, zorder=5)


def _shown(one: ExperimentAnswer) -> list[LowerBoundAnswer]:
    """Return the bounds that have a place on the axis of the band."""
    return [b for b in shown_bounds(one) if b.eps > 0 and b.event == one.band.event]


def _range(done: Sequence[ExperimentAnswer]) -> tuple[float, float]:
    """Return the eps between which probabilities change and bounds are marked, with some room."""
    curves = [(np.asarray(e.band.eps), _last(e.band.estimate)) for e in done]
    grids = [eps[eps > 0] for eps, _ in curves]
    low, high = min(g[0] for g in grids), max(g[-1] for g in grids)
    certain = [eps[(p >= 1) & (eps > 0)] for eps, p in curves]
    if all(c.size for c in certain):
        low = min(c[-1] for c in certain) / 3
    falling = [
        eps[(np.asarray(e.band.estimate_upper)[:, -1] > 0) & (eps > 0)]
        for e, (eps, _) in zip(done, curves, strict=True)
    ]
    falling = [f for f in falling if f.size]
    if falling:
        high = min(high, 4 * max(f[-1] for f in falling))
    marked = [b.eps for e in done for b in _shown(e)]
    low, high = min([low, *(eps / 2 for eps in marked)]), max([high, *(2 * eps for eps in marked)])
    return low, max(high, 10 * low)
