"""From the tables of one experiment to the objects of the mathematics."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxsim import session
from jaxsim.errors import InputError, reason, shown
from jaxsim.network.network import Network
from jaxsim.optimizer import Optimizer, optimizer
from jaxsim.optimum.optimal_risk import Stated, optimal_risk
from jaxsim.problem.problem import Problem
from jaxsim.problem.user_code import is_reference
from jaxsim.questions.events import NOT_ALL_RIGHT, Event
from jaxsim.questions.quantities import require_neurons
from jaxsim.risk import RiskOptions
from jaxsim.study.build_network import build_network
from jaxsim.study.build_problem import build_problem
from jaxsim.study.expand import Variation
from jaxsim.study.experiment_spec import (
    ExperimentSpec,
    ProblemSpec,
    StatedOptimumSpec,
    TrainingSpec,
)
from jaxsim.study.identity import identify
from jaxsim.study.limits import require_points, require_range, require_samples
from jaxsim.study.own_parts import Context
from jaxsim.study.spec import ACTIVATION_PATTERN
from jaxsim.training.experiment import BatchSize, Experiment, TrainingSet, log_spaced
from jaxsim.training.pattern import pattern_refused


def build_experiment(variation: Variation, context: Context) -> Experiment:
    """Return the experiment of a variation.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    try:
        return _experiment(variation, context)
    except (OverflowError, RecursionError, MemoryError) as error:
        raise InputError(
            f"{variation.label!r} has a number that is too large: {reason(error)}"
        ) from error


def _experiment(variation: Variation, context: Context) -> Experiment:
    spec = variation.spec
    problem = _shared_problem(spec.problem, context)
    error_rate = any(event.of_error_rate for event in context.events)
    network = build_network(spec.network, problem.law.dimension, problem.outputs, context)
    pattern = ACTIVATION_PATTERN in context.record
    require_askable(context.events, problem, network, pattern)
    dump = spec.model_dump(mode="json")
    identity = identify(
        dump, problem, network, context.seed, context.paired, context.base, error_rate, pattern
    )
    risk = RiskOptions(**spec.problem.risk.model_dump(), seed=context.seed)
    training_set = _training_set(spec.training, problem.trained_on)
    batch_size = _batch_size(spec.training, training_set)
    _require_remainder(training_set, batch_size)
    _require_countable(training_set, batch_size, problem.trained_on)
    _require_shareable(spec.training, training_set, batch_size)
    _require_sizes(problem, network, batch_size, training_set, risk)
    if pattern:
        refused = pattern_refused(problem.trained_on, network, len(_checkpoints(spec)))
        if refused:
            raise InputError(f"record = ['{ACTIVATION_PATTERN}'] {refused}")
    require_range(problem, spec.precision)
    require_range(problem.trained_on, spec.precision)
    own = "content" in identity.initialization_key or any(session.texts_in(dump["network"]))
    if own or problem.loss.name == "function":
        _require_gradient(problem, network)
    method = optimizer(spec.optimizer, "optimizer", spec.precision)
    if session.is_text(spec.optimizer.get("name")):
        _require_transformation(method, network, spec.precision)
    return Experiment(
        label=variation.label,
        problem=problem,
        network=network,
        optimizer=method,
        batch_size=batch_size,
        training_set=training_set,
        steps=spec.steps,
        checkpoints=_checkpoints(spec),
        precision=spec.precision,
        risk=risk,
        optimum=optimal_risk(problem, network, _given(spec.problem.optimum)),
        seed=context.seed,
        **identity._asdict(),
        spec=dump,
        error_rate=error_rate,
        activation_pattern=pattern,
        shared_batches=spec.training.mini_batches == "shared",
        own_code=_has_own_code(dump),
    )


def _has_own_code(value: Any) -> bool:
    """Return whether nested tables refer to code of the user's own."""
    if isinstance(value, Mapping):
        return any(map(_has_own_code, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_has_own_code, value))
    return is_reference(value) or session.is_text(value)


def _shared_problem(spec: ProblemSpec, context: Context) -> Problem:
    """Return the problem of a table, built once."""
    text = json.dumps(spec.model_dump(mode="json", exclude={"optimum", "risk"}), sort_keys=True)
    if text not in context.problems:
        context.problems[text] = build_problem(spec, context)
    return context.problems[text]


