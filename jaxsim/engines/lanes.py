"""Members in lanes: groups of members trained in cache, one to each lane of a SIMD register.

Arrays end in a short axis of members, and parameters and moments are one flat vector [P * lanes]
per group. A block of `width` members is a sequence of groups, each of which draws the mini-batches
of many steps in one call (or which rows of a table they are) and then trains on them. How it trains
is the engine's affair: unrolled sums in XLA (`unrolled`), or a compiled program (`native`).
Mini-batches are the ones of the reference engine, so that all engines train alike up to rounding.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxsim.engines.engine import (
    ByText,
    Engine,
    certifying,
    drawing_of,
    evaluation,
    numbered,
)
from jaxsim.errors import InputError
from jaxsim.network.forward_passes import ForwardPasses
from jaxsim.network.network import Network
from jaxsim.training import keys
from jaxsim.training.batches import Batches, make_batches
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate, certificate_key, program_key
from jaxsim.training.threefry import rolled, unrolled
from jaxsim.training.train import State, make_transformation

LANES = (16, 32)
"""Groups that are worth measuring."""
DRAWN_BYTES = 1 << 18
"""Mini-batches of many steps are drawn in one call, as long as they stay in cache."""
MOST_DRAWN = 64
NO_BATCH = "gradients of the true risk come from no mini-batch"
"""Why an engine that knows mini-batches only cannot train on them."""


class Drawn(NamedTuple):
    """The mini-batches of several steps for a group of lanes.

    Attributes:
        x: [step, lane, batch, in], or a table [rows, in] or [lane, rows, in].
        y: [step, lane, batch, ...], or a table [rows, ...] or [lane, rows, ...].
        rows: of the tables, [step, lane, batch] int32; None if x and y are no tables.
    """

    x: Array
    y: Array
    rows: Array | None


Steps = Callable[[State, Drawn | None, Array, Array, LearningRate], State]
"""(state of a group, mini-batches, number of the first step, how many of them to take, learning
rate with the optimizer's numbers) -> state of the group, its data untouched. Gradients of the true
risk need no mini-batches."""

# Full vectors are worth more here than the clock frequency they may cost.
_OPTIONS = {"xla_cpu_prefer_vector_width": 512} if platform.machine() == "x86_64" else {}


def unsupported_reason(experiment: Experiment) -> str:
    """Return why an experiment cannot be trained in lanes; empty if it can."""
    network = experiment.network
    if not network.fully_connected or network.activation is None:
        return "the network is a module of the user's own, or its slopes are learned"
    if not experiment.optimizer.coordinatewise:
        return f"the optimizer {experiment.optimizer.name!r} looks at whole layers"
    chosen = experiment.training_set
    if chosen is not None and chosen.partial == "keep":
        return "the last mini-batch of an epoch is smaller (training.set.partial = keep)"
    if chosen is not None and chosen.counts:
        return "the samples are counted, not held (training.set.counts = true)"
    return ""


def in_lanes(
    experiment: Experiment,
    lanes: int,
    make_steps: Callable[[Experiment, int], Steps],
    make_forward_passes: Callable[[Network], ForwardPasses] | None = None,
    drawing_keys: Callable[[Array], Array] = unrolled,
    form: str = "unrolled",
) -> Engine:
    """Return the engine with groups of `lanes` members; the width must be a multiple of it.

    Args:
        experiment: one without an `unsupported_reason`.
        lanes: members of a group.
        make_steps: how a group is trained.
        make_forward_passes: the network's passes over points for risks; None for the plain ones.
        drawing_keys: keys -> the same keys, for whoever draws their bits.
        form: says which of these functions they are, and what their programs are compiled by.
    """
    draw = drawing_of(experiment)
    observe, gradient_norm = evaluation(
        ByText(experiment, experiment.evaluation_key), make_forward_passes, form
    )
    by_program = ByText(experiment, program_key(experiment))
    shared, start, advance, theta, members, resample = _training(
        by_program, lanes, make_steps, drawing_keys, form
    )
    start = numbered(experiment, start)

    def init(key: Array, replicates: Array, learning_rate: Array) -> State:
        if replicates.shape[0] % lanes:
            raise InputError(
                f"execution.width = {replicates.shape[0]} is not accepted: it should be a multiple "
                f"of {lanes} lanes"
            )
        return start(*draw(key, replicates), learning_rate)

    by_certificate = ByText(experiment, certificate_key(experiment))
    certificate = numbered(experiment, certifying(by_certificate, make_forward_passes, form))
    return Engine(
        shared=shared,
        init=init,
        advance=numbered(experiment, advance),
        theta=lambda state: theta(state.theta),
        observe=observe,
        gradient_norm=gradient_norm,
        certificate=lambda state, rate: certificate(members(state), rate),
        diverged=lambda state: state.diverged.reshape(-1),
        resample=resample,
    )


@lru_cache(maxsize=64)
def _training(
    by_text: ByText,
    lanes: int,
    make_steps: Callable[[Experiment, int], Steps],
    drawing_keys: Callable[[Array], Array],
    form: str,
) -> tuple[Callable, ...]:
    """Return (shared, start, advance, theta by member, State by member, resample), compiled."""
    experiment = by_text.experiment
    batches = make_batches(experiment) if experiment.samples_per_step else None
    shared, init_data = (_nothing, _nothing) if batches is None else (batches.shared, batches.init)

    def start() -> Callable:
        transformation = make_transformation(experiment)

        def run(members: Array, theta: Array, learning_rate: LearningRate) -> State:
            grouped = members.reshape(-1, lanes)
            theta = _in_groups(theta, lanes)
            return State(
                theta=theta,
                optimizer=jax.vmap(transformation(learning_rate).init)(theta),
                data=jax.vmap(jax.vmap(init_data))(grouped),
                diverged=jnp.full(grouped.shape, -1, jnp.int32),
                key=jax.vmap(jax.vmap(keys.mini_batches))(grouped),
            )

        return run

    def advance() -> Callable:
        steps = make_steps(experiment, lanes)
        one_group = (
            _without_batches(steps)
            if batches is None
            else _make_advance(experiment, batches, lanes, steps, drawing_keys)
        )

        def run(
            state: State, common: Any, first: ArrayLike, stop: ArrayLike, rate: LearningRate
        ) -> State:
            return jax.lax.map(lambda s: one_group(s, common, first, stop, rate), state)

        return run

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

    def resample(state: State, ancestors: Array, streams: Array) -> State:
        def theta_like(leaf: Array) -> Array:
            # Scalars, such as the number of the step, are alike in all groups.
            return leaf if leaf.ndim == 1 else _in_groups(_by_member(leaf, lanes)[ancestors], lanes)

        def by_lane(leaf: Array) -> Array:
            return leaf.reshape(-1, *leaf.shape[2:])[ancestors].reshape(leaf.shape)

        return State(
            theta=theta_like(state.theta),
            optimizer=jax.tree.map(theta_like, state.optimizer),
            data=jax.tree.map(by_lane, state.data),
            diverged=by_lane(state.diverged),
            key=streams.reshape(state.key.shape),
        )

    def kept(make: Callable[[], Callable], name: str, **options: Any) -> Callable:
        return by_text.kept(make, f"lanes {name}", lanes, **options)

    return (
        kept(lambda: shared, "shared"),
        kept(start, "start"),
        kept(advance, f"advance {form}", donate_argnums=0, compiler_options=_OPTIONS),
        kept(lambda: lambda theta: _by_member(theta, lanes), "theta"),
        kept(lambda: members, "members"),
        kept(lambda: resample, "resample"),
    )


def _in_groups(leaf: Array, lanes: int) -> Array:
    """Return [member, P] as [group, P * lanes]."""
    groups = leaf.shape[0] // lanes
    return jnp.swapaxes(leaf.reshape(groups, lanes, -1), 1, 2).reshape(groups, -1)


def _by_member(leaf: Array, lanes: int) -> Array:
    """Return [group, P * lanes] as [member, P]."""
    groups = leaf.shape[0]
    return jnp.swapaxes(leaf.reshape(groups, -1, lanes), 1, 2).reshape(groups * lanes, -1)


def _nothing(key: Array) -> Any:
    return ()


def _without_batches(steps: Steps) -> Callable[..., State]:
    """Return the steps first, ..., stop - 1 of one group of lanes."""

    def advance(state: State, shared: Any, first: Array, stop: Array, rate: LearningRate) -> State:
        first = jnp.asarray(first, jnp.int32)
        return steps(state, None, first, stop - first, rate)

    return advance


def _make_advance(
    experiment: Experiment,
    batches: Batches,
    lanes: int,
    steps: Steps,
    drawing_keys: Callable[[Array], Array],
) -> Callable[..., State]:
    """Return the steps first, ..., stop - 1 of one group of lanes."""
    ahead = _steps_drawn(experiment, batches, lanes)

    def fresh(state: State, shared: Any, begin: Array) -> Drawn:
        def one(step: Array) -> tuple[Array, Array]:
            return jax.vmap(lambda key: batches.draw(shared, (), key, step)[1:])(state.key)

        return Drawn(*jax.vmap(one)(begin + jnp.arange(ahead)), None)

    def rows(state: State, begin: Array, last: Array) -> tuple[Any, Array]:
        assert batches.pick is not None
        pick = jax.vmap(batches.pick, in_axes=(0, 0, None))
        if not batches.in_turn:
            index = jax.vmap(lambda n: pick(state.data, state.key, n)[1])(begin + jnp.arange(ahead))
            return state.data, index

        # What is carried may not run ahead of `last`.
        def one(k: Array, picked: tuple[Any, Array]) -> tuple[Any, Array]:
            data, index = pick(picked[0], state.key, begin + k)
            return data, picked[1].at[k].set(index)

        room = jnp.zeros((ahead, lanes, experiment.samples_per_step), jnp.int32)
        return jax.lax.fori_loop(0, last - begin, one, (state.data, room))

    def draw(state: State, shared: Any, begin: Array, last: Array) -> tuple[Any, Drawn]:
        if batches.table is None:
            return state.data, jax.lax.optimization_barrier(fresh(state, shared, begin))
        one_table = batches.table
        table = (
            jax.vmap(lambda data: one_table(shared, data))
            if batches.own_table
            else (lambda data: one_table(shared, data))
        )
        data, index = rows(state, begin, last)
        return data, Drawn(*table(state.data), jax.lax.optimization_barrier(index))

    def advance(state: State, shared: Any, first: Array, stop: Array, rate: LearningRate) -> State:
        state = state._replace(key=drawing_keys(state.key))

        def several(carry: tuple[Array, State]) -> tuple[Array, State]:
            begin, state = carry
            last = jnp.minimum(begin + ahead, stop)
            data, drawn = draw(state, shared, begin, last)
            state = steps(state, drawn, begin, last - begin, rate)
            return last, state._replace(data=data)

        first = jnp.asarray(first, jnp.int32)
        key = state.key
        _, state = jax.lax.while_loop(lambda carry: carry[0] < stop, several, (first, state))
        return state._replace(key=rolled(key))

    return advance


def _steps_drawn(experiment: Experiment, batches: Batches, lanes: int) -> int:
    """Return how many steps' mini-batches are drawn in one call."""
    network = experiment.network
    numbers = network.inputs + network.outputs if batches.table is None else 1
    step = lanes * experiment.samples_per_step * numbers * experiment.dtype.itemsize
    return max(1, min(MOST_DRAWN, DRAWN_BYTES // step))
