"""Proof that a ReLU network near a given one has prescribed values exactly.

One hidden layer, one output: r_i(theta) = c + sum_j v_j relu(w_j.x~_i) - t_i, x~ the input with a 1
appended where the hidden layer has biases. While no sign of w_j.x~_i changes r is quadratic, and
its Jacobian has the Lipschitz constant

    |J(theta) - J(theta')|_F <= K |theta - theta'|,     K = (sum_i |x~_i|^2)^(1/2).

With beta >= |J^+| and eta >= beta |r|, h = beta K eta <= 1/2, Newton's method with least steps
converges to a zero of r within rho = 2 eta / (1 + sqrt(1 - 2 h)) (Kantorovich's theorem; Deuflhard
2011, "Newton Methods for Nonlinear Problems", section 4.4), if no sign can change so near:
|w_j.x~_i| > rho |x~_i| for all i and j.

For an approximate right inverse R of J, |J^+| <= |R| / (1 - |I - J R|), all norms bounded by those
of Frobenius, and all products with their rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy  # its parts are imported when they are used

from jaxsim.network.network import Network
from jaxsim.optimum.data.rounding import SAFE, gamma, product
from jaxsim.optimum.strategy import Budget

_ITERATIONS = 400
_MOST_ENTRIES = 20_000_000
"""Of the Jacobian."""


class Shallow(NamedTuple):
    """A network with one hidden layer and one output, by effective parameters.

    Attributes:
        w: hidden weights [d~, H], biases in the last row if there are any.
        v: output weights [H].
        c: output bias, 0 without.
    """

    w: np.ndarray
    v: np.ndarray
    c: float


def is_shallow_relu(network: Network, points: int) -> bool:
    """Return whether the proof applies to a network and could succeed for so many points."""
    if not network.fully_connected or len(network.hidden) != 1 or network.outputs != 1:
        return False
    activation = network.activation
    if activation is None or activation.name != "relu" or not network.trainable.all():
        return False
    if any(spec.multiplier == 0 for spec in network.layer_specs):
        return False
    return points <= network.size and points * network.size <= _MOST_ENTRIES


def inputs_of(network: Network, x: np.ndarray) -> np.ndarray:
    """Return x~ [n, d~]."""
    with_bias = network.layer_specs[0].biases is not None
    return np.column_stack([x, np.ones(len(x))]) if with_bias else x


def to_theta(network: Network, shallow: Shallow) -> np.ndarray:
    """Return the parameters [P] of effective ones."""
    first, last = network.layer_specs
    d = first.fan_in
    parts = [(shallow.w[:d] / first.multiplier).ravel(), *shallow.w[d:]]
    parts.append(shallow.v / last.multiplier)
    if last.biases is not None:
        parts.append(np.array([shallow.c]))
    return np.concatenate(parts)


def from_theta(network: Network, theta: np.ndarray) -> Shallow:
    """Return the effective parameters, weights rounded once by their factor."""
    first, last = network.layer_specs
    (w, b), (v, c) = network.layout.split(np.asarray(theta, float))
    w = w * first.multiplier
    w = w if b is None else np.concatenate([w, b[None]])
    return Shallow(w, v[:, 0] * last.multiplier, 0.0 if c is None else float(c[0]))


def interpolates(network: Network, theta: np.ndarray, x: np.ndarray, t: np.ndarray) -> bool:
    """Return whether a network near theta is shown to have the values t [n] at x [n, d]."""
    shallow = from_theta(network, theta)
    x = inputs_of(network, x)
    s, s_error = product(x, shallow.w)
    # Both signs of what is computed are certain only beyond its error.
    active = s > 0
    h = np.maximum(s, 0.0)
    f, f_error = product(h, shallow.v)
    f_error = f_error + SAFE * (s_error @ np.abs(shallow.v))
    with_bias = network.layer_specs[1].biases is not None
    r = np.abs(f + shallow.c - t) + f_error
    r = r + 4e-16 * (np.abs(f) + abs(shallow.c) + np.abs(t))
    jacobian, j_error = _jacobian(x, h, s_error, active, shallow, with_bias)
    try:
        inverse = np.linalg.pinv(jacobian)
    except np.linalg.LinAlgError:
        return False
    if not np.isfinite(inverse).all():
        return False
    size = _norm(inverse)
    gap = np.abs(np.eye(len(x)) - jacobian @ inverse)
    gap = gap + gamma(jacobian.shape[1] + 1) * (np.abs(jacobian) @ np.abs(inverse))
    distance = SAFE * (_norm(gap) + _norm(j_error) * size)
    if not distance < 0.5:
        return False
    beta = SAFE * size / (1 - distance)
    eta = SAFE * beta * _norm(r)
    lipschitz = SAFE * _norm(x)
    if not beta * lipschitz * eta * SAFE <= 0.5:
        return False
    rho = 2 * SAFE * eta  # at least 2 eta / (1 + sqrt(1 - 2 h))
    lengths = SAFE * np.sqrt((x**2).sum(1))
    return bool((np.abs(s) > s_error + SAFE * rho * lengths[:, None]).all())


def _norm(a: np.ndarray) -> float:
    return SAFE * float(np.sqrt((a**2).sum())) + 1e-150


def _jacobian(
    x: np.ndarray,
    h: np.ndarray,
    s_error: np.ndarray,
    active: np.ndarray,
    shallow: Shallow,
    with_bias: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return (J [n, P], bounds of its errors)."""
    n = len(x)
    gates = active * shallow.v
    inner = (gates[:, None, :] * x[:, :, None]).reshape(n, -1)
    parts, errors = [h, inner], [s_error, 4e-16 * np.abs(inner)]
    if with_bias:
        parts.append(np.ones((n, 1)))
        errors.append(np.zeros((n, 1)))
    return np.concatenate(parts, 1), np.concatenate(errors, 1)


