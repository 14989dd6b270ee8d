"""One training run as pure functions: Theta_n = Theta_{n-1} - Phi_n(G_1, ..., G_n).

Nothing here knows of devices or files. A run is cut into segments [start, stop) of steps
with dynamic bounds, so that one compiled program serves all checkpoints; cutting elsewhere does
not change one bit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxsim.risk import make_risk
from jaxsim.training import keys
from jaxsim.training.batch_sums import add_like_this, with_sums_written_out
from jaxsim.training.batches import make_batches
from jaxsim.training.draws import with_bits_apart
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate, lifted_optimizer

LOOKED_EVERY = 9
"""Steps without gradients between looks whether parameters have come to rest.

From the first look on, the methods that forget move less and less; in the steps before it a bias
correction may outgrow the decay.
"""


class State(NamedTuple):
    """What a replicate carries from step to step.

    Attributes:
        theta: parameters [P] in the training precision.
        optimizer: state of the gradient transformation.
        data: training set and shuffling order of the replicate, if it has any.
        diverged: first step whose mini-batch loss was not finite, -1 if none.
        key: of the replicate's stream of mini-batches.
    """

    theta: Array
    optimizer: Any
    data: Any
    diverged: Array
    key: Array


class Train(NamedTuple):
    """A training run.

    A learning rate is a number; or a tuple that begins with it and goes on with the numbers of the
    optimizer, which are built in otherwise (see `hyperparameters`).

    Attributes:
        shared: study key -> data common to all replicates.
        draw: replicate key -> Theta_0 [P]; the same for all optimizers of a network. Laws that
            depend on an experiment's `draw_data` take them as `data`, those with scales as
            `scales`.
        start: (replicate key, Theta_0, learning rate) -> State at step 0.
        advance: (state, shared, first, stop, learning rate) -> state after steps first..stop-1.
        coast: (states of members at the same step, learning rate, limit, n) -> (path [members, n],
            settled [members, n] bool): how far the memory of a coordinatewise optimizer alone
            still carries each of the first n parameters if all further gradients vanish (the length
            of its path), and whether it has come to rest.
    """

    shared: Callable[[Array], Any]
    draw: Callable[..., Array]
    start: Callable[[Array, Array, LearningRate], State]
    advance: Callable[[State, Any, Array, Array, LearningRate], State]
    coast: Callable[[State, LearningRate, int, int], tuple[Array, Array]]


def make_train(experiment: Experiment, for_cpu: bool = False) -> Train:
    """Return the training run of an experiment as pure functions of one replicate.

    Args:
        experiment: what is trained.
        for_cpu: write steps such that XLA compiles them well for CPUs; the numbers are the same.
    """
    network, dtype = experiment.network, experiment.dtype
    trainable = None if network.trainable.all() else network.trainable
    loss_and_gradient, shared, init_data = _gradient_oracle(experiment, for_cpu)
    ravel = _ravel(experiment)

    transformation = make_transformation(experiment)

    def update(gradient: Array, state: Any, theta: Array, rate: LearningRate) -> tuple[Array, Any]:
        free = None if trainable is None else jnp.asarray(trainable[: theta.shape[-1]])
        if free is not None:
            gradient = jnp.where(free, gradient, 0)
        movement: Any
        if experiment.optimizer.coordinatewise:
            movement, state = transformation(rate).update(gradient, state, theta)
        else:
            tree, parameters = network.unravel(gradient), network.unravel(theta)
            moved, state = transformation(rate).update(tree, state, parameters)
            movement = ravel(moved)
        if free is not None:
            movement = jnp.where(free, movement, 0)
        return movement.astype(dtype), state

    def draw(key: Array, **data: Array) -> Array:
        return network.init(jax.random.fold_in(key, keys.INITIALIZATION), **data).astype(dtype)

    def start(key: Array, theta: Array, learning_rate: LearningRate) -> State:
        parameters = theta if experiment.optimizer.coordinatewise else network.unravel(theta)
        return State(
            theta=theta,
            optimizer=transformation(learning_rate).init(parameters),
            data=init_data(key),
            diverged=jnp.asarray(-1, jnp.int32),
            key=keys.mini_batches(key),
        )

    def advance(
        state: State, shared: Any, first: Array, stop: Array, learning_rate: LearningRate
    ) -> State:
        def step(n: Array, state: State) -> State:
            data, loss, gradient = loss_and_gradient(state, shared, n)
            movement, memory = update(gradient, state.optimizer, state.theta, learning_rate)
            first = (state.diverged < 0) & ~jnp.isfinite(loss)
            return State(
                theta=state.theta + movement,
                optimizer=memory,
                data=data,
                diverged=jnp.where(first, n.astype(jnp.int32), state.diverged),
                key=state.key,
            )

        return jax.lax.fori_loop(first, stop, step, state)

    def coast(
        states: State, learning_rate: LearningRate, limit: int, parameters: int
    ) -> tuple[Array, Array]:
        # Members are at the same step, so that they share what is one number for all parameters.
        memory = jax.tree.map(
            lambda a: a[0] if a.ndim == 1 else a[:, :parameters], states.optimizer
        )
        start = states.theta[:, :parameters]

        def moving(carry: Any) -> Array:
            return (carry[0] < limit) & ~carry[-1].all()

        def step(_: Any, carry: Any) -> Any:
            theta, memory, path, _ = carry
            movement, memory = update(jnp.zeros_like(theta), memory, theta, learning_rate)
            moved = theta + movement
            return moved, memory, path + jnp.abs(moved - theta), jnp.abs(movement)

        def steps(carry: Any) -> Any:
            # Whether all have come to rest costs more to find out than a step.
            count, *state, _, done = carry
            # Four at a time: XLA fuses them, and moves a quarter of the bytes.
            state = jax.lax.fori_loop(1, LOOKED_EVERY, step, tuple(state), unroll=4)
            theta, *_, before = state
            moved, *_, size = state = step(None, state)
            # At rest: no movement, or, where movements only shrink, one below theta's resolution.
            dying = (moved == theta) & (size < before)
            settled = (size == 0) | (experiment.optimizer.forgets & dying)
            return count + LOOKED_EVERY, *state, settled, done | settled.all(1)

        zero, nowhere = jnp.zeros_like(start), jnp.zeros(start.shape, bool)
        carry = (0, start, memory, zero, zero, nowhere, nowhere[:, 0])
        count, _, _, path, _, settled, done = jax.lax.while_loop(moving, steps, carry)
        # Each of the differences and sums was rounded by half a unit in the last place at most.
        rounding = 1 + 2 * count * float(jnp.finfo(dtype).eps)
        return path.astype(jnp.float64) * rounding, settled | done[:, None]

    return Train(shared, draw, start, advance, coast)


def make_transformation(
    experiment: Experiment, xla: bool = True
) -> Callable[[LearningRate], optax.GradientTransformation]:
    """Return learning rate -> gradient transformation; a schedule stands in place of the rate.

    Args:
        experiment: whose optimizer it is.
        xla: whether XLA compiles it.
    """
    optimizer = experiment.optimizer

    def transformation(learning_rate: LearningRate) -> optax.GradientTransformation:
        if isinstance(learning_rate, tuple):
            rate, *numbers = learning_rate
            return lifted_optimizer(experiment).transformation(rate, numbers, xla=xla)
        traced = optimizer.traced_learning_rate
        return optimizer.make(learning_rate if traced else optimizer.learning_rate)

    return transformation


def _gradient_oracle(experiment: Experiment, for_cpu: bool) -> tuple[Callable, Callable, Callable]:
    """Return ((state, shared, n) -> (data, loss, gradient), shared data, replicate's data)."""
    network, problem = experiment.network, experiment.drawn_from
    if experiment.batch_size == "population":
        risk = make_risk(problem, network, experiment.risk)

        def population(state: State, shared: Any, n: Array) -> tuple[Any, Array, Array]:
            loss, gradient = jax.value_and_grad(risk.population_loss)(state.theta)
            return state.data, loss, gradient

        return population, lambda key: (), lambda key: ()

    batches = make_batches(experiment)

    def sampled(state: State, shared: Any, n: Array) -> tuple[Any, Array, Array]:
        given = shared, state.data, state.key, n
        data, x, y = with_bits_apart(batches.draw, n, *given) if for_cpu else batches.draw(*given)

        def empirical_risk(theta: Array) -> Array:
            losses = problem.loss.function(network.apply(theta, x), y)
            if batches.shares is not None:
                return batches.shares(shared, data) @ losses
            if batches.weights is None:
                return losses.mean()
            weights = batches.weights(n)
            return jnp.where(weights > 0, losses, 0).sum() / weights.sum()

        both = jax.value_and_grad(empirical_risk)
        if for_cpu and add_like_this():
            loss, gradient = with_sums_written_out(both, n, state.theta)
        else:
            loss, gradient = both(state.theta)
        return data, loss, gradient

    return sampled, batches.shared, batches.init


def _ravel(experiment: Experiment) -> Callable[[Any], Array]:
    """Return the inverse of `network.unravel`, as the transpose of that linear map."""
    network = experiment.network
    example = jax.ShapeDtypeStruct((network.size,), experiment.dtype)

    def ravel(tree: Any) -> Array:
        return jax.linear_transpose(network.unravel, example)(tree)[0]

    return ravel
