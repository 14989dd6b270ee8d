"""The pallas engine: whole training loops on a GPU's chip, one member per program.

The reference engine launches some forty kernels per step and moves parameters and moments through
memory each time. Here one Pallas program per member keeps them in registers for many steps: the
mini-batches of those steps are drawn in one call before it. The program's body is JAX code: the
network's layers, the loss and the optimizer of the reference engine, differentiated as usual, so
that there is one definition of each. Programs want shapes that are powers of two, so that layers
are filled up with zeros, which stay zero.

Between calls, states are those of the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.engines.engine import ByText, Engine, numbered, vmap_engine
from jaxsim.engines.lanes import NO_BATCH, unsupported_reason
from jaxsim.engines.pallas.shape import Shape
from jaxsim.training.batches import make_batches
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate, program_key
from jaxsim.training.train import State

LARGEST_LAYER = 128
"""Wider layers do not fit the registers of a program."""
MOST_DRAWN, DRAWN_BYTES = 64, 1 << 28


def pallas_unsupported_reason(experiment: Experiment) -> str:
    """Return why the pallas engine cannot run an experiment here; empty if it can."""
    if jax.default_backend() != "gpu":
        return "it is a program for GPUs"
    return shape_unsupported_reason(experiment)


def shape_unsupported_reason(experiment: Experiment) -> str:
    """Return why no GPU could run an experiment so; empty if one could."""
    reason = unsupported_reason(experiment)
    if reason:
        return reason
    if experiment.samples_per_step == 0:
        return NO_BATCH
    network, loss = experiment.network, experiment.problem.loss
    if loss.kind != "regression":
        return f"the loss {loss.name!r} looks labels up"
    if network.outputs & (network.outputs - 1):
        return f"{network.outputs} outputs are no power of two"
    if not network.trainable.all():
        return "some of its parameters are not trained"
    widest = max(network.inputs, *network.hidden, experiment.samples_per_step, network.outputs)
    if widest > LARGEST_LAYER:
        return f"{widest} units or samples, more than {LARGEST_LAYER}"
    return ""


def pallas_engine(experiment: Experiment, interpret: bool = False) -> Engine:
    """Return the engine; `interpret` runs its programs as JAX operations, on any device."""
    advance = _advance(ByText(experiment, program_key(experiment)), interpret)
    return vmap_engine(experiment)._replace(advance=numbered(experiment, advance))


@lru_cache(maxsize=64)
def _advance(by_text: ByText, interpret: bool) -> Callable[..., State]:
    # Pallas takes a while to import, and on a CPU nobody needs it.
    from jaxsim.engines.pallas.program import make_steps

    experiment = by_text.experiment
    batches, shape = make_batches(experiment), Shape(experiment)
    steps = make_steps(experiment, shape, interpret)
    ahead = _steps_drawn(experiment)

    def draw(state: State, shared: Any, begin: Array, last: Array) -> tuple[Any, Array, Array]:
        draw_batches = jax.vmap(batches.draw, in_axes=(None, 0, 0, None))
        if not batches.in_turn:
            x, y = jax.vmap(
                lambda n: draw_batches(shared, state.data, state.key, n)[1:], out_axes=1
            )(begin + jnp.arange(ahead))
            return state.data, x, y
        # The order of an epoch is carried from step to step, and may not run ahead of `last`.
        _, x, y = jax.eval_shape(draw_batches, shared, state.data, state.key, begin)

        def set_step(k: Array, drawn: Any) -> Any:
            data, all_x, all_y = drawn
            data, x, y = draw_batches(shared, data, state.key, begin + k)
            return data, all_x.at[:, k].set(x), all_y.at[:, k].set(y)

        room = tuple(jnp.zeros((len(a), ahead, *a.shape[1:]), a.dtype) for a in (x, y))
        return jax.lax.fori_loop(0, last - begin, set_step, (state.data, *room))

    def advance(state: State, shared: Any, first: Array, stop: Array, rate: LearningRate) -> State:
        def several(carry: Any) -> Any:
            begin, theta, optimizer, state = carry
            last = jnp.minimum(begin + ahead, stop)
            data, x, y = draw(state, shared, begin, last)
            x, y = shape.samples(x), shape.samples(y)
            kept = (theta, optimizer, state.diverged)
            theta, optimizer, diverged = steps(kept, x, y, begin, last - begin, rate)
            return last, theta, optimizer, state._replace(data=data, diverged=diverged)

        carry = (
            jnp.asarray(first, jnp.int32),
            shape.split(state.theta),
            jax.tree.map(shape.split_leaf, state.optimizer),
            state,
        )
        _, theta, optimizer, done = jax.lax.while_loop(lambda c: c[0] < stop, several, carry)
        structure = jax.tree.structure(state.optimizer)
        joined = [
            shape.join(new) if old.ndim == 2 else new
            for old, new in zip(
                jax.tree.leaves(state.optimizer), structure.flatten_up_to(optimizer), strict=True
            )
        ]
        optimizer = jax.tree.unflatten(structure, joined)
        return done._replace(theta=shape.join(theta), optimizer=optimizer)

    return jax.jit(advance, donate_argnums=0)


def _steps_drawn(experiment: Experiment) -> int:
    """Return how many steps' mini-batches are drawn in one call, for a block of 4096 members."""
    network = experiment.network
    numbers = 4096 * experiment.samples_per_step * (network.inputs + network.outputs)
    steps = max(1, min(MOST_DRAWN, DRAWN_BYTES // (numbers * experiment.dtype.itemsize)))
    return 1 << (steps.bit_length() - 1)
