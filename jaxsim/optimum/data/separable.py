"""inf L = 0 without any training: linearly separable points and a network that carries linear maps.

If affine functions z_k put every point x_i strictly on its side, z_y(x_i) - z_k(x_i) >= g > 0 for
all k != y_i, then c z has a risk of at most (K - 1) e^(-c g) under softmax cross-entropy, e^(-c g)
under the logistic loss and Brier's score, and 0 under the hinge loss once c g >= 1. A network that
carries the K - 1 differences of the z_k through its hidden layers (see `carry`) has inf L = 0,
therefore: attained for the hinge loss, not attained for the others, which are positive everywhere.

The certificate is the functions; all that is checked is that their margins exceed the rounding of
x.w, and that the network carries them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jaxsim.evidence import PROVED, Bound
from jaxsim.network.network import Network
from jaxsim.optimum.data.carry import Carried, carried
from jaxsim.optimum.data.memory import remembered
from jaxsim.optimum.data.points import WeightedPoints, points_of
from jaxsim.optimum.data.separating import least_margin, separating_functions
from jaxsim.optimum.data.threads import one_thread
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError
from jaxsim.problem.problem import Problem

MARGIN_LOSSES = ("logistic", "softmax_cross_entropy", "hinge", "brier")
"""Losses that tend to 0 as all margins grow."""


class Separable:
    """Linear separability of a data set's classes."""

    name = "separable"
    bounds_below = False
    version = 1

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why separability would say nothing."""
        points = points_of(problem)
        if points is None:
            return "the input law has no finite number of points"
        if problem.loss.name not in MARGIN_LOSSES:
            return f"the loss {problem.loss.name!r} does not tend to 0 with growing margins"
        if points.contradictory:
            return "equal inputs have different labels"
        return _carried(points, network).obstacle

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return separating functions, None where there are none."""
        points = points_of(problem)
        assert points is not None
        constant = _carried(points, network).constant
        x = points.columns(constant)
        classes = 2 if points.kind == "binary" else points.outputs

        def separate() -> tuple[np.ndarray | None, bool]:
            with one_thread():
                return separating_functions(x, points.y, classes, budget)

        functions, over = remembered(problem, (self.name, constant), separate)
        if functions is None:
            return None if over else Certificate(self.name, {}, finished=False)
        return Certificate(self.name, {"functions": functions})

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return inf L = 0 if the functions separate the points and the network carries them.

        Raises:
            CertificateError: if they do not.
        """
        points = points_of(problem)
        assert points is not None
        x = points.columns(_carried(points, network).constant)
        functions = np.asarray(certificate.arrays.get("functions"), float)
        columns = 1 if points.kind == "binary" or points.outputs == 2 else points.outputs
        if functions.shape != (x.shape[1], columns) or not np.isfinite(functions).all():
            raise CertificateError("the functions have another shape, or are not finite")
        margin = least_margin(x, points.y, functions)
        if not margin > 0:
            raise CertificateError(f"the points are not separated: the margin is {margin:.3g}")
        return zero_bounds(problem, "the points are linearly separable")


def zero_bounds(problem: Problem, why: str, theta: np.ndarray | None = None) -> Bounds:
    """Return the bounds of a problem whose margins can be made as large as one likes."""
    attained = "attained" if problem.loss.name == "hinge" else "not attained"
    reason = f"{why}: inf L = 0, {attained}"
    return Bounds((Bound(0.0, PROVED, reason),), (Bound(0.0, PROVED, reason),), theta)


def _carried(points: WeightedPoints, network: Network) -> Carried:
    """Return what the network carries of the differences of the classes' functions."""
    functions = 1 if points.kind == "binary" else points.outputs - 1
    return carried(network, functions, scaled=True)
