"""The pallas engine: whole training loops on a GPU's chip, one member per program.

The plain form launches some forty kernels per step and moves parameters and moments through memory
each time. Here one Pallas program per member keeps them in registers for many steps: the mini-
batches of those steps are drawn in one call before it. The program's body is JAX code: the
network's layers, the loss and the optimizer of the reference engine, differentiated as usual, so
that there is one definition of each. Programs want shapes that are powers of two, so that layers
are filled up with zeros, which stay zero.

Between calls, states are those of the reference engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxsim.network.network import Layer
from jaxsim.simulation.batches import make_batches
from jaxsim.simulation.engine import ByText, Engine, vmap_engine
from jaxsim.simulation.experiment import Experiment
from jaxsim.simulation.lanes import obstacle
from jaxsim.simulation.train import State, make_transformation

SMALLEST_PRODUCT = 16
"""Sides of the matrices that a GPU's matrix product takes at least."""
LARGEST_SUM = 4096
"""Terms up to which a product with a short side is a sum of broadcast products."""
LARGEST_LAYER = 128
"""Wider layers do not fit the registers of a program."""
MOST_DRAWN, DRAWN_BYTES = 64, 1 << 28


def pallas_obstacle(experiment: Experiment) -> str:
    """Return why the pallas engine cannot run an experiment here; empty if it can."""
    if jax.default_backend() != "gpu":
        return "it is a program for GPUs"
    return shape_obstacle(experiment)


def shape_obstacle(experiment: Experiment) -> str:
    """Return why no GPU could run an experiment in this form; empty if one could."""
    reason = obstacle(experiment)
    if reason:
        return reason
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
    advance = _advance(ByText(experiment, experiment.program), interpret)
    return vmap_engine(experiment)._replace(advance=advance)


@lru_cache(maxsize=64)
def _advance(by_text: ByText, interpret: bool) -> Callable[..., State]:
    experiment = by_text.experiment
    batches, shape = make_batches(experiment), _Shape(experiment)
    steps = _make_steps(experiment, shape, interpret)
    ahead = _steps_drawn(experiment)

    def draw(state: State, shared: Any, begin: Array, last: Array) -> tuple[Any, Array, Array]:
        one = jax.vmap(batches.draw, in_axes=(None, 0, 0, None))
        if not batches.in_turn:
            x, y = jax.vmap(lambda n: one(shared, state.data, state.key, n)[1:], out_axes=1)(
                begin + jnp.arange(ahead)
            )
            return state.data, x, y
        # The order of an epoch is carried from step to step, and may not run ahead of `last`.
        _, x, y = jax.eval_shape(one, shared, state.data, state.key, begin)

        def set_step(k: Array, drawn: Any) -> Any:
            data, all_x, all_y = drawn
            data, x, y = one(shared, data, state.key, begin + k)
            return data, all_x.at[:, k].set(x), all_y.at[:, k].set(y)

        room = tuple(jnp.zeros((len(a), ahead, *a.shape[1:]), a.dtype) for a in (x, y))
        return jax.lax.fori_loop(0, last - begin, set_step, (state.data, *room))

    def advance(state: State, shared: Any, first: Array, stop: Array, rate: Array) -> State:
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
        form = jax.tree.structure(state.optimizer)
        joined = [
            shape.join(new) if old.ndim == 2 else new
            for old, new in zip(
                jax.tree.leaves(state.optimizer), form.flatten_up_to(optimizer), strict=True
            )
        ]
        optimizer = jax.tree.unflatten(form, joined)
        return done._replace(theta=shape.join(theta), optimizer=optimizer)

    return jax.jit(advance, donate_argnums=0)


