"""Strata for runs of the plain design, fixed by what is known without any of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from jaxsim.design.post_strata import post_stratified
from jaxsim.questions.provable import decided_by_proof
from jaxsim.questions.quantities import quantities
from jaxsim.questions.question import Subject

ANY_LOOK = 4096
"""Runs that strata are made for where their number may follow from looks at them."""


def with_post_strata(subject: Subject, runs: int) -> Subject:
    """Return a subject whose runs count by strata of their inactive neurons at initialization.

    Numbers of neurons with which runs fail by proof share no stratum with others, by the bracket of
    inf L that no run has a say in: the runs must not choose their strata.

    Args:
        subject: of the plain design.
        runs: of the plan; an interval that holds at every look has strata that no look moves.

    Raises:
        InputError: where the law of the number of inactive neurons is not known.
    """
    experiment = subject.experiment
    before = experiment.optimum if subject.before is None else subject.before
    probe = replace(subject, optimum=before, design=post_stratified(experiment))
    proofs = [decided_by_proof(probe, q, q.thresholds) for q in quantities(probe)]
    fixed = ANY_LOOK if subject.guaranteed == "sequence" else runs
    design = post_stratified(experiment, fixed, np.concatenate(proofs, axis=1))
    return replace(subject, design=design)
