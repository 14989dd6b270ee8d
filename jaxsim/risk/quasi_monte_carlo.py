"""The true risk by randomized quasi-Monte Carlo, with an error estimate.

R independently scrambled Sobol' sequences of 2^m points each (Owen 1997, "Scrambled net variance
for integrals of smooth functions") give R independent unbiased values; their spread gives half the
width of Student's t interval for their mean (L'Ecuyer, Nakayama, Owen, Tuffin 2023). R values
decide its level only if they are nearly normal, so that the error is an estimate. All members see
the same points, so that differences between them are far more precise than the risks themselves.

What no point sees has no part in the spread. Formulas with rare large values are cut into strata
(see `strata`), and the error has two terms more: one point's weight times the range of the losses
seen, and, where comparisons in the formula may switch to values that no point saw, the largest mass
that N points miss with probability 1e-6 times the loss there.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.evidence import estimated
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.problem.input_laws import InputLaw
from jaxsim.problem.problem import Problem
from jaxsim.risk.finite import CHUNK, loss_with_error, rounding_of_sum
from jaxsim.risk.forward import forward
from jaxsim.risk.integrand import Integrand, integrand
from jaxsim.risk.rule import RiskOptions, RiskRule
from jaxsim.risk.strata import Strata, Stratum, stratify

MISSED = 14.0
"""-log(1e-6): N points miss a mass of 14 / N with probability 1e-6."""


class Unseen(NamedTuple):
    """Values that a formula may take although no point saw them.

    Attributes:
        mass: the largest probability of such a place.
        values: the ends of what is possible there [2, outputs].
        nearest: the nearest values seen [2, outputs].
    """

    mass: float
    values: np.ndarray
    nearest: np.ndarray

    def error(self, averaged: Integrand, least: Array, most: Array) -> Array:
        """Return how much it may add to a risk with predictions between two ends [outputs]."""
        predictions = jnp.stack([least, least, most, most])
        values, nearest = (
            jnp.asarray(np.tile(y, (2, 1)), least.dtype) for y in (self.values, self.nearest)
        )
        losses = averaged.function(predictions, values) - averaged.function(predictions, nearest)
        return self.mass * jnp.abs(losses).max()


class Sample(NamedTuple):
    """Points of the law of (X, f(X)), the same for networks and for the best constant.

    Attributes:
        points: [replicates, n, d].
        y: targets [replicates, n, ...].
        weights: [n] of sum 1, of each replicate; None for equal ones.
        strata: how many strata the points come from.
        unseen: what they may have missed; None for nothing that is known.
        unbounded: whether the loss seems to have no finite mean.
    """

    points: np.ndarray
    y: np.ndarray
    weights: np.ndarray | None
    strata: int
    unseen: Unseen | None
    unbounded: bool


@lru_cache(maxsize=32)
def sample_of(problem: Problem, options: RiskOptions) -> Sample:
    """Return the points of a problem, the same for equal options."""
    points = scrambled_points(problem.law, options)
    y = _targets(problem, points)
    if not np.issubdtype(y.dtype, np.floating):
        return Sample(points, y, None, 1, None, False)
    constant = _typical_constant(problem)
    stratification = stratify(problem, constant, points.shape[1])
    # Cells of a few cuts separate no pole along a slanted line: 1 / (x1 - x2).
    unbounded = problem.risks_could_be_infinite
    if stratification is None:
        return Sample(points, y, None, 1, None, unbounded)
    unbounded |= stratification.unbounded
    weights, strata = None, (Stratum(stratification.root, points.shape[1]),)
    if stratification.strata and not stratification.unbounded:
        strata = stratification.strata
        points, weights = _stratified_points(problem.law, options, stratification)
        y = _targets(problem, points)
    unseen = _unseen(problem, constant, stratification, strata, y)
    return Sample(points, y, weights, len(strata), unseen, unbounded)


def _typical_constant(problem: Problem) -> np.ndarray:
    """Return the median of the target [outputs] at some points that do not depend on the seed."""
    y = _targets(problem, scrambled_points(problem.law, RiskOptions(points=256, replicates=2)))
    return np.median(y.reshape(-1, y.shape[-1]), axis=0)


def _targets(problem: Problem, points: np.ndarray) -> np.ndarray:
    with jax.ensure_compile_time_eval():
        y = np.asarray(problem.targets_at(jnp.asarray(points.reshape(-1, points.shape[-1]))))
    return y.reshape(*points.shape[:2], *y.shape[1:])


def scrambled_points(law: InputLaw, options: RiskOptions) -> np.ndarray:
    """Return points [replicates, 2^m, d] of the law, float64, the same for equal options."""
    exponent = max(0, math.ceil(math.log2(options.points)))
    return np.stack([law.from_unit(u) for u in _unit_points(law.unit_dimension, exponent, options)])


def _unit_points(dimension: int, exponent: int, options: RiskOptions) -> list[np.ndarray]:
    """Return one scrambled sequence [2^m, k] per replicate."""
    sequences = []
    for sequence in np.random.SeedSequence(options.seed).spawn(options.replicates):
        generator = np.random.default_rng(sequence)
        sobol = scipy.stats.qmc.Sobol(dimension, scramble=True, bits=52, rng=generator)
        sequences.append(sobol.random_base2(exponent))
    return sequences


def _stratified_points(
    law: InputLaw, options: RiskOptions, found: Strata
) -> tuple[np.ndarray, np.ndarray]:
    """Return points [replicates, n, d] stratum by stratum, and their weights [n].

    Consecutive parts of one scrambled sequence: each point is uniform by itself, so that the
    weighted means are unbiased, and runs of a Sobol' sequence are spread evenly. Points of weight
    zero fill the last chunk.
    """
    counts = np.array([s.points for s in found.strata])
    total = int(counts.sum())
    chunks = -(-total // CHUNK)
    fill = chunks * -(-total // chunks) - total
    cell_of = np.repeat(np.arange(len(counts)), counts)
    cell_of = np.concatenate([cell_of, np.full(fill, cell_of[-1])])
    low = np.stack([s.cell.low for s in found.strata])[cell_of]
    high = np.stack([s.cell.high for s in found.strata])[cell_of]
    masses = np.array([s.cell.mass for s in found.strata])
    weights = (masses / counts / masses.sum())[cell_of]
    weights[total:] = 0.0
    exponent = math.ceil(math.log2(len(cell_of)))
    units = _unit_points(law.unit_dimension, exponent, options)
    return np.stack(
        [found.coordinates.points(low, high, u[: len(cell_of)]) for u in units]
    ), weights


def _unseen(
    problem: Problem,
    constant: np.ndarray,
    found: Strata,
    strata: tuple[Stratum, ...],
    y: np.ndarray,
) -> Unseen | None:
    """Return the place of the largest loss that undecided comparisons allow and no point saw.

    On a cell where all comparisons are decided the formula is continuous, and what its enclosure
    exceeds the values seen by is mostly the looseness of interval arithmetic.
    """
    rows, replicates = y.reshape(-1, y.shape[-1]), len(y)
    rho = problem.loss.residual or jnp.abs
    leaves = [(leaf, s) for s in strata for leaf in s.cell.leaves() if np.isfinite(leaf.loss)]
    if not leaves:
        return None
    masses = np.array(
        [min(f.mass, MISSED * s.cell.mass / (s.points * replicates)) for f, s in leaves]
    )
    ends = np.array([(f.least, f.most) for f, _ in leaves])  # [leaves, 2, outputs]
    cells = np.stack([f.low for f, _ in leaves], 1), np.stack([f.high for f, _ in leaves], 1)
    least, most = (np.swapaxes(e, 0, 1)[:, None] for e in found.decided(*cells))
    least, most = np.minimum(least, rows.min(0)), np.maximum(most, rows.max(0))
    nearest = np.clip(ends, least, most)
    with jax.ensure_compile_time_eval():
        excess = np.asarray(
            rho(jnp.asarray(constant - ends)) - rho(jnp.asarray(constant - nearest))
        )
    worst = int(np.argmax(masses * np.abs(excess).sum(-1).max(-1)))
    if not np.any(excess[worst]):
        return None
    return Unseen(float(masses[worst]), ends[worst], nearest[worst])


def quasi_monte_carlo_rule(
    problem: Problem,
    network: Network,
    options: RiskOptions,
    forward_passes: ForwardPasses | None = None,
) -> RiskRule:
    """Return the rule that works for every law of X, in every dimension."""
    averaged = integrand(problem)
    sample = sample_of(problem, options)
    replicates, n, dimension = sample.points.shape
    size = min(n, CHUNK) if sample.weights is None else n // -(-n // CHUNK)
    shape = (replicates * n // size, size)
    points = sample.points.reshape(*shape, dimension)
    y = sample.y.reshape(*shape, *sample.y.shape[2:])
    weights = None
    if sample.weights is not None:
        weights = np.tile(sample.weights, replicates).reshape(shape)
    width = float(scipy.stats.t.ppf((1 + options.confidence) / 2, replicates - 1)) / replicates**0.5

    def data(dtype: Any) -> tuple[Array, ...]:
        floating = np.issubdtype(y.dtype, np.floating)
        both = jnp.asarray(points, dtype), jnp.asarray(y, dtype if floating else None)
        return both if weights is None else (*both, jnp.asarray(weights, dtype))

    def evaluate(theta: Array) -> tuple[Array, Array]:
        def part(chunk: tuple[Array, ...]) -> tuple[Array, ...]:
            x, wanted, *shares = chunk
            prediction, slack = forward(network, theta, x, forward_passes)
            losses, bounds = loss_with_error(averaged, prediction, wanted, slack)
            ends = losses.min(), prediction.min(0), prediction.max(0)
            if not shares:
                return losses.mean(), bounds.mean(), losses.max(), *ends
            (w,) = shares
            sums = w @ losses, w @ bounds
            return *sums, (w * losses).max(), *ends

        means, bounds, largest, least, low, high = jax.lax.map(part, data(theta.dtype))
        means, bounds = means.reshape(replicates, -1), bounds.reshape(replicates, -1)
        if weights is None:
            estimates, rounding = means.mean(1), bounds.mean()
            one_point = (largest.max() - least.min()) / (n * replicates)
        else:
            estimates, rounding = means.sum(1), bounds.sum(1).mean()
            one_point = largest.max() / replicates
            one_point -= jnp.minimum(least.min(), 0) / (n * replicates)
        value = estimates.mean()
        spread = jnp.sqrt(((estimates - value) ** 2).sum() / (replicates - 1))
        error = width * spread + rounding + rounding_of_sum(CHUNK, value, theta.dtype) + one_point
        if sample.unseen is not None:
            error += sample.unseen.error(averaged, low.min(0), high.max(0))
        return value, jnp.where(sample.unbounded, jnp.inf, error)

    def population_loss(theta: Array) -> Array:
        @jax.checkpoint
        def part(x: Array, wanted: Array, *shares: Array) -> Array:
            losses = averaged.function(network.apply(theta, x), wanted)
            return shares[0] @ losses if shares else losses.mean()

        parts = jax.lax.map(lambda chunk: part(*chunk), data(theta.dtype))
        return parts.mean() if weights is None else parts.sum() / replicates

    strata = "" if weights is None else f" in {sample.strata} strata"
    infinite = "; the loss grows without bound: risks could be infinite" if sample.unbounded else ""
    return RiskRule(
        evaluate,
        population_loss,
        exact=False,
        evidence=estimated("risks are averages over scrambled Sobol' points"),
        description=f"{replicates} scrambled Sobol' sequences of {n} points{strata}; error "
        f"estimated from their spread (Student t at level {options.confidence:g}) and from what "
        f"no point may have seen{infinite}",
    )
