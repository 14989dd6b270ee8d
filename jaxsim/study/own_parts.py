"""Parts of an experiment that are named, or functions of the user's own."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxsim.errors import InputError
from jaxsim.problem.problem import Problem
from jaxsim.problem.user_code import guarded, load
from jaxsim.questions.events import Event
from jaxsim.registry import Registry, build, check_parameters


@dataclass(frozen=True)
class Context:
    """What building needs to know besides the tables.

    Attributes:
        seed: of the study.
        paired: tables left out of the experiment's identity for random numbers.
        base: directory that relative paths of data files refer to.
        allow_code: whether "module:function" references may be imported.
        events: whose probabilities the study asks for.
        record: what is recorded of each run besides.
        problems: built so far, by the text of their tables: experiments of one problem share it,
            and with it what is computed once for each.
    """

    seed: int
    paired: tuple[str, ...]
    base: Path | None
    allow_code: bool
    events: tuple[Event, ...] = ()
    record: tuple[str, ...] = ()
    problems: dict[str, Problem] = field(default_factory=dict, compare=False)


def named_or_own(registry: Registry, spec: str | dict[str, Any], key: str, context: Context) -> Any:
    """Return a loss or an activation; the user's own function is imported only with permission."""
    if not isinstance(spec, dict) or spec.get("name") != "function":
        return build(registry, spec, key)
    options = {k: v for k, v in spec.items() if k not in ("name", "function")}
    checked = check_parameters(registry["function"], {"function": "", **options}, key, "function")
    try:
        return registry["function"](**{**checked, "function": own_function(spec, key, context)})
    except InputError as error:
        raise error.at(key) from None


def own_function(spec: dict[str, Any], key: str, context: Context) -> Callable[..., Any]:
    """Return the user's function that a table names."""
    name = spec.get("function", "")
    function = load(name, "function", context.allow_code)
    subject = f"{key}.function = {name!r}"

    @functools.wraps(function)
    def array(*arguments: Any) -> jax.Array:
        values = jnp.asarray(function(*arguments))
        if values.dtype.kind not in "biu" and not jnp.issubdtype(values.dtype, jnp.floating):
            raise InputError(
                f"{subject} returns an array of {values.dtype}; accepted: real numbers"
            )
        return values

    return guarded(array, subject)
