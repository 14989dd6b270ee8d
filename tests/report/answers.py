"""Answers of many shapes, made from the one of a small study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from jaxsim import analyse, simulate
from jaxsim.evidence import confidence, estimated, stated
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.data import BoundAnswer, EvidenceAnswer, OptimumAnswer
from jaxsim.questions.spread import spreads
from tests.studies import study

HOSTILE = (
    "[red]brackets[/red]",
    "$dollars$ and \\$ and $",
    "_underscores^{x}_y",
    "a, b, c and d",
    "<b>&amp;</b>",
    "ünïcödé Θ ε 网络",
    "control \x00\x07\x1b[31m\x7f\x9f \ufffe \ud800 \u202ereversed",
    "two\nlines\tand a tab",
    "W" * 40,
    "",
)
"""Labels that are markup, mathematics or no text at all somewhere."""
ALIKE = tuple(f"{'the same beginning of a label ' * 3}{k} {'the same end ' * 5}" for k in range(3))
"""Labels whose short forms are equal."""
WEAK = {
    "confidence": EvidenceAnswer.of(confidence(1e-6, "initializations were simulated")),
    "estimated": EvidenceAnswer.of(estimated("quadrature")),
    "stated": EvidenceAnswer.of(stated("the study states the optimum")),
}
"""Evidence that is no proof."""


@cache
def small_answer() -> Answer:
    """Return an answer with two small experiments, of the same numbers, and three eps."""
    one = study(
        optimizer={"name": "sgd", "learning_rate": 0.1}, replicates=64, steps=30, checkpoints=[1, 7]
    )
    answer = analyse(simulate(one), [0.001, 0.05, 0.3], name="small", title="A title")
    return with_experiments(answer, ["sgd", "adam"])


def with_experiments(answer: Answer, labels: Sequence[str]) -> Answer:
    """Return an answer with as many experiments as labels."""
    chosen = [
        _relabelled(answer.experiments[k % len(answer.experiments)], label)
        for k, label in enumerate(labels)
    ]
    apart = spreads(chosen, answer.pairs, answer.confidence)
    return answer.model_copy(update={"experiments": chosen, "spreads": apart})


def _relabelled(e: ExperimentAnswer, label: str) -> ExperimentAnswer:
    rows = [[replace(one, experiment=label) for one in row] for row in e.exceedance.estimates]
    found = e.exceedance.model_copy(update={"estimates": rows})
    return e.model_copy(update={"label": label, "exceedance": found})


def with_thresholds(answer: Answer, count: int) -> Answer:
    """Return an answer with so many eps, which repeat."""

    def cycled(values: list[Any]) -> list[Any]:
        return [values[g % len(values)] for g in range(count)]

    chosen = []
    for e in answer.experiments:
        found = e.exceedance
        found = found.model_copy(
            update={
                "estimates": cycled(found.estimates),
                "lower_bounds": cycled(found.lower_bounds),
            }
        )
        limit = {k: cycled(getattr(e.liminf, k)) for k in _BY_EPS}
        update = {"exceedance": found, "liminf": e.liminf.model_copy(update=limit)}
        chosen.append(e.model_copy(update=update))
    update = {"experiments": chosen, "eps": cycled(answer.eps), "events": cycled(answer.events)}
    return answer.model_copy(update=update)


_BY_EPS = ("eps", "value", "simultaneous", "evidence", "reason", "certified")
"""Fields of a limit that have an entry for each eps."""


def with_bounds(answer: Answer, value: float, evidence: EvidenceAnswer) -> Answer:
    """Return an answer whose lower bounds have a value and evidence."""
    chosen = []
    for e in answer.experiments:
        bounds = [
            b.model_copy(update={"value": value, "evidence": evidence})
            for b in e.exceedance.lower_bounds
        ]
        found = e.exceedance.model_copy(update={"lower_bounds": bounds})
        chosen.append(e.model_copy(update={"exceedance": found}))
    return answer.model_copy(update={"experiments": chosen})


def with_optimum(answer: Answer, lower: float, upper: float) -> Answer:
    """Return an answer whose optima have these ends."""
    known = EvidenceAnswer.of(estimated("made up"))
    optimum = OptimumAnswer(
        lower=BoundAnswer(value=lower, evidence=known, reason="made up"),
        upper=BoundAnswer(value=upper, evidence=known, reason="made up"),
        reason="made up",
        width=upper - lower if upper > lower else 0.0,
    )
    chosen = [e.model_copy(update={"optimum": optimum}) for e in answer.experiments]
    return answer.model_copy(update={"experiments": chosen})


def with_undecided(answer: Answer, count: int) -> Answer:
    """Return an answer in which so many of the failures are undecided."""
    chosen = []
    for e in answer.experiments:
        rows = [
            [
                replace(
                    one,
                    failures=max(one.failures - count, 0),
                    undecided=min(one.failures, count),
                    estimate=max(one.failures - count, 0) / one.runs,
                    estimate_upper=one.estimate,
                    lower=max(one.lower - count / one.runs, 0.0),
                )
                for one in row
            ]
            for row in e.exceedance.estimates
        ]
        share = count / e.runs
        band = e.band.model_copy(
            update={
                "estimate": [[max(p - share, 0.0) for p in row] for row in e.band.estimate],
                "estimate_upper": e.band.estimate,
                "lower": [[max(p - share, 0.0) for p in row] for row in e.band.lower],
            }
        )
        found = e.exceedance.model_copy(update={"estimates": rows})
        chosen.append(e.model_copy(update={"exceedance": found, "band": band}))
    return answer.model_copy(update={"experiments": chosen})


def nothing_known(answer: Answer) -> Answer:
    """Return an answer that knows nothing of the optimum."""
    return with_optimum(answer, -math.inf, math.inf)
