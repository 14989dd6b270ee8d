"""Answers of many shapes, made from the one of a small study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy import stats

from jaxsim import analyse, simulate
from jaxsim.estimation import Counts, clopper_pearson, estimates
from jaxsim.estimation.exceedance import About
from jaxsim.estimation.exceedance_strata import Sampled, stratified_estimates
from jaxsim.evidence import PROVED, confidence, estimated, stated
from jaxsim.optimum.bracket import Bracket
from jaxsim.questions.answer import Answer, ExperimentAnswer
from jaxsim.questions.band import BandAnswer
from jaxsim.questions.data import BoundAnswer, EvidenceAnswer, OptimumAnswer
from jaxsim.questions.design import DesignAnswer, StratumAnswer
from jaxsim.questions.published import PublishedComparison
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


PUBLISHED = PublishedComparison(
    source="A & B (1999)", place="table 1", experiment="sgd", quantity="runs that fail",
    verdict="differs", event="risk > 0.002", step=30, published="3 of 1,000",
    runs=64, estimate=0.5, lower=0.4, upper=0.6,
    tolerance=0.01, p=1e-12, p_holm=2e-12, discussion="A reason of 100 %.",
    published_runs=1000, published_lower=0.0006, published_upper=0.0088,
)  # fmt: skip
"""A published number that differs from the measured one."""


def with_published(answer: Answer) -> Answer:
    """Return an answer with two published numbers of one experiment."""
    return answer.model_copy(update={"published": (PUBLISHED, PUBLISHED)})


def _relabelled(e: ExperimentAnswer, label: str) -> ExperimentAnswer:
    rows = [[replace(one, experiment=label) for one in row] for row in e.exceedance.estimates]
    found = e.exceedance.model_copy(update={"estimates": rows})
    return e.model_copy(update={"label": label, "exceedance": found})


def with_grid(
    answer: Answer,
    axes: Sequence[dict[str, Any]],
    shares: Sequence[float | None],
    runs: int = 400,
) -> Answer:
    """Return an answer of experiments at some places of a grid.

    Args:
        answer: whose first experiment they are made of.
        axes: keys in which they differ.
        shares: of their runs that fail at the first eps, half of it at the next one and so on; None
            for an experiment without finished runs.
        runs: of each.
    """
    e, chosen = answer.experiments[0], []
    times = len(e.checkpoints)
    for place, (keys, share) in enumerate(zip(axes, shares, strict=True)):
        label = ", ".join(f"{k} {v}" for k, v in keys.items())
        failing = [round((share or 0.0) * runs / 2**g) for g in range(len(answer.asked))]
        shape = len(failing), times
        failures = np.repeat(np.array(failing)[:, None], times, 1)
        counts = Counts(failures, np.zeros(shape, int), runs, np.zeros(times, int))
        rows = estimates(
            counts, e.checkpoints, answer.eps, experiment=label, confidence=answer.confidence,
            optimum=Bracket.of(0.0, 0.0, "made up"),
        )  # fmt: skip
        found = e.exceedance.model_copy(update={"estimates": [list(row) for row in rows]})
        chosen.append(
            e.model_copy(
                update={
                    "label": label, "id": f"{place:016x}", "axes": keys, "exceedance": found,
                    "runs": 0 if share is None else runs,
                }
            )
        )  # fmt: skip
    return answer.model_copy(update={"experiments": chosen, "spreads": []})


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


NEURONS, INACTIVE, DIES = 20, 0.3, 0.05
"""Of the made-up network with a design: each neuron inactive at the start, or by the last step."""
PROVED_FROM = 19
"""Inactive neurons with which it fails by proof."""


def with_design(answer: Answer, name: str = "strata", alone: int = 1) -> Answer:
    """Return an answer of a made-up network with known failure probabilities.

    Neurons are inactive at initialization independently, and more become so in training; a run
    fails if all do: the failure probability given k inactive ones is q^(N - k). Of numbers up to 8
    there are no failures among the runs, of those up to 2 no runs.

    Args:
        answer: whose first experiments it replaces.
        name: of the design.
        alone: how many experiments get it; others keep theirs.
    """
    k = np.arange(NEURONS + 1)
    weights = stats.binom.pmf(k, NEURONS, INACTIVE)
    runs = np.where(k < 3, 0, np.where(k < PROVED_FROM, 40 * (k + 2), 0))
    events, done = range(len(answer.asked)), []
    for e in answer.experiments[:alone]:
        times = len(e.checkpoints)
        failing = np.empty((len(k), len(events), times), int)
        for g in events:
            for t in range(times):
                q = DIES ** (1 + g / 2) * (t + 1) / times
                failing[:, g, t] = np.round(runs * q ** (0.25 * (NEURONS - k)) * (k > 8))
        decided = np.zeros((len(k), len(events)), bool)
        decided[PROVED_FROM:] = True
        counts = [
            Counts(failing[i], np.zeros_like(failing[i]), int(runs[i]), np.zeros(times, int))
            for i in k
        ]
        sampled = Sampled(name, weights, np.zeros(len(k)), counts, decided)
        about = About(
            e.label, np.array(e.checkpoints), np.array(answer.eps), answer.confidence,
            Bracket.of(0.0, 0.0, "made up"), PROVED, None,
        )  # fmt: skip
        rows = [list(row) for row in stratified_estimates(about, sampled)]
        found = e.exceedance.model_copy(update={"estimates": rows})
        done.append(
            e.model_copy(
                update={
                    "exceedance": found,
                    "runs": int(runs.sum()),
                    "band": _banded(e, rows),
                    "design": DesignAnswer(
                        name=name,
                        note="made up",
                        strata=[
                            _stratum(
                                int(i), weights[i], int(runs[i]), failing[i, :, -1], decided[i]
                            )
                            for i in k
                        ],
                    ),
                }
            )
        )
    return answer.model_copy(update={"experiments": [*done, *answer.experiments[alone:]]})


def _stratum(
    k: int, weight: float, runs: int, failures: np.ndarray, decided: np.ndarray
) -> StratumAnswer:
    lower, upper = clopper_pearson(failures, runs, 0.95)
    return StratumAnswer(
        text=f"{k} of {NEURONS} neurons inactive",
        probability=float(weight),
        error=0.0,
        least=k,
        most=k,
        width=NEURONS - k,
        runs=runs,
        families=0,
        decided=decided.tolist(),
        failures=failures.tolist(),
        undecided=[0] * len(failures),
        estimate=[x / runs if runs else None for x in failures.tolist()],
        lower=lower.tolist(),
        upper=upper.tolist(),
        doubts=[""] * len(failures),
    )


def _banded(e: ExperimentAnswer, rows: list[list[Any]]) -> BandAnswer:
    """Return a band with the limits of the nearest of the study's thresholds."""
    asked = np.array([row[0].eps for row in rows])
    at = np.clip(np.searchsorted(asked, e.band.eps, side="right") - 1, 0, len(rows) - 1)
    names = ("estimate", "estimate_upper", "lower", "upper", "provable", "unresolved")
    return e.band.model_copy(
        update={n: [[getattr(one, n) for one in rows[i]] for i in at] for n in names}
    )
