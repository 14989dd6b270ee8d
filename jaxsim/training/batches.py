"""Where the mini-batches of a replicate come from.

Fresh draws from the law of (X, Y), the theorem's setting, or a finite training set, drawn once per
replicate or once for the study, sampled with replacement or by shuffled epochs. Step n draws from
fold_in(stream, n), so cutting a run into segments changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.problem.input_laws import finite_law, uniform_index
from jaxsim.problem.problem import Problem
from jaxsim.training import keys
from jaxsim.training.experiment import Experiment, TrainingSet

Samples = tuple[Array, Array]


class Batches(NamedTuple):
    """The mini-batches of one replicate as pure functions.

    Where mini-batches are rows of a table, engines may look the rows up themselves: then
    draw(...) = (carried, x[index], y[index]) with the table (x, y) and the index picked.

    Attributes:
        shared: key of the study -> data common to all replicates (a pytree, perhaps empty).
        init: replicate key -> data carried by the replicate (a pytree, perhaps empty).
        draw: (shared, carried, key, n) -> (carried, x [batch, inputs], y [batch, ...]), where the
            key is that of the replicate's stream of mini-batches.
        table: (shared, carried) -> (x [rows, inputs], y [rows, ...]); None if there is no table.
        pick: (carried, key, n) -> (carried, index [batch] int32).
        own_table: every replicate has its own.
        in_turn: what is carried changes, so that steps must be drawn one after the other.
        weights: n -> which rows of the mini-batch of step n count, [batch] of 0 and 1; None if all
            do in every step.
        shares: (shared, carried) -> the weight of each row of every mini-batch in the mean over it,
            [batch], with sum 1; None if rows count alike.
    """

    shared: Callable[[Array], Any]
    init: Callable[[Array], Any]
    draw: Callable[[Any, Any, Array, Array], tuple[Any, Array, Array]]
    table: Callable[[Any, Any], Samples] | None = None
    pick: Callable[[Any, Array, Array], tuple[Any, Array]] | None = None
    own_table: bool = False
    in_turn: bool = False
    weights: Callable[[Array], Array] | None = None
    shares: Callable[[Any, Any], Array] | None = None


def make_batches(experiment: Experiment) -> Batches:
    """Return the mini-batches of an experiment (not for batch_size = "population")."""
    if experiment.training_set is not None and experiment.training_set.counts:
        return _from_counts(experiment, experiment.training_set)
    if experiment.training_set is not None:
        return _from_training_set(experiment, experiment.training_set)
    law, noise = experiment.drawn_from.law, experiment.drawn_from.noise
    if law.finite is not None and noise.kind == "none":
        return _from_points(experiment)
    problem, size, dtype = experiment.drawn_from, experiment.batch_size, experiment.dtype
    assert isinstance(size, int)

    def draw(shared: Any, carried: Any, key: Array, n: Array) -> tuple[Any, Array, Array]:
        x, y = problem.sample(jax.random.fold_in(key, n), size, dtype)
        return carried, x, y

    return Batches(_nothing, _nothing, draw)


def _nothing(key: Array) -> Any:
    return ()


def _from_table(
    shared: Callable, init: Callable, table: Callable, pick: Callable, **flags: Any
) -> Batches:
    def draw(common: Any, carried: Any, key: Array, n: Array) -> tuple[Any, Array, Array]:
        x, y = table(common, carried)
        carried, index = pick(carried, key, n)
        return carried, x[index], y[index]

    return Batches(shared, init, draw, table, pick, **flags)


def _from_points(experiment: Experiment) -> Batches:
    """Fresh draws from finitely many points without noise."""
    problem, size, dtype = experiment.drawn_from, experiment.batch_size, experiment.dtype
    assert isinstance(size, int)
    law = finite_law(problem.law)
    assert law is not None
    rows = jnp.arange(len(law.finite[0]))

    def table(shared: Any, carried: Any) -> Samples:
        return problem.sample_at(rows, jax.random.key(0), dtype)

    def pick(carried: Any, key: Array, n: Array) -> tuple[Any, Array]:
        return carried, law.sample_index(jax.random.fold_in(key, n), size)

    return _from_table(_nothing, _nothing, table, pick)


def _from_training_set(experiment: Experiment, chosen: TrainingSet) -> Batches:
    problem, dtype, size = experiment.drawn_from, experiment.dtype, chosen.size
    batch = experiment.samples_per_step
    epochs = batch < size and not chosen.replacement
    keep = epochs and chosen.partial == "keep"
    per_epoch = -(-size // batch) if keep else size // batch

    def samples(key: Array) -> Samples:
        key = jax.random.fold_in(key, keys.TRAINING_SET)
        return (
            _distinct(problem, key, size, dtype)
            if chosen.distinct
            else problem.sample(key, size, dtype)
        )

    def shared(key: Array) -> Any:
        return samples(key) if chosen.scope == "study" else ()

    def init(key: Array) -> Any:
        samples_of_replicate = samples(key) if chosen.scope == "replicate" else ()
        return samples_of_replicate, (jnp.zeros(size, jnp.int32) if epochs else ())

    def table(shared: Any, carried: Any) -> Samples:
        return shared if chosen.scope == "study" else carried[0]

    def pick(carried: Any, key: Array, n: Array) -> tuple[Any, Array]:
        if batch == size and not chosen.replacement:
            return carried, jnp.arange(size, dtype=jnp.int32)
        if not epochs:
            return carried, uniform_index(jax.random.fold_in(key, n), size, batch)
        drawn, order = carried
        epoch, place = n // per_epoch, n % per_epoch
        order = jax.lax.cond(
            place == 0,
            lambda: jax.random.permutation(
                jax.random.fold_in(key, epoch), jnp.arange(size, dtype=jnp.int32)
            ),
            lambda: order,
        )
        if keep:
            # The last mini-batch is filled up with rows that do not count.
            return (drawn, order), order[(place * batch + jnp.arange(batch)) % size]
        return (drawn, order), jax.lax.dynamic_slice_in_dim(order, place * batch, batch)

    def weights(n: Array) -> Array:
        return ((n % per_epoch) * batch + jnp.arange(batch) < size).astype(dtype)

    own_table = chosen.scope == "replicate"
    batches = _from_table(shared, init, table, pick, own_table=own_table, in_turn=epochs)
    return batches._replace(weights=weights) if keep else batches


def _from_counts(experiment: Experiment, chosen: TrainingSet) -> Batches:
    """All points of a finite law in every step, each with its share of a training set."""
    problem, dtype = experiment.drawn_from, experiment.dtype
    law = finite_law(problem.law)
    assert law is not None
    points, probabilities = law.finite

    def drawn(key: Array) -> Array:
        key = jax.random.fold_in(key, keys.TRAINING_SET)
        p = jnp.asarray(probabilities, jnp.float64)
        counts = jax.random.multinomial(key, chosen.size, p, dtype=jnp.float64)
        return (counts / chosen.size).astype(dtype)

    def shared(key: Array) -> Any:
        return drawn(key) if chosen.scope == "study" else ()

    def init(key: Array) -> Any:
        return drawn(key) if chosen.scope == "replicate" else ()

    def shares(common: Any, carried: Any) -> Array:
        return common if chosen.scope == "study" else carried

    def draw(common: Any, carried: Any, key: Array, n: Array) -> tuple[Any, Array, Array]:
        x, y = problem.sample_at(jnp.arange(len(points)), jax.random.key(0), dtype)
        return carried, x, y

    return Batches(shared, init, draw, shares=shares)


def _distinct(problem: Problem, key: Array, size: int, dtype: jnp.dtype) -> Samples:
    """Draw points of a finite input law without replacement."""
    assert problem.law.finite is not None
    choice, noise = jax.random.split(key)
    index = jax.random.permutation(choice, problem.law.finite[0].shape[0])[:size]
    return problem.sample_at(index, noise, dtype)
