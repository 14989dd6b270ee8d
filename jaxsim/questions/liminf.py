"""The limit: a lower bound on liminf_n P(L(Theta_n) > inf L + eps), with its evidence."""

from __future__ import annotations

from collections.abc import Sequence

from jaxsim.estimation import liminf_bound
from jaxsim.evidence import confidence as with_confidence
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.questions.exceedance import LowerBoundAnswer
from jaxsim.questions.permanent import Certified


class LiminfAnswer(Data):
    """Lower bounds of liminf_n P(L(Theta_n) > inf L + eps), or of another event.

    Attributes:
        eps: thresholds of the events, [G].
        value: the bounds, each for itself, [G].
        simultaneous: bounds that hold for all experiments and eps of the study together, [G].
        evidence: what they rest on, [G]: the confidence of the sample, unless no run is needed.
        reason: how they are known, [G].
        certified: runs certified to fail in all further training, [G].
        runs: of the experiment.
        confidence: of what rests on runs.
    """

    eps: list[float]
    value: list[float]
    simultaneous: list[float]
    evidence: list[EvidenceAnswer]
    reason: list[str]
    certified: list[int]
    runs: int
    confidence: float


def liminf(
    certified: Sequence[Certified],
    every_n: Sequence[LowerBoundAnswer],
    runs: int,
    confidence: float,
    statements: int,
) -> LiminfAnswer:
    """Return the better of two bounds for every eps: from certified runs, and for every n.

    A bound of the probability for every n, from inactive neurons at initialization, bounds the
    limit, too. The better of a number and a confidence bound holds with the same confidence.

    Args:
        certified: runs certified to fail for ever, and what that rests on, [G].
        every_n: bounds that need no run, [G].
        runs: of the experiment.
        confidence: of the bounds from runs.
        statements: bounds of the study that are to hold together, by the union bound.
    """
    value, together, evidence, reason = [], [], [], []
    level = 1 - (1 - confidence) / max(statements, 1)
    for (count, rests_on), bound in zip(certified, every_n, strict=True):
        together.append(max(bound.value, float(liminf_bound(count, runs, level))))
        from_runs = float(liminf_bound(count, runs, confidence))
        if bound.value >= from_runs:
            value.append(bound.value)
            evidence.append(bound.evidence)
            reason.append(bound.reason)
            continue
        sampled = with_confidence(1 - confidence, f"{runs:,} runs are a sample")
        value.append(from_runs)
        evidence.append(EvidenceAnswer.of(rests_on & sampled))
        reason.append(
            f"{count:,} of {runs:,} runs are certified to {_fail(bound)} in all further training"
        )
    return LiminfAnswer(
        eps=[bound.eps for bound in every_n],
        value=value,
        simultaneous=together,
        evidence=evidence,
        reason=reason,
        certified=[count for count, _ in certified],
        runs=runs,
        confidence=confidence,
    )


def _fail(bound: LowerBoundAnswer) -> str:
    if bound.event == ABOVE_OPTIMUM:
        return "exceed inf L + eps"
    return f"fail ({bound.asked.short})"
