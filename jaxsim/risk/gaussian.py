"""The true risk of ReLU students of ReLU teachers in closed form: no sampling in any dimension.

For one hidden layer and the squared loss, the difference of student and teacher is again a network
of one hidden layer, g(x) = sum_k u_k (w_k.x + b_k)+ + c, and with normal inputs

    E |g(X)|^2 = sum_kl u_k.u_l E[A_k+ A_l+] + 2 sum_k c.u_k E[A_k+] + |c|^2,

where A_k = w_k.X + b_k are jointly normal (see `relu_moments`). Without hidden biases the
uniform law on a sphere of radius R has the same moments up to constants, as X = R G / |G| with
|G| independent of X: those of degree two are R^2 / d times the Gaussian ones, those of degree one
R / E|G| times. The objective of Safran and Shamir 2018 ("Spurious local minima are common in
two-layer ReLU neural networks") is the case without biases and with output weights one.
Formulas that are such sums (see `problem.relu_sums`) are teachers, too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.evidence import PROVED
from jaxsim.network.network import Network
from jaxsim.problem.input_laws import NormalLaw, SphereLaw
from jaxsim.problem.problem import Problem
from jaxsim.problem.relu_sums import relu_sum
from jaxsim.problem.targets import ExpressionTarget, Target
from jaxsim.risk.relu_moments import centred_moment, moment, positive_mean
from jaxsim.risk.rule import RiskRule
from jaxsim.risk.teacher import TeacherTarget

_MOST_PAIRS = 4096


class Moments(NamedTuple):
    """A law of X by what the closed form needs of it.

    Attributes:
        mean: [d].
        std: [d]; coordinates are independent.
        degree_one: factor of E[A+] relative to the normal law.
        name: for reports.
    """

    mean: np.ndarray
    std: np.ndarray
    degree_one: float
    name: str


def normal_moments(law: NormalLaw) -> Moments:
    """Return the moments of the normal law with independent coordinates."""
    return Moments(np.asarray(law.mean), np.asarray(law.std), 1.0, "normal inputs")


def sphere_moments(radius: float, dimension: int) -> Moments:
    """Return the moments of the uniform law on a sphere, for neurons without biases."""
    d = dimension
    norm = math.sqrt(2) * math.exp(math.lgamma((d + 1) / 2) - math.lgamma(d / 2))  # E|G|
    std = radius / math.sqrt(d)
    return Moments(np.zeros(d), np.full(d, std), math.sqrt(d) / norm, "inputs on a sphere")


def is_shallow_relu(network: Network) -> bool:
    """Return whether a network has one hidden layer of ReLU neurons."""
    return (
        network.fully_connected
        and len(network.hidden) == 1
        and network.activation is not None
        and network.activation.name == "relu"
    )


class Teacher(NamedTuple):
    """A target that is a sum of ReLU ridge functions.

    Attributes:
        layers: dtype -> ((weights [d, terms], biases [terms]), (outer [terms, outputs], constant)).
        biased: whether hidden biases need not vanish.
        name: for reports.
    """

    layers: Callable[[Any], tuple[tuple[Array, Array], tuple[Array, Array]]]
    biased: bool
    name: str


def teacher_of(target: Target) -> Teacher | None:
    """Return a target as a sum of ridge functions: a shallow ReLU network, or a formula for one."""
    if isinstance(target, TeacherTarget) and is_shallow_relu(target.network):
        network = target.network

        def of_network(dtype: Any) -> Any:
            return network.layers(jnp.asarray(target.theta, dtype))

        return Teacher(of_network, network.layer_specs[0].biases is not None, "ReLU teacher")
    terms = relu_sum(target.expression) if isinstance(target, ExpressionTarget) else None
    if terms is None:
        return None

    def of_formula(dtype: Any) -> Any:
        w, b, u, c = (jnp.asarray(a, dtype) for a in terms)
        return (w, b), (u, c)

    return Teacher(of_formula, bool(terms.biases.any()), "a target that is a sum of ReLU terms")


def is_centred(moments: Moments, teacher: Teacher, network: Network) -> bool:
    """Return whether all neurons have mean zero."""
    biased = teacher.biased or network.layer_specs[0].biases is not None
    return not np.any(moments.mean) and not biased


def closed_form_rule(problem: Problem, network: Network, moments: Moments) -> RiskRule:
    """Return the closed form for a shallow ReLU student of a sum of ReLU ridge functions."""
    teacher = teacher_of(problem.target)
    assert teacher is not None
    noise = problem.outputs * problem.noise.variance
    centred = is_centred(moments, teacher, network)

    def difference(theta: Array) -> tuple[Array, ...]:
        (w, b), (u, c) = network.layers(theta)
        (w_t, b_t), (u_t, c_t) = teacher.layers(theta.dtype)
        return (
            jnp.concatenate([w, w_t], axis=1),
            jnp.concatenate([b, b_t]),
            jnp.concatenate([u, -u_t]),
            c - c_t,
        )

    def terms(theta: Array) -> tuple[Array, Array, Array]:
        weights, biases, outer, constant = difference(theta)
        scaled = weights * jnp.asarray(moments.std, theta.dtype)[:, None]
        means = biases + jnp.asarray(moments.mean, theta.dtype) @ weights
        gram = scaled.T @ scaled
        variances = (scaled**2).sum(0)
        rows, columns = np.tril_indices(len(means), -1)
        if centred:
            lower = centred_moment(variances[rows], variances[columns], gram[rows, columns])
            diagonal = variances / 2
        else:
            pairs = (means[rows], means[columns], variances[rows], variances[columns])
            lower = _moments((*pairs, gram[rows, columns]))
            diagonal = moment(means, means, variances, variances, variances)
        quadratic = (outer**2).sum(1) * diagonal
        mixed = 2 * (outer[rows] * outer[columns]).sum(1) * lower
        first = positive_mean(means, variances) * moments.degree_one
        linear = 2 * (outer @ constant) * first
        return jnp.concatenate([quadratic, linear]), mixed, (constant**2).sum()

    def population_loss(theta: Array) -> Array:
        squares, mixed, constant = terms(theta)
        return squares.sum() + mixed.sum() + constant + noise

    def evaluate(theta: Array) -> tuple[Array, Array]:
        squares, mixed, constant = terms(theta)
        risk = squares.sum() + mixed.sum() + constant
        size = jnp.abs(squares).sum() + jnp.abs(mixed).sum() + constant
        weights, biases, outer, _ = difference(theta)
        # Moments err relative to |A_k| |A_l|, also where they nearly vanish themselves.
        spread = jnp.sqrt(((weights * jnp.asarray(moments.std)[:, None]) ** 2).sum(0))
        reach = spread + jnp.abs(biases) + jnp.abs(jnp.asarray(moments.mean)) @ jnp.abs(weights)
        size += (jnp.sqrt((outer**2).sum(1)) * reach).sum() ** 2
        unit = jnp.finfo(theta.dtype).eps
        error = (8 + network.inputs) * unit * size
        return jax.nn.relu(risk) + noise, error + unit * noise

    return RiskRule(
        evaluate,
        population_loss,
        exact=True,
        evidence=PROVED,
        description=f"closed form for {moments.name}, ReLU student and {teacher.name}",
    )


def _moments(pairs: tuple[Array, ...]) -> Array:
    """Return the moments of pairs of neurons, some thousands at a time."""
    if len(pairs[0]) <= _MOST_PAIRS:
        return moment(*pairs)
    return jax.lax.map(jax.checkpoint(lambda pair: moment(*pair)), pairs, batch_size=_MOST_PAIRS)


def moments_of(problem: Problem, network: Network) -> Moments | None:
    """Return the moments of the input law if the closed form applies, else None.

    Formulas of one input keep their quadrature between kinks.
    """
    if problem.loss.name != "squared" or not is_shallow_relu(network):
        return None
    law = problem.law
    if not isinstance(law, NormalLaw | SphereLaw):
        return None
    if law.dimension == 1 and not isinstance(problem.target, TeacherTarget):
        return None
    teacher = teacher_of(problem.target)
    if teacher is None:
        return None
    if isinstance(law, NormalLaw):
        return normal_moments(law)
    biased = teacher.biased or network.layer_specs[0].biases is not None
    return None if biased else sphere_moments(law.radius, law.dimension)


def exact_form(problem: Problem, network: Network) -> str:
    """Return which form of a problem would have a closed form, empty if none is near.

    For formulas of several inputs with relu, abs, max or min, a ReLU student with one hidden layer
    and the squared loss.
    """
    target, law = problem.target, problem.law
    if not isinstance(target, ExpressionTarget) or problem.loss.name != "squared":
        return ""
    kinked = any(re.search(r"\b(relu|abs|max|min|clip)\b", t) for t in target.expression.text)
    if not kinked or not is_shallow_relu(network) or law.dimension == 1:
        return ""
    if relu_sum(target.expression) is None:
        missing = "a target that is a sum of terms c*relu(w1*x1 + ... + b)"
        return missing if isinstance(law, NormalLaw) else f"{missing} and normal inputs"
    return "" if isinstance(law, NormalLaw) else "normal inputs"
