"""Losses l(prediction, y): what is averaged into the true risk L(theta) = E[l(N_theta(X), Y)].

Those of regression are sums over the outputs of a function rho of the residual,

    l(prediction, y) = sum_o rho(prediction_o - y_o),

and tell where rho has kinks and of which degree it is between them, so that risks can be integrated
exactly. Squared is the plain sum of squares, like torch.nn.MSELoss(reduction="sum") per sample and
without the 1/2 of optax.l2_loss. Frameworks that average over the outputs differ by the factor 1 /
outputs. A constant prediction's least risk is known in closed form or found by convex minimization.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import scipy  # its parts are imported when they are used
from jax import Array

from jaxsim.errors import InputError

Kind = Literal["regression", "binary", "classes"]
Best = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, float]]


@dataclass(frozen=True)
class Loss:
    """A loss with what the computation of risks needs to know of it.

    Attributes:
        name: in the registry.
        function: (prediction [..., outputs], y) -> [...]. Here y is [..., outputs] in regression,
            labels 0 and 1 of shape [...] or [..., 1] for "binary", integers [...] for "classes".
        kind: what it expects of y.
        degree: rho is a polynomial of this degree between its kinks; None if it is none.
        additive: whether it is the sum over the outputs of rho(prediction - y).
        residual: rho, elementwise; None if the loss is not additive.
        kinks: residuals at which rho is not smooth.
        lower_bound: a value that the loss never goes below.
        convex: whether it is convex in the prediction.
        best: (y, weights [n], outputs) -> (best constant prediction, its risk) in closed form.
    """

    name: str
    function: Callable[[Array, Array], Array]
    kind: Kind
    degree: int | None = None
    additive: bool = False
    residual: Callable[[Array], Array] | None = None
    kinks: tuple[float, ...] = ()
    lower_bound: float = 0.0
    convex: bool = True
    best: Best | None = None


def _additive(
    name: str,
    rho: Callable[[Array], Array],
    degree: int | None,
    kinks: tuple[float, ...] = (),
    location: Callable[[np.ndarray, np.ndarray], float] | None = None,
) -> Loss:
    """Return the loss sum_o rho(prediction_o - y_o).

    Args:
        name: in the registry.
        rho: convex, least at 0.
        degree: of rho between kinks.
        kinks: of rho.
        location: (values [n], weights [n]) -> the best constant of one output, if known.
    """

    def function(prediction: Array, y: Array) -> Array:
        return rho(prediction - y).sum(-1)

    def best(y: np.ndarray, weights: np.ndarray, outputs: int) -> tuple[np.ndarray, float]:
        y = np.asarray(y, float).reshape(len(weights), outputs)
        where = location or _stationary_point(rho)
        value = np.array([where(column, weights) for column in y.T])
        with jax.ensure_compile_time_eval():
            losses = np.asarray(rho(jnp.asarray(value - y, jnp.float64)))
        return value, float(weights @ losses.sum(-1))

    return Loss(name, function, "regression", degree, True, rho, kinks, best=best)


def squared() -> Loss:
    """Return the sum of squares, sum_o (prediction_o - y_o)^2.

    There is no factor 1/2 and no mean over the outputs.

    Example:
        >>> float(squared().function(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])))
        5.0
    """
    return _additive("squared", jnp.square, 2, location=lambda y, w: float(w @ y))


def absolute() -> Loss:
    """Return sum_o |prediction_o - y_o|, whose derivative at 0 is 0."""
    return _additive("absolute", _modulus, 1, (0.0,), lambda y, w: _quantile(y, w, 0.5))


def _modulus(r: Array) -> Array:
    # JAX's own derivative of |r| at 0 is 1; PyTorch's is 0, as here.
    return jnp.where(r == 0, jnp.zeros_like(r), jnp.abs(r))


def power(power: float) -> Loss:
    """Return sum_o |prediction_o - y_o|^power, power >= 1.

    Raises:
        InputError: for power < 1, for which the loss is not convex.
    """
    if not 1 <= power <= 100:
        raise InputError(f"power = {power} is not accepted: it should be between 1 and 100")
    whole = int(power) if power == int(power) else None
    if whole is not None and whole % 2 == 0:
        return _additive("power", lambda r: r**whole, whole)
    exponent = power if whole is None else whole
    # The derivative of |r| jumps at the labels: its root is a median.
    median = (lambda y, w: _quantile(y, w, 0.5)) if power == 1 else None
    return _additive("power", lambda r: _modulus(r) ** exponent, whole, (0.0,), median)


def huber(delta: float = 1.0) -> Loss:
    """Return Huber's loss: r^2 / 2 for |r| <= delta, else delta (|r| - delta / 2), summed.

    As in torch.nn.HuberLoss and Keras (Huber 1964, "Robust estimation of a location parameter").

    Raises:
        InputError: unless delta > 0.
    """
    if not 0 < delta < math.inf:
        raise InputError(f"delta = {delta} is not accepted: it should be a finite number > 0")
    return _additive("huber", lambda r: optax.losses.huber_loss(r, delta=delta), 2, (-delta, delta))


def log_cosh() -> Loss:
    """Return sum_o log cosh(prediction_o - y_o)."""
    return _additive("log_cosh", _log_cosh, None)


def _log_cosh(r: Array) -> Array:
    # The textbook log(e^r + e^-r) - log 2 loses all digits near 0, log1p(2 sinh^2(r/2)) overflows.
    size = jnp.abs(r)
    near = size < 1
    small = jnp.log1p(2 * jnp.sinh(jnp.where(near, r, 0.0) / 2) ** 2)
    size = jnp.where(near, 1.0, size)
    return jnp.where(near, small, size + jnp.log1p(jnp.exp(-2 * size)) - math.log(2.0))


def quantile(level: float) -> Loss:
    """Return the quantile (pinball) loss, whose best constant is the `level` quantile of Y.

    sum_o (1 - level) r+ + level (-r)+ with r = prediction_o - y_o (Koenker and Bassett 1978,
    "Regression quantiles").

    Raises:
        InputError: unless 0 < level < 1.
    """
    if not 0 < level < 1:
        raise InputError(f"level = {level} is not accepted: it should be between 0 and 1")

    def rho(r: Array) -> Array:
        # Half of |r| and a linear part: the derivative at 0 is the mean of those beside it.
        return 0.5 * _modulus(r) + (0.5 - level) * r

    return _additive("quantile", rho, 1, (0.0,), lambda y, w: _quantile(y, w, level))


def logistic() -> Loss:
    """Return the cross entropy of one logit: log(1 + e^p) - y p for labels y in {0, 1}.

    As torch.nn.BCEWithLogitsLoss. The sign of the logit decides between the classes.
    """

    def function(prediction: Array, y: Array) -> Array:
        return optax.losses.sigmoid_binary_cross_entropy(*_binary(prediction, y))

    def best(y: np.ndarray, weights: np.ndarray, outputs: int) -> tuple[np.ndarray, float]:
        share = _share_of_ones(y, weights, "logistic")
        with np.errstate(divide="ignore"):
            value = np.log(share) - np.log1p(-share)
        return np.array([value]), _entropy(np.array([share, 1 - share]))

    return Loss("logistic", function, "binary", best=best)


def brier() -> Loss:
    """Return the squared error of the probability of one logit, (1 / (1 + e^-p) - y)^2.

    For labels y in {0, 1}: Brier's score (1950, "Verification of forecasts expressed in terms of
    probability"), and the loss of a network with one sigmoid output as in Rumelhart, Hinton and
    Williams (1986), there with a factor 1/2. Not convex in the logit.

    Example:
        >>> brier().function(jnp.array([[0.0], [40.0]]), jnp.array([1, 1])).round(6).tolist()
        [0.25, 0.0]
    """

    def function(prediction: Array, y: Array) -> Array:
        logit, label = _binary(prediction, y)
        # The probability of the other class: 1 - 1 / (1 + e^-p) loses its digits.
        return jnp.square(jax.nn.sigmoid((1 - 2 * label) * logit))

    def best(y: np.ndarray, weights: np.ndarray, outputs: int) -> tuple[np.ndarray, float]:
        share = _share_of_ones(y, weights, "brier")
        with np.errstate(divide="ignore"):
            value = np.log(share) - np.log1p(-share)
        return np.array([value]), share * (1 - share)

    return Loss("brier", function, "binary", convex=False, best=best)


def hinge() -> Loss:
    """Return the hinge loss (1 - s p)+ with s = 2 y - 1 for labels y in {0, 1}.

    As optax.hinge_loss and Keras for labels -1 and 1, but with derivative 0 at the kink.
    """

    def function(prediction: Array, y: Array) -> Array:
        logit, label = _binary(prediction, y)
        return jax.nn.relu(1 - (2 * label - 1) * logit)

    def best(y: np.ndarray, weights: np.ndarray, outputs: int) -> tuple[np.ndarray, float]:
        share = _share_of_ones(y, weights, "hinge")
        return np.array([1.0 if share >= 0.5 else -1.0]), 2 * min(share, 1 - share)

    return Loss("hinge", function, "binary", best=best)


def softmax_cross_entropy() -> Loss:
    """Return log sum_c e^(p_c) - p_y for integer labels y, one logit per class.

    As torch.nn.CrossEntropyLoss.
    """

    def best(y: np.ndarray, weights: np.ndarray, outputs: int) -> tuple[np.ndarray, float]:
        shares = np.bincount(np.asarray(y).ravel(), weights, outputs)
        with np.errstate(divide="ignore"):
            return np.log(shares), _entropy(shares)

    function = optax.losses.softmax_cross_entropy_with_integer_labels
    return Loss("softmax_cross_entropy", function, "classes", best=best)


def function(
    function: Callable[..., Any] | str, kind: Kind = "regression", lower_bound: float | None = None
) -> Loss:
    """Return a loss of your own: a pure JAX function (prediction [..., outputs], y) -> [...].

    Nothing is known of it: risks are integrated numerically, and its optimal risk is bounded from
    below by `lower_bound`.

    Args:
        function: "module:function", which needs permission to run code, or the function itself.
        kind: what y is: "regression" [..., outputs], "binary" or "classes" labels.
        lower_bound: a value that it never goes below; absent means that none is known.

    Raises:
        InputError: for a reference in place of a function: a study loads it if that is allowed.
    """
    if not callable(function):
        raise InputError(
            f"function = {function!r} is not imported without permission: give --allow-code or "
            "allow_code=True"
        )
    user_loss = function

    def checked(prediction: Array, y: Array) -> Array:
        losses = jnp.asarray(user_loss(prediction, y))
        if losses.shape != prediction.shape[:-1]:
            raise InputError(
                f"problem.loss.function maps predictions of shape {prediction.shape} to "
                f"{losses.shape}; accepted: {prediction.shape[:-1]}, one loss per sample"
            )
        return losses.astype(prediction.dtype)

    bound = -math.inf if lower_bound is None else lower_bound
    return Loss("function", checked, kind, lower_bound=bound, convex=False)


LOSSES: dict[str, Callable[..., Loss]] = {
    "absolute": absolute,
    "brier": brier,
    "function": function,
    "hinge": hinge,
    "huber": huber,
    "log_cosh": log_cosh,
    "logistic": logistic,
    "power": power,
    "quantile": quantile,
    "softmax_cross_entropy": softmax_cross_entropy,
    "squared": squared,
}
"""Losses by name."""


def best_constant(loss: Loss, y: Any, weights: Any, outputs: int) -> tuple[np.ndarray, float]:
    """Return the best constant prediction [outputs] and its risk, for finitely many values of Y.

    Closed forms for squared (mean), absolute and quantile (quantiles), logistic, hinge and
    softmax cross entropy (entropy; logits may be infinite); otherwise the root of the
    derivative. Of a loss that is not known to be convex only its lower bound is returned, with
    the prediction not-a-number.

    Args:
        loss: any loss.
        y: values [n, outputs], or labels [n].
        weights: probabilities [n], normalized here.
        outputs: of the prediction.

    Example:
        >>> best_constant(squared(), [[0.0], [1.0]], [0.5, 0.5], 1)
        (array([0.5]), 0.25)
    """
    weights = np.asarray(weights, float)
    if loss.best is None:
        return np.full(outputs, np.nan), loss.lower_bound
    value, risk = loss.best(np.asarray(y), weights / weights.sum(), outputs)
    return value, float(risk)


def _stationary_point(
    rho: Callable[[Array], Array],
) -> Callable[[np.ndarray, np.ndarray], float]:
    """Return (y, w) -> argmin_c of sum_i w_i rho(c - y_i) for a differentiable convex rho."""
    slope = jax.jit(lambda c, y, w: w @ jax.vmap(jax.grad(rho))(c - y))

    def minimizer(y: np.ndarray, w: np.ndarray) -> float:
        low, high = float(y.min()), float(y.max())
        with jax.ensure_compile_time_eval():
            values, shares = jnp.asarray(y, jnp.float64), jnp.asarray(w, jnp.float64)
            ends = [float(slope(jnp.float64(c), values, shares)) for c in (low, high)]
            if not ends[0] < 0 < ends[1]:
                return low if abs(ends[0]) <= abs(ends[1]) else high
            return float(
                scipy.optimize.brentq(  # pyright: ignore[reportArgumentType]
                    lambda c: float(slope(jnp.float64(c), values, shares)), low, high, xtol=1e-15
                )
            )

    return minimizer


def _quantile(y: np.ndarray, weights: np.ndarray, level: float) -> float:
    """Return the least value c with P(Y <= c) >= level."""
    order = np.argsort(y, kind="stable")
    mass = np.cumsum(weights[order])
    place = np.searchsorted(mass, level * mass[-1] * (1 - 1e-14))
    return float(y[order][min(place, len(y) - 1)])


def _binary(prediction: Array, y: Array) -> tuple[Array, Array]:
    """Return (logit [...], label [...]) in the prediction's dtype."""
    label = y[..., 0] if y.ndim == prediction.ndim else y
    return prediction[..., 0], label.astype(prediction.dtype)


def _share_of_ones(y: np.ndarray, weights: np.ndarray, name: str) -> float:
    y = np.asarray(y, float).ravel()
    if not np.isin(y, (0.0, 1.0)).all():
        wrong = y[~np.isin(y, (0.0, 1.0))][0]
        raise InputError(f"the label {wrong:g} is not accepted by the loss {name!r}: only 0 and 1")
    return min(1.0, float(weights @ y))


def _entropy(shares: np.ndarray) -> float:
    positive = shares[shares > 0]
    return max(0.0, float(-(positive * np.log(positive)).sum()))
