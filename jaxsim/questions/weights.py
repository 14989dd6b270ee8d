"""Shares of runs under a design: the runs of a stratum count with its probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jaxsim.design.stratum import Design
from jaxsim.estimation import Counts
from jaxsim.estimation.exceedance_strata import Sampled, Split
from jaxsim.questions.provable import DecidedStrata


def sampled(
    design: Design,
    counts: Sequence[Counts],
    proofs: Sequence[DecidedStrata],
    families: Mapping[int, Split] | None = None,
) -> Sampled:
    """Return what is known of strata, for estimates.

    Args:
        design: the strata, S of them.
        counts: of the runs of each, [S].
        proofs: strata that fail by proof, [G].
        families: of clones, by stratum.
    """
    return Sampled(
        design=design.name,
        weights=design.weights,
        errors=design.errors,
        counts=counts,
        decided=np.stack([proof.strata for proof in proofs], axis=1),
        proofs=[proof.evidence for proof in proofs],
        families=families or {},
        one_sample=design.one_sample,
    )


def weighted_share(
    design: Design, counts: np.ndarray, runs: np.ndarray, decided: np.ndarray | None = None
) -> np.ndarray:
    """Return sum_k pi_k counts_k / runs_k over the strata with runs.

    Strata without runs, whose share is not known, add nothing.

    Args:
        design: the strata, S of them.
        counts: of runs with a property, [S, ...].
        runs: all runs, [S].
        decided: strata that have the property by proof and count in full, bool [S].

    Example:
        >>> from jaxsim.design.stratum import Stratum
        >>> parts = [Stratum(k, "", p, 0.0, None) for k, p in enumerate((0.75, 0.25))]
        >>> design = Design("strata", tuple(parts))
        >>> float(weighted_share(design, np.array([1, 5]), np.array([10, 10])))
        0.2
    """
    counts, runs = np.asarray(counts, float), np.asarray(runs, float)
    shape = (-1, *[1] * (counts.ndim - 1))
    share = counts / np.maximum(runs, 1).reshape(shape)
    if decided is not None:
        share = np.where(decided.reshape(shape), 1.0, share)
    return np.tensordot(design.weights, share, axes=1)
