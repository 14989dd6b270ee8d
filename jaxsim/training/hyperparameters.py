"""What a compiled training program is given as data: learning rate and all other hyperparameters.

A program is a structure; experiments that differ in numbers of their optimizers only share it. What
engines call the learning rate may be the rate alone, a number: then everything else is built in, as
in a training of one's own; or it is the rate with the numbers of the optimizer behind it, a tuple.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxsim.optimizer import Optimizer
from jaxsim.optimizer.lifting import Lifted
from jaxsim.training.experiment import Experiment

LearningRate = Any
"""A number, or (learning rate, further numbers of the optimizer, ...)."""


def lifted_optimizer(experiment: Experiment) -> Lifted:
    """Return the optimizer of an experiment with its hyperparameters as data."""
    if experiment.optimizer.coordinatewise:
        # Any number of parameters has the same program; three have none of their own.
        parameters = jax.ShapeDtypeStruct((3,), experiment.precision)
    else:
        theta = jax.ShapeDtypeStruct((experiment.network.size,), experiment.dtype)
        parameters = jax.eval_shape(experiment.network.unravel, theta)
    leaves, structure = jax.tree.flatten(parameters)
    return _lifted(experiment.optimizer, experiment.precision, tuple(leaves), structure)


@lru_cache(maxsize=4096)
def _lifted(
    optimizer: Optimizer, precision: str, leaves: tuple[Any, ...], structure: Any
) -> Lifted:
    return optimizer.lifted(jax.tree.unflatten(structure, leaves), precision)


def with_numbers(experiment: Experiment, learning_rate: Array | float) -> tuple[Any, ...]:
    """Return what a compiled program is given: a learning rate and the optimizer's numbers."""
    return (jnp.asarray(learning_rate, experiment.dtype), *numbers_of(experiment))


def numbers_of(experiment: Experiment) -> tuple[np.ndarray, ...]:
    """Return the numbers of an experiment's optimizer besides the learning rate."""
    return lifted_optimizer(experiment).numbers


def program_key(experiment: Experiment) -> str:
    """Return a text: experiments of equal text share a compiled training program."""
    structure = hashlib.sha256(lifted_optimizer(experiment).text.encode()).hexdigest()
    return f"{experiment.training_structure} {structure}"


def certificate_key(experiment: Experiment) -> str:
    """Return a text: experiments of equal text share a compiled certificate."""
    optimizer = experiment.optimizer
    claims = optimizer.keeps_inactive, optimizer.forgets, optimizer.non_increasing
    return f"{program_key(experiment)} {claims}"


def drawing_key(experiment: Experiment) -> str:
    """Return a text: experiments of equal text share a compiled draw of Theta_0."""
    network = experiment.network
    if not network.scales:
        return experiment.initialization_key
    laws = [
        (s.fan_in, s.fan_out, s.weights.structure, s.biases and s.biases.structure)
        for s in network.layer_specs
    ]
    return f"scales as data {laws} {experiment.precision}"
