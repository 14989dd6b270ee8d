"""Bounds from above by explicit networks: inf L = 0 where one puts all points on their right side.

If the output's logits have a margin z_y(x_i) - z_k(x_i) >= g > 0 for all points and k != y_i, then
multiplying them by c gives the risk at most (K - 1) e^(-c g) (softmax; e^(-c g) logistic; 0 hinge
once c g >= 1), so that inf L = 0. They can be multiplied if

    the output layer's weights are trained, and its biases trained, absent or left out of z;
    or A is positively homogeneous, and the last hidden layer can be multiplied instead.

The margin has to exceed the rounding of the forward pass. A network without such a margin, or for
another loss, bounds inf L by its risk. Networks come from a study's runs and from L-BFGS.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxsim.evidence import PROVED, Bound, Evidence
from jaxsim.network.network import Layer, Network
from jaxsim.optimum.bracket import MARGIN
from jaxsim.optimum.data.carry import is_homogeneous
from jaxsim.optimum.data.descent import descend, risk_of, start
from jaxsim.optimum.data.output_layer import with_best_output
from jaxsim.optimum.data.outputs import outputs_of
from jaxsim.optimum.data.points import WeightedPoints, points_of
from jaxsim.optimum.data.risk_bounds import risk_above, unbounded_reason
from jaxsim.optimum.data.rounding import UNIT
from jaxsim.optimum.data.separable import MARGIN_LOSSES, zero_bounds
from jaxsim.optimum.data.threads import one_thread
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError
from jaxsim.problem.problem import Problem
from jaxsim.risk.finite import weighted_loss
from jaxsim.risk.integrand import integrand

STARTS, SEEKING_STARTS = 16, 48
"""Of a search for a small risk, and of one for a margin, which decides everything."""
_POLISHED = 2
"""Runs of a study that are improved."""
_CLEAR = 1e-6
"""Margin, relative to the largest logit, at which a search ends."""
_MOST_RUNS = 512


class Margin:
    """Networks that put all points on their right side, or at least have a small risk."""

    name = "margin"
    bounds_below = False
    version = 2

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why networks of the class would not bound inf L."""
        if points_of(problem) is None:
            return "the input law has no finite number of points"
        if not network.fully_connected:
            return "the layers of a module of your own, or with trained slopes, are not known"
        if problem.loss.best is None:
            return "of the study's own loss nothing is known"
        *_, last = network.layer_specs
        for spec in network.layer_specs:
            if not spec.train_weights and spec.weights.constant is None:
                return "frozen weights are random, and inf L with them"
            loose = spec is last and problem.loss.name in MARGIN_LOSSES and last.train_weights
            if _random_biases(spec) and not loose:
                return "frozen biases are random, and inf L with them"
        return ""

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return the parameters of the first network with a margin, else of the least risk."""
        points = points_of(problem)
        assert points is not None
        seeks = _can_have_margin(problem, network, points)

        def separates(theta: np.ndarray) -> bool:
            margin, size = margin_of(network, points, theta) if seeks else (0.0, 0.0)
            return margin > _CLEAR * size

        with one_thread():
            candidates = [np.asarray(r, float) for r in _fitting(runs, network)]
            for theta in candidates:
                if budget.spent:
                    break
                if separates(theta):
                    return Certificate(self.name, _arrays(theta, True))
            risk = risk_of(problem, network, points)
            best, number, begun = _state(begin)
            least = np.inf if best is None else risk(best)[0]
            candidates = sorted(candidates, key=lambda theta: risk(theta)[0])[:_POLISHED]
            # Runs come first: their number is None.
            most = SEEKING_STARTS if seeks else STARTS
            for item in [*([None] * len(candidates)), *range(number, most)]:
                if item is None:
                    theta = candidates.pop(0)
                else:
                    number = item
                    theta = start(network, item, points.x) if begun is None else begun
                    begun = None
                candidate, _, over = descend(risk, theta, budget, separates)
                if over and not separates(candidate):
                    candidate = with_best_output(problem, network, points, candidate, budget)
                value = risk(candidate)[0]
                if best is None or value < least:
                    best, least = candidate, value
                if separates(candidate):
                    return Certificate(self.name, _arrays(candidate, True))
                if not over:
                    progress = {"next": np.array([number])}
                    if item is not None:
                        progress["begun"] = candidate
                    return Certificate(self.name, {**_arrays(best, False), **progress}, False)
        return None if best is None else Certificate(self.name, _arrays(best, False))

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return inf L = 0 for a network with a margin, else its risk.

        Raises:
            CertificateError: if the parameters are none of the class, or have no margin though the
                certificate says so.
        """
        points = points_of(problem)
        assert points is not None
        theta = np.asarray(certificate.arrays.get("theta"), float)
        _require_in_class(network, theta)
        if bool(np.asarray(certificate.arrays.get("separates", [False])).all()):
            if not _can_have_margin(problem, network, points):
                raise CertificateError("the network's outputs cannot be multiplied")
            margin, _ = margin_of(network, points, theta)
            if not margin > 0:
                raise CertificateError(f"the least margin is {margin:.3g}")
            why = "a network puts every point on its right side"
            return zero_bounds(problem, why, theta)
        if _random_biases(network.layer_specs[-1]):
            return Bounds()
        risk, evidence = _risk_above(problem, network, points, theta)
        if np.isnan(risk):
            raise CertificateError("the risk of the parameters is not a number")
        reason = "risk of a network found by minimization"
        return Bounds((), (Bound(risk, evidence, reason),), theta)