def _steps_drawn(experiment: Experiment) -> int:
    """Return how many steps' mini-batches are drawn in one call, for a block of 4096 members."""
    network = experiment.network
    numbers = 4096 * experiment.samples_per_step * (network.inputs + network.outputs)
    steps = max(1, min(MOST_DRAWN, DRAWN_BYTES // (numbers * experiment.dtype.itemsize)))
    return 1 << (steps.bit_length() - 1)


class _Shape:
    """Layers filled up with zeros to what a program takes.

    Attributes:
        batch: samples per step, filled up.
        layers: (rows, columns) of the weights of each layer, filled up.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.specs = experiment.network.layer_specs
        self.batch = max(SMALLEST_PRODUCT, _power_of_two(experiment.samples_per_step))
        inputs, hidden = experiment.network.inputs, experiment.network.hidden
        wide = [max(SMALLEST_PRODUCT, _power_of_two(n)) for n in hidden]
        first = _power_of_two(inputs)
        if not self.is_sum(first, wide[0] if wide else 1):
            first = max(SMALLEST_PRODUCT, first)
        sides = [first, *wide, experiment.network.outputs]
        self.layers = list(pairwise(sides))

    def is_sum(self, rows: int, columns: int) -> bool:
        """Return whether a product is a sum of broadcast products."""
        short = min(rows, columns) < SMALLEST_PRODUCT
        return short and self.batch * rows * columns <= LARGEST_SUM

    def samples(self, array: Array) -> Array:
        """Fill up [member, step, batch, features]."""
        missing = self.batch - array.shape[2]
        features = array.shape[3]
        if features == self.experiment.network.inputs and features != self.layers[0][0]:
            features = self.layers[0][0]
        room = [(0, 0), (0, 0), (0, missing), (0, features - array.shape[3])]
        return jnp.pad(array, room)

    def split(self, theta: Array) -> tuple[tuple[Array, ...], ...]:
        """Cut [member, P] into (weights [member, rows, columns], biases [member, 1, columns])."""
        found, start = [], 0
        for spec, (rows, columns) in zip(self.specs, self.layers, strict=True):
            stop = start + spec.fan_in * spec.fan_out
            weights = theta[:, start:stop].reshape(-1, spec.fan_in, spec.fan_out)
            room = [(0, 0), (0, rows - spec.fan_in), (0, columns - spec.fan_out)]
            parts = [jnp.pad(weights, room)]
            start = stop
            if spec.biases is not None:
                start += spec.fan_out
                biases = theta[:, None, stop:start]
                parts.append(jnp.pad(biases, [(0, 0), (0, 0), (0, columns - spec.fan_out)]))
            found.append(tuple(parts))
        return tuple(found)

    def split_leaf(self, leaf: Array) -> Any:
        """Cut a leaf of the optimizer's state like theta, unless it is one number per member."""
        return leaf if leaf.ndim == 1 else self.split(leaf)

    def join(self, layers: Any) -> Array:
        """Return [member, P] of what `split` returns."""
        parts = []
        for spec, layer in zip(self.specs, layers, strict=True):
            weights = layer[0][:, : spec.fan_in, : spec.fan_out]
            parts.append(weights.reshape(len(weights), -1))
            parts += [biases[:, 0, : spec.fan_out] for biases in layer[1:]]
        return jnp.concatenate(parts, axis=1)


def _make_steps(experiment: Experiment, shape: _Shape, interpret: bool) -> Callable[..., Any]:
    """Return (kept, x, y, first, count, rate) -> kept: several steps of all members.

    `kept` is (layers, optimizer's state, first bad steps), all with the member axis first.
    """
    loss_of, update = _make_loss(experiment, shape), _Update(experiment, shape)

    def step(kept: Any, x: Array, y: Array, n: Array, uniform: list[Array]) -> Any:
        theta, moments, diverged = kept
        loss, gradient = jax.value_and_grad(loss_of)(theta, x, y)
        gradient = _without_filling(gradient, shape)
        movement, moments = update.varying(uniform, gradient, moments, theta)
        theta = jax.tree.map(lambda t, m: t + m.astype(t.dtype), theta, movement)
        lost = (diverged < 0) & ~(jnp.abs(loss) < jnp.inf)
        return theta, moments, jnp.where(lost, n, diverged)

    def steps(kept: Any, x: Array, y: Array, first: Array, count: Array, rate: Array) -> Any:
        theta, optimizer, diverged = kept
        numbers, moments = update.parts(optimizer)
        numbers, uniform = update.uniform(rate, numbers, x.shape[1], count)
        leaves, form = jax.tree.flatten((theta, moments, diverged))
        shared = [jnp.stack([first, count]).astype(jnp.int32), *uniform]
        ahead = 2 + len(shared)

        def program(*references: Any) -> None:
            bounds, *uniform = references[: len(shared)]
            x, y = references[len(shared) : ahead]
            given, results = references[ahead : ahead + len(leaves)], references[-len(leaves) :]
            begin = bounds[0]

            def one(k: Array, values: Sequence[Array]) -> list[Array]:
                kept = jax.tree.unflatten(form, values)
                return jax.tree.leaves(step(kept, x[k], y[k], begin + k, [u[k] for u in uniform]))

            values = jax.lax.fori_loop(jnp.int32(0), bounds[1], one, [g[...] for g in given])
            for result, value in zip(results, values, strict=True):
                result[...] = value

        def per_member(array: Array) -> pl.BlockSpec:
            inner = array.ndim - 1
            return pl.BlockSpec((None, *array.shape[1:]), lambda m: (m, *(0,) * inner))

        def common(array: Array) -> pl.BlockSpec:
            return pl.BlockSpec(array.shape, lambda m: (0,) * array.ndim)

        found = pl.pallas_call(
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
        theta, moments, diverged = jax.tree.unflatten(form, found)
        return theta, update.whole(numbers, moments, len(x)), diverged

    return steps


class _Update:
    """The optimizer's step in two parts: numbers common to all parameters, and the rest.

    Step counts, bias corrections and learning rates do not differ from member to member at a step:
    they are computed once for many steps, in the precision they ask for. What is left is arithmetic
    on arrays. The parts are the operations of one trace that depend on no array, and the others.
    """

    def __init__(self, experiment: Experiment, shape: _Shape) -> None:
        transformation = make_transformation(experiment)
        rate = jnp.zeros((), experiment.dtype)
        theta = jax.tree.map(lambda a: a[0], shape.split(jnp.zeros((1, experiment.network.size))))
        theta = jax.tree.map(lambda a: a.astype(experiment.dtype), theta)
        state = transformation(rate).init(theta)
        leaves, self.form = jax.tree.flatten(state)
        self.is_number = [leaf.shape == () for leaf in leaves]
        closed = jax.make_jaxpr(
            lambda rate, leaves, gradient, theta: transformation(rate).update(
                gradient, jax.tree.unflatten(self.form, leaves), theta
            )
        )(rate, leaves, theta, theta)
        self.movement = jax.tree.structure(theta)
        jaxpr = closed.jaxpr
        flags = [True, *self.is_number] + [False] * (len(jaxpr.invars) - 1 - len(leaves))
        pairs = list(zip(jaxpr.invars, flags, strict=True))
        numbers = [v for v, flag in pairs if flag]
        arrays = [v for v, flag in pairs if not flag]
        known, first, second = {*numbers, *jaxpr.constvars}, [], []
        for equation in jaxpr.eqns:
            uniform = all(_is_literal(a) or a in known for a in equation.invars)
            (first if uniform else second).append(equation)
            known |= set(equation.outvars) if uniform else set()
        asked = [a for e in second for a in e.invars] + jaxpr.outvars
        passed = [*{a: None for a in asked if not _is_literal(a) and a in known}]
        split = self.movement.num_leaves
        pairs = list(zip(jaxpr.outvars[split:], self.is_number, strict=True))
        new_numbers = [v for v, number in pairs if number]
        new_arrays = [v for v, number in pairs if not number]
        consts, extra = list(closed.consts), list(jaxpr.constvars)
        self.first = _piece(jaxpr, first, [*extra, *numbers], [*new_numbers, *passed], consts)
        self.second = _piece(
            jaxpr, second, [*passed, *arrays], [*jaxpr.outvars[:split], *new_arrays], []
        )

    def parts(self, optimizer: Any) -> tuple[list[Array], list[Array]]:
        """Return (numbers of the first member, arrays of all members) of an optimizer's state."""
        leaves = self.form.flatten_up_to(optimizer)
        leaves = [leaf for part in leaves for leaf in jax.tree.leaves(part)]
        return (
            [a[0] for a, number in zip(leaves, self.is_number, strict=True) if number],
            [a for a, number in zip(leaves, self.is_number, strict=True) if not number],
        )

    def whole(self, numbers: list[Array], arrays: list[Array], members: int) -> Any:
        """Return the optimizer's state of all members."""
        numbers, arrays = list(numbers), list(arrays)
        leaves = [
            jnp.full(members, numbers.pop(0)) if number else arrays.pop(0)
            for number in self.is_number
        ]
        return jax.tree.unflatten(self.form, leaves)

    def uniform(
        self, rate: Array, numbers: list[Array], most: int, count: Array
    ) -> tuple[list[Array], list[Array]]:
        """Return (numbers after `count` steps, what is passed on at each of `most` steps)."""

        def one(numbers: list[Array], k: Array) -> tuple[list[Array], list[Array]]:
            found = self.first(rate, *numbers)
            new, passed = found[: len(numbers)], found[len(numbers) :]
            kept = [jnp.where(k < count, n, o) for n, o in zip(new, numbers, strict=True)]
            return kept, passed

        return jax.lax.scan(one, numbers, jnp.arange(most))

    def varying(
        self, uniform: list[Array], gradient: Any, moments: list[Array], theta: Any
    ) -> tuple[Any, list[Array]]:
        """Return (movement, new arrays of the state) of one member."""
        found = self.second(*uniform, *moments, *jax.tree.leaves(gradient), *jax.tree.leaves(theta))
        split = self.movement.num_leaves
        return jax.tree.unflatten(self.movement, found[:split]), found[split:]


def _is_literal(atom: Any) -> bool:
    return hasattr(atom, "val")


def _piece(
    jaxpr: Any, equations: list[Any], inputs: list[Any], outputs: list[Any], consts: list[Any]
) -> Callable[..., list[Array]]:
    """Return some equations of a jaxpr as a function; the first inputs are the constants."""
    info = jaxpr.debug_info.with_unknown_names()
    piece = jaxpr.replace(
        eqns=equations, constvars=[], invars=inputs, outvars=outputs, debug_info=info
    )
    run = jaxpr_as_fun(ClosedJaxpr(piece, []))
    return lambda *arguments: run(*consts, *arguments)


def _make_loss(experiment: Experiment, shape: _Shape) -> Callable[[Any, Array, Array], Array]:
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


def _without_filling(gradient: Any, shape: _Shape) -> Any:
    """Set the gradient of what fills layers up to zero: an activation need not vanish at 0."""
    found = []
    for spec, layer in zip(shape.specs, gradient, strict=True):
        weights, *biases = layer
        if weights.shape[0] > spec.fan_in:
            rows = jax.lax.broadcasted_iota(jnp.int32, weights.shape, 0)
            weights = jnp.where(rows < spec.fan_in, weights, 0)
        found.append((weights, *biases))
    return tuple(found)


def _warps(shape: _Shape) -> int:
    """Return the warps of a program: some sixteen numbers of the widest layer per thread."""
    widest = max(max(sides) for sides in shape.layers)
    return max(1, min(8, shape.batch * widest // 512))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
