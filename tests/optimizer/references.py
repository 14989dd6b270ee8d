"""The recursions in plain NumPy, float64, written from the sources named at each.

A reference is a generator function: it receives gradients by `send` and yields the parameters at
which the next gradient is to be taken.
"""

from __future__ import annotations

import numpy as np


def _run(rule):
    """Turn rule(lr, **hyper) -> step(g) into a function of (gradients, theta0, lr, **hyper)."""

    def trajectory(gradient, theta, lr, steps, **hyper):
        theta = np.array(theta, np.float64)
        step = rule(lr, theta.shape, **hyper)
        path = [theta.copy()]
        for t in range(1, steps + 1):
            theta = theta - step(gradient(theta, t), t)
            path.append(theta.copy())
        return np.array(path)

    return trajectory


def _divide(a, b):
    """0/0 = 0, the convention for a parameter that never had a gradient."""
    return np.divide(a, b, out=np.zeros_like(a), where=b != 0)


@_run
def sgd(lr, shape):
    return lambda g, t: lr * g


@_run
def keras_momentum(lr, shape, decay=0.9, nesterov=False):
    """keras/src/optimizers/sgd.py: velocity = momentum * velocity - lr * g."""
    velocity = np.zeros(shape)

    def step(g, t):
        nonlocal velocity
        velocity = decay * velocity - lr * g
        return -(decay * velocity - lr * g) if nesterov else -velocity

    return step


@_run
def book_momentum(lr, shape, decay=0.9):
    """Jentzen, Kuckuck, von Wurstemberger (arXiv:2310.20360), momentum_sgd.py."""
    m = np.zeros(shape)

    def step(g, t):
        nonlocal m
        m = decay * m + (1 - decay) * g
        return lr * m

    return step


def book_nesterov(gradient, theta, lr, steps, decay=0.9):
    """The book's own two-point form; returns the look-ahead points Theta - lr decay m."""
    theta = np.array(theta, np.float64)
    m = np.zeros_like(theta)
    path = [theta.copy()]
    for t in range(1, steps + 1):
        g = gradient(theta - lr * decay * m, t)
        m = decay * m + (1 - decay) * g
        theta = theta - lr * m
        path.append(theta - lr * decay * m)
    return np.array(path)


@_run
def keras_adagrad(lr, shape):
    """keras/src/optimizers/adagrad.py: accumulator 0.1, g / sqrt(accumulator + 1e-7)."""
    a = np.full(shape, 0.1)

    def step(g, t):
        nonlocal a
        a = a + g * g
        return lr * g / np.sqrt(a + 1e-7)

    return step


@_run
def book_adagrad(lr, shape):
    """The book's adagrad.py: S_0 = 1e-10, g / sqrt(S)."""
    s = np.full(shape, 1e-10)

    def step(g, t):
        nonlocal s
        s = s + g * g
        return lr * g / np.sqrt(s)

    return step


@_run
def inner_rmsprop(lr, shape, decay=0.9, eps=1e-8):
    """keras/src/optimizers/rmsprop.py (eps 1e-7) and the book's rmsprop.py (1e-10)."""
    v = np.zeros(shape)

    def step(g, t):
        nonlocal v
        v = decay * v + (1 - decay) * g * g
        return lr * g / np.sqrt(v + eps)

    return step


@_run
def adadelta(lr, shape, rho=0.9, eps=1e-6):
    """Zeiler (arXiv:1212.5701), Algorithm 1, times a learning rate."""
    v, d = np.zeros(shape), np.zeros(shape)

    def step(g, t):
        nonlocal v, d
        v = rho * v + (1 - rho) * g * g
        u = np.sqrt(d + eps) / np.sqrt(v + eps) * g
        d = rho * d + (1 - rho) * u * u
        return lr * u

    return step


def _adam_moments(shape, b1, b2):
    m, v = np.zeros(shape), np.zeros(shape)

    def moments(g):
        nonlocal m, v
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        return m, v

    return moments


@_run
def adam(lr, shape, b1=0.9, b2=0.999, eps=1e-8):
    """Kingma and Ba (arXiv:1412.6980), Algorithm 1."""
    moments = _adam_moments(shape, b1, b2)

    def step(g, t):
        m, v = moments(g)
        return lr * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


