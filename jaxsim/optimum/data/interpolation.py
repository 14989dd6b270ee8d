"""inf L is the Bayes risk, for a network that can have the best values at all inputs.

Three ways to show that it can, the certificate saying which:

    "distinct"   so wide that any values are possible (see `width_rule`): nothing to be searched
    "features"   parameters whose last hidden features have full row rank (see `feature_rank`)
    "theta"      parameters near ones with the best values (see `newton_kantorovich`); these have to
                 be finite: losses of regression, and hinge

Points of equal inputs and different labels make the Bayes risk positive: the squared loss has the
variance within, cross-entropies the entropy of the label shares.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import Bound
from jaxsim.network.network import Network
from jaxsim.optimum.data.descent import start
from jaxsim.optimum.data.feature_rank import has_full_rank
from jaxsim.optimum.data.newton_kantorovich import (
    interpolates,
    is_shallow_relu,
    near_interpolant,
)
from jaxsim.optimum.data.points import WeightedPoints, points_of
from jaxsim.optimum.data.rounding import UNIT
from jaxsim.optimum.data.threads import one_thread
from jaxsim.optimum.data.width_rule import has_any_values
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError
from jaxsim.problem.problem import Problem
from jaxsim.risk.constants import bayes_risk
from jaxsim.risk.integrand import integrand

STARTS = 8
_MOST_FEATURES = 2000


class Interpolation:
    """Networks that have the best value at every input of a finite law."""

    name = "interpolation"
    bounds_below = False
    version = 1

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why no interpolation is to be expected."""
        points = points_of(problem)
        if points is None:
            return "the input law has no finite number of points"
        if problem.loss.best is None:
            return "of the study's own loss nothing is known"
        if not network.fully_connected or not network.hidden:
            return "a network without known hidden layers has no values of its own choice"
        if _ways(problem, network, points):
            return ""
        return f"the network is too small for any values at {points.distinct:,} inputs"

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return how any values, or the best ones, are possible; None if it is not shown."""
        points = points_of(problem)
        assert points is not None
        ways = _ways(problem, network, points)
        if "distinct" in ways:
            return Certificate(self.name, {"distinct": np.array([points.distinct])})
        first, targets = _distinct(problem, points)
        x = points.x[first]
        earlier = {} if begin is None else begin.arrays
        done = int(earlier["next"][0]) if "next" in earlier else 0
        begun = earlier.get("begun")
        with one_thread():
            for number in range(done, STARTS):
                state = {"next": np.array([number])}
                if budget.spent:
                    return Certificate(self.name, state, finished=False)
                if "features" in ways:
                    theta = start(network, number)
                    if has_full_rank(network, theta, x):
                        return Certificate(self.name, {"features": theta})
                if "theta" in ways:
                    near, close, over = near_interpolant(network, x, targets, number, budget, begun)
                    begun = None
                    if close and interpolates(network, near, x, targets):
                        return Certificate(self.name, {"theta": near})
                    if not over:
                        return Certificate(self.name, {**state, "begun": near}, finished=False)
        return None

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return the Bayes risk as both ends if the certificate shows that it is reached.

        Raises:
            CertificateError: if it does not.
        """
        points = points_of(problem)
        assert points is not None
        arrays = certificate.arrays
        ways = _ways(problem, network, points)
        bayes = bayes_risk(problem)
        if "distinct" in arrays:
            if "distinct" not in ways or int(arrays["distinct"][0]) != points.distinct:
                raise CertificateError("the network is not wide enough for any values")
            return _reached(bayes.upper, "the network is wide enough for any values at the points")
        first, targets = _distinct(problem, points)
        for way in ("features", "theta"):
            if way not in arrays:
                continue
            theta = np.asarray(arrays[way], float)
            if way not in ways or theta.shape != (network.size,) or not np.isfinite(theta).all():
                raise CertificateError("the parameters are of another network, or not finite")
            if way == "features":
                if not has_full_rank(network, theta, points.x[first]):
                    raise CertificateError("the features are not shown to have full rank")
                return _reached(bayes.upper, "the last hidden features can have full row rank")
            if not interpolates(network, theta, points.x[first], targets):
                raise CertificateError("no network with the best values is shown to be near")
            value = _risk_at(problem, points, targets)
            return _reached(value, "a network near the parameters has the best values", theta)
        if "next" in arrays and not certificate.finished:
            return Bounds()
        raise CertificateError("it says nothing")


def _reached(upper: Bound, why: str, theta: np.ndarray | None = None) -> Bounds:
    """Return an upper bound that is the Bayes risk but for rounding; the lower one stays."""
    return Bounds((), (Bound(upper.value, upper.evidence, f"{why}: the Bayes risk"),), theta)


def _ways(problem: Problem, network: Network, points: WeightedPoints) -> tuple[str, ...]:
    """Return the ways in which the best values might be shown to be possible."""
    if has_any_values(network, points):
        return ("distinct",)
    ways = []
    *hidden, last = network.layer_specs
    trained = all(s.train_weights and s.multiplier for s in network.layer_specs) and all(
        s.biases is None or s.train_biases for s in hidden
    )
    bias = last.biases is not None and last.train_biases
    if trained and last.fan_in + bias >= points.distinct <= _MOST_FEATURES:
        ways.append("features")
    finite = problem.loss.kind == "regression" or problem.loss.name == "hinge"
    if finite and is_shallow_relu(network, points.distinct):
        ways.append("theta")
    return tuple(ways)


def _distinct(problem: Problem, points: WeightedPoints) -> tuple[np.ndarray, np.ndarray]:
    """Return (indices of the first point of every different input, best values [inputs])."""
    _, first = np.unique(points.group, return_index=True)
    if problem.loss.kind == "regression":
        values = points.y[:, 0]
    else:
        values = points.signs if points.kind == "binary" else points.y.astype(float)
    best = values[first].copy()
    if points.contradictory and problem.loss.best is not None and points.kind != "classes":
        for group in np.flatnonzero(np.bincount(points.group) > 1):
            inside = points.group == group
            share = points.weights[inside] / points.weights[inside].sum()
            best[group] = problem.loss.best(points.y[inside], share, 1)[0][0]
    return first, best


def _risk_at(problem: Problem, points: WeightedPoints, targets: np.ndarray) -> Bound:
    """Return an upper bound of the risk of a network with given values at the inputs."""
    averaged = integrand(problem)
    prediction = targets[points.group][:, None]
    losses = np.asarray(
        averaged.function(jnp.asarray(prediction), jnp.asarray(problem.targets_at_points()))
    )
    slack = 0.0
    if points.errors is not None:
        ends = [
            np.asarray(averaged.function(jnp.asarray(prediction + s), jnp.asarray(points.y)))
            for s in (-points.errors, points.errors)
        ]
        slack = float(
            points.weights @ np.maximum(np.abs(ends[0] - losses), np.abs(ends[1] - losses))
        )
    relative = averaged.relative_error + (32 + len(losses)) * 2 * UNIT
    value = float(points.weights @ losses) * (1 + relative) + 1.001 * slack
    return Bound(value, averaged.evidence)
