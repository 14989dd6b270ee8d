"""Upper bounds: a search for explicit parameters, which are evaluated exactly whenever read."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import Bound
from jaxsim.network.network import Network, fully_connected
from jaxsim.optimum.bracket import MARGIN
from jaxsim.optimum.line.descent import Risk, descend, fixed_parameters
from jaxsim.optimum.line.exact_risk import squared_risk
from jaxsim.optimum.line.free_knots import knot_bound
from jaxsim.optimum.line.knot_search import positive_homogeneous, search_knots, searchable
from jaxsim.optimum.line.masses import line_ends, masses_of
from jaxsim.optimum.line.nodes import nodes_of, search_grid
from jaxsim.optimum.line.segments import segment_costs
from jaxsim.optimum.strategy import Budget, CertificateError
from jaxsim.problem.problem import Problem
from jaxsim.risk import make_risk
from jaxsim.risk.constants import bayes_risk

_CELLS = 120
_KNOTS = 16


def search_parameters(
    problem: Problem,
    network: Network,
    budget: Budget,
    starts: Sequence[np.ndarray] = (),
) -> np.ndarray | None:
    """Return the best parameters [P] that were found, None without any.

    Args:
        problem: with one input, and a loss that `nodes` knows.
        network: fully connected, piecewise linear.
        budget: of the search.
        starts: parameters to begin with.
    """
    if not network.trainable.all() and not fixed_parameters(network)[1]:
        return None
    fixed, _ = fixed_parameters(network)
    candidates = [np.where(network.trainable, np.asarray(s, float), fixed) for s in starts]
    squared = problem.loss.name == "squared"
    candidate = None
    if searchable(network):
        candidate = search_knots(problem, network, _rows(problem, network), budget.share(0.8))
    elif len(network.hidden) > 1:
        candidate = _embedded(problem, network, budget.share(0.3))
    candidates += [] if candidate is None else [candidate]
    ranked = _ranked(problem, network, candidates)
    # A run may be better than the search; then it is descended from.
    beaten = candidate is not None and ranked and ranked[0] is not candidate
    if not (squared and searchable(network)) or beaten:
        better = descend(problem, network, ranked[:4], budget, _members(network))
        ranked = _ranked(problem, network, [*ranked, *([] if better is None else [better])])
    return ranked[0] if ranked else None


def excess_at(problem: Problem, network: Network, theta: np.ndarray) -> float:
    """Return about the risk of parameters without the Bayes risk, for searches."""
    if problem.loss.name == "squared" and problem.law.finite is None:
        squared = squared_risk(problem, network, theta)
        if squared is not None:
            return squared[0]
    nodes = nodes_of(problem, search_grid(problem, 400))
    risk = float(Risk(problem, network)(nodes, theta[None])[0][0])
    noise_free = problem.loss.name == "squared" and problem.law.finite is None
    return risk if noise_free else max(0.0, risk - bayes_risk(problem).value)


def _members(network: Network) -> int:
    return int(np.clip(2000 // network.size, 16, 64))


def _ranked(problem: Problem, network: Network, candidates: list) -> list[np.ndarray]:
    candidates = [c for c in candidates if np.isfinite(c).all()]
    if not candidates:
        return []
    nodes = nodes_of(problem, search_grid(problem, 400))
    risk = Risk(problem, network)
    with np.errstate(all="ignore"):
        risks = [float(risk(nodes, c[None])[0][0]) for c in candidates]
    order = np.argsort(risks, kind="stable")
    return [candidates[i] for i in order if np.isfinite(risks[i])]


def _rows(problem: Problem, network: Network) -> list[np.ndarray]:
    """Return kinks to start from.

    The target's own, once and twice (a neuron for either side), and those of the best discontinuous
    fits with N and N - 1 knots.
    """
    width = network.hidden[0]
    ends = line_ends(problem)
    assert ends is not None
    breakpoints = (
        np.asarray(problem.target.pieces(*ends).breakpoints) if ends[0] < ends[1] else np.zeros(0)
    )
    if problem.loss.kind != "regression" or width > _KNOTS:
        return []
    grid = search_grid(problem, _CELLS)
    masses = masses_of(problem, grid)
    cost = segment_costs(masses)
    # Knots lie at grid points, or behind points.
    places = grid if grid is not None else masses.centre + masses.half * masses.x
    rows = [row for row in (breakpoints, np.repeat(breakpoints, 2)) if 0 < len(row) <= width]
    for kinks in {width, max(width - 1, 1)}:
        knots = knot_bound(masses, cost, kinks).knots
        rows.append(places[np.minimum(knots, len(places) - 1)])
    return rows


def _embedded(problem: Problem, network: Network, budget: Budget) -> np.ndarray | None:
    """Return the best network of the first hidden layer alone, handed on by one neuron a layer."""
    layers = network.layer_specs
    slopes = positive_homogeneous(network)
    whole = network.trainable.all() and all(s.biases is not None for s in layers)
    if not whole or network.outputs != 1 or slopes is None or slopes[1] != 1:
        return None
    if any(spec.multiplier == 0 for spec in layers):
        return None
    assert network.activation is not None
    last = layers[-1]
    shallow = fully_connected(
        (layers[0], type(last)(network.hidden[0], 1, last.weights, last.biases)),
        network.activation,
    )
    theta = search_knots(problem, shallow, _rows(problem, shallow), budget)
    ends = line_ends(problem)
    if theta is None or ends is None:
        return None
    first, second = shallow.layout.places
    assert first.biases is not None
    assert second.biases is not None
    weights, biases = layers[0].multiplier * theta[first.weights], theta[first.biases]
    x = np.array([*ends, *np.clip(-biases / weights, *ends)])
    z = x[:, None] * weights + biases
    values = np.where(z > 0, z, slopes[0] * z) @ theta[second.weights]
    shift = max(0.0, 1e-3 * float(np.abs(values).max()) - float(values.min()))
    full = np.zeros(network.size)
    places = network.layout.places
    full[places[0].weights], full[places[0].biases] = theta[first.weights], theta[first.biases]
    for number in range(1, len(layers)):
        place, spec = places[number], layers[number]
        assert place.biases is not None
        inner = np.zeros((spec.fan_in, spec.fan_out))
        column = theta[second.weights] if number == 1 else np.array([1.0])
        inner[: len(column), 0] = column / spec.multiplier
        full[place.weights] = inner.ravel()
        bias = np.zeros(spec.fan_out)
        if number == 1 and number < len(layers) - 1:
            bias[0] = shift
        if number == len(layers) - 1:
            bias[0] = theta[second.biases][0] - shift
        full[place.biases] = bias
    return full


def upper_bound(problem: Problem, network: Network, theta: np.ndarray) -> Bound:
    """Return the exact risk of explicit parameters as an upper bound of inf L.

    Raises:
        CertificateError: for parameters of another shape, not finite, or with other values than
            the frozen ones.
    """
    if theta.shape != (network.size,) or not np.isfinite(theta).all():
        raise CertificateError(f"parameters of the shape {theta.shape} are none of this network")
    if not network.trainable.all():
        fixed, same = fixed_parameters(network)
        frozen = ~network.trainable
        if not same or not np.array_equal(theta[frozen], fixed[frozen]):
            raise CertificateError("the frozen parameters have other values")
    bayes = bayes_risk(problem)
    if problem.loss.name == "squared" and problem.law.finite is None:
        squared = squared_risk(problem, network, theta)
        if squared is None:
            raise CertificateError("the network has too many kinks")
        value, evidence = squared[0] + bayes.value + bayes.error, squared[1] & bayes.evidence
    else:
        rule = make_risk(problem, network)
        risk, error = jax.jit(rule.evaluate)(jnp.asarray(theta, jnp.float64))
        margin = 1.0 if rule.evidence.proved else MARGIN
        value, evidence = float(risk) + margin * float(error), rule.evidence
    if not np.isfinite(value):
        raise CertificateError("the risk of the parameters is not known")
    return Bound(value, evidence, "an explicit network")
