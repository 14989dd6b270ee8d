"""The optimizer's step as a function of flat leaves, for engines that write their own programs.

Step counts, bias corrections and hyperparameters are numbers, the same for all parameters and, at
one step, for all members; moments are arrays like theta. Which is which is decided here, once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import with_numbers
from jaxsim.training.train import make_transformation


@dataclass(frozen=True)
class UpdateTrace:
    """The optimizer's step of an experiment.

    Attributes:
        step: (learning rate with the optimizer's numbers, leaves of the state, gradient, theta) ->
            (movement, new leaves), pure.
        examples: arguments of the right shapes and dtypes.
        structure: of the optimizer's state.
        leaves: of the optimizer's state before the first step.
        is_number: whether a leaf is one number, or has an entry for every parameter.
    """

    step: Callable[[tuple[Any, ...], list[Array], Any, Any], tuple[Any, list[Array]]]
    examples: tuple[Any, ...]
    structure: Any
    leaves: list[Array]
    is_number: list[bool]


def trace_update(experiment: Experiment, theta: Any, xla: bool = True) -> UpdateTrace:
    """Return the optimizer's step for parameters of the form of `theta`, an array or a tree.

    Args:
        experiment: whose optimizer it is.
        theta: example of the parameters.
        xla: whether XLA compiles the step.
    """
    transformation = make_transformation(experiment, xla)
    rate = with_numbers(experiment, 0.0)
    leaves, structure = jax.tree.flatten(transformation(rate).init(theta))

    def step(rate: tuple[Any, ...], leaves: list[Array], gradient: Any, theta: Any) -> Any:
        state = jax.tree.unflatten(structure, leaves)
        movement, state = transformation(rate).update(gradient, state, theta)
        return (
            jax.tree.map(lambda m: jnp.asarray(m, experiment.dtype), movement),
            jax.tree.leaves(state),
        )

    return UpdateTrace(
        step=step,
        examples=(rate, leaves, theta, theta),
        structure=structure,
        leaves=leaves,
        is_number=[leaf.shape == () for leaf in leaves],
    )
