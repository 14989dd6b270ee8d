"""Noise-free descent on the true risk from given parameters: in which basin does a run lie?

A run that trains with mini-batches ends near a local minimum of L, not at it. From its last
parameters the exact gradient leads on: first L-BFGS (Nocedal, Math. Comp. 35, 1980) with short
steps, then Newton's method with the absolute values of the Hessian's eigenvalues, so that saddle
points repel (Dauphin et al., NeurIPS 2014). The Hessian is that of differences of the exact
gradient: kinks move with theta, which automatic differentiation of a quadrature does not see.

Where it ends is checked. A point is *stationary* if the gradient is small, and a *local minimum* if
the Hessian is positive definite besides on the complement of the directions in which the function
N_theta does not change to first order: scalings of a neuron, all about an inactive one. Where
those directions keep their number nearby, which is looked at beside the point, the set of equal
functions is a manifold with these tangents, and the point a strict local minimum up to
reparametrization. All of this is
floating-point arithmetic, evidence and no proof. Polishing changes the run: what it finds is the
level of the basin.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.risk import make_risk
from jaxsim.training.evaluate import make_evaluate
from jaxsim.training.experiment import Experiment

LARGEST_BATCH, BATCH_SIZE = 64, 2**14
"""Parameter vectors of one compiled call, at most; and parameters of them together."""
MEMORY = 12
"""Pairs of steps and gradient differences that L-BFGS keeps."""
FIRST_STEPS, NEWTON_STEPS = 300, 40
MOST_FOR_NEWTON = 200
"""Parameters: a Hessian takes twice as many gradients."""
REACH = 0.1
"""Longest step, relative to 1 + |theta|: a basin is not to be left."""
SETTLED = 1e-12
"""What a further Newton step would gain is nothing below this fraction of the risk,"""
ROUNDED = 1e-15
"""or this fraction of the risk of the network with all parameters 0."""
SMALL = 1e-9
"""Where there is no Hessian: a gradient is small below this fraction of those risks together."""
DEFINITE = 1e-7
"""Eigenvalues are positive beyond this fraction of the largest."""
SAME = 1e-12
"""Directions change the function beyond this fraction of the largest squared change."""
BESIDE = 1e-5
"""How far from a point, relatively, the function's directions are counted once more."""
POINTS = 512
"""Inputs at which functions are compared."""


class Basin(IntEnum):
    """What is known of where a polished run ended."""

    OPEN = 0
    """The gradient is not small: still falling, or no smooth minimum."""
    STATIONARY = 1
    """The gradient is small; the Hessian was not formed, or does not decide."""
    MINIMUM = 2
    """A local minimum, strict up to reparametrization, checked numerically."""


class Polished(NamedTuple):
    """Runs after polishing, [R].

    Attributes:
        theta: parameters, float64 [R, P].
        risk: true risk, float64 [R]; not a number where the run was not finite.
        error: of the risk, float64 [R].
        gradient: Euclidean norm of its gradient, float64 [R].
        basin: `Basin` values, int8 [R].
        active: neurons of the first hidden layer that are not certified inactive, int32 [R]; -1
            where there is no hidden layer.
    """

    theta: np.ndarray
    risk: np.ndarray
    error: np.ndarray
    gradient: np.ndarray
    basin: np.ndarray
    active: np.ndarray