def near_interpolant(
    network: Network,
    x: np.ndarray,
    t: np.ndarray,
    number: int,
    budget: Budget,
    begun: np.ndarray | None = None,
) -> tuple[np.ndarray, bool, bool]:
    """Return (parameters, whether they nearly have the values t, whether the search is over).

    L-BFGS from a random start with that number, then Levenberg and Marquardt's method, whose system
    is of the size of the points: (J J' + lambda) u = r, step J' u. (Alone it stalls on kinks.)

    Args:
        network: shallow.
        x: inputs [n, d].
        t: values [n].
        number: of the start.
        budget: of the search.
        begun: parameters where an earlier search from this start was cut short.
    """
    rng = np.random.default_rng([20_252, number])
    width = network.hidden[0]
    inputs = inputs_of(network, x)
    with_bias = network.layer_specs[1].biases is not None
    centre, spread = float(t.mean()), float(t.std()) or 1.0
    scale = np.sqrt(2 / max(1.0, float((inputs**2).sum(1).mean())))
    w = rng.normal(size=(inputs.shape[1], width)) * scale
    v = rng.normal(size=width) * spread * np.sqrt(2 / width)
    at = Shallow(w, v, centre if with_bias else 0.0)
    if begun is not None:
        at = from_theta(network, begun)
    at, over = _descend(inputs, t, at, with_bias, budget)
    if not over:
        return to_theta(network, at), False, False
    gram = inputs @ inputs.T
    damping = 1e-2
    error = np.inf
    for _ in range(_ITERATIONS):
        if budget.spent:
            return to_theta(network, at), False, False
        s = inputs @ at.w
        h, active = np.maximum(s, 0.0), s > 0
        r = h @ at.v + at.c - t
        error = float(np.sqrt((r**2).mean()))
        if error <= 1e-15 * spread:
            break
        gates = active * at.v
        table = (gates @ gates.T) * gram + h @ h.T + with_bias
        mean = float(np.trace(table)) / len(t)
        improved = False
        for _ in range(12):
            system = table + damping * min(1.0, error / spread) * mean * np.eye(len(t))
            try:
                u = np.linalg.solve(system, r)
            except np.linalg.LinAlgError:
                damping *= 10
                continue
            trial = Shallow(
                at.w - inputs.T @ (u[:, None] * gates),
                at.v - h.T @ u,
                at.c - (float(u.sum()) if with_bias else 0.0),
            )
            residual = np.maximum(inputs @ trial.w, 0.0) @ trial.v + trial.c - t
            if float(np.sqrt((residual**2).mean())) < error:
                at, improved = trial, True
                damping = max(damping / 5, 1e-14)
                break
            damping *= 5
        if not improved:
            break
    return to_theta(network, at), error < 1e-8 * spread, True


def _descend(
    x: np.ndarray, t: np.ndarray, at: Shallow, with_bias: bool, budget: Budget
) -> tuple[Shallow, bool]:
    """Return the end of L-BFGS on the squared residuals, and whether it was not cut short."""
    n, shape = len(t), at.w.shape
    spread = float(t.std()) or 1.0
    over = True

    def unpack(flat: np.ndarray) -> Shallow:
        size = at.w.size
        return Shallow(flat[:size].reshape(shape), flat[size:-1], float(flat[-1]))

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        parts = unpack(flat)
        s = x @ parts.w
        h = np.maximum(s, 0.0)
        r = (h @ parts.v + parts.c - t) / (n * spread**2)
        inner = x.T @ (r[:, None] * ((s > 0) * parts.v))
        slope = np.concatenate([inner.ravel(), h.T @ r, [r.sum() if with_bias else 0.0]])
        return float(r @ r) * n * spread**2, 2 * slope

    def callback(flat: np.ndarray) -> None:
        nonlocal over
        if budget.spent:
            over = False
            raise StopIteration

    result = scipy.optimize.minimize(
        loss,
        np.concatenate([at.w.ravel(), at.v, [at.c]]),
        jac=True,
        method="L-BFGS-B",
        callback=callback,
        options={"maxiter": 4000, "maxfun": 6000, "maxcor": 20, "ftol": 0.0, "gtol": 1e-13},
    )
    return unpack(np.asarray(result.x)), over
