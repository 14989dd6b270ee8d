"""The estimate of P(L(Theta_n) > inf L + eps) with everything a reader needs to judge it.

With F runs that certainly fail and U undecided ones, the number S of runs that truly fail is
between F and F + U, and the ends of the interval are monotone in the count:

    [lower(F), upper(F + U)] contains [lower(S), upper(S)].

It therefore covers sampling, the numerical error of each risk and what is not known of the optimal
risk together. That holds too if the bracket's upper end is the best true risk of the same runs: for
every outcome it is above the infimum, so F <= S.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import ROUND_FLOOR
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.digits import interval_text, rounded
from jaxsim.errors import InputError
from jaxsim.estimation.counts import Counts
from jaxsim.estimation.intervals import Interval, clopper_pearson, interval_of
from jaxsim.estimation.restarts import restarts
from jaxsim.evidence import PROVED, Evidence
from jaxsim.notebook import html_table
from jaxsim.optimum.bracket import Bracket


@dataclass(frozen=True, repr=False)
class Estimate:
    """An exceedance probability of one experiment at one step and one eps.

    Attributes:
        experiment: label.
        step: number n of training steps.
        eps: threshold of the event: above the optimal risk, or of risk or error rate.
        runs: replicates.
        failures: replicates that certainly fail, diverged ones included.
        undecided: replicates of which it is not known.
        diverged: replicates whose risk is infinite or not a number.
        estimate: failures / runs.
        estimate_upper: (failures + undecided) / runs.
        lower: lower end of the interval, from the failures.
        upper: upper end, from failures and undecided.
        confidence: of the two-sided interval, for this estimate alone.
        method: name of the interval.
        rigorous: whether the interval's coverage is at least `confidence` for every probability,
            given a number of runs fixed beforehand; not if the errors of the risks or the ends of
            the optimal risk's bracket are estimates or stated by the user.
        evidence: what the counts rest on: "proved", "confidence", "estimated" or "stated".
        optimum_lower: lower end of the optimal risk's bracket.
        optimum_upper: upper end.
        optimum_reason: how they are known.
        lower_bound: on the probability, for every n, from inactive neurons at initialization.
        lower_bound_evidence: what it rests on, in the same words.
        lower_bound_reason: how it is known.
        event: what the probability is of: "above_optimum", or another kind of event.
        restarts: independent runs of which at least one does not fail with probability 0.99 if the
            failure probability is `estimate_upper`; None if that is 1.
        restarts_lower: the same for `lower`.
        restarts_upper: the same for `upper`.
        design: "plain", or how initializations were drawn: runs and failures of the others are
            counts of sampled strata, which are no shares of the whole.
        provable: part of the probability that needs no run: of strata that fail by proof.
        resolved: part that is estimated from runs; `estimate` is the sum of both.
        resolved_lower: lower end of the interval of the probability of failing in these strata.
        resolved_upper: upper end.
        unresolved: part of `upper` without a failure to show for it: the probability of strata
            without runs, and what the limits of those allow whose runs show no failure; 0 for the
            plain design.
        families: of clones, whose failures are in no count.
        upper_guaranteed: upper end by Clopper and Pearson's limits, whose coverage is guaranteed;
            `upper` itself where its method's is.
    """

    experiment: str
    step: int
    eps: float
    runs: int
    failures: int
    undecided: int
    diverged: int
    estimate: float
    estimate_upper: float
    lower: float
    upper: float
    confidence: float
    method: str
    rigorous: bool
    evidence: str
    optimum_lower: float
    optimum_upper: float
    optimum_reason: str
    lower_bound: float
    lower_bound_evidence: str
    lower_bound_reason: str
    event: str = "above_optimum"
    restarts: int | None = None
    restarts_lower: int | None = None
    restarts_upper: int | None = None
    design: str = "plain"
    provable: float = 0.0
    resolved: float = 0.0
    resolved_lower: float = 0.0
    resolved_upper: float = 1.0
    unresolved: float = 0.0
    families: int = 0
    upper_guaranteed: float = 1.0

    @property
    def open(self) -> bool:
        """Whether more is unresolved than is known: then the estimate is no answer."""
        return self.unresolved > self.estimate

    def __repr__(self) -> str:
        """Return the probability with its interval and counts, on one line."""
        middle, low, high = interval_text(
            self.estimate, self.lower, self.upper, self.design != "plain"
        )
        counts = f"{self.failures:,} of {self.runs:,} runs fail"
        counts += f", {self.undecided:,} undecided" if self.undecided else ""
        return (
            f"Estimate({self.experiment!r}, n = {self.step:,}, {self._asked}: P = "
            f"{'unresolved' if self.open else middle} [{low}, {high}], {counts})"
        )

    @property
    def _asked(self) -> str:
        """The event in few words: "eps = 0.1", "risk above 0.1", "not all right"."""
        if self.event == "above_optimum":
            return f"eps = {self.eps:.12g}"
        name = self.event.replace("_", " ")
        counted = name.endswith(("above", "at least"))
        return f"{name} {self.eps:.12g}" if counted else name

    def _repr_html_(self) -> str:
        """Return a table of one row with what it rests on, for notebooks."""
        small = self.design != "plain"
        middle, low, high = interval_text(self.estimate, self.lower, self.upper, small)
        numbers = [f"{n:,}" for n in (self.failures, self.runs, self.diverged, self.undecided)]
        level = f"{100 * self.confidence:.12g} % interval"
        heads = [
            "experiment",
            "event",
            "n",
            "P",
            level,
            "failures",
            "runs",
            "diverged",
            "undecided",
        ]
        row = [
            self.experiment, self._asked, f"{self.step:,}",
            "unresolved" if self.open else middle, f"{low} to {high}", *numbers,
        ]  # fmt: skip
        rests = f"interval: {self.method}; the counts are {self.evidence}"
        least = rounded(self.lower_bound, 3, ROUND_FLOOR)
        bound = f"at least {least:.12g} for every n: {self.lower_bound_reason}"
        notes = [rests, bound] if self.lower_bound > 0 else [rests]
        return html_table(heads, [row], notes=notes, texts=2)


class LowerBoundLike(Protocol):
    """A lower bound that needs no run: `jaxsim.theory.LowerBound` is one."""

    @property
    def value(self) -> float:
        """The bound."""
        ...

    @property
    def evidence(self) -> Evidence:
        """What it rests on."""
        ...

    @property
    def reason(self) -> str:
        """How it is known."""
        ...


@dataclass(frozen=True)
class About:
    """What the estimates of an experiment for G thresholds and T checkpoints have in common.

    Attributes:
        experiment: label.
        steps: training steps of the checkpoints, [T].
        eps: thresholds, [G].
        confidence: of each two-sided interval.
        optimum: the bracket that counts rest on.
        evidence: what counts rest on.
        lower_bounds: on the probabilities, without any run, [G]; None if there are none.
        event: kind of the event.
    """

    experiment: str
    steps: np.ndarray
    eps: np.ndarray
    confidence: float
    optimum: Bracket
    evidence: Evidence
    lower_bounds: Sequence[LowerBoundLike] | None = None
    event: str = "above_optimum"

    def at(self, g: int, t: int) -> About:
        """Return the same for one threshold and one checkpoint."""
        bounds = None if self.lower_bounds is None else [self.lower_bounds[g]]
        steps, eps = np.array([self.steps[t]]), np.array([self.eps[g]])
        return replace(self, steps=steps, eps=eps, lower_bounds=bounds)

    def check(self, counts: Counts) -> None:
        """Refuse counts of other thresholds or checkpoints.

        Raises:
            InputError: for these.
        """
        shape, bounds = (len(self.eps), len(self.steps)), self.lower_bounds
        if counts.failures.shape != shape or (bounds is not None and len(bounds) != shape[0]):
            raise InputError(
                f"counts of shape {counts.failures.shape} do not belong to {shape[0]} values of "
                f"eps, {shape[1]} steps and {0 if bounds is None else len(bounds)} lower bounds"
            )

    def estimate(
        self,
        g: int,
        t: int,
        *,
        estimate_upper: float,
        lower: float,
        upper: float,
        evidence: Evidence | None = None,
        **known: Any,
    ) -> Estimate:
        """Return an estimate with what all have in common, and perhaps evidence of its own."""
        bound = None if self.lower_bounds is None else self.lower_bounds[g]
        return Estimate(
            experiment=self.experiment,
            step=int(self.steps[t]),
            eps=float(self.eps[g]),
            estimate_upper=estimate_upper,
            lower=lower,
            upper=upper,
            confidence=float(self.confidence),
            evidence=(self.evidence if evidence is None else evidence).word,
            optimum_lower=float(self.optimum.lower.value),
            optimum_upper=float(self.optimum.upper.value),
            optimum_reason=self.optimum.reason,
            lower_bound=0.0 if bound is None else float(bound.value),
            lower_bound_evidence="proved" if bound is None else bound.evidence.word,
            lower_bound_reason="none is known" if bound is None else bound.reason,
            event=self.event,
            restarts=restarts(estimate_upper),
            restarts_lower=restarts(lower),
            restarts_upper=restarts(upper),
            **known,
        )


def estimates(
    counts: Counts,
    steps: ArrayLike,
    eps: ArrayLike,
    *,
    experiment: str,
    confidence: float,
    interval: str | Interval = "clopper-pearson",
    optimum: Bracket,
    risk: Evidence = PROVED,
    lower_bounds: Sequence[LowerBoundLike] | None = None,
    event: str = "above_optimum",
    reference: Evidence | None = None,
) -> tuple[tuple[Estimate, ...], ...]:
    """Return the estimates for G thresholds and T checkpoints, [G][T].

    Args:
        counts: of `classify`, with failures [G, T].
        steps: training steps of the checkpoints, [T].
        eps: thresholds, [G].
        experiment: label.
        confidence: of each two-sided interval.
        interval: a name of `INTERVALS`, or a method.
        optimum: the bracket that the counts rest on.
        risk: evidence of the errors of the risks.
        lower_bounds: on the probabilities, without any run, [G]; None if there are none.
        event: kind of the event.
        reference: evidence of what thresholds are added to; None for that of the optimum.

    Raises:
        InputError: for an unknown interval, a bad confidence, or lengths that do not agree.

    Example:
        >>> from jaxsim.estimation.counts import classify
        >>> from jaxsim.optimum.bracket import Bracket
        >>> counts = classify([[0.1], [2.0], [1.2]], np.zeros((3, 1)), 0.0, 0.5, [1.0])
        >>> ((e,),) = estimates(
        ...     counts, [100], [1.0], experiment="sgd", confidence=0.95,
        ...     optimum=Bracket.of(0.0, 0.5, "known"),
        ... )
        >>> e.failures, e.undecided, f"{e.lower:.3f} {e.upper:.3f}"
        (1, 1, '0.008 0.992')
    """
    about = About(
        experiment=experiment,
        steps=np.atleast_1d(np.asarray(steps, np.int64)),
        eps=np.atleast_1d(np.asarray(eps, np.float64)),
        confidence=confidence,
        optimum=optimum,
        evidence=risk & (optimum.evidence if reference is None else reference),
        lower_bounds=lower_bounds,
        event=event,
    )
    return plain_estimates(about, counts, interval)


def plain_estimates(
    about: About, counts: Counts, interval: str | Interval
) -> tuple[tuple[Estimate, ...], ...]:
    """Return the estimates from independent runs of the experiment itself, [G][T].

    Args:
        about: what they have in common.
        counts: of `classify`, with failures [G, T].
        interval: a name of `INTERVALS`, or a method.

    Raises:
        InputError: for an unknown interval, a bad confidence, or lengths that do not agree.
    """
    method = interval if isinstance(interval, Interval) else interval_of(interval)
    about.check(counts)
    confidence = about.confidence
    lower = method.function(counts.failures, counts.runs, confidence)[0]
    upper = method.function(counts.possible, counts.runs, confidence)[1]
    exact = upper
    if not method.rigorous:
        exact = clopper_pearson(counts.possible, counts.runs, confidence)[1]
    runs = max(counts.runs, 1)
    shape = counts.failures.shape

    def one(g: int, t: int) -> Estimate:
        failures, undecided = int(counts.failures[g, t]), int(counts.undecided[g, t])
        ends = float(lower[g, t]), float(upper[g, t])
        return about.estimate(
            g,
            t,
            runs=counts.runs,
            failures=failures,
            undecided=undecided,
            diverged=int(counts.diverged[t]),
            estimate=failures / runs,
            estimate_upper=(failures + undecided) / runs if counts.runs else 1.0,
            lower=ends[0],
            upper=ends[1],
            method=method.name,
            rigorous=method.rigorous and about.evidence.proved,
            resolved=failures / runs,
            resolved_lower=ends[0],
            resolved_upper=ends[1],
            upper_guaranteed=float(exact[g, t]),
        )

    return tuple(tuple(one(g, t) for t in range(shape[1])) for g in range(shape[0]))
