"""Programs for gradients of the true risk: no mini-batches, the same data in every step.

True risks in closed form have a program of their own (`gaussian`). A true risk that is a sum over
points without noise is trained as one mini-batch of all points, with weights (`training`).
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.engines.lanes import NO_BATCH
from jaxsim.engines.native import gaussian, training
from jaxsim.engines.native.program import Source, Target
from jaxsim.engines.native.teacher import taught
from jaxsim.training.experiment import Experiment

MOST_POINTS = 4096
"""Points whose activations a group of lanes keeps in memory."""


def population_unsupported_reason(experiment: Experiment) -> str:
    """Return why there is no program for gradients of a true risk; empty if there is one."""
    problem = experiment.drawn_from
    if problem.law.finite is None:
        closed = gaussian.has_closed_form(experiment)
        return "" if closed else f"{NO_BATCH}, and this true risk has no closed form"
    if problem.noise.kind != "none":
        return f"{NO_BATCH}, and this true risk averages over noise"
    points = len(problem.law.finite[0])
    return "" if points <= MOST_POINTS else f"{points} points, more than {MOST_POINTS}"


def generate(experiment: Experiment, target: Target, lanes: int) -> Source:
    """Return the program of an experiment; its data are those of `population_data`.

    Raises:
        Untranslatable: if activation, loss or optimizer cannot be written in C.
    """
    if experiment.drawn_from.law.finite is None:
        return gaussian.generate(experiment, target, lanes)
    return training.generate(experiment, target, lanes)


def population_data(experiment: Experiment) -> tuple[Array | np.ndarray, ...]:
    """Return what the program is given in every step: a teacher, or points, labels and weights."""
    problem, dtype = experiment.drawn_from, experiment.dtype
    if problem.law.finite is None:
        return (taught(experiment).numbers(),)
    points, weights = problem.law.finite
    labels = jnp.asarray(problem.targets_at_points())
    return tuple(jnp.asarray(part, dtype) for part in (points, labels, weights))
