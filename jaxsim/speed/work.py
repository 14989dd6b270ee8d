"""What a step of one member costs in arithmetic and in memory, counted and not measured.

Counted are the matrix products of the forward and the backward pass over the mini-batch, a
multiplication and an addition each as two operations, and the arithmetic of the optimizer's update.
Not counted are activations, losses, biases, random numbers and the target: they are what an
implementation adds to the products. For a fully-connected network with w_i weights in layer i,
a mini-batch of B samples, and an update of c operations for each of P parameters,

    flops = 2 B sum_i w_i  +  2 B sum_i w_i  +  2 B sum_{i > 1} w_i  +  c P:

outputs of layers, gradients of weights, gradients of the inputs of all layers but the first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxsim.engines.update_trace import trace_update
from jaxsim.training.experiment import Experiment

ARITHMETIC = {
    "add", "sub", "mul", "div", "sqrt", "rsqrt", "pow", "integer_pow", "square", "max", "min",
    "add_any", "exp", "log",
}  # fmt: skip
"""Operations of an update that count as one each, for every entry of what they yield."""


@dataclass(frozen=True)
class StepWork:
    """Floating-point operations of one step of one member.

    Attributes:
        products: of the matrix products of the forward and the backward pass.
        update: of the optimizer's update.
    """

    products: int
    update: int

    @property
    def total(self) -> int:
        """Operations in all."""
        return self.products + self.update


def step_work(experiment: Experiment) -> StepWork | None:
    """Return the operations of one step of one member; None for gradients of the true risk.

    Such gradients are closed forms or sums over quadrature points, not passes over a mini-batch.
    """
    if not experiment.samples_per_step:
        return None
    network, dtype = experiment.network, experiment.dtype
    theta = jax.ShapeDtypeStruct((network.size,), dtype)
    x = jax.ShapeDtypeStruct((experiment.samples_per_step, network.inputs), dtype)

    def passes(theta: Any, x: Any) -> Any:
        outputs, pull = jax.vjp(lambda t: network.apply(t, x), theta)
        return outputs, pull(outputs)

    products = _products(jax.make_jaxpr(passes)(theta, x).jaxpr)
    return StepWork(products, _update(experiment))


def _update(experiment: Experiment) -> int:
    """Return the operations of Phi_n and of theta + movement, parameters of all layers."""
    network = experiment.network
    theta = np.zeros(network.size, experiment.precision)
    trace = trace_update(experiment, _as_seen(experiment, theta))
    jaxpr = jax.make_jaxpr(trace.step)(*trace.examples).jaxpr
    return sum(_operations(e) for e, _ in _equations(jaxpr)) + network.size


def _operations(equation: Any) -> int:
    """Return the operations of a part of an update.

    What is one number for all parameters, such as a bias correction, costs nothing; x^n is n - 1
    products.
    """
    out, name = equation.outvars[0].aval, equation.primitive.name
    if name not in ARITHMETIC or not out.shape or not np.issubdtype(out.dtype, np.floating):
        return 0
    each = abs(equation.params["y"]) - 1 if name == "integer_pow" else 1
    return each * math.prod(out.shape)


def _products(jaxpr: Any) -> int:
    total = 0
    for equation, times in _equations(jaxpr):
        shape = equation.outvars[0].aval.shape if equation.outvars else ()
        if equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += times * 2 * math.prod(shape) * math.prod(left[i] for i in contracted)
        elif equation.primitive.name == "conv_general_dilated":
            numbers = equation.params["dimension_numbers"]
            kernel = equation.invars[1].aval.shape
            each = math.prod(kernel) // kernel[numbers.rhs_spec[0]]
            total += times * 2 * math.prod(shape) * each
    return total


def _equations(jaxpr: Any, times: int = 1) -> Iterator[tuple[Any, int]]:
    """Yield the equations of a program and of those it calls, with how often each is computed."""
    for equation in jaxpr.eqns:
        yield equation, times
        inner = times * (equation.params["length"] if equation.primitive.name == "scan" else 1)
        for value in equation.params.values():
            for part in value if isinstance(value, tuple | list) else (value,):
                part = getattr(part, "jaxpr", part)
                if hasattr(part, "eqns"):
                    yield from _equations(part, inner)


def moved_bytes(experiment: Experiment) -> int:
    """Return the bytes of one member that are read and written if nothing stays in a cache.

    Parameters and the optimizer's memory of them, each read and written once in a step.
    """
    theta = np.zeros(experiment.network.size, experiment.precision)
    memory = trace_update(experiment, _as_seen(experiment, theta)).leaves
    return 2 * (theta.nbytes + sum(leaf.nbytes for leaf in memory))


def _as_seen(experiment: Experiment, theta: np.ndarray) -> Any:
    """Return parameters as the optimizer sees them: flat, or as the layers' arrays."""
    if experiment.optimizer.coordinatewise:
        return theta
    return experiment.network.unravel(jnp.asarray(theta))


def block_bytes(experiment: Experiment, width: int) -> float:
    """Return the bytes of the state of a block: parameters, moments, gradients, mini-batches."""
    item = np.dtype(experiment.precision).itemsize
    batch = experiment.batch_size if isinstance(experiment.batch_size, int) else 1024
    units = sum(experiment.network.hidden) + experiment.network.inputs + experiment.network.outputs
    samples = experiment.rows
    per_replicate = (
        experiment.training_set is not None and experiment.training_set.scope == "replicate"
    )
    per_member = 5 * experiment.network.size + 2 * batch * units
    per_member += samples * (experiment.network.inputs + 1) if per_replicate else 0
    return float(width * per_member * item)
