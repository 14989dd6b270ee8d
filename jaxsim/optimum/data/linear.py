"""The optimum of linear models: a convex problem, bracketed by weights and a dual point.

A network without hidden layers, or with the identity as activation, is an affine function of x: the
minimum over all affine functions bounds its risk from below, and from above if the network can
be any of them. Every other network whose hidden layers carry affine functions (see `carry`) does
not do worse than the linear model. The infimum need not be attained: where a class is separated
from the others weights grow without limit, and the bracket closes nevertheless.

    loss                                    above            below
    regression, logistic, hinge             scalar_bounds    scalar_bounds, duality
    softmax cross-entropy                   softmax_bounds   softmax_bounds

The certificate has the coefficients and the dual point; both bounds are computed from them with
rounding, and the search (Newton, linear programs) is not believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxsim.evidence import PROVED, Bound, estimated
from jaxsim.network.network import Network
from jaxsim.optimum.data.carry import Carried, carried
from jaxsim.optimum.data.duality import scalar_loss
from jaxsim.optimum.data.memory import remembered
from jaxsim.optimum.data.points import WeightedPoints, points_of
from jaxsim.optimum.data.risk_bounds import SOFTMAX, columns_of, risk_above, unbounded_reason
from jaxsim.optimum.data.rounding import UNIT, product
from jaxsim.optimum.data.scalar_bounds import DualBound, dual_below
from jaxsim.optimum.data.scalar_search import minimize
from jaxsim.optimum.data.softmax_bounds import softmax_below
from jaxsim.optimum.data.softmax_search import minimize_softmax
from jaxsim.optimum.data.threads import one_thread
from jaxsim.optimum.strategy import Bounds, Budget, Certificate, CertificateError
from jaxsim.problem.problem import Problem

_ROUNDING = 1e-12
"""Relative violation of its equations up to which a dual point may be called an estimate,"""
_DOUBT = 1e-9
"""and the share of the bound that is taken off it then."""


class _Class(NamedTuple):
    """Which affine functions bound a network's risk.

    Attributes:
        above: whether those with a constant can be approached; None if not all can be.
        below: whether it has a constant, if the network is one of them; None if it is not.
        obstacle: why above is None.
    """

    above: bool | None
    below: bool | None
    obstacle: str


class LinearModel:
    """The best affine function of a data set's inputs."""

    name = "linear_model"
    bounds_below = True
    version = 1

    def unsupported_reason(self, problem: Problem, network: Network) -> str:
        """Return why linear models would say nothing."""
        points = points_of(problem)
        if points is None:
            return "the input law has no finite number of points"
        reason = unbounded_reason(problem)
        if reason:
            return reason
        linear_class = _class_of(points, network)
        return (
            linear_class.obstacle
            if linear_class.above is None and linear_class.below is None
            else ""
        )

    def search(
        self,
        problem: Problem,
        network: Network,
        budget: Budget,
        begin: Certificate | None = None,
        runs: Sequence[np.ndarray] = (),
    ) -> Certificate | None:
        """Return the best coefficients, and a dual point where it bounds from below."""
        points = points_of(problem)
        assert points is not None
        which = _class_of(points, network)
        arrays: dict[str, np.ndarray] = {}
        over = True
        for constant in sorted({c for c in (which.above, which.below) if c is not None}):
            x = points.columns(constant)
            earlier = None if begin is None else begin.arrays.get("coefficients")
            if earlier is not None and earlier.shape != (x.shape[1], points.outputs):
                earlier = None

            bounds_below = which.below == constant

            def fit(
                x: np.ndarray = x,
                earlier: np.ndarray | None = earlier,
                bounds_below: bool = bounds_below,
            ) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
                with one_thread():
                    return _minimize(problem, points, x, budget, earlier, bounds_below)

            key = self.name, constant, bounds_below
            (coefficients, dual), ended = remembered(problem, key, fit)
            over = over and ended
            if which.above == constant:
                arrays["coefficients"] = coefficients
            if bounds_below:
                bound = _below(problem, points, x, dual)
                if bound.proved or bound.violation <= _ROUNDING:
                    arrays["dual"] = dual
        return Certificate(self.name, arrays, over) if arrays else None

    def verify(self, problem: Problem, network: Network, certificate: Certificate) -> Bounds:
        """Return the risk at the coefficients and the bound of the dual point.

        Raises:
            CertificateError: for arrays of another problem or network, or that show nothing.
        """
        points = points_of(problem)
        assert points is not None
        which = _class_of(points, network)
        arrays = certificate.arrays
        for array in arrays.values():
            if not np.isfinite(array).all():
                raise CertificateError("numbers of the certificate are not finite")
        lowers, uppers, theta = [], [], None
        noise = problem.noise.variance * points.outputs
        if "dual" in arrays:
            if which.below is None:
                raise CertificateError("the network is no linear model")
            lowers.append(_lower_bound(problem, points, which.below, arrays, noise))
        if "coefficients" in arrays:
            if which.above is None:
                raise CertificateError(which.obstacle)
            x = points.columns(which.above)
            coefficients = np.asarray(arrays["coefficients"], float)
            if coefficients.shape != (x.shape[1], points.outputs):
                raise CertificateError("the coefficients have another shape")
            if not network.hidden:
                theta, coefficients = _as_parameters(network, coefficients)
            risk = risk_above(problem, points, *product(x, coefficients))
            if np.isnan(risk):
                raise CertificateError("the risk at the coefficients is not finite")
            what = "risk of an affine function of the inputs"
            if which.below is None:
                what += ", which the hidden layers can carry"
            uppers.append(Bound(risk, PROVED, what))
        return Bounds(tuple(lowers), tuple(uppers), theta)


