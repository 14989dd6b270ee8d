"""Where a probability comes from: weights of the strata, how often their runs fail, the products.

P(F) = sum_k pi_k f_k
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.design import DesignAnswer, StratumAnswer
from jaxsim.questions.events import Event
from jaxsim.report.plots import style
from jaxsim.report.plots.parts import HATCH, axis_bottom
from jaxsim.report.plots.sheet import Sheet
from jaxsim.report.text import number

MOST_PANELS = 24
"""Events of experiments, a panel each."""
ROOM = 0.22
"""Of a panel's height, above a probability of 1, for the numbers of runs."""
WEIGHT = "#8a8a8a"
SHARE = style.COLOURS[1]
PRODUCT = style.COLOURS[0]
INACTIVE = "first-layer neurons inactive at initialization"


def strata(answer: Answer) -> Figure | None:
    """Draw the strata of every experiment with a design, one panel per experiment and event."""
    done = [e for e in answer.finished if e.design is not None]
    places = [(e, g) for e in done for g in range(len(answer.asked))]
    if not places:
        return None
    shown = places[:MOST_PANELS]
    with style.styled():
        sheet = Sheet(len(shown), *((6.4, 3.8) if len(shown) == 1 else (3.9, 3.0)))
        axis = sheet.axes[0]
        axis.set_yscale("log")
        bottom = axis_bottom(v for e, g in shown for v in _heights(e, g))
        top = bottom ** (-ROOM / (1 - ROOM))
        axis.set_ylim(bottom, top)
        axis.set_yticks(_powers(bottom))
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        style.quiet(sheet.axes)
        ends = [k for e, _ in shown for k in _ends(e)]
        axis.set_xlim(min(ends) - 0.9, max(ends) + 0.9)
        for panel, (e, g) in zip(sheet.axes, shown, strict=True):
            _panel(panel, _design(e), g, bottom, top)
        names = dict(zip([e.label for e in done], style.names(done), strict=True))
        several = len(done) > 1
        events = [_named(event) for event in answer.asked]
        sheet.name([f"{names[e.label]}: {events[g]}" if several else events[g] for e, g in shown])
        figure = style.dress(
            sheet,
            answer.model_copy(update={"experiments": done}),
            f"where the failure probability comes from, {style.after(done)}",
            _note(answer, len(places)),
            INACTIVE,
            "probability",
            *_key([_design(e) for e in done]),
        )
    return figure


def _design(e: ExperimentAnswer) -> DesignAnswer:
    assert e.design is not None
    return e.design


def _named(event: Event) -> str:
    return f"ε = {number(event.threshold)}" if event.short.startswith("eps") else event.short


def _note(answer: Answer, panels: int) -> list[str]:
    level = f"{100 * answer.confidence:.12g}\u00a0%"
    note = [
        "bars: the product of both, which each stratum adds to the failure probability",
        "numbers: runs, and families of clones",
        f"circles: share of a stratum's runs that fail, with its {level} interval, for itself",
    ]
    if panels > MOST_PANELS:
        note.append(f"the first {MOST_PANELS} of {panels:,} panels")
    return note


def _key(designs: Sequence[DesignAnswer]) -> tuple[list[Artist], list[str]]:
    """Return handles and names of the legend."""
    bar: Any = {"lw": 0}
    handles: list[Artist] = [
        Line2D([], [], color=WEIGHT, marker="s", ms=3, lw=0.8),
        Line2D([], [], color=SHARE, marker="o", mfc="white", ms=4, lw=0.8),
        Patch(color=PRODUCT, alpha=0.55, **bar),
    ]
    names = ["probability of the stratum", "share of its runs that fail", "what it adds"]
    if any(any(s.decided) for d in designs for s in d.strata):
        handles.append(Patch(color=style.BOUND, alpha=0.55, **bar))
        names.append("the same, proved")
    handles.append(Patch(facecolor="none", edgecolor=PRODUCT, hatch=HATCH, alpha=0.4, **bar))
    return handles, [*names, "at most, not resolved"]


def _ends(e: ExperimentAnswer) -> list[float]:
    return [_place(s) for s in _design(e).strata]


def _place(stratum: StratumAnswer) -> float:
    return (stratum.least + stratum.most) / 2


def _heights(e: ExperimentAnswer, g: int) -> list[float]:
    """Return what the axis should reach down to."""
    values = []
    for stratum in _design(e).strata:
        values.append(stratum.probability)
        values += [stratum.share(g) or 0.0, stratum.product(g) or 0.0]
    return values


def _panel(panel: Axes, design: DesignAnswer, g: int, bottom: float, top: float) -> None:
    """Draw the strata of one experiment for one event."""
    x = np.array([_place(s) for s in design.strata])
    for place, stratum in zip(x, design.strata, strict=True):
        _bar(panel, place, stratum, g, bottom)
        _share(panel, place, stratum, g)
        _runs(panel, place, stratum, top)
    weights = [s.probability for s in design.strata]
    panel.plot(x, weights, color=WEIGHT, marker="s", ms=2.6, lw=0.8, label="_weight", zorder=3)


def _bar(panel: Axes, place: float, stratum: StratumAnswer, g: int, bottom: float) -> None:
    """Draw what a stratum adds to the probability, in its parts."""

    def bar(low: float, high: float, label: str, **look: Any) -> None:
        if high > max(low, bottom):
            panel.bar(
                place, high - max(low, bottom), 0.72, max(low, bottom), lw=0, label=label, **look
            )

    weight = stratum.probability
    if stratum.decided[g]:
        bar(bottom, weight, "_proved", color=style.BOUND, alpha=0.55)
        return
    known = stratum.product(g) or 0.0
    bar(bottom, known, "_product", color=PRODUCT, alpha=0.55)
    if not known:
        most = weight * (stratum.upper[g] if stratum.runs else 1.0)
        bar(bottom, most, "_unresolved", facecolor="none", edgecolor=PRODUCT, hatch=HATCH,
            alpha=0.4)  # fmt: skip


def _share(panel: Axes, place: float, stratum: StratumAnswer, g: int) -> None:
    """Draw how often the runs of a stratum fail."""
    if stratum.decided[g]:
        return
    look = {"color": SHARE, "lw": 0.8, "ms": 4, "zorder": 4, "mfc": "white"}
    middle = stratum.share(g)
    if not middle:
        if stratum.runs:
            panel.plot(place, stratum.upper[g], marker="v", label="_none", **look)
        return
    if stratum.runs and not stratum.families:
        ends = [[max(middle - stratum.lower[g], 0.0)], [max(stratum.upper[g] - middle, 0.0)]]
        panel.errorbar([place], [middle], ends, fmt="o", **look).set_label("_share")
    else:
        panel.plot(place, middle, marker="o", label="_share", **look)


def _runs(panel: Axes, place: float, stratum: StratumAnswer, top: float) -> None:
    """Write how many runs a stratum got."""
    said = f"{stratum.runs:,}" if stratum.runs else ""
    if stratum.families:
        said = f"{said} + {stratum.families:,} f." if said else f"{stratum.families:,} f."
    panel.text(
        place, top, f"{said} ", fontsize=6, rotation="vertical", ha="center", va="top",
        color=style.AXIS,
    )  # fmt: skip


def _powers(bottom: float) -> list[float]:
    """Return the powers of ten that are marked, at most about seven."""
    least = int(np.ceil(np.log10(bottom)))
    return [10.0**p for p in range(0, least - 1, -max(1, -(-abs(least) // 7)))]