def require_askable(
    events: Sequence[Event], problem: Problem, network: Network, pattern: bool
) -> None:
    """Check that a problem and a network have what the events are about.

    Args:
        events: that are asked for.
        problem: of an experiment.
        network: of it.
        pattern: whether its activation patterns are recorded.

    Raises:
        InputError: for the error rate of a regression, all points of a law that has more than can
            be looked at, neurons of a network without any, or patterns that are not recorded.
    """
    for event in events:
        require_neurons(event, network)
        if event.of_pattern and not pattern:
            raise InputError(
                f"events.{event.kind} is of activation patterns, which are not recorded; accepted: "
                f'record = ["{ACTIVATION_PATTERN}"] in the study, too'
            )
        if event.of_error_rate and problem.loss.kind == "regression":
            raise InputError(
                f"events.{event.kind} is not accepted with the loss {problem.loss.name!r}, which "
                "is one of regression; accepted: a loss of classification, or events.risk_above"
            )
        if event.kind == NOT_ALL_RIGHT and problem.law.finite is None:
            raise InputError(
                "events.not_all_right is not accepted for an input law with infinitely many "
                "points; accepted: a data set or points, or events.error_rate_above"
            )


def _require_sizes(
    problem: Problem,
    network: Network,
    batch_size: BatchSize,
    training_set: TrainingSet | None,
    risk: RiskOptions,
) -> None:
    """Check the sizes of what one member holds, before anything is allocated."""
    size = training_set.size if training_set is not None else None
    if training_set is not None and training_set.counts and problem.trained_on.law.finite:
        size = len(problem.trained_on.law.finite[0])
    batch = batch_size if isinstance(batch_size, int) else size if batch_size == "full" else 1
    require_samples(batch or 1, size, network.inputs, network.hidden, network.outputs)
    if problem.law.finite is None and problem.law.density_1d is None:
        require_points(risk.points, risk.replicates, problem.law.unit_dimension)


def _require_gradient(problem: Problem, network: Network) -> None:
    """Trace the gradient of a loss or network of the user's own, as trainings will.

    Raises:
        InputError: if that fails.
    """

    def empirical_risk(theta: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return problem.loss.function(network.apply(theta, x), y).mean()

    try:
        for dtype in (jnp.float32, jnp.float64):
            samples = jax.eval_shape(lambda k, d=dtype: problem.sample(k, 2, d), jax.random.key(0))
            theta = jax.ShapeDtypeStruct((network.size,), dtype)
            jax.eval_shape(jax.grad(empirical_risk), theta, *samples)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the gradient of the study's own code cannot be computed: {reason(error)}; accepted: "
            "pure functions written with jax.numpy that jax.grad differentiates"
        ) from error


def _require_transformation(method: Optimizer, network: Network, precision: str) -> None:
    """Trace a transformation that was passed from Python on the network's parameters.

    Raises:
        InputError: if that fails, or if it draws random numbers, the same ones in all replicates.
    """
    transformation = method.make(None)

    def updated(theta: jax.Array) -> tuple[Any, Any]:
        parameters = network.unravel(theta)
        state = transformation.init(parameters)
        return state, transformation.update(parameters, state, parameters)

    theta = jax.ShapeDtypeStruct((network.size,), jnp.dtype(precision))
    try:
        state, (updates, after) = jax.eval_shape(updated, theta)
    except Exception as error:
        raise InputError(
            f"optimizer = {method.name!r} cannot be applied to the network's parameters: "
            f"{reason(error)}; accepted: an optax transformation that needs nothing but gradients "
            "and parameters"
        ) from error
    like = jax.eval_shape(network.unravel, theta)
    if jax.tree.structure(updates) != jax.tree.structure(like) or state != after:
        raise InputError(
            f"optimizer = {method.name!r} returns updates or a state of another form than it is "
            "given; accepted: an optax transformation"
        )
    if any(_is_random(leaf) for leaf in jax.tree.leaves(state)):
        raise InputError(
            f"optimizer = {method.name!r} is not accepted: its state holds a random key, whose "
            "noise would be the same in all replicates, not independent"
        )


def _is_random(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key) or leaf.dtype == jnp.uint32


def _given(optimum: float | list[float] | dict[str, Any] | None) -> Stated | None:
    """Return what a study states of the optimal risk."""
    refusal = f"problem.optimum = {optimum!r} is not accepted"
    match optimum:
        case None:
            return None
        case list():
            if len(optimum) != 2 or not optimum[0] <= optimum[1]:
                raise InputError(
                    f"{refusal}: it should be a number or [lower, upper] with lower <= upper"
                )
            return Stated(optimum[0], optimum[1])
        case dict():
            return _stated(optimum, refusal)
    return Stated(optimum, optimum)


