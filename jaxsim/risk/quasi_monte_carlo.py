"""The true risk by randomized quasi-Monte Carlo, with a confidence interval.

R independently scrambled Sobol' sequences of 2^m points each (Owen 1997, "Scrambled net variance
for integrals of smooth functions") give R independent unbiased values; the error is half the width
of Student's t interval for their mean (L'Ecuyer, Nakayama, Owen, Tuffin 2023). All members see the
same points, so that differences between them are far more precise than the risks themselves.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.evidence import estimated
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.risk.finite import CHUNK, loss_with_error, rounding_of_sum
from jaxsim.risk.forward import forward
from jaxsim.risk.integrand import integrand
from jaxsim.risk.rule import RiskOptions, RiskRule


def scrambled_points(law: Any, options: RiskOptions) -> np.ndarray:
    """Return points [replicates, 2^m, d] of the law, float64, the same for equal options."""
    exponent = max(0, math.ceil(math.log2(options.points)))
    replicates = []
    for sequence in np.random.SeedSequence(options.seed).spawn(options.replicates):
        generator = np.random.default_rng(sequence)
        sobol = scipy.stats.qmc.Sobol(law.unit_dimension, scramble=True, bits=52, rng=generator)
        replicates.append(law.from_unit(sobol.random_base2(exponent)))
    return np.stack(replicates)


def quasi_monte_carlo_rule(
    problem: Any,
    network: Network,
    options: RiskOptions,
    forward_passes: ForwardPasses | None = None,
) -> RiskRule:
    """Return the rule that works for every law of X, in every dimension."""
    averaged = integrand(problem)
    points = scrambled_points(problem.law, options)
    replicates, n, dimension = points.shape
    y = np.asarray(problem.targets_at(jnp.asarray(points.reshape(-1, dimension))))
    size = min(n, CHUNK)
    shape = (replicates * n // size, size)
    points, y = points.reshape(*shape, dimension), y.reshape(*shape, *y.shape[1:])
    width = float(scipy.stats.t.ppf((1 + options.confidence) / 2, replicates - 1)) / replicates**0.5

    def data(dtype: Any) -> tuple[Array, Array]:
        floating = np.issubdtype(y.dtype, np.floating)
        return jnp.asarray(points, dtype), jnp.asarray(y, dtype if floating else None)

    def evaluate(theta: Array) -> tuple[Array, Array]:
        def part(chunk: tuple[Array, Array]) -> tuple[Array, Array]:
            x, wanted = chunk
            prediction, slack = forward(network, theta, x, forward_passes)
            losses, bounds = loss_with_error(averaged, prediction, wanted, slack)
            return losses.mean(), bounds.mean()

        means, bounds = jax.lax.map(part, data(theta.dtype))
        estimates = means.reshape(replicates, -1).mean(1)
        value = estimates.mean()
        spread = jnp.sqrt(((estimates - value) ** 2).sum() / (replicates - 1))
        rounding = bounds.mean() + rounding_of_sum(CHUNK, value, theta.dtype)
        return value, width * spread + rounding

    def population_loss(theta: Array) -> Array:
        @jax.checkpoint
        def part(x: Array, wanted: Array) -> Array:
            return averaged.function(network.apply(theta, x), wanted).mean()

        return jax.lax.map(lambda chunk: part(*chunk), data(theta.dtype)).mean()

    return RiskRule(
        evaluate,
        population_loss,
        exact=False,
        evidence=estimated("risks are averages over scrambled Sobol' points"),
        description=f"{replicates} scrambled Sobol' sequences of {n} points, Student t interval at "
        f"confidence {options.confidence:g}",
    )
