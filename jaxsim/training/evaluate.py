"""What is observed of a member at a checkpoint: true risk with its error, what is inactive."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.risk import make_risk
from jaxsim.risk.error_rate import make_error_rate
from jaxsim.training.experiment import Experiment
from jaxsim.training.inactive import make_inactivity
from jaxsim.training.pattern import make_pattern


class Observation(NamedTuple):
    """Observed at one checkpoint, float64.

    Attributes:
        risk: true risk L(theta).
        error: bound on its numerical error.
        inactive: certified inactive neurons per hidden layer, int32 [L].
        constant: 1 if the network is constant on the support, 0 if it is not known to be, -1 where
            that is not looked at; int8.
        error_rate: probability of a wrong class and a bound on its error, [2]; [0] if it is not
            recorded.
        pattern: activation pattern on the data points, packed bits, uint8 [breakpoints, bytes];
            [0, 0] if it is not recorded.
    """

    risk: Array
    error: Array
    inactive: Array
    constant: Array
    error_rate: Array
    pattern: Array


class Evaluate(NamedTuple):
    """Observations as pure functions of theta [P] in the training precision.

    Attributes:
        observe: theta -> Observation.
        gradient_norm: theta -> Euclidean norm of the gradient of the true risk.
    """

    observe: Callable[[Array], Observation]
    gradient_norm: Callable[[Array], Array]


def make_evaluate(experiment: Experiment, forward_passes: ForwardPasses | None = None) -> Evaluate:
    """Return the observations of an experiment; shared by all optimizers of one architecture.

    Args:
        experiment: whose problem and network count.
        forward_passes: an engine's own over points; None for the plain ones.
    """
    risk = make_risk(experiment.problem, experiment.network, experiment.risk, forward_passes)
    inactivity = make_inactivity(
        experiment.network,
        experiment.problem.law.support,
        experiment.dtype,
        experiment.risk.pieces,
        forward_passes,
    )

    wrong = None
    if experiment.error_rate:
        wrong = make_error_rate(
            experiment.problem, experiment.network, experiment.risk, forward_passes
        )

    pattern = None
    if experiment.activation_pattern:
        points = experiment.drawn_from.law.finite
        assert points is not None
        pattern = make_pattern(experiment.network, points[0])

    def observe(theta: Array) -> Observation:
        theta = theta.astype(jnp.float64)
        value, error = risk.evaluate(theta)
        finite = jnp.isfinite(theta).all() & jnp.isfinite(value)
        neurons = inactivity(theta)
        rate = jnp.zeros(0)
        if wrong is not None:
            rate = jnp.where(
                finite, jnp.stack(wrong.evaluate(theta, neurons.constant == 1)), jnp.nan
            )
        return Observation(
            risk=jnp.where(finite, value, jnp.nan),
            error=jnp.where(finite, error, jnp.nan),
            inactive=neurons.inactive,
            constant=jnp.where(finite, neurons.constant, jnp.minimum(neurons.constant, 0)),
            error_rate=rate,
            pattern=jnp.zeros((0, 0), jnp.uint8) if pattern is None else pattern(theta),
        )

    def gradient_norm(theta: Array) -> Array:
        gradient = jax.grad(risk.population_loss)(theta.astype(jnp.float64))
        return jnp.sqrt((gradient**2).sum())

    return Evaluate(observe, gradient_norm)
