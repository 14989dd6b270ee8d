"""The lanes engine: fully-connected networks with one member per SIMD lane, for CPUs.

Arrays end in a short axis of members ("lanes"): x [batch, unit, lane], w [in, out, lane]. A dense
layer is an unrolled sum of broadcast products, which XLA turns into one vectorized loop that keeps
the sum in registers, where a batch of small matrix products would go through memory:

    forward    z[b, o] = b[o] + c sum_i h[b, i] w[i, o]        unrolled over the inputs
    backward   dh[b, i] = c sum_o dz[b, o] w[i, o]             unrolled over the outputs
               dw[i, o] = c sum_b h[b, i] dz[b, o]             unrolled over the batch

Activation, loss, optimizer and mini-batches are the ones of the reference engine, so that both
train alike up to rounding. A block of `width` members is a sequence of groups of `lanes` members,
each of which is trained while it stays in cache; parameters and moments are one flat vector
[P * lanes] per group, a long loop for the optimizer's arithmetic.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxsim.errors import InputError
from jaxsim.network.activations import Activation
from jaxsim.network.network import Layer
from jaxsim.simulation import keys
from jaxsim.simulation.batches import Batches, make_batches
from jaxsim.simulation.engine import ByText, Engine, drawing, evaluation, training
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.train import State, make_transformation

LANES = (16, 32)
"""Groups that are worth measuring."""
MOST_TERMS = 64
"""Longest unrolled sum: wider layers are better served by matrix products."""
DRAWN_BYTES = 1 << 18
"""Mini-batches of many steps are drawn in one call, as long as they stay in cache."""
MOST_DRAWN = 64

# Full vectors are worth more here than the clock frequency they may cost.
_OPTIONS = {"xla_cpu_prefer_vector_width": 512} if platform.machine() == "x86_64" else {}


def obstacle(experiment: Experiment) -> str:
    """Return why the lanes engine cannot run an experiment; empty if it can."""
    network, batch = experiment.network, experiment.batch_size
    if not network.fully_connected or network.activation is None:
        return "the network is a module of the user's own"
    if not experiment.optimizer.coordinatewise:
        return f"the optimizer {experiment.optimizer.name!r} looks at whole layers"
    if batch == "full" and experiment.training_set is not None:
        batch = experiment.training_set.size
    if not isinstance(batch, int):
        return "gradients of the true risk come from no mini-batch"
    widest = max(network.inputs, *network.hidden, network.outputs, batch)
    return f"{widest} units or samples, more than {MOST_TERMS}" if widest > MOST_TERMS else ""


def require(experiment: Experiment) -> None:
    """Check that the lanes engine can run an experiment.

    Raises:
        InputError: if it cannot.
    """
    reason = obstacle(experiment)
    if reason:
        raise InputError(
            f'execution.engine = "lanes" is not accepted for {experiment.label!r}: {reason}; '
            'accepted: "vmap"'
        )


def lanes_engine(experiment: Experiment, lanes: int) -> Engine:
    """Return the engine with groups of `lanes` members; the width must be a multiple of it.

    Raises:
        InputError: if the experiment cannot be run in this form.
    """
    require(experiment)
    draw = drawing(ByText(experiment, experiment.initialization))
    observe, gradient_norm = evaluation(ByText(experiment, experiment.evaluation))
    by_program = ByText(experiment, experiment.program)
    shared, start, advance, theta, members = _training(by_program, lanes)

    def init(key: Array, replicates: Array, learning_rate: Array) -> State:
        if replicates.shape[0] % lanes:
            raise InputError(
                f"execution.width = {replicates.shape[0]} is not accepted: it should be a multiple "
                f"of {lanes} lanes"
            )
        return start(*draw(key, replicates), learning_rate)

    _, _, certificate = training(by_program)
    return Engine(
        shared=shared,
        init=init,
        advance=advance,
        theta=lambda state: theta(state.theta),
        observe=observe,
        gradient_norm=gradient_norm,
        certificate=lambda state, rate: certificate(members(state), rate),
        diverged=lambda state: state.diverged.reshape(-1),
    )


@lru_cache(maxsize=64)
def _training(by_text: ByText, lanes: int) -> tuple[Callable, ...]:
    """Return (shared, start, advance, theta by member, State by member), compiled."""
    experiment = by_text.experiment
    batches = make_batches(experiment)
    transformation = make_transformation(experiment)
    one_group = _make_advance(experiment, batches, lanes)

    def start(members: Array, theta: Array, learning_rate: Array) -> State:
        grouped = members.reshape(-1, lanes)
        groups, size = grouped.shape[0], theta.shape[1]
        theta = jnp.swapaxes(theta.reshape(groups, lanes, size), 1, 2).reshape(groups, -1)
        return State(
            theta=theta,
            optimizer=jax.vmap(transformation(learning_rate).init)(theta),
            data=jax.vmap(jax.vmap(batches.init))(grouped),
            diverged=jnp.full(grouped.shape, -1, jnp.int32),
            key=jax.vmap(jax.vmap(lambda k: jax.random.fold_in(k, keys.MINI_BATCHES)))(grouped),
        )

    def advance(
        state: State, shared: Any, first: ArrayLike, stop: ArrayLike, learning_rate: Array
    ) -> State:
        return jax.lax.map(lambda s: one_group(s, shared, first, stop, learning_rate), state)

    def members(state: State) -> State:
        def split(leaf: Array) -> Array:
            # A scalar of the group, or something like theta.
            return jnp.repeat(leaf, lanes) if leaf.ndim == 1 else _by_member(leaf, lanes)

        def merge(leaf: Array) -> Array:
            return leaf.reshape(-1, *leaf.shape[2:])

        return State(
            theta=split(state.theta),
            optimizer=jax.tree.map(split, state.optimizer),
            data=jax.tree.map(merge, state.data),
            diverged=merge(state.diverged),
            key=merge(state.key),
        )

    return (
        jax.jit(batches.shared),
        jax.jit(start),
        jax.jit(advance, donate_argnums=0, compiler_options=_OPTIONS),
        jax.jit(lambda theta: _by_member(theta, lanes)),
        jax.jit(members),
    )


def _by_member(leaf: Array, lanes: int) -> Array:
    """Return [group, P * lanes] as [member, P]."""
    groups = leaf.shape[0]
    return jnp.swapaxes(leaf.reshape(groups, -1, lanes), 1, 2).reshape(groups * lanes, -1)


def _make_advance(experiment: Experiment, batches: Batches, lanes: int) -> Callable[..., State]:
    """Return the steps first, ..., stop - 1 of one group of lanes."""
    network = experiment.network
    still = None if network.trainable.all() else jnp.repeat(~network.trainable, lanes)
    transformation = make_transformation(experiment)
    gradient = _make_gradient(experiment)
    ahead = _steps_drawn(experiment, lanes)

    def draw_ahead(state: State, shared: Any, n: Array) -> tuple[Array, Array]:
        def one(step: Array) -> tuple[Array, Array]:
            def member(key: Array) -> tuple[Array, Array]:
                return batches.draw(shared, (), key, step)[1:]

            return jax.vmap(member, out_axes=-1)(state.key)

        x, y = _materialize(*jax.vmap(one)(n + jnp.arange(ahead)))
        return x, y

    def update(state: State, n: Array, x: Array, y: Array, rate: Array, data: Any) -> State:
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
        return State(
            theta=state.theta + movement.astype(experiment.dtype),
            optimizer=memory,
            data=data,
            diverged=jnp.where(lost, n.astype(jnp.int32), state.diverged),
            key=state.key,
        )

    def drawing_ahead(state: State, shared: Any, first: Array, stop: Array, rate: Array) -> State:
        def several(carry: tuple[Array, State]) -> tuple[Array, State]:
            begin, state = carry
            x, y = draw_ahead(state, shared, begin)

            def step(n: Array, state: State) -> State:
                return update(state, n, x[n - begin], y[n - begin], rate, state.data)

            last = jnp.minimum(begin + ahead, stop)
            return last, jax.lax.fori_loop(begin, last, step, state)

        first = jnp.asarray(first, jnp.int32)
        return jax.lax.while_loop(lambda carry: carry[0] < stop, several, (first, state))[1]

    def drawing_each(state: State, shared: Any, first: Array, stop: Array, rate: Array) -> State:
        def step(n: Array, state: State) -> State:
            draw = jax.vmap(batches.draw, in_axes=(None, 0, 0, None), out_axes=(0, -1, -1))
            data, x, y = draw(shared, state.data, state.key, n)
            return update(state, n, x, y, rate, data)

        return jax.lax.fori_loop(first, stop, step, state)

    return drawing_ahead if experiment.training_set is None else drawing_each


def _steps_drawn(experiment: Experiment, lanes: int) -> int:
    """Return how many steps' mini-batches are drawn in one call."""
    network, batch = experiment.network, experiment.batch_size
    assert isinstance(batch, int) or experiment.training_set is not None
    size = batch if isinstance(batch, int) else 1
    step = lanes * size * (network.inputs + network.outputs) * experiment.dtype.itemsize
    return max(1, min(MOST_DRAWN, DRAWN_BYTES // step))


def _make_gradient(experiment: Experiment) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Return (theta [P, lane], x [batch, in, lane], y) -> (loss [lane], gradient [P, lane])."""
    network = experiment.network
    activation = network.activation
    assert activation is not None
    specs = network.layer_specs

    def empirical_risk(prediction: Array, y: Array) -> Array:
        loss = experiment.problem.loss.function
        values = jax.vmap(loss, in_axes=-1, out_axes=-1)(prediction, y)
        return _sum(values) / values.shape[0]

    def gradient(theta: Array, x: Array, y: Array) -> tuple[Array, Array]:
        layers = _layers(theta, specs)
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


def _layers(theta: Array, specs: tuple[Layer, ...]) -> list[tuple[Array, Array | None]]:
    """Cut theta [P, lane] into (weights [in, out, lane], biases [out, lane]) per layer."""
    pairs, start = [], 0
    for spec in specs:
        stop = start + spec.fan_in * spec.fan_out
        weights = theta[start:stop].reshape(spec.fan_in, spec.fan_out, -1)
        start = stop + (spec.fan_out if spec.biases is not None else 0)
        pairs.append((weights, theta[stop:start] if spec.biases is not None else None))
    return pairs


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
