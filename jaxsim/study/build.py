"""From the tables of one experiment to the objects of the mathematics."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from jaxsim.errors import InputError, reason, shown
from jaxsim.network.activations import ACTIVATIONS
from jaxsim.network.initializers import INITIALIZERS, Initializer
from jaxsim.network.network import Layer, Network, from_flax, fully_connected
from jaxsim.optimizer import optimizer
from jaxsim.optimum.optimal_risk import Stated, optimal_risk
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.input_laws import INPUT_LAWS, PointsLaw
from jaxsim.problem.losses import LOSSES
from jaxsim.problem.noise import NOISES
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget, FunctionTarget, LabelTarget
from jaxsim.problem.user_code import guarded, load
from jaxsim.registry import Registry, build, call, check_parameters
from jaxsim.risk import RiskOptions
from jaxsim.risk.teacher import TeacherTarget
from jaxsim.study.expand import Variation
from jaxsim.study.identity import identify
from jaxsim.study.limits import require_parameters, require_points, require_range, require_samples
from jaxsim.study.spec import (
    ExperimentSpec,
    NetworkSpec,
    ProblemSpec,
    StatedOptimumSpec,
    TrainingSpec,
    written,
)
from jaxsim.training.experiment import BatchSize, Experiment, TrainingSet, log_spaced
from jaxsim.training.keys import root_key


@dataclass(frozen=True)
class Context:
    """What building needs to know besides the tables.

    Attributes:
        seed: of the study.
        paired: tables left out of the experiment's identity for random numbers.
        base: directory that relative paths of data files refer to.
        allow_code: whether "module:function" references may be imported.
    """

    seed: int
    paired: tuple[str, ...]
    base: Path | None
    allow_code: bool


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
    problem = _problem(spec.problem, context)
    network = _network(spec.network, problem.law.dimension, problem.outputs, context)
    dump = spec.model_dump(mode="json")
    identity = identify(dump, problem, network, context.seed, context.paired, context.base)
    risk = RiskOptions(**spec.problem.risk.model_dump(), seed=context.seed)
    training_set = _training_set(spec.training, problem)
    batch_size = _batch_size(spec.training, training_set)
    _require_remainder(training_set, batch_size)
    _require_sizes(problem, network, batch_size, training_set, risk)
    require_range(problem, spec.precision)
    if "content" in identity.initialization_key or problem.loss.name == "function":
        _require_gradient(problem, network)
    return Experiment(
        label=variation.label,
        problem=problem,
        network=network,
        optimizer=optimizer(spec.optimizer, "optimizer", spec.precision),
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


def _given(optimum: float | list[float] | dict[str, Any] | None) -> Stated | None:
    """Return what a study states of the optimal risk."""
    said = f"problem.optimum = {optimum!r} is not accepted"
    match optimum:
        case None:
            return None
        case list():
            if len(optimum) != 2 or not optimum[0] <= optimum[1]:
                raise InputError(
                    f"{said}: it should be a number or [lower, upper] with lower <= upper"
                )
            return Stated(optimum[0], optimum[1])
        case dict():
            return _stated(optimum, said)
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


def _problem(spec: ProblemSpec, context: Context) -> Problem:
    loss = _named_or_own(LOSSES, spec.loss, "problem.loss", context)
    noise = build(NOISES, spec.noise, "problem.noise", tag="law")
    if spec.data is not None:
        from jaxsim.problem.datasets import load_dataset

        for key in ("input", "target"):
            if getattr(spec, key) is not None:
                raise InputError(
                    f"problem.{key} = {getattr(spec, key)!r} is not accepted beside problem.data: "
                    "the data give both inputs and labels"
                )
        data = load_dataset(spec.data, "problem.data", context.base)
        law = PointsLaw(data.x, np.full(len(data.x), 1 / len(data.x)))
        return Problem(law, LabelTarget(data.y, data.classes), loss, noise, data.warnings)
    if spec.input is None:
        raise InputError("problem.input is missing; give a law of X, or problem.data")
    if spec.target is None:
        raise InputError('problem.target is missing; give an expression such as "x**2"')
    law = build(INPUT_LAWS, spec.input, "problem.input", tag="law")
    return Problem(law, _target(spec.target, law.dimension, context), loss, noise)


def _named_or_own(
    registry: Registry, spec: str | dict[str, Any], key: str, context: Context
) -> Any:
    """Return a loss or an activation; the user's own function is imported only with permission."""
    if not isinstance(spec, dict) or spec.get("name") != "function":
        return build(registry, spec, key)
    options = {k: v for k, v in spec.items() if k not in ("name", "function")}
    checked = check_parameters(registry["function"], {"function": "", **options}, key, "function")
    try:
        return registry["function"](**{**checked, "function": _own(spec, key, context)})
    except InputError as error:
        raise error.at(key) from None