def _stated(table: dict[str, Any], said: str) -> Stated:
    """Return what a table states of the optimal risk."""
    from jaxsim.study.read import check

    spec: StatedOptimumSpec = check(table, StatedOptimumSpec, "problem.optimum")
    if spec.reason and shown(spec.reason) != spec.reason:
        raise InputError(f"problem.optimum.reason = {spec.reason!r} should be one line")
    if spec.value is not None and spec.lower is None is spec.upper:
        return Stated(spec.value, spec.value, spec.reason)
    low = -math.inf if spec.lower is None else spec.lower
    high = math.inf if spec.upper is None else spec.upper
    if spec.value is not None or spec.lower is None is spec.upper or not low <= high:
        raise InputError(f"{said}: it should have a value, or lower, or upper, or lower <= upper")
    return Stated(low, high, spec.reason)


def _training_set(spec: TrainingSpec, problem: Problem) -> TrainingSet | None:
    if spec.set is None:
        return None
    chosen = TrainingSet(**spec.set.model_dump())
    points = problem.law.finite
    if chosen.distinct and points is None:
        raise InputError(
            "training.set.distinct = true is not accepted for this input law: it should have "
            "finitely many points"
        )
    if chosen.distinct and points is not None and chosen.size > len(points[0]):
        raise InputError(
            f"training.set.size = {chosen.size} is too large; accepted: up to {len(points[0])}, "
            "the number of distinct points"
        )
    return chosen


def _require_countable(
    training_set: TrainingSet | None, batch_size: BatchSize, problem: Problem
) -> None:
    """Refuse to count samples where they have to be told apart."""
    if training_set is None or not training_set.counts:
        return
    refusal = "training.set.counts = true is not accepted"
    if problem.law.finite is None or problem.noise.kind != "none":
        raise InputError(
            f"{refusal} for this problem: accepted: an input law with finitely many points, "
            "without noise"
        )
    if batch_size != "full" or training_set.distinct:
        raise InputError(
            f'{refusal} but with training.batch_size = "full" and without training.set.distinct: '
            "the samples are not held one by one"
        )


def _require_remainder(training_set: TrainingSet | None, batch_size: BatchSize) -> None:
    """Refuse to keep the rest of an epoch where there is none."""
    if training_set is None or training_set.partial == "drop":
        return
    refusal = 'training.set.partial = "keep" has no effect'
    if training_set.replacement:
        raise InputError(f"{refusal} with replacement, which knows no epochs")
    if not isinstance(batch_size, int) or training_set.size % batch_size == 0:
        raise InputError(f"{refusal}: the mini-batches of an epoch leave no row unused")


def _require_shareable(
    spec: TrainingSpec, training_set: TrainingSet | None, batch_size: BatchSize
) -> None:
    """Refuse to share mini-batches where there are none, or where rows differ by replicate."""
    if spec.mini_batches == "own":
        return
    refusal = 'training.mini_batches = "shared" has no effect'
    if batch_size == "population":
        raise InputError(
            f'{refusal} with training.batch_size = "population", which draws none; accepted: "own"'
        )
    if training_set is None:
        return
    if training_set.scope == "replicate":
        raise InputError(
            'training.mini_batches = "shared" is not accepted with training.set.scope = '
            '"replicate", where every replicate has rows of its own; accepted: scope = "study"'
        )
    if not training_set.replacement and batch_size in ("full", training_set.size):
        raise InputError(
            f'{refusal} where every step takes the whole training set of the study; accepted: "own"'
        )


def _batch_size(spec: TrainingSpec, training_set: TrainingSet | None) -> BatchSize:
    batch = spec.batch_size
    if batch == "full" and training_set is None:
        raise InputError(
            'training.batch_size = "full" is not accepted without training.set; for the exact '
            'gradient of the true risk use "population"'
        )
    if batch == "full" and training_set is not None and training_set.replacement:
        raise InputError(
            'training.batch_size = "full" is not accepted with training.set.replacement = true, '
            "which draws rows anew, some of them twice; for mini-batches of as many rows give "
            f"training.batch_size = {training_set.size}"
        )
    if batch == "population" and training_set is not None:
        raise InputError(
            'training.batch_size = "population" is not accepted beside training.set; use "full" '
            "for the gradient over the whole set"
        )
    if isinstance(batch, int) and training_set is not None and batch > training_set.size:
        raise InputError(
            f"training.batch_size = {batch} is too large; accepted: up to training.set.size = "
            f"{training_set.size}"
        )
    return batch


def _checkpoints(spec: ExperimentSpec) -> tuple[int, ...]:
    if isinstance(spec.checkpoints, int):
        return log_spaced(spec.steps, spec.checkpoints)
    steps = sorted({0, spec.steps, *spec.checkpoints})
    if steps[-1] > spec.steps:
        raise InputError(
            f"checkpoints = {steps[-1]} is past the last step; accepted: up to steps = {spec.steps}"
        )
    return tuple(steps)
