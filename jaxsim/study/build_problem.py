"""From the table of a problem to the law of (X, Y) and the loss."""

from __future__ import annotations

from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
from pydantic import Field

from jaxsim.errors import InputError
from jaxsim.problem.datasets import DataSet, load_dataset
from jaxsim.problem.expression import parse_expression
from jaxsim.problem.input_laws import INPUT_LAWS, PointsLaw
from jaxsim.problem.losses import LOSSES, Loss
from jaxsim.problem.noise import NOISES, Noise
from jaxsim.problem.problem import Problem
from jaxsim.problem.targets import ExpressionTarget, FunctionTarget, LabelTarget
from jaxsim.registry import build, call
from jaxsim.risk.teacher import TeacherTarget
from jaxsim.study.build_network import build_network
from jaxsim.study.experiment_spec import NetworkSpec, ProblemSpec
from jaxsim.study.own_parts import Context, named_or_own, own_function
from jaxsim.training.keys import root_key

Outputs = Annotated[int, Field(ge=1, le=100_000)]


Seed = Annotated[int, Field(ge=0, le=2**63 - 1)]


TEACHER_DEFAULTS = {"seed": 0, "outputs": 1}
"""Of a target that is a teacher network."""


def build_problem(spec: ProblemSpec, context: Context) -> Problem:
    """Return the learning problem that a table describes.

    Raises:
        InputError: naming the key, the value and what would be accepted.
    """
    loss = named_or_own(LOSSES, spec.loss, "problem.loss", context)
    noise = build(NOISES, spec.noise, "problem.noise", tag="law")
    if spec.data is not None:
        for key in ("input", "target"):
            if getattr(spec, key) is not None:
                raise InputError(
                    f"problem.{key} = {getattr(spec, key)!r} is not accepted beside problem.data: "
                    "the data give both inputs and labels"
                )
        return _of_data(load_dataset(spec.data, "problem.data", context.base), loss, noise)
    if spec.input is None:
        raise InputError("problem.input is missing; give a law of X, or problem.data")
    if spec.target is None:
        raise InputError('problem.target is missing; give an expression such as "x**2"')
    law = build(INPUT_LAWS, spec.input, "problem.input", tag="law")
    return Problem(law, _target(spec.target, law.dimension, context), loss, noise)


def _of_data(data: DataSet, loss: Loss, noise: Noise) -> Problem:
    """Return the problem of a data set: its risk over some rows, its trainings on others."""

    def over(rows: np.ndarray, others: np.ndarray | None) -> tuple[PointsLaw, LabelTarget]:
        law = PointsLaw(data.x[rows], np.full(len(rows), 1 / len(rows)), others)
        return law, LabelTarget(data.y[rows], data.classes)

    judged, trained = data.judged, data.trained
    if np.array_equal(judged, trained):
        return Problem(*over(judged, None), loss, noise, data.warnings, data.over)
    # What is inactive or constant must be so for both: gradients see the one, risks the other.
    rest = data.x[np.setdiff1d(trained, judged)]
    training = Problem(*over(trained, None), loss, noise)
    return Problem(*over(judged, rest), loss, noise, data.warnings, data.over, training)


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


def _teacher(dimension: int, context: Context) -> Any:
    def teacher(teacher: dict[str, Any], seed: Seed = 0, outputs: Outputs = 1) -> TeacherTarget:
        from jaxsim.study.read import check

        spec = check(teacher, NetworkSpec, "teacher")
        network = build_network(spec, dimension, outputs, context)
        return TeacherTarget(network, network.init(root_key(seed)))

    return teacher


def _function(dimension: int, context: Context) -> Any:
    def function(function: str, outputs: Outputs = 1) -> FunctionTarget:
        user_function = own_function({"function": function}, "problem.target", context)
        target = FunctionTarget(user_function, outputs)
        for dtype in (jnp.float32, jnp.float64):  # as trainings and risks will trace it
            jax.eval_shape(target, jax.ShapeDtypeStruct((2, dimension), dtype))
        return target

    return function
