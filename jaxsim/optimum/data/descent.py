"""Networks of small risk on finitely many points, by L-BFGS in float64 from several starts.

The starts are He-normal weights and biases from a generator of the start's own number, so that the
sequence of networks does not depend on the clock: it only decides where it is cut short. Biases are
small or, where the points are given, in every other start so that neurons bend between two of them.
Frozen parameters have the constant that their law states.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.network import Network
from jaxsim.optimum.data.points import WeightedPoints
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.problem import Problem
from jaxsim.risk.integrand import integrand

_ITERATIONS = 800
_MEMORY = 20

Risk = Callable[[np.ndarray], tuple[float, np.ndarray]]


def risk_of(problem: Problem, network: Network, points: WeightedPoints) -> Risk:
    """Return theta [P] -> (risk, gradient) as compiled once."""
    averaged = integrand(problem)
    x, weights = jnp.asarray(points.x), jnp.asarray(points.weights)
    y = jnp.asarray(problem.targets_at_points())

    @jax.jit
    def compiled(theta: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.value_and_grad(lambda t: weights @ averaged.function(network.apply(t, x), y))(
            theta
        )

    def risk(theta: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = compiled(jnp.asarray(theta, jnp.float64))
        # NumPy's, writable: the minimizer changes it.
        slope = np.array(gradient)
        return float(value), np.where(network.trainable, slope, 0.0)

    return risk


def start(network: Network, number: int, x: np.ndarray | None = None) -> np.ndarray:
    """Return the parameters [P] of a start; frozen ones are constants or 0.

    Args:
        network: fully connected.
        number: of the start.
        x: inputs [n, d]; with them the neurons of odd starts bend among these points.
    """
    rng = np.random.default_rng([20_251, number])
    parts = []
    for spec in network.layer_specs:
        scale = np.sqrt(2 / spec.fan_in) / (spec.multiplier or 1.0)
        weights = rng.normal(size=spec.fan_in * spec.fan_out) * scale
        if not spec.train_weights:
            weights = np.full(weights.shape, spec.weights.constant or 0.0)
        parts.append(weights)
        if spec.biases is not None:
            biases = 0.1 * rng.normal(size=spec.fan_out)
            if not spec.train_biases:
                biases = np.full(spec.fan_out, spec.biases.constant or 0.0)
            parts.append(biases)
    theta = np.concatenate(parts)
    return theta if x is None or number % 2 == 0 else _bent_among(network, theta, x, rng)


def _bent_among(
    network: Network, theta: np.ndarray, x: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return parameters whose trained hidden biases put each neuron's zero between two points."""
    bent, h = theta.copy(), x
    pairs = zip(network.layer_specs, network.layout.places, strict=True)
    for spec, place in list(pairs)[:-1]:
        z = h @ (bent[place.weights].reshape(spec.fan_in, spec.fan_out) * spec.multiplier)
        if place.biases is not None:
            if spec.train_biases:
                two = rng.integers(0, len(z), (2, spec.fan_out))
                ends = z[two, np.arange(spec.fan_out)]
                share = rng.random(spec.fan_out)
                bent[place.biases] = -share * ends[0] - (1 - share) * ends[1]
            z = z + bent[place.biases]
        assert network.activation is not None
        h = np.asarray(network.activation.function(jnp.asarray(z)))
    return bent


def descend(
    risk: Risk,
    theta: np.ndarray,
    budget: Budget,
    enough: Callable[[np.ndarray], bool],
) -> tuple[np.ndarray, float, bool]:
    """Return (best parameters, their risk, whether the descent came to its end).

    Args:
        risk: as `risk_of` returns it.
        theta: where to begin.
        budget: looked at after every step.
        enough: whether parameters need no improvement.
    """
    best, least = theta, risk(theta)[0]
    over = True
    count = 0

    def counted(at: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal best, least
        value, slope = risk(at)
        if value < least:
            best, least = at.copy(), value
        return (value, slope) if np.isfinite(value) else (1e300, np.zeros_like(at))

    def callback(at: np.ndarray) -> None:
        nonlocal over, count
        count += 1
        if budget.spent:
            over = False
            raise StopIteration
        if count % 10 == 0 and enough(at):
            raise StopIteration

    scipy.optimize.minimize(
        counted,
        theta,
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={
            "maxiter": _ITERATIONS,
            "maxfun": 2 * _ITERATIONS,
            "maxcor": _MEMORY,
            "ftol": 0.0,
            "gtol": 1e-12,
        },
    )
    return best, least, over