def _own(spec: dict[str, Any], key: str, context: Context) -> Callable[..., Any]:
    """Return the user's function that a table names."""
    name = spec.get("function", "")
    function = load(name, "function", context.allow_code)
    said = f"{key}.function = {name!r}"

    @functools.wraps(function)
    def array(*arguments: Any) -> jax.Array:
        found = jnp.asarray(function(*arguments))
        if found.dtype.kind not in "biu" and not jnp.issubdtype(found.dtype, jnp.floating):
            raise InputError(f"{said} returns an array of {found.dtype}; accepted: real numbers")
        return found

    return guarded(array, said)


def _target(spec: str | list[str] | dict[str, Any], dimension: int, context: Context) -> Any:
    if not isinstance(spec, dict):
        try:
            return ExpressionTarget(parse_expression(spec, dimension))
        except InputError as error:
            raise error.at("problem.target") from None
    kinds = {"teacher", "function"}
    if len(kinds & set(spec)) != 1:
        raise InputError(
            f"problem.target = {spec!r} is not accepted: it should be an expression, or a table "
            "with 'teacher' (a network) or 'function' (\"module:function\")"
        )
    if "teacher" in spec:
        return call(_teacher(dimension, context), spec, "problem.target", "teacher")
    return call(_function(dimension, context), spec, "problem.target", "function")


TEACHER_DEFAULTS = {"seed": 0, "outputs": 1}
"""Of a target that is a teacher network."""


def _teacher(dimension: int, context: Context) -> Any:
    def teacher(teacher: dict[str, Any], seed: Seed = 0, outputs: Outputs = 1) -> TeacherTarget:
        from jaxsim.study.read import check

        spec = check(teacher, NetworkSpec, "teacher")
        network = _network(spec, dimension, outputs, context)
        return TeacherTarget(network, network.init(root_key(seed)))

    return teacher


def _function(dimension: int, context: Context) -> Any:
    def function(function: str, outputs: Outputs = 1) -> FunctionTarget:
        own = _own({"function": function}, "problem.target", context)
        target = FunctionTarget(own, outputs)
        for dtype in (jnp.float32, jnp.float64):  # as trainings and risks will trace it
            jax.eval_shape(target, jax.ShapeDtypeStruct((2, dimension), dtype))
        return target

    return function


Outputs = Annotated[int, Field(ge=1, le=100_000)]
Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]

_FACTORS = {
    "standard": lambda fan_in, number: 1.0,
    "ntk": lambda fan_in, number: fan_in**-0.5,
    "mean_field": lambda fan_in, number: 1.0 if number == 1 else 1.0 / fan_in,
}


def _network(spec: NetworkSpec, inputs: int, outputs: int, context: Context) -> Network:
    if spec.module is not None:
        unused = written(spec) - {"module"}
        if unused:
            raise InputError(
                f"network.{sorted(unused)[0]} is not accepted beside network.module: your own "
                "module has its own layers and initializers"
            )
        return _module(spec.module, inputs, outputs, context)
    if spec.hidden is None:
        raise InputError("network.hidden is missing; give the widths, e.g. [16, 16], or []")
    activation = _named_or_own(ACTIVATIONS, spec.activation, "network.activation", context)
    widths = (inputs, *spec.hidden, outputs)
    depth = len(widths) - 1
    weights = _per_layer(spec.weights, depth, "network.weights")
    biases = _per_layer(spec.biases, depth, "network.biases")
    if spec.output_bias is not None and spec.biases is False:
        raise InputError(
            f"network.output_bias = {spec.output_bias} is not accepted beside network.biases = "
            "false: there are no biases"
        )
    if spec.output_bias is True and biases[-1] is None:
        raise InputError(
            "network.output_bias = True is not accepted: the last entry of network.biases = "
            f"{spec.biases!r} says that there is none"
        )
    if spec.output_bias is False:
        biases[-1] = None
    biases = [_joint(n, w, b, spec) for n, (w, b) in enumerate(zip(weights, biases, strict=True))]
    for law in biases:
        if law is not None and law.weights_only and law.draw_joint is None:
            raise InputError(
                f"network.biases = {law.name!r} is not accepted: it is a law of matrices, for "
                "network.weights"
            )
    require_parameters(spec.hidden, inputs, outputs, "network.hidden")
    frozen = _frozen(spec.freeze, depth)
    layers = []
    for number in range(1, depth + 1):
        law, bias = weights[number - 1], biases[number - 1]
        assert law is not None
        layers.append(
            Layer(
                fan_in=widths[number - 1],
                fan_out=widths[number],
                weights=law,
                biases=bias,
                multiplier=_FACTORS[spec.parametrization](widths[number - 1], number),
                train_weights=(number, "weights") not in frozen,
                train_biases=(number, "biases") not in frozen,
            )
        )
    network = fully_connected(tuple(layers), activation)
    try:
        jax.eval_shape(network.init, jax.random.key(0))
    except (OverflowError, ValueError) as error:
        raise InputError(
            f"network.weights or network.biases cannot be drawn for the widths {widths}: {error}"
        ) from None
    return network