@_run
def keras_adam(lr, shape, b1=0.9, b2=0.999, eps=1e-7, amsgrad=False):
    """keras/src/optimizers/adam.py: alpha = lr sqrt(1 - b2^t) / (1 - b1^t)."""
    moments = _adam_moments(shape, b1, b2)
    peak = np.zeros(shape)

    def step(g, t):
        nonlocal peak
        m, v = moments(g)
        if amsgrad:
            peak = np.maximum(peak, v)
            v = peak
        alpha = lr * np.sqrt(1 - b2**t) / (1 - b1**t)
        return m * alpha / (np.sqrt(v) + eps)

    return step


@_run
def outer_adamax(lr, shape, b1=0.9, b2=0.999, eps=0.0):
    """Kingma and Ba, Algorithm 2 (eps = 0); keras/src/optimizers/adamax.py (eps = 1e-7)."""
    m, u = np.zeros(shape), np.zeros(shape)

    def step(g, t):
        nonlocal m, u
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g))
        return lr / (1 - b1**t) * _divide(m, u + eps)

    return step


@_run
def inner_adamax(lr, shape, b1=0.9, b2=0.999, eps=1e-8):
    """torch/optim/adamax.py and optax: u = max(b2 u, |g| + eps)."""
    m, u = np.zeros(shape), np.zeros(shape)

    def step(g, t):
        nonlocal m, u
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + eps)
        return lr * m / (1 - b1**t) / u

    return step


@_run
def dozat_nadam(lr, shape, b1=0.9, b2=0.999, eps=1e-8):
    """Dozat (2016), Algorithm 2, with constant mu, without the factor b2 in front of v."""
    moments = _adam_moments(shape, b1, b2)

    def step(g, t):
        m, v = moments(g)
        bar = b1 * m / (1 - b1 ** (t + 1)) + (1 - b1) * g / (1 - b1**t)
        return lr * bar / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


@_run
def keras_nadam(lr, shape, b1=0.9, b2=0.999, eps=1e-7):
    """keras/src/optimizers/nadam.py: u_t = b1 (1 - 0.96^t / 2)."""
    moments = _adam_moments(shape, b1, b2)
    product = 1.0

    def step(g, t):
        nonlocal product
        m, v = moments(g)
        here = b1 * (1 - 0.5 * 0.96**t)
        ahead = b1 * (1 - 0.5 * 0.96 ** (t + 1))
        product = product * here
        bar = ahead * m / (1 - product * ahead) + (1 - here) * g / (1 - product)
        return lr * bar / (np.sqrt(v / (1 - b2**t)) + eps)

    return step


@_run
def nadamax(lr, shape, b1=0.9, b2=0.999, eps=1e-8, inner=True, lookahead=True):
    """Dozat's Nadam numerator (report of 2015) over the Adamax denominator."""
    m, u = np.zeros(shape), np.zeros(shape)

    def step(g, t):
        nonlocal m, u
        m = b1 * m + (1 - b1) * g
        u = np.maximum(b2 * u, np.abs(g) + (eps if inner else 0.0))
        bar = b1 * m / (1 - b1 ** (t + 1 if lookahead else t)) + (1 - b1) * g / (1 - b1**t)
        return lr * _divide(bar, u + (0.0 if inner else eps))

    return step


@_run
def corrected_amsgrad(lr, shape, b1=0.9, b2=0.999, eps=1e-8):
    """optax: the maximum of the bias-corrected second moments."""
    moments = _adam_moments(shape, b1, b2)
    peak = np.zeros(shape)

    def step(g, t):
        nonlocal peak
        m, v = moments(g)
        peak = np.maximum(peak, v / (1 - b2**t))
        return lr * m / (1 - b1**t) / (np.sqrt(peak) + eps)

    return step


@_run
def reddi_amsgrad(lr, shape, b1=0.9, b2=0.999, eps=1e-8):
    """Reddi, Kale and Kumar (arXiv:1904.09237), Algorithm 2, with eps in the denominator."""
    moments = _adam_moments(shape, b1, b2)
    peak = np.zeros(shape)

    def step(g, t):
        nonlocal peak
        m, v = moments(g)
        peak = np.maximum(peak, v)
        return lr * m / (np.sqrt(peak) + eps)

    return step
