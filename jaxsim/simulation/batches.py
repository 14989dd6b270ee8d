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

from jaxsim.problem.problem import Problem
from jaxsim.simulation import keys
from jaxsim.simulation.experiment import Experiment, TrainingSet

Samples = tuple[Array, Array]


class Batches(NamedTuple):
    """The mini-batches of one replicate as pure functions.

    Attributes:
        shared: key of the study -> data common to all replicates (a pytree, perhaps empty).
        init: replicate key -> data carried by the replicate (a pytree, perhaps empty).
        draw: (shared, carried, key, n) -> (carried, x [batch, inputs], y [batch, ...]), where the
            key is that of the replicate's stream of mini-batches.
    """

    shared: Callable[[Array], Any]
    init: Callable[[Array], Any]
    draw: Callable[[Any, Any, Array, Array], tuple[Any, Array, Array]]


def make_batches(experiment: Experiment) -> Batches:
    """Return the mini-batches of an experiment (not for batch_size = "population")."""
    if experiment.training_set is None:
        return _fresh(experiment)
    return _from_training_set(experiment, experiment.training_set)


def _fresh(experiment: Experiment) -> Batches:
    problem, size, dtype = experiment.problem, experiment.batch_size, experiment.dtype
    assert isinstance(size, int)

    def draw(shared: Any, carried: Any, key: Array, n: Array) -> tuple[Any, Array, Array]:
        x, y = problem.sample(jax.random.fold_in(key, n), size, dtype)
        return carried, x, y

    return Batches(lambda key: (), lambda key: (), draw)


def _from_training_set(experiment: Experiment, chosen: TrainingSet) -> Batches:
    problem, dtype, size = experiment.problem, experiment.dtype, chosen.size
    batch = size if experiment.batch_size == "full" else experiment.batch_size
    assert isinstance(batch, int)
    epochs = batch < size and not chosen.replacement
    per_epoch = size // batch

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
        own = samples(key) if chosen.scope == "replicate" else ()
        return own, (jnp.zeros(size, jnp.int32) if epochs else ())

    def draw(shared: Any, carried: Any, key: Array, n: Array) -> tuple[Any, Array, Array]:
        own, order = carried
        x, y = shared if chosen.scope == "study" else own
        if batch == size and not chosen.replacement:
            return carried, x, y
        if not epochs:
            index = jax.random.randint(jax.random.fold_in(key, n), (batch,), 0, size)
            return carried, x[index], y[index]
        epoch, place = n // per_epoch, n % per_epoch
        order = jax.lax.cond(
            place == 0,
            lambda: jax.random.permutation(
                jax.random.fold_in(key, epoch), jnp.arange(size, dtype=jnp.int32)
            ),
            lambda: order,
        )
        index = jax.lax.dynamic_slice_in_dim(order, place * batch, batch)
        return (own, order), x[index], y[index]

    return Batches(shared, init, draw)


def _distinct(problem: Problem, key: Array, size: int, dtype: jnp.dtype) -> Samples:
    """Draw points of a finite input law without replacement."""
    assert problem.law.finite is not None
    choice, noise = jax.random.split(key)
    index = jax.random.permutation(choice, problem.law.finite[0].shape[0])[:size]
    return problem.sample_at(index, noise, dtype)