def _module(name: str, inputs: int, outputs: int, context: Context) -> Network:
    """Return the network of the user's own flax module."""
    said = f"network.module = {name!r}"
    factory = guarded(load(name, "network.module", context.allow_code), said)
    module = factory()
    if not isinstance(module, nn.Module):
        raise InputError(
            f"{said} returns an object of type {type(module).__name__}; accepted: a function "
            "without arguments that returns a flax linen module"
        )
    network = from_flax(module, inputs, outputs)
    return replace(network, apply=guarded(network.apply, said))


def _joint(
    index: int, weights: Initializer | None, bias: Initializer | None, spec: NetworkSpec
) -> Initializer | None:
    """Return the law of a layer's biases: that of its weights if it draws both.

    Raises:
        InputError: for biases that such a law would ignore, or such a law for biases alone.
    """
    assert weights is not None
    together = weights.draw_joint is not None
    if bias is None or (bias.name == weights.name and together):
        return bias
    if bias.draw_joint is not None:
        raise InputError(
            f"network.biases = {bias.name!r} is not accepted: it draws weights and biases together "
            "and belongs to network.weights"
        )
    if not together:
        return bias
    if "biases" in written(spec):
        raise InputError(
            f"network.biases = {spec.biases!r} is not accepted for layer {index + 1}: the law "
            f"{weights.name!r} of its weights draws the biases too; leave biases out, or give a "
            f"list with {weights.name!r} for this layer"
        )
    return weights


def _per_layer(spec: Any, depth: int, key: str) -> list[Initializer | None]:
    """Return the law of each layer; False means none."""
    if not isinstance(spec, list):
        law = None if spec is False else build(INITIALIZERS, spec, key, tag="law")
        return [law] * depth
    if len(spec) != depth:
        raise InputError(
            f"{key} has {len(spec)} entries; accepted: one table, or one per layer ({depth})"
        )
    return [
        None if s is False else build(INITIALIZERS, s, f"{key}[{i}]", tag="law")
        for i, s in enumerate(spec, start=1)
    ]


def _frozen(names: list[str], depth: int) -> set[tuple[int, str]]:
    """Return the (layer number, part) pairs that names like "output.weights" mean."""
    found = set()
    for name in names:
        layer, _, part = name.partition(".")
        parts = (part,) if "." in name else ("weights", "biases")
        digits = re.fullmatch(r"layer([1-9][0-9]{0,3})", layer)
        number = depth if layer == "output" else int(digits[1]) if digits else 0
        if not 1 <= number <= depth or any(p not in ("weights", "biases") for p in parts):
            raise InputError(
                f"network.freeze = {name!r} is not accepted: it should be layer1 to layer{depth} "
                'or output, perhaps with ".weights" or ".biases"'
            )
        found |= {(number, p) for p in parts}
    return found


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


def _require_remainder(training_set: TrainingSet | None, batch_size: BatchSize) -> None:
    """Refuse to keep the rest of an epoch where there is none."""
    if training_set is None or training_set.partial == "drop":
        return
    said = 'training.set.partial = "keep" has no effect'
    if training_set.replacement:
        raise InputError(f"{said} with replacement, which knows no epochs")
    if not isinstance(batch_size, int) or training_set.size % batch_size == 0:
        raise InputError(f"{said}: the mini-batches of an epoch leave no row unused")


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
