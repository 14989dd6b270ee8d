"""An alarm that costs nothing: what cannot be true together, in sentences.

A contradiction says that a stated value, an error estimate or jaxsim itself is wrong. It is named
first in every report, and nothing in that answer is called proved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from jaxsim.estimation import Estimate
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.answer import ExperimentAnswer
from jaxsim.questions.data import CONTRADICTED, EvidenceAnswer
from jaxsim.questions.events import Event
from jaxsim.questions.exceedance import Exceedance, ExceedanceAnswer
from jaxsim.questions.permanent import PermanentAnswer

DOUBT = 1e-6
"""Probability with which sampling alone may seem to contradict bounds that are right, of all
experiments and eps together."""


class Found(NamedTuple):
    """What is looked at of one experiment.

    Attributes:
        label: of the experiment.
        exceedance: its probabilities and lower bounds.
        permanent: its certified runs.
        question: that the probabilities are the answer of.
    """

    label: str
    exceedance: ExceedanceAnswer
    permanent: PermanentAnswer
    question: Exceedance


def contradictions(experiments: Sequence[Found], brackets: Mapping[str, Bracket]) -> list[str]:
    """Return a sentence for everything that cannot be true together.

    Args:
        experiments: with their answers.
        brackets: of the optimal risk, by hypothesis class.
    """
    lines = [sentence for bracket in brackets.values() for sentence in bracket.contradictions]
    tests = sum(len(e.exceedance.lower_bounds) for e in experiments)
    for experiment in experiments:
        if experiment.permanent.runs:
            lines += _of(experiment, DOUBT / max(tests, 1))
    return list(dict.fromkeys(lines))


def _of(e: Found, doubt: float) -> Iterator[str]:
    rows = zip(e.exceedance.estimates, e.exceedance.lower_bounds, e.permanent.count, strict=True)
    for g, (row, bound, permanent) in enumerate(rows):
        for t, estimate in enumerate(row):
            if bound.value <= estimate.estimate_upper:
                continue
            _, most = e.question.ends(g, t, 1 - 2 * doubt)
            if bound.value > most:
                possible = estimate.failures + estimate.undecided
                counted = f"only {possible:,} of {estimate.runs:,} runs fail or may fail"
                if estimate.design != "plain":
                    counted = f"by the runs of its strata it is at most {most:.3g}"
                yield (
                    f"{e.label}: at {named(estimate)} the failure probability is at least "
                    f"{bound.value:.3g} for every n ({bound.reason}), but {counted} after "
                    f"{estimate.step:,} steps"
                )
                break
        last = row[-1]
        if permanent > last.failures + last.undecided:
            yield (
                f"{e.label}: at {named(last)} {permanent:,} runs are certified to fail in "
                f"all further training, but only {last.failures + last.undecided:,} fail or may "
                "fail at the last step"
            )
    for broken in e.question.broken_proofs():
        yield (
            f"{e.label}: at {broken.event.short} all runs of a stratum fail by proof ("
            f"{broken.stratum.text}), but {broken.passes:,} of {broken.runs:,} do not after "
            f"{broken.step:,} steps"
        )


def named(one: Estimate) -> str:
    """Return how sentences call the event of an estimate."""
    return Event(one.event, one.eps).short


def withheld(e: ExperimentAnswer) -> ExperimentAnswer:
    """Return an answer in which nothing is called proved or guaranteed."""
    lower, upper = (
        bound.model_copy(update={"evidence": _doubted(bound.evidence)})
        for bound in (e.optimum.lower, e.optimum.upper)
    )
    return e.model_copy(
        update={
            "risk": e.risk.model_copy(update={"evidence": _doubted(e.risk.evidence)}),
            "optimum": e.optimum.model_copy(update={"lower": lower, "upper": upper}),
            "exceedance": withheld_exceedance(e.exceedance),
            "permanent": e.permanent.model_copy(
                update={"evidence": [_doubted(evidence) for evidence in e.permanent.evidence]}
            ),
            "liminf": e.liminf.model_copy(
                update={"evidence": [_doubted(evidence) for evidence in e.liminf.evidence]}
            ),
        }
    )


def withheld_exceedance(answer: ExceedanceAnswer) -> ExceedanceAnswer:
    """Return probabilities and bounds that are called neither proved nor rigorous."""
    return ExceedanceAnswer(
        estimates=[
            [
                replace(
                    estimate,
                    rigorous=False,
                    evidence=_doubted_word(estimate.evidence),
                    lower_bound_evidence=_doubted_word(estimate.lower_bound_evidence),
                )
                for estimate in row
            ]
            for row in answer.estimates
        ],
        lower_bounds=[
            b.model_copy(update={"evidence": _doubted(b.evidence)}) for b in answer.lower_bounds
        ],
        evidence=_doubted(answer.evidence),
        by_event=[_doubted(evidence) for evidence in answer.by_event],
    )


def _doubted(evidence: EvidenceAnswer) -> EvidenceAnswer:
    return CONTRADICTED if evidence.proved else evidence


def _doubted_word(word: str) -> str:
    return CONTRADICTED.kind if word == "proved" else word
