"""Estimates of a failure probability from strata: provable, resolved and unresolved, never mixed.

    P(F) = sum_k pi_k f_k

A stratum that fails by proof counts with all of its probability, one with runs with the share of
these that fail, one with families of clones with the mean of their estimates; of all others only
their probability is known, which is the unresolved mass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from jaxsim.estimation.counts import Counts
from jaxsim.estimation.exceedance import About, Estimate
from jaxsim.estimation.families import Families, Resolution, families_resolved, minor_families
from jaxsim.estimation.post_stratified import post_stratified
from jaxsim.estimation.stratified import stratified
from jaxsim.estimation.stratified_counts import StratifiedCounts
from jaxsim.evidence import Evidence


@dataclass(frozen=True)
class Split:
    """Families of clones of one stratum: an estimate from each, at least and at most.

    Attributes:
        values: where undecided particles pass, and where they fail, [F, 2, G, T].
        guard: the same of families that were led the other way, [Q, 2, G, T].
        counts: of runs of the stratum that were not split.
    """

    values: np.ndarray
    guard: np.ndarray
    counts: Counts

    def at(self, g: int, t: int) -> Split:
        """Return the same for one threshold and one checkpoint."""
        values, guard = (a[:, :, g, t][..., None, None] for a in (self.values, self.guard))
        return Split(values, guard, self.counts.at(g, t))

    def resolution(self, minor: ArrayLike = False) -> Resolution:
        """Return whether the families resolve the probability, and why not, [G, T].

        Args:
            minor: whether few families with a failure are enough, bool [G, T].
        """
        counts = self.counts
        return families_resolved(
            self.values[:, 1], self.guard[:, 1], counts.possible, np.asarray(counts.runs), minor
        )


@dataclass(frozen=True)
class Sampled:
    """What is known of S strata at G thresholds and T checkpoints.

    Attributes:
        design: its name.
        weights: probabilities of the strata, [S].
        errors: bounds on their errors, [S].
        counts: of the runs of each, [S].
        decided: strata all of whose runs fail by proof, bool [S, G].
        families: of clones, by stratum.
        proofs: what `decided` rests on, [G]; empty where it is proved.
        one_sample: whether all runs are one sample, sorted into strata afterwards.
    """

    design: str
    weights: np.ndarray
    errors: np.ndarray
    counts: Sequence[Counts]
    decided: np.ndarray
    families: Mapping[int, Split] = field(default_factory=dict)
    proofs: Sequence[Evidence] = ()
    one_sample: bool = False

    @property
    def runs(self) -> np.ndarray:
        """Runs of each stratum, [S]."""
        return np.array([counts.runs for counts in self.counts])

    def at(self, g: int, t: int) -> Sampled:
        """Return the same for one threshold and one checkpoint."""
        return replace(
            self,
            counts=[counts.at(g, t) for counts in self.counts],
            decided=self.decided[:, [g]],
            families={k: split.at(g, t) for k, split in self.families.items()},
            proofs=self.proofs[g : g + 1],
        )

    def resolutions(self) -> dict[int, Resolution]:
        """Return by stratum whether its families resolve its part, and why not, [G, T]."""
        whole = np.zeros_like(self.counts[0].failures, np.float64)
        for k, (weight, counts) in enumerate(zip(self.weights, self.counts, strict=True)):
            part = counts.possible / max(counts.runs, 1)
            if k in self.families:
                part = self.families[k].values[:, 1].mean(0)
            whole += weight * np.where(self.decided[k][:, None], 1.0, part)
        return {
            k: split.resolution(minor_families(self.weights[k], split.values[:, 1], whole))
            for k, split in self.families.items()
        }

    def stratified(self) -> StratifiedCounts:
        """Return the counts of all strata, [S, G, T]."""
        return StratifiedCounts(
            weights=self.weights,
            errors=self.errors,
            failures=np.stack([counts.failures for counts in self.counts]),
            possible=np.stack([counts.possible for counts in self.counts]),
            runs=self.runs,
            decided=np.repeat(
                self.decided[:, :, None].astype(np.int8), self.counts[0].failures.shape[1], axis=2
            ),
        )


def stratified_estimates(
    about: About, sampled: Sampled, interval: str = "clopper-pearson"
) -> tuple[tuple[Estimate, ...], ...]:
    """Return the estimates for G thresholds and T checkpoints, [G][T].

    Args:
        about: what they have in common.
        sampled: the strata.
        interval: a name of `INTERVALS`.
    """
    for counts in sampled.counts:
        about.check(counts)
    counts = sampled.stratified()
    level = about.confidence
    resolved = {k: answer.resolved for k, answer in sampled.resolutions().items()}
    least, most = (
        [Families(k, split.values[:, end], resolved[k]) for k, split in sampled.families.items()]
        for end in (0, 1)
    )
    if sampled.one_sample:
        found = post_stratified(counts, level, interval)
    else:
        found = stratified(counts, level, interval, least)
    widest = stratified(counts, level, interval, most) if most else found
    diverged = np.sum([c.diverged for c in sampled.counts], axis=0)
    failures, possible = counts.failures.sum(0), counts.possible.sum(0)

    def one(g: int, t: int) -> Estimate:
        at, evidence = (g, t), about.evidence
        if sampled.proofs:
            evidence = evidence & sampled.proofs[g]
        return about.estimate(
            g,
            t,
            runs=int(sampled.runs.sum()),
            failures=int(failures[at]),
            undecided=int(possible[at] - failures[at]),
            diverged=int(diverged[t]),
            estimate=float(found.estimate[at]),
            estimate_upper=float(widest.estimate_upper[at]),
            lower=float(found.lower[at]),
            upper=float(widest.upper[at]),
            method=found.method,
            evidence=evidence,
            rigorous=found.rigorous and evidence.proved,
            design=sampled.design,
            provable=float(found.provable[at]),
            resolved=float(found.resolved[at]),
            resolved_lower=float(found.resolved_lower[at]),
            resolved_upper=float(widest.resolved_upper[at]),
            unresolved=float(widest.unresolved[at]),
            families=sum(len(split.values) for split in sampled.families.values()),
            upper_guaranteed=float(found.upper_rigorous[at]),
        )

    return tuple(tuple(one(g, t) for t in range(len(about.steps))) for g in range(len(about.eps)))
