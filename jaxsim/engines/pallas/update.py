"""The optimizer's step, cut into what is common to all parameters and the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from jaxsim.engines.pallas.shape import Shape
from jaxsim.engines.update_trace import trace_update
from jaxsim.training.experiment import Experiment
from jaxsim.training.hyperparameters import LearningRate


class Update:
    """The optimizer's step in two parts: numbers common to all parameters, and the rest.

    Step counts, bias corrections and learning rates do not differ from member to member at a step:
    they are computed once for many steps, in the precision they ask for. What is left is arithmetic
    on arrays. The parts are the operations of one trace that depend on no array, and the others.
    """

    def __init__(self, experiment: Experiment, shape: Shape) -> None:
        theta = jax.tree.map(lambda a: a[0], shape.split(jnp.zeros((1, experiment.network.size))))
        theta = jax.tree.map(lambda a: a.astype(experiment.dtype), theta)
        update = trace_update(experiment, theta)
        self.structure, self.is_number = update.structure, update.is_number
        closed = _written_out(update.step, *update.examples)
        self.movement = jax.tree.structure(theta)
        jaxpr = closed.jaxpr
        ahead = len(update.examples[0])
        flags = [True] * ahead + self.is_number
        flags += [False] * (len(jaxpr.invars) - len(flags))
        pairs = list(zip(jaxpr.invars, flags, strict=True))
        numbers = [v for v, flag in pairs if flag]
        arrays = [v for v, flag in pairs if not flag]
        known, first, second = {*numbers, *jaxpr.constvars}, [], []
        for equation in jaxpr.eqns:
            uniform = all(_is_literal(a) or a in known for a in equation.invars)
            (first if uniform else second).append(equation)
            known |= set(equation.outvars) if uniform else set()
        asked = [a for e in second for a in e.invars] + jaxpr.outvars
        passed = [*{a: None for a in asked if not _is_literal(a) and a in known}]
        split = self.movement.num_leaves
        pairs = list(zip(jaxpr.outvars[split:], self.is_number, strict=True))
        new_numbers = [v for v, number in pairs if number]
        new_arrays = [v for v, number in pairs if not number]
        consts, extra = list(closed.consts), list(jaxpr.constvars)
        self.first = _piece(jaxpr, first, [*extra, *numbers], [*new_numbers, *passed], consts)
        self.second = _piece(
            jaxpr, second, [*passed, *arrays], [*jaxpr.outvars[:split], *new_arrays], []
        )

    def parts(self, optimizer: Any) -> tuple[list[Array], list[Array]]:
        """Return (numbers of the first member, arrays of all members) of an optimizer's state."""
        leaves = self.structure.flatten_up_to(optimizer)
        leaves = [leaf for part in leaves for leaf in jax.tree.leaves(part)]
        return (
            [a[0] for a, number in zip(leaves, self.is_number, strict=True) if number],
            [a for a, number in zip(leaves, self.is_number, strict=True) if not number],
        )

    def whole(self, numbers: list[Array], arrays: list[Array], members: int) -> Any:
        """Return the optimizer's state of all members."""
        numbers, arrays = list(numbers), list(arrays)
        leaves = [
            jnp.full(members, numbers.pop(0)) if number else arrays.pop(0)
            for number in self.is_number
        ]
        return jax.tree.unflatten(self.structure, leaves)

    def uniform(
        self, rate: LearningRate, numbers: list[Array], most: int, count: Array
    ) -> tuple[list[Array], list[Array]]:
        """Return (numbers after `count` steps, what is passed on at each of `most` steps)."""

        def one(numbers: list[Array], k: Array) -> tuple[list[Array], list[Array]]:
            outputs = self.first(*rate, *numbers)
            new, passed = outputs[: len(numbers)], outputs[len(numbers) :]
            kept = [jnp.where(k < count, n, o) for n, o in zip(new, numbers, strict=True)]
            return kept, passed

        return jax.lax.scan(one, numbers, jnp.arange(most))

    def varying(
        self, uniform: list[Array], gradient: Any, moments: list[Array], theta: Any
    ) -> tuple[Any, list[Array]]:
        """Return (movement, new arrays of the state) of one member."""
        outputs = self.second(
            *uniform, *moments, *jax.tree.leaves(gradient), *jax.tree.leaves(theta)
        )
        split = self.movement.num_leaves
        return jax.tree.unflatten(self.movement, outputs[:split]), outputs[split:]


def _written_out(function: Callable[..., Any], *arguments: Any) -> ClosedJaxpr:
    """Return the trace of a function with no call of a compiled function left in it.

    optax computes bias corrections, of numbers, and what they correct, arrays, in one of these.
    """
    closed = jax.make_jaxpr(function)(*arguments)
    while any(e.primitive.name in _CALLS for e in closed.jaxpr.eqns):
        flat = jax.tree.leaves(arguments)
        closed = jax.make_jaxpr(_one_level(closed))(*flat)
    return closed


_CALLS = ("jit", "pjit")


def _one_level(closed: ClosedJaxpr) -> Callable[..., list[Array]]:
    """Return a function that does what a trace says, with the first level of calls entered."""

    def run(*arguments: Array) -> list[Array]:
        jaxpr = closed.jaxpr
        known = dict(zip(jaxpr.constvars, closed.consts, strict=True))
        known |= dict(zip(jaxpr.invars, arguments, strict=True))

        def read(atom: Any) -> Any:
            return atom.val if _is_literal(atom) else known[atom]

        for equation in jaxpr.eqns:
            if equation.primitive.name in _CALLS:
                results = jaxpr_as_fun(equation.params["jaxpr"])(*map(read, equation.invars))
            else:
                inputs = [*{a: None for a in equation.invars if not _is_literal(a)}]
                piece = _piece(jaxpr, [equation], inputs, equation.outvars, [])
                results = piece(*map(read, inputs))
            known |= dict(zip(equation.outvars, results, strict=True))
        return [read(a) for a in jaxpr.outvars]

    return run


def _is_literal(atom: Any) -> bool:
    return hasattr(atom, "val")


def _piece(
    jaxpr: Any, equations: list[Any], inputs: list[Any], outputs: list[Any], consts: list[Any]
) -> Callable[..., list[Array]]:
    """Return some equations of a jaxpr as a function; the first inputs are the constants."""
    info = jaxpr.debug_info.with_unknown_names()
    piece = jaxpr.replace(
        eqns=equations, constvars=[], invars=inputs, outvars=outputs, debug_info=info
    )
    run = jaxpr_as_fun(ClosedJaxpr(piece, []))
    return lambda *arguments: run(*consts, *arguments)
