"""A probability in three parts on a logarithmic axis: proved, resolved and unresolved apart."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike

from jaxsim.estimation import Estimate
from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.report.plots import style

LEAST = 1e-30
"""The lowest end of a logarithmic axis."""
SMALL = 1e-2
"""A design's estimates below this need a logarithmic axis."""
RARE = 0.05
"""If no probability can exceed this, the axis is logarithmic."""
TINY = 1e-3
"""Upper ends below this do with any design."""
HATCH = "////"
OPEN_NOTE = (
    "thin line, open triangles: more is unresolved than known, lines of what is known and upper "
    "ends of the intervals"
)
KEY = "#555555"
"""Colour of the parts in legends, whatever the experiment."""


def in_parts(done: Sequence[ExperimentAnswer]) -> bool:
    """Return whether any probability has three parts."""
    return any(e.design is not None for e in done)


def logarithmic(done: Sequence[ExperimentAnswer]) -> bool:
    """Return whether the probabilities at the last step need a logarithmic axis."""
    last = [(e, row[-1]) for e in done for row in e.exceedance.estimates]
    if all(one.upper < TINY for _, one in last):
        return True
    return any(e.design is not None and one.estimate < SMALL for e, one in last)


def is_rare(most: float, done: Sequence[ExperimentAnswer]) -> bool:
    """Return whether an axis of probabilities up to `most` should be logarithmic."""
    return most < RARE or logarithmic(done)


def axis_bottom(values: Iterable[float]) -> float:
    """Return where a logarithmic axis begins, from what is drawn on it.

    Example:
        >>> axis_bottom([0.0, 1e-12, 0.5]), axis_bottom([1e-300])
        (1e-13, 1e-30)
    """
    positive = [v for v in values if v > 0]
    least = min(positive, default=LEAST)
    return float(f"{max(least / 10, LEAST):.3g}")


def shown_values(one: Estimate) -> tuple[float, ...]:
    """Return the values of an estimate that its axis should reach down to."""
    known = (one.provable, one.lower, one.upper)
    return known if one.open else (*known, one.estimate)


def resolved_end(estimate_upper: ArrayLike, upper: ArrayLike, unresolved: ArrayLike) -> np.ndarray:
    """Return up to where an upper end has failures to show for it.

    The upper end without its unresolved part, and no less than the estimate; differences of nearly
    equal numbers are rounding and no part of it.

    Example:
        >>> resolved_end([1e-9, 1e-30], [1e-4, 1e-4], [0.0, 1e-4]).tolist()
        [0.0001, 1e-30]
    """
    high, left = np.asarray(upper, float), np.asarray(unresolved, float)
    part = high - left
    part = np.where(part > 1e-9 * high, part, 0.0)
    return np.minimum(np.maximum(part, estimate_upper), high)


def draw_parts(
    panel: Axes,
    x: ArrayLike,
    *,
    provable: ArrayLike,
    lower: ArrayLike,
    resolved: ArrayLike,
    upper: ArrayLike,
    colour: str,
) -> None:
    """Draw the proved part as a line, the resolved interval filled, and the unresolved one hatched.

    Args:
        panel: with a logarithmic probability axis.
        x: places, [M].
        provable: part of the probability that is proved, [M].
        lower: lower ends, [M].
        resolved: up to where there are failures to show, `resolved_end`, [M].
        upper: upper ends, [M].
        colour: of the experiment.
    """
    x, provable, lower, resolved, upper = (
        np.asarray(v, float) for v in (x, provable, lower, resolved, upper)
    )
    panel.fill_between(x, lower, resolved, color=colour, alpha=0.22, lw=0, label="_resolved")
    panel.fill_between(
        x, resolved, upper, where=(upper > resolved).tolist(), facecolor="none", edgecolor=colour,
        hatch=HATCH, alpha=0.35, lw=0, label="_unresolved",
    )  # fmt: skip
    if (provable > 0).any():
        proved = np.where(provable > 0, provable, np.nan)
        panel.plot(x, proved, color=colour, lw=0.9, ls=style.PROVED, label="_proved", zorder=2.5)


def parts_key() -> tuple[list[Artist], list[str]]:
    """Return handles and names of the parts, for a legend."""
    handles: list[Artist] = [
        Line2D([], [], color=KEY, lw=0.9, ls=style.PROVED),
        Patch(color=KEY, alpha=0.22, lw=0),
        Patch(facecolor="none", edgecolor=KEY, hatch=HATCH, alpha=0.35, lw=0),
    ]
    return handles, ["proved", "resolved by runs", "unresolved"]
