"""The program of one member: layers, loss and optimizer's step, many steps in one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from jaxsim.engines.pallas.shape import Shape
from jaxsim.engines.pallas.update import Update
from jaxsim.network.network import Layer
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate


def make_steps(experiment: Experiment, shape: Shape, interpret: bool) -> Callable[..., Any]:
    """Return (kept, x, y, first, count, rate) -> kept: several steps of all members.

    `kept` is (layers, optimizer's state, first bad steps), all with the member axis first.
    """
    loss_of, update = _make_loss(experiment, shape), Update(experiment, shape)

    def step(kept: Any, x: Array, y: Array, n: Array, uniform: list[Array]) -> Any:
        theta, moments, diverged = kept
        loss, gradient = jax.value_and_grad(loss_of)(theta, x, y)
        gradient = _without_filling(gradient, shape)
        movement, moments = update.varying(uniform, gradient, moments, theta)
        theta = jax.tree.map(lambda t, m: t + m.astype(t.dtype), theta, movement)
        lost = (diverged < 0) & ~(jnp.abs(loss) < jnp.inf)
        return theta, moments, jnp.where(lost, n, diverged)

    def steps(kept: Any, x: Array, y: Array, first: Array, count: Array, rate: LearningRate) -> Any:
        theta, optimizer, diverged = kept
        numbers, moments = update.parts(optimizer)
        numbers, uniform = update.uniform(rate, numbers, x.shape[1], count)
        leaves, structure = jax.tree.flatten((theta, moments, diverged))
        shared = [jnp.stack([first, count]).astype(jnp.int32), *uniform]
        ahead = 2 + len(shared)

        def program(*references: Any) -> None:
            bounds, *uniform = references[: len(shared)]
            x, y = references[len(shared) : ahead]
            given, results = references[ahead : ahead + len(leaves)], references[-len(leaves) :]
            begin = bounds[0]

            def one(k: Array, values: Sequence[Array]) -> list[Array]:
                kept = jax.tree.unflatten(structure, values)
                return jax.tree.leaves(step(kept, x[k], y[k], begin + k, [u[k] for u in uniform]))

            values = jax.lax.fori_loop(jnp.int32(0), bounds[1], one, [g[...] for g in given])
            for result, value in zip(results, values, strict=True):
                result[...] = value

        def per_member(array: Array) -> pl.BlockSpec:
            inner = array.ndim - 1
            return pl.BlockSpec((None, *array.shape[1:]), lambda m: (m, *(0,) * inner))

        def common(array: Array) -> pl.BlockSpec:
            return pl.BlockSpec(array.shape, lambda m: (0,) * array.ndim)

        arrays = pl.pallas_call(
            program,
            grid=(len(x),),
            in_specs=[*map(common, shared), *map(per_member, (x, y, *leaves))],
            out_specs=list(map(per_member, leaves)),
            out_shape=[jax.ShapeDtypeStruct(a.shape, a.dtype) for a in leaves],
            input_output_aliases={ahead + place: place for place in range(len(leaves))},
            compiler_params=None
            if interpret
            else triton.CompilerParams(num_warps=_warps(shape), num_stages=1),
            interpret=interpret,
        )(*shared, x, y, *leaves)
        theta, moments, diverged = jax.tree.unflatten(structure, arrays)
        return theta, update.whole(numbers, moments, len(x)), diverged

    return steps


def _make_loss(experiment: Experiment, shape: Shape) -> Callable[[Any, Array, Array], Array]:
    """Return (layers, x [batch, in], y [batch, out]) -> mean loss, of one filled-up member."""
    activation, loss = experiment.network.activation, experiment.problem.loss.function
    assert activation is not None
    real = experiment.samples_per_step

    def affine(h: Array, layer: tuple[Array, ...], spec: Layer) -> Array:
        weights, *biases = layer
        if shape.is_sum(*weights.shape):
            z = (h[:, :, None] * weights[None]).sum(1)
        else:
            z = jnp.dot(h, weights)
        z = z if spec.multiplier == 1.0 else z * spec.multiplier
        return z + biases[0] if biases else z

    def mean_loss(layers: Any, x: Array, y: Array) -> Array:
        h = x
        for number, (layer, spec) in enumerate(zip(layers, shape.specs, strict=True), 1):
            h = affine(h, layer, spec)
            if number < len(shape.specs):
                h = activation.function(h)
        losses = loss(h, y)
        if real < shape.batch:
            losses = jnp.where(jnp.arange(shape.batch) < real, losses, 0)
        return losses.sum() / real

    return mean_loss


def _without_filling(gradient: Any, shape: Shape) -> Any:
    """Set the gradient of what fills layers up to zero: an activation need not vanish at 0."""
    layers = []
    for spec, layer in zip(shape.specs, gradient, strict=True):
        weights, *biases = layer
        if weights.shape[0] > spec.fan_in:
            rows = jax.lax.broadcasted_iota(jnp.int32, weights.shape, 0)
            weights = jnp.where(rows < spec.fan_in, weights, 0)
        layers.append((weights, *biases))
    return tuple(layers)


def _warps(shape: Shape) -> int:
    """Return the warps of a program: some sixteen numbers of the widest layer per thread."""
    widest = max(max(sides) for sides in shape.layers)
    return max(1, min(8, shape.batch * widest // 512))
