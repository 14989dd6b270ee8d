"""The plots of a study: P against eps, n or the grid's numbers, strata, the risk itself."""

from __future__ import annotations

from pathlib import Path

from jaxsim.questions.answer import Answer
from jaxsim.report.plots.against_axis import against_axis
from jaxsim.report.plots.against_eps import against_eps, against_error_rate, against_risk
from jaxsim.report.plots.against_n import against_n
from jaxsim.report.plots.distribution import risk_distribution
from jaxsim.report.plots.learning_curves import learning_curves
from jaxsim.report.plots.phase_diagram import phase_diagram
from jaxsim.report.plots.strata import strata
from jaxsim.report.plots.style import each_given_back, save
from jaxsim.report.text import MOST_DRAWN

FIGURES = {
    "exceedance_vs_eps": against_eps,
    "exceedance_vs_n": against_n,
    "risk_distribution": risk_distribution,
    "learning_curves": learning_curves,
}
"""Name of the file -> function that draws it."""
FURTHER = {
    "exceedance_vs_risk": against_risk,
    "exceedance_vs_error_rate": against_error_rate,
    "strata": strata,
}
"""The same, where several kinds of events are asked for, or where there is a design."""
OF_GRIDS = {"exceedance_vs_grid": against_axis, "phase_diagram": phase_diagram}
"""The same, where the grid varies numbers: one and two of them."""


def draw_all(answer: Answer, directory: Path) -> list[Path]:
    """Draw every figure as PNG and SVG into `directory`/plots and return the files.

    Experiments without a finished run are left out, and all but the first `MOST_DRAWN`.
    """
    whole = answer
    if len(answer.finished) > MOST_DRAWN:
        answer = answer.model_copy(update={"experiments": answer.finished[:MOST_DRAWN]})
    written: list[Path] = []
    with each_given_back() as give_back:
        for name, draw in {**FIGURES, **FURTHER, **OF_GRIDS}.items():
            figure = draw(whole if name in OF_GRIDS else answer)
            if figure is not None:
                written += save(figure, Path(directory) / "plots" / name)
                del figure
                give_back()
    return written
