"""The figure of `jaxsim benchmark`: speed against the block width, below the ceiling."""

from __future__ import annotations

from matplotlib.figure import Figure

from jaxsim.report.plots.style import LEVEL, look, styled
from jaxsim.speed.figures import Figures, Speed

SIZE = (6.4, 4.0)
CEILING_SHOWN = 100
"""A ceiling further above the fastest engine than this is said, not drawn."""


def speed_figure(figures: Figures) -> Figure:
    """Return member-steps per second against the width, a line per engine and lanes."""
    lines: dict[tuple[str, int], list[Speed]] = {}
    for speed in figures.speeds:
        lines.setdefault((speed.engine, speed.lanes), []).append(speed)
    with styled():
        figure = Figure(figsize=SIZE, layout="constrained")
        axes = figure.subplots()
        for place, ((engine, lanes), speeds) in enumerate(lines.items()):
            rates = [s.member_steps_per_second for s in speeds]
            below = [r.median - r.low for r in rates]
            above = [r.high - r.median for r in rates]
            axes.errorbar(
                [s.width for s in speeds],
                [r.median for r in rates],
                yerr=[below, above],
                label=f"{engine}, {lanes} lanes" if lanes > 1 else engine,
                capsize=2,
                markersize=4,
                linewidth=1.3,
                **look(place),
            )
        top = _ceiling(figures)
        highest = max(s.member_steps_per_second.high for s in figures.speeds)
        note = "bars: the range of the readings"
        if top is not None:
            if top < CEILING_SHOWN * highest:
                axes.axhline(top, color=LEVEL, linestyle="--", linewidth=1.0,
                             label="ceiling: matrix products")  # fmt: skip
            else:
                note += f"; matrix products would allow {top:,.0f}"
        widths = sorted({s.width for s in figures.speeds})
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(widths, [f"{w:,}" for w in widths])
        axes.set_xticks([], minor=True)
        if len(widths) == 1:
            axes.set_xlim(widths[0] / 2, widths[0] * 2)
        axes.set_xlabel("members of a block (width)")
        device = "core" if figures.pinned else "device"
        axes.set_ylabel(f"member-steps per second of one {device}")
        axes.set_title(
            f"{figures.shape}, {figures.optimizer}, batch {figures.batch_size}, "
            f"{figures.precision}",
            fontsize=10,
            loc="left",
        )
        axes.legend(fontsize=8)
        machine = figures.processor if figures.platform == "cpu" else figures.device_kind
        figure.supxlabel(f"{machine}, {figures.date[:10]}; {note}", fontsize=7, x=0.01, ha="left")
    return figure


def _ceiling(figures: Figures) -> float | None:
    """Return the member-steps per second at which the counted operations reach the ceiling."""
    work, ceiling = figures.work, figures.ceiling()
    if work.products is None or work.update is None or ceiling is None:
        return None
    return 1e9 * ceiling.products_gflops / (work.products + work.update)