def _class_of(points: WeightedPoints, network: Network) -> _Class:
    functions = points.outputs - (points.kind == "classes")
    carried_functions: Carried = carried(network, max(1, functions), scaled=False)
    above = None if carried_functions.obstacle else carried_functions.constant
    activation = network.activation
    affine = network.fully_connected and (
        not network.hidden or (activation is not None and activation.name == "identity")
    )
    # Frozen biases may be any: the minimum over all of them is not larger.
    has_constant = any(
        s.biases is not None and (s.train_biases or s.biases.constant != 0)
        for s in network.layer_specs
    )
    return _Class(above, has_constant if affine else None, carried_functions.obstacle)


def _minimize(
    problem: Problem,
    points: WeightedPoints,
    x: np.ndarray,
    budget: Budget,
    begin: np.ndarray | None,
    dual: bool,
) -> tuple[tuple[np.ndarray, np.ndarray], bool]:
    """Return (coefficients [p, outputs], dual point [n, outputs]), and whether that is the end."""
    if problem.loss.name == SOFTMAX:
        coefficients, shares, over = minimize_softmax(
            x, points.weights, points.y, points.outputs, budget, begin, dual
        )
        return (coefficients, shares), over
    loss = scalar_loss(problem.loss)
    assert loss is not None
    minima = []
    for output, (y, _) in enumerate(columns_of(points)):
        start = None if begin is None else begin[:, output]
        minima.append(minimize(loss, x, points.weights, y, budget, start, dual))
    coefficients, slopes = (np.stack([f[i] for f in minima], axis=1) for i in range(2))
    return (coefficients, slopes), all(f[2] for f in minima)


def _below(problem: Problem, points: WeightedPoints, x: np.ndarray, dual: np.ndarray) -> DualBound:
    if problem.loss.name == SOFTMAX:
        return softmax_below(x, points.weights, points.y, dual)
    loss = scalar_loss(problem.loss)
    assert loss is not None
    parts = [
        dual_below(loss, x, points.weights, y, errors, dual[:, output])
        for output, (y, errors) in enumerate(columns_of(points))
    ]
    return DualBound(
        sum(p.value for p in parts), all(p.proved for p in parts), max(p.violation for p in parts)
    )


def _lower_bound(
    problem: Problem,
    points: WeightedPoints,
    constant: bool,
    arrays: Mapping[str, np.ndarray],
    noise: float,
) -> Bound:
    """Return the bound of a dual point.

    Raises:
        CertificateError: if it shows none.
    """
    dual = np.asarray(arrays["dual"], float)
    if dual.shape != (len(points.x), points.outputs):
        raise CertificateError("the dual point has another shape")
    below = _below(problem, points, points.columns(constant), dual)
    value = below.value
    evidence = PROVED
    if not below.proved:
        if not below.violation <= _ROUNDING:
            raise CertificateError("the dual point is not feasible")
        value -= _DOUBT * abs(value)
        evidence = estimated("the dual point of the linear model is feasible up to rounding")
    value = (value + noise) * (1 - 8 * UNIT) if value + noise > 0 else value + noise
    return Bound(value, evidence, "convex optimum of the linear model, by duality")


def _as_parameters(network: Network, coefficients: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (theta, the coefficients that it stands for) of a network without hidden layers."""
    (spec,) = network.layer_specs
    weights = coefficients[: network.inputs] / spec.multiplier
    parts = [weights.ravel()]
    rest = coefficients[network.inputs :]
    if spec.biases is not None:
        parts.append(rest.ravel() if len(rest) else np.zeros(spec.fan_out))
    return np.concatenate(parts), np.concatenate([weights * spec.multiplier, rest])