def make_polish(
    experiment: Experiment,
) -> Callable[[np.ndarray, Callable[[], bool]], Polished | None]:
    """Return (theta [R, P], asked to stop) -> Polished, None if it was stopped.

    Args:
        experiment: whose risk it is.
    """
    network, batch = experiment.network, batch_of(experiment)
    rule = make_risk(experiment.problem, network, experiment.risk)
    trainable = np.asarray(network.trainable, bool)
    oracle = _batched(jax.value_and_grad(rule.population_loss), batch)
    scale = abs(float(oracle(np.zeros((1, network.size)))[0][0]))
    scale = scale if np.isfinite(scale) else 0.0
    observe = _batched(make_evaluate(experiment).observe, batch)
    gram = _batched(_gram(experiment), batch)

    def risk_and_gradient(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, gradient = oracle(theta)
        return value, np.where(trainable, gradient, 0.0)

    def polish(theta: np.ndarray, stopped: Callable[[], bool]) -> Polished | None:
        theta = np.array(theta, np.float64)
        finite = np.asarray(np.isfinite(theta).all(1))
        if finite.any():
            finite[finite] &= np.isfinite(risk_and_gradient(theta[finite])[0])
        basin = np.zeros(len(theta), np.int8)
        norm = np.full(len(theta), np.nan)
        if finite.any():
            ended = _lbfgs(risk_and_gradient, theta[finite], stopped)
            if ended is not None and trainable.sum() <= MOST_FOR_NEWTON:
                ended = _newton(risk_and_gradient, ended, trainable, scale, stopped)
            if ended is None:
                return None
            theta[finite] = ended
            verdict = _verdict(risk_and_gradient, gram, ended, trainable, scale)
            basin[finite], norm[finite] = verdict
        seen = observe(np.where(np.isfinite(theta), theta, 0.0))
        hidden = network.hidden[0] if network.hidden else -1
        active = hidden - seen.inactive[:, 0] if network.hidden else np.full(len(theta), -1)
        return Polished(
            theta=theta,
            risk=np.where(finite, seen.risk, np.nan),
            error=np.where(finite, seen.error, np.nan),
            gradient=norm,
            basin=basin,
            active=active.astype(np.int32),
        )

    return polish


def within(seconds: float) -> Callable[[], bool]:
    """Return a function that says whether so many seconds have passed since now."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def batch_of(experiment: Experiment) -> int:
    """Return how many runs of an experiment are polished together."""
    return max(4, min(LARGEST_BATCH, BATCH_SIZE // experiment.network.size))


def _batched(function: Callable, batch: int) -> Callable:
    """Return a function of many parameter vectors [R, P] that compiles for one batch only."""
    compiled = jax.jit(jax.vmap(function))

    def apply(theta: np.ndarray):
        parts = []
        for first in range(0, len(theta), batch):
            part = theta[first : first + batch]
            padded = np.concatenate([part, np.repeat(part[:1], batch - len(part), 0)])
            parts.append(jax.device_get(compiled(jnp.asarray(padded, jnp.float64))))
        return jax.tree.map(lambda *a: np.concatenate(a)[: len(theta)], *parts)

    return apply


def _gram(experiment: Experiment) -> Callable[[Array], Array]:
    """Return theta -> mean over inputs of the outer products of d N_theta(x) / d theta, [P, P]."""
    law, network = experiment.problem.law, experiment.network
    if law.finite is not None and len(law.finite[0]) <= POINTS:
        points = law.finite[0]
    else:
        # Inside the cube: its faces may be points of measure zero where kinks lie.
        sequence = scipy.stats.qmc.Sobol(law.unit_dimension, rng=np.random.default_rng(0))
        points = law.from_unit(sequence.random(POINTS))
    x = jnp.asarray(points, jnp.float64)

    def gram(theta: Array) -> Array:
        def outputs(theta: Array) -> Array:
            return network.apply(theta, x).reshape(-1)

        jacobian = jax.jacfwd(outputs)(theta)
        return jacobian.T @ jacobian / len(jacobian)

    return gram


def _lbfgs(oracle: Callable, theta: np.ndarray, stopped: Callable[[], bool]) -> np.ndarray | None:
    """Return where L-BFGS with backtracking leads, [R, P]; every run has its own memory."""
    runs, size = theta.shape
    value, gradient = oracle(theta)
    steps, changes = np.zeros((MEMORY, runs, size)), np.zeros((MEMORY, runs, size))
    inverse = np.zeros((MEMORY, runs))
    moving = np.ones(runs, bool)
    scale = np.maximum(np.abs(value), 1e-300)
    for _ in range(FIRST_STEPS):
        moving &= np.linalg.norm(gradient, axis=1) > 1e-3 * SMALL * scale
        if not moving.any():
            break
        if stopped():
            return None
        direction = -_two_loops(gradient, steps, changes, inverse)
        slope = (direction * gradient).sum(1)
        uphill = slope >= 0
        direction[uphill], slope[uphill] = -gradient[uphill], -(gradient[uphill] ** 2).sum(1)
        direction, factor = _shortened(direction, theta)
        ended = _backtracked(oracle, theta, value, direction, slope * factor, moving)
        new_theta, new_value, new_gradient, took = ended
        step, change = new_theta - theta, new_gradient - gradient
        curved = (step * change).sum(1)
        good = took & (curved > 1e-14 * np.linalg.norm(step, axis=1) ** 2)
        steps, changes, inverse = (np.roll(a, -1, 0) for a in (steps, changes, inverse))
        steps[-1] = np.where(good[:, None], step, 0.0)
        changes[-1] = np.where(good[:, None], change, 0.0)
        inverse[-1] = np.where(good, 1 / np.where(good, curved, 1.0), 0.0)
        # A run without progress forgets what it remembers, and rests if it had nothing to forget.
        stuck = moving & ~took
        moving &= ~(stuck & ~inverse[:-1].any(0))
        steps[:, stuck], changes[:, stuck], inverse[:, stuck] = 0.0, 0.0, 0.0
        theta, value, gradient = new_theta, new_value, new_gradient
    return theta


def _two_loops(
    gradient: np.ndarray, steps: np.ndarray, changes: np.ndarray, inverse: np.ndarray
) -> np.ndarray:
    """Return the inverse Hessian of L-BFGS times the gradient, [R, P]."""
    q, alphas = gradient.copy(), []
    for s, y, rho in zip(steps[::-1], changes[::-1], inverse[::-1], strict=True):
        alphas.append(rho * (s * q).sum(1))
        q -= alphas[-1][:, None] * y
    size = (changes[-1] ** 2).sum(1)
    known = (inverse[-1] > 0) & (size > 0)
    q *= np.where(known, 1 / np.where(known, inverse[-1] * size, 1.0), 1.0)[:, None]
    for s, y, rho, alpha in zip(steps, changes, inverse, alphas[::-1], strict=True):
        q += (alpha - rho * (y * q).sum(1))[:, None] * s
    return q


def _shortened(direction: np.ndarray, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return directions no longer than the reach, and what they were multiplied by, [R]."""
    length = np.linalg.norm(direction, axis=1)
    most = REACH * (1 + np.linalg.norm(theta, axis=1))
    factor = np.where(length > most, most / np.where(length > 0, length, 1.0), 1.0)
    return direction * factor[:, None], factor


def _backtracked(
    oracle: Callable,
    theta: np.ndarray,
    value: np.ndarray,
    direction: np.ndarray,
    slope: np.ndarray,
    moving: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (theta, value, gradient, whether it moved) of the first halved step that descends.

    A decrease below the rounding of the value counts if the slope along the step decreases.
    """
    new_theta, new_value = theta.copy(), value.copy()
    new_gradient = np.zeros_like(theta)
    waiting, took, part = moving.copy(), np.zeros(len(theta), bool), 1.0
    for _ in range(24):
        if not waiting.any():
            break
        chosen = np.flatnonzero(waiting)
        trial = theta[chosen] + part * direction[chosen]
        trial_value, gradient = oracle(trial)
        enough = trial_value <= value[chosen] + 1e-4 * part * slope[chosen]
        rounding = 4e-16 * np.abs(value[chosen])
        flat = np.abs(trial_value - value[chosen]) <= rounding
        along = np.abs((gradient * direction[chosen]).sum(1))
        enough |= flat & (along < 0.9 * np.abs(slope[chosen]))
        done = chosen[enough]
        new_theta[done], new_value[done] = trial[enough], trial_value[enough]
        new_gradient[done] = gradient[enough]
        took[done], waiting[done] = True, False
        part /= 2
    rest = np.flatnonzero(~took)
    if len(rest):
        new_gradient[rest] = oracle(theta[rest])[1]
    return new_theta, new_value, new_gradient, took


def _hessian(oracle: Callable, theta: np.ndarray, trainable: np.ndarray) -> np.ndarray:
    """Return central differences of the gradient, symmetrized, [R, P, P]."""
    runs, size = theta.shape
    hessian = np.zeros((runs, size, size))
    for i in np.flatnonzero(trainable):
        h = 1e-5 * (1 + np.abs(theta[:, i]))
        up, down = theta.copy(), theta.copy()
        up[:, i] += h
        down[:, i] -= h
        _, gradient = oracle(np.concatenate([up, down]))
        hessian[:, i] = (gradient[:runs] - gradient[runs:]) / (up[:, i] - down[:, i])[:, None]
    return (hessian + hessian.transpose(0, 2, 1)) / 2


def _newton(
    oracle: Callable,
    theta: np.ndarray,
    trainable: np.ndarray,
    scale: float,
    stopped: Callable[[], bool],
) -> np.ndarray | None:
    """Return where Newton's method with absolute eigenvalues leads, [R, P]."""
    theta = theta.copy()
    moving = np.ones(len(theta), bool)
    for _ in range(NEWTON_STEPS):
        if stopped():
            return None
        at = np.flatnonzero(moving)
        value, gradient = oracle(theta[at])
        values, vectors = np.linalg.eigh(_hessian(oracle, theta[at], trainable))
        largest = np.abs(values).max(1, keepdims=True)
        along = np.einsum("rpk,rp->rk", vectors, gradient)
        down = values[:, 0] < -DEFINITE * largest[:, 0]
        # From a saddle point, where the gradient does not say so, down to one side.
        side = np.where(along[:, 0] > 0, -1.0, 1.0)
        curved = np.abs(values) > 1e-9 * largest
        step = np.where(curved, -along / np.where(curved, np.abs(values), 1.0), 0.0)
        small = -(step * along).sum(1) <= 1e-6 * (SETTLED * np.abs(value) + ROUNDED * scale)
        step[:, 0] += np.where(down & small, 1e-3 * side, 0.0)
        direction = np.einsum("rpk,rk->rp", vectors, step)
        direction, _ = _shortened(direction, theta[at])
        slope = (direction * gradient).sum(1)
        going = ~small | down
        ended = _backtracked(oracle, theta[at], value, direction, slope, going)
        theta[at] = ended[0]
        moving[at] = going & ended[3]
        if not moving.any():
            break
    return theta


def _verdict(
    oracle: Callable, gram: Callable, theta: np.ndarray, trainable: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return (`Basin` values, norms of the gradients), [R]."""
    value, gradient = oracle(theta)
    norm = np.linalg.norm(gradient, axis=1)
    if trainable.sum() > MOST_FOR_NEWTON:
        small = norm <= SMALL * (np.abs(value) + scale)
        return np.where(small, Basin.STATIONARY, Basin.OPEN).astype(np.int8), norm
    basin = np.full(len(theta), Basin.OPEN)
    hessian = _hessian(oracle, theta, trainable)[:, trainable][:, :, trainable]
    shift = np.random.default_rng(0).standard_normal(theta.shape[1])
    beside = theta + BESIDE * (1 + np.abs(theta)) * np.where(trainable, shift, 0.0)
    changes, nearby = (gram(t)[:, trainable][:, :, trainable] for t in (theta, beside))
    for place, (h, same, near) in enumerate(zip(hessian, changes, nearby, strict=True)):
        sizes, directions = np.linalg.eigh(same)
        kept = directions[:, sizes > SAME * max(sizes[-1], 1e-300)]
        others = np.linalg.eigvalsh(near)
        constant_rank = (others > SAME * max(others[-1], 1e-300)).sum() == kept.shape[1]
        values, vectors = np.linalg.eigh(kept.T @ h @ kept)
        along = vectors.T @ (kept.T @ gradient[place][trainable])
        curved = np.abs(values) > DEFINITE * max(np.abs(h).max(), 1e-300)
        gain = (along[curved] ** 2 / np.abs(values[curved])).sum()
        rest = np.abs(along[~curved]).sum()
        tolerance = SETTLED * abs(value[place]) + ROUNDED * scale
        if gain <= tolerance and rest <= SMALL * (abs(value[place]) + scale):
            minimum = curved.all() and (values > 0).all() and constant_rank
            basin[place] = Basin.MINIMUM if minimum else Basin.STATIONARY
    return basin.astype(np.int8), norm
