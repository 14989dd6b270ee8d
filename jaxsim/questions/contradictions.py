"""An alarm that costs nothing: what cannot be true together, in sentences.

A contradiction says that a stated value, an error estimate or jaxsim itself is wrong. It is named
first in every report, and nothing in that answer is called proved.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from jaxsim.estimation import clopper_pearson
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.questions.data import CONTRADICTED
from jaxsim.questions.exceedance import ExceedanceAnswer

DOUBT = 1e-6
"""Probability with which sampling alone may seem to contradict a bound that is right."""


def contradictions(
    experiments: Iterable[ExperimentAnswer], brackets: Mapping[str, Bracket]
) -> list[str]:
    """Return a sentence for everything that cannot be true together.

    Args:
        experiments: with their answers.
        brackets: of the optimal risk, by hypothesis class.
    """
    found = [sentence for bracket in brackets.values() for sentence in bracket.contradictions]
    for experiment in experiments:
        if experiment.runs:
            found += _of(experiment)
    return list(dict.fromkeys(found))


def _of(e: ExperimentAnswer) -> Iterator[str]:
    rows = zip(e.exceedance.estimates, e.exceedance.lower_bounds, e.permanent.count, strict=True)
    for row, bound, permanent in rows:
        for one in row:
            possible = one.failures + one.undecided
            _, most = clopper_pearson(possible, one.runs, 1 - 2 * DOUBT)
            if bound.value > most:
                yield (
                    f"{e.label}: at eps = {one.eps:.12g} the failure probability is at least "
                    f"{bound.value:.3g} for every n ({bound.reason}), but only {possible:,} of "
                    f"{one.runs:,} runs fail or may fail after {one.step:,} steps"
                )
                break
        last = row[-1]
        if permanent > last.failures + last.undecided:
            yield (
                f"{e.label}: at eps = {last.eps:.12g} {permanent:,} runs are certified to fail in "
                f"all further training, but only {last.failures + last.undecided:,} fail or may "
                "fail at the last step"
            )


def withheld(e: ExperimentAnswer) -> ExperimentAnswer:
    """Return an answer in which nothing is called proved."""
    bounds = [
        b.model_copy(update={"evidence": CONTRADICTED}) if b.evidence.proved else b
        for b in e.exceedance.lower_bounds
    ]
    evidence = [CONTRADICTED if one.proved else one for one in e.permanent.evidence]
    return e.model_copy(
        update={
            "exceedance": ExceedanceAnswer(estimates=e.exceedance.estimates, lower_bounds=bounds),
            "permanent": e.permanent.model_copy(update={"evidence": evidence}),
        }
    )
