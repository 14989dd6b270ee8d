"""Lower bounds that need no run, as figures show them: what is no proof looks different."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.questions.exceedance import LowerBoundAnswer
from jaxsim.report.plots.parts import logarithmic
from jaxsim.report.sentences import NOTEWORTHY, noteworthy


def shown_bounds(e: ExperimentAnswer) -> list[LowerBoundAnswer]:
    """Return the bounds of an experiment that are worth drawing."""
    return [b for g, b in enumerate(e.exceedance.lower_bounds) if is_shown(e, g)]


def is_shown(e: ExperimentAnswer, g: int) -> bool:
    """Return whether the bound for an event is worth drawing: not twice, as the proved part."""
    bound, proved = e.exceedance.lower_bounds[g].value, e.exceedance.estimates[g][-1].provable
    least = noteworthy(e) if logarithmic([e]) else NOTEWORTHY
    return bound >= least and not 0 < (1 - 1e-3) * bound <= proved


def bounds_note(bounds: Iterable[LowerBoundAnswer], proved: str, unproved: str) -> list[str]:
    """Return clauses that tell proved bounds from others.

    Args:
        bounds: that are drawn.
        proved: how those are drawn that are proved.
        unproved: how the others are drawn.
    """
    drawn: Sequence[LowerBoundAnswer] = list(bounds)
    clauses = []
    if any(b.evidence.proved for b in drawn):
        clauses.append(f"{proved}: proved lower bounds for every n")
    marks = sorted({b.evidence.mark for b in drawn if not b.evidence.proved})
    if marks:
        marked = " and ".join(marks)
        clauses.append(f"{unproved}: lower bounds for every n, not proved ({marked} in the table)")
    return clauses
