"""The limit: a lower bound on liminf_n P(L(Theta_n) > inf L + eps), with its evidence."""

from __future__ import annotations

from collections.abc import Sequence

from jaxsim.evidence import confidence as with_confidence
from jaxsim.questions.data import Data, EvidenceAnswer
from jaxsim.questions.events import ABOVE_OPTIMUM
from jaxsim.questions.exceedance import LowerBoundAnswer
from jaxsim.questions.permanent import PermanentFailures


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
    certificates: PermanentFailures, every_n: Sequence[LowerBoundAnswer], statements: int
) -> LiminfAnswer:
    """Return the better of two bounds for every eps: from certified runs, and for every n.

    A bound of the probability for every n, from inactive neurons at initialization, bounds the
    limit, too. The better of a number and a confidence bound holds with the same confidence.

    Args:
        certificates: the question how many runs fail for ever.
        every_n: bounds that need no run, [G].
        statements: bounds of the study that are to hold together, by the union bound.
    """
    value, together, evidence, reason = [], [], [], []
    confidence, runs = certificates.subject.confidence, int(certificates.runs.sum())
    certified = certificates.certified()
    level = 1 - (1 - confidence) / max(statements, 1)
    for of_runs, bound in zip(certified, every_n, strict=True):
        together.append(max(bound.value, certificates.lower_bound(of_runs, level)))
        from_runs = certificates.lower_bound(of_runs, confidence)
        if bound.value >= from_runs:
            value.append(bound.value)
            evidence.append(bound.evidence)
            reason.append(bound.reason)
            continue
        if certificates.by_proof(of_runs) >= from_runs * (1 - 1e-12):
            value.append(from_runs)
            evidence.append(EvidenceAnswer.of(of_runs.evidence))
            reason.append("the probability of the strata all of whose runs fail by proof")
            continue
        sampled = with_confidence(1 - confidence, f"{runs:,} runs are a sample")
        value.append(from_runs)
        evidence.append(EvidenceAnswer.of(of_runs.evidence & sampled))
        share = f"{of_runs.runs:,} of {runs:,} runs are certified"
        if not certificates.subject.strata.plain:
            share = f"by their strata, {share}"
        reason.append(f"{share} to {_fail(bound)} in all further training")
    return LiminfAnswer(
        eps=[bound.eps for bound in every_n],
        value=value,
        simultaneous=together,
        evidence=evidence,
        reason=reason,
        certified=[of_runs.runs for of_runs in certified],
        runs=runs,
        confidence=confidence,
    )


def _fail(bound: LowerBoundAnswer) -> str:
    if bound.event == ABOVE_OPTIMUM:
        return "exceed inf L + eps"
    return f"fail ({bound.asked.short})"
