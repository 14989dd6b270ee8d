"""Training steps of the lanes engine in XLA's own operations.

A dense layer is an unrolled sum of broadcast products, which XLA turns into one vectorized loop
that keeps the sum in registers, where a batch of small matrix products would go through memory:

    forward    z[b, o] = b[o] + c sum_i h[b, i] w[i, o]        unrolled over the inputs
    backward   dh[b, i] = c sum_o dz[b, o] w[i, o]             unrolled over the outputs
               dw[i, o] = c sum_b h[b, i] dz[b, o]             unrolled over the batch

Activation, loss and optimizer are the ones of the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.engines.lanes import NO_BATCH, Drawn, Steps, unsupported_reason
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate
from jaxsim.training.train import State, make_transformation

MOST_TERMS = 64
"""Longest unrolled sum: wider layers are better served by matrix products."""


def unrolled_unsupported_reason(experiment: Experiment) -> str:
    """Return why sums cannot be unrolled for an experiment; empty if they can."""
    reason = unsupported_reason(experiment)
    if reason:
        return reason
    if experiment.samples_per_step == 0:
        return NO_BATCH
    network = experiment.network
    widest = max(network.inputs, *network.hidden, network.outputs, experiment.samples_per_step)
    return f"{widest} units or samples, more than {MOST_TERMS}" if widest > MOST_TERMS else ""


def unrolled_steps(experiment: Experiment, lanes: int) -> Steps:
    """Return several training steps of a group of lanes as a loop of XLA."""
    network = experiment.network
    still = None if network.trainable.all() else jnp.repeat(~network.trainable, lanes)
    transformation = make_transformation(experiment)
    gradient = _make_gradient(experiment)

    def update(state: State, n: Array, x: Array, y: Array, rate: LearningRate) -> State:
        theta = state.theta.reshape(-1, lanes)
        losses, direction = gradient(theta, *_materialize(x, y))
        (direction,) = _materialize(direction.reshape(-1))
        if still is not None:
            direction = jnp.where(still, 0, direction)
        movement, memory = transformation(rate).update(direction, state.optimizer, state.theta)
        assert isinstance(movement, Array)
        if still is not None:
            movement = jnp.where(still, 0, movement)
        lost = (state.diverged < 0) & ~jnp.isfinite(losses)
        return state._replace(
            theta=state.theta + movement.astype(experiment.dtype),
            optimizer=memory,
            diverged=jnp.where(lost, n.astype(jnp.int32), state.diverged),
        )

    def steps(
        state: State, drawn: Drawn | None, first: Array, count: Array, rate: LearningRate
    ) -> State:
        assert drawn is not None

        def step(k: Array, state: State) -> State:
            x, y = (jnp.moveaxis(a, 0, -1) for a in mini_batch(drawn, k))
            return update(state, first + k, x, y, rate)

        return jax.lax.fori_loop(0, count, step, state)

    return steps


def mini_batch(drawn: Drawn, k: Array) -> tuple[Array, Array]:
    """Return (x [lane, batch, in], y [lane, batch, ...]) of the k-th of some steps."""
    if drawn.rows is None:
        return drawn.x[k], drawn.y[k]
    index = drawn.rows[k]
    if drawn.x.ndim == 2:
        return drawn.x[index], drawn.y[index]
    return jax.vmap(lambda x, y, rows: (x[rows], y[rows]))(drawn.x, drawn.y, index)


def _make_gradient(experiment: Experiment) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Return (theta [P, lane], x [batch, in, lane], y) -> (loss [lane], gradient [P, lane])."""
    network = experiment.network
    activation = network.activation
    assert activation is not None
    specs, layout = network.layer_specs, network.layout

    def empirical_risk(prediction: Array, y: Array) -> Array:
        loss = experiment.problem.loss.function
        values = jax.vmap(loss, in_axes=-1, out_axes=-1)(prediction, y)
        return _sum(values) / values.shape[0]

    def gradient(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        layers = layout.split(theta)  # weights [in, out, lane], biases [out, lane]
        inputs, values, h = [], [], x
        z = x
        for number, (spec, (weights, biases)) in enumerate(zip(specs, layers, strict=True), 1):
            inputs.append(h)
            z = _affine(h, weights, biases, spec)
            if number < len(specs):
                h, kept = _activate(activation, z)
                values.append(kept)
        (z,) = _materialize(z)
        losses, back = jax.vjp(lambda prediction: empirical_risk(prediction, y), z)
        (dz,) = _materialize(*back(jnp.ones_like(losses)))
        parts: list[Array] = []
        for place in reversed(range(len(specs))):
            spec, h = specs[place], inputs[place]
            weights, _ = layers[place]
            if spec.biases is not None:
                parts.append(_sum(dz[k] for k in range(dz.shape[0])))
            dw = _sum(h[k][:, None] * dz[k][None] for k in range(dz.shape[0]))
            parts.append(_scaled(dw, spec).reshape(-1, theta.shape[1]))
            if place:
                dh = _sum(dz[:, o, None] * weights[:, o] for o in range(spec.fan_out))
                # The activation's own derivative rule: an inactive neuron ignores even infinite dh.
                _, back = jax.vjp(activation.function, values[place - 1])
                (dz,) = _materialize(*back(_scaled(dh, spec)))
        return losses, jnp.concatenate(parts[::-1])

    return gradient


def _affine(h: Array, weights: Array, biases: Array | None, spec: Layer) -> Array:
    z = _scaled(_sum(h[:, i, None] * weights[i] for i in range(spec.fan_in)), spec)
    return z if biases is None else z + biases


def _activate(activation: Activation, z: Array) -> tuple[Array, Array]:
    """Return (A(z), what A'(z) is computed from), both in memory."""
    if activation.slope_from_value:
        (h,) = _materialize(activation.function(z))
        return h, h
    (z,) = _materialize(z)
    (h,) = _materialize(activation.function(z))
    return h, z


def _scaled(x: Array, spec: Layer) -> Array:
    return x if spec.multiplier == 1.0 else x * spec.multiplier


def _sum(terms: Any) -> Array:
    first, *rest = terms
    for term in rest:
        first = first + term
    return first


def _materialize(*arrays: Array) -> tuple[Array, ...]:
    """Keep XLA from computing the arrays anew in each of a sum's terms."""
    return jax.lax.optimization_barrier(arrays)
