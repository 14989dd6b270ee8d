"""The native engine: groups of lanes, trained by a compiled program of their own."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxsim.engines import lanes
from jaxsim.engines.engine import ByText, Engine
from jaxsim.engines.lanes import Drawn, Steps
from jaxsim.engines.native import forms, library, population, training
from jaxsim.engines.native.forward_passes import native_forward_passes
from jaxsim.engines.native.program import Source, Target
from jaxsim.engines.native.threefry import compiled
from jaxsim.engines.native.values import Untranslatable
from jaxsim.errors import InputError
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate, program_key
from jaxsim.training.train import State


def native_unsupported_reason(experiment: Experiment) -> str:
    """Return why the native engine cannot run an experiment here; empty if it can."""
    reason = lanes.unsupported_reason(experiment)
    if reason:
        return reason
    if experiment.samples_per_step == 0:
        reason = population.population_unsupported_reason(experiment)
        if reason:
            return reason
    if jax.default_backend() != "cpu":
        return "it is a program for CPUs"
    if library.compiler() is None:
        return "there is no C compiler: none of cc, gcc and clang is installed, and CC is not set"
    by_text = ByText(experiment, program_key(experiment))
    source = _source(by_text, lanes_of(experiment), forms.form_of(experiment))
    if isinstance(source, str):
        return source
    try:
        library.load(source)
    except InputError as error:
        return str(error)
    return ""


@lru_cache(maxsize=64)
def _source(by_text: ByText, count: int, target: Target) -> Source | str:
    """Return the program of an experiment, or why there is none."""
    try:
        native_forward_passes(by_text.experiment.network)
        generate = (training if by_text.experiment.samples_per_step else population).generate
        return generate(by_text.experiment, target, count)
    except Untranslatable as reason:
        return str(reason)


def lanes_of(experiment: Experiment) -> int:
    """Return the best number of lanes: a cache line of numbers, whatever the registers hold."""
    return 64 // experiment.dtype.itemsize


def native_engine(experiment: Experiment, count: int, target: Target) -> Engine:
    """Return the engine with groups of `count` members, its program in one form."""
    form = f"native {target} {library.facts(target.tuning)}"
    steps = steps_in(target)
    return lanes.in_lanes(experiment, count, steps, native_forward_passes, compiled, form)


@lru_cache(maxsize=64)
def steps_in(target: Target) -> Callable[[Experiment, int], Steps]:
    """Return `native_steps` in one form, always the same function."""
    return partial(native_steps, target=target)


def native_steps(experiment: Experiment, count: int, target: Target) -> Steps:
    """Return several training steps of a group of lanes as one call of the compiled program.

    Args:
        experiment: what is trained.
        count: members of a group.
        target: the form of the program.

    Raises:
        InputError: if it cannot be compiled.
    """
    source = _source(ByText(experiment, program_key(experiment)), count, target)
    assert isinstance(source, Source)
    name, dtype = library.load(source), experiment.dtype
    constant = () if experiment.samples_per_step else population.population_data(experiment)

    def data(drawn: Drawn | None) -> tuple[Any, ...]:
        if drawn is None:
            return constant
        rows = () if drawn.rows is None else (drawn.rows,)
        return (drawn.x, drawn.y.astype(dtype), *rows)

    def steps(
        state: State, drawn: Drawn | None, first: Array, count: Array, rate: LearningRate
    ) -> State:
        leaves, structure = jax.tree.flatten(state.optimizer)
        kept = (state.theta, *leaves, state.diverged)
        results = [jax.ShapeDtypeStruct(a.shape, a.dtype) for a in kept]
        results.append(jax.ShapeDtypeStruct((source.scratch,), dtype))
        train = jax.ffi.ffi_call(
            name, results, input_output_aliases={place: place for place in range(len(kept))}
        )
        bounds = jnp.stack([first, count]).astype(jnp.int32)
        theta, *leaves, diverged, _ = train(*kept, *data(drawn), bounds, *rate)
        return state._replace(
            theta=theta, optimizer=jax.tree.unflatten(structure, leaves), diverged=diverged
        )

    return steps
