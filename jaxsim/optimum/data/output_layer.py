"""The best output layer for given hidden layers: a convex problem, solved where it is small.

Descent in all parameters stops short of it: for cross-entropies the best output weights may be
large or infinite, and losses with kinks have a minimum at a vertex.
"""

from __future__ import annotations

import numpy as np

from jaxsim.network.network import Network
from jaxsim.optimum.data.duality import scalar_loss
from jaxsim.optimum.data.outputs import features_of, outputs_of
from jaxsim.optimum.data.points import WeightedPoints
from jaxsim.optimum.data.risk_bounds import SOFTMAX, columns_of, risk_above, unbounded_reason
from jaxsim.optimum.data.scalar_search import minimize
from jaxsim.optimum.data.softmax_search import LARGEST_HESSIAN, minimize_softmax
from jaxsim.optimum.strategy import Budget
from jaxsim.problem.problem import Problem

_MOST_ENTRIES = 5_000_000


def with_best_output(
    problem: Problem, network: Network, points: WeightedPoints, theta: np.ndarray, budget: Budget
) -> np.ndarray:
    """Return parameters with a better output layer, the given ones if there is none."""
    last = network.layer_specs[-1]
    bias = last.biases is not None and last.train_biases
    fixed = last.biases is not None and not last.train_biases and last.biases.constant != 0
    if unbounded_reason(problem) or fixed or not last.train_weights or not last.multiplier:
        return theta
    columns = last.fan_in + bias
    if columns * points.outputs > LARGEST_HESSIAN or columns * len(points.x) > _MOST_ENTRIES:
        return theta
    phi, _ = features_of(network, theta, points.x)
    if not np.isfinite(phi).all() or not phi.any():
        return theta
    table = np.column_stack([phi, np.ones(len(phi))]) if bias else phi
    place = network.layout.places[-1]
    weights = theta[place.weights].reshape(last.fan_in, last.fan_out) * last.multiplier
    begin = np.concatenate([weights, theta[place.biases][None]]) if bias else weights
    if problem.loss.name == SOFTMAX:
        coefficients, _, _ = minimize_softmax(
            table, points.weights, points.y, points.outputs, budget, begin, dual=False
        )
    else:
        loss = scalar_loss(problem.loss)
        assert loss is not None
        coefficients = np.stack(
            [
                minimize(loss, table, points.weights, y, budget, begin[:, output], dual=False)[0]
                for output, (y, _) in enumerate(columns_of(points))
            ],
            axis=1,
        )
    better = theta.copy()
    better[place.weights] = (coefficients[: last.fan_in] / last.multiplier).ravel()
    if bias:
        better[place.biases] = coefficients[-1]
    before, after = (
        risk_above(problem, points, *outputs_of(network, t, points.x)) for t in (theta, better)
    )
    return better if after < before else theta