def margin_of(network: Network, points: WeightedPoints, theta: np.ndarray) -> tuple[float, float]:
    """Return (a lower bound of the least margin, the largest modulus of a logit).

    Frozen output biases are left out, for they are not multiplied.
    """
    z, slack = outputs_of(network, theta, points.x)
    size = float(np.abs(z).max())
    last = network.layer_specs[-1]
    if last.biases is not None and not last.train_biases:
        fixed = network.layout.split(theta)[-1][1]
        z = z - fixed
        slack = slack + 4 * UNIT * (np.abs(z) + np.abs(fixed))
    if points.kind == "binary":
        return float((points.signs * z[:, 0] - slack[:, 0]).min()), size
    rows = np.arange(len(z))
    right = z[rows, points.y] - slack[rows, points.y]
    z = z + slack
    z[rows, points.y] = -np.inf
    # The differences themselves are rounded.
    return float((right - z.max(1)).min()) - 8 * UNIT * size, size


def _risk_above(
    problem: Problem, network: Network, points: WeightedPoints, theta: np.ndarray
) -> tuple[float, Evidence]:
    """Return an upper bound of the risk of a network, and what it rests on."""
    z, slack = outputs_of(network, theta, points.x)
    if not unbounded_reason(problem) and np.isfinite(slack).all():
        return risk_above(problem, points, z, slack), PROVED
    averaged = integrand(problem)
    y = problem.targets_at_points()
    value, error = weighted_loss(
        network, averaged, jnp.asarray(theta), points.x, y, points.weights, None, points.errors
    )
    factor = 1.0 if averaged.evidence.proved else MARGIN
    return float(value) + factor * float(error), averaged.evidence


def _arrays(theta: np.ndarray, separates: bool) -> dict[str, np.ndarray]:
    return {"theta": np.asarray(theta, float), "separates": np.array([separates])}


def _state(
    begin: Certificate | None,
) -> tuple[np.ndarray | None, int, np.ndarray | None]:
    """Return (best parameters, number of the next start, parameters where it was cut short)."""
    if begin is None:
        return None, 0, None
    arrays = begin.arrays
    if begin.finished:
        return arrays.get("theta"), SEEKING_STARTS, None
    number = int(arrays["next"][0]) if "next" in arrays else 0
    return arrays.get("theta"), number, arrays.get("begun")


def _fitting(runs: Sequence[np.ndarray], network: Network) -> list[np.ndarray]:
    """Return parameters that are finite and have the network's shape."""
    fits = [r for r in runs if np.shape(r) == (network.size,) and np.isfinite(r).all()]
    return fits[:_MOST_RUNS]


def _random_biases(spec: Layer) -> bool:
    return spec.biases is not None and not spec.train_biases and spec.biases.constant is None


def _can_have_margin(problem: Problem, network: Network, points: WeightedPoints) -> bool:
    """Return whether margins of a network mean that inf L = 0."""
    if problem.loss.name not in MARGIN_LOSSES or points.contradictory:
        return False
    *hidden, last = network.layer_specs
    if last.train_weights:
        return True
    activation = network.activation
    if not hidden or activation is None or not is_homogeneous(activation):
        return False
    near = hidden[-1]
    fixed = near.biases is not None and not near.train_biases and near.biases.constant != 0
    return near.train_weights and not fixed


def _require_in_class(network: Network, theta: np.ndarray) -> None:
    """Check that parameters belong to the network.

    Raises:
        CertificateError: if they do not.
    """
    if theta.shape != (network.size,) or not np.isfinite(theta).all():
        raise CertificateError("the parameters have another shape, or are not finite")
    pairs = network.layout.split(theta)
    for spec, (weights, biases) in zip(network.layer_specs, pairs, strict=True):
        parts = [(spec.weights, spec.train_weights, weights)]
        if spec.biases is not None:
            parts.append((spec.biases, spec.train_biases, biases))
        for law, trained, values in parts:
            if not trained and law.constant is not None and (values != law.constant).any():
                raise CertificateError("frozen parameters have other values")
